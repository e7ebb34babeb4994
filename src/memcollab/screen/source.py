"""What a draft was distilled from, as the screen needs it: the task, the runs, their answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from memcollab.screen.lexicon import FUNCTION, OPENERS, WELL_KNOWN
from memcollab.screen.reading import Number, canonical, fold, numbers, words


@dataclass(frozen=True)
class SourceText:
    """The texts that a draft must not repeat.

    ``task_text`` is what the agents were asked; ``run_texts`` what each run said and saw (without
    the task); ``final_answers`` what the runs answered, right or wrong; ``tools`` the names of the
    tools that the harness offers, which a draft of scope "harness" may name even if the task does.
    """

    task_text: str
    run_texts: tuple[str, ...] = ()
    final_answers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()

    @cached_property
    def task(self) -> str:
        """The task, folded."""
        return fold(self.task_text)

    @cached_property
    def runs(self) -> str:
        """The runs, folded, one after the other."""
        return " \n ".join(fold(text) for text in self.run_texts)

    @cached_property
    def task_words(self) -> str:
        return words(self.task_text)

    @cached_property
    def task_words_alone(self) -> str:
        """The words of the task without its numbers."""
        return re.sub(r"(?<= )\d+ ", "", self.task_words)

    @cached_property
    def run_words(self) -> str:
        return "|".join(words(text) for text in self.run_texts)

    @cached_property
    def task_numbers(self) -> tuple[Number, ...]:
        return tuple(numbers(self.task))

    @cached_property
    def task_values(self) -> frozenset[str]:
        """Values of the task's numbers, and of its percentages as fractions."""
        found = {number.value for number in self.task_numbers}
        return frozenset(found | {_hundredth(percent) for percent in _PERCENT.findall(self.task)})

    @cached_property
    def run_values(self) -> frozenset[str]:
        digits = _PLAIN.findall(self.runs) + _GROUPED.findall(self.runs)
        return frozenset(canonical(number.replace(",", "")) for number in digits)

    @cached_property
    def names(self) -> Names:
        """The proper names of the task, and of the persons and things that the runs looked up."""
        return _names(self)

    @cached_property
    def answers(self) -> tuple[str, ...]:
        return tuple(fold(answer) for answer in self.final_answers if answer.strip())

    @cached_property
    def answer_values(self) -> frozenset[str]:
        """Values of the answers that are a number or a few of them."""
        short = (answer for answer in self.answers if len(answer) <= 40)
        return frozenset(number.value for answer in short for number in numbers(answer))


_PLAIN = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_GROUPED = re.compile(r"(?<![\w.])\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?) ?(?:\\?%|percent)")


def _hundredth(percent: str) -> str:
    return f"{float(percent) / 100:.6f}".rstrip("0").rstrip(".")


