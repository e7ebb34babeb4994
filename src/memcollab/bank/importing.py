"""A bank as JSONL: the way in.

What comes in is not trusted: ids are derived again, references must exist, support is derived here
and never taken from the file, what is here already stays as it is, and every line that is refused
is counted and named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

import orjson
import sqlalchemy as sa
from pydantic import ValidationError

from memcollab.bank import learning, memory, runs, serving, trust
from memcollab.bank.export import EXPORT_FORMAT, EXPORT_VERSION
from memcollab.bank.learning import Screened
from memcollab.bank.lookup import BATCH, add_rows, known, select_in
from memcollab.bank.rows import (
    Row,
    Stored,
    StoredAnswer,
    answer_row,
    constraint_from,
    constraint_row,
    contrast_row,
    pack_steps,
    task_row,
    trajectory_row,
)
from memcollab.bank.schema import DRAFTS, TABLE_OF_KIND, TRAJECTORIES
from memcollab.bank.serving import outcome_row
from memcollab.errors import BankError, BankVersionError, NotAnExport
from memcollab.records import (
    RECORD_FORMAT,
    Constraint,
    Contrast,
    Draft,
    Outcome,
    Recall,
    Refusal,
    Task,
    Trajectory,
)

# A line is held in memory whole; the longest run seen so far makes one of 10 MB.
LONGEST_LINE = 64 * 2**20
_NAMED_REFUSALS = 1000

# What lines of a group refer to, by id: tasks for runs, task ids for the runs of contrasts.
Context = Mapping[str, Any]
Admit = Callable[[Constraint | Draft], Refusal | None]


@dataclass(frozen=True)
class RefusedLine:
    """A line of an import that did not come in: its number (from 1) and why."""

    line: int
    kind: str
    reason: str


@dataclass
class Imported:
    """What an import did, by kind of record. ``kept``: known here in another state (status, label,
    verdict, constraint of a draft), which stayed as it is. ``refused`` names the first 1,000."""

    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)
    refused_count: int = 0

    @staticmethod
    def count(counts: Counter[str], kind: str, number: int) -> None:
        """Add to a count, so that kinds of which there were none do not appear."""
        if number:
            counts[kind] += number

    def refuse(self, line: int, kind: str, reason: str) -> None:
        """Count a line as refused, and name it while there is room."""
        self.refused_count += 1
        if len(self.refused) < _NAMED_REFUSALS:
            self.refused.append(RefusedLine(line, kind, reason))


@dataclass(frozen=True)
class Line:
    """One line of an import, read but not yet believed."""

    number: int
    kind: str
    value: dict[str, Any]


def read_lines(stream: IO[bytes], report: Imported) -> Iterator[Line]:
    """The lines after the header; what is no object of a known kind is refused here.

    Raises:
        BankError: the stream does not begin with the header of an export.
        BankVersionError: the export is of a newer version.
    """
    _check_header(stream.readline(LONGEST_LINE))
    number = 1
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            _skip_rest_of_line(stream)
            report.refuse(number, "?", f"longer than {LONGEST_LINE} bytes")
            continue
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            report.refuse(number, "?", f"not JSON: {error}")
            continue
        kind = value.pop("type", None) if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in TABLE_OF_KIND:
            report.refuse(number, "?", f"type {kind!r} is none of {', '.join(TABLE_OF_KIND)}")
            continue
        yield Line(number, kind, value)


def _skip_rest_of_line(stream: IO[bytes]) -> None:
    while (raw := stream.readline(LONGEST_LINE)) and not raw.endswith(b"\n"):
        pass


def _check_header(raw: bytes) -> None:
    try:
        header = orjson.loads(raw)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("format") != EXPORT_FORMAT:
        raise NotAnExport(
            f"this is not an export of a bank: it begins with {raw[:60]!r}. "
            "Next: make one with memcollab bank export"
        )
    newest = (EXPORT_VERSION, RECORD_FORMAT)
    found = (header.get("version"), header.get("records"))
    for mine, theirs in zip(newest, found, strict=True):
        if not isinstance(theirs, int) or not 1 <= theirs <= mine:
            raise BankVersionError(
                f"the export has version {found[0]!r} and record format {found[1]!r}; this "
                f"memcollab reads {newest[0]} and {newest[1]}. "
                "Next: pip install --upgrade memcollab"
            )


def groups(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Lines of one kind, at most ``BATCH``, so that what they refer to is stored before them."""
    group: list[Line] = []
    for line in lines:
        if group and (line.kind != group[0].kind or len(group) == BATCH):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


