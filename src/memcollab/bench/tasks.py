"""The task file of ``bench collect``: one JSON object a line.

    {"task_id": "m1", "task": "What is 2 + 2?", "category": "algebra",
     "checker": {"kind": "math", "answer": "4"}}

``checker`` judges what a run ends with, and nothing of it is ever shown to an agent:

* ``math``: ``answer``, compared by math-verify.
* ``exact``: ``answer``, compared as text (case, spaces and a closing full stop aside).
* ``code``: ``entry_point`` and ``tests``, Python that raises when the function is wrong; ``setup``,
  Python that is run before the answer (imports that the task gives).
* ``state``: ``check``, Python that looks at what the run left in its working folder and raises
  when it is wrong. It can import ``module`` and sees the final answer as ``answer``.

``files`` (relative path → text) lie in the working folder at the start. ``module`` is a Python
file, named relative to the task file, that the agent's code can import and not change. ``part``
(``build`` or ``test``) matters to an experiment only: what is learned from, and what is measured.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from memcollab.errors import UsageError


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _compiles(source: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a published test may hold a bad escape
            compile(source, "<checker>", "exec")
    except SyntaxError as error:
        raise ValueError(f"does not compile: {error}") from None
    return source


class Maths(_Value):
    """The answer, in LaTeX or plain."""

    kind: Literal["math"]
    answer: str = Field(min_length=1)


class Exact(_Value):
    """The answer, as text."""

    kind: Literal["exact"]
    answer: str = Field(min_length=1)


class Code(_Value):
    """The name of the function that is asked for, and Python that raises when it is wrong.

    ``setup`` is what the task gives and an answer need not repeat: it is run before the answer.
    """

    kind: Literal["code"]
    entry_point: str = Field(pattern=r"^[A-Za-z_]\w*$")
    tests: str = Field(min_length=1)
    setup: str = ""

    _sound = field_validator("tests", "setup")(_compiles)


class State(_Value):
    """Python that raises when what the run left is wrong."""

    kind: Literal["state"]
    check: str = Field(min_length=1)

    _sound = field_validator("check")(_compiles)


Checker = Annotated[Maths | Exact | Code | State, Field(discriminator="kind")]


class BenchTask(_Value):
    """One line of a task file."""

    task_id: str = Field(min_length=1)
    task: str = Field(min_length=1)
    checker: Checker
    category: str | None = None
    part: Literal["build", "test"] | None = None
    files: dict[str, str] = Field(default_factory=dict)
    module: str | None = None
    module_text: str | None = Field(default=None, exclude=True)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"{name!r} is not a path inside the working folder")
        return files

    @property
    def function(self) -> str | None:
        """The function a code task asks for."""
        return self.checker.entry_point if isinstance(self.checker, Code) else None

    @property
    def module_name(self) -> str | None:
        return Path(self.module).stem if self.module else None

    @property
    def digest(self) -> str:
        """A hash of all that the task is, its checker and its module included."""
        content = self.model_dump(mode="json") | {"module_text": self.module_text}
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def load_tasks(path: Path) -> list[BenchTask]:
    """The tasks of a file, in order.

    Raises:
        UsageError: the file cannot be read, is empty, or a line is not a task (``file:line``).
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"the task file {str(path)!r} cannot be read: {error.strerror}") from None
    tasks = list(_tasks(path, lines))
    if not tasks:
        raise UsageError(
            f"the task file {str(path)!r} holds no task. Valid: one JSON object a line with "
            "task_id, task and checker. Next: see docs/how-to/collect-runs.md"
        )
    return tasks


def _tasks(path: Path, lines: list[bytes]) -> Iterator[BenchTask]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            task = BenchTask.model_validate(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{where}: not JSON: {error}") from None
        except ValidationError as error:
            raise UsageError(f"{where}: not a task: {_reasons(error)}") from None
        if task.task_id in seen:
            raise UsageError(
                f"{where}: the task_id {task.task_id!r} is that of line {seen[task.task_id]} too"
            )
        seen[task.task_id] = number
        yield _with_module(task, path, where)


def _reasons(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'the line'}: {each['msg']}" for each in error.errors()
    )


def _with_module(task: BenchTask, path: Path, where: str) -> BenchTask:
    if task.module is None:
        return task
    file = path.parent / task.module
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise UsageError(f"{where}: the module {task.module!r} cannot be imported under its name")
    try:
        return task.model_copy(update={"module_text": file.read_text(encoding="utf-8")})
    except OSError as error:
        raise UsageError(f"{where}: the module {task.module!r}: {error.strerror}") from None
