"""Real runs of many models, from the command line: the counts are those that the data imply."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MAPPINGS = REPOSITORY / "examples" / "mappings"
MINT_ANSWERS = REPOSITORY / "results" / "mint-bank" / "answers.jsonl"
Row = dict[str, Any]


def memcollab(*arguments: str | Path, code: int = 0) -> Row:
    """What the command prints as JSON; its exit code must be ``code``."""
    command = [sys.executable, "-m", "memcollab.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt") as lines:
        yield from map(json.loads, lines)


def mixed(outcomes: Iterable[Row], task: Callable[[Row], object], solved: str) -> tuple[int, int]:
    """How many tasks there are, and how many with a right and a wrong run."""
    verdicts = defaultdict(set)
    for row in outcomes:
        verdicts[task(row)].add(row[solved])
    return len(verdicts), sum({True, False} <= seen for seen in verdicts.values())


def test_mint_counts_are_those_of_its_outcomes(shared_data: Path) -> None:
    """19,800 multi-turn runs of 55 models: every count follows from outcomes.jsonl.gz. A run that
    ended in an error of the model's server is unjudged, not wrong."""
    folder = shared_data / "trajectories" / "mint_bench"
    held = {path.name.removesuffix(".tar.gz") for path in folder.glob("*.tar.gz")}
    outcomes = [row for row in rows(folder / "outcomes.jsonl.gz") if row["task_set"] in held]
    judged = [row for row in outcomes if row["terminate_reason"] != "error"]
    key = lambda row: (row["task_set"], row["task_id"])  # noqa: E731 - a name for one key
    tasks, _ = mixed(outcomes, key, "success")
    _, tasks_mixed = mixed(judged, key, "success")

    report = memcollab("learn", folder, "--map", MAPPINGS / "mint.toml", "--dry-run")

    assert report["seen"] == len(outcomes)
    assert report["judged"] == len(judged)
    assert report["unjudged_reasons"] == {"crashed": len(outcomes) - len(judged)}
    assert report["rejected"] == {}
    assert report["tasks"] == tasks
    assert report["agents"] == len({row["model"] for row in outcomes})
    assert report["tasks_mixed"] == tasks_mixed
    # At most four per task, and no task with a right and a wrong run is left without one.
    assert tasks_mixed <= report["contrasts"]["discordant"] <= 4 * tasks_mixed


def test_apiflow_counts_are_those_of_its_outcomes(shared_data: Path) -> None:
    """Tool-calling runs of 24 models: the counts follow from the published outcomes."""
    folder = shared_data / "trajectories" / "apiflow_bench"
    stored = {path.name.removesuffix(".tar.gz") for path in folder.glob("*.tar.gz")}
    published = rows(folder / "outcomes_all_56037_trials.jsonl.gz")
    outcomes = [row for row in published if stored & set(row["stored_in"])]
    judged = [row for row in outcomes if row["passed"] is not None]
    tasks, _ = mixed(outcomes, lambda row: row["task"], "passed")
    _, tasks_mixed = mixed(judged, lambda row: row["task"], "passed")

    report = memcollab("learn", folder, "--map", MAPPINGS / "apiflow.toml", "--dry-run")

    assert report["seen"] == len(outcomes)
    assert report["judged"] == len(judged)
    assert report["tasks"] == tasks
    assert report["agents"] == len({row["model"] for row in outcomes})
    assert report["tasks_mixed"] == tasks_mixed
    assert report["contrasts"]["discordant"] >= tasks_mixed


@pytest.fixture(scope="module")
def mint_bank(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Row]:
    """A bank learned from MINT's maths and code with the recorded answers, and the report."""
    folder = shared_data / "trajectories" / "mint_bench"
    bank = tmp_path_factory.mktemp("mint") / "mint.db"
    sets = [folder / f"{name}.tar.gz" for name in ("math", "mbpp", "humaneval")]
    report = memcollab(
        "learn", *sets, "--map", MAPPINGS / "mint.toml", "--max-contrasts", "72",
        "--batch-in", MINT_ANSWERS, "--bank", bank,
    )  # fmt: skip
    return bank, report


def test_a_bank_is_learned_from_mint_with_recorded_answers(mint_bank: tuple[Path, Row]) -> None:
    """72 contrasts of real runs become a bank; nearly every draft of a strong writer passes the
    screen, and what does not is counted by reason."""
    bank, report = mint_bank

    assert report["asked"] == sum(report["contrasts"].values()) == 72
    assert report["pending"] == report["failed"] == 0
    assert report["writer"] == "recorded-frontier-model"
    assert report["distilled"] == report["accepted"] + sum(report["refused"].values())
    assert report["accepted"] >= 0.95 * report["distilled"]
    assert report["constraints"] + report["merged"] == report["accepted"]
    assert memcollab("bank", "verify", "--bank", bank)["ok"]


def test_what_was_learned_from_mint_is_recalled_for_other_tasks(
    mint_bank: tuple[Path, Row],
) -> None:
    """A code task of our own gets constraints of its category; harness constraints only go to an
    agent of that harness."""
    bank, _ = mint_bank
    task = "Write a function that returns the second largest element of a list"

    elsewhere = memcollab("recall", task, "--bank", bank, "--agent", "a-model")
    in_mint = memcollab("recall", task, "--bank", bank, "--agent", "a-model", "--harness", "mint")

    assert elsewhere["category"].startswith("programming")
    assert elsewhere["entries"]
    assert {entry["constraint"]["scope"] for entry in elsewhere["entries"]} == {"reasoning"}
    assert {entry["constraint"]["harness"] for entry in in_mint["entries"]} <= {None, "mint"}


def test_no_task_of_mint_gets_back_what_only_it_taught(
    mint_bank: tuple[Path, Row], shared_data: Path
) -> None:
    """The guard against self-retrieval holds on the real tasks that the bank was learned from."""
    from memcollab import MemCollab

    bank, _ = mint_bank
    del shared_data
    with MemCollab(bank) as memory:
        sources = {row.constraint.id: row.task_ids for row in memory.bank.index_rows().rows}
        tasks = {task for ids in sources.values() for task in ids}
        for task in list(memory.bank.tasks(sorted(tasks)))[:60]:
            for entry in memory.recall(task.text, agent="any", harness="mint").entries:
                assert set(sources[entry.constraint.id]) != {task.id}
