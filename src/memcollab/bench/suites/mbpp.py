"""MBPP (Austin et al. 2021): small Python functions, one test of each shown, all of them judging.

The test part is tasks 11 to 510, as published; the build part is all others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from memcollab.bench.replies import parse
from memcollab.bench.suites.rows import Row, Source, read_rows
from memcollab.bench.tasks import BenchTask, Code

_ALL = Source("mbpp/mbpp.jsonl", "google-research-datasets/mbpp", "train+test+validation+prompt")
_TEST_IDS = range(11, 511)
_CALLED = "\nThe function is called `"
_ASKED = "{text}" + _CALLED + "{name}`. For example, this must hold:\n{example}"


def load(data: Path | None) -> tuple[list[BenchTask], list[BenchTask]]:
    """Build and test tasks."""
    build: list[BenchTask] = []
    test: list[BenchTask] = []
    for row in read_rows(_ALL, data):
        (test if row["task_id"] in _TEST_IDS else build).append(_task(row))
    return build, test


def description(task: str) -> str | None:
    """What a task of this suite says before its name and example; None of any other text."""
    said, called, _ = task.partition(_CALLED)
    return said if called else None


def _task(row: Row) -> BenchTask:
    name = _function(row)
    tests = [*row["test_list"], *row["challenge_test_list"]]
    return BenchTask(
        task_id=f"mbpp-{row['task_id']}",
        task=_ASKED.format(text=row["text"].strip(), name=name, example=row["test_list"][0]),
        checker=Code(
            kind="code",
            entry_point=name,
            setup=row["test_setup_code"] or "",
            tests="\n".join(tests),
        ),
    )


def _function(row: Row) -> str:
    """Of the functions that the reference defines, the one that the first test calls."""
    defined = {node.name for node in _nodes(row["code"]) if isinstance(node, ast.FunctionDef)}
    calls = [
        node.func.id
        for node in _nodes(row["test_list"][0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return next(name for name in calls if name in defined)


def _nodes(source: str) -> Iterator[ast.AST]:
    tree = parse(source)
    return ast.walk(tree) if tree else iter(())
