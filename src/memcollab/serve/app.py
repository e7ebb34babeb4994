"""``build_app``: the doors of a server, put together once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from memcollab import __version__
from memcollab.errors import BankError, MemCollabError, NotFound
from memcollab.serve import http
from memcollab.serve.gate import Gate
from memcollab.serve.mcp_http import Mcp
from memcollab.serve.pages import refusal, routes
from memcollab.serve.problems import Problem
from memcollab.serve.proxy import Begun, target_of
from memcollab.serve.recorder import Sender
from memcollab.serve.replays import Replays
from memcollab.serve.service import Service
from memcollab.serve.watch import LOG

ABOUT = """\
One shared memory for LLM agents that run on different models.

Paths may begin with the name of a bank: `/team/v1/recall`. Without it they are about the bank of
the key, or the only one there is. Writes take an `Idempotency-Key`: the same key with the same
request gets the same answer, for 24 hours. Everything that is no success is a problem (RFC 9457)
whose `detail` says what happened, what is valid and what to do next."""
# A door is its routers; what is no router (MCP, the proxy) is added in ``build_app``.
DOORS = (*http.ROUTERS, routes.router, routes.entrance)
# Whoever asks for anything else than a record does not want one.
_YES = frozenset("yes true on 1".split())
_READY_SECONDS = 1.0


def build_app(service: Service) -> FastAPI:
    """The application over ``service``; it closes the service when it ends. It dates its answers
    itself: run it with ``date_header=False``."""
    app = FastAPI(
        title="MemCollab",
        version=__version__,
        description=ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        exception_handlers=_HANDLERS,
    )
    app.state.service = service
    app.state.readiness = Readiness(service)
    # A request is held against each route in turn: first those that are asked most and are but one.
    app.add_api_route(
        "/proxy/v1/{path:path}",
        proxied,
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
    app.state.mcp = Mcp(service.limits.body)
    # It pushes nothing, so there is no stream to GET, and no session to DELETE.
    app.router.routes.append(Route("/mcp", app.state.mcp, methods=["POST"]))
    for router in DOORS:
        app.include_router(router)
    app.add_api_route("/healthz", healthz, include_in_schema=False)
    app.add_api_route("/readyz", readyz, include_in_schema=False)
    app.add_api_route("/metrics", metrics, include_in_schema=False)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(Replays, ledger=service.ledger)
    app.add_middleware(Gate, service=service)  # added last, so outermost
    return app


async def _answer(request: Request, error: Exception) -> Response:
    id = request.scope["state"]["request_id"]
    if isinstance(error, BankError):
        LOG.warning("bank failed", extra={"fields": {"request": id, "error": str(error)}})
    return refusal(error, request.scope)


_Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
_HANDLERS: dict[int | type[Exception], _Handler] = {
    MemCollabError: _answer,
    RequestValidationError: _answer,
    HTTPException: _answer,
}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    if service.banks.default is not None:
        tenant = service.banks.tenant(service.banks.default)
        await to_thread.run_sync(tenant.warm)
    async with app.state.mcp.running():
        yield
    if service.proxy is not None:
        await service.proxy.close()
    await to_thread.run_sync(service.close)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=ABOUT, routes=app.routes
        )
        parts = schema["components"]
        parts["schemas"]["Problem"] = Problem.model_json_schema()
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        # Neighbours on loopback need none, hence the empty alternative.
        schema["security"] = [{"key": []}, {}]
        app.openapi_schema = schema
    return app.openapi_schema


async def proxied(request: Request) -> Response:
    """What an OpenAI client asks, guided. Scope: ``recall``; with ``record``, too, the run is
    recorded."""
    caller = http.caller_of(request, "recall")
    service = http.service_of(request)
    if service.proxy is None:
        raise NotFound(
            "this server has no model server to pass requests on to. "
            "Next: memcollab serve --upstream https://…/v1"
        )
    # A name that no bank has is a slip of the caller's, and would go unguided for ever; a bank that
    # cannot be read for now is none, and takes no agent down.
    with suppress(BankError):
        await http.tenant_of(request)

    async def ask(task: str, model: str, harness: str | None) -> Begun:
        tenant = await http.tenant_of(request)
        recall, stored = await tenant.recall_ahead(task=task, agent=model, harness=harness)
        http.count_recall(request, recall)
        return Begun(recall, tenant.memory.bank, stored)

    wanted = request.headers.get("x-memcollab-record", "yes").lower() in _YES
    return await service.proxy.pass_on(
        request,
        target_of(request.scope),
        Sender(caller, http.bank_name_of(request), request.state.request_id),
        ask,
        record=wanted and service.record_runs and caller.may("record"),
    )


async def healthz() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """It can serve: it is not ending, and its ledger and its banks' place can be read."""
    service: Service = request.app.state.service
    if service.closing:
        return JSONResponse({"status": "closing"}, 503)
    await request.app.state.readiness.check()
    return JSONResponse({"status": "ready"})


class Readiness:
    """Looks whether a service can be used. It is asked without a key, so it looks once in
    ``_READY_SECONDS``, however often it is asked."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._looking = asyncio.Lock()
        self._until = 0.0
        self._failure: MemCollabError | None = None

    async def check(self) -> None:
        """Raises: BankError: the ledger or the banks' place cannot be read."""
        async with self._looking:
            if time.monotonic() >= self._until:
                self._failure = await to_thread.run_sync(self._look)
                self._until = time.monotonic() + _READY_SECONDS
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    def _look(self) -> MemCollabError | None:
        try:
            self._service.keyring.list()
            self._service.banks.names()
        except MemCollabError as error:
            return error
        return None


async def metrics(request: Request) -> Response:
    """Prometheus' text format; any key opens it, for nothing in it is of one bank."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
