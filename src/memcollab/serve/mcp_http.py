"""The door ``/mcp``: the Model Context Protocol over streamable HTTP, with the keys, scopes and
tenants that ``/v1`` has, and each change in the audit by the name of its tool.

It keeps no session: a request says all that it needs, so any replica answers any. A page in a
browser may call only if its own address is the server's (against DNS rebinding, the gate asks it
for a key all the same).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anyio import to_thread
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from memcollab.collab import MemCollab
from memcollab.errors import AccessDenied
from memcollab.records import Recall
from memcollab.serve import http, problems
from memcollab.serve.mcp import build
from memcollab.spans import memory_span

T = TypeVar("T")


class OfRequest:
    """The memory of each request, as far as its key opens it."""

    async def recall(self, request: Request, **asked: Any) -> Recall:
        http.caller_of(request, "recall")
        tenant = await http.tenant_of(request)
        found = await tenant.recall(store=True, **asked)
        http.count_recall(request, found)
        return found

    async def read(self, request: Request, ask: Callable[[MemCollab], T]) -> T:
        http.caller_of(request, "recall")
        return await to_thread.run_sync(ask, (await http.tenant_of(request)).memory)

    async def write(
        self,
        request: Request,
        what: str,
        change: Callable[[MemCollab, str], T],
        *,
        judges: str | None = None,
    ) -> T:
        caller = http.caller_of(request, "record")
        service, tenant = http.service_of(request), await http.tenant_of(request)

        def made() -> T:
            with service.ending(tenant.memory.bank, judges):
                return change(tenant.memory, caller.source)

        with memory_span("update_memory", tenant.name):
            done = await to_thread.run_sync(made)
        request.state.audited = f"MCP {what}"
        return done


class Mcp:
    """The door as an ASGI app; ``running`` has to be entered while it serves."""

    def __init__(self, most: int) -> None:
        server = build(OfRequest())
        # Host and Origin are checked here and by the gate, which know under which names we serve.
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(
            stateless_http=True,
            json_response=True,
            max_request_body_size=most,
            transport_security=unchecked,
        )
        self._sessions = server.session_manager

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            refused = AccessDenied(
                f"a page of {origin[:200]!r} may not call this server. Valid: its own pages, and "
                "programs, which send no Origin. Next: call it from a program"
            )
            await problems.answer(refused, request.state.request_id)(scope, receive, send)
            return
        await self._sessions.handle_request(scope, receive, send)
