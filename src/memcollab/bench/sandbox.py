"""The confinement as an Inspect sandbox environment: ``sandbox="bubblewrap"`` in any Inspect task.

``unconfined`` is the same without a confinement, for ``--sandbox none``.

A sandbox holds its working folder as values; each ``exec`` is a confinement of its own that gets
the files and gives them back (see `memcollab.bench.confine`). Files written under ``/tools`` are
read-only inside.
"""

# ruff: noqa: ARG002, ARG003 - Inspect fixes the signatures
from __future__ import annotations

import os
import threading
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, overload

import anyio
import anyio.to_thread
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxUserUnsupportedError,
    concurrency,
    sandboxenv,
)

from memcollab.bench import confine
from memcollab.bench.confine import PACKAGES, TOOLS, WORK, Job, Kind, Ran
from memcollab.bench.watch import Limits

PROGRAM = f"{TOOLS}/your_program.py"
# The program's path is real, so that a traceback shows its lines; what the last line evaluates to
# is shown as a notebook would, because models expect it.
_RUN_PROGRAM = """
import ast, os, sys
path, packages = sys.argv[1:3]
sys.argv[:] = [path]
sys.path[:0] = [os.path.dirname(path), packages]
with open(path, encoding="utf-8") as file:
    tree, last = ast.parse(file.read(), path), None
if tree.body and isinstance(tree.body[-1], ast.Expr):
    last = ast.Expression(tree.body.pop().value)
space = {"__name__": "__main__", "__file__": path}
exec(compile(tree, path, "exec"), space)
if last is not None and (value := eval(compile(last, path, "eval"), space)) is not None:
    print(repr(value))
"""


def python_command(program: str = PROGRAM) -> list[str]:
    """The command that runs a Python file of the sandbox, isolated: no user site, no ``.pyc``, the
    working folder not on the import path (a file left there cannot pose as a module)."""
    return ["python", "-P", "-s", "-B", "-c", _RUN_PROGRAM, program, f"{PACKAGES}/"]


class Confined(SandboxEnvironment):
    kind: ClassVar[Kind]

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes | None] = {}
        self.tools: dict[str, str] = {}

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        await anyio.to_thread.run_sync(confine.check, cls.kind)

    @classmethod
    async def sample_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        metadata: dict[str, str],
    ) -> dict[str, SandboxEnvironment]:
        return {"default": cls()}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Nothing outlives a call, so nothing is left to clean."""

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a command.

        Raises:
            TimeoutError: it took longer than ``timeout`` (or than the sandbox allows at most).
            OutputLimitExceededError: it printed too much; the error holds what was kept.
        """
        if user is not None:
            raise SandboxUserUnsupportedError(f"the sandbox has one user; {user!r} was asked for")
        ran = await self.run(cmd, stdin=input, cwd=cwd, env=env, seconds=timeout)
        if ran.stopped and ran.stopped.startswith("time"):
            raise TimeoutError(f"the {ran.stopped} was passed")
        if ran.stopped and ran.stopped.startswith("output"):
            limit = f"{Limits().output_bytes >> 20} MiB"
            raise OutputLimitExceededError(limit_str=limit, truncated_output=ran.stdout)
        stderr = ran.stderr + (f"\nended by the sandbox: {ran.stopped}" if ran.stopped else "")
        return ExecResult(ran.code == 0, ran.code, ran.stdout, stderr)

    async def run(
        self,
        command: list[str],
        *,
        stdin: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        seconds: float | None = None,
        packages: tuple[str, ...] | None = None,
    ) -> Ran:
        """`exec` with the whole outcome in place of exceptions; the files live on."""
        limits = Limits() if seconds is None else Limits(seconds=seconds)
        job = Job(
            command=command,
            files=self.files,
            tools=self.tools,
            stdin=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            env=env or {},
            cwd=_inside(cwd or "."),
            packages=Job.packages if packages is None else packages,
            limits=limits,
        )
        stop = threading.Event()
        try:
            async with concurrency("memcollab-sandbox", os.cpu_count() or 1):
                ran = await anyio.to_thread.run_sync(
                    confine.run, job, self.kind, stop, abandon_on_cancel=True
                )
        finally:
            stop.set()
        self.files = dict(ran.files)
        return ran

    async def write_file(self, file: str, contents: str | bytes) -> None:
        data = contents.encode() if isinstance(contents, str) else contents
        path = PurePosixPath(file)
        if path.is_relative_to(TOOLS):
            self.tools[str(path.relative_to(TOOLS))] = data.decode()
        else:
            self.files[_inside(file)] = data

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        name = _inside(file)
        if name not in self.files:
            raise FileNotFoundError(f"the sandbox holds no file {file!r}")
        data = self.files[name]
        if data is None:
            raise IsADirectoryError(f"{file!r} is a folder")
        return data.decode() if text else data


def _inside(path: str) -> str:
    """The path relative to the working folder.

    Raises:
        PermissionError: it leads out of it.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute():
        if not pure.is_relative_to(WORK):
            raise PermissionError(f"only {WORK} of the sandbox can be written and read: {path!r}")
        pure = pure.relative_to(WORK)
    if ".." in pure.parts:
        raise PermissionError(f"the path {path!r} leads out of the working folder")
    return str(pure)


@sandboxenv(name="bubblewrap")
class Bubblewrap(Confined):
    """Confined by bubblewrap."""

    kind: ClassVar[Kind] = "bubblewrap"


@sandboxenv(name="unconfined")
class Unconfined(Confined):
    """Not confined; limited in time, memory and output."""

    kind: ClassVar[Kind] = "none"


def environment_name(kind: str) -> str:
    """The Inspect name of a confinement."""
    return {"none": "unconfined"}.get(kind, kind)


__all__: list[Any] = ["Bubblewrap", "Unconfined", "environment_name", "python_command"]
