"""Spans: of each recall and change of a bank, through every door, and of each call of a model; no
text in any, and none where nobody receives them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.serving import service_over, serving
from tests.test_collab import WRITER, write_runs
from tests.test_models import PROMPT, Server, server
from tests.test_serve import SCOPES, send
from tests.test_serve_mcp import over_http
from tests.test_serve_proxy_recording import World
from tests.upstream import CLOSE, upstream

from memcollab import MemCollab
from memcollab.errors import ModelUnavailable
from memcollab.models import LiveModel

__all__ = ["server"]
TASK = "Sort a hidden heap"
OPERATIONS = {
    "/v1/recall": "search_memory",
    "/v1/trajectories": "create_memory",
    "/v1/trajectories/files": "create_memory",
    "/v1/learn": "upsert_memory",
    "/v1/import": "upsert_memory",
}
# A new bank is not yet one that anything is done in.
CHANGES = [path for method, path in SCOPES if method == "POST" and path != "/v1/banks"]


class Spans:
    """What was received since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def of(self, operation: str) -> list[ReadableSpan]:
        found = [
            one
            for one in self._exporter.get_finished_spans()
            if one.attributes is not None
            and one.attributes.get("gen_ai.operation.name") == operation
        ]
        assert all("hidden" not in one.to_json() for one in found)
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield Spans(exporter)
    exporter.shutdown()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
    return folder / "team.db"


@pytest.fixture(scope="module")
def url(learned: Path) -> Iterator[str]:
    with serving(service_over(learned, writer=WRITER)) as url:
        yield url


@pytest.mark.parametrize("path", CHANGES)
def test_each_change_over_http_is_a_span(url: str, spans: Spans, path: str) -> None:
    """One, of the conventions' name and of its bank; what was refused has an error's name."""
    with httpx.Client(base_url=url) as client:
        answer = send(client, "POST", path, "x", {})
    (span,) = spans.of(OPERATIONS.get(path, "update_memory"))
    assert span.attributes is not None
    assert span.attributes["gen_ai.memory.store.id"] == "team"
    assert ("error.type" in span.attributes) == (not answer.is_success)


@pytest.mark.parametrize(
    ("path", "form", "operation"),
    [
        ("/constraints/{id}/edit", {"avoid": "hurry"}, "update_memory"),
        ("/constraints/{id}/status", {"status": "quarantined"}, "update_memory"),
        ("/learn", {}, "upsert_memory"),
        ("/recall", {"task": TASK}, "search_memory"),
    ],
)
def test_what_a_page_does_is_a_span(
    url: str, spans: Spans, path: str, form: dict[str, str], operation: str
) -> None:
    """As over HTTP, for what a form changes and for what is recalled to be looked at."""
    with httpx.Client(base_url=url, headers={"Origin": url}) as browser:
        active = browser.get("/v1/constraints", params={"status": "active"}).json()
        one = active["constraints"][0]
        shown = browser.get(f"/pages/constraints/{one['id']}").text
        words = {name: one[name] for name in ("when", "enforce", "avoid")}
        token = re.findall(r'name="token" value="(\w+)"', shown)[0]
        given = {**(words if "edit" in path else {}), **form, "token": token}
        answer = browser.post("/pages" + path.replace("{id}", one["id"]), data=given)
        assert answer.status_code in (200, 303), answer.text
    (span,) = spans.of(operation)
    assert span.attributes is not None
    assert span.attributes["gen_ai.memory.store.id"] == "team"


@pytest.fixture
def world(learned: Path) -> Iterator[World]:
    with upstream() as behind:
        service = service_over(learned, upstream=behind.url)
        with serving(service) as url:
            yield World(url, learned, service, behind)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_that_passes_the_proxy_is_a_span_and_so_is_its_recall(
    world: World, spans: Spans, stream: bool
) -> None:
    """`chat MODEL`, of a client, with the server that answered and what it counted; the recall is
    one of the bank."""
    message = {"role": "assistant", "content": "done"}
    if stream:
        world.streams("done")
    else:
        world.says(message, prompt_tokens=10, completion_tokens=2)
    world.ask({"role": "user", "content": TASK}, stream=stream)
    world.until(recorded=1)
    (recall,) = spans.of("search_memory")
    assert recall.attributes is not None
    assert recall.attributes["gen_ai.memory.store.id"] == "team"
    (chat,) = spans.of("chat")
    assert (chat.name, chat.kind) == ("chat owl-7b", trace.SpanKind.CLIENT)
    assert dict(chat.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "owl-7b",
        "server.address": "127.0.0.1",
        "server.port": world.behind.port,
        **({} if stream else {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}),
    }


