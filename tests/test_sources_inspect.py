"""Inspect AI logs, old and new, read as ``inspect_ai`` itself reads them."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from memcollab.records import Category, Rejected, Trajectory
from memcollab.sources import inspect as inspect_module
from memcollab.sources import read_runs

SAMPLE: dict[str, Any] = {
    "id": "add",
    "epoch": 1,
    "input": "Add 1 and 1.",
    "target": "2",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Please: Add 1 and 1."},
        {"role": "assistant", "content": "2"},
    ],
    "scores": {"match": {"value": "C"}, "style": {"value": 0}},
}
HEADER: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"model": "openai/gpt-4o-mini", "task": "adding"},
    "plan": {"steps": [{"solver": "system_message"}, {"solver": "generate"}]},
}


def read(path: Path) -> list[Trajectory | Rejected]:
    return list(read_runs([path]))


def one(tmp_path: Path, header: dict[str, Any] | None = None, **changes: Any) -> Trajectory:
    """The run of a log with one sample."""
    path = tmp_path / "log.json"
    sample = {key: value for key, value in (SAMPLE | changes).items() if value is not ...}
    path.write_text(json.dumps({**(header or HEADER), "samples": [sample]}))
    (run,) = read(path)
    assert isinstance(run, Trajectory), run
    return run


@pytest.mark.parametrize(
    ("changes", "solved", "score", "reason"),
    [
        ({}, True, 1.0, None),
        ({"scores": {"m": {"value": "I"}}}, False, 0.0, None),
        ({"scores": {"m": {"value": "P"}}}, False, 0.5, None),
        ({"scores": {"m": {"value": "N"}}}, False, 0.0, None),
        ({"scores": {"m": {"value": True}}}, True, 1.0, None),
        ({"scores": {"m": {"value": "yes"}}}, True, 1.0, None),
        ({"scores": {"m": {"value": 0.9}}}, False, 0.9, None),
        ({"scores": {"m": {"value": 7}}}, None, 7.0, "score out of range"),
        ({"scores": {"m": {"value": {"a": 1}}}}, None, None, "score is no number"),
        ({"scores": {"m": {"value": float("nan")}}}, None, None, "score is no number"),
        ({"scores": {"m": {"value": float("nan"), "reason": "no_grade"}}}, None, None, "no_grade"),
        ({"scores": {}}, None, None, "no verdict"),
        ({"scores": ...}, None, None, "no verdict"),
        ({"scores": ..., "score": {"value": "C"}}, True, 1.0, None),
        ({"metadata": {"memcollab_scorer": "style"}}, False, 0.0, None),
        ({"error": {"message": "boom"}}, None, 1.0, "crashed"),
        ({"limit": {"type": "message"}, "scores": {}}, None, None, "limit"),
        ({"invalidation": {"reason": "leak"}}, None, 1.0, "invalidated"),
    ],
)
def test_scores_become_verdicts(
    changes: dict[str, Any],
    solved: bool | None,
    score: float | None,
    reason: str | None,
    tmp_path: Path,
) -> None:
    """A full score is solved, less is not; errors, limits and odd scores are not judged."""
    verdict = one(tmp_path, **changes).verdict
    assert (verdict.solved, verdict.score, verdict.reason) == (solved, score, reason)


def test_metadata_of_ours_is_honoured(tmp_path: Path) -> None:
    """The sample may name its category, the harness and the constraints that were shown."""
    metadata = {
        "category": "algebra/linear",
        "memcollab_harness": "codeact",
        "memcollab_shown": ["c-1", "c-2"],
    }
    run = one(tmp_path, metadata=metadata, epoch=2)
    assert run.task.category == Category(name="algebra", subcategory="linear")
    assert (run.agent.harness, run.shown, run.run) == ("codeact", ("c-1", "c-2"), "2")
    assert run.origin == "log.json:add (epoch 2)"


def test_the_harness_is_the_solver_or_the_plan(tmp_path: Path) -> None:
    """Without our metadata the log's solver names the harness, else the plan's steps."""
    assert one(tmp_path).agent.harness == "system_message+generate"
    named = {**HEADER, "eval": {**HEADER["eval"], "solver": "react"}}
    assert one(tmp_path, named).agent.harness == "react"


def test_a_number_is_no_key_and_choices_belong_to_the_task(tmp_path: Path) -> None:
    """Numbers are given by position, so only a text is a key; choices are part of the question."""
    run = one(tmp_path, id=7, choices=["one", "two"])
    assert run.task.key is None
    assert run.task.text == "Add 1 and 1.\n\nA) one\nB) two"


def test_usage_is_the_models_own_with_cached_input(tmp_path: Path) -> None:
    """Tokens of a grading model are not the agent's; cached input was input all the same."""
    usage = {
        "openai/gpt-4o-mini": {
            "input_tokens": 5,
            "input_tokens_cache_read": 10,
            "output_tokens": 3,
            "total_cost": 0.5,
        },
        "grader": {"input_tokens": 1000, "output_tokens": 1000},
    }
    run = one(tmp_path, model_usage=usage, working_time=1.5, total_time=9.0, turn_count=1)
    assert run.usage.model_dump() == {
        "turns": 1,
        "input_tokens": 15,
        "output_tokens": 3,
        "seconds": 1.5,
        "cost_usd": 0.5,
    }


