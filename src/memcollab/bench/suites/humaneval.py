"""HumanEval (Chen et al. 2021): Python functions by signature and docstring; test tasks only."""

from __future__ import annotations

from pathlib import Path

from memcollab.bench.suites.rows import Row, Source, read_rows
from memcollab.bench.tasks import BenchTask, Code

_ALL = Source("humaneval/HumanEval.jsonl", "openai/openai_humaneval", "test")
_ASKED = "Complete the function `{name}`:\n\n{prompt}"


def load(data: Path | None) -> tuple[list[BenchTask], list[BenchTask]]:
    """No build task, and the test tasks."""
    return [], [_task(row) for row in read_rows(_ALL, data)]


def _task(row: Row) -> BenchTask:
    name = row["entry_point"]
    return BenchTask(
        task_id=row["task_id"].replace("/", "-").lower(),
        task=_ASKED.format(name=name, prompt=row["prompt"].rstrip()),
        checker=Code(
            kind="code",
            entry_point=name,
            # Its imports and helpers belong to the task: an answer need not repeat them. The
            # function itself is left to raise, so that none at all never passes.
            setup=row["prompt"] + "    raise NotImplementedError\n",
            tests=f"{row['test']}\ncheck({name})",
        ),
    )
