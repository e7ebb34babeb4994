"""The door ``/proxy/v1`` for any OpenAI client: chat completions, guided; all else passes as it is.

Where guidance goes: one system message directly before the first user message. What a task is: the
text of a conversation's first user message, for one bank, model and caller, one harness where the
client names its own (``X-MemCollab-Harness``), and one attempt where it names attempts
(``X-MemCollab-Run``). Its guidance is recalled once and repeated, byte for byte, on each later
turn, so that prompt caches hit, until its outcome is reported to this server or ``REMEMBERED``
other tasks came. Every other byte of the request and of the answer is kept.

Of the headers, those of one connection are not passed on (RFC 9110, 7.6.1), lengths are set anew
where guidance was added, and names are in small letters. What is streamed passes piece by piece;
what breaks off upstream breaks off here, and is never a whole answer.

The caller's ``Authorization`` goes upstream and is neither stored nor logged; what is called
``X-MemCollab-…`` is for this server (``-Key``, ``-Harness``, ``-Run``, ``-Record: no``) and goes no
further. The answer tells of the memory in headers: ``memcollab-recall`` (the id for
``POST /v1/outcomes``) and ``memcollab-memory``: ``guided``, ``abstained``, ``no-task``,
``too-large`` (more than ``LARGEST_GUIDED`` bytes, which pass piece by piece) or ``unavailable``. A
recall is stored while upstream works, and named when it is; one that could not be stored is not
named. Whatever fails in memory, the request goes on. What is refused, here or by the gate before,
is told in OpenAI's form.

The run is recorded as it passes (``recorder.py``): each answered turn takes the place of the one
before, and the outcome makes it a trajectory.

Not covered: trailers of HTTP/1.1 and reason phrases are lost; header values of a request that are
not UTF-8 become it; requests that are compressed or
signed over their body cannot be guided: the former pass as they are, the latter fail upstream.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes
from urllib.request import getproxies, proxy_bypass

import aiohttp
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from yarl import URL

from memcollab.bank import Bank
from memcollab.records import Recall
from memcollab.serve.problems import Told, openai_answer
from memcollab.serve.recorder import Recorder, Run, Sender, Turn
from memcollab.spans import Chat

REMEMBERED = 10_000
# A body is held whole, several times over, and read in the event loop to be guided.
LARGEST_GUIDED = 8 * 2**20
LOG = logging.getLogger("memcollab.serve.proxy")
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
_LONGEST_HEADER = 2**16
# Longer bodies are written in pieces, so that others are answered in between.
_AT_ONCE = 2**18
# What aiohttp would add to a request that has none of its own.
_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
# Of one connection, not of the message (RFC 9110, 7.6.1); the lengths are set anew.
_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade content-length".split()
)
_OURS = b"x-memcollab-"


@dataclass(frozen=True)
class Conversation:
    """A request's body, and where its first user message begins (in characters)."""

    body: str
    at: int
    task: str
    model: str

    def guided(self, guidance: str) -> bytes:
        """The body with guidance; every other byte as it came."""
        message = json.dumps({"role": "system", "content": guidance}, ensure_ascii=False)
        return f"{self.body[: self.at]}{message},{self.body[self.at :]}".encode()


