"""What an operator decides about sources, runs and contrasts: trust, retract, restore.

What was retracted stays stored and teaches nothing: its drafts count no longer, constraints that
are left without support are retired, learning makes no contrast of it, and an export leaves it out.
Every decision is a row of an append-only log, and every constraint that it changes a row of the
change log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from memcollab.bank import memory, trust
from memcollab.bank.lookup import add_rows, batches, known, resolve, select_in
from memcollab.bank.schema import (
    BROUGHT,
    CONSTRAINTS,
    CONTRASTS,
    DECISIONS,
    DRAFTS,
    RETRACTED,
    SOURCES,
    TRAJECTORIES,
)
from memcollab.bank.trust import Trust
from memcollab.errors import NotFound, UsageError
from memcollab.records import Constraint

Value = Literal["trusted", "untrusted", "retracted", "restored"]


@dataclass(frozen=True)
class Decision:
    """One row of the log of decisions; ``target`` is the name of a source or the id of a run, a
    contrast, or what a rollback set aside. ``at`` is ISO 8601 in UTC."""

    number: int
    target: str
    value: str
    actor: str
    reason: str | None
    at: str


@dataclass(frozen=True)
class Decided:
    """What a decision did: drafts that ceased or began to count, and constraints by what became of
    them (ids)."""

    target: str
    value: str
    drafts: int = 0
    retired: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    support_changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Who:
    """Who decides, why and when (ISO 8601 in UTC), and how many independent sources the rule of
    ``trust`` asks for."""

    actor: str
    reason: str | None
    at: str
    needed: int


def decisions(
    connection: sa.Connection,
    target: str | None = None,
    since: int = 0,
    limit: int | None = None,
) -> list[Decision]:
    """The log of decisions in order after ``since``: whole, or about one target, the first
    ``limit`` of it."""
    statement = sa.select(DECISIONS).where(DECISIONS.c.number > since).order_by(DECISIONS.c.number)
    if target is not None:
        statement = statement.where(DECISIONS.c.target == target)
    statement = statement.limit(limit)
    return [Decision(**row) for row in connection.execute(statement).mappings()]


def last_decisions(connection: sa.Connection, limit: int) -> list[Decision]:
    """The last ``limit`` decisions, in order."""
    last = sa.select(DECISIONS).order_by(DECISIONS.c.number.desc()).limit(limit)
    return [Decision(**row) for row in connection.execute(last).mappings()][::-1]


def note(connection: sa.Connection, targets: Iterable[str], value: Value, who: Who) -> None:
    """Make it so, and log it. A source is told from an id by the table that knows it."""
    for batch in batches(targets):
        if value == "retracted":
            add_rows(connection, RETRACTED, [{"id": target} for target in batch])
        else:
            connection.execute(RETRACTED.delete().where(RETRACTED.c.id.in_(batch)))
        _log(connection, batch, value, who)


def note_trust(connection: sa.Connection, source: str, value: Trust, who: Who) -> None:
    """Set the trust of a source, and log it."""
    add_rows(connection, SOURCES, [{"name": source, "trust": value}])
    connection.execute(SOURCES.update().where(SOURCES.c.name == source).values(trust=value))
    _log(connection, [source], value, who)


def _log(connection: sa.Connection, targets: Iterable[str], value: str, who: Who) -> None:
    said = {"value": value, "actor": who.actor, "reason": who.reason, "at": who.at}
    connection.execute(DECISIONS.insert(), [{"target": target, **said} for target in targets])


# ---- sources


def sources(connection: sa.Connection) -> dict[str, str]:
    """Whoever brought anything, by name, and how far each is trusted."""
    statement = sa.select(SOURCES).where(SOURCES.c.name != trust.OWN_WRITER)
    return dict(connection.execute(statement.order_by(SOURCES.c.name)).all())


def set_trust(connection: sa.Connection, source: str, value: Trust, who: Who) -> Decided:
    """Trust a source, distrust it, or retract all that only it brought.

    Raises:
        NotFound: nothing came from a source of that name.
    """
    before = trust.trust_of(connection, source)
    if before is None:
        listed = ", ".join(connection.execute(sa.select(SOURCES.c.name).limit(5)).scalars())
        raise NotFound(
            f"the bank knows no source {source!r}. Valid: {listed or 'none yet'}. "
            "Next: memcollab bank sources"
        )
    if source == trust.OWN_WRITER:
        raise UsageError(
            f"{source!r} marks what this bank wrote itself; it cannot be {value}. "
            "Next: memcollab bank rollback undoes a time, bank retract --trajectory a run"
        )
    affected = _drafts_of_source(connection, source)
    direct = known(connection, CONSTRAINTS.c.id, _records_of(connection, source))
    note_trust(connection, source, value, who)
    if "retracted" in (before, value) and before != value:
        _note_alone(connection, source, value, who)
    restoring = before == "retracted" != value
    return _settle(connection, source, value, affected, direct, who, restoring=restoring)


def _note_alone(connection: sa.Connection, source: str, value: Trust, who: Who) -> None:
    """Retract one by one what only this source brought, so that it does not come back by another's
    hands; or restore what was retracted so."""
    mark = Who(who.actor, f"brought by {source}", who.at, who.needed)
    ids = _records_of(connection, source)
    if value == "retracted":
        origins = trust.sources_of(connection, ids)
        alone = [one for one in ids if set(origins[one].values()) == {"retracted"}]
        note(connection, sorted(alone), "retracted", mark)
        return
    last = sa.select(sa.func.max(DECISIONS.c.number)).group_by(DECISIONS.c.target)
    statement = sa.select(DECISIONS.c.target).where(
        DECISIONS.c.number.in_(last),
        DECISIONS.c.value == "retracted",
        DECISIONS.c.reason == mark.reason,
    )
    retracted = set(connection.execute(statement).scalars())
    note(connection, sorted(retracted & set(ids)), "restored", mark)


def _records_of(connection: sa.Connection, source: str) -> list[str]:
    statement = sa.select(BROUGHT.c.record_id).where(BROUGHT.c.source == source)
    return list(connection.execute(statement).scalars())


def _drafts_of_source(connection: sa.Connection, source: str) -> set[str]:
    def by(record: sa.ColumnElement[str]) -> sa.Exists:
        return sa.exists().where(BROUGHT.c.record_id == record, BROUGHT.c.source == source)

    origins = (DRAFTS.c.id, CONTRASTS.c.preferred, CONTRASTS.c.other)
    return _drafts_where(connection, sa.or_(*map(by, origins)))


# ---- runs and contrasts


def retract(connection: sa.Connection, ids: Iterable[str], value: Value, who: Who) -> Decided:
    """Retract or restore runs and contrasts, by full or abbreviated id.

    Raises:
        NotFound, UsageError: no run or contrast, or several, begin so.
    """
    targets = sorted({_target(connection, one) for one in ids})
    concerned = sa.or_(
        CONTRASTS.c.id.in_(targets),
        CONTRASTS.c.preferred.in_(targets),
        CONTRASTS.c.other.in_(targets),
    )
    affected = _drafts_where(connection, concerned)
    note(connection, targets, value, who)
    restoring = value == "restored"
    named = ", ".join(targets)
    return _settle(connection, named, value, affected, (), who, restoring=restoring)


def _target(connection: sa.Connection, wanted: str) -> str:
    if wanted.startswith("contrast"):
        return resolve(connection, CONTRASTS.c.id, wanted, "contrast")
    return resolve(connection, TRAJECTORIES.c.id, wanted, "trajectory")


def _drafts_where(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> set[str]:
    """Drafts in a constraint for whose contrast or origin the condition holds."""
    statement = (
        sa.select(DRAFTS.c.id)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .where(DRAFTS.c.constraint_id.is_not(None), condition)
    )
    return set(connection.execute(statement).scalars())


# ---- what follows


def _settle(
    connection: sa.Connection,
    target: str,
    value: Value,
    affected: Collection[str],
    direct: Collection[str],
    who: Who,
    *,
    restoring: bool,
) -> Decided:
    """Count the affected drafts again, and let what they support follow."""
    moved, touched = _moved(connection, affected, restoring=restoring)
    touched |= set(direct)
    before = {one.id: one for one in memory.all_constraints(connection, touched)}
    verb = {"restored": "restored", "retracted": "retracted"}.get(value, f"now {value}")
    reason = f"{target} {verb}" + (f" ({who.reason})" if who.reason else "")
    memory.settle(
        connection,
        touched,
        (),
        actor=who.actor,
        action="decided",
        at=who.at,
        needed=who.needed,
        moved=moved,
        reason=reason,
    )
    after = list(memory.all_constraints(connection, touched))
    return _report(target, value, len(moved), before, after)


def _moved(
    connection: sa.Connection, affected: Collection[str], *, restoring: bool
) -> tuple[dict[str, bool], set[str]]:
    """Drafts whose counting changes, and the constraints of all of them."""
    statement = memory.drafts_and_runs().add_columns(trust.retracted_draft().label("retracted"))
    moved: dict[str, bool] = {}
    touched: set[str] = set()
    for row in select_in(connection, statement, DRAFTS.c.id, affected):
        touched.add(row["constraint_id"])
        if row["retracted"] and row["counted"]:
            moved[row["id"]] = False
        elif restoring and not row["retracted"] and not row["counted"]:
            moved[row["id"]] = True
    return moved, touched


def _report(
    target: str,
    value: str,
    drafts: int,
    before: Mapping[str, Constraint],
    after: Iterable[Constraint],
) -> Decided:
    moves: dict[str, list[str]] = {"active": [], "quarantined": [], "retired": [], "support": []}
    for one in after:
        if one.status != before[one.id].status:
            moves[one.status].append(one.id)
        elif one.support != before[one.id].support:
            moves["support"].append(one.id)
    return Decided(
        target=target,
        value=value,
        drafts=drafts,
        retired=tuple(moves["retired"]),
        quarantined=tuple(moves["quarantined"]),
        active=tuple(moves["active"]),
        support_changed=tuple(moves["support"]),
    )
