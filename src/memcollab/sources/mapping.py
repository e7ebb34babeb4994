"""A mapping file: how the records of a foreign format say what a run is.

The page design/sources.md explains the file by examples; ``Mapping`` lists every key. Expressions
are JMESPath and see, besides the record's own fields:

    record   the record as it was read
    item     the run: one element of ``each``, else the record
    index    number of the run in its record, from 0
    file     .name .stem .folder .folders .path .archive

With ``each`` an element's own fields come first, and those of the record around it are reached as
``record.field``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping as ReadOnly
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from memcollab.errors import MappingError
from memcollab.records import Role
from memcollab.sources.expressions import Expression
from memcollab.sources.messages import ROLES

MAX_FILE = 1 << 20
"""Bytes of a mapping file."""

Expr = Annotated[Expression, BeforeValidator(Expression.compiled)]
Format = Literal["auto", "jsonl", "json", "json-array"]


class Table(BaseModel):
    """A table of the mapping file: nothing but its keys may stand in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class TaskTable(Table):
    """``[task]``: what was to be done."""

    text: Expr = Field(examples=["question"])
    key: Expr | None = Field(None, examples=["to_string(task_id)"])
    category: Expr | None = Field(None, examples=["subject"])
    categories: dict[str, str] | None = Field(None, examples=[{"Algebra": "algebra"}])


class AgentTable(Table):
    """``[agent]``: which model worked, in which harness."""

    model: Expr = Field(examples=["file.stem"])
    models: dict[str, str] | None = Field(None, examples=[{"m7b": "mistral-7b-instruct"}])
    harness: Expr | None = Field(None, examples=["'swe-agent'"])
    family: Expr | None = Field(None, examples=["'llama'"])
    families: dict[str, str] | None = Field(None, examples=[{"tora-70b": "llama"}])


class RunTable(Table):
    """``[run]``: what the agent said and did: ``messages``, or one ``text`` as its only message."""

    messages: Expr | None = Field(None, examples=["messages"])
    text: Expr | None = Field(None, examples=["completion"])
    roles: dict[str, Role] = Field(default_factory=dict, examples=[{"solver": "assistant"}])
    name: Expr | None = Field(None, examples=["to_string(trial)"])
    shown: Expr | None = Field(None, examples=["metadata.memcollab_shown"])

    @model_validator(mode="after")
    def _one_of(self) -> RunTable:
        if (self.messages is None) == (self.text is None):
            raise ValueError("exactly one of the keys messages and text is needed")
        return self

    @property
    def all_roles(self) -> ReadOnly[str, Role]:
        return {**ROLES, **self.roles}


class VerdictTable(Table):
    """``[verdict]``: how it ended. Without ``solved`` every run is unjudged."""

    solved: Expr | None = Field(None, examples=["passed"])
    solved_values: tuple[str, ...] | None = Field(None, examples=[["resolved"]])
    unsolved_values: tuple[str, ...] | None = Field(None, examples=[["unresolved"]])
    score: Expr | None = Field(None, examples=["reward"])
    judge: Expr | None = Field(None, examples=["'exact match'"])
    crashed: Expr | None = Field(None, examples=["status == 'error'"])
    reason: Expr | None = Field(None, examples=["status"])


class UsageTable(Table):
    """``[usage]``: what it cost."""

    turns: Expr | None = Field(None, examples=["length(messages[?role == 'assistant'])"])
    input_tokens: Expr | None = Field(None, examples=["usage.prompt_tokens"])
    output_tokens: Expr | None = Field(None, examples=["usage.completion_tokens"])
    seconds: Expr | None = Field(None, examples=["divide(duration_ms, `1000`)"])
    cost_usd: Expr | None = Field(None, examples=["usage.cost"])


