"""Requests and answers with and without the proxy, byte by byte, over real sockets."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import brotli
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving import service_over, serving
from tests.test_collab import WRITER, write_runs
from tests.upstream import CLOSE, Message, Upstream, ask, upstream

from memcollab import MemCollab
from memcollab.serve.proxy import LARGEST_GUIDED

TASK = "Count the hands that hold two kings."


class World(NamedTuple):
    """A server with a proxy, and the server behind it."""

    url: str
    port: int
    behind: Upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("proxy")
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
    with upstream() as behind:
        service = service_over(folder / "team.db", upstream=behind.url)
        with serving(service) as url:
            yield World(url, urlsplit(url).port or 0, behind)


# ---- what was recorded


def chat(fields: dict[str, Any] | None = None, task: str = TASK, **how: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": task}], **(fields or {})}
    return json.dumps(body, **how).encode()


def post(
    body: bytes, *headers: str, path: str = "/v1/chat/completions", method: str = "POST"
) -> bytes:
    """A request to upstream, as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes, end: bool = True) -> list[bytes]:
    """Chunks of HTTP/1.1, each sent by itself."""
    return [f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces] + [b"0\r\n\r\n"] * end


JSON = "Content-Type: application/json"
SAID = json.dumps(
    {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "é 60"}}]},
    ensure_ascii=False,
).encode()
EVENTS = (
    b"".join(
        b"data: "
        + json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()
        + b"\n\n"
        for text in ("six", "ty ‰", "\u2028 line")
    )
    + b": comment\n\ndata: [DONE]\n\n"
)
STREAM_HEAD = answer(
    b"",
    "Content-Type: text/event-stream; charset=utf-8",
    "Transfer-Encoding: chunked",
    length=False,
)
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
}
TOOL_TURN = {
    "messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": TASK}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t", "type": "function"}]},
        {"role": "tool", "tool_call_id": "t", "content": "60"},
        {"role": "user", "content": "and with three?"},
    ]
}
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True}}}
ERROR = json.dumps({"error": {"message": "no", "type": "invalid_request_error"}}).encode()
LIMITS = ("x-ratelimit-remaining-requests: 9", "Retry-After: 7", "x-request-id: req_of_upstream")
ODD_ASKED = (
    "OpenAI-Organization: org",
    "X-Odd: a",
    "x-odd: b",
    "X-Empty:",
    "Cookie: a=b",
    "X-UTF-8: \xc3\xa9",
    "Connection: keep-alive, X-Secret",
    "X-Secret: 1",
    "Idempotency-Key: same",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
ODD_ANSWERED = (
    "Set-Cookie: a=1; Path=/",
    "Set-Cookie: b=2",
    "X-Latin: \xe9",
    "X-None:",
    "Connection: keep-alive, X-Inner",
    "X-Inner: 1",
    "Keep-Alive: timeout=5",
)

RECORDED: dict[str, tuple[bytes, list[bytes]]] = {
    "plain": (
        post(chat(), JSON, "Authorization: Bearer up"),
        [answer(SAID, JSON, "Date: Tue, 01 Jan 2030 00:00:00 GMT", "Server: theirs", *LIMITS)],
    ),
    "indented, with an escape and a sign of four bytes": (
        post(chat({"user": "ü😀\ud83d"}, indent=3, ensure_ascii=True), JSON),
        [answer(SAID, JSON, "Cache-Control: private, max-age=3")],
    ),
    "streamed, each event a chunk": (
        post(chat({"stream": True}), JSON, "Accept: text/event-stream"),
        [STREAM_HEAD, *chunked(*EVENTS.splitlines(keepends=True))],
    ),
    "streamed, a chunk each three bytes": (
        post(chat({"stream": True, "stream_options": {"include_usage": True}}), JSON),
        [STREAM_HEAD, *chunked(*(EVENTS[at : at + 3] for at in range(0, len(EVENTS), 3)))],
    ),
    "tools": (post(chat(TOOLS), JSON), [answer(SAID, JSON)]),
    "tool results, parts and a second question": (
        post(chat({**TOOLS, **TOOL_TURN}), JSON),
        [answer(SAID, JSON)],
    ),
    "structured output": (post(chat(SCHEMA), JSON), [answer(SAID, JSON)]),
    "refused with 400": (
        post(chat({"temperature": 9}), JSON),
        [answer(ERROR, JSON, *LIMITS, status="400 Bad Request")],
    ),
    "too often, 429": (
        post(chat(), JSON),
        [answer(ERROR, JSON, *LIMITS, status="429 Too Many Requests")],
    ),
    "failed with 500": (
        post(chat(), JSON),
        [answer(b"<html>oops", "Content-Type: text/html", status="500 Internal Server Error")],
    ),
    "overloaded with a status of its own": (
        post(chat(), JSON),
        [answer(ERROR, JSON, status="529 Overloaded")],
    ),
    "gzip": (
        post(chat(), JSON, "Accept-Encoding: gzip, br"),
        [answer(gzip.compress(SAID), JSON, "Content-Encoding: gzip", "Vary: Accept-Encoding")],
    ),
    "br": (
        post(chat(), JSON, "Accept-Encoding: br;q=1.0"),
        [answer(brotli.compress(SAID), JSON, "Content-Encoding: br", 'ETag: "x"')],
    ),
    "until the connection closes": (
        post(chat(), JSON, "Accept: */*"),
        [answer(b"", JSON, "Connection: close", length=False), SAID[:9], SAID[9:], CLOSE],
    ),
    "unusual headers": (
        post(chat(), JSON, *ODD_ASKED),
        [answer(SAID, JSON, *ODD_ANSWERED)],
    ),
    "an odd path and query": (
        post(b"", path="/v1/models/org%2Fn%20a~me?x=%2F&y=a+b&z", method="GET"),
        [answer(SAID, JSON)],
    ),
    "head": (
        post(b"", path="/v1/models", method="HEAD"),
        [answer(b"", JSON, "Content-Length: 77", length=False)],
    ),
    "delete, no content": (
        post(b"", path="/v1/files/f", method="DELETE"),
        [answer(b"", "X-Left: 1", status="204 No Content", length=False)],
    ),
    "not a chat": (
        post(b'{"model": "m", "input": "x"}', JSON, path="/v1/embeddings"),
        [answer(SAID, JSON)],
    ),
    "a file of bytes": (
        post(bytes(range(256)) * 300, "Content-Type: application/octet-stream", path="/v1/files"),
        [answer(SAID, JSON)],
    ),
    "a chat that cannot be read": (
        post(b'{"model": "m", "messages": [', JSON),
        [answer(ERROR, JSON)],
    ),
}


def both(world: World, request: bytes, script: list[bytes]) -> tuple[Message, Message]:
    """What upstream and the client see without the proxy and with it: (request, answer) twice."""
    world.behind.script, world.behind.pause = script, 0.003
    world.behind.seen.clear()
    direct = ask(world.behind.port, request)
    through = ask(world.port, request.replace(b" /v1/", b" /proxy/v1/", 1))
    assert direct is not None
    assert through is not None
    return direct, through


def guidance_of(world: World, recall: bytes | None) -> str:
    assert recall is not None
    found: str = httpx.get(f"{world.url}/v1/recalls/{recall.decode()}").json()["guidance"]
    return found


def without(body: bytes, guidance: str) -> bytes:
    """The request without the message of guidance, which stands before the first user message."""
    messages = json.loads(body)["messages"]
    at = [message["role"] for message in messages].index("user") - 1
    assert messages[at] == {"role": "system", "content": guidance}
    added = json.dumps(messages[at], ensure_ascii=False).encode() + b","
    assert body.count(added) == 1
    return body.replace(added, b"")


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_but_guidance_is_changed(world: World, name: str) -> None:
    """Upstream gets the bytes of the client and one message more; the client gets the bytes of
    upstream. Of the headers those of one connection differ, the length of what was added to, and
    the three that tell of the memory."""
    request, script = RECORDED[name]
    direct, through = both(world, request, script)
    plain, proxied = world.behind.seen
    assert plain.first == proxied.first
    assert plain.end_to_end(b"host", b"content-length") == proxied.end_to_end(
        b"host", b"content-length"
    )
    guided = through.value(b"memcollab-memory") == b"guided"
    assert guided == (b"POST /v1/chat" in request and "cannot be read" not in name)
    sent = proxied.body
    if guided:
        sent = without(sent, guidance_of(world, through.value(b"memcollab-recall")))
    assert plain.body == sent
    assert proxied.value(b"content-length") in (None, str(len(proxied.body)).encode())
    assert direct.whole
    assert (through.first, through.body, through.whole) == (direct.first, direct.body, True)
    ours = (b"memcollab-memory", b"memcollab-recall", b"memcollab-request-id", b"date")
    assert through.end_to_end(*ours) == direct.end_to_end(*ours)
    assert direct.value(b"date") in (None, through.value(b"date"))
    assert sum(header == b"date" for header, _ in through.headers) == 1


leaf = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()
tree = st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "assistant", "tool"]), "content": tree}
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.lists(message, max_size=2),
    after=st.lists(message, max_size=2),
    fields=st.dictionaries(st.text(min_size=1).map("x{}".format), tree, max_size=3),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_any_conversation_in_any_chunks(
    world: World, before: Any, after: Any, fields: Any, indent: Any, ascii_only: Any, sizes: Any
) -> None:
    """Whatever else a request holds, and wherever the pieces of the answer begin."""
    messages = [*before, {"role": "user", "content": TASK}, *after]
    body = json.dumps(
        {**fields, "messages": messages, "model": "m"}, indent=indent, ensure_ascii=ascii_only
    ).encode("utf-8", "surrogatepass")
    pieces, rest = [], EVENTS
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    direct, through = both(
        world, post(body, JSON), [STREAM_HEAD, *chunked(*filter(None, [*pieces, rest]))]
    )
    plain, proxied = world.behind.seen
    assert through.body == direct.body
    guidance = guidance_of(world, through.value(b"memcollab-recall"))
    assert plain.body == without(proxied.body, guidance)


