"""The command line: arguments in, tables or JSON out; no logic.

Every command takes ``--json`` and returns the exit code that ``memcollab.errors`` draws: 0 done,
2 unusable input, 3 nothing learned, 4 bank, 5 not found, 6 model, 7 sandbox, 8 no key for it,
9 a server.
"""

from __future__ import annotations

import sys

import orjson
import typer

from memcollab import __version__
from memcollab.cli import (
    bank,
    bench,
    demo,
    doctor,
    evidence,
    key,
    learn,
    mcp,
    recall,
    serve,
    trial,
)
from memcollab.errors import MemCollabError

app = typer.Typer(
    name="memcollab",
    help="One shared memory for LLM agents that run on different models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(learn.learn)
app.command()(recall.recall)
app.command()(recall.outcome)
app.command()(evidence.evidence)
app.command()(trial.trial)
app.add_typer(bank.app, name="bank")
app.add_typer(bench.app, name="bench")
app.command()(serve.serve)
app.command()(mcp.mcp)
app.add_typer(key.app, name="key")
app.command()(demo.demo)
app.command()(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
) -> None:
    """One shared memory for LLM agents that run on different models."""


def main() -> None:
    """The console script. Errors of ours are one message and an exit code, never a traceback."""
    try:
        app()
    except MemCollabError as error:
        if "--json" in sys.argv:
            said = {"error": {"kind": type(error).__name__, "message": str(error)}}
            sys.stderr.write(orjson.dumps(said).decode() + "\n")
        else:
            sys.stderr.write(f"memcollab: {error}\n")
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:  # the reader of our output has seen enough, as in `| head`
        sys.stderr.close()
        raise SystemExit(0) from None
