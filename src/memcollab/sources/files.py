"""Folders, files and archives as one stream of logical files of runs.

The contract of this module:

* ``walk`` hands out logical files in a fixed order (by name), one at a time. A file's bytes are
  good until the next file is asked for; nothing is held but the file at hand.
* A logical file has the name that a person finds it by: the path below what was given, then ``!``
  and the path inside an archive: ``math.tar.gz!math/gpt-4.jsonl``.
* What cannot be opened, is unsafe or expands too far becomes a ``Rejected`` with its name, and what
  is left aside on purpose an ``Aside``. The walk goes on behind it.
* Archives (``.zip``, ``.tar``, ``.tar.gz``, ``.tgz``) inside an archive are opened one level deep.
  Nothing is extracted by its name. An archive member that must be read out of order (an Inspect
  log) is copied to an unnamed temporary file, in memory up to 16 MB.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from memcollab.errors import UsageError
from memcollab.records import Rejected
from memcollab.sources.archives import Member, ZipArchive, tar_members
from memcollab.sources.rejections import Unfit, named, rejected
from memcollab.sources.streams import CHUNK, Budget, Disk, Readable, gunzip

MAX_RECORD = 64 * 1024 * 1024
"""Bytes of one record: a line, or a JSON document."""
MAX_NESTING = 1
"""Archives inside an archive that are opened."""
_IN_MEMORY = 16 * 1024 * 1024
_TAR = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Aside:
    """A file that was not read because it is no file of runs: a hidden one, a linked folder."""

    name: str


class RunFile:
    """One logical file, read once from its start; ``peek`` looks ahead without taking.

    Attributes:
        name: what a person finds it by: ``math.tar.gz!math/gpt-4.jsonl``.
        path: the file's own name, without ``.gz``, below ``folders``.
        folders: names of the folders it lies in, outermost first, from the folder that was given
            on; an archive counts as if it had been unpacked where it lies.
        archive: name of the innermost archive, or None.
        budget: what it may expand to.
        problem: the break that ``peek`` or ``seekable`` came upon, if they did.
    """

    def __init__(
        self,
        name: str,
        folders: tuple[str, ...],
        filename: str,
        stream: Readable,
        budget: Budget,
        *,
        archive: str | None = None,
        file: BinaryIO | None = None,
    ) -> None:
        self.name = name
        self.path = PurePosixPath(*folders, filename)
        self.folders = folders
        self.archive = archive
        self.budget = budget
        self._stream, self._file = stream, file
        self._ahead = b""
        self.problem: Unfit | None = None

    def __repr__(self) -> str:
        return f"RunFile({self.name!r})"

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end. Raises: Unfit when not one is readable."""
        parts, have = [self._ahead], len(self._ahead)
        while have < size:
            try:
                data = self._stream.read(max(CHUNK, size - have))
            except Unfit as problem:
                self.problem = problem
                if not have:
                    raise
                break  # it will be raised again by the read that comes to it
            if not data:
                break
            parts.append(data)
            have += len(data)
        self._ahead = b"".join(parts)
        return self._ahead[:size]

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; ``b""`` at the end. Raises: Unfit where the stream breaks."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._stream.read(size)

    def whole(self, limit: int = MAX_RECORD) -> bytes:
        """All bytes. Raises: Unfit ``too-large`` above ``limit`` bytes."""
        parts: list[bytes] = []
        have = 0
        while data := self.read(CHUNK):
            have += len(data)
            if have > limit:
                raise Unfit("too-large", f"more than {limit} bytes in one document")
            parts.append(data)
        return b"".join(parts)

    def lines(self) -> Iterator[Line]:
        """Lines with their numbers, from 1, without their ends; blank ones are passed over."""
        return (line for line in _lines(self) if line.problem or line.data.strip())

    def seekable(self, stack: ExitStack) -> BinaryIO:
        """The bytes as a file that can be read in any order; closed with ``stack``."""
        if self._file is not None:
            self._file.seek(0)
            return self._file
        spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        copy = stack.enter_context(spool)
        try:
            while data := self.read(CHUNK):
                copy.write(data)
        except Unfit as problem:
            if problem.reason != "truncated":
                raise
            self.problem = problem  # what there is of it is read all the same
        copy.seek(0)
        return cast(BinaryIO, copy)


@dataclass(frozen=True)
class Line:
    """One line of a file, or what is wrong there. ``ended``: a line end followed."""

    number: int
    data: bytes = b""
    ended: bool = True
    problem: Unfit | None = None


_TOO_LONG = Unfit("too-large", f"a line of more than {MAX_RECORD} bytes")


def _lines(stream: Readable) -> Iterator[Line]:
    parts: list[bytes] = []
    number, have = 1, 0
    while True:
        try:
            chunk = stream.read(CHUNK)
        except Unfit as problem:
            yield Line(number, problem=problem)
            return
        if not chunk:
            break
        head, *others = chunk.split(b"\n")
        for piece in (head, *others)[:-1] if others else ():
            yield _line(number, [*parts, piece], have + len(piece))
            number, parts, have = number + 1, [], 0
        last = others[-1] if others else head
        have += len(last)
        parts = [*parts, last] if have <= MAX_RECORD else []
    if have:
        yield _line(number, parts, have, ended=False)