@pytest.mark.parametrize(
    "script",
    [
        [STREAM_HEAD, *chunked(EVENTS[:40], end=False), CLOSE],
        [STREAM_HEAD, *chunked(EVENTS[:40], end=False), b"20\r\ndata: half a ch", CLOSE],
        [answer(SAID, JSON)[:-5], CLOSE],
    ],
    ids=["between chunks", "inside a chunk", "short of its length"],
)
def test_an_answer_that_breaks_off_is_never_a_whole_one(world: World, script: list[bytes]) -> None:
    """The client gets what came and then a broken connection, as it would without the proxy."""
    direct, through = both(world, post(chat({"stream": True}), JSON), script)
    assert (direct.whole, through.whole) == (False, False)
    assert through.body == direct.body


def test_a_piece_is_there_before_the_next_one_comes(world: World) -> None:
    """Upstream waits until the client has read the first event: nothing is held back, not even to
    be given again to the same idempotency key."""
    world.behind.script = [STREAM_HEAD, *chunked(b"data: 1\n\n", end=False), b"", *chunked(b"2")]
    world.behind.passed.clear()
    body, key = chat({"stream": True}), {"Idempotency-Key": "one"}
    address = f"{world.url}/proxy/v1/chat/completions"
    with httpx.stream("POST", address, content=body, headers=key) as streamed:
        pieces = streamed.iter_raw()
        assert next(pieces) == b"data: 1\n\n"
        world.behind.passed.set()
        assert b"".join(pieces) == b"2"
    seen = len(world.behind.seen)
    httpx.post(address, content=body, headers=key)
    assert len(world.behind.seen) == seen + 1


