"""Constraints: the present state, every change that led to it, and where each came from.

Support is never counted up: it is derived again from the drafts, contrasts and runs behind a
constraint whenever one of them is added (``settle``), so it cannot drift.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from memcollab.bank import trust
from memcollab.bank.cursor import Place
from memcollab.bank.lookup import batches, known, select_in
from memcollab.bank.rows import Stored, canonical_text, constraint_from, constraint_row, reads
from memcollab.bank.schema import (
    CHANGES,
    CONFLICTS,
    CONSTRAINTS,
    CONTRASTS,
    COUNTERS,
    DRAFTS,
    EVIDENCE,
    OUTCOMES_COUNTED,
    PLACEMENTS,
    TRAJECTORIES,
)
from memcollab.errors import UsageError
from memcollab.records import Category, Constraint, Status, Support


@dataclass(frozen=True)
class Change:
    """One row of the change log: who did what to which constraint, and its state on both sides
    (``before is None``: it was new). ``at`` is ISO 8601 in UTC. ``decided``: the status after it
    was set on purpose, not by the rule of ``trust``."""

    sequence: int
    constraint_id: str
    actor: str
    action: str
    reason: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    at: str
    decided: bool = False


class IndexRow(NamedTuple):
    """A constraint and the ids of the tasks that it was learned from, sorted."""

    constraint: Constraint
    task_ids: tuple[str, ...]


class IndexRows(NamedTuple):
    """Rows for the index of recall, and the sequence number that they are as of."""

    sequence: int
    rows: list[IndexRow]


def state(constraint: Constraint) -> str:
    """The JSON of a constraint as the change log holds it."""
    return canonical_text({"id": constraint.id, **constraint.model_dump(mode="json")})


# ---- reading


def all_constraints(
    connection: sa.Connection, ids: Collection[str] | None = None
) -> Iterator[Constraint]:
    """Constraints by id."""
    for row in select_in(connection, sa.select(CONSTRAINTS), CONSTRAINTS.c.id, ids):
        yield constraint_from(row)


# What both databases make of lower(): SQLite always, PostgreSQL in the collation "C".
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True)
class Filter:
    """Which constraints; None = any. Letter case is set aside for ASCII letters in ``text``: that
    much every database does alike. ``support``: from at least so many tasks. ``agent``: a model
    whose runs are behind it, or for whose tasks it was found and an outcome is known."""

    status: str | None = None
    category: Category | None = None
    scope: str | None = None
    harness: str | None = None
    text: str | None = None
    support: int | None = None
    agent: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The filter as SQL."""
        table = CONSTRAINTS.c
        wanted = {
            table.status: self.status,
            table.scope: self.scope,
            table.harness: self.harness,
            table.category: self.category.name if self.category else None,
            table.subcategory: self.category.subcategory if self.category else None,
        }
        found = [column == value for column, value in wanted.items() if value is not None]
        if self.text is not None:
            words = sa.func.lower(table.when + " " + table.enforce + " " + table.avoid)
            found.append(words.contains(self.text.translate(_LOWER), autoescape=True))
        if self.support is not None:
            found.append(table.support_tasks >= self.support)
        if self.agent is not None:
            found.append(
                sa.or_(table.id.in_(_taught_by(self.agent)), table.id.in_(_met(self.agent)))
            )
        return found


def _taught_by(model: str) -> sa.Select[Any]:
    """Ids of the constraints that runs of ``model`` are behind, on either side."""
    runs = sa.select(TRAJECTORIES.c.id).where(TRAJECTORIES.c.model == model)
    either = sa.or_(CONTRASTS.c.preferred.in_(runs), CONTRASTS.c.other.in_(runs))
    return (
        sa.select(DRAFTS.c.constraint_id)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .where(DRAFTS.c.counted, either)
    )


def _met(model: str) -> sa.Select[Any]:
    """Ids of the constraints that outcomes of ``model`` speak of."""
    return sa.select(EVIDENCE.c.subject).where(
        EVIDENCE.c.kind == "constraint", EVIDENCE.c.agent == model
    )


def constraints(
    connection: sa.Connection,
    wanted: Filter,
    limit: int | None,
    offset: int,
    after: Place | None = None,
) -> list[Constraint]:
    """One page, best supported first."""
    table = CONSTRAINTS.c
    statement = (
        sa.select(CONSTRAINTS)
        .where(*wanted.conditions(), *_behind(after))
        .order_by(table.support_tasks.desc(), table.support_contrasts.desc(), table.id)
        .limit(limit)
        .offset(offset)
    )
    return [constraint_from(row) for row in connection.execute(statement).mappings()]


