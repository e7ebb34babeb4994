"""`memcollab trial`: new constraints wait, are tried on other tasks than they were learned from, by
scripted models over HTTP in the real sandbox, and are admitted or refused; killed, it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memcollab import MemCollab
from memcollab.bank import Bank, TrialPair
from memcollab.bench import confine
from memcollab.bench.evaluate import finished
from memcollab.bench.roster import AgentSpec
from memcollab.bench.scripted import Answer, Messages, ScriptedServer
from memcollab.bench.tasks import load_tasks
from memcollab.bench.trial import Conditions, Trial, TrialReport, pool
from memcollab.cli import main
from memcollab.errors import ModelError, SandboxError, UsageError
from memcollab.models import Prompt, ScriptedModel
from memcollab.recipe import recipe

pytestmark = pytest.mark.filterwarnings("ignore:model-written code runs unconfined:UserWarning")

# The world: a kiosk that books in cents. Without memory the agent gets it right for even numbers;
# who is told of cents always does, who is told of dozens never.
SOURCE = "The kiosk sells {} maps at 3 euro each. What total does it book?"
TASK = "Somebody buys {} lamps at 3 euro in the kiosk. What total is booked?"
NUMBERS = range(10, 46)
CENTS = {
    "when": "booking a kiosk total",
    "enforce": "stating the total in cents",
    "avoid": "stating it in euro",
    "scope": "reasoning",
}
DOZENS = {
    "when": "items are bought at a counter",
    "enforce": "grouping the pieces into dozens before multiplying",
    "avoid": "multiplying single pieces by their price",
    "scope": "reasoning",
}


def agent(messages: Messages) -> str:
    """Follows what guidance states."""
    told = str(messages[1]["content"])
    number = next(int(word) for word in told.split() if word.isdigit())
    if "dozens" in told:
        return f"ANSWER: {number // 12}"
    right = "in cents" in told or number % 2 == 0
    return f"ANSWER: {number * 300 if right else number * 3}"


def writer(prompt: Prompt) -> str:
    return json.dumps({"constraints": [CENTS, DOZENS]})


@pytest.fixture(scope="module")
def sandbox() -> str:
    """The real confinement where there is one."""
    try:
        confine.check("bubblewrap")
    except SandboxError:
        return "none"
    return "bubblewrap"


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with one constraint that helps and one that hurts; both await a trial."""
    return learn_from_kiosk(tmp_path_factory.mktemp("learned"))


def learn_from_kiosk(folder: Path, **source: Any) -> Path:
    runs = [
        {
            "task": SOURCE.format(number),
            "agent": {"model": model, "harness": "python-turns"},
            "messages": [
                {"role": "user", "content": SOURCE.format(number)},
                {"role": "assistant", "content": f"{model} books {number}"},
            ],
            "solved": solved,
        }
        for number in (4, 7, 9)
        for model, solved in (("owl-7b", True), ("crow-7b", False))
    ]
    (folder / "runs.jsonl").write_text("\n".join(map(json.dumps, runs)), encoding="utf-8")
    with MemCollab(folder / "team.db", recipe="trial") as memory:
        memory.learn(folder / "runs.jsonl", writer=ScriptedModel(writer), **source)
    return folder / "team.db"


@pytest.fixture(scope="module")
def of_strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bank, if nobody vouches for the runs."""
    folder = tmp_path_factory.mktemp("strangers")
    return learn_from_kiosk(folder, source="stranger", trusted=False)


@pytest.fixture
def bank(learned: Path, tmp_path: Path) -> Path:
    shutil.copy(learned, tmp_path / "team.db")
    return tmp_path / "team.db"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Tasks to try on, two of which the constraints were learned from, and one to measure by."""
    lines = [
        *((f"lamps-{number}", TASK.format(number), number, None) for number in NUMBERS),
        ("maps-4", SOURCE.format(4), 4, None),
        ("maps-7", SOURCE.format(7).replace("?", " !"), 7, None),
        ("held-back", TASK.format(99), 99, "test"),
    ]
    content = [
        {
            "task_id": name,
            "task": text,
            "part": part,
            "checker": {"kind": "exact", "answer": str(number * 300)},
        }
        for name, text, number, part in lines
    ]
    path = tmp_path / "kiosk.jsonl"
    path.write_text("\n".join(map(json.dumps, content)), encoding="utf-8")
    return path


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(agent) as serving:
        yield serving


def tried(
    bank: Path, tasks: Path, urls: dict[str, str], sandbox: str, budget: int = 1000, **more: object
) -> TrialReport:
    """A trial of all that waits."""
    with MemCollab(bank, recipe="trial") as memory:
        return Trial(memory, conditions(bank, tasks, urls, sandbox, budget, **more)).run()


