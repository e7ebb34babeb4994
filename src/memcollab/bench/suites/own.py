"""A user's own suite: a task file of ``bench collect`` whose lines may say ``"part": "build"``."""

from __future__ import annotations

from pathlib import Path

from memcollab.bench.tasks import BenchTask, load_tasks


def load(path: Path) -> tuple[list[BenchTask], list[BenchTask]]:
    """Build and test tasks; a line that names no part is a test task."""
    tasks = load_tasks(path)
    return (
        [task for task in tasks if task.part == "build"],
        [task for task in tasks if task.part != "build"],
    )
