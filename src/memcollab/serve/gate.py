"""What every request passes, whatever its door: bank, key, rate and size going in; headers, log,
metrics and audit going out.

It is plain ASGI: nothing of it is paid twice, and it stands before MCP's and the proxy's apps as
before our own. What it finds is in ``scope["state"]``: ``bank_name``, ``caller``, ``request_id``; a
door may leave ``timings`` there, milliseconds by stage, for the ``Server-Timing`` header, and
``audited``, what the audit is to call a write.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any
from uuid import uuid4

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memcollab.errors import BankError, KeyNeeded, MemCollabError, NotFound, TryLater
from memcollab.serve.keys import NEIGHBOUR, Caller
from memcollab.serve.ledger import AUDIT, now
from memcollab.serve.pages import SIGN_IN, is_page, refusal
from memcollab.serve.pages.session import cookie_of, is_own_origin
from memcollab.serve.places import DOORS, NAME, PROXY
from memcollab.serve.service import Service
from memcollab.serve.watch import LOG, caller_trace

# Of a server's state, nothing of a bank: for probes, and for whoever has yet to sign in.
OPEN = frozenset({"/", "/healthz", "/readyz", "/v1/openapi.json", SIGN_IN})
_ASSETS = "/static/"
# Their paths hold a hash of what they are.
_KEPT = b"public, max-age=31536000, immutable"
_UPLOADS = frozenset({"/v1/trajectories/files", "/v1/import"})
# Recalls are stored with their time and agent; an audit of them would double what one costs. Runs
# that pass the proxy are audited when they are stored. Of MCP's calls, all to one path, a tool that
# changes something says so.
_UNAUDITED = frozenset({"/v1/recall", "/pages/recall", "/mcp"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.I)
# Headers by which a proxy shows that it is one; some are set up to show nothing.
_FORWARDED = re.compile(r"forwarded|via|x-real-ip|x-forwarded-.+")


class Gate:
    """ASGI middleware around the application of a ``Service``."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._rates = Rates(service.limits.rate)
        self._openers = Openers(self._rates)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._service)
        metrics = self._service.metrics
        metrics.open.inc()
        try:
            with caller_trace(visit.headers):
                await self._pass(visit, receive)
        except HTTPException as refused:
            await refusal(refused, visit.scope)(visit.scope, receive, visit.send)
        except Exception as error:  # noqa: BLE001 - it is answered with 500 and logged
            if visit.status == 0:
                await refusal(error, visit.scope)(visit.scope, receive, visit.send)
            LOG.exception("request failed", extra={"fields": {"request": visit.id}})
        finally:
            metrics.open.dec()
            visit.finish()

    async def _pass(self, visit: _Visit, receive: Receive) -> None:
        state = visit.scope["state"]
        try:
            if not visit.is_open:
                state["caller"] = caller = await self._caller(visit)
                state["bank_name"] = visit.bank = self._bank(visit, caller)
                self._rates.take(caller.key or visit.address)
            elif visit.path == SIGN_IN:
                self._rates.take(visit.address)
            bounded = _bounded(receive, visit.headers, self._most(visit.path))
        except (MemCollabError, HTTPException) as refused:
            await refusal(refused, visit.scope)(visit.scope, receive, visit.send)
            return
        await self._app(visit.scope, bounded, visit.send)

    async def _caller(self, visit: _Visit) -> Caller:
        page = is_page(visit.path)
        shown: str = visit.scope["state"]["cookie"] if page else visit.token
        if not self._service.require_key and visit.is_neighbour:
            if not shown:
                return NEIGHBOUR
            if page:
                return await self._reader(shown) or NEIGHBOUR
        with self._openers.counted(shown, visit.address):
            if page:
                if (reader := await self._reader(shown)) is not None:
                    return reader
                raise KeyNeeded(
                    "these pages need a key. Valid: one with the scope 'recall', and 'curate' to "
                    "change anything. Next: sign in; "
                    "memcollab key create --scope recall --scope curate"
                )
            if shown:
                return await to_thread.run_sync(self._service.keyring.caller, shown)
            raise KeyNeeded(
                f"this needs a key, and none was sent. Valid: the header `{visit.key_header}`; "
                "without one only programs on the server's own machine that call it directly, and "
                "only if it listens there alone. Next: memcollab key create"
            )

    async def _reader(self, cookie: str) -> Caller | None:
        """Who is signed in with that cookie, if anybody is."""
        return await to_thread.run_sync(self._service.sessions.caller, cookie) if cookie else None

    def _bank(self, visit: _Visit, caller: Caller) -> str | None:
        name = visit.bank or caller.bank or self._service.banks.default
        if name is not None:
            caller.enters(name)
        if name is not None and not NAME.fullmatch(name):
            raise NotFound(f"there is no bank {name!r}. Next: GET /v1/banks")
        return name

    def _most(self, path: str) -> int:
        limits = self._service.limits
        if path.startswith(PROXY):
            return limits.proxied
        return limits.upload if path in _UPLOADS else limits.body


