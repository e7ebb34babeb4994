"""The suites of ``memcollab bench``: tasks to learn from, and other tasks to be measured on.

    gsm8k.py        grade-school word problems
    math500.py      competition maths; built from the MATH problems that are not in MATH500
    mbpp.py         small Python functions; the test part is tasks 11 to 510
    humaneval.py    Python functions by docstring; no build part, as in the paper
    house_rules/    our own world of tools whose conventions are not in their signatures
    own.py          a user's own task file

The two parts of a suite are disjoint by content. Near-duplicates count as the same task
(`memcollab.recall.same_task`), and are taken out of the build part, across all suites of an
experiment. Two tasks of MBPP may say the same and differ in their example alone: a build task that
does, beside a chosen test task, is taken out as well. Apart from that, chosen tasks depend on the
seed and on nothing else: the order of a file decides nothing, and fewer tasks are always the first
of more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memcollab.bench.suites import gsm8k, house_rules, humaneval, math500, mbpp, own
from memcollab.bench.tasks import BenchTask
from memcollab.errors import UsageError
from memcollab.recall import same_task

_HOUSE_RULES = "house-rules"
Parts = tuple[list[BenchTask], list[BenchTask]]
SUITES: Mapping[str, Callable[[Path | None], Parts]] = {
    "gsm8k": gsm8k.load,
    "math500": math500.load,
    "mbpp": mbpp.load,
    "humaneval": humaneval.load,
    _HOUSE_RULES: lambda data: house_rules.load(),  # noqa: ARG005 - generated, needs no data
}


@dataclass(frozen=True)
class Suite:
    """Chosen tasks of one suite: ``build`` to learn from, ``test`` to be measured on."""

    name: str
    build: tuple[BenchTask, ...]
    test: tuple[BenchTask, ...]

    @property
    def as_tested(self) -> tuple[BenchTask, ...]:
        """The build tasks, met as test tasks are: with nothing that helps to find out."""
        return tuple(map(house_rules.as_tested, self.build))


@dataclass(frozen=True)
class Choice:
    """How many tasks of which suite: a built-in name, or a user's task file. ``test_seed`` draws
    the test part of ``house-rules``, the one suite that is generated."""

    suite: str
    build: int = 0
    test: int = 0
    file: Path | None = None
    test_seed: int = 0


def choose(choices: Sequence[Choice], data: Path | None, *, seed: int = 0) -> list[Suite]:
    """The tasks of an experiment.

    Args:
        choices: what is wanted of each suite.
        data: folder of the benchmarks' files; None loads them from the hub.
        seed: of the choice.

    Raises:
        UsageError: no such suite, data that cannot be read, or fewer tasks than asked for.
    """
    parts = {choice.suite: _parts(choice, data) for choice in choices}
    asked = [task.task for _, test in parts.values() for task in test]
    tests = {
        choice.suite: _first(
            shuffled(parts[choice.suite][1], seed),
            choice.test,
            f"test tasks of {choice.suite!r}",
        )
        for choice in choices
    }
    chosen = [task.task for test in tests.values() for task in test]
    suites = []
    for choice in choices:
        apart = (
            task
            for task in shuffled(parts[choice.suite][0], seed)
            if not is_among(task.task, asked)
            and not any(gives_away(task.task, other) for other in chosen)
        )
        build = _first(apart, choice.build, f"build tasks of {choice.suite!r}")
        suites.append(Suite(choice.suite, build, tests[choice.suite]))
    return suites


def is_among(text: str, others: Iterable[str]) -> bool:
    """Whether one of the others puts the same task, near-duplicates included."""
    return any(same_task(text, other) for other in others)


def gives_away(learned: str, asked: str) -> bool:
    """Whether who learned from one task knows the other: they are the same, or both are MBPP's and
    say the same before their examples, which alone would tell them apart."""
    one, other = mbpp.description(learned), mbpp.description(asked)
    described = one is not None and other is not None and same_task(one, other)
    return described or same_task(learned, asked)


def _parts(choice: Choice, data: Path | None) -> Parts:
    if choice.test_seed and choice.suite != _HOUSE_RULES:
        raise UsageError(
            f"the suite {choice.suite!r} is what it is: test_seed {choice.test_seed!r} draws "
            f"nothing. Valid: for {_HOUSE_RULES!r} only"
        )
    if choice.test_seed:
        return house_rules.load(choice.test_seed)
    if choice.file is not None:
        return own.load(choice.file)
    try:
        load = SUITES[choice.suite]
    except KeyError:
        raise UsageError(
            f"there is no suite {choice.suite!r}. Valid: {', '.join(SUITES)}, or a task file "
            '(file = "tasks.jsonl")'
        ) from None
    return load(data)


def shuffled(tasks: Iterable[BenchTask], seed: int) -> list[BenchTask]:
    """The tasks in an order that depends on their ids and the seed alone."""
    return sorted(tasks, key=lambda task: _rank(task, seed))


def _rank(task: BenchTask, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {task.task_id}".encode()).digest()


def _first(tasks: Iterable[BenchTask], number: int, what: str) -> tuple[BenchTask, ...]:
    chosen: list[BenchTask] = []
    for task in tasks:
        if len(chosen) == number:
            break
        chosen.append(task)
    if len(chosen) < number:
        raise UsageError(f"there are only {len(chosen)} {what}, and {number} were asked for")
    return tuple(chosen)