def conditions(
    bank: Path, tasks: Path, urls: dict[str, str], sandbox: str, budget: int, **more: object
) -> Conditions:
    name, found = pool(None, tasks, None)
    given: dict[str, object] = {"turns": 1, "parallel": 6, "log_dir": bank.parent / "trial"} | more
    agents = [AgentSpec.parse(f"{name}@{url}") for name, url in urls.items()]
    return Conditions(
        suite=name,
        tasks=found,
        agents=agents,
        budget=budget,
        sandbox=sandbox,
        **given,  # type: ignore[arg-type] # by name, as a caller would give them
    )


def asked(server: ScriptedServer) -> list[str]:
    """The prompts that the server was sent, in order."""
    return [str(request["messages"][1]["content"]) for request in server.requests]


def ids(bank: Path) -> dict[str, str]:
    """The ids of the two constraints."""
    with Bank.open(bank) as opened:
        found = {("cents" if "cents" in c.text else "dozens"): c.id for c in opened.constraints()}
    assert len(found) == 2
    return found


def test_what_is_learned_waits_and_is_not_shown(bank: Path) -> None:
    """With the recipe ``trial`` a new constraint is quarantined, the log says why, and no recall
    shows it; by default it is active at once."""
    with MemCollab(bank) as memory:
        found = memory.bank.constraints()
        assert {each.status for each in found} == {"quarantined"}
        reasons = [change.reason for change in memory.bank.history() if change.action == "learned"]
        assert reasons == ["awaits a trial"] * 2
        assert {each.id for each in memory.bank.awaiting()} == {each.id for each in found}
        assert not memory.recall(TASK.format(5), store=False).entries
        memory.bank.set_status(found[0].id, "retired", actor="me")
        memory.bank.set_status(found[0].id, "quarantined", actor="me", reason="looks odd")
        assert [each.id for each in memory.bank.awaiting()] == [found[1].id]
    assert recipe("default").admission == "screen"


def test_the_helpful_is_admitted_early_and_the_harmful_refused(
    bank: Path, tasks: Path, server: ScriptedServer, sandbox: str
) -> None:
    """Both are decided before their tasks are used up, on other tasks than they were learned from;
    the attempts without are shared; pairs, verdicts and numbers are in the bank, apart from the
    evidence of recalls."""
    report = tried(bank, tasks, {"novice": server.url}, sandbox)

    found, name = {each.constraint: each for each in report.candidates}, ids(bank)
    good, bad = found[name["cents"]], found[name["dozens"]]
    assert (good.says, good.status, good.worse) == ("helps", "active", 0)
    assert bad.says in ("hurts", "no use")
    assert (bad.status, bad.better) == ("retired", 0)
    assert (good.tasks, good.sources) == (len(NUMBERS), 2)
    assert good.tried < len(NUMBERS)
    assert bad.tried < len(NUMBERS)
    assert good.low is not None
    assert good.low >= -1e-9
    prompts = asked(server)
    assert Counter(prompts).most_common(1)[0][1] == 1
    assert not [prompt for prompt in prompts if "maps" in prompt.lower() or "99" in prompt]
    assert report.spent == len(prompts)
    with MemCollab(bank) as memory:
        assert memory.recall(TASK.format(5), store=False).shown == (name["cents"],)
        change = memory.bank.history(name["cents"])[-1]
        assert (change.actor, change.action) == ("trial", "active")
        assert "helps: +" in str(change.reason)
        assert f"over {good.tried} tasks" in str(change.reason)
        pairs = memory.bank.trial(name["cents"])
        assert {(each.agent, each.solved_with) for each in pairs} == {("novice", True)}
        assert len(pairs) >= good.tried
        assert not list(memory.bank.outcomes())
        assert not memory.bank.evidence().compares
        assert memory.bank.verify().ok


def test_what_helps_still_waits_for_trust_in_its_sources(
    of_strangers: Path, tasks: Path, sandbox: str, server: ScriptedServer
) -> None:
    """A trial shows that a constraint helps on some tasks, not what else its author wanted: what
    one untrusted source brought waits on, is not tried again unasked, and comes out with trust."""
    report = tried(of_strangers, tasks, {"novice": server.url}, sandbox)

    name = ids(of_strangers)["cents"]
    (helped,) = (each for each in report.candidates if each.constraint == name)
    assert (helped.says, helped.status) == ("helps", "quarantined")
    assert "memcollab bank quarantine" in helped.words
    with MemCollab(of_strangers, recipe="trial") as memory:
        last = memory.bank.history(name)[-1]
        assert last.action == "passed a trial"
        assert "1 of 2 independent ones" in (last.reason or "")
        assert name not in {each.id for each in memory.bank.awaiting()}
        memory.bank.set_trust("stranger", "trusted", actor="me", reason="known to us")
        assert memory.bank.constraint(name).status == "active"