class Rates:
    """A token bucket for each caller."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._held: dict[str, tuple[float, float]] = {}

    def take(self, who: str, whose: str = "of one caller") -> None:
        """Raises: TryLater: asked too often."""
        if not self._rate:
            return
        at = time.monotonic()
        tokens, last = self._held.get(who, (self._rate * 2, at))
        tokens = min(self._rate * 2, tokens + (at - last) * self._rate)
        if len(self._held) > 10_000:
            self._held.clear()
        self._held[who] = (tokens - 1 if tokens >= 1 else tokens, at)
        if tokens < 1:
            wait = (1 - tokens) / self._rate
            raise TryLater(
                f"more than {self._rate:g} requests a second {whose}. "
                f"Next: wait {wait:.1f} seconds, then send it again",
                retry_after=wait,
            )

    def give_back(self, who: str) -> None:
        """What was taken last is not counted."""
        if who in self._held:
            tokens, at = self._held[who]
            self._held[who] = (tokens + 1, at)


class Openers:
    """Which keys and cookies have opened something. Any other, and who shows none, is counted by
    address before anything is looked up, so that guessing is slow and costs little; who is known
    here is not held up by those who guess from the same address."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._known: set[bytes] = set()

    @contextmanager
    def counted(self, shown: str, address: str) -> Iterator[None]:
        """For the block that finds out whom ``shown`` is of. Raises: TryLater: too many that opened
        nothing came from this address."""
        digest = hashlib.sha256(shown.encode("utf-8", "surrogateescape")).digest()
        if digest in self._known:
            try:
                yield
            except KeyNeeded:
                self._known.discard(digest)
                raise
            return
        stranger = f"no key, {address}"
        self._rates.take(stranger, "without a valid key from one address")
        yield
        self._rates.give_back(stranger)
        if len(self._known) > 10_000:
            self._known.clear()
        self._known.add(digest)


class _Visit:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service) -> None:
        self._receive = receive
        self._send = send
        self._service = service
        self._began = time.perf_counter()
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = self.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        self.bank, self.path = _split(scope["path"])
        self.status = 0
        self._replaced = False
        self.method = scope["method"]
        self.address = (scope.get("client") or ("?",))[0]
        state = {**scope.get("state", {}), "request_id": self.id, "bank_name": self.bank}
        raw = scope.get("raw_path") or self.path.encode()
        if self.bank is not None:
            raw = b"/" + raw.removeprefix(b"/").partition(b"/")[2]
        if is_page(self.path):
            state["loopback"] = self.is_loopback
            state["cookie"] = cookie_of(self.headers, loopback=self.is_loopback)
        self.scope = {**scope, "path": self.path, "raw_path": raw, "state": state}
        # What a framework leaves in the scope (the route it chose) is read from this very one.

    @property
    def key_header(self) -> str:
        """Where a program shows its key; to the proxy, Authorization is upstream's."""
        proxied = self.path.startswith(PROXY)
        return "X-MemCollab-Key: KEY" if proxied else "Authorization: Bearer KEY"

    @property
    def token(self) -> str:
        """The key that a program shows; "" where it shows none."""
        if self.path.startswith(PROXY):
            return self.headers.get("x-memcollab-key", "").strip()
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @property
    def is_open(self) -> bool:
        """Whether it needs no key."""
        return self.path in OPEN or self.path.startswith(_ASSETS)

    @property
    def _is_asset(self) -> bool:
        return self.path.startswith(_ASSETS) and self.status == 200

    @property
    def is_loopback(self) -> bool:
        """Whether the server is called by a name that only its own machine has for it."""
        return _LOOPBACK_HOST.fullmatch(self.headers.get("host", "")) is not None

    @property
    def is_neighbour(self) -> bool:
        """Whether it came from this machine, and from no browser page (but our own) or proxy that
        anyone else may be behind, as far as a proxy says that it is one."""
        ours = self.headers.get("origin") in (None, f"http://{self.headers.get('host', '')}")
        return (
            (self.address in ("127.0.0.1", "::1", "testclient"))
            and self.is_loopback
            and (ours or self._is_own_form)
            and not any(map(_FORWARDED.fullmatch, self.headers))
        )

    @property
    def _is_own_form(self) -> bool:
        return is_page(self.path) and is_own_origin(self.headers)

    async def send(self, message: Message) -> None:
        """Pass an answer on; that of a write when it is in the audit. If it cannot be put there,
        the answer says so, and the log has what the audit lacks."""
        if self._replaced:
            return
        if message["type"] == "http.response.start" and self._is_write(message["status"]):
            row = self._audited(message["status"])
            try:
                await to_thread.run_sync(self._service.ledger.add, AUDIT, row)
            except Exception as error:  # noqa: BLE001 - it is answered with 503 and logged
                self._replaced = True
                lost = {**row, "error": str(error)}
                LOG.error("a write is not in the audit", extra={"fields": lost})
                await refusal(_unaudited(), self.scope)(self.scope, self._receive, self._out)
                return
        await self._out(message)

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message["headers"])
            message = {**message, "headers": [*headers, *self._headers(dict(headers))]}
        await self._send(message)

    def _is_write(self, status: int) -> bool:
        done = status < 400 and self.method not in _SAFE
        ours = self.path not in _UNAUDITED and not self.path.startswith(PROXY)
        audited = ours or "audited" in self.scope["state"]
        return done and audited and self._who is not None

    @property
    def _who(self) -> Caller | None:
        """Who sent it; who signs in is known when that is done."""
        found: Caller | None = self.scope["state"].get("caller")
        return found

    def _headers(self, given: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        date = [] if b"date" in given else [(b"date", formatdate(usegmt=True).encode())]
        if self.path.startswith(PROXY):
            return [*date, (b"memcollab-request-id", self.id.encode())]
        timings = self.scope["state"].get("timings", {})
        stages = [f"{name.replace(' ', '-')};dur={spent}" for name, spent in timings.items()]
        total = f"total;dur={(time.perf_counter() - self._began) * 1000:.3f}"
        return [
            *date,
            (b"x-request-id", self.id.encode()),
            (b"server-timing", ", ".join([*stages, total]).encode("latin-1", "replace")),
            (b"cache-control", _KEPT if self._is_asset else b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]

    def _audited(self, status: int) -> dict[str, Any]:
        """What the audit keeps of it."""
        caller = self._who or NEIGHBOUR
        return {
            "at": now(),
            "bank": self.scope["state"].get("bank_name"),
            "key": caller.key,
            "who": caller.name,
            "action": self.scope["state"].get("audited") or f"{self.method} {self.route}",
            "target": self.path,
            "status": status,
            "request": self.id,
        }

    @property
    def route(self) -> str:
        """The pattern of the path, so that ids do not become labels."""
        pattern = getattr(self.scope.get("route"), "path", None)
        return pattern or (self.path if self.path in (*OPEN, "/mcp") else "other")

    def finish(self) -> None:
        spent = time.perf_counter() - self._began
        metrics, route = self._service.metrics, self.route
        metrics.requests.labels(route, self.method, self.status).inc()
        metrics.seconds.labels(route).observe(spent)
        fields = {
            "request": self.id,
            "method": self.method,
            "route": route,
            "status": self.status,
            "ms": round(spent * 1000, 2),
            "bank": self.bank,
            "key": self._who.key if self._who else None,
        }
        LOG.info("request", extra={"fields": fields})


def _unaudited() -> BankError:
    return BankError(
        "what was asked was done, and the audit could not take it down: the server's ledger cannot "
        "be used. Next: do not send it again, unless under the Idempotency-Key that it had; the "
        "server's log holds what the audit lacks"
    )


def _split(path: str) -> tuple[str | None, str]:
    """``/team/v1/recall`` → team, ``/v1/recall``. A door's own name is no bank's."""
    first, _, rest = path.removeprefix("/").partition("/")
    if first not in DOORS and rest.partition("/")[0] in DOORS:
        return first, f"/{rest}"
    return None, path


class _TooLarge(HTTPException):
    """FastAPI lets an HTTPException from reading a body pass."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most} bytes. Valid: up to that; send less")


def _bounded(receive: Receive, headers: Mapping[str, str], most: int) -> Receive:
    """A body of at most ``most`` bytes; a longer one is refused as soon as that is known."""
    said = headers.get("content-length", "0")
    if not said.isdigit() or int(said) > most:
        raise _TooLarge(most)
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise _TooLarge(most)
        return message

    return bounded


def state_of(scope: Scope) -> dict[str, Any]:
    """What the gate found out about a request."""
    found: dict[str, Any] = scope["state"]
    return found