def conversation(body: bytes) -> Conversation | None:
    """Read a chat request; None if it is none, or has no user message with text."""
    try:
        text = body.decode()
        fields = _fields(text)
        model = _DECODER.raw_decode(text, fields["model"])[0]
        at, message = _first_user(text, fields["messages"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    task = _text(message.get("content"))
    if not task or not isinstance(model, str) or not model:
        return None
    return Conversation(text, at, task, model)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _fields(text: str) -> dict[str, int]:
    """Where the value of each field of the outermost object begins."""
    found: dict[str, int] = {}
    at = _skip(text, 0)
    if text[at] != "{":
        raise ValueError("no object")
    while text[at] in "{,":
        name, at = _DECODER.raw_decode(text, _skip(text, at + 1))
        found[name] = _skip(text, _skip(text, at) + 1)
        at = _skip(text, _DECODER.raw_decode(text, found[name])[1])
    return found


def _first_user(text: str, at: int) -> tuple[int, dict[str, Any]]:
    if text[at] != "[":
        raise ValueError("no list")
    while text[at] in "[,":
        begins = _skip(text, at + 1)
        message, at = _DECODER.raw_decode(text, begins)
        if message["role"] == "user":
            return begins, message
        at = _skip(text, at)
    raise KeyError("user")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


class Begun(NamedTuple):
    """What a task was guided by, the bank that its run belongs to, and what is done when the recall
    is stored there."""

    recall: Recall
    bank: Bank
    stored: asyncio.Future[None]

    @property
    def run(self) -> Run:
        return self.bank, self.recall.id


# Of a task's text, the model and its harness.
Ask = Callable[[str, str, str | None], Awaitable[Begun]]


class Proxy:
    """Passes requests on to ``upstream``, the address that ends in ``/v1``.

    Args:
        recorder: takes the runs that pass.
        timeout: how long to wait for upstream.
    """

    def __init__(
        self, upstream: str, recorder: Recorder, timeout: aiohttp.ClientTimeout = _TIMEOUT
    ) -> None:
        self._upstream = upstream.rstrip("/")
        self._recorder = recorder
        self._timeout = timeout
        self._tasks = _Tasks()

    @cached_property
    def _client(self) -> aiohttp.ClientSession:
        """Adds nothing of its own: no header, no cookie that another caller was sent, nothing from
        ``.netrc``; it needs a running loop."""
        return aiohttp.ClientSession(
            # As many connections as callers: what waited here would wait where nobody sees it.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=_ADDED,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            proxy=_proxy_before(URL(self._upstream)),
        )

    async def pass_on(
        self,
        request: Request,
        target: bytes,
        sender: Sender,
        ask: Ask,
        *,
        record: bool = True,
    ) -> Response:
        """Answer as upstream does, with the headers that tell of the memory.

        Args:
            target: what stands behind the address of upstream, as it came: path and query.
            sender: who asks which bank. Callers share no recall: what one sends is never another's
                run.
            record: whether the caller may, and wants to, have the run recorded.
        """
        if _leaves(target):
            return _refused(400, f"the path {target.decode('latin-1')!r} leaves /proxy/v1", {})
        begun: Begun | None = None
        turn: Turn | None = None
        told: dict[str, str] = {}
        body: bytes | AsyncIterator[bytes] | None = None
        if _is_chat(request, target):
            body, told = await _chat(request), {"memcollab-memory": "too-large"}
            if isinstance(body, bytes):
                said = body
                body, told, begun = await self._guide(request, said, sender, ask)
                turn = self._turn(begun, said, sender, record=record)
        elif "content-length" in request.headers or "transfer-encoding" in request.headers:
            body = request.stream()
        answer: aiohttp.ClientResponse | None = None
        try:
            answer = await self._answer(request, target, body)
            told = await self._when_stored(begun, told)
        except BaseException as error:
            if answer is not None:
                answer.close()
            if turn is not None:
                self._recorder.put(turn)
            if not isinstance(error, aiohttp.ClientError | TimeoutError):
                raise
            if isinstance(error.__cause__, HTTPException):  # the gate's, of a body in pieces
                raise error.__cause__ from None
            return _failed(error, await self._when_stored(begun, told))
        return _Passed(answer, told, turn, self._recorder)

    @contextmanager
    def ending(self, bank: Bank, recall_id: str) -> Iterator[None]:
        """Around recording the outcome of a recall of that bank: what passed of its run is stored
        first, and once the outcome is, the next attempt at the task is another one; one that is
        refused changes nothing. Waits; for threads."""
        if not self._recorder.settle((bank, recall_id)):
            LOG.warning(
                "an outcome came before its run had passed", extra={"fields": {"recall": recall_id}}
            )
        yield
        self._tasks.forget((bank, recall_id))

    async def close(self) -> None:
        """Let go of the connections to upstream, and store the runs that wait."""
        await self._client.close()
        await to_thread.run_sync(self._recorder.close)

    async def _answer(
        self, request: Request, target: bytes, body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """The beginning of what upstream answers."""
        headers = [
            (_text_of(name), _text_of(value))
            for name, value in _end_to_end(request.headers.raw)
            if name != b"host" and not name.startswith(_OURS)
        ]
        length = request.headers.get("content-length")
        if length is not None and not isinstance(body, bytes):
            headers.append(("content-length", length))
        asked = self._client.request(
            request.method,
            URL(f"{self._upstream}/{_text_of(target)}", encoded=True),
            headers=headers,
            data=BytesIO(body) if isinstance(body, bytes) and len(body) > _AT_ONCE else body,
            allow_redirects=False,
        )
        return await (self._chatted(request, asked) if _is_chat(request, target) else asked)

    async def _chatted(
        self, request: Request, asked: Awaitable[aiohttp.ClientResponse]
    ) -> aiohttp.ClientResponse:
        """What a model begins to answer, in a span that ends when the whole answer has passed."""
        model = getattr(request.state, "model", "")
        request.state.chat = chat = Chat(model, "openai", self._upstream)
        try:
            return await asked
        except BaseException as error:
            chat.end(type(error).__name__)
            raise

    async def _guide(
        self, request: Request, body: bytes, sender: Sender, ask: Ask
    ) -> tuple[bytes, dict[str, str], Begun | None]:
        said = None if "content-encoding" in request.headers else conversation(body)
        if said is None:
            return body, {"memcollab-memory": "no-task"}, None
        request.state.model = said.model
        harness = _text_of(request.headers.get("x-memcollab-harness", "").encode("latin-1")) or None
        attempt = request.headers.get("x-memcollab-run", "")
        told_apart = [sender.bank, sender.caller.key, said.model, harness, said.task, attempt]
        key = hashlib.sha256(json.dumps(told_apart).encode()).digest()
        try:
            begun = await self._tasks.begun(key, lambda: ask(said.task, said.model, harness))
        except Exception as error:  # noqa: BLE001 - memory must never take the agent down
            LOG.warning("memory unavailable, passed unguided: %s", type(error).__name__)
            return body, {"memcollab-memory": "unavailable"}, None
        told = {"memcollab-recall": begun.recall.id, "memcollab-memory": "guided"}
        if not begun.recall.guidance:
            return body, told | {"memcollab-memory": "abstained"}, begun
        return said.guided(begun.recall.guidance), told, begun

    async def _when_stored(self, begun: Begun | None, told: dict[str, str]) -> dict[str, str]:
        """What is told of the memory, as soon as the recall that it names is stored; storing goes
        on while upstream works. Without the recall if it could not be."""
        if begun is None:
            return told
        try:
            await asyncio.shield(begun.stored)
        except Exception as error:  # noqa: BLE001 - memory must never take the agent down
            LOG.warning("a recall was not stored: %s", type(error).__name__)
            self._tasks.forget(begun.run)
            return {name: said for name, said in told.items() if name != "memcollab-recall"}
        return told

    def _turn(
        self, begun: Begun | None, body: bytes, sender: Sender, *, record: bool
    ) -> Turn | None:
        if begun is None:
            return None
        if not record:
            self._recorder.decline()
            return None
        turn = Turn(begun.recall, begun.bank, body, sender)
        self._recorder.begin(turn)
        return turn


class _Passed(StreamingResponse):
    """The answer as it comes, piece by piece; when it ends, however that is, the turn has ended."""

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        told: dict[str, str],
        turn: Turn | None,
        recorder: Recorder,
    ) -> None:
        super().__init__(self._pieces(), answer.status)
        self._answer = answer
        self._turn = turn
        self._recorder = recorder
        self.raw_headers = [
            *_end_to_end(answer.raw_headers, keep=b"content-length"),
            *((name.encode(), value.encode()) for name, value in told.items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed = str(self.status_code) if self.status_code >= 400 else None
        try:
            await super().__call__(scope, receive, send)
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            chat: Chat | None = scope.get("state", {}).get("chat")
            if chat is not None:
                chat.stop(failed)
            if self._turn is not None:
                self._turn.chat = chat  # it ends when the recorder has read what the answer cost
                self._recorder.put(self._turn)
            elif chat is not None:
                chat.end()
            self._answer.close()  # a connection whose answer is whole was given back before

    async def _pieces(self) -> AsyncIterator[bytes]:
        turn = self._turn
        if turn is not None:
            turn.status, turn.headers = self._answer.status, self._answer.headers
        async for piece in self._answer.content.iter_any():
            if turn is not None:
                turn.take(piece)
            yield piece


class _Tasks:
    """What the last tasks were guided by; a task that many ask about at once is recalled once."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, asyncio.Future[Begun]] = OrderedDict()
        self._keys: dict[Run, bytes] = {}

    async def begun(self, key: bytes, ask: Callable[[], Awaitable[Begun]]) -> Begun:
        found = self._known.pop(key, None)  # ``forget`` may come in between, from a thread
        if found is None:
            found = asyncio.ensure_future(ask())
        self._known[key] = found
        try:
            begun = await asyncio.shield(found)  # one who goes away does not end it for the others
        except Exception:  # whatever it was, the next who asks tries again
            if self._known.get(key) is found:
                self._known.pop(key, None)
            raise
        self._keys[begun.run] = key
        while len(self._known) > REMEMBERED:
            _, oldest = self._known.popitem(last=False)
            if oldest.done() and not oldest.cancelled() and oldest.exception() is None:
                self._keys.pop(oldest.result().run, None)
        return begun

    def forget(self, run: Run) -> None:
        key = self._keys.pop(run, None)
        if key is not None:
            self._known.pop(key, None)


async def _chat(request: Request) -> bytes | AsyncIterator[bytes]:
    """The body of a chat; if it is too large to be guided, its pieces as they come."""
    pieces = request.stream()
    if int(request.headers.get("content-length", 0)) > LARGEST_GUIDED:
        return pieces
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > LARGEST_GUIDED:
            return _joined(bytes(body), pieces)
    return bytes(body)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def target_of(scope: Scope) -> bytes:
    """Path and query behind ``/proxy/v1/``, as they came: an escaped slash in the name of a model
    stays escaped."""
    path = scope["raw_path"].partition(b"?")[0]
    query = scope["query_string"]
    target: bytes = path.partition(b"/proxy/v1/")[2]
    return target + b"?" + query if query else target


def _is_chat(request: Request, target: bytes) -> bool:
    return request.method == "POST" and target.partition(b"?")[0] == b"chat/completions"


def _text_of(header: bytes) -> str:
    """Text that aiohttp writes, in UTF-8, as these very bytes, if they are UTF-8."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _leaves(target: bytes) -> bool:
    parts = unquote_to_bytes(target.partition(b"?")[0]).replace(b"\\", b"/").split(b"/")
    return b".." in parts or b"." in parts


def _proxy_before(upstream: URL) -> str | None:
    """The HTTP proxy that the environment (``HTTPS_PROXY``, ``NO_PROXY``) sets before upstream."""
    if proxy_bypass(upstream.host or ""):
        return None
    return getproxies().get(upstream.scheme)


def _end_to_end(
    headers: Iterable[tuple[bytes, bytes]], keep: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """Without what is of one connection, by name or because ``Connection`` names it."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {
        option.strip().lower()
        for name, value in lower
        if name == b"connection"
        for option in value.split(b",")
    }
    hop = (_HOP | named) - {keep}
    return [(name, value) for name, value in lower if name not in hop]


def _failed(error: BaseException, told: dict[str, str]) -> Response:
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return _refused(502, f"upstream cannot be reached ({kind})", told)
    if isinstance(error, TimeoutError):
        return _refused(504, f"upstream did not answer in time ({kind})", told)
    return _refused(502, f"upstream broke off before it answered ({kind})", told)


def _refused(status: int, what: str, headers: dict[str, str]) -> Response:
    """What the proxy cannot do, told as the gate before it tells its refusals."""
    hint = "send it again, or look whether the address given as --upstream answers"
    if status < 500:
        hint = "ask for a path below /proxy/v1 as upstream's documents name it"
    kind = "upstream_error" if status >= 500 else None
    return openai_answer(Told(status, "", f"{what}. Next: {hint}", headers=headers), kind)
