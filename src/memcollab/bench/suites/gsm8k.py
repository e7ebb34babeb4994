"""GSM8K (Cobbe et al. 2021): build from its train part, test on its test part."""

from __future__ import annotations

from pathlib import Path

from memcollab.bench.suites.rows import Row, Source, read_rows
from memcollab.bench.tasks import BenchTask, Maths

_TRAIN = Source("gsm8k/train.jsonl", "openai/gsm8k", "train", "main")
_TEST = Source("gsm8k/test.jsonl", "openai/gsm8k", "test", "main")


def load(data: Path | None) -> tuple[list[BenchTask], list[BenchTask]]:
    """Build and test tasks."""
    return _tasks(_TRAIN, data), _tasks(_TEST, data)


def _tasks(source: Source, data: Path | None) -> list[BenchTask]:
    rows = enumerate(read_rows(source, data))
    return [_task(f"gsm8k-{source.split}-{number}", row) for number, row in rows]


def _task(task_id: str, row: Row) -> BenchTask:
    # The worked answer ends with "#### 42".
    answer = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
    return BenchTask(
        task_id=task_id, task=row["question"].strip(), checker=Maths(kind="math", answer=answer)
    )
