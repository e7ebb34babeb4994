"""Is the bank still what it was? Every content id is derived again, every count, every reference.

Caches are not looked at: nothing is lost with them (``Bank.reindex``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from memcollab.bank import evidence, memory, runs
from memcollab.bank.learning import draft_from
from memcollab.bank.lookup import stream
from memcollab.bank.rows import Stored, constraint_from, contrast_from, task_from
from memcollab.bank.schema import (
    BROUGHT,
    CHANGES,
    CONSTRAINTS,
    CONTRASTS,
    DECISIONS,
    DRAFTS,
    METADATA,
    OUTCOMES,
    PLACEMENTS,
    RECALLS,
    RETRACTED,
    SOURCES,
    TASKS,
    TRAJECTORIES,
)
from memcollab.bank.serving import observations, outcome_from, recall_from
from memcollab.errors import BankCorrupt
from memcollab.evidence import Evidence
from memcollab.records import Support


@dataclass(frozen=True)
class Problem:
    """What does not hold: where, and what differs."""

    table: str
    id: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.id}: {self.what}"


@dataclass
class Verification:
    """``checked`` rows by table. ``light``: runs that are here without their steps (a light share),
    whose ids can therefore not be derived again; no problem, but less than proof."""

    problems: list[Problem] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    light: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems


Rederive = Callable[[Stored], str | None]
Check = Callable[[sa.Connection, Verification], Iterator[Problem]]


def verify(connection: sa.Connection, damage: Callable[[sa.Connection], list[str]]) -> Verification:
    """Check the whole bank in one snapshot; ``damage``: what the database itself finds wrong."""

    def look(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
        return (Problem("file", "-", what) for what in damage(connection))

    report = Verification()
    for name, check in (("file", look), *_CHECKS):
        try:
            # A savepoint, for in PostgreSQL an error ends a transaction without one.
            with connection.begin_nested():
                report.problems.extend(check(connection, report))
        except (sa.exc.DatabaseError, BankCorrupt) as error:
            # A damaged page or record ends this check, not the others.
            report.problems.append(Problem(name, "-", f"cannot be read: {error}"))
    return report


def _content(table: sa.Table, statement: sa.Select[Any], rederive: Rederive) -> Check:
    """The check of a table's ids. ``rederive`` gives the id that the content of a row has, or None
    where the content is not here."""
    key = next(iter(table.primary_key)).name

    def check(connection: sa.Connection, report: Verification) -> Iterator[Problem]:
        for row in stream(connection, statement):
            report.checked[table.name] += 1
            try:
                derived = rederive(row)
            except BankCorrupt as error:
                yield Problem(table.name, row[key], str(error))
                continue
            report.light += derived is None
            if derived not in (None, row[key]):
                yield Problem(table.name, row[key], f"its content has the id {derived}")

    return check


def _run_id(row: Stored) -> str | None:
    return None if row["content"] is None else runs.run_from(row).id


def _references(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """Rows that refer to what is not there."""
    for table in METADATA.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            target = key.column.table.alias()
            missing = (
                sa.select(next(iter(table.primary_key)), key.parent)
                .outerjoin(target, target.c[key.column.name] == key.parent)
                .where(key.parent.is_not(None), target.c[key.column.name].is_(None))
            )
            for owner, absent in connection.execute(missing):
                what = f"its {key.parent.name} {absent!r} is not in {key.column.table.name}"
                yield Problem(table.name, str(owner), what)


def _pairs(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """Contrasts of runs of another task than they say."""
    first, second = TRAJECTORIES.alias(), TRAJECTORIES.alias()
    statement = (
        sa.select(CONTRASTS.c.id)
        .join(first, first.c.id == CONTRASTS.c.preferred)
        .join(second, second.c.id == CONTRASTS.c.other)
        .where(
            sa.or_(first.c.task_id != CONTRASTS.c.task_id, second.c.task_id != CONTRASTS.c.task_id)
        )
    )
    for contrast_id in connection.execute(statement).scalars():
        yield Problem("contrasts", contrast_id, "its runs are not of its task")


def _support(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """Constraints whose stored support is not what stands behind them."""
    derived = memory.supports(connection)
    for constraint in memory.all_constraints(connection):
        expected = derived.get(constraint.id, Support())
        if constraint.support != expected:
            what = f"its support is stored as {constraint.support!r}, but is {expected!r}"
            yield Problem("constraints", constraint.id, what)


def _change_log(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """The log must lead, without a gap, from nothing to the state of every constraint."""
    last: dict[str, str] = {}
    statement = sa.select(CHANGES).order_by(CHANGES.c.sequence)
    for row in stream(connection, statement):
        if row["before"] != last.get(row["constraint_id"]):
            what = f"change {row['sequence']} does not begin where the one before it ended"
            yield Problem("changes", row["constraint_id"], what)
        last[row["constraint_id"]] = row["after"]
    for constraint in memory.all_constraints(connection):
        if memory.state(constraint) != last.get(constraint.id):
            what = "its present state is not the one that the change log ends in"
            yield Problem("constraints", constraint.id, what)


def _evidence(connection: sa.Connection, report: Verification) -> Iterator[Problem]:
    """The counts must be those that recalls and outcomes give."""
    stored = {row[:-1]: row.tally for row in evidence.load(connection).rows()}
    derived = {row[:-1]: row.tally for row in Evidence.of(observations(connection)).rows()}
    report.checked["evidence"] += len(stored)
    for place in sorted(stored.keys() | derived.keys()):
        if stored.get(place) != derived.get(place):
            what = f"is stored as {stored.get(place)!r}, but recalls and outcomes give "
            yield Problem("evidence", " × ".join(map(str, place)), f"{what}{derived.get(place)!r}")


def _placements(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """Whether a draft counts must be what its log ends in."""
    last = sa.select(sa.func.max(PLACEMENTS.c.number)).group_by(PLACEMENTS.c.draft_id)
    statement = sa.select(PLACEMENTS.c.draft_id, PLACEMENTS.c.counted)
    logged = dict(connection.execute(statement.where(PLACEMENTS.c.number.in_(last))).all())
    for draft in connection.execute(sa.select(DRAFTS.c.id, DRAFTS.c.counted)):
        if draft.counted != logged.get(draft.id):
            what = f"counts as {draft.counted!r}, but its log ends in {logged.get(draft.id)!r}"
            yield Problem("drafts", draft.id, what)


def _decisions(connection: sa.Connection, _report: Verification) -> Iterator[Problem]:
    """Trust and retractions must be what their log ends in, and every run has a source."""
    last = sa.select(sa.func.max(DECISIONS.c.number)).group_by(DECISIONS.c.target)
    statement = sa.select(DECISIONS.c.target, DECISIONS.c.value)
    logged = dict(connection.execute(statement.where(DECISIONS.c.number.in_(last))).all())
    present: dict[str, str] = dict(connection.execute(sa.select(SOURCES)).all())
    present |= dict.fromkeys(connection.execute(sa.select(RETRACTED.c.id)).scalars(), "retracted")
    for target in sorted({*logged, *present}):
        if present.get(target, "restored") != logged.get(target):
            what = f"is {present.get(target)!r}, but its log ends in {logged.get(target)!r}"
            yield Problem("decisions", target, what)
    held = sa.exists().where(BROUGHT.c.record_id == TRAJECTORIES.c.id)
    for run in connection.execute(sa.select(TRAJECTORIES.c.id).where(~held)).scalars():
        yield Problem("trajectories", run, "nobody is known to have brought it")


_CHECKS: tuple[tuple[str, Check], ...] = (
    ("tasks", _content(TASKS, sa.select(TASKS), lambda row: task_from(row).id)),
    ("trajectories", _content(TRAJECTORIES, runs.whole_runs(), _run_id)),
    ("contrasts", _content(CONTRASTS, sa.select(CONTRASTS), lambda row: contrast_from(row).id)),
    ("drafts", _content(DRAFTS, sa.select(DRAFTS), lambda row: draft_from(row).id)),
    (
        "constraints",
        _content(CONSTRAINTS, sa.select(CONSTRAINTS), lambda row: constraint_from(row).id),
    ),
    (
        "recalls",
        _content(RECALLS, sa.select(RECALLS), lambda row: recall_from(row["content"]).id),
    ),
    (
        "outcomes",
        _content(
            OUTCOMES,
            sa.select(OUTCOMES),
            lambda row: outcome_from(row["content"]).recall_id,
        ),
    ),
    ("references", _references),
    ("contrasts", _pairs),
    ("constraints", _support),
    ("changes", _change_log),
    ("evidence", _evidence),
    ("drafts", _placements),
    ("decisions", _decisions),
)