class Mapping(Table):
    """A whole mapping file.

    Attributes:
        files: globs of the file names to read, matched from the right as ``PurePath.match`` does;
            one that begins with ``!`` leaves files out. Default: JSON and JSONL.
        format: ``jsonl`` a record a line; ``json`` the document is one record; ``json-array`` its
            elements are records; ``auto`` by name and content.
        each: a list of runs inside one record.
    """

    files: tuple[str, ...] = Field(
        ("*.jsonl", "*.ndjson", "*.json"), examples=[["*.jsonl", "!index.jsonl"]]
    )
    format: Format = Field("auto", examples=["jsonl"])
    each: Expr | None = Field(None, examples=["attempts"])
    task: TaskTable
    agent: AgentTable
    run: RunTable
    verdict: VerdictTable = Field(default_factory=lambda: VerdictTable.model_validate({}))
    usage: UsageTable = Field(default_factory=lambda: UsageTable.model_validate({}))

    def reads(self, path: PurePosixPath) -> bool:
        """Whether the globs choose the file; ``path`` begins with the folder that was given."""
        wanted = [glob for glob in self.files if not glob.startswith("!")]
        unwanted = [glob[1:] for glob in self.files if glob.startswith("!")]
        return any(_matches(path, glob) for glob in wanted or ["*"]) and not any(
            _matches(path, glob) for glob in unwanted
        )

    def expressions(self) -> dict[str, Expression]:
        """Every expression by its key: ``{"task.text": …}``."""
        tables: dict[str, Table] = {
            "task.": self.task,
            "agent.": self.agent,
            "run.": self.run,
            "verdict.": self.verdict,
            "usage.": self.usage,
        }
        return {
            prefix + key: value
            for prefix, table in tables.items()
            for key, value in table
            if isinstance(value, Expression)
        }


def _matches(path: PurePosixPath, glob: str) -> bool:
    """Match part by part from the right; a ``*`` does not reach over a ``/``."""
    wanted = [part for part in glob.removesuffix(".gz").split("/") if part]
    parts = path.parts[-len(wanted) :]
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def load_mapping(path: str | Path) -> Mapping:
    """Read and check a mapping file.

    Raises:
        MappingError: it is not there, no TOML, or a key of it is wrong; the message names the key,
            the expression, what is valid and an example.
    """
    return parse_mapping(_text(Path(path)), str(path))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise MappingError(f"{str(path)!r} is larger than {MAX_FILE} bytes: no mapping file")
        return path.read_text("utf-8")
    except OSError as error:
        raise MappingError(
            f"mapping file {str(path)!r} cannot be read: {error.strerror}. "
            "Next: memcollab learn PATH --map FILE.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise MappingError(f"mapping file {str(path)!r} is no UTF-8 text: {error}") from error


def parse_mapping(toml: str, name: str = "the mapping") -> Mapping:
    """A mapping from TOML text; ``name`` is what messages call it. Raises: MappingError."""
    try:
        return Mapping.model_validate(tomllib.loads(toml))
    except ValidationError as error:
        faults = "; ".join(_fault(fault["type"], fault["loc"], fault) for fault in error.errors())
        raise MappingError(
            f"{name!r}: {faults}. Next: mend it and look with memcollab learn PATH --map FILE "
            "--preview"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingError(f"{name!r} is no TOML: {error}. Next: mend that line") from error


def _fault(kind: str, where: tuple[int | str, ...], fault: ReadOnly[str, Any]) -> str:
    """One line on one wrong key: its name, what is wrong, what is valid, an example."""
    key = ".".join(map(str, where)) or "the file"
    table, name = _table_of(where)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, table.model_fields, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{key} is no key{meant}. Valid here: {', '.join(table.model_fields)}"
    example = _example(table, name)
    if kind == "missing":
        return f"{key} is missing. {example}"
    ours = kind == "value_error"
    why = str(fault["ctx"]["error"]) if ours else f"{fault['msg']}, got {fault['input']!r}"
    return f"{key}: {why}. {example}"


def _table_of(where: tuple[int | str, ...]) -> tuple[type[Table], str]:
    """The table that a key stands in, and the key's own name."""
    tables: dict[str, type[Table]] = {
        "task": TaskTable,
        "agent": AgentTable,
        "run": RunTable,
        "verdict": VerdictTable,
        "usage": UsageTable,
    }
    parts = [str(part) for part in where]
    if len(parts) > 1 and parts[0] in tables:
        return tables[parts[0]], parts[1]
    return Mapping, parts[0] if parts else ""


def _example(table: type[Table], name: str) -> str:
    field = table.model_fields.get(name)
    if field is None or not field.examples:
        return "Valid: the tables [task], [agent], [run], [verdict], [usage]"
    example = field.examples[0]
    return f"Valid: for example {name} = {_toml(example)}"


def _toml(value: Any) -> str:
    """A value as TOML, for an example."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"'
