"""What every source does, whatever its format: the registered ones, and a mapping."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memcollab.errors import RunRejected
from memcollab.records import Rejected, Trajectory
from memcollab.sources import REASONS, Mapping, Source, parse_mapping, read_runs, sources
from memcollab.sources.mapped import Mapped

MAPPING = """
[task]
text = "question"
[agent]
model = "file.stem"
[run]
messages = "turns"
[verdict]
solved = "right"
"""


def _chat() -> bytes:
    lines = [
        {
            "task": f"Add {number} and 1.",
            "model": "qwen2.5-7b",
            "messages": [
                {"role": "user", "content": f"Add {number} and 1."},
                {"role": "assistant", "content": str(number + 1)},
            ],
            "solved": number % 2 == 0,
        }
        for number in range(3)
    ]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _samples() -> list[dict[str, object]]:
    return [
        {
            "id": f"add-{number}",
            "epoch": 1,
            "input": f"Add {number} and 1.",
            "target": "x",
            "messages": [
                {"role": "user", "content": f"Add {number} and 1.", "source": "input"},
                {"role": "assistant", "content": str(number + 1)},
            ],
            "scores": {"match": {"value": "C" if number % 2 == 0 else "I"}},
        }
        for number in range(3)
    ]


HEADER = {
    "version": 2,
    "status": "success",
    "eval": {"model": "openai/gpt-4o-mini", "task": "adding"},
    "plan": {"steps": [{"solver": "generate"}]},
}


def _inspect_json() -> bytes:
    return orjson.dumps({**HEADER, "samples": _samples()})


def _inspect_eval() -> bytes:
    members = {"_journal/start.json": HEADER}
    members |= {f"samples/{sample['id']}_epoch_1.json": sample for sample in _samples()}
    return _zip(
        {name: orjson.dumps(value) for name, value in {**members, "header.json": HEADER}.items()}
    )


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            # a fixed date: the same bytes whenever the test runs
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _mapped() -> bytes:
    records = [
        {
            "question": f"Add {number} and 1.",
            "turns": [{"role": "assistant", "content": str(number + 1)}],
            "right": number % 2 == 0,
        }
        for number in range(3)
    ]
    return orjson.dumps(records)


@dataclass(frozen=True)
class Case:
    """A source, and a file of it that holds three runs, of which two are solved."""

    name: str
    filename: str
    make: Callable[[], bytes]
    mapping: Mapping | None = None

    @property
    def source(self) -> Source:
        if self.mapping is not None:
            return Mapped(self.mapping)
        return next(source for source in sources() if source.name == self.name)

    def read(self, path: Path) -> list[Trajectory | Rejected]:
        return list(read_runs([path], mapping=self.mapping))


CASES = [
    Case("chat", "qwen.jsonl", _chat),
    Case("inspect", "log.json", _inspect_json),
    Case("inspect", "log.eval", _inspect_eval),
    Case("mapped", "qwen.json", _mapped, parse_mapping(MAPPING)),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case.name}-{case.filename}")
def case(request: pytest.FixtureRequest) -> Case:
    """Each source with a valid file."""
    chosen: Case = request.param
    return chosen


def _tar(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(f"inside/{name}")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same bytes whenever the test runs


PACKINGS: dict[str, Callable[[str, bytes], tuple[str, bytes]]] = {
    "plain": lambda name, data: (name, data),
    "gz": lambda name, data: (f"{name}.gz", _gz(data)),
    "zip": lambda name, data: ("runs.zip", _zip({f"inside/{name}": data})),
    "tar": lambda name, data: ("runs.tar", _tar(name, data)),
    "tar.gz": lambda name, data: ("runs.tar.gz", _gz(_tar(name, data))),
    "tgz": lambda name, data: ("runs.tgz", _gz(_tar(name, data))),
    "tar in zip": lambda name, data: ("all.zip", _zip({"runs.tar.gz": _gz(_tar(name, data))})),
}


def test_every_built_in_source_is_registered_and_follows_the_protocol() -> None:
    """The built-in sources come by the hook that strangers use."""
    assert {"chat", "inspect"} <= {source.name for source in sources()}
    assert all(isinstance(source, Source) for source in sources())


def test_a_valid_file_gives_its_runs(case: Case, tmp_path: Path) -> None:
    """Three runs, two solved, one not, each with its place and the agent's own steps only."""
    path = tmp_path / case.filename
    path.write_bytes(case.make())
    runs = [run for run in case.read(path) if isinstance(run, Trajectory)]
    assert sorted(str(run.verdict.solved) for run in runs) == ["False", "True", "True"]
    assert all(run.origin.startswith(f"{case.filename}:") for run in runs)
    assert [[step.role for step in run.steps] for run in runs] == [["assistant"]] * 3


