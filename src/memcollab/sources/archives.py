"""Members of tar and zip archives, as streams. Nothing is ever extracted by name.

A member's name is text to show. A name that leaves the archive, a link or a device is handed out as
a ``Member`` with ``problem`` set, and its bytes are passed over.

The tar walk is our own because ``tarfile`` drops up to a buffer of readable data where an archive
breaks, keeps every header in memory, and reads extended headers of any size. ``zipfile`` reads the
central directory only, because it knows no Zstandard before Python 3.14, which Inspect AI writes.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from memcollab.sources.rejections import Unfit, named
from memcollab.sources.streams import CHUNK, At, Budget, Checked, Inflate, Readable, Slice, Zstd

MAX_HEADER = 1 << 20
"""Bytes of an extended tar header (a long name, pax records)."""
MAX_SCANNED = 1_000_000
"""Members of a zip archive that has no directory."""


@dataclass(frozen=True)
class Member:
    """One member of an archive: a stream, or why it is not read."""

    name: str
    stream: Readable | None = None
    problem: Unfit | None = None


# --- tar -------------------------------------------------------------------------------------


def tar_members(stream: Readable) -> Iterator[Member]:
    """The members of a tar stream, in order; each stream is good until the next is asked for.

    Raises: Unfit where the archive breaks, or ends without its end mark.
    """
    longer: dict[str, str] = {}
    while (header := _tar_header(stream)) is not None:
        body = Slice(stream, header.size if _has_body(header) else 0)
        padding = -body.left % tarfile.BLOCKSIZE
        if header.type in _EXTENDED:
            longer |= _extended(header, body)
        else:
            size = longer.get("size", "")
            if size.isdecimal() and len(size) < 20:
                body.left = int(size)
                padding = -body.left % tarfile.BLOCKSIZE
            member = _tar_member(header, longer, body)
            if member is not None:
                yield member
            longer = {}
        body.skip()
        Slice(stream, padding).skip()


_PAX_LENGTH = re.compile(rb"(\d{1,9}) ")
_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def _has_body(header: tarfile.TarInfo) -> bool:
    return header.isreg() or header.type in _EXTENDED or header.type not in tarfile.SUPPORTED_TYPES


def _tar_header(stream: Readable) -> tarfile.TarInfo | None:
    block = b""
    while len(block) < tarfile.BLOCKSIZE:
        data = stream.read(tarfile.BLOCKSIZE - len(block))
        if not data:
            break
        block += data
    if len(block) < tarfile.BLOCKSIZE:
        raise Unfit("truncated", "the tar archive ends without its end mark")
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the end mark: a block of zeros
        return None
    except (tarfile.HeaderError, ValueError) as error:
        raise Unfit("unreadable", f"a tar header is damaged: {error}") from error
    if header.size < 0:
        raise Unfit("unreadable", f"a tar header gives the size {header.size}")
    return header


def _extended(header: tarfile.TarInfo, body: Slice) -> dict[str, str]:
    """What an extended header says about the next member: its long name, its true size."""
    if body.left > MAX_HEADER:
        raise Unfit("bomb", f"a tar header of {body.left} bytes")
    data = b""
    while body.left:
        data += body.read(body.left)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "replace")}
    if header.type == tarfile.XHDTYPE:
        return dict(_pax_records(data))
    return {}


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Those of the records ``length key=value\\n`` that matter here; reading stops at the first
    that is not of that form."""
    start = 0
    while found := _PAX_LENGTH.match(data, start):
        end = start + int(found[1])
        if end <= found.end() or end > len(data):
            return
        key, _, value = data[found.end() : end - 1].partition(b"=")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
            yield key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        start = end


def _tar_member(header: tarfile.TarInfo, longer: dict[str, str], body: Slice) -> Member | None:
    name = longer.get("path") or header.name
    if header.isdir():
        return None if _stays(name) else _unsafe(name, "its path leaves the archive")
    if header.issparse() or any(key.startswith("GNU.sparse") for key in longer):
        return Member(named(name), problem=Unfit("unreadable", "a sparse file"))
    if not header.isreg():
        kind = "a link" if header.issym() or header.islnk() else "no regular file"
        return _unsafe(name, kind)
    if not _stays(name):
        return _unsafe(name, "its path leaves the archive")
    return Member(named(name), body)


def _stays(name: str) -> bool:
    """Whether a member's path stays inside the archive on every system."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not drive


def _unsafe(name: str, why: str) -> Member:
    return Member(named(name) or "''", problem=Unfit("unsafe-path", why))


# --- zip -------------------------------------------------------------------------------------

_LOCAL = struct.Struct("<4s5H3I2H")
_ZIP64_SIZES = struct.Struct("<QQ")
_STORED, _DEFLATED, _ZSTD_OLD, _ZSTD = 0, 8, 20, 93
_ENCRYPTED, _SIZE_FOLLOWS, _UTF8 = 0x1, 0x8, 0x800
_FOURS = 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """Where a zip member's bytes are. ``packed`` is their number; None = not known beforehand."""

    name: str
    method: int
    flags: int
    header: int
    packed: int | None
    size: int
    crc: int | None
    link: bool = False


