"""The main job on the project's own runs: the demo, being killed, and a real small model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from memcollab import MemCollab
from memcollab.bank import Bank

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
RUNS, ANSWERS = EXAMPLES / "runs", EXAMPLES / "answers.jsonl"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "memcollab.cli", *map(str, arguments)]


def as_json(*arguments: str | Path, cwd: Path) -> Any:
    done = subprocess.run(
        command(*arguments, "--json"), capture_output=True, text=True, cwd=cwd, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def exported(path: Path, target: Path) -> bytes:
    with Bank.open(path, create=False) as bank, target.open("wb") as stream:
        bank.export(stream)
    return target.read_bytes()


def test_the_demo_learns_and_recalls_without_a_key(tmp_path: Path) -> None:
    """Three models' runs become constraints, every answer is used, and new tasks get guidance."""
    shown = as_json("demo", cwd=tmp_path)
    learned, recalls = shown["learn"], shown["recalls"]

    assert learned["agents"] == 3
    assert learned["tasks"] >= 30
    assert learned["pending"] == learned["failed"] == 0
    assert learned["writer"] == "recorded-frontier-model"
    assert learned["constraints"] >= 20
    assert learned["accepted"] >= 0.95 * learned["distilled"]
    assert sum(bool(recall["guidance"]) for recall in recalls) >= 3
    assert list(tmp_path.iterdir()) == []


def test_the_demo_tells_its_story_on_a_terminal(tmp_path: Path) -> None:
    """The six parts are there, and it says in one line that answers are replayed."""
    done = subprocess.run(
        command("demo"), capture_output=True, text=True, cwd=tmp_path, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert "replayed" in done.stdout
    assert "--writer" in done.stdout
    for part in ("1  Learn", "was right", "was wrong", "3  The bank", "5  Recall"):
        assert part in done.stdout


def test_a_learn_that_is_killed_anywhere_ends_in_the_same_bank(tmp_path: Path) -> None:
    """SIGKILL at several moments, then once more to the end: the export has the same bytes."""
    learn = ("learn", RUNS, "--batch-in", ANSWERS)
    as_json(*learn, "--bank", "whole.db", cwd=tmp_path)
    for delay in (0.5, 0.9, 1.2, 1.5, 1.8):
        killed = subprocess.Popen(
            command(*learn, "--bank", "killed.db"),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    as_json(*learn, "--bank", "killed.db", cwd=tmp_path)

    whole = exported(tmp_path / "whole.db", tmp_path / "whole.jsonl")
    assert exported(tmp_path / "killed.db", tmp_path / "killed.jsonl") == whole


def test_two_processes_learn_into_one_bank(tmp_path: Path) -> None:
    """Two learns at once into one bank: no error, and the same bank as one learn makes."""
    learn = ("learn", RUNS, "--batch-in", ANSWERS)
    as_json(*learn, "--bank", "one.db", cwd=tmp_path)
    both = [
        subprocess.Popen(
            command(*learn, "--bank", "both.db"), cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]

    assert [process.wait(timeout=300) for process in both] == [0, 0]
    one = exported(tmp_path / "one.db", tmp_path / "one.jsonl")
    assert exported(tmp_path / "both.db", tmp_path / "both.jsonl") == one


def test_every_recorded_answer_belongs_to_a_bundled_contrast(tmp_path: Path) -> None:
    """No stale answers: the recording and the requests of the bundled runs are the same set."""
    as_json("learn", RUNS, "--batch-out", "requests.jsonl", cwd=tmp_path)
    asked = {
        json.loads(line)["custom_id"]
        for line in (tmp_path / "requests.jsonl").read_text().splitlines()
    }
    answered = {json.loads(line)["custom_id"] for line in ANSWERS.read_text().splitlines()}

    assert answered == asked


@pytest.mark.lab
def test_a_real_small_model_writes_and_the_screen_reads(tmp_path: Path) -> None:
    """A 0.5B model distils real contrasts live: each answer is read in a named tier, every draft
    is accepted or refused by name, and nothing is lost on the way."""
    url = os.environ.get("MEMCOLLAB_LAB_URL")
    if not url:
        pytest.skip("no local model: set MEMCOLLAB_LAB_URL to an OpenAI-compatible server")
    with MemCollab(tmp_path / "small.db") as memory:
        report = memory.learn(
            RUNS, writer="openai:coder-0.5b", writer_url=url, max_contrasts=4, parallel=2
        )
        kept = memory.bank.refusals()

    assert report.asked == 4
    assert sum(report.tiers.values()) + report.failed == 4
    assert report.distilled == report.accepted + sum(report.refused.values())
    assert len(kept) == sum(report.refused.values())
    assert report.usage.output_tokens