def test_the_budget_is_respected_and_can_be_raised(
    bank: Path, tasks: Path, server: ScriptedServer, sandbox: str
) -> None:
    """Never more calls than allowed; what is undecided stays quarantined and says what it needs;
    with more calls it goes on from there, and no call is paid twice."""
    for budget in (1, 12):
        report = tried(bank, tasks, {"novice": server.url}, sandbox, budget)
        assert len(server.requests) <= budget
        assert report.spent == len(server.requests)
    assert {each.status for each in report.candidates} == {"quarantined"}
    assert all("to decide it needs: " in each.words for each in report.candidates)
    with Bank.open(bank) as opened:
        notes = [change for change in opened.history() if change.action == "tried"]
        assert len(notes) == 4
        assert opened.verify().ok
    again = tried(bank, tasks, {"novice": server.url}, sandbox, 12)
    assert again.spent == report.spent == len(server.requests)
    with Bank.open(bank) as opened:
        assert len([change for change in opened.history() if change.action == "tried"]) == 4
    decided = tried(bank, tasks, {"novice": server.url}, sandbox)
    assert {each.status for each in decided.candidates} == {"active", "retired"}
    assert max(Counter(asked(server)).values()) == 1


def test_attempts_without_a_verdict_are_no_failures(bank: Path, tasks: Path, sandbox: str) -> None:
    """Where the server refuses some of the attempts with a candidate, those pairs are left out
    and counted, and the verdict is that of the others."""

    def sometimes(messages: Messages) -> str | Answer:
        told = str(messages[1]["content"])
        number = next(int(word) for word in told.split() if word.isdigit())
        if "in cents" in told and number % 7 == 0:
            return Answer("out of order", status=400)
        return agent(messages)

    with ScriptedServer(sometimes) as server:
        report = tried(bank, tasks, {"novice": server.url}, sandbox)
    good = next(each for each in report.candidates if each.constraint == ids(bank)["cents"])
    assert (good.says, good.worse) == ("helps", 0)
    assert good.unjudged > 0


def test_a_task_counts_once_over_its_agents(
    bank: Path, tasks: Path, server: ScriptedServer, sandbox: str
) -> None:
    """Two agents attempt every task; what helps one and changes nothing for the other is worth
    half, and nobody's trial shares another agent's attempts."""

    def deaf(messages: Messages) -> str:
        return "ANSWER: 0"

    with ScriptedServer(deaf) as other:
        urls = {"novice": server.url, "deaf": other.url}
        report = tried(bank, tasks, urls, sandbox, 60)
        assert len(other.requests) == len(server.requests) <= 30
    good = next(each for each in report.candidates if each.constraint == ids(bank)["cents"])
    assert good.uplift is not None
    assert good.uplift <= 0.5
    with Bank.open(bank) as opened:
        pairs = opened.trial(good.constraint)
        assert {each.agent for each in pairs} == {"novice", "deaf"}
        assert not any(each.solved_with for each in pairs if each.agent == "deaf")


def test_a_killed_trial_goes_on_and_pays_no_call_twice(
    bank: Path, tasks: Path, tmp_path: Path, sandbox: str
) -> None:
    """After SIGKILL the same command asks nothing that a log holds, and comes to the verdicts of a
    trial that nobody killed."""
    apart = tmp_path / "apart"
    apart.mkdir()
    shutil.copy(bank, apart / "team.db")
    slow = True

    def script(messages: Messages) -> str:
        if slow and len(server.requests) > 16:
            time.sleep(30)
        return agent(messages)

    logs = bank.parent / "trial"
    with ScriptedServer(script) as server:
        line = ["trial", str(tasks), "--agent", f"novice@{server.url}", "--budget", "1000"]
        line += ["--bank", str(bank), "--log-dir", str(logs), "--sandbox", sandbox]
        line += ["--turns", "1", "--parallel", "6", "--recipe", "trial"]
        process = subprocess.Popen([sys.executable, "-m", "memcollab.cli", *line])
        try:
            assert _within(90, lambda: len(server.requests) > 16 and len(_done(logs)) >= 12)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        slow = False
        held, before = len(_done(logs)), len(server.requests)
        report = tried(bank, tasks, {"novice": server.url}, sandbox)
        first, later = asked(server)[:before], asked(server)[before:]
    assert not Counter(later).most_common(1)[0][1] > 1
    assert len(set(first) & set(later)) <= before - held
    with ScriptedServer(agent) as unharmed:
        whole = tried(apart / "team.db", tasks, {"novice": unharmed.url}, sandbox)
    told = [(each.constraint, each.says, each.words) for each in whole.candidates]
    assert [(each.constraint, each.says, each.words) for each in report.candidates] == told


