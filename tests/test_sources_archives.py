"""Streams out of gzip, tar and zip: what is readable comes out, every break has a name."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memcollab.sources.archives import Member, ZipArchive, tar_members
from memcollab.sources.rejections import Unfit
from memcollab.sources.streams import Budget, Disk, Readable, gunzip


def stream(data: bytes) -> Disk:
    """Bytes as a file on disk gives them."""
    return Disk(io.BytesIO(data))


def drained(source: Readable, size: int = 1000) -> tuple[bytes, str | None]:
    """All that can be read, and the name of the break, if there is one."""
    parts, problem = [], _read(source, size)
    while isinstance(problem, bytes):
        parts.append(problem)
        problem = _read(source, size)
    # the same break again, however often it is read
    assert _read(source, size) is problem
    return b"".join(parts), problem and problem.reason


def _read(source: Readable, size: int) -> bytes | Unfit | None:
    try:
        return source.read(size) or None
    except Unfit as problem:
        return problem


TEXT = b"".join(b"line %d\n" % number for number in range(5000))


@pytest.mark.parametrize(
    ("data", "text", "reason"),
    [
        (gzip.compress(TEXT), TEXT, None),
        (gzip.compress(TEXT) + gzip.compress(b"more"), TEXT + b"more", None),
        (gzip.compress(TEXT) + b"\0" * 600, TEXT, None),
        (gzip.compress(TEXT) + b"garbage", TEXT, "unreadable"),
        (gzip.compress(TEXT)[:-4], TEXT, "truncated"),
        (b"no gzip at all", b"", "unreadable"),
        (b"", b"", "truncated"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_gzip_gives_all_that_is_readable(
    data: bytes, text: bytes, reason: str | None, size: int
) -> None:
    """Members in a row, padding, garbage, a cut: what is good comes out before the break."""
    assert drained(gunzip(stream(data), Budget(len(data))), size) == (text, reason)


@given(st.integers(1, 5000))
def test_a_cut_gzip_gives_a_beginning_of_the_text(cut: int) -> None:
    """Wherever it is cut, what comes out is a beginning of what went in."""
    data = gzip.compress(TEXT, mtime=0)
    text, reason = drained(gunzip(stream(data[:cut]), Budget(cut)))
    assert TEXT.startswith(text)
    assert (text, reason) == (TEXT, None) if cut >= len(data) else reason == "truncated"


def members(data: bytes) -> list[tuple[str, Any]]:
    """A tar's members with their bytes or their problem, and at its end how it broke."""
    found: list[tuple[str, Any]] = []
    try:
        for member in tar_members(stream(data)):
            found.append((member.name, _content(member)))
    except Unfit as problem:
        found.append(("", problem.reason))
    return found


def _content(member: Member) -> Any:
    if member.stream is None:
        assert member.problem is not None
        return member.problem.reason
    return drained(member.stream)[0]


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive of headers with their bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, data in entries:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name: str, **pax: str) -> tarfile.TarInfo:
    """A tar header."""
    made = tarfile.TarInfo(name)
    made.pax_headers = pax
    return made


def test_pax_headers_give_the_true_path_and_size() -> None:
    """A pax path wins over the header's name, and a path out of the archive does not slip by it."""
    data = tar(
        (info("a", path="b/c"), b"one"),
        (info("good", path="../evil"), b"two"),
        (info("sized", comment="x", size="5"), b"three"),
    )
    assert members(data) == [("b/c", b"one"), ("../evil", "unsafe-path"), ("sized", b"three")]


def test_sparse_members_are_not_read() -> None:
    """A sparse file, which may claim any size, is refused."""
    assert members(tar((info("s", **{"GNU.sparse.major": "1"}), b"x"))) == [("s", "unreadable")]


