"""The mapping files under examples/ on the real runs they were written for."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest

from memcollab.records import Trajectory
from memcollab.sources import load_mapping, read_runs

pytestmark = pytest.mark.data
MAPPINGS = Path(__file__).parent.parent / "examples" / "mappings"
PUT_AWAY = {"alfworld", "hotpotqa", "theoremqa"}  # in the outcomes, but not in the folder


def rows(path: Path) -> Iterable[dict[str, object]]:
    """The lines of a gzipped JSONL file."""
    with gzip.open(path) as file:
        yield from map(orjson.loads, file)


def mixed(verdicts: Iterable[tuple[str, bool | None]]) -> set[str]:
    """Tasks with at least one right and one wrong run."""
    seen: dict[str, set[bool]] = defaultdict(set)
    for task, solved in verdicts:
        if solved is not None:
            seen[task].add(solved)
    return {task for task, both in seen.items() if len(both) == 2}


def test_mint_as_its_outcomes_say(shared_data: Path) -> None:
    """All 19,800 runs of MINT: every verdict, crash, turn and token as its outcomes say, within
    500 MB, and nothing rejected or left unnamed."""
    folder = shared_data / "trajectories" / "mint_bench"
    expected = {
        (f"{row['task_set']}/{row['task_id']}", row["model"]): (
            None if row["terminate_reason"] == "error" else row["success"],
            row["assistant_turns"],
            row["total_tokens"],
        )
        for row in rows(folder / "outcomes.jsonl.gz")
        if row["task_set"] not in PUT_AWAY
    }
    read = subprocess.run(  # a process of its own, whose peak memory is that of reading alone
        [sys.executable, "-c", READ_MINT, str(folder), str(MAPPINGS / "mint.toml")],
        capture_output=True,
        check=True,
    )
    *runs, (skipped, peak) = map(orjson.loads, read.stdout.splitlines())
    found = {(key, model): tuple(outcome) for _, _, key, model, outcome in runs}
    assert found == expected
    assert skipped == ["LICENSE", "SOURCES.md", "outcomes.jsonl.gz"]
    assert len({run_id for run_id, *_ in runs}) == len(runs) == 19_800
    assert len({task_id for _, task_id, *_ in runs}) == 360
    assert len({model for _, _, _, model, _ in runs}) == 55
    assert sum(outcome[0] is None for *_, outcome in runs) == 655
    theirs = mixed((task, outcome[0]) for (task, _), outcome in expected.items())  # type: ignore[misc]
    assert len(mixed((task_id, outcome[0]) for _, task_id, *_, outcome in runs)) == len(theirs)
    assert peak < 500, f"{peak} MB"


READ_MINT = """
import re, sys
from pathlib import Path
import orjson
from memcollab.sources import load_mapping, read_runs

skipped = []
for run in read_runs([sys.argv[1]], mapping=load_mapping(sys.argv[2]), on_skip=skipped.append):
    assert run.verdict.reason in (None, "crashed"), run
    outcome = [run.verdict.solved, run.turns, run.usage.tokens]
    print(orjson.dumps([run.id, run.task.id, run.task.key, run.agent.model, outcome]).decode())
# Not getrusage: its peak is inherited through fork and exec from a test runner that has grown.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(orjson.dumps([skipped, int(peak[1]) // 1024]).decode())
"""


def test_apiflow_as_its_outcomes_say(shared_data: Path) -> None:
    """All 1,272 stored transcripts: every verdict, score and token count as the outcomes say."""
    folder = shared_data / "trajectories" / "apiflow_bench"
    expected = {
        (row["task"], row["model"], str(row["trial"])): (row["passed"], row["partial_score"])
        for row in rows(folder / "outcomes_all_56037_trials.jsonl.gz")
        if "contrast53_trial1" in row["stored_in"]  # type: ignore[operator]
    }
    skipped: list[str] = []
    mapping = load_mapping(MAPPINGS / "apiflow.toml")
    runs = list(read_runs([folder], mapping=mapping, on_skip=skipped.append))
    found = {}
    for run in runs:
        assert isinstance(run, Trajectory), run
        found[run.task.key, run.agent.model, run.run] = (run.verdict.solved, run.verdict.score)
        assert run.steps[0].role == "assistant"
        assert run.task.category is not None
        assert run.task.category.name == "tool_use"
    assert found == expected
    assert len(runs) == 1_272
    assert "outcomes_all_56037_trials.jsonl.gz" in skipped
    trajectories = [run for run in runs if isinstance(run, Trajectory)]
    assert len({run.task.id for run in trajectories}) == 53
    assert len({run.agent.model for run in trajectories}) == 24
    theirs = mixed((task, passed) for (task, _, _), (passed, _) in expected.items())  # type: ignore[misc]
    assert len(mixed((run.task.id, run.verdict.solved) for run in trajectories)) == len(theirs)


@pytest.mark.parametrize(
    ("folder", "mapping", "runs", "right", "models"),
    [
        ("tora_gsm8k", "tora.toml", 2 * 1319, 2174, 2),
        ("gsm8k_openai_solutions", "openai_gsm8k.toml", 4 * 1319, 2001, 4),
    ],
)
def test_single_answers_come_in_through_mappings(
    folder: str, mapping: str, runs: int, right: int, models: int, shared_data: Path
) -> None:
    """ToRA's texts with their numbers compared, and OpenAI's four answers on one line."""
    path = shared_data / "trajectories" / folder
    read = list(read_runs([path], mapping=load_mapping(MAPPINGS / mapping)))
    trajectories = [run for run in read if isinstance(run, Trajectory)]
    assert len(trajectories) == len(read) == runs
    assert sum(run.verdict.solved is True for run in trajectories) == right
    assert len({run.agent.model for run in trajectories}) == models
    assert {run.agent.family for run in trajectories} <= {"llama", "gpt"}


@pytest.mark.parametrize("mapping", sorted(path.name for path in MAPPINGS.glob("*.toml")))
def test_every_mapping_file_of_ours_is_valid(mapping: str) -> None:
    """The examples load."""
    load_mapping(MAPPINGS / mapping)
