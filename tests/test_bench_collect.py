"""`memcollab.bench.collect`: models × tasks → Inspect logs, over HTTP with a scripted model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import EvalLog, read_eval_log

from memcollab.bench import confine
from memcollab.bench.collect import CollectReport, collect
from memcollab.bench.evaluate import Attempted, finished
from memcollab.bench.roster import AgentSpec
from memcollab.bench.scripted import Answer, Messages, ScriptedServer
from memcollab.errors import MissingExtra, ModelUnavailable, SandboxError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:model-written code runs unconfined:UserWarning")

WORLD = """
import json
def book(room):
    json.dump({"booked": room}, open("state.json", "w"))
"""
TASKS = [
    {
        "task_id": "sum",
        "task": "What is 6 times 7?",
        "category": "maths/arithmetic",
        "checker": {"kind": "math", "answer": "42"},
    },
    {
        "task_id": "twice",
        "task": "Write twice(x).",
        "checker": {"kind": "code", "entry_point": "twice", "tests": "assert twice(3) == 6"},
    },
    {
        "task_id": "book",
        "task": "Book the red room with world.book.",
        "module": "world.py",
        "files": {"state.json": "{}"},
        "checker": {
            "kind": "state",
            "check": "import json; assert json.load(open('state.json'))['booked'] == 'red'",
        },
    },
    {"task_id": "say", "task": "Say hello.", "checker": {"kind": "exact", "answer": "hello"}},
]
SECRETS = ["assert twice(3) == 6", "['booked'] == 'red'"]


def good(messages: Messages) -> str:
    """A model that solves every task; the sum in two turns."""
    task, said = messages[1]["content"], len(messages)
    if "6 times 7" in task:
        return "ANSWER: 42" if said > 2 else "I multiply.\n```python\nprint(6 * 7)\n```"
    if "twice" in task:
        return "```python\ndef twice(x):\n    return 2 * x\n```"
    if "red room" in task:
        return "```python\nimport world\nworld.book('red')\n```\nANSWER: done"
    return "ANSWER: hello"


def bad(messages: Messages) -> str:
    """A model that gets everything wrong."""
    if "twice" in messages[1]["content"]:
        return "```python\ndef twice(x):\n    return x\n```"
    return "ANSWER: 0"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """The task file, its module beside it."""
    (tmp_path / "world.py").write_text(WORLD, encoding="utf-8")
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, TASKS)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def kind() -> str:
    """The real confinement where there is one."""
    try:
        confine.check("bubblewrap")
    except SandboxError:
        return "none"
    return "bubblewrap"


def logs(folder: Path) -> list[EvalLog]:
    """The logs of a folder, oldest first."""
    return [read_eval_log(str(path)) for path in sorted(folder.glob("*.eval"))]


def counts(report: CollectReport) -> list[tuple[str, int, int, dict[str, int], int, int]]:
    """What a report says of each agent."""
    return [
        (each.model, each.known, each.solved, dict(each.failed), each.errors, each.unattempted)
        for each in report.agents
    ]


def test_several_models_attempt_the_same_tasks(tasks: Path, tmp_path: Path, kind: str) -> None:
    """One log each, with what learn reads; progress and report agree."""
    folder, heard = tmp_path / "runs", list[Attempted]()
    with ScriptedServer(good) as one, ScriptedServer(bad) as other:
        report = collect(
            tasks,
            [f"good@{one.url}", f"org/bad@{other.url}"],
            folder,
            sandbox=kind,
            progress=heard.append,
        )
        request = one.requests[0]
    assert counts(report) == [
        ("good", 0, 4, {}, 0, 0),
        ("bad", 0, 0, {"wrong": 3, "never-finished": 1}, 0, 0),
    ]
    assert report.complete
    assert report.agents[0].usage.turns == 5
    assert (request["temperature"], request["seed"], request["max_tokens"]) == (0.0, 0, 512)
    assert request["model"] == "good"
    assert [(each.model, each.done, each.total) for each in heard[:4]] == [
        ("good", n, 4) for n in (1, 2, 3, 4)
    ]
    sample = next(each for each in logs(folder)[0].samples or [] if each.id == "sum")
    assert sample.input == "What is 6 times 7?"
    assert sample.metadata["category"] == "maths/arithmetic"
    assert sample.metadata["memcollab_model"] == "good"
    assert sample.metadata["memcollab_harness"] == "python-turns"
    assert [message.role for message in sample.messages[:3]] == ["system", "user", "assistant"]


def test_nothing_of_the_checker_reaches_the_model(tasks: Path, tmp_path: Path, kind: str) -> None:
    """Neither tests nor checks are in any request or in the sample's metadata."""
    with ScriptedServer(bad) as server:
        collect(tasks, [f"m@{server.url}"], tmp_path / "runs", sandbox=kind)
        sent = json.dumps(server.requests)
    metadata = json.dumps(
        [s.metadata for log in logs(tmp_path / "runs") for s in log.samples or []]
    )
    for secret in [*SECRETS, '"42"', 'hello\\"']:
        assert secret not in sent
        assert secret not in metadata


