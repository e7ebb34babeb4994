"""Run the examples of Markdown pages: ``python docs/execute.py docs/tutorial.md``.

The examples of a page run in the order in which they stand, in one temporary folder and one Python
namespace. What is run, by the word behind the fence:

``python``   executed; lines ``# → …`` say what the block prints, all of it.
``console``  every line ``$ memcollab …``; the lines below it occur in its output, in that order.

In both, ``…`` stands for anything. More words behind the fence: ``exit=3`` (or ``exit=0,3``) is the
exit code of the last command, else 0; ``no-run`` marks what needs a key or a machine of one's own:
then only the commands and their options must exist; ``lab`` and ``postgres`` run where
MEMCOLLAB_LAB_URL and MEMCOLLAB_TEST_POSTGRES name the servers that the page shows as
``http://127.0.0.1:8080/v1`` and ``postgresql://memcollab@127.0.0.1/team``, and are ``no-run``
elsewhere.

A page that goes on where another ended says so: ``<!-- continues: ../tutorial.md -->``.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import typer

from memcollab.cli import app, main

# What typer raises for arguments that a command does not take; it has no public name of its own.
_Unparsable: Any = typer.BadParameter.__base__
SAYS = "# →"
# Word behind the fence: what the page shows, and the variable that says what it is here.
SERVERS = {
    "lab": ("http://127.0.0.1:8080/v1", "MEMCOLLAB_LAB_URL"),
    "postgres": ("postgresql://memcollab@127.0.0.1/team", "MEMCOLLAB_TEST_POSTGRES"),
}
_FENCE = re.compile(r"^```(\w+)?([^\n`]*)\n(.*?)^```$", re.S | re.M)
_CONTINUES = re.compile(r"<!-- continues: (\S+) -->")
_NAMED = re.compile(r"<!-- file: (\S+) -->\s*$")


class ExampleFailed(AssertionError):
    """An example of a page does not do what the page says."""


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language and the words behind it, its text.

    ``file``: the block is a file of that name, for the examples that follow.
    """

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str
    file: str | None

    @property
    def exits(self) -> set[int]:
        """Exit codes that the last command may have."""
        given = next((word for word in self.words if word.startswith("exit=")), "exit=0")
        return {int(code) for code in given.removeprefix("exit=").split(",")}

    @property
    def runs(self) -> bool:
        wanted = (SERVERS[word][1] for word in self.words if word in SERVERS)
        return "no-run" not in self.words and all(map(os.environ.get, wanted))


@dataclass(frozen=True)
class Command:
    """One ``memcollab`` command line and what stands below it."""

    line: str
    expected: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """Without the ``memcollab`` in front; a comment behind the command is none."""
        return shlex.split(self.line, comments=True)[1:]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        named = _NAMED.search(text[: match.start()])
        found.append(
            Block(
                page=page,
                line=text[: match.start()].count("\n") + 1,
                language=match[1] or "",
                words=tuple(match[2].split()),
                text=match[3],
                file=named[1] if named else None,
            )
        )
    return found


def commands(block: Block) -> Iterator[Command]:
    """The command lines of a console block; one may go on behind a backslash."""
    line = ""
    expected: list[str] = []
    joined = re.sub(r"\\\n\s*", "", block.text)
    for each in joined.splitlines():
        if each.startswith("$ "):
            if line:
                yield Command(line, tuple(expected))
            line, expected = each.removeprefix("$ "), []
        elif each.strip():
            expected.append(each.strip())
    if line:
        yield Command(line, tuple(expected))


def check(command: Command) -> None:
    """Whether ``memcollab`` has this command with these options; nothing is run."""
    if not command.line.startswith("memcollab "):
        return
    if command.arguments[0] in ("--version", "--help"):
        return
    name, found, rest = find(command.arguments)
    try:
        found.make_context(name, rest)
    except _Unparsable as refused:
        raise ExampleFailed(f"{command.line!r} cannot be parsed: {refused}") from refused


