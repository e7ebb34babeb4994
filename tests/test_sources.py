"""Reading runs: folders, archives, limits, and what becomes of everything that is no run."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import orjson
import pytest

from memcollab.errors import RunRejected, UsageError
from memcollab.records import Rejected, Trajectory
from memcollab.sources import REASONS, RunFile, Unfit, preview, read_runs, sources
from memcollab.sources import streams as streams_module


def line(number: int = 0, **changes: Any) -> bytes:
    """One chat line, with a task of its own."""
    run = {
        "task": f"Add {number} and 1.",
        "model": "qwen2.5-7b",
        "messages": [{"role": "assistant", "content": str(number + 1)}],
        "solved": True,
        **changes,
    }
    return orjson.dumps(run) + b"\n"


def read(path: Path, **options: Any) -> tuple[list[Trajectory], list[str], list[str]]:
    """The runs of a path, its rejections as text, and the names of what was left aside."""
    skipped: list[str] = []
    read = list(read_runs([path], on_skip=skipped.append, **options))
    runs = [run for run in read if isinstance(run, Trajectory)]
    return runs, [str(run) for run in read if isinstance(run, Rejected)], skipped


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    """A tar archive of files, or of headers as they are."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def header(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A tar header of a kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_come_in_order_of_name_with_their_place(tmp_path: Path) -> None:
    """A folder is read by name, and a run's origin is the path below it and the line."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.jsonl").write_bytes(line(1) + b"\n" + line(2))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line(3)))
    tar(tmp_path / "c.tar.gz", ("deep/y.jsonl", line(4)))
    runs, rejected, skipped = read(tmp_path)
    origins = ["a.jsonl.gz:1", "b/x.jsonl:1", "b/x.jsonl:3", "c.tar.gz!deep/y.jsonl:1"]
    assert [run.origin for run in runs] == origins
    assert (rejected, skipped) == ([], [])


def test_several_paths_are_told_apart(tmp_path: Path) -> None:
    """With several paths an origin begins with the path that was given."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_bytes(line(len(name), model=name))
    runs = list(read_runs([tmp_path / "one", tmp_path / "two" / "x.jsonl"]))
    assert [run.origin for run in runs] == [
        f"{(tmp_path / name / 'x.jsonl').as_posix()}:1" for name in ("one", "two")
    ]


def test_a_path_that_is_not_there_is_a_usage_error_at_once(tmp_path: Path) -> None:
    """Nothing is read before every path was found; a pipe is no file of runs."""
    with pytest.raises(UsageError, match=r"'.*missing' is not there"):
        read_runs([tmp_path, tmp_path / "missing"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no file and no folder"):
        read_runs([tmp_path / "pipe"])
    with pytest.raises(UsageError, match="no path"):
        read_runs([])


def test_what_nothing_claims_is_named(tmp_path: Path) -> None:
    """Other files, hidden ones, pipes and linked folders are left aside by name, unread."""
    (tmp_path / "README.md").write_text("# no runs")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "other.jsonl").write_text('{"state": {"task_id": 1}, "task": {"model": "x"}}\n')
    (tmp_path / ".hidden.jsonl").write_bytes(line())
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zz").symlink_to(tmp_path)
    tar(tmp_path / "t.tar", ("LICENSE", b"x"), ("._x.jsonl", b"x"), mode="w")
    runs, rejected, skipped = read(tmp_path)
    assert (runs, rejected) == ([], [])
    assert skipped == [
        ".hidden.jsonl",
        "README.md",
        "other.json",
        "other.jsonl",
        "pipe.jsonl",
        "t.tar!LICENSE",
        "t.tar!._x.jsonl",
        "zz",
    ]


def test_every_fault_of_a_line_has_its_name(tmp_path: Path) -> None:
    """Bad lines are named one by one, and the good ones between them are read."""
    lines = [
        line(1),
        b"garbage\n",
        b"[1, 2]\n",
        line(2, messages="text"),
        line(3, model=None),
        line(4, model="unknown"),
        b'{"task": "x", "model": "m", "solved": true}\n',
        line(5, messages=[]),
        line(6, solved="yes"),
        line(1),
        b'\xff{"task": 1}\n',
        line(7, solved=None, reason="timeout"),
        line(8, solved=None),
        line(9)[:40],
    ]
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b"".join(lines))
    runs, rejected, _ = read(path)
    reasons = [text.split(":")[1] + text.split(":")[2].split("(")[0].rstrip() for text in rejected]
    assert reasons == [
        "2 not-json",
        "3 wrong-type",
        "4 wrong-type",
        "5 unknown-model",
        "6 unknown-model",
        "7 missing-field",
        "8 no-messages",
        "9 wrong-type",
        "10 duplicate",
        "11 not-json",
        "14 truncated",
    ]
    verdicts = [(run.verdict.solved, run.verdict.reason) for run in runs]
    assert verdicts == [(True, None), (None, "timeout"), (None, "no verdict")]


