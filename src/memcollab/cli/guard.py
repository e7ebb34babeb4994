"""``memcollab bank``: what keeps it from being poisoned, and what undoes it.

Every command that changes the bank takes ``--dry-run``, which tells what would be.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memcollab.cli import options

if TYPE_CHECKING:
    from memcollab.bank import Bank, Trust

key = typer.Typer(help="Keys that sign exports.", no_args_is_help=True)

_Reason = Annotated[str | None, typer.Option(help="Why; the log keeps it.")]
_By = Annotated[str | None, typer.Option(help="Who decides.", show_default="the user's name")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change; change nothing.")]
_Source = Annotated[str, typer.Argument(help="Name of a source, as bank sources lists it.")]
_Point = "the name of a snapshot, a number of the log, a time, or now"


def register(app: typer.Typer) -> None:
    """Add these commands to ``memcollab bank``."""
    for command in (
        quarantine,
        approve,
        edit,
        sources,
        trust,
        distrust,
        retract,
        snapshot,
        rollback,
        diff,
        log,
    ):
        app.command()(command)
    app.add_typer(key, name="key")


# ---- trust


def quarantine(bank: options.BankPath = None, as_json: options.Json = False) -> None:
    """List the constraints that wait, who stands behind each, and why it waits."""
    from memcollab.cli import guard_show

    with _bank(bank) as opened:
        guard_show.waiting(opened.quarantine(needed=_needed()), as_json=as_json)


def approve(
    constraint_id: Annotated[str, typer.Argument(help="Id of a constraint, or its beginning.")],
    reason: Annotated[str, typer.Option(help="Why; the log keeps it.")],
    bank: options.BankPath = None,
    by: _By = None,
    as_json: options.Json = False,
) -> None:
    """Let a quarantined constraint be recalled, whoever it came from."""
    from memcollab.cli import show

    with _bank(bank, write=True) as opened:
        found = opened.approve(constraint_id, actor=options.actor(by), reason=reason)
    show.constraints([found], as_json=as_json)


def edit(
    constraint_id: Annotated[str, typer.Argument(help="Id of a constraint, or its beginning.")],
    when: Annotated[str | None, typer.Option(help="When it applies, in other words.")] = None,
    enforce: Annotated[str | None, typer.Option(help="What to do, in other words.")] = None,
    avoid: Annotated[str | None, typer.Option(help="What to avoid, in other words.")] = None,
    bank: options.BankPath = None,
    reason: _Reason = None,
    by: _By = None,
    as_json: options.Json = False,
) -> None:
    """Say a constraint in other words. The old one is retired and kept; its runs stand behind the
    new one."""
    from memcollab import settings
    from memcollab.cli import show

    with settings.load(bank=bank).collab(create=False) as memory:
        words = {"when": when, "enforce": enforce, "avoid": avoid}
        found = memory.edit(constraint_id, **words, actor=options.actor(by), reason=reason)
    show.constraints([found], as_json=as_json)


def sources(bank: options.BankPath = None, as_json: options.Json = False) -> None:
    """List who brought anything, and how far each is trusted."""
    from memcollab.cli import show

    with _bank(bank) as opened:
        show.value(opened.sources(), as_json=as_json)


def trust(
    source: _Source,
    bank: options.BankPath = None,
    reason: _Reason = None,
    by: _By = None,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Believe a source; what waited for it is released, what was retracted with it comes back."""
    _set_trust(source, "trusted", bank, reason, by, dry_run, as_json)


def distrust(
    source: _Source,
    bank: options.BankPath = None,
    reason: _Reason = None,
    by: _By = None,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Believe a source no more: what only it supports is quarantined."""
    _set_trust(source, "untrusted", bank, reason, by, dry_run, as_json)


def retract(
    trajectory: Annotated[
        list[str] | None, typer.Option(help="Id of a run, or its beginning; may be repeated.")
    ] = None,
    contrast: Annotated[
        list[str] | None, typer.Option(help="Id of a contrast, or its beginning; may be repeated.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Everything that only this source brought.")
    ] = (None),
    restore: Annotated[
        bool, typer.Option("--restore", help="Take a retraction of runs or contrasts back.")
    ] = False,
    bank: options.BankPath = None,
    reason: _Reason = None,
    by: _By = None,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Undo what was learned from a run, a contrast or a source, and learn nothing from it again."""
    from memcollab.cli import guard_show
    from memcollab.errors import UsageError

    ids = [*(trajectory or ()), *(contrast or ())]
    if bool(ids) == bool(source) or (source and restore):
        raise UsageError(
            "give what to retract: either --trajectory or --contrast, which --restore takes back, "
            "or --source, which memcollab bank trust takes back. "
            "Next: memcollab bank show ID names the runs behind a constraint"
        )
    if source:
        _set_trust(source, "retracted", bank, reason, by, dry_run, as_json)
        return
    with _bank(bank, write=True) as opened:
        done = opened.retract(
            *ids,
            actor=options.actor(by),
            reason=reason,
            restore=restore,
            needed=_needed(),
            dry_run=dry_run,
        )
    guard_show.decided(done, dry_run=dry_run, as_json=as_json)


# ---- going back


def snapshot(
    name: Annotated[str | None, typer.Argument(help="Its name.", show_default="the time")] = None,
    bank: options.BankPath = None,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Give the present state a name to come back to."""
    from memcollab.cli import show

    with _bank(bank, write=True) as opened:
        show.value(opened.snapshot(name, dry_run=dry_run), as_json=as_json)


def rollback(
    to: Annotated[str, typer.Option(help=f"Where to: {_Point}.")],
    bank: options.BankPath = None,
    reason: _Reason = None,
    by: _By = None,
    dry_run: _DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Make the state as of a point the present one. It is logged, loses nothing, and can be rolled
    back."""
    from memcollab.cli import guard_show

    with _bank(bank, write=True) as opened:
        done = opened.rollback(to, actor=options.actor(by), reason=reason, dry_run=dry_run)
    guard_show.rolled_back(done, dry_run=dry_run, as_json=as_json)


def diff(
    first: Annotated[str, typer.Argument(help=f"One point: {_Point}.")],
    second: Annotated[str, typer.Argument(help="The other point.")] = "now",
    bank: options.BankPath = None,
    as_json: options.Json = False,
) -> None:
    """List the constraints whose state differs between two points."""
    from memcollab.cli import guard_show

    with _bank(bank) as opened:
        guard_show.differences(opened.diff(first, second), as_json=as_json)


def log(
    constraint_id: Annotated[str | None, typer.Argument(help="Only this constraint's.")] = None,
    bank: options.BankPath = None,
    since: Annotated[int, typer.Option(min=0, help="Only after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="The last so many.")] = 50,
    as_json: options.Json = False,
) -> None:
    """Print the change log, the decisions on sources and runs, and the snapshots."""
    from memcollab.cli import guard_show

    with _bank(bank) as opened:
        changes = opened.history(constraint_id, since=since)[-limit:]
        made = opened.decisions()[-limit:] if constraint_id is None else []
        guard_show.log(changes, made, opened.snapshots(), as_json=as_json)


# ---- keys


@key.command()
def new(
    file: Annotated[Path, typer.Argument(help="File for the private key; it must not exist.")],
    as_json: options.Json = False,
) -> None:
    """Make a key to sign exports with; FILE.pub holds the half to hand out."""
    from memcollab.bank import signing
    from memcollab.cli import show

    show.value({"public_key": signing.new_key(file), "private_key": file}, as_json=as_json)


# ---- what they share


def _set_trust(
    source: str,
    value: Trust,
    bank: str | None,
    reason: str | None,
    by: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    from memcollab.cli import guard_show

    with _bank(bank, write=True) as opened:
        done = opened.set_trust(
            source, value, actor=options.actor(by), reason=reason, needed=_needed(), dry_run=dry_run
        )
    guard_show.decided(done, dry_run=dry_run, as_json=as_json)


def _bank(path: str | None, *, write: bool = False) -> Bank:
    from memcollab import settings
    from memcollab.bank import Bank

    chosen = settings.load(bank=path)
    if chosen.bank.startswith(("http://", "https://")):
        return chosen.collab().bank
    return Bank.open(chosen.bank, create=False, read_only=not write)


def _needed() -> int:
    from memcollab import settings
    from memcollab.recipe import recipe

    return recipe(settings.load().recipe).independent_sources
