"""The proxy by itself: where guidance goes in a body, and which recall a turn belongs to.

What passes over the wire is compared in ``test_serve_proxy_bytes.py``, what is recorded of it in
``test_serve_proxy_recording.py``.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.test_collab import WRITER, write_runs
from tests.upstream import Message, upstream

from memcollab import MemCollab
from memcollab.errors import BankError
from memcollab.serve.keys import NEIGHBOUR
from memcollab.serve.proxy import Ask, Begun, Proxy, conversation
from memcollab.serve.recorder import Recorder, Sender

TARGET = b"chat/completions"
SENDER = Sender(NEIGHBOUR, "team", "request")
leaf = st.none() | st.booleans() | st.integers() | st.text()
extra = st.dictionaries(st.text(), leaf).map(lambda d: {f"x{k}": v for k, v in d.items()})


@given(extra, st.text(min_size=1), st.sampled_from([None, 2]), st.text())
def test_guidance_is_all_that_is_added(
    fields: dict[str, Any], task: str, indent: int | None, guidance: str
) -> None:
    """One message more, directly before the first of a user; taking it out gives back the body."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": task}]
    body = json.dumps({**fields, "messages": messages, "model": "m"}, indent=indent).encode()
    said = conversation(body)
    assert said is not None
    guided = said.guided(guidance)
    added = len(guided) - len(body)
    at = len(said.body[: said.at].encode())
    assert body == guided[:at] + guided[at + added :]
    assert {"role": "system", "content": guidance} == json.loads(guided)["messages"][1]
    assert messages == [m for i, m in enumerate(json.loads(guided)["messages"]) if i != 1]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model":"m","messages":[]}'])
def test_what_is_no_chat_request_is_left_alone(body: bytes) -> None:
    """Unreadable bodies are upstream's to refuse."""
    assert conversation(body) is None


async def _turns(
    ask: Ask, bodies: list[bytes], *, at_once: bool = False
) -> tuple[list[httpx.Response], list[Message]]:
    """The answers, and what upstream saw."""
    with upstream() as behind:
        behind.script = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"]
        proxy = Proxy(behind.url, Recorder(lambda _result: None, lambda _turn: None))

        async def door(request: Request) -> Response:
            return await proxy.pass_on(request, TARGET, SENDER, ask, record=False)

        front = Starlette(routes=[Route("/c", door, methods=["POST"])])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front)) as client:
            key = {"authorization": "Bearer up", "x-memcollab-key": "ours"}
            posts = [client.post("http://p/c", content=b, headers=key) for b in bodies]
            answers = await asyncio.gather(*posts) if at_once else [await post for post in posts]
        await proxy.close()
        return answers, behind.seen


def begun(memory: MemCollab, task: str, model: str, failed: Exception | None = None) -> Begun:
    """A recall that is stored, or of which storing it failed."""
    stored = asyncio.get_running_loop().create_future()
    if failed is None:
        stored.set_result(None)
    else:
        stored.set_exception(failed)
    return Begun(memory.recall(task, agent=model, store=failed is None), memory.bank, stored)


def test_one_recall_serves_every_turn_of_a_task(tmp_path: Path) -> None:
    """A real bank is asked once, and each turn carries the same id."""
    asked = []
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)

        async def ask(task: str, model: str, _harness: str | None) -> Begun:
            asked.append(task)
            return begun(memory, task, model)

        first = [{"role": "user", "content": "Count the hands that hold two kings."}]
        later = [*first, {"role": "assistant", "content": "?"}, {"role": "user", "content": "on"}]
        bodies = [json.dumps({"model": "m", "messages": m}).encode() for m in (first, later)]
        answers, seen = asyncio.run(_turns(ask, bodies))
        assert len(asked) == 1
        ids = {a.headers["memcollab-recall"] for a in answers}
        assert len(ids) == 1
        assert memory.record_outcome(ids.pop(), solved=True).solved
    assert all(request.value(b"authorization") == b"Bearer up" for request in seen)
    assert not any(request.value(b"x-memcollab-key") for request in seen)


def test_a_task_that_many_ask_about_at_once_is_recalled_once(tmp_path: Path) -> None:
    """The others wait for the first."""
    asked = []
    with MemCollab(tmp_path / "team.db") as memory:

        async def ask(task: str, model: str, _harness: str | None) -> Begun:
            asked.append(task)
            await asyncio.sleep(0.05)
            return begun(memory, task, model)

        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]}).encode()
        answers, _ = asyncio.run(_turns(ask, [body] * 4, at_once=True))
    assert len(asked) == 1
    assert len({answer.headers["memcollab-recall"] for answer in answers}) == 1


def test_a_recall_that_cannot_be_stored_is_not_named(tmp_path: Path) -> None:
    """The request passes guided, no outcome can refer to it, and the next turn tries again."""
    asked = []
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)

        async def ask(task: str, model: str, _harness: str | None) -> Begun:
            asked.append(task)
            return begun(memory, task, model, BankError("full") if len(asked) == 1 else None)

        said = [{"role": "user", "content": "Count the hands that hold two kings."}]
        body = json.dumps({"model": "m", "messages": said}).encode()
        answers, seen = asyncio.run(_turns(ask, [body, body]))
    assert [answer.headers["memcollab-memory"] for answer in answers] == ["guided", "guided"]
    assert ["memcollab-recall" in answer.headers for answer in answers] == [False, True]
    assert len(asked) == 2
    assert all(request.body != body for request in seen)


def test_a_broken_memory_lets_the_request_pass() -> None:
    """The body goes upstream as it came, and a header says that it is unguided."""

    async def ask(task: str, model: str, _harness: str | None) -> Any:
        raise BankError("locked")

    body = b'{ "model": "m", "messages": [{"role": "user", "content": "x"}] }'
    answers, seen = asyncio.run(_turns(ask, [body]))
    assert answers[0].headers["memcollab-memory"] == "unavailable"
    assert seen[0].body == body