def test_learn_reads_what_was_collected(tasks: Path, tmp_path: Path, kind: str) -> None:
    """The logs are runs: two models, four tasks, all judged, all of them mixed."""
    from memcollab.records import Trajectory
    from memcollab.sources import read_runs

    with ScriptedServer(good) as one, ScriptedServer(bad) as other:
        agents = [f"good@{one.url}", f"bad@{other.url}"]
        collect(tasks, agents, tmp_path / "runs", sandbox=kind)
    runs = list(read_runs([tmp_path / "runs"]))
    assert all(isinstance(run, Trajectory) for run in runs)
    found = [run for run in runs if isinstance(run, Trajectory)]
    assert sorted({(run.agent.model, run.agent.harness, run.verdict.solved) for run in found}) == [
        ("bad", "python-turns", False),
        ("good", "python-turns", True),
    ]
    assert len({run.task.id for run in found}) == 4


def test_calling_again_does_only_what_is_missing(tasks: Path, tmp_path: Path, kind: str) -> None:
    """Nothing is asked twice, unless the task or a setting is another one or resume is off."""
    folder = tmp_path / "runs"
    with ScriptedServer(good) as server:
        agent = f"m@{server.url}"
        collect(tasks, [agent], folder, sandbox=kind, limit=2)
        assert counts(collect(tasks, [agent], folder, sandbox=kind)) == [("m", 2, 2, {}, 0, 0)]
        asked = len(server.requests)
        assert counts(collect(tasks, [agent], folder, sandbox=kind)) == [("m", 4, 0, {}, 0, 0)]
        assert len(server.requests) == asked
        changed = [TASKS[0] | {"task": "What is 6 times 7, really?"}, *TASKS[1:]]
        tasks.write_text("\n".join(map(json.dumps, changed)), encoding="utf-8")
        assert counts(collect(tasks, [agent], folder, sandbox=kind)) == [("m", 3, 1, {}, 0, 0)]
        other = collect(tasks, [agent], folder, sandbox=kind, turns=3, limit=1)
        assert counts(other) == [("m", 0, 1, {}, 0, 0)]
        again = collect(tasks, [agent], folder, sandbox=kind, limit=1, resume=False)
        assert counts(again) == [("m", 0, 1, {}, 0, 0)]


def test_a_server_that_fails_in_the_middle_is_an_error_and_no_wrong_answer(
    tasks: Path, tmp_path: Path, kind: str
) -> None:
    """What failed is said, and done by the next call."""
    folder, broken = tmp_path / "runs", True

    def script(messages: Messages) -> str | Answer:
        if broken and "twice" in messages[1]["content"]:
            return Answer("the model fell over", 422)
        return good(messages)

    with ScriptedServer(script) as server:
        agent = f"m@{server.url}"
        report = collect(tasks, [agent], folder, sandbox=kind)
        assert counts(report) == [("m", 0, 3, {}, 1, 0)]
        assert not report.complete
        assert "the model fell over" in (report.agents[0].first_error or "")
        broken = False
        assert counts(collect(tasks, [agent], folder, sandbox=kind)) == [("m", 3, 1, {}, 0, 0)]


def test_a_killed_collection_goes_on_where_it_stopped(
    tasks: Path, tmp_path: Path, kind: str
) -> None:
    """Every finished sample of a killed process is in its log."""
    folder = tmp_path / "runs"
    slow = True

    def script(messages: Messages) -> str:
        if slow and "Say hello" in messages[1]["content"]:
            time.sleep(30)
        return good(messages)

    with ScriptedServer(script) as server:
        agent = f"m@{server.url}"
        process = _collect_in_a_process(tasks, agent, folder, kind)
        try:
            assert _within(60, lambda: len(_done(folder)) == 3)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        slow = False
        assert counts(collect(tasks, [agent], folder, sandbox=kind)) == [("m", 3, 1, {}, 0, 0)]


def _collect_in_a_process(
    tasks: Path, agent: str, folder: Path, kind: str
) -> subprocess.Popen[bytes]:
    program = (
        "import sys, pathlib; from memcollab.bench.collect import collect\n"
        "collect(pathlib.Path(sys.argv[1]), [sys.argv[2]], pathlib.Path(sys.argv[3]),"
        " sandbox=sys.argv[4], parallel=1)"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(tasks), agent, str(folder), kind])


def _done(folder: Path) -> set[str]:
    try:
        return finished(folder, "m")
    except UserWarning:  # warnings are errors here; the log is being written
        return set()