def _behind(after: Place | None) -> list[sa.ColumnElement[bool]]:
    """What stands behind a place in the order of ``constraints``."""
    if after is None:
        return []
    table = CONSTRAINTS.c
    tasks, contrasts, id = after
    less = sa.or_(
        table.support_contrasts < contrasts,
        sa.and_(table.support_contrasts == contrasts, table.id > id),
    )
    return [sa.or_(table.support_tasks < tasks, sa.and_(table.support_tasks == tasks, less))]


def conflicts(connection: sa.Connection, constraint_id: str | None) -> list[tuple[str, str]]:
    """Pairs of constraint ids that contradict each other: all, or those of one constraint."""
    statement = sa.select(CONFLICTS.c.first, CONFLICTS.c.second)
    if constraint_id is not None:
        either = sa.or_(CONFLICTS.c.first == constraint_id, CONFLICTS.c.second == constraint_id)
        statement = statement.where(either)
    statement = statement.order_by(CONFLICTS.c.first, CONFLICTS.c.second)
    return list(connection.execute(statement))


SEQUENCE = sa.select(sa.func.coalesce(sa.func.max(CHANGES.c.sequence), 0))
# One question for both, for it is on the path of every recall.
VERSIONS = sa.select(
    SEQUENCE.scalar_subquery(),
    sa.func.coalesce(
        sa.select(COUNTERS.c.value).where(COUNTERS.c.name == OUTCOMES_COUNTED).scalar_subquery(), 0
    ),
)


class Versions(NamedTuple):
    """What a reader refreshes by: the number of the last change of any constraint, and how often
    an outcome was recorded."""

    sequence: int
    outcomes: int


def sequence(connection: sa.Connection) -> int:
    """The number of the last change."""
    return int(connection.execute(SEQUENCE).scalar_one())


def index_rows(connection: sa.Connection, since: int) -> IndexRows:
    """Constraints that changed after ``since``, with their source tasks."""
    sources = (
        sa.select(DRAFTS.c.constraint_id, CONTRASTS.c.task_id)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .where(DRAFTS.c.counted)
    )
    wanted = sa.select(CONSTRAINTS)
    if since > 0:
        changed = sa.select(CHANGES.c.constraint_id).where(CHANGES.c.sequence > since)
        sources = sources.where(DRAFTS.c.constraint_id.in_(changed))
        wanted = wanted.where(CONSTRAINTS.c.id.in_(changed))
    tasks: defaultdict[str, set[str]] = defaultdict(set)
    for constraint_id, task_id in connection.execute(sources):
        tasks[constraint_id].add(task_id)
    rows = [
        IndexRow(constraint_from(row), tuple(sorted(tasks.get(row["id"], ()))))
        for row in connection.execute(wanted.order_by(CONSTRAINTS.c.id)).mappings()
    ]
    return IndexRows(sequence(connection), rows)


def history(
    connection: sa.Connection,
    constraint_id: str | None,
    since: int,
    actor: str | None = None,
    limit: int | None = None,
) -> list[Change]:
    """The change log after ``since``: of one constraint or all, by one actor or all, the first
    ``limit`` of it."""
    statement = sa.select(CHANGES).where(CHANGES.c.sequence > since).order_by(CHANGES.c.sequence)
    if actor is not None:
        statement = statement.where(CHANGES.c.actor == actor)
    if constraint_id is not None:
        statement = statement.where(CHANGES.c.constraint_id == constraint_id)
    statement = statement.limit(limit)
    return [change_from(row) for row in connection.execute(statement).mappings()]


def last_changes(connection: sa.Connection, since: int, limit: int) -> list[Change]:
    """The last ``limit`` entries of the change log after ``since``, in order."""
    last = sa.select(CHANGES).where(CHANGES.c.sequence > since)
    rows = connection.execute(last.order_by(CHANGES.c.sequence.desc()).limit(limit)).mappings()
    return [change_from(row) for row in rows][::-1]


@reads
def change_from(row: Stored) -> Change:
    return Change(
        sequence=row["sequence"],
        constraint_id=row["constraint_id"],
        actor=row["actor"],
        action=row["action"],
        reason=row["reason"],
        before=None if row["before"] is None else orjson.loads(row["before"]),
        after=orjson.loads(row["after"]),
        at=row["at"],
        decided=row["decided"],
    )


# ---- writing


def new_constraints(connection: sa.Connection, constraints: Iterable[Constraint]) -> set[str]:
    """Insert those that are not there, with no support yet; their ids. ``settle`` must follow."""
    fresh = {constraint.id: constraint for constraint in constraints}
    for held in known(connection, CONSTRAINTS.c.id, fresh):
        del fresh[held]
    if fresh:
        bare = [
            constraint_row(constraint.model_copy(update={"support": Support()}))
            for _, constraint in sorted(fresh.items())
        ]
        connection.execute(CONSTRAINTS.insert(), bare)
    return set(fresh)


