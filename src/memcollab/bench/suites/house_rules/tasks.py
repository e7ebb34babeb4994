"""Situations made into tasks: numbered, in two parts, with the tool and the check.

A level's sentences are dealt out to the two parts, so no sentence is in both, and the same way
whatever the seed: the build part of one seed shares none with the test part of another. Names,
things and amounts are drawn anew for each task, each of them once per tool while they last.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import orjson

from memcollab.bench.suites.house_rules.situations import CONVENTIONS, TOOLS, Draw, Level, Situation
from memcollab.bench.tasks import BenchTask, State

Part = Literal["build", "test"]
_PARTS: tuple[Part, ...] = ("build", "test")
# The books of the tool that is left, and what has to stand in them. What was there before has to
# be there still; a stray entry of an earlier, failed try is forgiven.
# What hangs on the door is in this file, beside the tool.
NOTICE = "notice.txt"
_CHECK = """\
import json, pathlib
left = json.loads(pathlib.Path({file!r}).read_text(encoding="utf-8"))
for book, entries in {left!r}.items():
    for key, value in entries.items():
        found = left[book].get(key)
        assert found == value, f"{{book}}: {{key}} is {{found!r}} and not {{value!r}}"
"""
_CHECK_WHOLE = """\
for book in {whole!r}:
    strays = set(left[book]) - set({left!r}[book])
    assert not strays, f"{{book}}: {{sorted(strays)}} should not be there"
"""


@dataclass(frozen=True)
class HouseTask:
    """A task, and what an agent never sees of it.

    Attributes:
        reference: a program that solves it.
        naive: programs that a reader of the signatures would write, each of which fails; one for
            each convention that the task needs, the others being kept.
    """

    task: BenchTask
    tool: str
    level: int
    part: Part
    reference: str
    naive: tuple[str, ...]


def generate(seed: int = 0) -> list[HouseTask]:
    """Every task of a seed, the build part of each tool before its test part."""
    return [made for tool, levels in TOOLS.items() for made in _of_tool(tool, levels, seed)]


def _of_tool(tool: str, levels: tuple[Level, ...], seed: int) -> list[HouseTask]:
    source = _source(tool)
    made: list[HouseTask] = []
    drawn = zip(levels, _dealt(tool, levels), _drawn(tool, levels, seed), strict=True)
    for number, (level, sentences, (_, situations)) in enumerate(drawn):
        each = len(sentences) // len(_PARTS)
        for place, (sentence, situation) in enumerate(zip(sentences, situations, strict=True)):
            part = _PARTS[place // each]
            task_id = f"house-rules-{tool}-{part}-l{number}-{place % each + 1:02d}"
            task_id += f"-s{seed}" if seed else ""
            task = _task(task_id, tool, source, situation, sentence, level.calls)
            task = _with_notice(task, tool) if part == "build" else task
            programs = [_program(tool, lines) for lines in (situation.right, *situation.naive)]
            made.append(HouseTask(task, tool, number, part, programs[0], tuple(programs[1:])))
    return sorted(made, key=lambda each: (each.part, each.task.task_id))


def _dealt(tool: str, levels: tuple[Level, ...]) -> list[list[str]]:
    """The sentences of each level, those of the build part first."""
    return [sentences for sentences, _ in _drawn(tool, levels, 0)]


def _drawn(
    tool: str, levels: tuple[Level, ...], seed: int
) -> Iterator[tuple[list[str], list[Situation]]]:
    """Of each level its sentences in an order that is drawn, and a situation for each place."""
    draw = Draw(random.Random(f"{seed} {tool}"))  # noqa: S311 - a lot, not a secret
    for level in levels:
        sentences = draw.shuffled(level.sentences)
        yield sentences, [level.make(draw) for _ in sentences]


def _task(
    task_id: str, tool: str, source: str, situation: Situation, sentence: str, calls: Sequence[str]
) -> BenchTask:
    file, named = f"{tool}.json", ", ".join(f"{tool}.{call}" for call in calls)
    check = _CHECK.format(file=file, left=situation.left)
    if situation.whole:
        check += _CHECK_WHOLE.format(left=situation.left, whole=situation.whole)
    return BenchTask(
        task_id=task_id,
        task=f"{sentence.format(**situation.words)} Use the Python module {tool}: {named}.",
        checker=State(kind="state", check=check),
        files={file: orjson.dumps(situation.start).decode()},
        module=f"{tool}.py",
        module_text=source,
    )


def _with_notice(task: BenchTask, tool: str) -> BenchTask:
    """In the build part the conventions hang on the door: importing the tool prints them, after the
    first program is written. In the test part nothing hangs there."""
    notice = ". ".join(sentence[0].upper() + sentence[1:] for sentence in CONVENTIONS[tool])
    hung = {NOTICE: f"Notice on the door of {tool}: {notice}."}
    return task.model_copy(update={"files": {**task.files, **hung}})


def _program(tool: str, lines: tuple[str, ...]) -> str:
    return "\n".join([f"import {tool}", "", *lines, ""])


def _source(tool: str) -> str:
    file = resources.files("memcollab.bench.suites.house_rules") / "tools" / f"{tool}.py"
    return file.read_text(encoding="utf-8")