class Importer:
    """Brings groups of lines into a bank, each in a transaction of the caller's.

    A group is read before its transaction begins, so an import from a slow pipe keeps no one
    waiting; and each leaves the bank whole: a constraint has no support until its drafts are here.
    """

    def __init__(
        self,
        report: Imported,
        admit: Admit | None,
        *,
        actor: str,
        source: str,
        trusted: bool,
        needed: int,
    ) -> None:
        self.report = report
        self._admit = admit
        self._actor = actor
        self._at = ""
        self._source = source
        self._trust: trust.Trust = "trusted" if trusted else "untrusted"
        self._needed = needed
        self._founded: set[str] = set()
        self._touched: set[str] = set()

    def bring(self, connection: sa.Connection, group: Sequence[Line], at: str) -> None:
        """Store the lines of one group that can be believed; ``at`` is when (ISO 8601 in UTC)."""
        self._at = at
        kind = group[0].kind
        read = {
            "task": self._read_task,
            "run": self._read_run,
            "contrast": self._read_contrast,
            "answer": self._read_answer,
            "constraint": self._read_constraint,
            "draft": self._read_draft,
            "conflict": self._read_conflict,
            "recall": self._read_recall,
            "outcome": self._read_outcome,
        }[kind]
        context = _context(connection, kind, group)
        good: list[tuple[Line, Row]] = []
        for line in group:
            try:
                good.append((line, read(line.value, context)))
            except ValidationError as error:
                problem = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in (kind, *problem["loc"]))
                self.report.refuse(line.number, kind, f"{where}: {problem['msg']}")
            except KeyError as error:
                self.report.refuse(line.number, kind, f"no field {error.args[0]!r}")
            except (_Unbelievable, BankError) as error:
                self.report.refuse(line.number, kind, str(error))
        self._store(connection, kind, self._without_dangling(connection, kind, good))
        self._settle(connection)

    def _settle(self, connection: sa.Connection) -> None:
        """Derive the support of what this group touched, and log it."""
        memory.settle(
            connection,
            self._touched,
            self._founded,
            actor=self._actor,
            action="imported",
            at=self._at,
            needed=self._needed,
        )
        self._touched, self._founded = set(), set()

    # ---- reading one line: a row, or an error that says why not

    def _read_task(self, value: dict[str, Any], _context: Context) -> Row:
        claimed = value.pop("id")
        task = Task.model_validate(value)
        _check_id(claimed, task.id)
        return task_row(task)

    def _read_run(self, value: dict[str, Any], tasks: Context) -> Row:
        claimed, task_id, steps = value.pop("id"), value.pop("task_id"), value.pop("steps")
        if not isinstance(task_id, str) or task_id not in tasks:
            raise _Unbelievable(f"refers to task {task_id!r}, which is not here")
        run = Trajectory.model_validate({**value, "task": tasks[task_id], "steps": steps or ()})
        if steps is not None:
            _check_id(claimed, run.id)
            return {**trajectory_row(run), "content": pack_steps(run.steps)}
        if not _is_id(claimed, "run") or run.usage.turns is None:
            raise _Unbelievable("a run without steps needs an id and its number of turns")
        return {**trajectory_row(run), "id": claimed, "content": None}

    def _read_contrast(self, value: dict[str, Any], tasks_of_runs: Context) -> Row:
        claimed = value.pop("id")
        contrast = Contrast.model_validate(value)
        _check_id(claimed, contrast.id)
        pair = {tasks_of_runs.get(contrast.preferred), tasks_of_runs.get(contrast.other)}
        if pair != {contrast.task_id}:
            raise _Unbelievable("its two runs are not here, or not of its task")
        return contrast_row(contrast)

    def _read_answer(self, value: dict[str, Any], _context: Context) -> Row:
        return answer_row(StoredAnswer.model_validate(value))

    def _read_constraint(self, value: dict[str, Any], _context: Context) -> Row:
        claimed = value.pop("id")
        constraint = Constraint.model_validate(value)
        _check_id(claimed, constraint.id)
        self._check_admitted(constraint)
        return constraint_row(constraint)

    def _read_draft(self, value: dict[str, Any], _context: Context) -> Row:
        claimed, constraint_id = value.pop("id"), value.pop("constraint_id")
        entry = Screened.model_validate(value)
        _check_id(claimed, entry.draft.id)
        if constraint_id is not None and not _is_id(constraint_id, "c"):
            raise _Unbelievable(f"its constraint {constraint_id!r} is no id")
        if entry.refusal is not None and constraint_id is not None:
            raise _Unbelievable("a refused draft stands behind no constraint")
        if entry.refusal is None:
            self._check_admitted(entry.draft)
        return learning.draft_row(entry, constraint_id)

    def _check_admitted(self, words: Constraint | Draft) -> None:
        refusal = self._admit(words) if self._admit else None
        if refusal is not None:
            raise _Unbelievable(f"not admitted: {refusal.reason}")

    def _read_conflict(self, value: dict[str, Any], _context: Context) -> Row:
        first, second = value["first"], value["second"]
        if not (_is_id(first, "c") and _is_id(second, "c") and first < second):
            raise _Unbelievable("a conflict names two constraints, the smaller id first")
        return {"first": first, "second": second}

    def _read_recall(self, value: dict[str, Any], _context: Context) -> Row:
        recall = Recall.model_validate(value["recall"])
        if value["id"] != recall.id or not 0 < len(recall.id) <= 64 or not recall.id.isascii():
            raise _Unbelievable("the id is not that of the recall")
        return {"id": recall.id, "at": _time(value["at"]), "content": recall.model_dump_json()}

    def _read_outcome(self, value: dict[str, Any], _context: Context) -> Row:
        outcome = Outcome.model_validate(value["outcome"])
        return outcome_row(outcome, _time(value["at"]))

    # ---- storing

    def _without_dangling(
        self, connection: sa.Connection, kind: str, good: Sequence[tuple[Line, Row]]
    ) -> list[Row]:
        """The rows whose references are all in the bank; the others are refused."""
        believed = list(good)
        for key in TABLE_OF_KIND[kind].foreign_keys:
            name, target = key.parent.name, key.column
            values = [row[name] for _, row in believed if row[name] is not None]
            held = known(connection, target, values)
            for line, row in believed:
                if row[name] is not None and row[name] not in held:
                    reason = f"refers to {target.table.name} {row[name]!r}, which is not here"
                    self.report.refuse(line.number, kind, reason)
            believed = [pair for pair in believed if pair[1][name] is None or pair[1][name] in held]
        return [row for _, row in believed]

    def _store(self, connection: sa.Connection, kind: str, rows: list[Row]) -> None:
        if not rows:
            return
        self._count_kept(connection, kind, rows)
        new = self._insert(connection, kind, rows)
        self._note_source(connection, kind, rows)
        self.report.count(self.report.new, kind, new)
        self.report.count(self.report.known, kind, len(rows) - new)

    def _note_source(self, connection: sa.Connection, kind: str, rows: list[Row]) -> None:
        """Who brought these, as far as trust asks for it. A file that calls a constraint retired
        or quarantined does not stand behind it."""
        if kind == "constraint":
            rows = [row for row in rows if row["status"] == "active"]
            self._touched |= {row["id"] for row in rows}
        if kind in {"run", "draft", "constraint"}:
            ids = [row["id"] for row in rows]
            trust.bring(connection, ids, self._source, self._at, self._trust)

    def _insert(self, connection: sa.Connection, kind: str, rows: list[Row]) -> int:
        if kind == "task":
            return runs.add_tasks(connection, rows)
        if kind == "run":
            return _insert_runs(connection, rows)
        if kind == "constraint":
            founded = memory.new_constraints(connection, map(constraint_from, rows))
            self._founded |= founded
            self._touched |= founded
            return len(founded)
        if kind == "draft":
            return self._insert_drafts(connection, rows)
        if kind == "conflict":
            return learning.save_conflicts(
                connection, [(row["first"], row["second"]) for row in rows]
            )
        if kind == "outcome":
            return serving.add_outcomes(connection, rows)
        return add_rows(connection, TABLE_OF_KIND[kind], rows)

    def _insert_drafts(self, connection: sa.Connection, rows: list[Row]) -> int:
        """New drafts, and the constraint of known ones that are in none here."""
        new = add_rows(connection, DRAFTS, rows)
        places = {row["id"]: row["constraint_id"] for row in rows if row["constraint_id"]}
        learning.place_drafts(connection, places)
        self._touched |= set(places.values())
        return new

    def _count_kept(self, connection: sa.Connection, kind: str, rows: list[Row]) -> None:
        """Count what is here in another state than in the file."""
        if kind not in _DIFFERS:
            return
        table = TABLE_OF_KIND[kind]
        key = next(iter(table.primary_key))
        statement = sa.select(table).where(key.in_([row[key.name] for row in rows]))
        here = {row[key.name]: row for row in connection.execute(statement).mappings()}
        differing = [
            row
            for row in rows
            if row[key.name] in here and _DIFFERS[kind](here[row[key.name]], row)
        ]
        self.report.count(self.report.kept, kind, len(differing))


