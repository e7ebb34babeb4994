"""Any JSON or JSONL through a mapping file → runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping as ReadOnly
from pathlib import PurePosixPath
from typing import Any, Final

from memcollab.records import Agent, Rejected, Step, Task, Trajectory, Usage, Verdict
from memcollab.sources.expressions import Expression, to_number
from memcollab.sources.files import RunFile
from memcollab.sources.jsontext import elements, json_lines, parse
from memcollab.sources.mapping import Mapping
from memcollab.sources.messages import after_prompt, read_steps, text_of
from memcollab.sources.nouns import UNKNOWN_MODELS, agent_record, task_record
from memcollab.sources.rejections import Unfit, rejected, shown

SOLVED: Final = frozenset(
    "true yes y pass passed correct right success solved resolved c 1".split()
)
UNSOLVED: Final = frozenset(
    "false no n fail failed incorrect wrong failure unsolved unresolved i 0".split()
)
"""Words for a verdict, in any case, where a mapping names none."""
_MOST = 2**53
_LOOK_AHEAD = 1 << 20


class Mapped:
    """The source of one mapping: claims what its globs choose."""

    name = "mapped"

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping

    def claims(self, file: RunFile) -> bool:
        """Whether the mapping's ``files`` choose it."""
        return self._mapping.reads(file.path)

    def read(self, file: RunFile) -> Iterator[Trajectory | Rejected]:
        """Its runs, in order; origins are ``file:record`` or ``file:record[index]``."""
        for origin, context in contexts(file, self._mapping):
            yield mapped_run(origin, context, self._mapping)


def contexts(file: RunFile, mapping: Mapping) -> Iterator[tuple[str, ReadOnly[str, Any] | Unfit]]:
    """What the expressions see of each run, with its origin; or what is wrong there."""
    names = _file_names(file)
    for number, record in _records(file, mapping.format):
        origin = f"{file.name}:{number}"
        if isinstance(record, Unfit):
            yield origin, record
        elif mapping.each is None:
            yield origin, _context(record, record, names, 0)
        else:
            yield from _runs_of(origin, record, mapping.each, names)


def _runs_of(
    origin: str, record: object, each: Expression, names: ReadOnly[str, Any]
) -> Iterator[tuple[str, ReadOnly[str, Any] | Unfit]]:
    try:
        runs = each.of(_context(record, record, names, 0))
    except Unfit as problem:
        yield origin, problem
        return
    if not isinstance(runs, list):
        reason = "missing-field" if runs is None else "wrong-type"
        fields = f"; {_fields(record)}" if runs is None else ""
        yield origin, Unfit(reason, f"each = {each.text!r} gives {shown(runs)}, no list{fields}")
        return
    for index, run in enumerate(runs):
        yield f"{origin}[{index}]", _context(run, record, names, index)


def _context(
    item: object, record: object, names: ReadOnly[str, Any], index: int
) -> ReadOnly[str, Any]:
    fields = item if isinstance(item, dict) else {}
    return {**fields, "record": record, "item": item, "index": index, "file": names}


def _file_names(file: RunFile) -> dict[str, Any]:
    path = file.path
    return {
        "name": path.name,
        "stem": path.stem,
        "folder": file.folders[-1] if file.folders else "",
        "folders": list(file.folders),
        "path": str(path),
        "archive": PurePosixPath(file.archive).name.split(".")[0] if file.archive else None,
    }


# --- records of a file -----------------------------------------------------------------------


def _records(file: RunFile, form: str) -> Iterator[tuple[int, Any | Unfit]]:
    """Each record's number, from 1, and value."""
    form = _form(file) if form == "auto" else form
    if form == "jsonl":
        yield from json_lines(file)
    elif form == "json-array":
        yield from _array(file)
    else:
        try:
            yield 1, parse(file.whole())
        except Unfit as problem:
            yield 1, _cut(problem)


def _cut(problem: Unfit) -> Unfit:
    """A whole document that ends too early was cut off."""
    if problem.reason == "not-json" and "end of data" in problem.detail:
        return Unfit("truncated", problem.detail)
    return problem