def test_strict_raises_with_the_place_and_the_next_step(tmp_path: Path) -> None:
    """Strict reading gives the runs before the first bad one and then stops."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(line(1) + b"{\n" + line(2))
    stream = read_runs(str(path), strict=True)
    assert next(stream).origin == "runs.jsonl:1"
    with pytest.raises(RunRejected, match=r"runs\.jsonl:2: not-json.*--strict"):
        next(stream)


def test_a_run_of_ten_megabytes_is_read_and_one_above_64_is_not(tmp_path: Path) -> None:
    """The limit of a record is 64 MB; the record behind a longer one is read."""
    path = tmp_path / "runs.jsonl"
    ten = line(1, messages=[{"role": "assistant", "content": "x" * 10_000_000}])
    with path.open("wb") as file:
        file.write(ten)
        file.write(b'{"task": "' + b"x" * (64 * 1024 * 1024) + b'"}\n')
        file.write(line(2))
    runs, rejected, _ = read(path)
    assert [len(run.steps[0].content) for run in runs] == [10_000_000, 1]
    assert [text.split(" (")[0] for text in rejected] == ["runs.jsonl:2: too-large"]


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("../up.jsonl", line()), "its path leaves the archive"),
        (("a/../../up.jsonl", line()), "its path leaves the archive"),
        (("/etc/passwd.jsonl", line()), "its path leaves the archive"),
        (("..\\up.jsonl", line()), "its path leaves the archive"),
        (("C:\\up.jsonl", line()), "its path leaves the archive"),
        (header("link.jsonl", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (header("hard.jsonl", tarfile.LNKTYPE, "x"), "a link"),
        (header("device.jsonl", tarfile.CHRTYPE), "no regular file"),
        (header("pipe.jsonl", tarfile.FIFOTYPE), "no regular file"),
    ],
)
def test_an_unsafe_member_is_named_and_passed_over(member: Any, why: str, tmp_path: Path) -> None:
    """Links, devices and paths out of a tar archive are rejected; the rest of it is read."""
    path = tar(tmp_path / "t.tar.gz", ("a.jsonl", line(1)), member, ("z.jsonl", line(2)))
    runs, rejected, _ = read(path)
    assert [run.origin for run in runs] == ["t.tar.gz!a.jsonl:1", "t.tar.gz!z.jsonl:1"]
    assert len(rejected) == 1
    assert rejected[0].endswith(f": unsafe-path ({why})")
    assert not (tmp_path.parent / "up.jsonl").exists()


def test_unsafe_and_encrypted_members_of_a_zip_are_named(tmp_path: Path) -> None:
    """A zip's paths, links and locked members are handled as a tar's; the last of a name counts."""
    path = tmp_path / "z.zip"
    link = zipfile.ZipInfo("link.jsonl")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../up.jsonl", line(1))
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder/", b"")
        archive.writestr("twice.jsonl", line(2))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice.jsonl", line(3))
        archive.writestr("locked.jsonl", line(4))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1  # the flag of an encrypted member, in the directory
    path.write_bytes(bytes(data))
    runs, rejected, _ = read(path)
    assert [run.task.text for run in runs] == ["Add 3 and 1."]
    assert rejected == [
        "z.zip!../up.jsonl: unsafe-path (its path leaves the archive)",
        "z.zip!link.jsonl: unsafe-path (a link)",
        "z.zip!locked.jsonl: unreadable (it is encrypted)",
    ]


@pytest.mark.parametrize("packing", ["gz", "tar.gz", "zip"])
def test_a_bomb_is_let_go_with_one_rejection(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that expands beyond 200 times its size and the free amount is given up."""
    monkeypatch.setattr(streams_module, "FREE_EXPANSION", 1 << 20)
    zeros = line(1) + b" " * (8 << 20) + b"\n"
    path = tmp_path / f"bomb.{'jsonl.gz' if packing == 'gz' else packing}"
    if packing == "gz":
        path.write_bytes(gzip.compress(zeros))
    elif packing == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.jsonl", zeros)
            archive.writestr("y.jsonl", line(2))
    else:
        tar(path, ("x.jsonl", zeros), ("y.jsonl", line(2)))
    runs, rejected, _ = read(path)
    assert [run.task.text for run in runs] == ["Add 1 and 1."]
    assert [": bomb (" in text for text in rejected] == [True]


