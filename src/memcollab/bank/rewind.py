"""Snapshots, the difference of two points, and going back to one.

A point is a number of the change log together with a time: a snapshot's, that of a change, or the
last change before a time. Going back is a change like any other: it is appended to the log, removes
nothing, and can itself be gone back on.

What a rollback to a point does, in one transaction:

* every constraint that was there has the words, status and support that it had;
* one that was not is retired, its support none;
* drafts count as they counted then;
* runs, drafts and imported constraints that were first brought after the point are retracted, so
  that learning again does not bring them back; retractions made after it are lifted.

Trust in sources is a setting, not memory: it stays as it is, but for retracted sources. Runs are
told apart by the clock of the machine that stored them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from memcollab.bank import memory
from memcollab.bank.decisions import Who, note, note_trust
from memcollab.bank.lookup import select_in
from memcollab.bank.rows import reads
from memcollab.bank.schema import (
    BROUGHT,
    CHANGES,
    DECISIONS,
    DRAFTS,
    META,
    PLACEMENTS,
    RETRACTED,
    SNAPSHOTS,
    SOURCES,
)
from memcollab.bank.trust import Trust
from memcollab.errors import NotFound, UsageError
from memcollab.records import Constraint, Support

NOW = "now"
# The first number that can be gone back to: a bank of schema 1 did not log which drafts counted.
EARLIEST = "rollback_from"


class Point(NamedTuple):
    """As of change ``sequence`` and of ``at`` (ISO 8601 in UTC)."""

    sequence: int
    at: str


@dataclass(frozen=True)
class Snapshot:
    """A point with a name."""

    name: str
    sequence: int
    at: str


@dataclass(frozen=True)
class Difference:
    """A constraint whose state differs between two points; None where it was not there."""

    constraint_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did: ids of constraints ``restored`` to their state at the point and of those
    ``retired`` because they came after it; drafts that count otherwise; what was brought after the
    point and is ``set_aside``; retractions that were ``lifted``. ``sequence``: the log's end
    before, to go back on the rollback."""

    to: Point
    sequence: int
    restored: tuple[str, ...]
    retired: tuple[str, ...]
    drafts: int
    set_aside: int
    lifted: int


# ---- points


def snapshot(connection: sa.Connection, name: str | None, at: str) -> Snapshot:
    """Give the present a name.

    Raises:
        UsageError: the name is taken, or could be read as a number or a time.
    """
    taken = name or f"snapshot-{at[:26].replace(':', '').replace('.', '-')}"
    _check_name(taken)
    made = Snapshot(taken, memory.sequence(connection), at)
    held = sa.select(SNAPSHOTS.c.name).where(SNAPSHOTS.c.name == taken)
    if connection.execute(held).first() is not None:
        raise UsageError(
            f"there is a snapshot {taken!r} already; one is never moved. "
            "Next: memcollab bank log lists them; give another name"
        )
    connection.execute(SNAPSHOTS.insert(), vars(made))
    return made


def _check_name(name: str) -> None:
    if not name.isprintable() or not 0 < len(name.strip()) <= 256 or name == NOW or name.isdigit():
        valid = False
    else:
        valid = _time(name) is None
    if not valid:
        raise UsageError(
            f"{name!r} cannot name a snapshot. Valid: printable text that is no number, no time "
            f"and not {NOW!r}. Next: memcollab bank snapshot before-import"
        )


def snapshots(connection: sa.Connection) -> list[Snapshot]:
    """Snapshots, oldest first."""
    rows = connection.execute(sa.select(SNAPSHOTS).order_by(SNAPSHOTS.c.at)).mappings()
    return [Snapshot(**row) for row in rows]


