"""``memcollab bank``: look into the bank, move it, check it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from memcollab.cli import guard, options

if TYPE_CHECKING:
    from memcollab.bank import Bank

app = typer.Typer(help="Look into the bank, move it, check it.", no_args_is_help=True)


@app.command("list")
def list_(
    bank: options.BankPath = None,
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only active, quarantined or retired ones.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Only those that hold this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: options.Json = False,
) -> None:
    """List constraints, best supported first."""
    from memcollab import settings
    from memcollab.cli import show
    from memcollab.taxonomy import Taxonomy

    chosen = settings.load(bank=bank)
    label = Taxonomy.load(chosen.taxonomy).resolve(category) if category else None
    with _bank(bank) as opened:
        found = opened.constraints(category=label, status=status, text=text, limit=limit)
        show.constraints(found, as_json=as_json)


@app.command("show")
def show_(
    constraint_id: Annotated[str, typer.Argument(help="Id of a constraint, or its beginning.")],
    bank: options.BankPath = None,
    as_json: options.Json = False,
) -> None:
    """Show one constraint: words, support, evidence, history, and the runs it came from."""
    from memcollab.cli import show
    from memcollab.collab.proof import effects

    with _bank(bank) as opened:
        found = effects(opened, constraint_id)
        show.constraint(opened, constraint_id, found, as_json=as_json)


@app.command()
def stats(bank: options.BankPath = None, as_json: options.Json = False) -> None:
    """Count what the bank holds, and what was refused and why."""
    from memcollab.cli import show

    with _bank(bank) as opened:
        show.stats(opened, as_json=as_json)


@app.command()
def export(
    file: Annotated[str, typer.Argument(help="JSONL file to write; - is standard output.")] = "-",
    bank: options.BankPath = None,
    runs: Annotated[bool, typer.Option(help="With the messages of the runs.")] = True,
    sign: Annotated[
        Path | None, typer.Option(help="Sign it with this private key (memcollab bank key new).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write the bank as JSONL: the same knowledge gives the same bytes."""
    from memcollab.cli import show

    with _bank(bank) as opened:
        if file == "-":
            opened.export(sys.stdout.buffer, runs=runs, sign=sign)
            return
        with _opened(Path(file), "wb") as stream:
            show.value(opened.export(stream, runs=runs, sign=sign), as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSONL file that export wrote.")],
    bank: options.BankPath = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="Believe what this public key signed (text or file); may be repeated."),
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="I trust this file: quarantine nothing of it.")
    ] = False,
    source: Annotated[
        str | None, typer.Option(help="Who it comes from.", show_default="the signer, or the file")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Add what an export holds: its words are screened, its ids derived again, misfits counted.
    What no trusted source stands behind is quarantined."""
    from memcollab import settings
    from memcollab.cli import show

    with settings.load(bank=bank).collab() as memory, _opened(file, "rb") as stream:
        found = memory.import_(
            stream, trust_keys=trust or (), trusted=trusted, source=source, origin=file.name
        )
        show.imported(found, as_json=as_json)


@app.command()
def verify(bank: options.BankPath = None, as_json: options.Json = False) -> None:
    """Re-derive every content id and every count; exit 4 when something does not match."""
    from memcollab.cli import show
    from memcollab.errors import BankCorrupt

    with _bank(bank) as opened:
        found = opened.verify()
    show.verification(found, as_json=as_json)
    if not found.ok:
        raise BankCorrupt(
            f"{len(found.problems)} stored things do not match what they claim to be. "
            "Next: import an export made before into a new bank"
        )


@app.command()
def reindex(bank: options.BankPath = None, as_json: options.Json = False) -> None:
    """Drop every derived vector and index and make them anew from the text."""
    from memcollab import settings
    from memcollab.cli import show

    with settings.load(bank=bank).collab(create=False) as memory:
        show.value(memory.reindex(), as_json=as_json)


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="Path or URL of a bank.")],
    target: Annotated[str, typer.Argument(help="Path or URL of a place without one.")],
    as_json: options.Json = False,
) -> None:
    """Copy a bank whole, from a file to PostgreSQL or back: all of it, verified, or nothing."""
    from memcollab.bank import Bank
    from memcollab.cli import show

    with Bank.open(source, create=False, read_only=True) as given, Bank.open(target) as made:
        show.value(given.copy_to(made), as_json=as_json)


guard.register(app)


def _bank(path: str | None) -> Bank:
    from memcollab import settings
    from memcollab.bank import Bank

    chosen = settings.load(bank=path)
    if chosen.bank.startswith(("http://", "https://")):
        return chosen.collab().bank
    return Bank.open(chosen.bank, create=False, read_only=True)


def _opened(path: Path, mode: str) -> IO[bytes]:
    from memcollab.errors import UsageError

    try:
        return cast("IO[bytes]", path.open(mode))
    except OSError as error:
        raise UsageError(
            f"cannot open {str(path)!r}: {error.strerror}. Next: give another file"
        ) from error