def test_what_upstream_sets_for_one_caller_reaches_no_other(world: World) -> None:
    """A cookie goes to the client that it was for, and is not sent with anybody's next request."""
    world.behind.script = [answer(SAID, JSON, "Set-Cookie: session=ada")]
    world.behind.seen.clear()
    for _ in range(2):
        got = httpx.get(f"{world.url}/proxy/v1/models")
        assert got.headers["set-cookie"] == "session=ada"
    assert [request.value(b"cookie") for request in world.behind.seen] == [None, None]


def test_a_path_that_leaves_the_door_is_refused(world: World) -> None:
    """However it is written; and upstream does not see it."""
    world.behind.seen.clear()
    for path in ("../admin", "%2e%2e/admin", "a/..%5cadmin", "./x"):
        got = ask(world.port, post(b"", path=f"/proxy/v1/{path}", method="GET"))
        assert got is not None
        assert got.first == (b"400",)
        assert "leaves /proxy/v1" in json.loads(got.body)["error"]["message"]
    assert world.behind.seen == []


def test_an_upstream_that_is_gone_is_an_error_in_its_own_form(tmp_path: Path) -> None:
    """It says what happened and what to do next, and the id of the recall."""
    service = service_over(tmp_path / "team.db", upstream="http://127.0.0.1:9/v1")
    with serving(service) as url:
        got = httpx.post(f"{url}/proxy/v1/chat/completions", content=chat())
    assert got.status_code == 502
    assert "Next: " in got.json()["error"]["message"]
    assert got.headers["memcollab-recall"].startswith("recall-")