# -- names of a task -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """``inside`` stand with a capital inside a sentence; ``sure`` are those of them that are seen
    twice or more and never without it; ``opening`` have their capital at the start of a sentence
    only, where any word has one."""

    inside: frozenset[str]
    sure: frozenset[str]
    opening: frozenset[str]


_CAPITAL = re.compile(r"(?P<before>(?:^|[.!?:;\"'(\[*\n] ?|- )?)(?<![\w'])(?P<name>[A-Z][\w']*\w)")
_LOWERED = re.compile(r"(?<![\w'])[a-z][\w']*")
_ENTITY = re.compile(
    r"[\"'](?:\w*name|customer|client|company|vendor|supplier|person|owner|author|city|title|label"
    r"|assignee|contact|recipient|employee|user)[\"']\s*[:=]\s*[\"']([^\"']{2,60})[\"']",
    re.I,
)


def _names(source: SourceText) -> Names:
    inside: set[str] = set()
    opening: set[str] = set()
    for match in _CAPITAL.finditer(source.task):
        name = match["name"].removesuffix("'s")
        starts = bool(match["before"]) or match.start() == 0
        if len(name) > 1 and not _everybodys(name):
            (opening if starts else inside).add(name)
    for value in _ENTITY.findall(source.runs):
        opening |= {name for name in re.findall(r"[A-Z][a-z]{2,}", value) if not _everybodys(name)}
    seen = source.task_words
    often = {name for name in inside if seen.count(f" {name.casefold()} ") > 1}
    lowered = (
        set(_LOWERED.findall(source.task)) | set(_LOWERED.findall(source.runs)) if often else ()
    )
    sure = frozenset(name for name in often if name.casefold() not in lowered)
    return Names(frozenset(inside), sure, frozenset(opening - inside))


def _everybodys(name: str) -> bool:
    return name.casefold() in WELL_KNOWN or name.casefold() in OPENERS


# -- answers of a run ------------------------------------------------------------------------------

_SOLUTION = re.compile(r"<(solution|answer|final_answer)>(.*?)</\1>", re.S | re.I)
_SAID = re.compile(
    r"(?:final\s+answer|answer|result)\s*(?:is|are|=|:)+\s*:?\s*([^\n]{1,120}?)"
    r"(?=[.;,!]?(?:\s|$|\*\*)(?:$|\n|[A-Z(]|because|since|so\b|\*\*)|[.;,!]?$)",
    re.I | re.M,
)
_BOX = re.compile(r"\\f?boxed\s*\{")
_BRACE = re.compile(r"[{}]")
_HASHES = re.compile(r"^####\s*(.+?)\s*$", re.M)
_JSON_BLOCK = re.compile(r"```(?:json)?\s*(\{.*?\}|\[.*?\])\s*```", re.S)
_LONGEST = 120
_SEARCHED = 20_000  # characters from the end; an answer does not stand further up
_NO_ANSWERS = FUNCTION | frozenset(
    "wrong correct incorrect right still very json python unclear different close".split()
)


def final_answers(text: str) -> tuple[str, ...]:
    r"""What the last message of a run answers, in the ways that runs do it.

    ``\boxed{…}``, ``<solution>…</solution>`` and its like, "the answer is …", GSM8K's ``#### …``,
    the values of a JSON object in a fenced block or as the whole message. Answers longer than a
    line (code, prose) are left out: those are caught as copied words or as code.
    """
    text = text[-_SEARCHED:]
    found = [*_boxed(text), *(match[2] for match in _SOLUTION.finditer(text))]
    found += _SAID.findall(text) + _HASHES.findall(text)
    blocks = _JSON_BLOCK.findall(text)
    if text.strip().startswith(("{", "[")):
        blocks.append(text)
    found += [value for block in blocks for value in _json_values(block)]
    trimmed = (answer.strip().strip("$*`").strip().rstrip(".") for answer in found)
    return tuple(dict.fromkeys(answer for answer in trimmed if _telling(answer)))


def _telling(answer: str) -> bool:
    """Something that could give a task away: short, and not talk about an answer."""
    if not answer or len(answer) > _LONGEST or "\n" in answer or answer.startswith("<"):
        return False
    first = answer.split()[0].casefold()
    return not (answer.casefold() in _NO_ANSWERS or (" " in answer and first in _NO_ANSWERS))


def _boxed(text: str) -> Iterator[str]:
    r"""The contents of each ``\boxed{…}``, braces balanced, in one pass."""
    starts = {match.end() for match in _BOX.finditer(text)}
    opened: list[int] = []
    for brace in _BRACE.finditer(text) if starts else ():
        if brace[0] == "{":
            opened.append(brace.end())
        elif opened and (start := opened.pop()) in starts:
            yield text[start : brace.start()]


def _json_values(block: str) -> Iterator[str]:
    try:
        yield from _scalars(json.loads(block))
    except (json.JSONDecodeError, RecursionError):
        return  # not JSON: the text around it is compared word by word anyway


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


_IMPORTED = re.compile(r"^\s*import (\w+)|^\s*from (\w+) import", re.M)


def called_tools(run_text: str) -> frozenset[str]:
    """Names of the modules that the code of a run imports, and of their functions that it calls:
    for an agent that acts by writing code these are the tools of its harness."""
    modules = {first or second for first, second in _IMPORTED.findall(run_text)}
    found = set(modules)
    for module in modules:
        for function in re.findall(rf"\b{re.escape(module)}\.(\w+)\s*\(", run_text):
            found |= {function, f"{module}.{function}"}
    return frozenset(found)
