"""What every route takes from a request, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from memcollab.bank import Bank, reporter
from memcollab.errors import UsageError
from memcollab.records import Recall
from memcollab.serve.banks import Tenant
from memcollab.serve.keys import Caller
from memcollab.serve.problems import MEDIA_TYPE
from memcollab.serve.service import Service
from memcollab.spans import memory_span

T = TypeVar("T")
# Bytes of an upload that are held at once.
COPIED = 2**20
# Of a page: how much, and behind what; of a log, behind which number.
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]
Since = Annotated[int, Query(ge=0, lt=2**31, description="number of the last one seen")]
Reason = Annotated[str | None, Field(max_length=2000, description="why; the log keeps it")]


def service_of(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def caller_of(request: Request, scope: str) -> Caller:
    """Who calls. Raises: AccessDenied: the key lacks ``scope``."""
    caller: Caller = request.state.caller
    caller.needs(scope)
    return caller


def bank_name_of(request: Request) -> str:
    """Raises: UsageError: the request names no bank, and there are many."""
    name: str | None = request.state.bank_name
    if name is None:
        raise UsageError(
            "the request names no bank, and this server has many. Valid: /NAME/v1/… "
            "Next: GET /v1/banks lists them"
        )
    return name


async def tenant_of(request: Request) -> Tenant:
    """The bank that the request is about. Raises: NotFound: there is none of that name."""
    banks, name = service_of(request).banks, bank_name_of(request)
    opened = banks.opened(name)
    return opened if opened is not None else await to_thread.run_sync(banks.tenant, name)


def actor_of(request: Request) -> str:
    """What the logs of a bank call whoever sent the request."""
    caller: Caller = request.state.caller
    return f"{caller.name} ({caller.key})" if caller.key else caller.name


def brought_by(request: Request) -> dict[str, Any]:
    """Who brought the runs of a request, as ``MemCollab.add_runs`` takes it: who may curate is
    believed; any other key is a source of its own that waits for others, or for approval."""
    caller: Caller = request.state.caller
    return {"source": reporter(caller.source), "trusted": False} if caller.source else {}


async def asked_of(request: Request, scope: str, ask: Callable[[Bank], T]) -> T:
    """What a question to the bank gives, for callers with that scope; in a thread."""
    caller_of(request, scope)
    tenant = await tenant_of(request)
    return await to_thread.run_sync(lambda: ask(tenant.memory.bank))


async def changed_of(request: Request, change: Callable[[Bank], T]) -> T:
    """As ``asked_of``, for a curator's change to what the bank holds."""
    caller_of(request, "curate")
    with memory_span("update_memory", bank_name_of(request)):
        return await asked_of(request, "curate", change)


def count_recall(request: Request, recall: Recall) -> None:
    """Tell the numbers, and the answer's ``Server-Timing``, what an agent was told and how long
    that took."""
    request.state.timings = recall.timings
    metrics = service_of(request).metrics
    metrics.recalls.labels("abstained" if recall.abstained else "answered").inc()
    for stage, spent in recall.timings.items():
        metrics.stages.labels(stage).observe(spent / 1000)


class Body(BaseModel):
    """What a request holds; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


# ---- answers


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What the document says of these refusals."""
    meanings = {
        400: "The request cannot be read.",
        401: "No key, or none that is known.",
        403: "The key lacks the scope, or is of another bank.",
        404: "There is no such thing in this bank.",
        405: "The path has other methods.",
        409: "The idempotency key came with another request.",
        413: "The body is too large.",
        422: "What was sent cannot be used.",
        429: "Asked too often, or at work already; see Retry-After.",
        503: "The bank cannot be used now.",
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": meanings[code], "content": content} for code in codes}


def versioned(tag: str) -> APIRouter:
    """A router of the door; any answer of the gate may meet any request."""
    refusals = problems(400, 401, 403, 404, 405, 409, 413, 422, 429, 503)
    return APIRouter(prefix="/v1", tags=[tag], responses=refusals)


def json_answer(value: Any, status: int = 200) -> Response:
    """Records, dataclasses' dicts and plain values as JSON."""
    content = value.model_dump_json() if isinstance(value, BaseModel) else _dumped(value)
    return Response(content, status, media_type="application/json")


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, str):  # a database's own kind of string
        return str(value)
    return dict(value)
