"""Bytes as streams, within limits: from disk, out of gzip, deflate and Zstandard.

The contract of this module:

* A stream has ``read(size)``: up to ``size`` bytes, fewer when fewer are at hand, ``b""`` at its
  end. Whatever was readable before a break is handed out first; the break is then raised as
  ``Unfit`` (``truncated``, ``unreadable`` or ``bomb``), by each further read again.
* Every byte that a decompressor makes is charged to the ``Budget`` of the file on disk.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Protocol, cast

from memcollab.sources.rejections import Unfit

CHUNK = 256 * 1024
MAX_EXPANSION = 200
"""An archive may expand to this many times its size …"""
FREE_EXPANSION = 1 << 30
"""… or to this many bytes, whichever is more; beyond both it is a ``bomb``."""
_ZSTD_WINDOW = 1 << 26


class Readable(Protocol):
    """A stream of bytes; see the module's contract."""

    def read(self, size: int, /) -> bytes: ...


class Budget:
    """How many bytes one file on disk may expand to, over all its members and layers."""

    def __init__(self, compressed: int) -> None:
        self._left = max(FREE_EXPANSION, MAX_EXPANSION * compressed)
        self._bomb = Unfit(
            "bomb",
            f"{compressed} bytes expand to more than {MAX_EXPANSION} times their size and to more "
            f"than {FREE_EXPANSION} bytes",
        )

    @property
    def exceeded(self) -> bool:
        """Whether it is used up; then nothing more of the file is read."""
        return self._left < 0

    def spend(self, size: int) -> None:
        """Charge ``size`` expanded bytes. Raises: Unfit ``bomb`` when the budget is used up."""
        self._left -= size
        if self._left < 0:
            raise self._bomb


class Disk:
    """A file on disk as a stream whose faults have a name."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise Unfit("unreadable", error.strerror or str(error)) from error


class Slice:
    """The next ``size`` bytes of a stream; running out before is ``truncated``."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self.left = size
        self._problem: Unfit | None = None

    def read(self, size: int, /) -> bytes:
        if not self.left:
            return b""
        data = b"" if self._problem else self._stream.read(min(size, self.left))
        if not data:
            missing = Unfit("truncated", f"{self.left} bytes of the member are missing")
            self._problem = self._problem or missing
            raise self._problem
        self.left -= len(data)
        return data

    def skip(self) -> None:
        while self.left:
            self.read(CHUNK)


class Inflate:
    """Deflated bytes expanded: a raw stream (``wbits=-15``) or gzip members in a row (``31``)."""

    def __init__(self, stream: Readable, budget: Budget, wbits: int) -> None:
        self._stream, self._budget, self._wbits = stream, budget, wbits
        self._inflater = zlib.decompressobj(wbits)
        self._input = b""
        self._problem: Unfit | None = None

    @property
    def unused(self) -> int:
        """Bytes taken from the stream that lie behind the end of the data."""
        return len(self._input)

    def read(self, size: int, /) -> bytes:
        if self._problem:
            raise self._problem
        try:
            return self._read(size)
        except Unfit as problem:
            self._problem = problem
            raise

    def _read(self, size: int) -> bytes:
        while not self._inflater.eof or self._next_member():
            self._input = self._input or self._stream.read(CHUNK)
            ended = not self._input
            data = self._expand(size)
            if data:
                return data
            if ended and not self._inflater.eof:
                raise Unfit("truncated", "the compressed data ends before its end mark")
        return b""

    def _expand(self, size: int) -> bytes:
        try:
            data = self._inflater.decompress(self._input, size)
        except zlib.error as error:
            raise Unfit("unreadable", f"the compressed data is damaged: {error}") from error
        done = self._inflater.eof
        self._input = self._inflater.unused_data if done else self._inflater.unconsumed_tail
        self._budget.spend(len(data))
        return data

    def _next_member(self) -> bool:
        """Begin the next gzip member, if there is one; zero padding between members is allowed."""
        if self._wbits < 0:
            return False
        rest = self._input
        while not (rest := rest.lstrip(b"\0")):
            rest = self._stream.read(CHUNK)
            if not rest:
                self._input = b""
                return False
        self._input = rest
        self._inflater = zlib.decompressobj(self._wbits)
        return True


def gunzip(stream: Readable, budget: Budget) -> Inflate:
    """The expanded bytes of a gzip stream."""
    return Inflate(stream, budget, 31)


class Zstd:
    """Zstandard frames expanded."""

    def __init__(self, stream: Readable, budget: Budget) -> None:
        import zstandard  # needed by the logs of one program only

        self._error = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._reader = decompressor.stream_reader(cast(BinaryIO, stream), read_across_frames=True)
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        try:
            data = self._reader.read1(size)
        except self._error as error:
            raise Unfit("unreadable", f"the compressed data is damaged: {error}") from error
        self._budget.spend(len(data))
        return data


class At:
    """A part of a seekable file as a stream: ``size`` bytes from ``offset``; None = to the end.
    ``ended`` is raised where bytes are missing.

    Seeks before each read, because several members share one file.
    """

    def __init__(
        self, file: BinaryIO, offset: int, size: int | None, ended: Unfit | None = None
    ) -> None:
        self._file, self.offset, self._left = file, offset, size
        self._ended = ended or Unfit("truncated", "bytes of the member are missing")

    def read(self, size: int = CHUNK, /) -> bytes:
        if self._left is not None:
            size = min(size, self._left)
        if size <= 0:
            return b""
        try:
            self._file.seek(self.offset)
            data = self._file.read(size)
        except (OSError, ValueError) as error:
            raise Unfit("unreadable", str(error)) from error
        if not data and self._left:
            raise self._ended
        self.offset += len(data)
        if self._left is not None:
            self._left -= len(data)
        return data


class Checked:
    """A stream whose bytes must have a checksum; None = not known."""

    def __init__(self, stream: Readable, crc: int | None) -> None:
        self._stream, self._crc, self._seen = stream, crc, 0
        self._problem: Unfit | None = None

    def read(self, size: int, /) -> bytes:
        if self._problem is not None:
            raise self._problem
        try:
            data = self._stream.read(size)
            self._seen = zlib.crc32(data, self._seen)
            if not data and self._crc is not None and self._seen != self._crc:
                raise Unfit("unreadable", "the member's checksum does not match its bytes")
        except Unfit as problem:
            self._problem = problem
            raise
        return data
