"""Tasks and trajectories: stored once, in any order, never changed.

Two things may be added to what is there, never replaced: a category to a task that came without
one, and the steps to a run that came without them (by a light share).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from memcollab.bank import trust
from memcollab.bank.lookup import add_rows, known, one, resolve, select_in
from memcollab.bank.rows import (
    SUMMARY_COLUMNS,
    Row,
    Stored,
    pack_steps,
    summary_from,
    task_from,
    task_row,
    trajectory_from,
    trajectory_row,
)
from memcollab.bank.schema import STEPS, TASKS, TRAJECTORIES
from memcollab.bank.upserts import insert_new
from memcollab.errors import BankCorrupt, NotFound
from memcollab.records import Agent, RunSummary, Task, Trajectory


class Added(NamedTuple):
    """How many records were new, and how many the bank held already."""

    new: int
    known: int

    def plus(self, other: Added) -> Added:
        """Both counts together."""
        return Added(self.new + other.new, self.known + other.known)


class PackedRuns(NamedTuple):
    """Runs as rows, made before the write lock is taken: compressing is the slow part."""

    tasks: list[Row]
    heads: list[Row]
    steps: list[Row]


def pack(runs: Sequence[Trajectory], held: Collection[str]) -> PackedRuns:
    """Rows for those runs that are not among ``held`` ids, and for the tasks of all of them: a
    known run may bring the category that its task came without."""
    fresh = [run for run in runs if run.id not in held]
    return PackedRuns(
        tasks=[task_row(task) for task in {run.task.id: run.task for run in runs}.values()],
        heads=[trajectory_row(run) for run in fresh],
        steps=[{"trajectory_id": run.id, "content": pack_steps(run.steps)} for run in fresh],
    )


def complete_ids(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of ``ids`` that are stored with their steps."""
    return known(connection, STEPS.c.trajectory_id, ids)


def add_runs(connection: sa.Connection, packed: PackedRuns) -> int:
    """Insert packed runs; how many were new or are complete only now."""
    add_tasks(connection, packed.tasks)
    steps = {row["trajectory_id"]: row for row in reversed(packed.steps)}
    for held in complete_ids(connection, steps):
        del steps[held]
    heads = [row for row in packed.heads if row["id"] in steps]
    _replace_light_heads(connection, heads)
    add_rows(connection, TRAJECTORIES, heads)
    if steps:
        connection.execute(insert_new(connection, STEPS), list(steps.values()))
    return len(steps)


def _replace_light_heads(connection: sa.Connection, heads: Sequence[Row]) -> None:
    """A head that came without steps could not be checked against its id; one with steps can."""
    light = known(connection, TRAJECTORIES.c.id, [row["id"] for row in heads])
    for row in heads:
        if row["id"] in light:
            connection.execute(
                TRAJECTORIES.update().where(TRAJECTORIES.c.id == row["id"]).values(row)
            )


def add_tasks(connection: sa.Connection, rows: Sequence[Row]) -> int:
    """Insert tasks; how many were new. A known task without a category takes the one given."""
    new = add_rows(connection, TASKS, rows)
    labels = {row["id"]: row for row in reversed(rows) if row["category"] is not None}
    bare = sa.select(TASKS.c.id).where(TASKS.c.category.is_(None))
    for found in list(select_in(connection, bare, TASKS.c.id, labels)):
        row = labels[found["id"]]
        connection.execute(
            TASKS.update()
            .where(TASKS.c.id == row["id"])
            .values(category=row["category"], subcategory=row["subcategory"])
        )
    return new


def tasks(
    connection: sa.Connection, ids: Collection[str] | None, *, labelled: bool
) -> Iterator[Task]:
    """Tasks by id; ``labelled``: only those that have a category."""
    statement = sa.select(TASKS)
    if labelled:
        statement = statement.where(TASKS.c.category.is_not(None))
    for row in select_in(connection, statement, TASKS.c.id, ids):
        yield task_from(row)


_SUMMARY = sa.select(*(TRAJECTORIES.c[name] for name in SUMMARY_COLUMNS))


def summaries(
    connection: sa.Connection, task_ids: Collection[str] | None, *, retracted: bool
) -> Iterator[RunSummary]:
    """Heads of runs: all, or those on the given tasks; with those that were retracted, or not."""
    agents: dict[tuple[str | None, ...], Agent] = {}
    column = TRAJECTORIES.c.id if task_ids is None else TRAJECTORIES.c.task_id
    statement = _SUMMARY if retracted else _SUMMARY.where(~trust.retracted_run(TRAJECTORIES.c.id))
    for row in select_in(connection, statement, column, task_ids):
        yield summary_from(row, agents)


def trajectory(connection: sa.Connection, wanted: str) -> Trajectory:
    """One run, whole; its id is checked against its content."""
    found = resolve(connection, TRAJECTORIES.c.id, wanted, "trajectory")
    row = connection.execute(whole_runs().where(TRAJECTORIES.c.id == found)).mappings().one()
    if row["content"] is None:
        raise NotFound(
            f"the bank holds trajectory {found!r} without its steps: it came by a light share. "
            "Next: learn or import the run itself"
        )
    run = run_from(row)
    if run.id != found:
        raise BankCorrupt(
            f"trajectory {found!r} no longer matches its content, which has the id {run.id!r}. "
            "Next: memcollab bank verify"
        )
    return run


def whole_runs() -> sa.Select[Any]:
    """Heads with their steps (``content``, None where missing) and their task (``task_*``)."""
    task_columns = [
        column.label(f"task_{column.name}") for column in TASKS.c if column.name != "id"
    ]
    return (
        sa.select(TRAJECTORIES, STEPS.c.content, *task_columns)
        .join(TASKS, TASKS.c.id == TRAJECTORIES.c.task_id)
        .outerjoin(STEPS, STEPS.c.trajectory_id == TRAJECTORIES.c.id)
    )


def run_from(row: Stored) -> Trajectory:
    """The trajectory in a row of ``whole_runs``."""
    task = task_from(
        {name: row[f"task_{name}"] for name in ("text", "key", "category", "subcategory")}
    )
    return trajectory_from(row, task, row["content"])


def task(connection: sa.Connection, wanted: str) -> Task:
    """One task."""
    return task_from(one(connection, TASKS, wanted, "task"))
