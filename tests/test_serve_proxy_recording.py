"""The run that passes the proxy: recorded as it goes, judged by its outcome. Asked by the real
``openai`` client, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from mcp import Client
from tests.serving import service_over, serving
from tests.test_collab import WRITER, lesson, write_runs
from tests.test_serve_proxy_bytes import JSON, STREAM_HEAD, answer, chunked
from tests.upstream import CLOSE, Upstream, upstream

from memcollab import MemCollab
from memcollab.bank import Bank
from memcollab.errors import UsageError
from memcollab.models import ScriptedModel
from memcollab.records import Trajectory
from memcollab.serve.keys import NEIGHBOUR
from memcollab.serve.proxy import Proxy
from memcollab.serve.recorder import Recorder, Sender, Turn
from memcollab.serve.service import Service

TASK = "Count the hands that hold two kings."
USER = {"role": "user", "content": TASK}
CALL = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


@dataclass
class World:
    """A server whose proxy stands before ``behind``."""

    url: str
    path: Path
    service: Service
    behind: Upstream

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(api_key="up", base_url=f"{self.url}/proxy/v1", max_retries=0)

    @property
    def bank(self) -> Bank:
        return self.service.banks.tenant("team").memory.bank

    def says(self, message: dict[str, Any], **usage: int) -> None:
        body = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        self.behind.script = [answer(json.dumps(body | {"usage": usage}).encode(), JSON)]

    def streams(self, *texts: str, end: bool = True) -> None:
        pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
        events = [f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces]
        last = [b"data: [DONE]\n\n"] if end else []
        self.behind.script = [STREAM_HEAD, *chunked(*events, *last, end=end), *[CLOSE] * (not end)]

    def ask(self, *messages: Any, **how: Any) -> str:
        """One turn; the id of its recall."""
        said = self.client.chat.completions.with_raw_response.create(
            model="owl-7b", messages=list(messages), **how
        )
        if how.get("stream"):
            for _ in said.parse():
                pass
        return str(said.headers["memcollab-recall"])

    def ends(self, recall: str, *, solved: bool | None = True) -> None:
        told = {"recall_id": recall, "solved": solved}
        assert httpx.post(f"{self.url}/v1/outcomes", json=told).status_code == 200

    def runs(self) -> list[Trajectory]:
        """What passed and was judged."""
        with Bank.open(self.path, read_only=True) as bank:
            runs = [bank.trajectory(summary.id) for summary in bank.summaries()]
        return [run for run in runs if run.origin == "proxy"]

    def results(self) -> dict[str, int]:
        """Turns by what became of their record."""
        text = httpx.get(f"{self.url}/metrics").text
        found = re.findall(r'^memcollab_proxied_turns_total\{result="(\w+)"\} (\d+)', text, re.M)
        return {name: int(count) for name, count in found}

    def until(self, **expected: int) -> None:
        deadline = time.monotonic() + 20
        while (found := self.results()) != expected:
            assert time.monotonic() < deadline, (found, expected)
            time.sleep(0.02)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
    return folder / "team.db"


@pytest.fixture
def world(learned: Path, tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "team.db"
    path.write_bytes(learned.read_bytes())
    with upstream() as behind:
        service = service_over(path, upstream=behind.url)
        with serving(service) as url:
            yield World(url, path, service, behind)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else can write to the bank."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_conversation_is_one_run_with_the_verdict_of_its_outcome(world: World) -> None:
    """Each turn takes the place of the one before; tool calls, results and the streamed answer are
    in it, secrets and guidance are not; what its turns cost is added up."""
    system = {"role": "system", "content": "be brief"}
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    world.says(calls, prompt_tokens=10, completion_tokens=2)
    first = world.ask(system, USER)
    result = {
        "role": "tool",
        "tool_call_id": "call-1",
        "content": "key AKIAIOSFODNN7EXAMPLF said 3",
    }
    world.streams("it ", "is \u2028", "60")
    second = world.ask(system, USER, calls, result, stream=True)
    assert first == second
    world.ends(first)
    (run,) = world.runs()
    assert (run.task.text, run.agent.model, run.agent.harness) == (TASK, "owl-7b", None)
    assert [step.role for step in run.steps] == ["assistant", "tool", "assistant"]
    called, returned, said = run.steps
    assert [(c.name, c.arguments, c.id) for c in called.tool_calls] == [
        ("add", '{"a": 1}', "call-1")
    ]
    assert (returned.content, returned.tool_call_id) == ("key [secret:aws-key] said 3", "call-1")
    assert said.content == "it is \u202860"
    assert (run.verdict.solved, run.run, run.usage.tokens) == (True, first, 12)
    assert run.shown == world.bank.recall(first).shown != ()
    assert world.results() == {"recorded": 2}
    assert world.bank.verify().ok


def reported_by_mcp(door: str, recall: str) -> bool:
    """Whether it was refused."""

    async def report() -> bool:
        async with Client(door) as client:
            told = {"recall_id": recall, "solved": True}
            return (await client.call_tool("report_outcome", told)).is_error

    return asyncio.run(report())


def test_an_outcome_that_comes_by_mcp_judges_the_run_as_well(world: World) -> None:
    """Whichever door it comes by, what has passed is stored first."""
    world.says({"role": "assistant", "content": "3744"})
    recall = world.ask(USER)

    assert not reported_by_mcp(f"{world.url}/mcp", recall)
    (run,) = world.runs()
    assert run.verdict.solved
    assert run.steps[-1].content == "3744"


def test_the_next_attempt_is_another_run(world: World) -> None:
    """After the outcome of the first was reported, or under a name of its own."""
    recalls = []
    for text in ("a", "b"):
        world.says({"role": "assistant", "content": text})
        recalls.append(world.ask(USER))
        world.ends(recalls[-1], solved=text == "b")
    for name in ("one", "two"):
        world.says({"role": "assistant", "content": name})
        recalls.append(world.ask(USER, extra_headers={"X-MemCollab-Run": name}))
    assert not [n for n, _ in world.behind.seen[-1].headers if n.startswith(b"x-memcollab")]
    for recall in recalls[2:]:
        world.ends(recall)
    assert len(set(recalls)) == 4
    told = {(run.steps[0].content, run.verdict.solved) for run in world.runs()}
    assert told == {("a", False), ("b", True), ("one", True), ("two", True)}


def test_an_outcome_that_is_refused_ends_no_run(world: World) -> None:
    """The next turn belongs to the same recall."""
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER)
    with MemCollab(world.path) as memory:
        memory.record_outcome(recall, solved=True)
    told = {"recall_id": recall, "solved": False}
    assert httpx.post(f"{world.url}/v1/outcomes", json=told).status_code == 422
    assert world.ask(USER) == recall


def test_an_outcome_at_another_bank_ends_no_run(tmp_path: Path) -> None:
    """Whoever learns the id of a tenant's recall can do nothing to its run, by any door: it goes on
    and is one run."""
    with upstream() as behind:
        service = service_over(tmp_path, many=True, upstream=behind.url)
        for name in ("ours", "theirs"):
            service.banks.create(name)
        with serving(service) as url:
            world = World(f"{url}/ours", tmp_path / "ours.db", service, behind)
            world.says({"role": "assistant", "content": "60"})
            recall = world.ask(USER)
            told = {"recall_id": recall, "solved": True}
            assert httpx.post(f"{url}/theirs/v1/outcomes", json=told).status_code == 404
            assert reported_by_mcp(f"{url}/theirs/mcp", recall)
            said = {"role": "assistant", "content": "60"}
            assert world.ask(USER, said, {"role": "user", "content": "on"}) == recall
            world.ends(recall)
            assert world.ask(USER) != recall
    (run,) = world.runs()
    assert [step.content for step in run.steps] == ["60", "on", "60"]


def test_a_client_that_names_its_harness_gets_what_was_learned_in_it(tmp_path: Path) -> None:
    """And its run is recorded with that name; without it, or with another, such constraints stay
    away. A harness is a task of its own."""
    writer = ScriptedModel(lambda p: lesson(p).replace('"reasoning"', '"harness"'), "scribe")
    path = tmp_path / "team.db"
    with MemCollab(path) as memory:
        memory.learn(write_runs(tmp_path), writer=writer)
    with upstream() as behind:
        service = service_over(path, upstream=behind.url)
        with serving(service) as url:
            world = World(url, path, service, behind)
            world.says({"role": "assistant", "content": "60"})
            recalls = {}
            for name in ("", "loop", "schleife-ü"):
                named = {"X-MemCollab-Harness": name.encode()} if name else {}
                body = {"model": "owl-7b", "messages": [USER]}
                # What ``openai`` sends in headers is ASCII; others send UTF-8.
                said = httpx.post(f"{url}/proxy/v1/chat/completions", json=body, headers=named)
                recalls[name] = said.headers["memcollab-recall"]
                assert world.behind.seen[-1].value(b"x-memcollab-harness") is None
                world.ends(recalls[name])
            guided = {name: bool(world.bank.recall(id).guidance) for name, id in recalls.items()}
    assert guided == {"": False, "loop": True, "schleife-ü": False}
    assert {run.agent.harness for run in world.runs()} == {None, "loop", "schleife-ü"}


@pytest.mark.parametrize("scopes", [["recall", "record"], ["recall", "record", "curate"]])
def test_who_sent_a_run_stands_in_the_audit(world: World, scopes: list[str]) -> None:
    """Once for each run, by the recall that its trajectory names, whether or not its key is
    trusted; what comes behind the verdict is no other run."""
    token, key = world.service.keyring.create("ada", scopes)
    sent = {"extra_headers": {"X-MemCollab-Key": token}}
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER, **sent)
    world.until(recorded=1)
    world.ask(USER, {"role": "assistant", "content": "60"}, USER, **sent)
    world.until(recorded=2)
    with MemCollab(world.path) as memory:
        memory.record_outcome(recall, solved=True)
    assert world.ask(USER, **sent) == recall
    world.until(recorded=3)
    (run,) = world.runs()
    made, row = httpx.get(f"{world.url}/v1/audit").json()
    assert key.id in made["target"]
    assert (row["who"], row["key"], row["bank"], row["status"]) == ("ada", key.id, "team", 200)
    assert row["action"] == "POST /proxy/v1/chat/completions"
    assert row["target"] == f"/v1/recalls/{run.run}"
    assert row["request"]


def test_a_run_that_cannot_be_audited_is_recorded_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Who sent it stands in the log, then."""
    token, key = world.service.keyring.create("ada", ["recall", "record"])
    with closing(sqlite3.connect(world.service.banks.ledger)) as ledger, ledger:
        ledger.execute("ALTER TABLE audit RENAME TO away")
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER, extra_headers={"X-MemCollab-Key": token})
    world.until(recorded=1)
    assert world.bank.open_run(recall) is not None
    (lost,) = [r.fields for r in caplog.records if "not in the audit" in r.message]  # type: ignore[attr-defined]
    assert (lost["recall"], lost["key"], lost["bank"]) == (recall, key.id, "team")