@pytest.mark.parametrize("packing", PACKINGS)
def test_packing_changes_no_id(case: Case, packing: str, tmp_path: Path) -> None:
    """The same runs come out of a plain file, a compressed one and an archive."""
    plain = tmp_path / "plain" / case.filename
    plain.parent.mkdir()
    plain.write_bytes(case.make())
    name, data = PACKINGS[packing](case.filename, case.make())
    packed = tmp_path / name
    packed.write_bytes(data)
    ids = [run.id for run in case.read(plain) if isinstance(run, Trajectory)]
    assert [run.id for run in case.read(packed) if isinstance(run, Trajectory)] == ids
    assert len(ids) == 3


def test_reading_the_same_file_twice_rejects_the_second(case: Case, tmp_path: Path) -> None:
    """The same run twice is one run and one named rejection."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / case.filename).write_bytes(case.make())
    read = case.read(tmp_path)
    assert sum(isinstance(run, Trajectory) for run in read) == 3
    assert [run.reason for run in read if isinstance(run, Rejected)] == ["duplicate"] * 3


def test_strict_stops_at_the_first_rejection(case: Case, tmp_path: Path) -> None:
    """Under strict the first bad run raises, and the message names its place and reason."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / case.filename).write_bytes(case.make())
    with pytest.raises(RunRejected, match=rf"b/{case.filename}.*duplicate"):
        list(read_runs([tmp_path], mapping=case.mapping, strict=True))


def test_a_file_cut_anywhere_gives_what_was_whole_and_names_the_rest(
    case: Case, tmp_path: Path
) -> None:
    """Cut at any of twenty places, a file raises nothing, and is never read as if it were whole."""
    data = case.make()
    path = tmp_path / case.filename
    for cut in range(1, len(data) - 1, len(data) // 20):
        path.write_bytes(data[:cut])
        read = case.read(path)
        whole = sum(isinstance(run, Trajectory) for run in read)
        named = [run.reason for run in read if isinstance(run, Rejected)]
        on_a_line_end = data[cut - 1 : cut] == b"\n" or data[cut : cut + 1] == b"\n"
        assert named or on_a_line_end or whole == 3 or not read, (cut, read)
        assert len(named) <= 1, named


@pytest.mark.parametrize("packing", ["gz", "zip", "tar", "tar.gz"])
def test_a_cut_archive_is_named_once(case: Case, packing: str, tmp_path: Path) -> None:
    """Cut at any of twenty places, an archive is rejected once, unless only its padding is cut."""
    name, data = PACKINGS[packing](case.filename, case.make())
    path = tmp_path / name
    for cut in range(1, len(data) - 1, len(data) // 20):
        path.write_bytes(data[:cut])
        read = case.read(path)
        named = [run.reason for run in read if isinstance(run, Rejected)]
        whole = sum(isinstance(run, Trajectory) for run in read) == 3
        assert len(named) == 1 or (whole and not named), (cut, named)
        assert set(named) <= REASONS.keys()


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_bytes_make_a_reader_raise(
    case: Case, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever bytes come, a reader yields runs and named rejections and raises nothing."""
    whole = bytearray(case.make())
    for _ in range(data.draw(st.integers(0, 4), label="edits")):
        at = data.draw(st.integers(0, len(whole)), label="at")
        length = data.draw(st.integers(0, 40), label="removed")
        whole[at : at + length] = data.draw(st.binary(max_size=12) | TOKENS, label="put")
    content = data.draw(st.just(bytes(whole)) | st.binary(max_size=200), label="content")
    packing = data.draw(st.sampled_from(sorted(PACKINGS)), label="packing")
    name, packed = PACKINGS[packing](case.filename, content)
    if data.draw(st.booleans(), label="cut"):
        packed = packed[: data.draw(st.integers(0, len(packed)), label="to")]
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(packed)
    for run in case.read(path):
        assert isinstance(run, Trajectory) or run.reason in REASONS


TOKENS = st.sampled_from(
    [
        *(b"null", b"true", b"NaN", b"1e400", b"-1", b"[]", b"{}", b'""', b'"\\ud800"'),
        *(b"\xff", b"\0", b"\n", b"[" * 2000, b"9" * 400),
        *(b'{"role":"user"}', b'"content":[{"type":"text"}],'),
    ]
)