def test_archives_are_opened_one_level_deep(tmp_path: Path) -> None:
    """An archive in an archive is read, one in that is not."""
    inner = tar(tmp_path / "i.tar.gz", ("x.jsonl", line(1))).read_bytes()
    middle = tar(tmp_path / "m.tar.gz", ("i.tar.gz", inner)).read_bytes()
    outer = tar(tmp_path / "o.tar", ("m.tar.gz", middle), ("z.jsonl", line(2)), mode="w")
    assert [run.origin for run in read(tmp_path / "m.tar.gz")[0]] == ["m.tar.gz!i.tar.gz!x.jsonl:1"]
    runs, rejected, _ = read(outer)
    assert [run.origin for run in runs] == ["o.tar!z.jsonl:1"]
    assert rejected == ["o.tar!m.tar.gz!i.tar.gz: bomb (archives nested too deep)"]


def test_huge_and_damaged_tar_headers_are_refused(tmp_path: Path) -> None:
    """A tar whose header claims a name of gigabytes, or is overwritten, is named and let go."""
    info = header("x" * 200, tarfile.GNUTYPE_LONGNAME)
    info.size = 4 << 30
    huge = tmp_path / "huge.tar"
    huge.write_bytes(info.tobuf(tarfile.GNU_FORMAT)[-512:] + b"\0" * 2048)
    data = bytearray(tar(tmp_path / "d.tar", ("x.jsonl", line(1)), mode="w").read_bytes())
    data[100:108] = b"damaged!"
    (tmp_path / "d.tar").write_bytes(bytes(data))
    assert ": bomb (a tar header of" in str(read(huge)[1])
    assert "d.tar: unreadable (a tar header is damaged" in str(read(tmp_path / "d.tar")[1])


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_foreign_names_in_a_tar_are_kept(form: int, tmp_path: Path) -> None:
    """Long names (GNU and pax headers) and names beyond ASCII come out whole."""
    name = "möglich/" + ("deep/" * 18 if form == tarfile.USTAR_FORMAT else "deep/" * 40) + "x.jsonl"
    with tarfile.open(tmp_path / "t.tar", "w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(line(1))
        archive.addfile(info, io.BytesIO(line(1)))
    runs, rejected, _ = read(tmp_path / "t.tar")
    assert ([run.origin for run in runs], rejected) == ([f"t.tar!{name}:1"], [])


def test_a_zip_without_its_directory_is_read_by_its_headers(tmp_path: Path) -> None:
    """What a cut zip still holds is read, sizes in front (seekable writer) or behind (stream)."""
    for streamed in (False, True):
        buffer = _Unseekable() if streamed else io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jsonl", line(1))
            archive.writestr("b.jsonl", line(2))
        data = buffer.getvalue()
        path = tmp_path / "cut.zip"
        path.write_bytes(data[: data.index(b"PK\x01\x02")])
        runs, rejected, _ = read(path)
        assert [run.origin for run in runs] == ["cut.zip!a.jsonl:1", "cut.zip!b.jsonl:1"]
        assert [text.split(" (")[0] for text in rejected] == ["cut.zip: truncated"]


class _Unseekable(io.BytesIO):
    """A stream that a zip writer cannot go back in, as to a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def test_a_flipped_byte_in_a_zip_is_named(tmp_path: Path) -> None:
    """A member whose bytes do not match its checksum is rejected as unreadable."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.jsonl", line(1))
    path.write_bytes(path.read_bytes().replace(b"qwen2.5-7b", b"qwen2.5-8b"))
    _, rejected, _ = read(path)
    assert rejected == [
        "z.zip!a.jsonl:2: unreadable (the member's checksum does not match its bytes)"
    ]