def find(arguments: Sequence[str]) -> tuple[str, Any, list[str]]:
    """The command that these arguments name, and what is left of them.

    Raises:
        ExampleFailed: there is no such command.
    """
    found: Any = typer.main.get_command(app)
    name, rest = "memcollab", list(arguments)
    while hasattr(found, "commands"):
        name, *rest = rest
        if name not in found.commands:
            raise ExampleFailed(f"memcollab has no command {name!r}: {shlex.join(arguments)!r}")
        found = found.commands[name]
    return name, found, rest


def continued(page: Path) -> Path | None:
    """The page in whose folder this one goes on."""
    found = _CONTINUES.search(page.read_text(encoding="utf-8"))
    return (page.parent / found[1]).resolve() if found else None


def execute(page: Path, folder: Path) -> None:
    """Run the page's examples in ``folder``, behind those of the page it continues.

    Raises:
        ExampleFailed: an example prints something else or ends with another exit code.
    """
    before = continued(page)
    if before:
        execute(before, folder)
    run_blocks(blocks(page), folder)


def run_blocks(found: Sequence[Block], folder: Path) -> None:
    """Run blocks in one folder and one namespace. Raises: ExampleFailed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with chdir(folder):
        for block in found:
            try:
                _execute(block, names)
            except ExampleFailed as failed:
                raise ExampleFailed(f"{block.page.name}:{block.line}: {failed}") from None


def _execute(block: Block, names: dict[str, Any]) -> None:
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python" and block.runs:
        _run_python(block, names)
    elif block.language == "console":
        _run_console(block)


def _run_python(block: Block, names: dict[str, Any]) -> None:
    # Blank lines in front, so that a traceback names the line of the page.
    code = compile("\n" * block.line + _here(block.text), str(block.page), "exec")
    with _captured() as out:
        exec(code, names)  # noqa: S102  the page is ours; running it is the point
    said = [line.removeprefix(SAYS) for line in block.text.splitlines() if line.startswith(SAYS)]
    if said and not re.fullmatch(_pattern(said, between=" "), _flat(out.text)):
        raise ExampleFailed(f"the page says {said!r}, but printed is {out.text!r}")


def _run_console(block: Block) -> None:
    found = list(commands(block))
    for command in found:
        check(command)
    if not block.runs:
        return
    for command in found:
        if not command.line.startswith("memcollab "):
            raise ExampleFailed(f"only memcollab can be run here, not {command.line!r}: no-run?")
        code, printed = run(command)
        exits = block.exits if command is found[-1] else {0}
        if code not in exits:
            raise ExampleFailed(f"{command.line!r} exits {code}, not {exits}: {printed}")
        if not re.search(_pattern(command.expected, between=".*?"), _flat(printed), re.S):
            raise ExampleFailed(f"{command.line!r} does not print {command.expected!r}: {printed}")


def _here(text: str) -> str:
    """``text`` with the servers that there are here in place of those that the pages show."""
    for shown, variable in SERVERS.values():
        text = text.replace(shown, os.environ.get(variable) or shown)
    return text


def run(command: Command) -> tuple[int, str]:
    """Run a ``memcollab`` command in this process; its exit code and what it printed."""
    arguments = [_here(each) for each in command.arguments]
    with patch.object(sys, "argv", ["memcollab", *arguments]), _captured() as out:
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
            return code, out.text
    return 0, out.text


class _captured:  # noqa: N801  a context manager that reads like a function
    """Standard output and standard error as one text; with a ``.buffer``, as the real ones have."""

    def __enter__(self) -> _captured:
        self._bytes = io.BytesIO()
        self._stream = io.TextIOWrapper(self._bytes, encoding="utf-8", write_through=True)
        self._out, self._error = redirect_stdout(self._stream), redirect_stderr(self._stream)
        self._out.__enter__()
        self._error.__enter__()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._error.__exit__(None, None, None)
        self._out.__exit__(None, None, None)

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode()


def _flat(text: str) -> str:
    return " ".join(text.split())


def _pattern(lines: list[str] | tuple[str, ...], *, between: str) -> str:
    """The lines as a pattern over flattened text; ``…`` is anything."""
    flat = filter(None, map(_flat, lines))
    return between.join(".*?".join(map(re.escape, line.split("…"))) for line in flat)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        with TemporaryDirectory() as scratch:
            execute(Path(argument).resolve(), Path(scratch))
        print(f"{argument}: every example does what the page says")