def _line(number: int, parts: Sequence[bytes], size: int, *, ended: bool = True) -> Line:
    if size > MAX_RECORD:
        return Line(number, problem=_TOO_LONG)
    data = b"".join(parts).removesuffix(b"\r")
    return Line(number, data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data, ended)


# --- walking ---------------------------------------------------------------------------------


def roots(paths: Iterable[str | Path]) -> list[tuple[str, Path]]:
    """What was given, with the prefix that its files' names carry ("" when one path was given).

    Raises:
        UsageError: a path is not there, or may not be opened, or none was given.
    """
    given = [Path(path) for path in paths]
    if not given:
        raise UsageError("no path to runs was given. Next: memcollab learn PATH")
    for path in given:
        _openable(path)
    several = len(given) > 1
    ending = {path: "/" if path.is_dir() else "" for path in given}
    return [(path.as_posix() + ending[path] if several else "", path) for path in given]


def _openable(path: Path) -> None:
    try:
        if path.is_dir():
            os.scandir(path).close()
        elif path.is_file():
            path.open("rb").close()
        else:
            raise UsageError(
                f"{str(path)!r} is {'no file and no folder' if path.exists() else 'not there'}. "
                "Valid: a file of runs, an archive (.zip .tar .tar.gz .tgz .gz) or a folder of "
                "them. Next: memcollab learn PATH"
            )
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} cannot be opened: {error.strerror}. Next: check who may read it"
        ) from error


def walk(given: Iterable[tuple[str, Path]]) -> Iterator[RunFile | Rejected | Aside]:
    """Every logical file below the ``roots``, in order of name."""
    for prefix, path in given:
        # a name for ".", without following links
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        if path.is_dir():
            yield from _folder(path, prefix, (named(absolute.name),))
        else:
            yield from _file(path, named(prefix or path.name), (named(absolute.parent.name),))


def _folder(
    folder: Path, prefix: str, folders: tuple[str, ...]
) -> Iterator[RunFile | Rejected | Aside]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Rejected(origin=prefix, reason="unreadable", detail=error.strerror or str(error))
        return
    for entry in entries:
        name = prefix + named(entry.name)
        if entry.name.startswith("."):
            yield Aside(name)
        elif entry.is_dir(follow_symlinks=False):
            yield from _folder(Path(entry.path), f"{name}/", (*folders, named(entry.name)))
        elif entry.is_file():
            yield from _file(Path(entry.path), name, folders)
        else:  # a linked folder may lead in a circle; a pipe or a device may never end
            yield Aside(name)


def _file(path: Path, name: str, folders: tuple[str, ...]) -> Iterator[RunFile | Rejected | Aside]:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        yield Rejected(origin=name, reason="unreadable", detail=error.strerror or str(error))
        return
    with file:
        raw = cast(BinaryIO, file)
        budget = Budget(os.fstat(file.fileno()).st_size)
        filename = named(path.name)
        yield from _unpacked(RunFile(name, folders, filename, Disk(raw), budget, file=raw))


def _unpacked(file: RunFile, depth: int = 0) -> Iterator[RunFile | Rejected | Aside]:
    """The file itself, or the files in it when it is an archive."""
    name = file.path.name.lower()
    if not name.endswith((*_TAR, ".zip")):
        yield _plain(file) if name.endswith(".gz") else file
        return
    if depth > MAX_NESTING:
        yield Rejected(origin=file.name, reason="bomb", detail="archives nested too deep")
        return
    try:
        with ExitStack() as stack:
            for member in _members(file, stack):
                yield from _member(file, member, depth)
                if file.budget.exceeded:
                    return  # whoever read the member has told it
    except Unfit as problem:
        if not problem.reported:
            yield rejected(file.name, problem)


def _plain(file: RunFile) -> RunFile:
    """A file that is compressed by itself (``runs.jsonl.gz``)."""
    return RunFile(
        file.name,
        file.folders,
        file.path.name[: -len(".gz")],
        gunzip(file, file.budget),
        file.budget,
        archive=file.archive,
    )


def _members(file: RunFile, stack: ExitStack) -> Iterator[Member]:
    name = file.path.name.lower()
    if name.endswith(".zip"):
        copy = file.seekable(stack)
        return ZipArchive(copy, file.budget, file.problem).members()
    return tar_members(file if name.endswith(".tar") else gunzip(file, file.budget))


def _member(archive: RunFile, member: Member, depth: int) -> Iterator[RunFile | Rejected | Aside]:
    name = f"{archive.name}!{member.name}"
    inside = PurePosixPath(member.name.replace("\\", "/"))
    if member.stream is None:
        yield rejected(name, member.problem or Unfit("unreadable"))
    elif any(part.startswith(".") for part in inside.parts):
        yield Aside(name)
    else:
        file = RunFile(
            name,
            (*archive.folders, *inside.parts[:-1]),
            inside.name,
            member.stream,
            archive.budget,
            archive=archive.path.name,
        )
        yield from _unpacked(file, depth + 1)