def test_names_from_outside_cannot_speak_to_a_terminal(tmp_path: Path) -> None:
    """Control characters and bytes that are no UTF-8 are replaced in what is shown and stored."""
    path = tar(tmp_path / "t.tar.gz", ("\x1b[31mred\udcff.jsonl", line(1)))
    assert [run.origin for run in read(path)[0]] == ["t.tar.gz!\ufffd[31mred\ufffd.jsonl:1"]


def test_an_unreadable_file_is_named_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be opened is one rejection."""
    (tmp_path / "a.jsonl").write_bytes(line(1))
    (tmp_path / "b.jsonl").write_bytes(line(2))
    real = Path.open

    def opened(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "a.jsonl":  # root may open everything, so its fault is made here
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    runs, rejected, _ = read(tmp_path)
    assert [run.origin for run in runs] == ["b.jsonl:1"]
    assert rejected == ["a.jsonl: unreadable (Permission denied)"]


class Words:
    """A stranger's source: one run for each word of a ``.words`` file."""

    name = "words"

    def claims(self, file: RunFile) -> bool:
        return file.path.suffix == ".words"

    def read(self, file: RunFile) -> Any:
        yield Rejected(origin=file.name, reason="empty", detail=file.whole().decode())
        raise Unfit("unreadable", "the end")


def test_a_strangers_source_reads_what_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source registered under the entry-point group is asked, and its breaks are reported."""
    _register(monkeypatch, f"{__name__}:Words")
    (tmp_path / "x.words").write_text("hello")
    assert read(tmp_path / "x.words")[1] == [
        "x.words: empty (hello)",
        "x.words: unreadable (the end)",
    ]


@pytest.mark.parametrize(
    "value", ["memcollab.nothing:Source", "memcollab.sources:REASONS", "io:BytesIO"]
)
def test_a_source_that_cannot_be_loaded_is_a_usage_error(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the source and where it comes from."""
    _register(monkeypatch, value)
    with pytest.raises(UsageError, match=f"the source 'stranger' \\({value}\\)"):
        sources()


def _register(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    point = EntryPoint("stranger", value, "memcollab.sources")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [point])


def test_preview_shows_the_first_runs(tmp_path: Path) -> None:
    """Without a mapping the preview is the first runs, as they are read."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(line(1) + b"{\n" + line(2))
    assert [view.origin for view in preview(path, n=2)] == ["runs.jsonl:1", "runs.jsonl:2"]
    assert preview(path)[0].fields == {}


def test_only_known_reasons_can_be_given() -> None:
    """The names of rejections are a closed set."""
    assert len(REASONS) == 12
    with pytest.raises(ValueError, match="no rejection is named 'odd'"):
        Unfit("odd")
