"""`memcollab.bench`: an experiment from its file to its attempts, by scripted models over HTTP."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest

from memcollab import MemCollab, __version__
from memcollab.bank import sqlite
from memcollab.bench import checks, confine, paired, plan, run, validation
from memcollab.bench.arms import ARMS, Memory, memories
from memcollab.bench.attempts import Attempt
from memcollab.bench.collect import collect
from memcollab.bench.experiment import Experiment, SuiteChoice, load_experiment
from memcollab.bench.plan import Place, Planned
from memcollab.bench.roster import AgentSpec
from memcollab.bench.scripted import Messages, ScriptedServer
from memcollab.bench.suites import Suite
from memcollab.bench.tasks import BenchTask, Exact
from memcollab.cli import main
from memcollab.errors import ModelError, ModelUnavailable, SandboxError, UsageError
from memcollab.models import Prompt, ScriptedModel
from memcollab.recipe import recipe as named

pytestmark = pytest.mark.filterwarnings("ignore:model-written code runs unconfined:UserWarning")

# The world's secret: a shop whose totals are asked for in cents. The adept knows it; the novice
# does only if it is told.
TASKS = [
    *(
        ("build", n, f"The kiosk sells {n} maps at 3 euro each. What total does it book?")
        for n in (4, 7, 9)
    ),
    *(
        ("test", n, f"Somebody buys {n} lamps at 3 euro in the kiosk. What total is booked?")
        for n in (5, 8)
    ),
]
CENTS = {
    "when": "booking a kiosk total",
    "enforce": "state the total in cents",
    "avoid": "stating it in euro",
    "scope": "reasoning",
}


def adept(messages: Messages) -> str:
    """A model that knows the convention."""
    return f"ANSWER: {_number(messages) * 300}"


def novice(messages: Messages) -> str:
    """A model that follows the convention where guidance states it."""
    told = "in cents" in messages[1]["content"]
    return f"ANSWER: {_number(messages) * (300 if told else 3)}"


def _number(messages: Messages) -> int:
    return next(int(word) for word in messages[1]["content"].split() if word.isdigit())


def writer(prompt: Prompt) -> str:
    """A writer that finds out what made the difference."""
    return json.dumps({"constraints": [CENTS]})


@pytest.fixture(scope="module")
def sandbox() -> str:
    """The real confinement where there is one."""
    try:
        confine.check("bubblewrap")
    except SandboxError:
        return "none"
    return "bubblewrap"


def described(
    folder: Path,
    agents: dict[str, str],
    arms: list[object],
    tasks: Sequence[tuple[str, int, str]] = TASKS,
    **more: object,
) -> Path:
    """An experiment's file with its task file beside it."""
    lines = [
        {
            "task_id": f"{part}-{number}",
            "task": text,
            "part": part,
            "category": "counting/money" if part == "build" else None,
            "checker": {"kind": "exact", "answer": str(number * 300)},
        }
        for part, number, text in tasks
    ]
    (folder / "kiosk.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    named = [f"{name}@{url}" for name, url in agents.items()]
    content = {"name": "kiosk", "builders": named, "agents": named, "arms": arms, **more}
    toml = [f"{key} = {_toml(value)}" for key, value in content.items()]
    parts = Counter(part for part, _, _ in tasks)
    numbers = "".join(f"{part} = {parts[part]}\n" for part in ("build", "test"))
    suite = f'[[suite]]\nname = "kiosk"\nfile = "kiosk.jsonl"\n{numbers}'
    path = folder / "kiosk.toml"
    path.write_text("\n".join([*toml, suite]), encoding="utf-8")
    return path


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def solved(attempts: list[Attempt]) -> dict[tuple[str, str], tuple[int, int]]:
    """Solved and judged attempts of each agent and arm."""
    judged = Counter((each.agent, each.arm) for each in attempts if each.judged)
    right = Counter((each.agent, each.arm) for each in attempts if each.solved)
    return {cell: (right[cell], judged[cell]) for cell in judged}


def test_an_experiment_from_build_to_attempts(tmp_path: Path, sandbox: str) -> None:
    """What the adept found out reaches the novice by the bank of both, and by the adept's alone;
    nothing that a log holds is run again; arms that show the same share one attempt."""
    arms: list[object] = [
        "none",
        "own",
        "other",
        "default",
        {"name": "k1", "like": "default", "limit": 1},
    ]
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        experiment = load_experiment(described(tmp_path, agents, arms))
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        runner = run.Runner(sandbox)
        built = run.build(experiment, suites, place, runner)
        assert [(each.model, each.solved) for each in built.agents if each.log] == [
            ("adept", 3),
            ("novice", 0),
        ]
        learned = run.learn(experiment, place, writer=ScriptedModel(writer))
        assert set(learned) == {
            "default-adept-novice/kiosk",
            "single-adept/kiosk",
            "single-novice/kiosk",
        }
        planned = plan.plan(experiment, suites, place)
        assert len(planned) == 2 * 5 * 2
        cells = plan.cells(planned, {})
        asked = len(one.requests) + len(two.requests)
        report = run.run(experiment, planned, place, runner)
        assert report.complete
        made = len(one.requests) + len(two.requests) - asked
        assert made == sum(cell.to_run for cell in cells) < len(planned)
        again = run.run(experiment, planned, place, runner)
        assert len(one.requests) + len(two.requests) - asked == made
        assert sum(each.known for each in again.agents) == made
    attempts = plan.attempts(planned, plan.known(place.logs))
    cells_solved = solved(attempts)
    assert len(attempts) == len(planned)
    assert all(cells_solved["adept", arm] == (2, 2) for arm in ("none", "own", "other", "default"))
    assert cells_solved["novice", "none"] == (0, 2)
    assert cells_solved["novice", "default"] == cells_solved["novice", "k1"] == (2, 2)
    guided = [each for each in attempts if each.arm == "default"]
    assert all(each.constraints and each.guidance_tokens for each in guided)
    assert {each.source for each in guided} == {"adept+novice"}
    assert all(each.turns == 1 and each.input_tokens > each.guidance_tokens / 2 for each in guided)
    left = plan.cells(planned, plan.known(place.logs))
    assert sum(cell.to_run for cell in left) == 0
    assert sum(cell.known for cell in left) == len(planned)


def test_an_experiment_is_evidence(
    tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts with an arm's memory and without become pairs that are compared with each other, no
    coin is claimed, and storing them again changes nothing; the experiment's own banks stay as they
    are, and a bank that does not hold what was shown is refused."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        path = described(tmp_path, agents, ["none", "default"])
        experiment = load_experiment(path)
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        runner = run.Runner(sandbox)
        run.build(experiment, suites, place, runner)
        run.learn(experiment, place, writer=ScriptedModel(writer))
        planned = plan.plan(experiment, suites, place)
        run.run(experiment, planned, place, runner)
        assert run.to_ask(experiment, suites, place) == []
    own, copy = place.bank(_BOTH), tmp_path / "team.db"
    sqlite.back_up(own, copy)

    def command(*options: str) -> int:
        arguments = ["memcollab", "bench", "evidence", str(path), "--dir", str(place.root)]
        monkeypatch.setattr(sys, "argv", [*arguments, "--json", *options])
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    for _ in range(2):
        assert command("--arm", "default", "--bank", str(copy)) == 0
    assert command("--arm", "default", "--bank", str(own)) == 2
    assert command("--arm", "none", "--bank", str(copy)) == 2
    with (
        MemCollab(tmp_path / "empty.db") as empty,
        pytest.raises(UsageError, match="does not hold"),
    ):
        paired.record(empty.bank, "default", planned, plan.known(place.logs))
    with MemCollab(copy) as memory:
        assert memory.bank.verify().ok
        report = memory.evidence()
        ended = list(memory.bank.outcomes())
        again = paired.record(memory.bank, "default", planned, plan.known(place.logs))
    assert (again.new, again.known, again.alone, again.unguided) == (0, 4, 0, 0)
    assert (report.judged, report.compared) == (8, 8)
    by_agent = {each.agent: each for each in report.categories}
    assert (by_agent["novice"].uplift, by_agent["adept"].uplift) == (1.0, 0.0)
    assert {each.shown for each in report.categories} == {2}
    assert all(each.recall.paired and each.recall.holdout == 0.5 for each in ended)
    assert {each.recall.withheld: bool(each.recall.guidance) for each in ended} == {
        True: False,
        False: True,
    }
    assert report.saving.tokens is not None
    assert report.saving.tokens > 0
    assert report.saving.guidance_tokens > 20


def test_a_memory_proves_itself_before_it_is_shown(
    tmp_path: Path,
    sandbox: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Under the arm ``proven`` each agent attempts the build tasks with the memory; the novice,
    whom it helped beyond the interval, is shown it at test tasks, the adept is not. Attempts
    without memory are those of the build, nothing is made twice, and a run before it is refused."""
    many = [
        *(
            ("build", n, f"The kiosk sells {n} maps at 3 euro each. What total does it book?")
            for n in range(11, 41)
        ),
        *TASKS[-2:],
    ]
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        path = described(tmp_path, agents, ["none", "proven"], many)
        experiment, place = load_experiment(path), Place(tmp_path / "out")
        suites = experiment.choose(None)
        runner = run.Runner(sandbox, parallel=8)
        with pytest.raises(UsageError, match="memcollab bench learn"):
            validation.validate(experiment, suites, place, runner)
        run.build(experiment, suites, place, runner)
        run.learn(experiment, place, writer=ScriptedModel(writer))
        with pytest.raises(UsageError, match="memcollab bench validate"):
            plan.plan(experiment, suites, place)
        early = plan.plan(experiment, suites, place, early=True)
        assert all(each.shown.tokens for each in early if each.arm == "proven")
        cells = validation.outline(experiment, suites, place)
        assert {(each.arm, each.to_run) for each in cells} == {
            ("validate none", 0),
            ("validate guided", 30),
        }
        asked = len(one.requests) + len(two.requests)
        alone = run.Runner(sandbox, parallel=8, only=["adept"])
        assert validation.validate(experiment, suites, place, alone).complete
        validation.record(experiment, suites, place)
        assert checks.judged_agents(place.bank(_PROVEN)) == {"adept"}
        with pytest.raises(UsageError, match=r"'novice' what is proven.*memcollab bench validate"):
            plan.plan(experiment, suites, place)
        arguments = ["memcollab", "bench", "validate", str(path), "--dir", str(place.root)]
        monkeypatch.setattr(sys, "argv", [*arguments, "--sandbox", sandbox, "--parallel", "8"])
        monkeypatch.setenv("COLUMNS", "200")
        for _ in range(2):
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code
        assert len(one.requests) + len(two.requests) - asked == 60
        said = capsys.readouterr().out
        assert "novice in counting_and_probability: helps: +100.0 points [" in said
        assert "adept in counting_and_probability: not known: +0.0 points [" in said
        planned = plan.plan(experiment, suites, place)
        shown = {(each.agent.name, each.arm): each.shown for each in planned}
        assert shown["novice", "proven"].constraints
        assert not shown["adept", "proven"].constraints
        run.run(experiment, planned, place, runner)
    attempts = plan.attempts(planned, plan.known(place.logs))
    assert solved(attempts)["novice", "proven"] == (2, 2)
    assert solved(attempts)["novice", "none"] == (0, 2)
    with MemCollab(place.bank(_PROVEN)) as memory:
        assert (memory.evidence().judged, memory.bank.verify().ok) == (120, True)


def test_nothing_has_to_be_validated_where_no_arm_has_to_prove_itself(tmp_path: Path) -> None:
    """The error says which arms there are, and goes on to the run."""
    agents = {"adept": "http://127.0.0.1:9/v1", "novice": "http://127.0.0.1:9/v1"}
    experiment = load_experiment(described(tmp_path, agents, ["none", "default"]))
    suites, place = experiment.choose(None), Place(tmp_path / "out")
    assert validation.outline(experiment, suites, place) == []
    with pytest.raises(UsageError, match=r"'default' has the recipe 'default'.*bench run"):
        validation.validate(experiment, suites, place, run.Runner("none"))


def test_a_bank_that_was_told_of_a_test_task_is_refused(tmp_path: Path) -> None:
    """Outcomes decide what is shown, so that of a test task gives the answer away, too."""
    task = BenchTask(
        task_id="t", task="How many lamps hang here?", checker=Exact(kind="exact", answer="1")
    )
    with MemCollab(tmp_path / "bank.db") as memory:
        recall = memory.recall("How many lamps hang here?", agent="novice")
        memory.record_outcome(recall, solved=True)
    with pytest.raises(UsageError, match="an outcome of the test task 't'"):
        checks.refuse_contaminated(tmp_path / "bank.db", [Suite("lamps", (), (task,))])


def test_a_report_of_a_part_of_an_experiment(
    tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for one arm and one agent, the report holds these and memory none, says that it is a
    part, needs no bank of other arms, and links to the logs that it is told of; an arm that is not
    in the experiment is refused with those that are."""
    arms = ["none", "default", "own"]
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        path = described(tmp_path, {"adept": one.url, "novice": two.url}, arms)
        experiment, place = load_experiment(path), Place(tmp_path / "out")
        suites, runner = experiment.choose(None), run.Runner(sandbox)
        run.build(experiment, suites, place, runner)
        run.learn(experiment, place, writer=ScriptedModel(writer))
        run.run(experiment, plan.plan(experiment, suites, place), place, runner)
    place.bank(Memory("single", ("novice",))).unlink()
    published = tmp_path / "published"
    place.logs.rename(published)
    place.logs.symlink_to(published)

    def command(*options: str) -> int:
        arguments = ["memcollab", "bench", "report", str(path), "--dir", str(place.root)]
        monkeypatch.setattr(sys, "argv", [*arguments, *options])
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    part = ["--arm", "default", "--agent", "novice", "--suite", "kiosk"]
    report = tmp_path / "here" / "report"
    assert command(*part, "--out", str(report), "--logs", str(published)) == 0
    page = (report / "report.md").read_text("utf-8")
    assert page.startswith("# Does memory help? kiosk: novice; none, default\n")
    assert "2 of 3 arms (none, default); 1 of 1 suites (kiosk); 1 of 2 agents (novice)" in page
    assert "The whole plan has 12 attempts." in page
    assert "4 of 4 planned attempts of this part were made; all have a verdict." in page
    records = (report / "attempts.jsonl").read_text("utf-8").splitlines()
    assert {(json.loads(each)["arm"], json.loads(each)["agent"]) for each in records} == {
        ("none", "novice"),
        ("default", "novice"),
    }
    links = re.findall(r"\]\(<([^>]*)>\)", page)
    assert links
    assert all((report / unquote(link)).resolve().parent == published for link in links)
    assert "| command | memcollab bench report kiosk.toml --arm default --suite kiosk" in page
    for setting in (
        "build tasks | kiosk 3",
        "build seeds | kiosk 0",
        "choice seed | 0",
        "writer | scripted",
        "tasks at once | 2",
        f"version of memcollab | {__version__}",
        "machine | Linux",
        "runs made | 20",
        "report made | 20",
    ):
        assert f"| {setting}" in page, setting
    assert "| default | all builders' | default | what recall finds | 3 | 400 | after | – |" in page
    assert command("--arm", "defalt") == 2


def test_a_bank_that_learned_a_test_task_is_refused(tmp_path: Path, sandbox: str) -> None:
    """A constraint whose source is a test task, under another id and in other letters, stops the
    run before anything is asked; the bank, the constraint and the task are named."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        path = described(tmp_path, agents, ["default"])
        experiment = load_experiment(path)
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        task = suites[0].test[0]
        twin = task.model_copy(update={"task_id": "other", "task": task.task.upper()})
        run.build(experiment, [Suite("kiosk", (twin,), ())], place, run.Runner(sandbox))
        run.learn(experiment, place, writer=ScriptedModel(writer))
        asked = len(one.requests) + len(two.requests)
        with pytest.raises(
            UsageError, match=r"'c-\w+', which was learned from the test task 'test-"
        ):
            plan.plan(experiment, suites, place)
        assert len(one.requests) + len(two.requests) == asked


def test_a_bank_that_learned_an_mbpp_task_with_another_example_is_refused(tmp_path: Path) -> None:
    """What MBPP says before its example is the task: a constraint learned from the same words with
    another example stops the run."""
    said = "Write a function for the {} sum of n-1.\nThe function is called `{}`. For example: {}"
    task = said.format("harmonic", "f", "f(7) == 2.59")
    lines = [
        {"task": task, "model": model, "solved": solved}
        | {"messages": [{"role": "assistant", "content": f"def f(n): return {value}"}]}
        for model, solved, value in (
            ("a", True, "sum(1 / i for i in range(1, n))"),
            ("b", False, "0"),
        )
    ]
    runs = tmp_path / "runs.jsonl"
    runs.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    def suites(kind: str) -> list[Suite]:
        task = BenchTask(
            task_id="t",
            task=said.format(kind, "sum_of", "sum_of(10) == 2.93"),
            checker=Exact(kind="exact", answer="x"),
        )
        return [Suite("mbpp", (), (task,))]

    with MemCollab(tmp_path / "bank.db") as collab:
        assert collab.learn(runs, writer=ScriptedModel(writer)).constraints == 1
    checks.refuse_contaminated(tmp_path / "bank.db", suites("geometric"))
    with pytest.raises(UsageError, match=r"'c-\w+', which was learned from the test task 't'"):
        checks.refuse_contaminated(tmp_path / "bank.db", suites("harmonic"))


def test_an_arm_that_shows_runs_is_refused_a_bank_that_holds_a_test_task(
    tmp_path: Path, sandbox: str
) -> None:
    """Runs of a test task in a bank stop the arm that would show them, though no constraint came of
    them; an arm that shows constraints alone may read the bank."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        path = described(tmp_path, agents, ["default", "examples"])
        experiment = load_experiment(path)
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        run.build(experiment, suites, place, run.Runner(sandbox))
        run.learn(experiment, place, writer=ScriptedModel(writer))
        plan.plan(experiment, suites, place)
        test = Suite("kiosk", suites[0].test[:1], ())
        run.build(experiment, [test], Place(tmp_path / "strange"), run.Runner(sandbox))
    with MemCollab(place.bank(_BOTH)) as collab:
        collab.add_runs(tmp_path / "strange" / "build" / "kiosk")
    with pytest.raises(UsageError, match=r"runs, which would be shown, of the test task 'test-"):
        plan.plan(experiment, suites, place)
    constraints_alone = experiment.model_copy(update={"arms": (ARMS["default"],)})
    assert plan.plan(constraints_alone, suites, place)


def test_a_plan_is_there_before_anything_was_run(tmp_path: Path) -> None:
    """Cells, the writer's requests and what both cost at most are known before there are runs,
    banks or servers; asked to run, the missing bank is named with the command that makes it."""
    nowhere = {"adept": "http://127.0.0.1:9/v1", "novice": "http://127.0.0.1:9/v1"}
    experiment = load_experiment(
        described(tmp_path, nowhere, ["none", "default"], turns=3, max_tokens=100)
    )
    suites, place = experiment.choose(None), Place(tmp_path / "out")
    cells = plan.cells(plan.plan(experiment, suites, place, early=True), {})
    assert [(cell.arm, cell.to_run, cell.most_output_tokens) for cell in cells] == [
        ("none", 2, 600),
        ("default", 2, 600),
    ] * 2
    assert [cell.guidance_tokens for cell in cells] == [0, 400] * 2
    assert [cell.to_run for cell in plan.build_cells(experiment, suites, place)] == [3, 3]
    (asked,) = run.to_ask(experiment, suites, place)
    assert (asked.memory, asked.requests, asked.output_tokens) == ("default-adept-novice", 25, None)
    assert 3000 <= asked.input_tokens <= 5000
    with pytest.raises(UsageError, match=r"default-adept-novice.db.*memcollab bench learn"):
        plan.plan(experiment, suites, place)
    assert not place.root.exists()


def test_learning_without_runs_names_the_command(tmp_path: Path) -> None:
    """Learning before building says what to run first."""
    nowhere = {"adept": "http://127.0.0.1:9/v1", "novice": "http://127.0.0.1:9/v1"}
    experiment = load_experiment(described(tmp_path, nowhere, ["default"]))
    with pytest.raises(UsageError, match="memcollab bench build"):
        run.learn(experiment, Place(tmp_path / "out"), writer=ScriptedModel(writer))


def test_a_server_that_is_gone_makes_no_wrong_answers(tmp_path: Path, sandbox: str) -> None:
    """With no server there is an error and no attempt; a later run makes all of them."""
    nowhere = {"adept": "http://127.0.0.1:9/v1"}
    experiment = load_experiment(described(tmp_path, nowhere, ["none"]))
    suites, place = experiment.choose(None), Place(tmp_path / "out")
    planned = plan.plan(experiment, suites, place)
    with pytest.raises(ModelUnavailable, match="adept"):
        run.run(experiment, planned, place, run.Runner(sandbox))
    assert plan.attempts(planned, plan.known(place.logs)) == []


def test_requests_go_out_and_answers_come_in_as_batches(tmp_path: Path, sandbox: str) -> None:
    """One file holds every memory's requests, each once; answered, it makes every bank."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        experiment = load_experiment(described(tmp_path, agents, ["own", "other", "default"]))
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        run.build(experiment, suites, place, run.Runner(sandbox))
    out, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    run.learn(experiment, place, writer="writer", batch_out=out)
    with pytest.raises(UsageError, match="no writer has answered yet"):
        plan.plan(experiment, suites, place)
    requests = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len({each["custom_id"] for each in requests}) == len(requests) == 3 + 3 + 3
    content = json.dumps({"constraints": [CENTS]})
    answers.write_text(
        "\n".join(
            json.dumps({"custom_id": each["custom_id"], "model": "writer", "content": content})
            for each in requests
        ),
        encoding="utf-8",
    )
    learned = run.learn(experiment, place, batch_in=answers)
    assert {name: report.asked for name, report in learned.items()} == dict.fromkeys(learned, 3)
    assert all(report.constraints == 1 for report in learned.values())
    assert not list((place.root / "banks").glob(".*"))


def test_a_half_learned_bank_is_not_measured(
    tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that leave requests open, or a suite out, end `bench learn` with an error; no attempt
    is planned on such a bank until the rest came, or the experiment allows what is open."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        path = described(tmp_path, agents, ["none", "default"])
        experiment = load_experiment(path)
        suites, place = experiment.choose(None), Place(tmp_path / "out")
        run.build(experiment, suites, place, run.Runner(sandbox))
    out, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    run.learn(experiment, place, writer="writer", batch_out=out)
    asked = [json.loads(line)["custom_id"] for line in out.read_text("utf-8").splitlines()]
    content = json.dumps({"constraints": [CENTS]})

    def learn(number: int) -> int:
        lines = [
            json.dumps({"custom_id": each, "model": "writer", "content": content})
            for each in asked[:number]
        ]
        answers.write_text("\n".join(lines), encoding="utf-8")
        command = ["memcollab", "bench", "learn", str(path), "--dir", str(place.root)]
        monkeypatch.setattr(sys, "argv", [*command, "--json", "--batch-in", str(answers)])
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    assert learn(2) == ModelError.exit_code
    with pytest.raises(UsageError, match=r"no answer \(kiosk: 1\). Next: memcollab bench learn"):
        plan.plan(experiment, suites, place)
    early = plan.cells(plan.plan(experiment, suites, place, early=True), {})
    assert {cell.guidance_tokens for cell in early if cell.arm == "default"} == {400}
    allowed = experiment.model_copy(update={"unanswered": 1})
    assert plan.plan(allowed, suites, place)
    assert learn(3) == 0
    assert plan.plan(experiment, suites, place)
    more = [*suites, Suite("new", (suites[0].test[0],), ())]
    with pytest.raises(UsageError, match="holds no run of the build tasks of 'new'"):
        plan.plan(experiment, more, place)


def test_controls_differ_in_fit_alone(tmp_path: Path) -> None:
    """`random` shows as many constraints as recall would; `wrong-category` none of the right one;
    `examples` shows a solved run of another task; each the same every time."""
    experiment, place = _learned(tmp_path)
    task = experiment.choose(None)[0].test[0]
    shown = {}
    for name in ("default", "random", "wrong-category", "examples"):
        with plan.guide(
            experiment, place, ARMS[name], _BOTH, experiment.specs(experiment.agents)[0]
        ) as guide:
            shown[name] = guide.show(task)
            assert guide.show(task) == shown[name]
    assert len(shown["random"].constraints) == len(shown["default"].constraints) >= 1
    assert not set(shown["wrong-category"].constraints) & set(shown["default"].constraints)
    assert "in cents" in shown["default"].guidance
    assert "A similar task: The kiosk sells" in shown["examples"].guidance
    assert shown["examples"].tokens <= experiment.guidance_tokens


def test_an_arm_may_put_guidance_first(tmp_path: Path) -> None:
    """The same words in another place are another measurement, of the same memory."""
    experiment, place = _learned(tmp_path)
    agents = experiment.specs(experiment.agents)
    task = experiment.choose(None)[0].test[0]
    first = ARMS["default"].model_copy(update={"name": "default-before", "place": "before"})
    shown = []
    for arm in (ARMS["default"], first):
        with plan.guide(experiment, place, arm, _BOTH, agents[0]) as guide:
            shown.append(guide.show(task))
    assert shown[0].guidance == shown[1].guidance
    settings = experiment.measured(0)
    after, before = (Planned("a", "kiosk", agents[0], task, settings, None, s) for s in shown)
    assert after.key != before.key
    assert after.job.sample_id(settings) != before.job.sample_id(settings)


def test_planning_writes_nothing_into_a_bank(tmp_path: Path) -> None:
    """A plan may be made any number of times: the bank's bytes as exported stay the same."""
    experiment, place = _learned(tmp_path)
    with MemCollab(place.bank(_BOTH)) as collab:
        before = dict(collab.bank.stats().__dict__)
    plan.plan(experiment, experiment.choose(None), place)
    with MemCollab(place.bank(_BOTH)) as collab:
        assert dict(collab.bank.stats().__dict__) == before


_PROVEN = Memory("proven", ("adept", "novice"))
_BOTH = Memory("default", ("adept", "novice"))


def _learned(folder: Path) -> tuple[Experiment, Place]:
    """An experiment whose banks were learned from runs in chat form."""
    with ScriptedServer(adept) as one, ScriptedServer(novice) as two:
        agents = {"adept": one.url, "novice": two.url}
        experiment = load_experiment(described(folder, agents, ["default"]))
        suites, place = experiment.choose(None), Place(folder / "out")
        with pytest.warns(UserWarning, match="unconfined"):
            run.build(experiment, suites, place, run.Runner("none"))
        run.learn(experiment, place, writer=ScriptedModel(writer))
    return experiment, place


def test_whose_memory_an_arm_reads() -> None:
    """Own and other's memories follow from who built; who built nothing owns none and is a reader
    of each builder's."""
    own, other, both = ARMS["own"], ARMS["other"], ARMS["default"]
    builders = ["a", "b"]
    assert memories(ARMS["none"], "a", builders) == [None]
    assert memories(own, "a", builders) == [Memory("single", ("a",))]
    assert memories(other, "a", builders) == [Memory("single", ("b",))]
    assert memories(both, "c", builders) == [Memory("default", ("a", "b"))]
    assert memories(own, "c", builders) == []
    assert memories(other, "c", builders) == [Memory("single", ("a",)), Memory("single", ("b",))]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('arms = ["nonesuch"]', "Arms by name: none, own, other"),
        ('arms = ["none", "none"]', "two arms have the same name"),
        ('arms = ["none", {name = "k1", like = "defalt"}]', "no arm 'defalt' to be like"),
        ("turns = 0", "turns"),
        ("colour = 3", "colour"),
    ],
)
def test_a_wrong_description_is_refused_with_its_place(
    tmp_path: Path, line: str, said: str
) -> None:
    """Each fault of an experiment's file is named, with what is valid."""
    path = described(tmp_path, {"a": "http://127.0.0.1:9/v1"}, ["none"])
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [each for each in lines if each.split(" ")[0] != line.split(" ")[0]]
    path.write_text("\n".join([line, *kept]), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        load_experiment(path)


def test_series_hold_arms_that_differ_in_number_alone(tmp_path: Path) -> None:
    """The number of an arm that names none is the experiment's; an arm that differs in its place,
    too, is in a series of its own."""
    arms: list[object] = [
        "none",
        "default",
        "own",
        {"name": "first", "like": "default", "place": "before"},
        {"name": "first-k1", "like": "default", "place": "before", "limit": 1},
        {"name": "k1", "like": "default", "limit": 1},
    ]
    path = described(tmp_path, {"a": "http://127.0.0.1:9/v1"}, arms, limit=3)
    assert load_experiment(path).series == [
        [("1", "k1"), ("3", "default")],
        [("1", "first-k1"), ("3", "first")],
    ]


def test_a_report_is_told_what_its_arms_are(tmp_path: Path) -> None:
    """Each arm has its recipe and limits, and says where it is not its recipe as that comes: the
    paper's has more entries and tokens, a single run is asked about in other words, and what the
    experiment changes is changed everywhere."""
    arms: list[object] = ["none", "own", "paper-v1", {"name": "k1", "like": "default", "limit": 1}]
    changed = {"recipe": {"max_entries": 2}, "guidance_tokens": 300}
    path = described(tmp_path, {"a": "http://127.0.0.1:9/v1"}, arms, **changed)
    told = {each["arm"]: each for each in load_experiment(path).arms_told()}
    assert len({tuple(each) for each in told.values()}) == 1
    assert (told["none"]["recipe"], told["none"]["entries"]) == ("–", "–")
    assert (told["own"]["runs"], told["own"]["recipe"]) == ("the agent's own", "single")
    assert told["own"]["otherwise"].startswith("the writer is asked about one run")
    assert [told["paper-v1"][x] for x in ("recipe", "entries", "tokens", "otherwise")] == [
        "paper-v1",
        "3",
        "300",
        "the recipe has 9 entries and 1,200 tokens; max_entries = 2",
    ]
    assert (told["k1"]["entries"], told["k1"]["otherwise"]) == ("1", "max_entries = 2")


def test_a_ledger_counts_the_suites_that_are_shown(tmp_path: Path) -> None:
    """What the writer was asked about build tasks of other suites is not charged to a suite; one
    without a build part reads what was learned from all; minutes that nobody recorded are none."""
    experiment, place = _learned(tmp_path)
    kiosk = experiment.suite[0]
    task = experiment.choose(None)[0].build[0].model_copy(update={"task_id": "fair", "task": "A"})
    with ScriptedServer(lambda _: "ANSWER: 1") as one:
        folder = place.build("fair")
        folder.mkdir()
        spec = AgentSpec.parse(f"adept@{one.url}")
        with pytest.warns(UserWarning, match="unconfined"):
            collect([task], [spec], folder, sandbox="none")

    def asked(*suites: SuiteChoice) -> list[tuple[int, int, float | None]]:
        shown = experiment.model_copy(update={"suite": suites})
        found = run.ledgers(shown, place)
        return [(each.requests, each.constraints, each.minutes) for each in found]

    assert asked(kiosk) == [(3, 1, None)]
    assert asked(SuiteChoice(name="fair", build=1)) == []
    assert asked(SuiteChoice(name="fair", build=1), kiosk) == [(3, 1, None)]
    assert asked(SuiteChoice(name="fair")) == [(3, 1, None)]
    assert run.ledgers(experiment, place)[0].writers == ("scripted",)


def test_an_experiment_changes_the_method_for_every_memory_alike(tmp_path: Path) -> None:
    """What ``recipe`` changes holds in each recipe, which otherwise stays as it is, and the
    settings of the report tell it; what is no setting, or tells the arms apart, is refused."""
    text = """
name = "changed"
builders = ["a@http://127.0.0.1:1/v1"]
agents = ["a@http://127.0.0.1:1/v1"]
arms = ["none", "own"]
recipe = {RECIPE}
[[suite]]
name = "house-rules"
contrasts = 48
"""

    def load(recipe: str) -> Experiment:
        path = tmp_path / "changed.toml"
        path.write_text(text.replace("{RECIPE}", recipe), encoding="utf-8")
        return load_experiment(path)

    found = load("{ max_unsolved_per_task = 1 }")
    for name in ("default", "single", "paper-v1"):
        changed = found.recipe_of(name)
        assert changed.max_unsolved_per_task == 1
        assert changed.model_copy(update={"max_unsolved_per_task": 0}) == named(name)
    assert found.told()["method changed"] == "max_unsolved_per_task = 1"
    assert found.told()["contrasts of"] == "house-rules 48"
    for recipe, told in (
        ("{ max_unsolvd = 1 }", "max_unsolvd"),
        ('{ pairing = "single" }', "pairing"),
        ('{ admission = "trial" }', "'own' would be empty"),
    ):
        with pytest.raises(UsageError, match=told):
            load(recipe)