def test_a_run_may_wait_for_its_verdict(world: World) -> None:
    """Unjudged it is kept and teaches nothing; the verdict may come over the bank itself."""
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER)
    world.ends(recall, solved=None)
    world.until(recorded=1)
    assert world.runs() == []
    with MemCollab(world.path) as memory:
        memory.record_outcome(recall, solved=False)
    assert [run.verdict.solved for run in world.runs()] == [False]


def test_who_wants_no_record_has_none(world: World) -> None:
    """By a header, by the server's setting, or because the key may not record; all are guided."""
    world.says({"role": "assistant", "content": "60"})
    world.ends(world.ask(USER, extra_headers={"X-MemCollab-Record": "no"}))
    token, _ = world.service.keyring.create("ada", ["recall"])
    world.ends(world.ask(USER, extra_headers={"X-MemCollab-Key": token}))
    world.service.record_runs = False
    world.ends(world.ask(USER))
    assert world.results() == {"declined": 3}
    assert world.runs() == []
    assert world.bank.stats().open_runs == 0


def test_only_what_was_answered_is_recorded(world: World) -> None:
    """A refusal or an answer that breaks off leaves the run as it was."""
    world.says({"role": "assistant", "content": "first"})
    recall = world.ask(USER)
    more = (USER, {"role": "assistant", "content": "first"}, {"role": "user", "content": "on"})
    world.behind.script = [answer(b"{}", JSON, status="500 Oops")]
    with pytest.raises(openai.InternalServerError):
        world.ask(*more)
    world.streams("half", end=False)
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        world.ask(*more, stream=True)
    world.behind.script = [answer(b"[]", JSON)]
    httpx.post(
        f"{world.url}/proxy/v1/chat/completions", json={"model": "owl-7b", "messages": more}
    ).raise_for_status()
    world.until(recorded=1, unanswered=2, unreadable=1)
    world.ends(recall)
    (run,) = world.runs()
    assert [step.content for step in run.steps] == ["first"]