def point(connection: sa.Connection, wanted: str) -> Point:
    """What a NAME, a SEQUENCE or a TIME stands for; a time without an offset is local.

    Raises:
        NotFound: no snapshot has that name, or the log is shorter.
    """
    statement = sa.select(SNAPSHOTS.c.sequence, SNAPSHOTS.c.at).where(SNAPSHOTS.c.name == wanted)
    if (held := connection.execute(statement).first()) is not None:
        return Point(held.sequence, held.at)
    end = memory.sequence(connection)
    if wanted == NOW:
        return Point(end, _utc(datetime.now(UTC)))
    if wanted.isascii() and wanted.isdigit() and int(wanted) <= end:
        return Point(int(wanted), _time_of(connection, int(wanted)))
    if (moment := _time(wanted)) is not None:
        at = _utc(moment)
        last = sa.select(sa.func.coalesce(sa.func.max(CHANGES.c.sequence), 0))
        found = connection.execute(last.where(CHANGES.c.at <= at)).scalar_one()
        return Point(int(found), at)
    raise NotFound(
        f"{wanted!r} is no point of this bank. Valid: the name of a snapshot, a number from 0 to "
        f"{end}, a time such as 2026-01-31T09:00, or {NOW!r}. Next: memcollab bank log"
    )


def _time_of(connection: sa.Connection, sequence: int) -> str:
    statement = sa.select(CHANGES.c.at).where(CHANGES.c.sequence == sequence)
    found: str | None = connection.execute(statement).scalar()
    return found or ""


def _time(text: str) -> datetime | None:
    if "-" not in text:
        return None
    try:
        # Some times at the ends of the calendar have none in UTC.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


# ---- states


class _Held(NamedTuple):
    state: str
    decided: bool


def _states(connection: sa.Connection, sequence: int) -> dict[str, _Held]:
    """The state of every constraint as of a number of the log."""
    last = sa.select(sa.func.max(CHANGES.c.sequence)).where(CHANGES.c.sequence <= sequence)
    statement = sa.select(CHANGES).where(
        CHANGES.c.sequence.in_(last.group_by(CHANGES.c.constraint_id))
    )
    return {
        row["constraint_id"]: _Held(row["after"], row["decided"])
        for row in connection.execute(statement).mappings()
    }


def diff(connection: sa.Connection, first: str, second: str) -> list[Difference]:
    """Constraints whose state differs between two points, by id."""
    one = _states(connection, point(connection, first).sequence)
    two = _states(connection, point(connection, second).sequence)

    def read(held: _Held | None) -> Mapping[str, Any] | None:
        return orjson.loads(held.state) if held else None

    return [
        Difference(id, read(one.get(id)), read(two.get(id)))
        for id in sorted({*one, *two})
        if (one[id].state if id in one else None) != (two[id].state if id in two else None)
    ]


# ---- going back


def rollback(connection: sa.Connection, to: str, who: Who) -> RolledBack:
    """Make the state as of ``to`` the present one.

    Raises:
        NotFound: there is no such point.
        UsageError: the log before that point does not say which drafts counted.
    """
    goal, end = point(connection, to), memory.sequence(connection)
    _check_reach(connection, goal)
    reason = f"to {to}" + (f" ({who.reason})" if who.reason else "")
    who = Who(who.actor, reason, who.at, who.needed)
    placed = _placements(connection, goal)
    steps = list(_steps(connection, goal, reason))
    late = _late(connection, goal)
    lifted = _lift(connection, goal, late, who)
    set_aside = late - _retracted(connection)
    note(connection, sorted(set_aside), "retracted", who)
    if placed:
        rows = [{"key": draft, "counted": counts} for draft, counts in placed.items()]
        statement = DRAFTS.update().where(DRAFTS.c.id == sa.bindparam("key"))
        connection.execute(statement, rows)
    memory.write(connection, steps, actor=who.actor, at=who.at, placed=placed)
    there = _states(connection, goal.sequence)
    changed = [step.after.id for step in steps]
    return RolledBack(
        to=goal,
        sequence=end,
        restored=tuple(id for id in changed if id in there),
        retired=tuple(id for id in changed if id not in there),
        drafts=len(placed),
        set_aside=len(set_aside),
        lifted=lifted,
    )


