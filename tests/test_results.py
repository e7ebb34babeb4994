"""`results/runs`: the tables can be run as they are written, here and at the paper's size."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import orjson
import pytest

from memcollab.bench import confine, plan
from memcollab.bench.arms import memories
from memcollab.bench.experiment import load_experiment
from memcollab.bench.judge import looks_behind
from memcollab.bench.plan import Place
from memcollab.bench.scripted import Messages, ScriptedServer
from memcollab.bench.suites.house_rules import generate
from memcollab.errors import SandboxError

REPOSITORY = Path(__file__).parent.parent
RUNS = REPOSITORY / "results" / "runs"
TABLES = sorted(RUNS.glob("*/*.toml"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_table_is_a_sound_experiment(path: Path) -> None:
    """Each description is read; its first arm is what the others are compared with."""
    experiment = load_experiment(path)
    names = [arm.name for arm in experiment.arms]
    assert names[0] == "none"
    assert experiment.name == path.stem


def test_no_result_is_kept_from_the_repository() -> None:
    """What lies under `results/` is not ignored by git: a published log in a folder called `build`
    once was, and with it the runs that every memory had been made of."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout of git")
    for name in ("main/build/mbpp/run.eval", "main/logs/run.eval", "main/report/main/report.html"):
        asked = ["git", "check-ignore", "--no-index", f"results/{name}"]
        found = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True)
        assert found.returncode == 1, f"{name} is ignored: {found.stdout!r} {found.stderr!r}"


def test_nobody_opened_a_tool_in_the_published_runs() -> None:
    """In none of the published attempts at `house-rules` does a program name the file of the tool
    or of its state: what agents know of it they found out by calling, or were told."""
    tasks = {each.task.task_id: each.task for seed in (0, 1) for each in generate(seed)}
    read = 0
    for log in sorted((REPOSITORY / "results" / "main").glob("*/**/*.eval")):
        with zipfile.ZipFile(log) as archive:
            names = [name for name in archive.namelist() if name.startswith("samples/house-rules")]
            for name in names:
                sample = orjson.loads(archive.read(name))
                task = tasks[sample["metadata"]["memcollab_task"]]
                said = [str(m["content"]) for m in sample["messages"] if m["role"] == "assistant"]
                assert not looks_behind(task, said), f"{log.name}: {name}"
                read += 1
    assert read > 1000


REPORTS = sorted((REPOSITORY / "results").rglob("report.html"))


@pytest.mark.parametrize("page", REPORTS, ids=lambda path: path.parent.name)
def test_links_of_a_published_report_lead_somewhere(page: Path) -> None:
    """Each log, picture and record that a report under `results/` links to lies there."""
    html, markdown = (page.with_suffix(each).read_text("utf-8") for each in (".html", ".md"))
    links = re.findall(r'href="([^"#][^"]*)"', html)
    links += re.findall(r"\]\(<?([^)>]*)>?\)", markdown)
    dead = {link for link in links if not (page.parent / unquote(link)).is_file()}
    assert links
    assert not dead


def test_both_sizes_hold_the_same_tables() -> None:
    """A table at the paper's size asks what the table that was run here asks, of other agents and
    with other numbers."""
    for name in ("main", "entries", "recall", "reader", "changes"):
        here, paper = (
            tomllib.loads((RUNS / size / f"{name}.toml").read_text("utf-8"))
            for size in ("here", "paper")
        )
        assert here["arms"] == paper["arms"]
        assert [each["name"] for each in here["suite"]] == [each["name"] for each in paper["suite"]]
        # House-rules is as large in both: its contrasts are, too.
        own = [
            {each["name"]: each.get("contrasts") for each in size["suite"]}.get("house-rules")
            for size in (here, paper)
        ]
        assert own[0] == own[1]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_dry_run_of_a_table(path: Path, shared_data: Path, tmp_path: Path) -> None:
    """A table is planned from the benchmarks' files alone: each has as many tasks as the table asks
    for, every cell is there, and nothing is written."""
    experiment = load_experiment(path)
    suites, place = experiment.choose(shared_data), Place(tmp_path / "out")
    planned = plan.plan(experiment, suites, place, early=True)
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    columns = [
        memory
        for spec in experiment.specs(experiment.agents)
        for arm in experiment.arms
        for memory in memories(arm, spec.name, builders)
    ]
    wanted = {each.name: each.test for each in experiment.suite}
    cells = plan.cells(planned, {})
    assert len(cells) == len(columns) * len(wanted)
    assert all(cell.attempts == wanted[cell.suite] >= 50 for cell in cells)
    assert not place.root.exists()