def test_a_chat_that_fails_says_how(world: World, spans: Spans) -> None:
    """The status that upstream gave, or the error where it breaks off or cannot be reached."""
    message = {"role": "user", "content": TASK}
    world.behind.script = [b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"]
    with pytest.raises(openai.APIStatusError):
        world.ask(message)
    world.behind.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", CLOSE]
    with pytest.raises(openai.APIConnectionError):
        world.ask(message)
    world.until(unanswered=1, unreadable=1)
    told = [(one.attributes or {})["error.type"] for one in spans.of("chat")]
    assert told == ["503", "ClientPayloadError"]


def test_what_is_no_chat_is_no_chat_span(world: World, spans: Spans) -> None:
    """A list of models asks no model."""
    world.behind.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]
    assert httpx.get(f"{world.url}/proxy/v1/models").is_success
    assert spans.of("chat") == []


def test_a_call_of_the_writer_is_a_span_with_its_tokens(
    server: tuple[str, type[Server]], spans: Spans
) -> None:
    """Model, provider, server and tokens; nothing of what was said."""
    url, _ = server
    asyncio.run(LiveModel("openai:tiny", url=url).ask(PROMPT))
    (chat,) = spans.of("chat")
    assert (chat.name, chat.kind) == ("chat tiny", trace.SpanKind.CLIENT)
    found = dict(chat.attributes or {})
    assert found.pop("server.port") == int(url.rpartition(":")[2].removesuffix("/v1"))
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
    }
    assert PROMPT.user not in chat.to_json()


def test_a_call_that_fails_says_how(server: tuple[str, type[Server]], spans: Spans) -> None:
    """By the class of the error that the caller gets."""
    url, handler = server
    handler.status = 401
    with pytest.raises(ModelUnavailable):
        asyncio.run(LiveModel("openai:tiny", url=url).ask(PROMPT))
    (chat,) = spans.of("chat")
    assert (chat.attributes or {})["error.type"] == "ModelUnavailable"
    assert not chat.status.is_ok


def test_recalls_through_every_door_are_counted_with_their_stages(world: World) -> None:
    """`/v1`, `/mcp` and the proxy add to the same numbers; MCP's answer has the stages, too."""

    async def over_mcp() -> None:
        async with over_http(world.url) as client:
            await client.call_tool("recall", {"task": TASK})

    httpx.post(f"{world.url}/v1/recall", json={"task": TASK}).raise_for_status()
    asyncio.run(over_mcp())
    world.says({"role": "assistant", "content": "done"})
    world.ask({"role": "user", "content": TASK})
    numbers = httpx.get(f"{world.url}/metrics").text
    told = re.findall(r"^memcollab_recalls_total\{.*\} ([\d.]+)", numbers, re.M)
    assert sum(map(float, told)) == 3
    assert 'memcollab_recall_stage_seconds_count{stage="embed"} 3.0' in numbers
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "recall", "arguments": {"task": TASK}},
    }
    accept = {"Accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{world.url}/mcp", json=call, headers=accept).raise_for_status()
    assert "embed;dur=" in answer.headers["server-timing"]


def test_no_span_is_made_where_nobody_receives_any() -> None:
    """Neither of a bank nor of a model, as long as no provider of tracers is set up."""
    program = (
        "from opentelemetry import trace\n"
        "def refuse(*given, **named): raise AssertionError('a tracer was asked for')\n"
        "trace.get_tracer = refuse\n"
        "from memcollab.spans import Chat, memory_span\n"
        "Chat('tiny', 'openai', None).end('KeyError', input_tokens=1)\n"
        "with memory_span('search_memory', 'team') as span: span['x'] = 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