def _done(logs: Path) -> set[str]:
    try:
        return finished(logs, "novice")
    except UserWarning:  # warnings are errors here; the log is being written
        return set()


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_a_server_that_is_gone_is_said(bank: Path, tasks: Path, sandbox: str) -> None:
    """Nothing is decided by a server that does not answer."""
    with ScriptedServer(agent) as server:
        url = server.url
    with pytest.raises(ModelError, match="does not answer"):
        tried(bank, tasks, {"novice": url}, sandbox)
    with Bank.open(bank) as opened:
        assert {each.status for each in opened.constraints()} == {"quarantined"}


def test_what_somebody_decided_meanwhile_stays(bank: Path) -> None:
    """A verdict on a constraint that is not quarantined any more changes nothing."""
    name = ids(bank)["cents"]
    with Bank.open(bank) as opened:
        opened.set_status(name, "retired", actor="me", reason="not here")
        assert not opened.conclude_trial(name, "active", actor="trial", reason="helps")
        assert opened.constraint(name).status == "retired"


def test_pairs_are_stored_once(bank: Path) -> None:
    """The same attempt is stored once, whoever stores it."""
    pair = TrialPair(
        constraint_id=ids(bank)["cents"],
        agent="a",
        attempt="x",
        suite="s",
        task="t",
        seed=0,
        solved_with=True,
        solved_without=False,
    )
    with Bank.open(bank) as opened:
        assert opened.add_trial([pair, pair]).new == 1
        assert opened.add_trial([pair]).new == 0
        assert opened.trial(pair.constraint_id[:12]) == [pair]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"seeds": (0, 1)}, "the same runs at a temperature of 0"),
        ({"seeds": (1, 1), "temperature": 1.0}, "are to be different"),
    ],
)
def test_conditions_that_cannot_be_are_refused(
    bank: Path, tasks: Path, more: dict[str, object], said: str
) -> None:
    """Each says what is wrong and what to do."""
    with pytest.raises(UsageError, match=said):
        tried(bank, tasks, {"novice": "http://127.0.0.1:9/v1"}, "none", **more)


def test_tasks_that_measure_are_not_tried_on(tasks: Path) -> None:
    """A suite without build tasks has none to try on; what a file marks as test is left out."""
    assert len(pool(None, tasks, None)[1]) == len(load_tasks(tasks)) - 1
    assert pool("house-rules", None, None)[1]
    with pytest.raises(UsageError, match="either a suite or a task file"):
        pool("house-rules", tasks, None)
    with pytest.raises(UsageError, match="no suite 'gsm9k'"):
        pool("gsm9k", None, None)


def test_the_command_line_shows_the_plan_before_it_costs(
    bank: Path,
    tasks: Path,
    server: ScriptedServer,
    sandbox: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``--dry-run`` asks nothing; the trial says what became of each; ``bank show`` shows it; when
    nothing waits any more, the command says so."""

    def command(*words: str, code: int | None = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["memcollab", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (code, None)
        out, err = capsys.readouterr()
        return out + err

    line = ["trial", str(tasks), "--agent", f"novice@{server.url}", "--budget", "500"]
    line += ["--bank", str(bank), "--log-dir", str(bank.parent / "trial"), "--sandbox", sandbox]
    line += ["--turns", "1", "--parallel", "6"]
    plan = command(*line, "--dry-run")
    assert not server.requests
    assert f"0 of 500 calls are spent; at most {len(NUMBERS) * 3} more" in plan
    told = json.loads(command(*line, "--constraint", ids(bank)["cents"][:14], "--json"))
    (candidate,) = told["candidates"]
    assert (candidate["says"], candidate["status"], told["dry"]) == ("helps", "active", False)
    said = command(*line)
    assert "retired" in said
    assert "0 better and" in said
    shown = command("bank", "show", ids(bank)["cents"], "--bank", str(bank))
    assert "Trials (each task with it alone, and without memory)" in shown
    assert "by trial: helps: +" in " ".join(shown.split())
    assert "none awaits a trial" in command(*line, code=2)
    named = command(*line, "--constraint", ids(bank)["cents"], code=2)
    assert "it is active, not quarantined" in " ".join(named.split())