def test_an_upstream_that_does_not_answer_in_time_is_an_error_in_its_own_form(
    tmp_path: Path,
) -> None:
    """With another status than one that is gone."""
    with upstream() as behind:
        behind.script = [b""]
        service = service_over(tmp_path / "team.db", upstream=behind.url)
        assert service.proxy is not None
        service.proxy._timeout = aiohttp.ClientTimeout(sock_read=0.2)
        with serving(service) as url:
            got = httpx.post(f"{url}/proxy/v1/chat/completions", content=chat())
    assert got.status_code == 504
    assert "in time" in got.json()["error"]["message"]


def test_a_body_may_be_larger_than_one_of_ours(world: World) -> None:
    """Pictures are long: the proxy has a limit of its own."""
    picture = {"type": "image_url", "image_url": {"url": "data:," + "x" * (9 * 2**20)}}
    content = [{"type": "text", "text": TASK}, picture]
    world.behind.script = [answer(SAID, JSON)]
    body = chat({"messages": [{"role": "user", "content": content}]})
    got = httpx.post(f"{world.url}/proxy/v1/chat/completions", content=body)
    assert got.content == SAID
    assert httpx.post(f"{world.url}/v1/recall", content=body).status_code == 413


def padded(size: int) -> bytes:
    """A chat of so many bytes."""
    empty = chat({"x": ""})
    return chat({"x": "x" * (size - len(empty))})


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_chat_that_is_too_large_to_be_guided_passes_as_it_is(
    world: World, in_pieces: bool
) -> None:
    """And the answer says so; one of just that size is guided."""
    world.behind.script = [answer(SAID, JSON)]
    for size, told in ((LARGEST_GUIDED, "guided"), (LARGEST_GUIDED + 1, "too-large")):
        body = padded(size)
        sent = iter([body[:9], body[9:]]) if in_pieces else body
        got = httpx.post(f"{world.url}/proxy/v1/chat/completions", content=sent)
        assert (got.content, got.headers["memcollab-memory"]) == (SAID, told)
        assert ("memcollab-recall" in got.headers) == (told == "guided")
        assert (world.behind.seen[-1].body == body) == (told == "too-large")


def test_a_chat_that_is_too_large_is_never_held_whole(tmp_path: Path) -> None:
    """Upstream has its beginning before its end is sent."""
    arrived = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def upstream_reads() -> None:
            connection, _ = listening.accept()
            with connection:
                seen = b""
                while not seen.endswith(b"0\r\n\r\n"):
                    seen = seen[-8:] + connection.recv(2**20)
                    arrived.set()
                connection.sendall(answer(SAID, JSON))

        def pieces() -> Iterator[bytes]:
            body = padded(LARGEST_GUIDED + 2**20)
            yield body[: LARGEST_GUIDED + 1]
            assert arrived.wait(10)
            yield body[LARGEST_GUIDED + 1 :]

        thread = threading.Thread(target=upstream_reads, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with serving(service_over(tmp_path / "team.db", upstream=address)) as url:
            got = httpx.post(f"{url}/proxy/v1/chat/completions", content=pieces(), timeout=30)
        thread.join(10)
    assert got.content == SAID
