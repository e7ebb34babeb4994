"""What is in a bank, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from memcollab.bank import open_runs
from memcollab.bank.schema import (
    ANSWERS,
    CONFLICTS,
    CONSTRAINTS,
    CONTRASTS,
    DRAFTS,
    OUTCOMES,
    RECALLS,
    TASKS,
    TRAJECTORIES,
)
from memcollab.records import Usage

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Stats:
    """Counts of what a bank holds. Maps go from a value (as text, "-" for none) to how many.

    ``open_runs`` await their outcome and are not among ``trajectories``. ``by_support`` counts
    constraints by the number of tasks behind them. ``spent`` is what the stored answers of writers
    cost. ``bytes_on_disk`` includes what is not yet folded into the file.
    """

    tasks: int
    labelled_tasks: int
    trajectories: int
    open_runs: int
    by_verdict: Counts
    by_family: Counts
    contrasts: Counts
    answers_by_writer: Counts
    answers_by_tier: Counts
    drafts: int
    refused: Counts
    pending: int
    constraints: int
    by_category: Counts
    by_status: Counts
    by_scope: Counts
    by_harness: Counts
    by_support: Counts
    conflicts: int
    recalls: int
    outcomes: Counts
    spent: Usage
    sequence: int
    bytes_on_disk: int


def stats(connection: sa.Connection, *, sequence: int, bytes_on_disk: int) -> Stats:
    """Count everything in one snapshot."""

    def total(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
        statement = sa.select(sa.func.count()).select_from(table).where(*conditions)
        return connection.execute(statement).scalar_one()

    def by(column: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> Counts:
        statement = sa.select(column, sa.func.count()).where(*conditions).group_by(column)
        found = connection.execute(statement.order_by(column))
        return {_label(column, value): number for value, number in found}

    table = CONSTRAINTS.c
    return Stats(
        tasks=total(TASKS),
        labelled_tasks=total(TASKS, TASKS.c.category.is_not(None)),
        trajectories=total(TRAJECTORIES),
        open_runs=open_runs.count(connection),
        by_verdict=by(TRAJECTORIES.c.solved),
        by_family=by(TRAJECTORIES.c.family),
        contrasts=by(CONTRASTS.c.kind),
        answers_by_writer=by(ANSWERS.c.writer),
        answers_by_tier=by(ANSWERS.c.tier),
        drafts=total(DRAFTS),
        refused=by(DRAFTS.c.refused, DRAFTS.c.refused.is_not(None)),
        pending=total(DRAFTS, DRAFTS.c.refused.is_(None), DRAFTS.c.constraint_id.is_(None)),
        constraints=total(CONSTRAINTS),
        by_category=_by_category(connection),
        by_status=by(table.status),
        by_scope=by(table.scope),
        by_harness=by(table.harness),
        by_support=by(table.support_tasks),
        conflicts=total(CONFLICTS),
        recalls=total(RECALLS),
        outcomes=by(OUTCOMES.c.solved),
        spent=_spent(connection),
        sequence=sequence,
        bytes_on_disk=bytes_on_disk,
    )


_VERDICTS = {None: "unjudged", True: "solved", False: "not solved"}


def _label(column: sa.ColumnElement[Any], value: Any) -> str:
    if isinstance(column.type, sa.Boolean):
        return _VERDICTS[value]
    return "-" if value is None else str(value)


def _by_category(connection: sa.Connection) -> Counts:
    columns = (CONSTRAINTS.c.category, CONSTRAINTS.c.subcategory)
    statement = sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)
    found = connection.execute(statement)
    return {f"{name}/{sub}" if sub else name: number for name, sub, number in found}


def _spent(connection: sa.Connection) -> Usage:
    columns = [sa.func.sum(ANSWERS.c[name]).label(name) for name in Usage.model_fields]
    return Usage(**connection.execute(sa.select(*columns)).mappings().one())