@pytest.mark.parametrize("record", [b"9" * 5000 + b" path=x\n", b"3 x", b"999 path=x\n", b"x"])
def test_broken_pax_records_are_passed_over(record: bytes) -> None:
    """A record that is not of the form ends the records; the member keeps its plain name."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    block = header.tobuf(tarfile.USTAR_FORMAT) + record + b"\0" * (-len(record) % 512)
    assert members(block + tar((info("plain"), b"one"))) == [("plain", b"one")]


def test_a_tar_breaks_behind_what_was_readable() -> None:
    """Bytes in front of a cut come out; a tar without its end mark is truncated."""
    data = tar((info("a"), b"one"), (info("b"), b"x" * 2000))
    assert members(data[:2500]) == [("a", b"one"), ("b", b"x" * (2500 - 1536)), ("", "truncated")]
    assert members(data[:1024]) == [("a", b"one"), ("", "truncated")]
    assert members(b"") == [("", "truncated")]
    assert members(b"x" * 512) == [("", "unreadable")]


def zipped(method: int, data: bytes = TEXT, *, streamed: bool = False) -> bytes:
    """A zip archive with one member; 93 = Zstandard."""
    stored = zipfile.ZIP_STORED if method == 93 else method
    packed = zstandard.ZstdCompressor().compress(data) if method == 93 else data
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", stored) as archive,
        archive.open("a", "w", force_zip64=streamed) as file,
    ):
        file.write(packed)
    made = bytearray(buffer.getvalue())
    if method == 93:
        for mark, at, crc in ((b"PK\x03\x04", 8, 14), (b"PK\x01\x02", 10, 16)):
            start = made.rindex(mark)
            made[start + at] = 93
            made[start + crc : start + crc + 4] = zlib.crc32(data).to_bytes(4, "little")
    return bytes(made)


def only(data: bytes) -> tuple[bytes, str | None]:
    """What the one member of a zip gives."""
    archive = ZipArchive(io.BytesIO(data), Budget(len(data)))
    (member,) = archive.members() if archive.problem is None else _members_until(archive)
    return (
        drained(member.stream) if member.stream else (b"", member.problem and member.problem.reason)
    )


def _members_until(archive: ZipArchive) -> list[Member]:
    assert archive.problem is not None
    return [Member(entry.name, archive.open(entry)) for entry in archive.entries]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 93])
def test_every_packing_of_a_zip_is_read_whole_and_cut(method: int) -> None:
    """Stored, deflated and Zstandard members come out, by the directory or without it."""
    data = zipped(method)
    assert only(data) == (TEXT, None)
    without = data[: data.rindex(b"PK\x01\x02")]
    assert only(without) == (TEXT, None)
    text, reason = only(without[: len(without) // 2])
    assert TEXT.startswith(text)
    assert reason == "truncated"


def test_sizes_of_large_members_are_found_without_the_directory() -> None:
    """A member written with 64-bit sizes is read from its own header."""
    data = zipped(zipfile.ZIP_STORED, streamed=True)
    assert only(data[: data.rindex(b"PK\x01\x02")]) == (TEXT, None)


@pytest.mark.parametrize("method", [1, 9, 12, 14, 99])
def test_an_unknown_packing_is_named(method: int) -> None:
    """Deflate64, bzip2, LZMA and other methods are refused by their number."""
    data = bytearray(zipped(zipfile.ZIP_STORED))
    data[8] = data[data.rindex(b"PK\x01\x02") + 10] = method
    assert only(bytes(data)) == (b"", "unreadable")


def test_damaged_zstandard_is_named() -> None:
    """Bytes that are no Zstandard frame are unreadable."""
    data = zipped(93)
    start = data.index(b"\x28\xb5\x2f\xfd")
    assert only(data[:start] + b"XXXX" + data[start + 4 :]) == (b"", "unreadable")


def test_what_is_no_zip_is_unreadable() -> None:
    """A file that only bears the name has no members and a named problem."""
    archive = ZipArchive(io.BytesIO(b"no zip"), Budget(6))
    assert archive.entries == ()
    with pytest.raises(Unfit, match="unreadable"):
        list(archive.members())


class Failing(io.BytesIO):
    """A disk that fails."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_failing_disk_is_named() -> None:
    """An error of the system while reading is a named break."""
    with pytest.raises(Unfit, match=r"unreadable: Input/output error"):
        Disk(Failing()).read(1)