def test_a_request_waits_for_no_record(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """While the bank cannot be written, turns are answered; more than may wait are dropped, counted
    and named. What waits is stored when it can be."""
    proxy = world.service.proxy
    assert isinstance(proxy, Proxy)
    proxy._recorder._most = (2, 2**20)
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER)
    world.until(recorded=1)
    with caplog.at_level(logging.WARNING, "memcollab.serve.proxy"), locked(world.path):
        for _ in range(8):
            assert world.ask(USER) == recall
        assert world.results()["dropped"] >= 4  # two are being stored at most, two wait
    dropped = world.results()["dropped"]
    world.until(recorded=9 - dropped, dropped=dropped)
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert {"recall": recall, "result": "dropped", "why": "the queue is full"} in fields


def test_an_end_stores_what_waits(learned: Path, tmp_path: Path) -> None:
    """A server that is told to stop while the bank is busy ends when the run is in it."""
    path = tmp_path / "team.db"
    path.write_bytes(learned.read_bytes())
    with upstream() as behind:
        service = service_over(path, upstream=behind.url)
        with serving(service) as url:
            world = World(url, path, service, behind)
            world.says({"role": "assistant", "content": "60"})
            recall = world.ask(USER)
            world.until(recorded=1)
            held = locked(path)
            held.__enter__()
            world.streams("61")
            world.ask(USER, {"role": "assistant", "content": "60"}, USER, stream=True)
            threading.Timer(0.5, held.__exit__, (None, None, None)).start()
    with Bank.open(path) as bank:
        run = bank.open_run(recall)
    assert run is not None
    assert [step.content for step in run.steps] == ["60", TASK, "61"]