def _within(seconds: float, holds: Any) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A broken file beside the logs does not end a collection, and is not passed over silently."""
    (tmp_path / "broken.eval").write_bytes(b"not a log")
    with pytest.warns(UserWarning, match=r"broken\.eval cannot be read"):
        assert finished(tmp_path, "m") == set()


def test_inspect_leaves_nothing_outside_the_log_folder(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """No trace, cache or data in the home folder or in the folder it was called from."""
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(here)
    with ScriptedServer(good) as server:
        collect(tasks, [f"m@{server.url}"], tmp_path / "runs", sandbox=kind, limit=1)
    assert list(home.rglob("*")) == []
    assert list(here.rglob("*")) == []
    assert "XDG_DATA_HOME" not in os.environ


def test_the_key_is_in_no_log(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It goes to the server and nowhere else."""
    monkeypatch.setenv("MEMCOLLAB_API_KEY", "sk-very-secret-key")
    with ScriptedServer(good) as server:
        collect(tasks, [f"m@{server.url}"], tmp_path / "runs", sandbox=kind, limit=1)
    (path,) = (tmp_path / "runs").glob("*.eval")
    with zipfile.ZipFile(path) as archive:
        assert not any(b"sk-very-secret" in archive.read(name) for name in archive.namelist())


def test_a_server_that_is_not_there_is_said_at_once(tasks: Path, tmp_path: Path) -> None:
    """Before anything is run, with the address."""
    with pytest.raises(ModelUnavailable, match="does not answer"):
        collect(tasks, ["m@http://127.0.0.1:9/v1"], tmp_path / "runs", sandbox="none")


def test_a_server_of_another_model_is_refused(tasks: Path, tmp_path: Path, kind: str) -> None:
    """A server that answers to any name would mislabel the runs: what it serves is compared."""
    with ScriptedServer(good, names=["lab/other", "third"]) as server:
        with pytest.raises(ModelUnavailable, match=r"serves 'lab/other', 'third', not 'named'"):
            collect(tasks, [f"named@{server.url}"], tmp_path, sandbox=kind)
        assert server.requests == []
        report = collect(tasks, [f"other@{server.url}"], tmp_path, sandbox=kind)
    assert report.complete


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (
            "coder-0.5b@http://127.0.0.1:8101/v1/",
            AgentSpec("coder-0.5b", "openai-api/memcollab/coder-0.5b", "http://127.0.0.1:8101/v1"),
        ),
        (
            "org/name@https://host/v1",
            AgentSpec("name", "openai-api/memcollab/org/name", "https://host/v1"),
        ),
        ("openai/gpt-5-mini", AgentSpec("gpt-5-mini", "openai/gpt-5-mini")),
        ("openai-api/lab/coder", AgentSpec("coder", "openai-api/lab/coder")),
    ],
)
def test_agents_are_named_in_two_ways(text: str, spec: AgentSpec) -> None:
    """A model at a server, or a name that Inspect knows; runs carry the bare name."""
    assert AgentSpec.parse(text) == spec


@pytest.mark.parametrize("text", ["gpt-5", "m@", "@http://h/v1", "m@ftp://h", "m@h/v1", ""])
def test_what_names_no_agent_is_refused(text: str) -> None:
    """The message shows both forms."""
    with pytest.raises(UsageError, match="openai/gpt-5-mini"):
        AgentSpec.parse(text)


def test_misuse_is_said_before_anything_runs(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No agent, an agent twice, an unknown sandbox, a key that is missing."""
    one = "m@http://127.0.0.1:9/v1"
    with pytest.raises(UsageError, match="no agent"):
        collect(tasks, [], tmp_path)
    with pytest.raises(UsageError, match="given twice"):
        collect(tasks, [one, "m@http://127.0.0.1:10/v1"], tmp_path)
    with pytest.raises(UsageError, match="no sandbox 'docker'"):
        collect(tasks, [one], tmp_path, sandbox="docker")
    with pytest.raises(UsageError, match="MEMCOLLAB_API_KEY"):
        collect(tasks, ["m@https://models.example/v1"], tmp_path)


def test_a_missing_extra_is_said(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'memcollab\[bench\]'"):
        collect(tasks, ["m@http://127.0.0.1:9/v1"], tmp_path)


def test_importing_collect_does_not_import_inspect() -> None:
    """It costs seconds; the command line pays them only when it collects."""
    program = "import sys, memcollab.bench.collect; print('inspect_ai' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "False\n", ran.stderr


@pytest.mark.lab
def test_a_real_small_model_works_with_the_harness(tasks: Path, tmp_path: Path, kind: str) -> None:
    """It writes programs, reads outputs and finishes; every sample has a verdict."""
    url = os.environ.get("MEMCOLLAB_LAB_URL")
    if not url:
        pytest.skip("no lab model: set MEMCOLLAB_LAB_URL to an OpenAI-compatible server")
    with urllib.request.urlopen(f"{url}/models", timeout=30) as answer:
        name = json.load(answer)["data"][0]["id"]
    report = collect(tasks, [f"{name}@{url}"], tmp_path / "runs", sandbox=kind, max_tokens=256)
    (agent,) = report.agents
    assert agent.errors == agent.unattempted == 0
    samples = logs(tmp_path / "runs")[0].samples or []
    programs = [(s.scores or {})["solved"].metadata for s in samples]
    assert any((about or {})["programs"] for about in programs)