def settle(
    connection: sa.Connection,
    touched: Collection[str],
    founded: Collection[str],
    *,
    actor: str,
    action: str,
    at: str,
    needed: int,
    moved: Mapping[str, bool] | None = None,
    reason: str | None = None,
    founding: str | None = None,
) -> set[str]:
    """Derive support and standing of ``touched`` again and log what changed; ids of what did.

    Every one of ``founded`` is logged as new with ``action`` and, as it is not active from the
    start, the reason ``founding``; the others as "supported", or by what
    became of their status. ``moved`` are drafts that begin or cease to count. A status that was
    set on purpose stays, unless nothing is left behind the constraint. ``needed`` is the number of
    independent sources that the rule of ``trust`` asks for.
    """
    placed = {**_newly_placed(connection, touched), **(moved or {})}
    _count(connection, placed)
    support = supports(connection, touched)
    standings = trust.standings(connection, touched, needed)
    decided = decided_ids(connection, touched)
    steps: list[Step] = []
    for before in all_constraints(connection, touched):
        standing = standings[before.id]
        after = before.model_copy(update={"support": support.get(before.id, Support())})
        if before.id in founded:
            fixed = before.status != "active"
            if not fixed:
                after = after.model_copy(update={"status": standing.status})
            why = (
                standing.why if after.status == "quarantined" and not fixed else founding or reason
            )
            steps.append(Step(None, after, action, why, fixed))
            continue
        fixed = before.id in decided and standing.status != "retired"
        if not fixed and standing.status != before.status:
            after = after.model_copy(update={"status": standing.status})
            why = f"{reason}: {standing.why}" if reason else standing.why
            steps.append(Step(before, after, _MOVES[standing.status], why))
        elif after.support != before.support:
            steps.append(Step(before, after, "supported", reason, before.id in decided))
    write(connection, steps, actor=actor, at=at, placed=placed)
    return {step.after.id for step in steps}


# How the log calls what the rule of ``trust`` does to a status.
_MOVES: dict[Status, str] = {
    "active": "released",
    "quarantined": "distrusted",
    "retired": "unsupported",
}


def _newly_placed(connection: sa.Connection, touched: Collection[str]) -> dict[str, bool]:
    """Drafts that have joined one of these constraints just now, and whether each counts."""
    statement = drafts_and_runs().add_columns(trust.retracted_draft().label("retracted"))
    statement = statement.where(DRAFTS.c.counted.is_(None))
    rows = select_in(connection, statement, DRAFTS.c.constraint_id, touched)
    return {row["id"]: not row["retracted"] for row in rows}


_COUNT = DRAFTS.update().where(DRAFTS.c.id == sa.bindparam("key"))


def _count(connection: sa.Connection, placed: Mapping[str, bool]) -> None:
    if placed:
        rows = [{"key": draft, "counted": counts} for draft, counts in sorted(placed.items())]
        connection.execute(_COUNT, rows)


def decided_ids(connection: sa.Connection, ids: Collection[str]) -> set[str]:
    """Those of the constraints whose present status was set on purpose."""
    last = sa.select(sa.func.max(CHANGES.c.sequence)).group_by(CHANGES.c.constraint_id)
    found: set[str] = set()
    for batch in batches(sorted(set(ids))):
        latest = last.where(CHANGES.c.constraint_id.in_(batch))
        statement = sa.select(CHANGES.c.constraint_id).where(
            CHANGES.c.sequence.in_(latest), CHANGES.c.decided
        )
        found.update(connection.execute(statement).scalars())
    return found


def set_status(
    connection: sa.Connection,
    constraint_id: str,
    status: Status,
    *,
    actor: str,
    reason: str | None,
    at: str,
    action: str | None = None,
) -> Constraint:
    """Change the status of one constraint on purpose; nothing is logged where it had it already."""
    (before,) = all_constraints(connection, [constraint_id])
    after = before.model_copy(update={"status": status})
    if status != before.status:
        steps = [Step(before, after, action or status, reason, decided=True)]
        write(connection, steps, actor=actor, at=at)
    return after


def note(
    connection: sa.Connection,
    constraint: Constraint,
    action: str,
    *,
    actor: str,
    reason: str,
    at: str,
    undecided: bool = False,
) -> None:
    """Log what happened to a constraint without a change of its state. With ``undecided`` its
    status is from now on the rule's of ``trust`` again, whoever set it on purpose."""
    decided = not undecided and constraint.id in decided_ids(connection, [constraint.id])
    steps = [Step(constraint, constraint, action, reason, decided)]
    write(connection, steps, actor=actor, at=at)