def test_what_cannot_be_stored_is_counted_and_keeps_nothing_else_out(
    learned: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A turn whose recall the bank does not hold fails by itself; the others are stored."""
    path = tmp_path / "team.db"
    path.write_bytes(learned.read_bytes())
    results: list[str] = []
    audited: list[Turn] = []
    body = json.dumps({"messages": [USER]}).encode()
    said = b'{"choices": [{"message": {"role": "assistant", "content": "60"}}]}'
    with MemCollab(path) as memory:
        stored = memory.recall(TASK, agent="owl-7b")
        never = stored.model_copy(update={"id": "recall-0"})
        sender = Sender(NEIGHBOUR, "team", "request")
        recorder = Recorder(results.append, audited.append)
        with locked(path):  # so that they are stored together
            for recall in (stored, never, stored):
                turn = Turn(recall, memory.bank, body, sender, status=200)
                recorder.begin(turn)
                turn.take(said)
                recorder.put(turn)
        recorder.close()
        assert memory.bank.open_run(stored.id) is not None
    assert sorted(results) == ["failed", "recorded", "recorded"]
    assert [turn.recall for turn in audited] == [stored]
    assert "not recorded" in caplog.text


def test_a_setting_for_the_whole_server_is_an_option(tmp_path: Path) -> None:
    """``--no-record``; what is not given is recorded."""
    from memcollab import settings
    from memcollab.serve.opening import Limits, open_service

    chosen = settings.load(bank=str(tmp_path / "team.db"))
    for record in (True, False):
        service = open_service(
            chosen, limits=Limits(), require_key=False, upstream="http://u/v1", record_runs=record
        )
        assert service.record_runs is record
        service.close()


def test_two_verdicts_for_one_recall_are_refused_as_ever(world: World) -> None:
    """The run keeps its first."""
    world.says({"role": "assistant", "content": "60"})
    recall = world.ask(USER)
    world.ends(recall)
    with MemCollab(f"{world.url}/team") as memory, pytest.raises(UsageError, match="already"):
        memory.record_outcome(recall, solved=False)
    assert [run.verdict.solved for run in world.runs()] == [True]