def _check_reach(connection: sa.Connection, goal: Point) -> None:
    statement = sa.select(META.c.value).where(META.c.name == EARLIEST)
    earliest = int(connection.execute(statement).scalar() or 0)
    if goal.sequence < earliest:
        raise UsageError(
            f"this bank cannot go back to change {goal.sequence}: until change {earliest} it was "
            "of an older schema, whose log does not say which drafts counted. "
            f"Valid: {earliest} and later. Next: memcollab bank log"
        )


def _steps(connection: sa.Connection, goal: Point, reason: str) -> Iterable[memory.Step]:
    """The way of every constraint that changed since back to what it was."""
    then, now = _states(connection, goal.sequence), _states(connection, memory.sequence(connection))
    moved = {id for id, held in now.items() if held != then.get(id)}
    for before in memory.all_constraints(connection, moved):
        held = then.get(before.id)
        if held is None:
            gone = {"status": "retired", "support": Support()}
            after, decided = before.model_copy(update=gone), False
        else:
            after, decided = _constraint(held.state), held.decided
        if (after, decided) != (before, now[before.id].decided):
            yield memory.Step(before, after, "rolled back", reason, decided)


@reads
def _constraint(state: str) -> Constraint:
    return Constraint.model_validate(
        {name: value for name, value in orjson.loads(state).items() if name != "id"}
    )


def _placements(connection: sa.Connection, goal: Point) -> dict[str, bool]:
    """Drafts that have to begin or cease to count, so that those count that did at ``goal``."""
    last = sa.select(sa.func.max(PLACEMENTS.c.number)).group_by(PLACEMENTS.c.draft_id)
    then = sa.select(PLACEMENTS.c.draft_id, PLACEMENTS.c.counted).where(
        PLACEMENTS.c.number.in_(last.where(PLACEMENTS.c.sequence <= goal.sequence))
    )
    counted = {row.draft_id for row in connection.execute(then) if row.counted}
    since = sa.select(PLACEMENTS.c.draft_id).where(PLACEMENTS.c.sequence > goal.sequence)
    moved = set(connection.execute(since).scalars())
    present = sa.select(DRAFTS.c.id, DRAFTS.c.counted)
    return {
        row["id"]: row["id"] in counted
        for row in select_in(connection, present, DRAFTS.c.id, moved)
        if row["counted"] != (row["id"] in counted)
    }


def _retracted(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(RETRACTED.c.id)).scalars())


def _late(connection: sa.Connection, goal: Point) -> set[str]:
    """What nobody had brought at ``goal``."""
    first = sa.select(BROUGHT.c.record_id).group_by(BROUGHT.c.record_id)
    statement = first.having(sa.func.min(BROUGHT.c.at) > goal.at)
    return set(connection.execute(statement).scalars())


def _lift(connection: sa.Connection, goal: Point, late: Collection[str], who: Who) -> int:
    """Retract what was retracted at ``goal`` and is not now, and the other way round, but for what
    came ``late``; how many."""
    since = sa.select(DECISIONS.c.target).where(DECISIONS.c.at > goal.at)
    targets = set(connection.execute(since).scalars())
    last = sa.select(sa.func.max(DECISIONS.c.number)).where(DECISIONS.c.at <= goal.at)
    statement = sa.select(DECISIONS.c.target, DECISIONS.c.value).where(
        DECISIONS.c.number.in_(last.group_by(DECISIONS.c.target))
    )
    then: dict[str, Any] = {row.target: row.value for row in connection.execute(statement)}
    sources: dict[str, Trust] = dict(connection.execute(sa.select(SOURCES)).all())
    retracted = _retracted(connection)
    lifted = 0
    for target in sorted(targets & {*sources}):
        value: Trust = then.get(target, sources[target])
        if value != sources[target] and "retracted" in (value, sources[target]):
            note_trust(connection, target, value, who)
            lifted += 1
    ids = targets - {*sources, *late}
    was = {target for target in ids if then.get(target) == "retracted"}
    note(connection, sorted(ids & retracted - was), "restored", who)
    note(connection, sorted(was - retracted), "retracted", who)
    return lifted + len(ids & retracted - was) + len(was - retracted)