TASKS = [
    ("build", 4, "The kiosk sells {} maps at 3 euro each. What total does it book?"),
    ("build", 7, "Then {} pens at 3 euro leave the kiosk on credit. What does its book say?"),
    ("test", 5, "Somebody buys {} lamps at 3 euro in the kiosk. What total is booked?"),
    ("test", 8, "A school orders {} globes from the kiosk, 3 euro apiece. What is booked?"),
]
KIOSK = [
    {
        "task_id": f"{part}-{number}",
        "part": part,
        "task": text.format(number),
        "checker": {"kind": "exact", "answer": str(number * 300)},
    }
    for part, number, text in TASKS
]
CENTS = {
    "when": "booking a kiosk total",
    "enforce": "state the total in cents",
    "avoid": "stating it in euro",
    "scope": "reasoning",
}


def _answers(factor: int) -> Callable[[Messages], str]:
    """A model that multiplies by ``factor`` unless guidance tells it to answer in cents."""

    def answer(messages: Messages) -> str:
        text = messages[1]["content"]
        number = next(int(word) for word in text.split() if word.isdigit())
        return f"ANSWER: {number * (300 if 'in cents' in text else factor)}"

    return answer


def test_the_script_of_a_table_makes_its_report(tmp_path: Path) -> None:
    """`table.sh` carries a table to its report, with recorded answers of a writer that were asked
    for by batch; called again it asks no model anything."""
    try:
        confine.check("bubblewrap")
    except SandboxError as error:
        pytest.skip(f"the script confines model-written code: {error}")
    (tmp_path / "kiosk.jsonl").write_text("\n".join(map(json.dumps, KIOSK)), encoding="utf-8")
    with ScriptedServer(_answers(300)) as adept, ScriptedServer(_answers(3)) as novice:
        named = [f"adept@{adept.url}", f"novice@{novice.url}"]
        (tmp_path / "kiosk.toml").write_text(
            f'name = "kiosk"\nbuilders = {named}\nagents = {named}\narms = ["none", "default"]\n'
            '[[suite]]\nname = "kiosk"\nfile = "kiosk.jsonl"\nbuild = 2\ntest = 2\n',
            encoding="utf-8",
        )
        _memcollab(tmp_path, "bench", "build", "kiosk.toml", "--dir", "out")
        _memcollab(
            tmp_path,
            *("bench", "learn", "kiosk.toml", "--dir", "out"),
            *("--writer", "recorded", "--batch-out", "requests.jsonl"),
        )
        _answer(tmp_path / "requests.jsonl", tmp_path / "answers.jsonl")
        first = _table(tmp_path)
        asked = len(adept.requests) + len(novice.requests)
        second = _table(tmp_path)
        assert len(adept.requests) + len(novice.requests) == asked
    assert "4 attempts to run" in first
    assert "nothing to run" in second
    report = tmp_path / "out" / "report" / "kiosk"
    records = [
        json.loads(line) for line in (report / "attempts.jsonl").read_text("utf-8").splitlines()
    ]
    solved = Counter((each["agent"], each["arm"]) for each in records if each["solved"])
    assert len(records) == 8
    assert solved["adept", "none"] == solved["adept", "default"] == 2
    assert solved["novice", "default"] > solved["novice", "none"] == 0
    assert "novice" in (report / "report.md").read_text("utf-8")
    _memcollab(tmp_path, "bench", "publish", "kiosk.toml", "published", "--dir", "out")
    _memcollab(tmp_path, "bench", "restore", "kiosk.toml", "published", "--dir", "again")
    assert sorted(path.name for path in (tmp_path / "again").rglob("*.eval")) == sorted(
        path.name for path in (tmp_path / "out").rglob("*.eval")
    )


def _answer(requests: Path, answers: Path) -> None:
    """What a batch of a provider comes back as, with its usage."""
    recorded = {
        "model": "recorded",
        "content": json.dumps({"constraints": [CENTS]}),
        "usage": {"prompt_tokens": 900, "completion_tokens": 60},
    }
    asked = [json.loads(line)["custom_id"] for line in requests.read_text("utf-8").splitlines()]
    assert len(asked) == 2
    lines = [json.dumps({"custom_id": each, **recorded}) for each in asked]
    answers.write_text("\n".join(lines), encoding="utf-8")


def _memcollab(folder: Path, *arguments: str) -> str:
    return _run(folder, [sys.executable, "-m", "memcollab.cli", *arguments])


def _table(folder: Path) -> str:
    return _run(folder, [str(RUNS / "table.sh"), "kiosk.toml", "out"])


def _run(folder: Path, command: list[str]) -> str:
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": binaries, "ANSWERS": "answers.jsonl", "PARALLEL": "2", "COLUMNS": "120"}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | given, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout
