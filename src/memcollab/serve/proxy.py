"""The door ``/proxy/v1`` for any OpenAI client: chat completions, guided; all else passes as it is.

Where guidance goes: one system message directly before the first user message. What a task is: the
text of a conversation's first user message, for one bank and model. Its guidance is recalled once
and repeated, byte for byte, on each later turn, so that prompt caches hit, for as long as it is
among the server's last ``REMEMBERED`` tasks. Every other byte of the request and answer is kept.

The caller's ``Authorization`` goes upstream and is neither stored nor logged; a key of this server
is sent as ``X-MemCollab-Key`` and goes no further. The answer tells of the memory in headers:
``memcollab-recall`` (the id for ``POST /v1/outcomes``) and ``memcollab-memory``: ``guided``,
``abstained``, ``no-task`` or ``unavailable``. Whatever fails in memory, the request goes on.

Not covered: the passing run is not recorded as a trajectory; only its recall and outcome are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from memcollab.records import Recall

REMEMBERED = 10_000
LOG = logging.getLogger("memcollab.proxy")
Ask = Callable[[str, str], Awaitable[Recall]]
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
# Of one connection, not of the message (RFC 9110, 7.6.1); the lengths are set anew.
_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding "
    "upgrade host content-length x-memcollab-key".split()
)


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


class Proxy:
    """Passes requests on to ``upstream``, the address that ends in ``/v1``."""

    def __init__(self, upstream: str, client: httpx.AsyncClient | None = None) -> None:
        self._upstream = upstream.rstrip("/")
        self._client = client or httpx.AsyncClient(timeout=httpx.Timeout(600, connect=10))
        self._known: OrderedDict[bytes, Recall] = OrderedDict()

    async def pass_on(self, request: Request, path: str, bank: str, ask: Ask) -> Response:
        """Answer as upstream does, with the headers that tell of the memory."""
        body = await request.body()
        told: dict[str, str] = {}
        if request.method == "POST" and path == "chat/completions":
            body, told = await self._guide(body, bank, ask)
        url = httpx.URL(f"{self._upstream}/{path}", query=request.url.query.encode() or None)
        headers = [(k, v) for k, v in request.headers.raw if k.decode().lower() not in _HOP]
        sent = self._client.build_request(request.method, url, content=body, headers=headers)
        for name in ("accept", "accept-encoding", "user-agent"):
            if name not in request.headers:
                sent.headers.pop(name, None)  # httpx adds its own
        try:
            answer = await self._client.send(sent, stream=True)
        except httpx.TimeoutException as error:
            return _failed(504, f"upstream did not answer in time ({type(error).__name__})", told)
        except httpx.HTTPError as error:
            return _failed(502, f"upstream cannot be reached ({type(error).__name__})", told)
        passed = StreamingResponse(_raw(answer), answer.status_code)
        passed.raw_headers = [
            (k.lower(), v)
            for k, v in answer.headers.raw
            if k.decode().lower() not in _HOP or k.lower() == b"content-length"
        ]
        for name, value in told.items():
            passed.headers[name] = value
        return passed

    async def close(self) -> None:
        """Let go of the connections to upstream."""
        await self._client.aclose()

    async def _guide(self, body: bytes, bank: str, ask: Ask) -> tuple[bytes, dict[str, str]]:
        said = conversation(body)
        if said is None:
            return body, {"memcollab-memory": "no-task"}
        key = hashlib.sha256(json.dumps([bank, said.model, said.task]).encode()).digest()
        try:
            recall = self._known.get(key) or await ask(said.task, said.model)
        except Exception as error:  # noqa: BLE001 - memory must never take the agent down
            LOG.warning("memory unavailable, passed unguided: %s", type(error).__name__)
            return body, {"memcollab-memory": "unavailable"}
        self._known[key] = recall
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        told = {"memcollab-recall": recall.id, "memcollab-memory": "guided"}
        if not recall.guidance:
            return body, told | {"memcollab-memory": "abstained"}
        return said.guided(recall.guidance), told


async def _raw(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()


def _failed(status: int, what: str, told: dict[str, str]) -> Response:
    message = f"{what}. Next: look whether the address given as upstream answers"
    error = {"message": message, "type": "upstream_error", "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers=told)