def test_attachments_are_put_in_place(tmp_path: Path) -> None:
    """Texts that a log keeps aside by their hash come back into input and messages."""
    run = one(
        tmp_path,
        input="attachment://a",
        messages=[
            {"role": "user", "content": "attachment://a"},
            {"role": "assistant", "content": [{"type": "text", "text": "attachment://b"}]},
        ],
        attachments={"a": "Add 1 and 1.", "b": "long"},
    )
    assert (run.task.text, run.steps[0].content) == ("Add 1 and 1.", "long")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": ...}, "missing-field"),
        ({"input": 3}, "wrong-type"),
        ({"messages": "text"}, "wrong-type"),
        ({"messages": []}, "no-messages"),
        ({"messages": [{"role": "wizard"}]}, "wrong-type"),
    ],
)
def test_a_sample_that_is_no_run_is_named_by_its_id(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """A bad sample is rejected with its id and the next one is read."""
    bad = {
        key: value for key, value in (SAMPLE | {"id": "bad"} | changes).items() if value is not ...
    }
    (tmp_path / "log.json").write_bytes(orjson.dumps({**HEADER, "samples": [bad, SAMPLE]}))
    rejected, run = read(tmp_path / "log.json")
    assert isinstance(rejected, Rejected)
    assert (rejected.origin, rejected.reason) == ("log.json:bad", reason)
    assert run.origin == "log.json:add"


def test_a_log_without_samples_is_named(tmp_path: Path) -> None:
    """A log that was started and never wrote a sample is one rejection, not silence."""
    (tmp_path / "a.json").write_bytes(orjson.dumps({**HEADER, "samples": []}))
    _write(tmp_path / "b.eval", {"header.json": HEADER})
    assert [str(run) for run in read(tmp_path)] == [
        "a.json: empty (the log holds no sample)",
        "b.eval: empty (the log holds no sample)",
    ]


def _write(path: Path, members: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, orjson.dumps(value))


def test_a_log_that_was_stopped_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Without its head the log's journal says which model it was."""
    _write(
        tmp_path / "log.eval", {"_journal/start.json": HEADER, "samples/add_epoch_1.json": SAMPLE}
    )
    (run,) = read(tmp_path / "log.eval")
    assert isinstance(run, Trajectory)
    assert run.agent.model == "openai/gpt-4o-mini"
    _write(tmp_path / "log.eval", {"samples/add_epoch_1.json": SAMPLE})
    (rejected,) = read(tmp_path / "log.eval")
    assert str(rejected).startswith("log.eval: missing-field (the log has neither header.json nor")


def test_a_large_sample_is_read_without_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large sample only the fields that matter are parsed; the run is the same."""
    _write(
        tmp_path / "log.eval",
        {"header.json": HEADER, "samples/add_epoch_1.json": {**SAMPLE, "events": [1] * 999}},
    )
    whole = read(tmp_path / "log.eval")
    monkeypatch.setattr(inspect_module, "_LARGE", 100)
    monkeypatch.setattr(inspect_module, "MAX_RECORD", 1000)
    assert read(tmp_path / "log.eval") == whole


def test_zstandard_members_are_read(tmp_path: Path) -> None:
    """Logs since 2025 are packed with Zstandard, which zipfile knows from Python 3.14 on only."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        for name, value in (("header.json", HEADER), ("samples/add_epoch_1.json", SAMPLE)):
            archive.writestr(name, zstandard.ZstdCompressor().compress(orjson.dumps(value)))
    data = bytearray(plain.getvalue())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + at] = 93
            start += 1
    (tmp_path / "log.eval").write_bytes(_with_true_checksums(bytes(data)))
    (run,) = read(tmp_path / "log.eval")
    assert isinstance(run, Trajectory), run
    assert run.steps[0].content == "2"


def _with_true_checksums(data: bytes) -> bytes:
    """The directory's checksums are of the expanded bytes, which the stored writer did not see."""
    import zlib

    for value in (HEADER, SAMPLE):
        packed = zstandard.ZstdCompressor().compress(orjson.dumps(value))
        wrong = zlib.crc32(packed).to_bytes(4, "little")
        right = zlib.crc32(orjson.dumps(value)).to_bytes(4, "little")
        data = data.replace(wrong, right)
    return data


# --- against inspect_ai ----------------------------------------------------------------------


@pytest.mark.data
def test_real_logs_read_as_inspect_ai_reads_them(shared_data: Path) -> None:
    """Old and new logs: the same messages, tool calls, scores and usage as inspect_ai's reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log_module = pytest.importorskip("inspect_ai.log")
    compared = 0
    for path in sorted((shared_data / "trajectories" / "formats_inspect_ai").iterdir()):
        if path.suffix not in (".eval", ".json"):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log = log_module.read_eval_log(str(path), resolve_attachments=True)
        runs = read(path)
        assert len(runs) == len(log.samples)
        for run, sample in zip(runs, log.samples, strict=True):
            if isinstance(run, Trajectory):
                _agree(run, sample, log.eval.model)
                compared += 1
    assert compared >= 5


def _agree(run: Trajectory, sample: Any, model: str) -> None:
    theirs = [_message(message) for message in sample.messages][-len(run.steps) :]
    ours = [
        (step.role, step.content, [(c.name, json.loads(c.arguments)) for c in step.tool_calls])
        for step in run.steps
    ]
    assert ours == theirs
    given = sample.input
    assert run.task.text == (given if isinstance(given, str) else given[0].text)
    first = next(iter(sample.scores.values())).value
    assert run.verdict.score == {"C": 1.0, "I": 0.0}[first]
    usage = sample.model_usage.get(model)
    assert run.usage.output_tokens == (usage and usage.output_tokens)


def _message(message: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    calls = getattr(message, "tool_calls", None) or []
    return message.role, message.text, [(call.function, call.arguments) for call in calls]
