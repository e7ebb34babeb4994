"""``memcollab bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memcollab.cli import experiment, options

app = typer.Typer(help="Does memory help? Experiments, in a sandbox.", no_args_is_help=True)
app.command()(experiment.plan)
app.command()(experiment.build)
app.command()(experiment.learn)
app.command()(experiment.validate)
app.command()(experiment.run)
app.command()(experiment.report)
app.command()(experiment.evidence)
app.command()(experiment.publish)
app.command()(experiment.restore)


@app.command()
def collect(
    tasks: Annotated[Path, typer.Argument(help="Tasks, one JSON object a line.")],
    agent: Annotated[
        list[str],
        typer.Option(help="MODEL@URL of an OpenAI-compatible server, or a name Inspect knows."),
    ],
    log_dir: Annotated[Path, typer.Option(help="Where the Inspect logs go.")] = Path("runs"),
    sandbox: Annotated[
        str, typer.Option(help="bubblewrap; or none: model-written code runs unconfined.")
    ] = "bubblewrap",
    turns: Annotated[int, typer.Option(min=1, help="Model calls per task at most.")] = 5,
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens per turn at most.")] = 512,
    parallel: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    seed: Annotated[int, typer.Option(help="Seed given to the model's server.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Let several models attempt the same tasks; the logs are what learn reads."""
    from memcollab.bench.collect import collect as run
    from memcollab.cli import show

    with show.progress(quiet=as_json) as tick:
        report = run(
            tasks,
            agent,
            log_dir,
            sandbox=sandbox,
            turns=turns,
            max_tokens=max_tokens,
            parallel=parallel,
            limit=limit,
            seed=seed,
            progress=tick and (lambda done: tick(done.model, done.done, done.total)),
        )
    experiment.tell(report, f"memcollab learn {log_dir} --writer MODEL", as_json=as_json)