def _other(mine: Any, theirs: Any) -> bool:
    """Whether both say something, and not the same."""
    return mine is not None and theirs is not None and bool(mine != theirs)


# Whether what is here differs from the file in what is not part of a record's identity, and the
# file has nothing to add to it.
_DIFFERS: dict[str, Callable[[Stored, Row], bool]] = {
    "task": lambda mine, theirs: (
        _other(mine["category"], theirs["category"])
        or _other(mine["subcategory"], theirs["subcategory"])
    ),
    "constraint": lambda mine, theirs: bool(mine["status"] != theirs["status"]),
    "draft": lambda mine, theirs: (
        bool(mine["refused"] != theirs["refused"])
        or _other(mine["constraint_id"], theirs["constraint_id"])
    ),
    "outcome": lambda mine, theirs: bool(mine["solved"] != theirs["solved"]),
}


class _Unbelievable(ValueError):
    """A line of an import that reads well and cannot be true."""


def _context(connection: sa.Connection, kind: str, group: Sequence[Line]) -> Context:
    def named(*fields: str) -> set[str]:
        return {str(line.value.get(name)) for line in group for name in fields}

    if kind == "run":
        return {task.id: task for task in runs.tasks(connection, named("task_id"), labelled=False)}
    if kind == "contrast":
        statement = sa.select(TRAJECTORIES.c.id, TRAJECTORIES.c.task_id)
        found = select_in(connection, statement, TRAJECTORIES.c.id, named("preferred", "other"))
        return {row["id"]: row["task_id"] for row in found}
    return {}


def _check_id(claimed: object, derived: str) -> None:
    if claimed != derived:
        raise _Unbelievable(f"has the id {str(claimed)[:64]!r}, its content {derived!r}")


def _is_id(value: object, kind: str) -> bool:
    if not isinstance(value, str) or not value.startswith(f"{kind}-"):
        return False
    digits = value[len(kind) + 1 :]
    return len(digits) == 20 and set(digits) <= set("0123456789abcdef")


def _time(value: object) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise _Unbelievable(f"at is {value!r}; valid: ISO 8601 with an offset")
    return str(value)


def _insert_runs(connection: sa.Connection, rows: list[Row]) -> int:
    contents = {row["id"]: row.pop("content") for row in rows}
    light = [row for row in rows if contents[row["id"]] is None]
    whole = [row for row in rows if contents[row["id"]] is not None]
    steps = [{"trajectory_id": row["id"], "content": contents[row["id"]]} for row in whole]
    new = runs.add_runs(connection, runs.PackedRuns([], whole, steps))
    return new + add_rows(connection, TRAJECTORIES, light)
