"""From a constraint back to the runs that it came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from memcollab.bank import runs
from memcollab.bank.learning import Screened, screened_from
from memcollab.bank.lookup import select_in
from memcollab.bank.rows import contrast_from, summary_from
from memcollab.bank.schema import CONTRASTS, DRAFTS, TRAJECTORIES
from memcollab.records import Constraint, Contrast, RunSummary, Task


@dataclass(frozen=True)
class Source:
    """One draft behind a constraint: the contrast it was written about, the task, and the two
    runs (``preferred`` and ``other``, without their steps)."""

    screened: Screened
    contrast: Contrast
    task: Task
    preferred: RunSummary
    other: RunSummary


@dataclass(frozen=True)
class Provenance:
    """A constraint and every draft that it stands for, by draft id."""

    constraint: Constraint
    sources: tuple[Source, ...]


def provenance(connection: sa.Connection, constraint: Constraint) -> Provenance:
    """Everything behind ``constraint``."""
    statement = sa.select(DRAFTS).where(DRAFTS.c.constraint_id == constraint.id)
    drafts = [
        screened_from(row) for row in connection.execute(statement.order_by(DRAFTS.c.id)).mappings()
    ]
    wanted = {entry.draft.contrast_id for entry in drafts}
    contrasts = {
        row["id"]: contrast_from(row)
        for row in select_in(connection, sa.select(CONTRASTS), CONTRASTS.c.id, wanted)
    }
    tasks = {contrast.task_id for contrast in contrasts.values()}
    texts = {task.id: task for task in runs.tasks(connection, tasks, labelled=False)}
    heads = _heads(connection, contrasts.values())
    sources = []
    for entry in drafts:
        contrast = contrasts[entry.draft.contrast_id]
        preferred, other = heads[contrast.preferred], heads[contrast.other]
        sources.append(Source(entry, contrast, texts[contrast.task_id], preferred, other))
    return Provenance(constraint, tuple(sources))


def _heads(connection: sa.Connection, contrasts: Iterable[Contrast]) -> dict[str, RunSummary]:
    wanted = {run for contrast in contrasts for run in (contrast.preferred, contrast.other)}
    rows = select_in(connection, sa.select(TRAJECTORIES), TRAJECTORIES.c.id, wanted)
    return {row["id"]: summary_from(row, {}) for row in rows}