class ZipArchive:
    """A zip archive over a seekable file: its entries by the directory at its end or, where that
    is missing because the archive was cut, by the headers in front of each member.

    ``cut`` is why the file is not whole, if that is known. ``problem`` says what is wrong with the
    archive as a whole; its entries are good all the same.
    """

    def __init__(self, file: BinaryIO, budget: Budget, cut: Unfit | None = None) -> None:
        self._file, self._budget = file, budget
        self.problem: Unfit | None = None
        try:
            with zipfile.ZipFile(file) as archive:
                listed = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            self.entries = tuple(islice(self._scan(), MAX_SCANNED))
            reason = "truncated" if self.entries else "unreadable"
            self.problem = cut or Unfit(reason, f"the zip archive has no directory: {error}")
        else:
            # a member written twice: the last one counts, as by name everywhere
            last = {info.filename: info for info in listed}
            self.entries = tuple(map(_entry, last.values()))

    def members(self) -> Iterator[Member]:
        """Every member that is a file, in order; then raises ``problem``, if there is one."""
        for entry in self.entries:
            if _stays(entry.name) and entry.name.endswith("/"):
                continue
            try:
                yield Member(named(entry.name), self.open(entry))
            except Unfit as problem:
                yield Member(named(entry.name) or "''", problem=problem)
        if self.problem:
            raise self.problem

    def open(self, entry: Entry) -> Readable:
        """The bytes of one member, checked against its checksum at their end.

        Raises:
            Unfit: its path is unsafe, or it is encrypted or packed in a way that is not known.
        """
        if not _stays(entry.name):
            raise Unfit("unsafe-path", "its path leaves the archive")
        if entry.link:
            raise Unfit("unsafe-path", "a link")
        if entry.flags & _ENCRYPTED:
            raise Unfit("unreadable", "it is encrypted")
        return Checked(self._expanded(entry), entry.crc)

    def _expanded(self, entry: Entry) -> Readable:
        packed = At(self._file, self._data_offset(entry), entry.packed, self.problem)
        if entry.method == _DEFLATED:
            return Inflate(packed, self._budget, -15)
        if entry.method in (_ZSTD, _ZSTD_OLD):
            return Zstd(packed, self._budget)
        if entry.method == _STORED and entry.packed is not None:
            return packed
        raise Unfit("unreadable", f"compression method {entry.method} is not known")

    def _data_offset(self, entry: Entry) -> int:
        header = self._local(entry.header)
        if header is None:
            raise Unfit("unreadable", "its header is damaged")
        return entry.header + _LOCAL.size + header[9] + header[10]

    def _local(self, offset: int) -> tuple[int, ...] | None:
        try:
            self._file.seek(offset)
            raw = self._file.read(_LOCAL.size)
        except (OSError, ValueError):  # an offset that no file has
            return None
        if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
            return None
        return _LOCAL.unpack(raw)

    def _scan(self) -> Iterator[Entry]:
        """Entries by walking the headers; each member is expanded where only that tells its end."""
        offset: int | None = 0
        while offset is not None and (header := self._local(offset)) is not None:
            entry = self._scanned(offset, header)
            yield entry
            start = offset + _LOCAL.size + header[9] + header[10]
            known = entry.packed is not None
            offset = start + (entry.packed or 0) if known else self._behind(entry, start)

    def _behind(self, entry: Entry, start: int) -> int | None:
        """Where the next header is behind a deflated member of unknown length."""
        if entry.method != _DEFLATED:
            return None
        packed = At(self._file, start, None)
        inflate = Inflate(packed, Budget(0), -15)
        try:
            while inflate.read(CHUNK):
                pass
        except Unfit:
            return None
        end = packed.offset - inflate.unused
        # a data descriptor of 12 to 24 bytes lies between
        found = At(self._file, end, 28).read().find(b"PK\x03\x04")
        return None if found < 0 else end + found

    def _scanned(self, offset: int, header: tuple[int, ...]) -> Entry:
        flags, method, crc, packed, size = header[2], header[3], header[6], header[7], header[8]
        raw = self._file.read(header[9])
        extra = self._file.read(header[10])
        if packed == _FOURS:
            size, packed = _zip64(extra)
        known = not flags & _SIZE_FOLLOWS
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        return Entry(
            name,
            method,
            flags,
            offset,
            packed if known else None,
            size,
            crc if known else None,
        )


def _zip64(extra: bytes) -> tuple[int, int]:
    """Sizes (expanded, packed) from a local zip64 field; none there = nothing can follow."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and length >= _ZIP64_SIZES.size and len(extra) >= 4 + _ZIP64_SIZES.size:
            size, packed = _ZIP64_SIZES.unpack_from(extra, 4)
            return size, packed
        extra = extra[4 + length :]
    return _FOURS, _FOURS


def _entry(info: zipfile.ZipInfo) -> Entry:
    return Entry(
        name=info.orig_filename.partition("\0")[0],
        method=info.compress_type,
        flags=info.flag_bits,
        header=info.header_offset,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        link=(info.external_attr >> 28) == 0o12,
    )
