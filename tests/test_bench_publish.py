"""`memcollab.bench.publish`: logs that may be passed on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai.log import read_eval_log

from memcollab.bench.collect import collect
from memcollab.bench.publish import publish, restore
from memcollab.bench.scripted import Messages, ScriptedServer
from memcollab.bench.suites import Suite, house_rules
from memcollab.bench.tasks import BenchTask, Maths
from memcollab.errors import UsageError
from memcollab.records import Trajectory
from memcollab.sources import read_runs

pytestmark = pytest.mark.filterwarnings("ignore:model-written code runs unconfined:UserWarning")


def task(task_id: str, text: str) -> BenchTask:
    return BenchTask(task_id=task_id, task=text, checker=Maths(kind="math", answer="4242"))


THEIRS = task("gsm8k-test-7", "How many sheep has a farmer of 42 flocks of 101?")
OURS = task("own-1", "How much is 42 times 101?")
SUITES = [Suite("gsm8k", (), (THEIRS,)), Suite("ours", (), (OURS,))]


def echo(messages: Messages) -> str:
    """A model that repeats its task before it answers."""
    return f"The task is: {messages[1]['content']}\nANSWER: 4242"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Logs of both tasks, one folder down."""
    with ScriptedServer(echo) as server:
        folder = tmp_path / "all" / "logs"
        collect([THEIRS, OURS], [f"echo@{server.url}"], folder, sandbox="none")
    return tmp_path / "all"


def test_a_benchmarks_text_and_its_answer_are_nowhere(logs: Path, tmp_path: Path) -> None:
    """The text of a public benchmark's task, its checker and what repeats it are withheld, named by
    id and hash; our own tasks, verdicts and usage stay; the original is untouched."""
    before = [path.read_bytes() for path in logs.rglob("*.eval")]
    (written,) = publish(SUITES, logs, tmp_path / "out")
    assert written.parent == tmp_path / "out" / "logs"
    log = read_eval_log(str(written))
    samples = {str(sample.id): sample for sample in log.samples or []}
    theirs, ours = samples[THEIRS.task_id], samples[OURS.task_id]
    assert THEIRS.task not in theirs.model_dump_json()
    assert "4242" not in str(theirs.target)
    assert str(theirs.input).startswith("[withheld: gsm8k-test-7, sha256 ")
    assert ours.input == OURS.task
    assert ours.model_usage
    assert theirs.model_usage
    assert not theirs.events
    assert [path.read_bytes() for path in logs.rglob("*.eval")] == before


def test_published_logs_read_as_the_same_verdicts(logs: Path, tmp_path: Path) -> None:
    """`learn` reads a published log: the same agents, verdicts and turns."""

    def told(folder: Path) -> list[tuple[object, ...]]:
        runs = [run for run in read_runs([folder]) if isinstance(run, Trajectory)]
        return sorted(
            (run.agent.model, run.verdict.solved, run.usage.turns, len(run.steps)) for run in runs
        )

    publish(SUITES, logs, tmp_path / "out")
    assert told(tmp_path / "out") == told(logs)
    assert len(told(logs)) == 2


def test_whoever_has_the_benchmark_puts_it_back(logs: Path, tmp_path: Path) -> None:
    """Published and restored, a log reads as the very same runs, ids included; without the texts
    it stays withheld."""

    def ids(folder: Path) -> set[str]:
        return {run.id for run in read_runs([folder]) if isinstance(run, Trajectory)}

    publish(SUITES, logs, tmp_path / "out")
    restore(SUITES, tmp_path / "out", tmp_path / "back")
    assert ids(tmp_path / "back") == ids(logs) != ids(tmp_path / "out")
    restore(SUITES[1:], tmp_path / "out", tmp_path / "nothing")
    assert ids(tmp_path / "nothing") == ids(tmp_path / "out")


def test_nothing_to_publish_is_said(tmp_path: Path, logs: Path) -> None:
    """No log below the folder, or copies onto the originals: an error, and nothing is written."""
    with pytest.raises(UsageError, match="memcollab bench run"):
        publish(SUITES, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError, match="another folder"):
        publish(SUITES, logs, logs)


def test_a_task_of_no_suite_is_not_passed_on(logs: Path, tmp_path: Path) -> None:
    """Published with an experiment that lacks a suite of the logs, a benchmark's text would stand
    there in full: it is refused, and nothing is written."""
    with pytest.raises(UsageError, match=r"'gsm8k-test-7.*names every suite"):
        publish(SUITES[1:], logs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tasks_that_another_seed_draws_are_ours_too(tmp_path: Path) -> None:
    """A table with a `test_seed` may share its folder with one without, and what merely looks like
    such a task is not passed on."""
    _, fresh = house_rules.load(test_seed=3)
    with ScriptedServer(lambda _: "ANSWER: done") as server:
        collect(fresh[:1], [f"echo@{server.url}"], tmp_path / "all", sandbox="none")
        collect(
            [task("house-rules-kiosk-test-l9-01-s3", "A private one")],
            [f"echo@{server.url}"],
            tmp_path / "other",
            sandbox="none",
        )
    (written,) = publish(SUITES, tmp_path / "all", tmp_path / "out")
    assert [sample.input for sample in read_eval_log(str(written)).samples or []] == [fresh[0].task]
    with pytest.raises(UsageError, match="no suite of the experiment has"):
        publish(SUITES, tmp_path / "other", tmp_path / "out2")


def test_publishing_anew_touches_only_what_is_new(logs: Path, tmp_path: Path) -> None:
    """A log whose content is published already stays byte for byte; a changed one does not."""
    (first,) = publish(SUITES, logs, tmp_path / "out")
    before = first.read_bytes(), first.stat().st_mtime_ns
    assert publish(SUITES, logs, tmp_path / "out") == [first]
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    publish([replace(SUITES[0], name="free"), SUITES[1]], logs, tmp_path / "out")
    assert first.read_bytes() != before[0]
    assert [path.name for path in first.parent.iterdir()] == [first.name]
