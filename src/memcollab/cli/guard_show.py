"""How quarantine, retractions, rollbacks and the log look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memcollab.bank import Change, Decided, Decision, Difference, RolledBack, Snapshot, Waiting
from memcollab.cli.show import console, emit, facts
from memcollab.records import Constraint


def waiting(found: Sequence[Waiting], *, as_json: bool) -> None:
    if as_json:
        emit({"waiting": [{"id": one.constraint.id, **vars(one)} for one in found]})
        return
    for one in found:
        console.print(f"{one.constraint.id[:10]}  {one.why}", style="bold", markup=False)
        console.print(f"  {one.constraint.text}", markup=False)
        named = ", ".join(f"{name} ({trust})" for name, trust in one.sources.items())
        console.print(f"  from {named or 'nobody'}", style="dim", markup=False)
    if not found:
        console.print("nothing waits")
    else:
        console.print("Next: memcollab bank approve ID --reason WHY", markup=False)


def decided(done: Decided, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        emit({**vars(done), "dry_run": dry_run})
        return
    facts(
        f"{done.target}: {'would be ' if dry_run else ''}{done.value}",
        [
            ("drafts that count otherwise", done.drafts),
            ("constraints retired", done.retired),
            ("quarantined", done.quarantined),
            ("active again", done.active),
            ("other support", done.support_changed),
        ],
    )


def rolled_back(done: RolledBack, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        emit({**vars(done), "to": done.to._asdict(), "dry_run": dry_run})
        return
    facts(
        f"{'Would go' if dry_run else 'Went'} back to change {done.to.sequence}",
        [
            ("constraints as they were", len(done.restored)),
            ("retired, as they came later", len(done.retired)),
            ("drafts that count otherwise", done.drafts),
            ("set aside, as it came later", done.set_aside),
            ("retractions that are lifted", done.lifted),
        ],
    )
    if not dry_run:
        console.print(
            f"Next, if that was wrong: memcollab bank rollback --to {done.sequence}", markup=False
        )


def differences(found: Sequence[Difference], *, as_json: bool) -> None:
    if as_json:
        emit({"differences": found})
        return
    for one in found:
        console.print(one.constraint_id, style="bold", markup=False)
        console.print(f"  - {_state(one.before)}", style="red", markup=False)
        console.print(f"  + {_state(one.after)}", style="green", markup=False)
    if not found:
        console.print("no constraint differs")


def _state(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "not there"
    found = Constraint.model_validate({k: v for k, v in state.items() if k != "id"})
    return f"{found.status}, {found.support.tasks} tasks: {found.text}"


def log(
    changes: Sequence[Change],
    decisions: Sequence[Decision],
    snapshots: Sequence[Snapshot],
    *,
    as_json: bool,
) -> None:
    if as_json:
        emit({"changes": changes, "decisions": decisions, "snapshots": snapshots})
        return
    entries = [(one.at, _change(one)) for one in changes]
    entries += [(one.at, _decision(one)) for one in decisions]
    entries += [(one.at, f"{one.sequence:6d}  snapshot {one.name}") for one in snapshots]
    for at, words in sorted(entries):
        console.print(f"{at[:19]:19}  {words}", markup=False, soft_wrap=True)
    if not entries:
        console.print("nothing is logged")


def _change(one: Change) -> str:
    why = f" ({one.reason})" if one.reason else ""
    status = one.after["status"]
    return f"{one.sequence:6d}  {one.constraint_id[:10]} {one.action}, {status}: {one.actor}{why}"


def _decision(one: Decision) -> str:
    why = f" ({one.reason})" if one.reason else ""
    return f"        {one.target} {one.value}: {one.actor}{why}"