def _array(file: RunFile) -> Iterator[tuple[int, Any | Unfit]]:
    number = 0
    try:
        for number, (_, part) in enumerate(elements(file), start=1):
            yield number, part if isinstance(part, Unfit) else _parsed(part)
    except Unfit as problem:
        yield number + 1, problem


def _parsed(part: bytes) -> Any | Unfit:
    try:
        return parse(part)
    except Unfit as problem:
        return problem


def _form(file: RunFile) -> str:
    """How the file holds its records: by its name, and where that leaves it open by its start."""
    if file.path.suffix.lower() in (".jsonl", ".ndjson"):
        return "jsonl"
    try:
        start = file.peek(_LOOK_AHEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except Unfit:
        return "json"  # the break is told by the read
    if start.startswith(b"["):
        return "json-array"
    first, _, rest = start.partition(b"\n")
    try:
        parse(first)
    except Unfit:
        return "json"
    return "jsonl" if rest.strip() else "json"


# --- one run ---------------------------------------------------------------------------------


def mapped_run(
    origin: str, context: ReadOnly[str, Any] | Unfit, mapping: Mapping
) -> Trajectory | Rejected:
    """The run that a context is, or why it is none."""
    if isinstance(context, Unfit):
        return rejected(origin, context)
    try:
        return _trajectory(origin, context, mapping)
    except Unfit as problem:
        return rejected(origin, problem)


def evaluated(context: ReadOnly[str, Any] | Unfit, mapping: Mapping) -> dict[str, tuple[str, Any]]:
    """Every key of the mapping with its expression and its value, or what is wrong with it."""
    if isinstance(context, Unfit):
        return {}
    values: dict[str, tuple[str, Any]] = {}
    for key, expression in mapping.expressions().items():
        try:
            values[key] = (expression.text, expression.of(context))
        except Unfit as problem:
            values[key] = (expression.text, problem.detail)
    return values


def _trajectory(origin: str, context: ReadOnly[str, Any], mapping: Mapping) -> Trajectory:
    reading = Reading(context, mapping)
    task = reading.task()
    verdict = reading.verdict()
    steps = reading.steps(task)
    if not steps and verdict.solved is not None:
        raise Unfit("no-messages", "nothing behind the task's own text")
    return Trajectory(
        task=task,
        agent=reading.agent(),
        steps=steps,
        verdict=verdict,
        usage=reading.usage(),
        run=reading.name("run.name", mapping.run.name),
        shown=reading.shown(),
        origin=origin,
    )


class Reading:
    """One run's fields, by the mapping's expressions. Every method raises ``Unfit``."""

    def __init__(self, context: ReadOnly[str, Any], mapping: Mapping) -> None:
        self._context, self._mapping = context, mapping

    def task(self) -> Task:
        table = self._mapping.task
        text = text_of(table.text.of(self._context))
        if not text.strip():
            raise self._missing("task.text", table.text)
        label = self._label(table.category, table.categories)
        return task_record(text, self.name("task.key", table.key), label)

    def _label(
        self, expression: Expression | None, labels: ReadOnly[str, str] | None
    ) -> str | None:
        """A category's label; with a table of labels, one that it does not name is none."""
        label = self.name("task.category", expression)
        return label if labels is None or label is None else labels.get(label)

    def agent(self) -> Agent:
        table = self._mapping.agent
        model = self.name("agent.model", table.model)
        if model is None or model.strip().lower() in UNKNOWN_MODELS:
            problem = self._missing("agent.model", table.model)
            raise Unfit("unknown-model", problem.detail)
        model = (table.models or {}).get(model, model)
        family = self.name("agent.family", table.family)
        family = (table.families or {}).get(family or model, family or "")
        return agent_record(model, self.name("agent.harness", table.harness), family)

    def steps(self, task: Task) -> tuple[Step, ...]:
        table = self._mapping.run
        if table.text is not None:
            text = text_of(table.text.of(self._context))
            return (Step(role="assistant", content=text),) if text.strip() else ()
        assert table.messages is not None  # the table has one of the two
        messages = table.messages.of(self._context)
        if messages is None:
            raise self._missing("run.messages", table.messages)
        return after_prompt(read_steps(messages, table.all_roles), task.text)

    def verdict(self) -> Verdict:
        table = self._mapping.verdict
        crashed = table.crashed.of(self._context) if table.crashed else None
        solved = None if crashed else self._solved()
        reason = None
        if solved is None:
            given = self.name("verdict.reason", table.reason)
            reason = given or ("crashed" if crashed else "no verdict")
        return Verdict(
            solved=solved,
            score=self._number("verdict.score", table.score),
            judge=self.name("verdict.judge", table.judge),
            reason=reason and reason[:80],
        )

    def _solved(self) -> bool | None:
        table = self._mapping.verdict
        value = table.solved.of(self._context) if table.solved else None
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._solved_word(value.strip())
        if value in (0, 1):
            return bool(value)
        raise Unfit(
            "wrong-type",
            f"verdict.solved = {table.solved and table.solved.text!r} gives {shown(value)}. Valid: "
            'true, false, 0, 1, null or a word; compare a score: solved = "score >= `0.5`"',
        )

    def _solved_word(self, word: str) -> bool | None:
        table = self._mapping.verdict
        right, wrong = table.solved_values, table.unsolved_values
        if not word:
            return None
        if word in (right or ()):
            return True
        if word in (wrong or ()):
            return False
        if right is not None or wrong is not None:
            # one list alone leaves the other word to everything else
            return False if wrong is None else True if right is None else None
        if word.lower() in SOLVED | UNSOLVED:
            return word.lower() in SOLVED
        raise Unfit(
            "wrong-type",
            f"verdict.solved gives {shown(word)}, which is no known word. Next: name it in "
            "solved_values or unsolved_values",
        )

    def usage(self) -> Usage:
        table = self._mapping.usage
        return Usage(
            turns=self._count("usage.turns", table.turns),
            input_tokens=self._count("usage.input_tokens", table.input_tokens),
            output_tokens=self._count("usage.output_tokens", table.output_tokens),
            seconds=self._number("usage.seconds", table.seconds),
            cost_usd=self._number("usage.cost_usd", table.cost_usd),
        )

    def shown(self) -> tuple[str, ...]:
        expression = self._mapping.run.shown
        ids = expression.of(self._context) if expression else None
        if ids is None:
            return ()
        if isinstance(ids, list) and all(isinstance(item, str) for item in ids):
            return tuple(ids)
        raise Unfit("wrong-type", f"run.shown must be a list of ids, not {shown(ids)}")

    def name(self, key: str, expression: Expression | None) -> str | None:
        """A name: a text, or a whole number as text; None where there is none."""
        value = expression.of(self._context) if expression else None
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = expression.text if expression else ""
        raise Unfit("wrong-type", f"{key} = {text!r} must give a text, not {shown(value)}")

    def _number(self, key: str, expression: Expression | None) -> float | None:
        """A count or an amount: a number from 0, or a text that spells one."""
        value = expression.of(self._context) if expression else None
        if value is None or value == "":
            return None
        number = float(value) if isinstance(value, bool) else to_number(value)
        lowest = -math.inf if key == "verdict.score" else 0
        if number is None or not lowest <= number < _MOST:
            text = expression.text if expression else ""
            raise Unfit("wrong-type", f"{key} = {text!r} must give a number, not {shown(value)}")
        return number

    def _count(self, key: str, expression: Expression | None) -> int | None:
        number = self._number(key, expression)
        return None if number is None else int(number)

    def _missing(self, key: str, expression: Expression) -> Unfit:
        """A field that is not there, with what is there instead."""
        item, record = self._context["item"], self._context["record"]
        root = expression.text.partition(".")[0].partition("[")[0].strip()
        hint = ""
        if item is not record and isinstance(record, dict) and root in record:
            hint = f"; the record around the run has it: record.{expression.text}"
        return Unfit(
            "missing-field", f"{key} = {expression.text!r} gives nothing{hint}; {_fields(item)}"
        )


def _fields(value: object) -> str:
    if isinstance(value, dict):
        return f"fields here: {', '.join(shown(key, 40) for key in list(value)[:20])}"
    return f"here is {shown(value, 40)}"
