"""The same ``Idempotency-Key`` with the same request gets the same answer, from every replica.

The claim on a key is a row of the ledger, made before the work and completed with the answer. Where
a server dies in between, the claim is given up after a minute and the work is done again: every
write here is by content or by a recall's id, so doing it twice is doing it once. Failures of the
server (5xx, 429) are not kept: the request may be sent again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memcollab.errors import MemCollabError, TryLater, UsageError
from memcollab.serve import problems
from memcollab.serve.ledger import ANSWERS, Ledger, ago, now
from memcollab.serve.watch import LOG

_DOOR = "/v1/"
_IN_MEMORY = 2**20
_CHUNK = 2**16
_GIVEN_UP = timedelta(minutes=1)
_LONGEST_ANSWER = 2**20
# A server that runs for months must not keep the answers of months.
_FORGET_SECONDS = 600.0
_FLEETING = frozenset({429, *range(500, 600)})


class Replays:
    """ASGI middleware, behind the gate."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger
        self._forgot_at = time.monotonic()  # a ledger forgets when it is opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"idempotency-key")
        if given is None or not _is_ours(scope):
            await self._app(scope, receive, send)
            return
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
            try:
                if not 1 <= len(given) <= 255:
                    raise UsageError(
                        f"an Idempotency-Key of {len(given)} characters. Valid: 1 to 255. "
                        "Next: send a new UUID with each new request"
                    )
                asked = await _spool(scope, receive, body)
                id = _id(scope, given)
                held = await to_thread.run_sync(self._claim, id, asked)
            except MemCollabError as error:
                refused = problems.answer(error, scope["state"]["request_id"])
                await refused(scope, receive, send)
                return
            if held is not None:
                await held(scope, receive, send)
            else:
                await self._answer(id, scope, body, receive, send)

    async def _answer(self, id: str, scope: Scope, body: Any, receive: Receive, send: Send) -> None:
        kept = _Kept(send)
        try:
            await self._app(scope, _replayed(body, receive), kept.send)
        finally:
            await to_thread.run_sync(self._keep, id, kept)
        await kept.release()

    def _claim(self, id: str, asked: str) -> Response | None:
        """None: the work is ours to do; else the answer that was given."""
        if time.monotonic() - self._forgot_at >= _FORGET_SECONDS:
            self._forgot_at = time.monotonic()
            self._ledger.forget_answers()
        stale = sa.and_(ANSWERS.c.status.is_(None), ANSWERS.c.at < ago(_GIVEN_UP))
        self._ledger.change(ANSWERS.delete().where(ANSWERS.c.id == id, stale))
        if self._ledger.add(ANSWERS, {"id": id, "asked": asked, "at": now()}):
            return None
        found = self._ledger.rows(sa.select(ANSWERS).where(ANSWERS.c.id == id))
        if not found or found[0]["status"] is None:
            raise TryLater("the same request is at work. Next: send it again in a second")
        row = found[0]
        if row["asked"] != asked:
            raise problems.Conflict(
                "this Idempotency-Key came with another request before. Valid: one key for one "
                "request. Next: send this one with a key of its own"
            )
        headers = {"Idempotency-Replayed": "true"}
        return Response(row["body"], row["status"], headers, media_type=row["media_type"])

    def _keep(self, id: str, kept: _Kept) -> None:
        """What was done is answered, and put in the audit, whether or not its answer can be kept.
        Until the claim is given up, the same request is told to wait; then it is done again."""
        try:
            self._complete(id, kept)
        except Exception as error:  # noqa: BLE001 - whatever the ledger has, the work is done
            LOG.error("an answer is not kept", extra={"fields": {"key": id, "error": str(error)}})

    def _complete(self, id: str, kept: _Kept) -> None:
        row = ANSWERS.c.id == id
        if kept.status is None or kept.status in _FLEETING or len(kept.body) > _LONGEST_ANSWER:
            self._ledger.change(ANSWERS.delete().where(row))
            return
        values = {"status": kept.status, "media_type": kept.media_type, "body": bytes(kept.body)}
        self._ledger.change(ANSWERS.update().where(row).values(**values))


class _Kept:
    """An answer that is held back until it is kept, unless it grows too long for that."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self.status: int | None = None
        self.media_type = "application/json"
        self.body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = dict(message["headers"])
            self.media_type = headers.get(b"content-type", b"application/json").decode("latin-1")
        self.body += message.get("body", b"")
        self._held.append(message)
        if len(self.body) > _LONGEST_ANSWER:
            await self.release()
            self.body = self.body[-_LONGEST_ANSWER - 1 :]

    async def release(self) -> None:
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


def _is_ours(scope: Scope) -> bool:
    """Whether it is a write of ``/v1``, which alone promises this; what goes through the proxy is
    upstream's to repeat."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
        return False
    return bool(scope["path"].startswith(_DOOR))


def _id(scope: Scope, given: bytes) -> str:
    state = scope["state"]
    owner = [state.get("bank_name"), state["caller"].key if "caller" in state else None]
    return hashlib.sha256(repr([*owner, given]).encode()).hexdigest()


async def _spool(scope: Scope, receive: Receive, body: Any) -> str:
    """Read the body to its end; the hash of all that the request asks."""
    head = [scope["method"], scope["path"], scope["query_string"]]
    kind = dict(scope["headers"]).get(b"content-type", b"")
    asked = hashlib.sha256(repr([*head, kind.partition(b";")[0]]).encode())
    async for chunk in _chunks(receive):
        asked.update(chunk)
        body.write(chunk)
    body.seek(0)
    return asked.hexdigest()


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UsageError("the request ended before its body did. Next: send it again")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replayed(body: Any, receive: Receive) -> Receive:
    """The body once more; behind its end whatever the server says next, which is that the caller
    went. An application that waits for that must sleep meanwhile."""
    ended = False

    async def again() -> Message:
        nonlocal ended
        if ended:
            return await receive()
        chunk = body.read(_CHUNK)
        ended = len(chunk) < _CHUNK
        return {"type": "http.request", "body": chunk, "more_body": not ended}

    return again
