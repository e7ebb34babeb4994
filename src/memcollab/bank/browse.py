"""What somebody who leafs through a bank asks: how much of what there is, one page of it, and whose
runs taught whom. Every question is a few indexed or grouped queries, and none loads the bank."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from memcollab.bank import runs
from memcollab.bank.cursor import RefusedPlace
from memcollab.bank.learning import Screened, screened_from
from memcollab.bank.lookup import one, select_in
from memcollab.bank.memory import Filter
from memcollab.bank.rows import contrast_from, summary_from
from memcollab.bank.schema import CONSTRAINTS, CONTRASTS, DRAFTS, EVIDENCE, TRAJECTORIES
from memcollab.records import Contrast, RunSummary, Task

_PREFERRED, _OTHER = TRAJECTORIES.alias("preferred_run"), TRAJECTORIES.alias("other_run")


@dataclass(frozen=True)
class Paired:
    """A contrast with its task, the heads of its two runs, and the ids of the constraints that were
    drawn from it."""

    contrast: Contrast
    task: Task
    preferred: RunSummary
    other: RunSummary
    constraints: tuple[str, ...]


@dataclass(frozen=True)
class Taught:
    """How many constraints stand on runs of ``preferred`` that were set against runs of ``other``;
    both are models."""

    preferred: str
    other: str
    constraints: int


@dataclass(frozen=True)
class Refused:
    """A refused draft with its id."""

    id: str
    screened: Screened

    @property
    def place(self) -> RefusedPlace:
        """Where it stands, as ``after`` of ``Bank.refused`` takes it."""
        refusal = self.screened.refusal
        return ("" if refusal is None else refusal.reason), self.id


def count(connection: sa.Connection, wanted: Filter) -> int:
    """How many constraints pass a filter."""
    statement = sa.select(sa.func.count()).select_from(CONSTRAINTS).where(*wanted.conditions())
    return int(connection.execute(statement).scalar_one())


def agents(connection: sa.Connection) -> tuple[str, ...]:
    """Models whose runs or whose outcomes are here, by name."""
    found = connection.execute(
        sa.union(sa.select(TRAJECTORIES.c.model), sa.select(EVIDENCE.c.agent))
    )
    return tuple(sorted(found.scalars()))


def paired(
    connection: sa.Connection,
    *,
    kind: str | None = None,
    learned: bool = False,
    after: str | None = None,
    limit: int,
) -> list[Paired]:
    """Contrasts by id behind ``after``; ``learned``: those that a constraint was drawn from."""
    statement = sa.select(CONTRASTS).order_by(CONTRASTS.c.id).limit(limit)
    if kind is not None:
        statement = statement.where(CONTRASTS.c.kind == kind)
    if learned:
        drawn = sa.exists().where(
            DRAFTS.c.contrast_id == CONTRASTS.c.id, DRAFTS.c.constraint_id.is_not(None)
        )
        statement = statement.where(drawn)
    if after is not None:
        statement = statement.where(CONTRASTS.c.id > after)
    found = [contrast_from(row) for row in connection.execute(statement).mappings()]
    return _with_runs(connection, found)


def one_paired(connection: sa.Connection, wanted: str) -> Paired:
    """The contrast of that id; errors as of ``lookup.one``."""
    (found,) = _with_runs(
        connection, [contrast_from(one(connection, CONTRASTS, wanted, "contrast"))]
    )
    return found


def _with_runs(connection: sa.Connection, contrasts: list[Contrast]) -> list[Paired]:
    tasks = {
        task.id: task
        for task in runs.tasks(connection, {each.task_id for each in contrasts}, labelled=False)
    }
    ids = {run for each in contrasts for run in (each.preferred, each.other)}
    rows = select_in(connection, sa.select(TRAJECTORIES), TRAJECTORIES.c.id, ids)
    heads = {row["id"]: summary_from(row, {}) for row in rows}
    drawn = _drawn(connection, [each.id for each in contrasts])
    return [
        Paired(
            each,
            tasks[each.task_id],
            heads[each.preferred],
            heads[each.other],
            drawn.get(each.id, ()),
        )
        for each in contrasts
    ]


def _drawn(connection: sa.Connection, contrast_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    statement = sa.select(DRAFTS.c.contrast_id, DRAFTS.c.constraint_id).where(
        DRAFTS.c.constraint_id.is_not(None)
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in select_in(connection, statement, DRAFTS.c.contrast_id, contrast_ids):
        found[row["contrast_id"]].add(row["constraint_id"])
    return {contrast: tuple(sorted(ids)) for contrast, ids in found.items()}


def refused(
    connection: sa.Connection,
    *,
    reason: str | None = None,
    after: RefusedPlace | None = None,
    limit: int,
) -> list[Refused]:
    """Refused drafts by reason and id, behind ``after`` (reason, id)."""
    place = (DRAFTS.c.refused, DRAFTS.c.id)
    statement = sa.select(DRAFTS).where(DRAFTS.c.refused.is_not(None))
    if reason is not None:
        statement = statement.where(DRAFTS.c.refused == reason)
    if after is not None:
        statement = statement.where(sa.tuple_(*place) > after)
    rows = connection.execute(statement.order_by(*place).limit(limit)).mappings()
    return [Refused(row["id"], screened_from(row)) for row in rows]


def taught(connection: sa.Connection) -> list[Taught]:
    """Whose runs were set against whose, and how many constraints came of it; retracted drafts
    count for nothing. Most first."""
    constraints = sa.func.count(sa.distinct(DRAFTS.c.constraint_id))
    statement = (
        sa.select(_PREFERRED.c.model, _OTHER.c.model, constraints)
        .select_from(DRAFTS)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .join(_PREFERRED, _PREFERRED.c.id == CONTRASTS.c.preferred)
        .join(_OTHER, _OTHER.c.id == CONTRASTS.c.other)
        .where(DRAFTS.c.counted)
        .group_by(_PREFERRED.c.model, _OTHER.c.model)
    )
    found = [Taught(*row) for row in connection.execute(statement)]
    return sorted(found, key=lambda each: (-each.constraints, each.preferred, each.other))


def teachers(connection: sa.Connection) -> Mapping[str, frozenset[str]]:
    """Of the constraints that outcomes speak of: the models whose preferred runs they came from."""
    met = sa.select(EVIDENCE.c.subject).where(EVIDENCE.c.kind == "constraint")
    statement = (
        sa.select(DRAFTS.c.constraint_id, _PREFERRED.c.model)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .join(_PREFERRED, _PREFERRED.c.id == CONTRASTS.c.preferred)
        .where(DRAFTS.c.counted, DRAFTS.c.constraint_id.in_(met))
        .distinct()
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for constraint, model in connection.execute(statement):
        found[constraint].add(model)
    return {constraint: frozenset(models) for constraint, models in found.items()}