def retire(
    connection: sa.Connection, reasons: Mapping[str, str], *, actor: str, at: str
) -> list[str]:
    """Retire what is active and was never retired by ``actor`` before: what somebody has put back
    stays. Ids of what was retired."""
    before = sa.select(CHANGES.c.constraint_id).where(
        CHANGES.c.actor == actor, CHANGES.c.action == "retired"
    )
    done = set(connection.execute(before).scalars())
    wanted = [one for one in all_constraints(connection, reasons) if one.status == "active"]
    retired = [one.id for one in wanted if one.id not in done]
    for constraint_id in retired:
        reason = reasons[constraint_id]
        set_status(connection, constraint_id, "retired", actor=actor, reason=reason, at=at)
    return retired


def check_status(status: str) -> None:
    """Raise ``UsageError`` if that is no status."""
    valid = ("active", "quarantined", "retired")
    if status not in valid:
        raise UsageError(f"there is no status {status!r}. Valid: {', '.join(valid)}")


class Step(NamedTuple):
    """One constraint's way from a state (None: it was not there) to the next; ``decided``: the
    status that it has now was set on purpose, not by the rule of ``trust``."""

    before: Constraint | None
    after: Constraint
    action: str
    reason: str | None = None
    decided: bool = False


_BY_ID = CONSTRAINTS.update().where(CONSTRAINTS.c.id == sa.bindparam("key"))


def write(
    connection: sa.Connection,
    steps: Sequence[Step],
    *,
    actor: str,
    at: str,
    placed: Mapping[str, bool] | None = None,
) -> None:
    """Make the new states the present ones, and append every step to the change log, and to the
    log of placements the drafts that begin (``placed``: True) or cease to count."""
    start = sequence(connection)
    if steps:
        rows = [{"key": step.after.id, **constraint_row(step.after)} for step in steps]
        connection.execute(_BY_ID, rows)
        connection.execute(CHANGES.insert(), [_entry(step, actor, at) for step in steps])
    if placed:
        _log_placements(connection, placed, start)


def _entry(step: Step, actor: str, at: str) -> dict[str, Any]:
    return {
        "constraint_id": step.after.id,
        "actor": actor,
        "action": step.action,
        "reason": step.reason,
        "before": state(step.before) if step.before else None,
        "after": state(step.after),
        "at": at,
        "decided": step.decided,
    }


def _log_placements(connection: sa.Connection, placed: Mapping[str, bool], start: int) -> None:
    """A placement belongs to the change that its constraint went through with it. Where it changed
    nothing, the support is the same with and without it, and any later number will do."""
    statement = sa.select(CHANGES.c.constraint_id, CHANGES.c.sequence)
    found = connection.execute(statement.where(CHANGES.c.sequence > start))
    by_constraint = dict(found.all())
    end = sequence(connection)
    where = sa.select(DRAFTS.c.id, DRAFTS.c.constraint_id)
    rows = [
        {
            "draft_id": row["id"],
            "counted": placed[row["id"]],
            "sequence": by_constraint.get(row["constraint_id"], end),
        }
        for row in select_in(connection, where, DRAFTS.c.id, placed)
    ]
    connection.execute(PLACEMENTS.insert(), rows)


_RIGHT, _WRONG = TRAJECTORIES.alias("right_run"), TRAJECTORIES.alias("wrong_run")


def drafts_and_runs() -> sa.Select[Any]:
    """Drafts with the task of their contrast (``task_id``) and the families of its two runs
    (``family_right``, ``family_wrong``)."""
    return (
        sa.select(
            DRAFTS,
            CONTRASTS.c.task_id,
            _RIGHT.c.family.label("family_right"),
            _WRONG.c.family.label("family_wrong"),
        )
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .join(_RIGHT, _RIGHT.c.id == CONTRASTS.c.preferred)
        .join(_WRONG, _WRONG.c.id == CONTRASTS.c.other)
    )


def supports(connection: sa.Connection, ids: Collection[str] | None = None) -> dict[str, Support]:
    """The support of constraints as their drafts, contrasts and runs give it; without any, none."""
    statement = drafts_and_runs().where(DRAFTS.c.counted)
    behind: defaultdict[str, list[Stored]] = defaultdict(list)
    for row in select_in(connection, statement, DRAFTS.c.constraint_id, ids):
        behind[row["constraint_id"]].append(row)
    return {constraint_id: _support(rows) for constraint_id, rows in behind.items()}


def _support(rows: Sequence[Stored]) -> Support:
    return Support(
        tasks=len({row["task_id"] for row in rows}),
        contrasts=len({row["contrast_id"] for row in rows}),
        families_right=tuple(sorted({row["family_right"] for row in rows})),
        families_wrong=tuple(sorted({row["family_wrong"] for row in rows})),
    )
