"""MATH (Hendrycks et al. 2021), tested on the 500 problems of PRM800K's split (MATH500).

The build part is the other 4,500 problems of MATH's test file, which that split moved to training.
"""

from __future__ import annotations

from pathlib import Path

from memcollab.bench.replies import boxed
from memcollab.bench.suites.rows import Row, Source, read_rows
from memcollab.bench.tasks import BenchTask, Maths

# Others on the hub (nlile/hendrycks-MATH-benchmark) have MATH500 for their test split.
_ALL = Source("math/math_test_5000.jsonl", "DigitalLearningGmbH/MATH-lighteval", "test")
_TEST = Source("math/math500_test.jsonl", "HuggingFaceH4/MATH-500", "test")
_CATEGORIES = {
    "Algebra": "algebra",
    "Counting & Probability": "counting_and_probability",
    "Geometry": "geometry",
    "Intermediate Algebra": "intermediate_algebra",
    "Number Theory": "number_theory",
    "Prealgebra": "prealgebra",
    "Precalculus": "precalculus",
}


def load(data: Path | None) -> tuple[list[BenchTask], list[BenchTask]]:
    """Build and test tasks. Build tasks carry their subject as category; those of the test do not,
    as an agent with a new task has no label either."""
    test = read_rows(_TEST, data)
    asked = {_plain(row["problem"]) for row in test}
    build = [
        _task(f"math-{number}", row, labelled=True)
        for number, row in enumerate(read_rows(_ALL, data))
        if _plain(row["problem"]) not in asked and _answer(row)
    ]
    return build, [
        _task(f"math500-{number}", row, labelled=False) for number, row in enumerate(test)
    ]


def _task(task_id: str, row: Row, *, labelled: bool) -> BenchTask:
    subject = row.get("type") or row.get("subject")
    return BenchTask(
        task_id=task_id,
        task=row["problem"].strip(),
        checker=Maths(kind="math", answer=_answer(row)),
        category=_CATEGORIES.get(str(subject)) if labelled else None,
    )


def _answer(row: Row) -> str:
    found = row.get("answer") or next(iter(reversed(boxed(row["solution"]))), "")
    return str(found).strip()


def _plain(problem: str) -> str:
    return "".join(problem.split())
