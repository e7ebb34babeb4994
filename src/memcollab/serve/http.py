"""The door ``/v1``: what a request may hold, and which method of the product answers it.

Answers are the records themselves as JSON, written by pydantic once and not validated again. A
constraint carries its ``id`` and ``text``, which a Python client derives and others cannot.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path, PurePath
from tempfile import SpooledTemporaryFile, TemporaryDirectory, TemporaryFile
from typing import IO, Annotated, Any, Literal, TypeVar

import orjson
import sqlalchemy as sa
from anyio import to_thread
from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from starlette.responses import Response, StreamingResponse

from memcollab.bank import Bank, Provenance, Screened
from memcollab.errors import UsageError
from memcollab.records import (
    Agent,
    Constraint,
    LearnReport,
    Outcome,
    Recall,
    Status,
    Task,
    Trajectory,
    Usage,
)
from memcollab.serve.banks import Tenant
from memcollab.serve.jobs import Job, event
from memcollab.serve.keys import Caller
from memcollab.serve.ledger import AUDIT
from memcollab.serve.problems import MEDIA_TYPE
from memcollab.serve.service import Service
from memcollab.serve.watch import memory_span

T = TypeVar("T")
_CHUNK = 2**18
_COPIED = 2**20
_EVENT_SECONDS = 0.2


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
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


# Any answer of the gate may meet any request.
router = APIRouter(
    prefix="/v1", responses=_problems(400, 401, 403, 404, 405, 409, 413, 422, 429, 503)
)


# ---- what a door takes from the request


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


async def asked_of(request: Request, scope: str, ask: Callable[[Bank], T]) -> T:
    """What a question to the bank gives, for callers with that scope; in a thread."""
    caller_of(request, scope)
    tenant = await tenant_of(request)
    return await to_thread.run_sync(lambda: ask(tenant.memory.bank))


def _json(value: Any, status: int = 200) -> Response:
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


# ---- recalling and outcomes


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecallRequest(_Body):
    """A task that is about to begin."""

    task: Annotated[str, Field(min_length=1)] | Task = Field(description="what is to be done")
    agent: Annotated[str, Field(min_length=1)] | Agent = Field(
        default="any", description="the model that will do it"
    )
    harness: str | None = Field(default=None, description="the loop and tools it works in")
    category: str | None = Field(default=None, description="NAME or NAME/SUBCATEGORY, else judged")
    limit: int | None = Field(default=None, ge=1, le=100, description="constraints at most")
    store: bool = Field(default=True, description="keep it, so that an outcome can be tied to it")


ConstraintView = create_model(
    "ConstraintView",
    __doc__="A constraint with its id and the sentence that an agent reads.",
    id=(str, ...),
    text=(str, ...),
    **{name: (field.annotation, field) for name, field in Constraint.model_fields.items()},  # type: ignore[call-overload]
)


def view(constraint: Constraint) -> dict[str, Any]:
    """The JSON of a constraint."""
    return {"id": constraint.id, "text": constraint.text, **constraint.model_dump(mode="json")}


def _recall_json(recall: Recall) -> bytes:
    value = recall.model_dump(mode="json")
    for entry, shown in zip(recall.entries, value["entries"], strict=True):
        shown["constraint"]["id"] = entry.constraint.id
        shown["constraint"]["text"] = entry.constraint.text
    return orjson.dumps(value)


@router.post("/recall", response_model=Recall, tags=["recall"])
async def recall(request: Request, body: RecallRequest) -> Response:
    """The few constraints that fit a task; with `store`, an outcome can be tied to it.
    Scope: `recall`."""
    caller_of(request, "recall")
    tenant = await tenant_of(request)
    with memory_span("search_memory", tenant.name) as span:
        found = await tenant.recall(
            task=body.task,
            agent=body.agent,
            harness=body.harness,
            category=body.category,
            limit=body.limit,
            store=body.store,
        )
        span["gen_ai.memory.record.count"] = len(found.entries)
    request.state.timings = found.timings
    metrics = service_of(request).metrics
    metrics.recalls.labels("abstained" if found.abstained else "answered").inc()
    for stage, spent in found.timings.items():
        metrics.stages.labels(stage).observe(spent / 1000)
    return Response(_recall_json(found), media_type="application/json")


@router.get("/recalls/{id}", response_model=Recall, tags=["recall"])
async def stored_recall(request: Request, id: str) -> Response:
    """A stored recall, as it was given. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.recall(id))
    return Response(_recall_json(found), media_type="application/json")


class OutcomeRequest(_Body):
    """How the task of a recall ended."""

    recall_id: str
    solved: bool | None = Field(description="null: unjudged (a crash, a time-out)")
    usage: Usage = Usage()
    detail: str | None = None


@router.post("/outcomes", response_model=Outcome, tags=["recall"])
async def record_outcome(request: Request, body: OutcomeRequest) -> Response:
    """Report how the task of a recall ended. Scope: `record`. What only one key says that may not
    curate is not believed."""
    caller = caller_of(request, "record")
    source = "" if caller.key is None or caller.may("curate") else caller.name
    memory = (await tenant_of(request)).memory
    with memory_span("update_memory", bank_name_of(request)):
        if body.solved is not None:
            await to_thread.run_sync(service_of(request).run_ends, body.recall_id)
        outcome = await to_thread.run_sync(
            lambda: memory.record_outcome(
                body.recall_id,
                body.solved,
                usage=body.usage,
                detail=body.detail,
                source=source,
            )
        )
    return _json(outcome)


# ---- trajectories and learning


class TrajectoriesRequest(_Body):
    """Runs as records."""

    trajectories: list[Trajectory] = Field(max_length=10_000)


@router.post("/trajectories", response_model=LearnReport, tags=["learn"])
async def add_trajectories(request: Request, body: TrajectoriesRequest) -> Response:
    """Add runs to the bank; nothing is learned from them yet. Scope: `record`."""
    caller_of(request, "record")
    memory = (await tenant_of(request)).memory
    with memory_span("create_memory", bank_name_of(request)) as span:
        span["gen_ai.memory.record.count"] = len(body.trajectories)
        report = await to_thread.run_sync(memory.add_trajectories, body.trajectories)
    return _json(report)


@router.post("/trajectories/files", response_model=LearnReport, tags=["learn"])
async def add_files(
    request: Request,
    file: Annotated[list[UploadFile], File(description="files or archives of any known format")],
    mapping: Annotated[
        str | None, Form(description="TOML text that says how to read a foreign format")
    ] = None,
) -> Response:
    """Add runs from files, in any format that `memcollab learn` reads. Scope: `record`."""
    caller_of(request, "record")
    memory = (await tenant_of(request)).memory
    with memory_span("create_memory", bank_name_of(request)):
        report = await to_thread.run_sync(_read_files, memory.add_runs, file, mapping)
    return _json(report)


def _read_files(
    add_runs: Callable[..., LearnReport], files: list[UploadFile], mapping: str | None
) -> LearnReport:
    with TemporaryDirectory(prefix="memcollab-") as scratch:
        paths = [_saved(file, Path(scratch, str(n))) for n, file in enumerate(files)]
        given = None
        if mapping is not None:
            given = Path(scratch, "mapping.toml")
            given.write_text(mapping, "utf-8")
        return add_runs(*paths, mapping=given)


def _saved(file: UploadFile, folder: Path) -> Path:
    """The upload under its own name, which tells its format; no part of a path."""
    folder.mkdir()
    name = PurePath((file.filename or "").replace("\\", "/")).name.replace("\0", "")
    path = folder / (name.lstrip(".")[-100:] or "runs.jsonl")
    with path.open("wb") as target:
        while chunk := file.file.read(_COPIED):
            target.write(chunk)
    return path


@router.get("/trajectories/{id}", response_model=Trajectory, tags=["learn"])
async def trajectory(request: Request, id: str) -> Response:
    """One run, whole. Scope: `recall`."""
    return _json(await asked_of(request, "recall", lambda bank: bank.trajectory(id)))


class LearnRequest(_Body):
    """How to learn from the runs that the bank holds."""

    strongest_first: list[str] = Field(default=[], description="models, for the paper's recipes")
    exclude_agents: list[str] = Field(default=[], description="models whose runs are left out")
    max_contrasts: int | None = Field(default=None, ge=1, le=10**6)
    dry_run: bool = Field(default=False, description="count only; ask and store nothing")


@router.post("/learn", status_code=202, response_model=Job, tags=["learn"])
async def learn(request: Request, body: LearnRequest) -> Response:
    """Start to learn from the runs that the bank holds, by the server's writer. Scope: `curate`."""
    caller_of(request, "curate")
    service, name = service_of(request), bank_name_of(request)
    await tenant_of(request)
    with memory_span("upsert_memory", name):
        job = await to_thread.run_sync(service.jobs.start, name, body.model_dump())
    return _json(job, 202)


@router.get("/learn/{id}", response_model=Job, tags=["learn"])
async def job(request: Request, id: str) -> Response:
    """A learning job as it stands. Scope: `recall`."""
    caller_of(request, "recall")
    found = service_of(request).jobs.job
    return _json(await to_thread.run_sync(found, bank_name_of(request), id))


@router.get(
    "/learn/{id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
    tags=["learn"],
)
async def job_events(request: Request, id: str) -> Response:
    """Follow a learning job: `progress` events with the job, then one named for how it ended
    (`done`, `failed`, `lost`). Scope: `recall`."""
    caller_of(request, "recall")
    service, name = service_of(request), bank_name_of(request)
    first = await to_thread.run_sync(service.jobs.job, name, id)

    async def events() -> AsyncIterator[bytes]:
        found, said = first, b""
        while True:
            if (now := event(found)) != said:
                yield now
                said = now
            if found.over or service.closing:
                return
            await asyncio.sleep(_EVENT_SECONDS)
            found = await to_thread.run_sync(service.jobs.job, name, id)

    return StreamingResponse(events(), media_type="text/event-stream")


# ---- constraints


class ConstraintPage(BaseModel):
    """Constraints, best supported first."""

    constraints: list[ConstraintView]
    next: str | None = Field(description="`cursor` of the page behind this one; null: no more")


@router.get("/constraints", response_model=ConstraintPage, tags=["constraints"])
async def constraints(
    request: Request,
    status: Status | None = None,
    category: Annotated[str | None, Query(description="NAME or NAME/SUBCATEGORY")] = None,
    scope: Literal["reasoning", "harness"] | None = None,
    harness: str | None = None,
    text: Annotated[str | None, Query(description="words that it holds")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Constraints that pass every filter. Scope: `recall`."""
    after = _place(cursor)
    found = await asked_of(
        request,
        "recall",
        lambda bank: bank.constraints(
            status=status,
            category=category,
            scope=scope,
            harness=harness,
            text=text,
            limit=limit + 1,
            after=after,
        ),
    )
    page = found[:limit]
    next = _cursor(page[-1]) if len(found) > limit else None
    return _json({"constraints": [view(each) for each in page], "next": next})


def _cursor(last: Constraint) -> str:
    place = [last.support.tasks, last.support.contrasts, last.id]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


_Count = Annotated[int, Field(ge=0, lt=2**31)]
_Place = TypeAdapter(tuple[_Count, _Count, str])


def _place(cursor: str | None) -> tuple[int, int, str] | None:
    if cursor is None:
        return None
    try:
        return _Place.validate_json(base64.urlsafe_b64decode(cursor.encode() + b"=="))
    except (ValueError, binascii.Error):
        raise UsageError(
            f"{cursor[:80]!r} is no cursor. Valid: `next` of the page before. Next: leave it out"
        ) from None


class ConstraintDetail(BaseModel):
    """A constraint with all that is behind it."""

    constraint: ConstraintView
    sources: list[dict[str, Any]] = Field(
        description="each draft behind it: what the writer said (`screened`), the `contrast`, its "
        "`task`, and the runs `preferred` and `other`"
    )
    conflicts: list[str] = Field(description="ids of constraints that contradict it")
    history: list[dict[str, Any]] = Field(description="the change log, oldest first")


_PROVENANCE: TypeAdapter[Provenance] = TypeAdapter(Provenance)


@router.get("/constraints/{id}", response_model=ConstraintDetail, tags=["constraints"])
async def constraint(request: Request, id: str) -> Response:
    """One constraint with its sources, conflicts and history. Scope: `recall`."""
    return _json(await asked_of(request, "recall", lambda bank: _detail(bank, id)))


def _detail(bank: Bank, id: str) -> dict[str, Any]:
    behind = bank.provenance(id)
    full = behind.constraint.id
    return {
        "constraint": view(behind.constraint),
        "sources": _PROVENANCE.dump_python(behind, mode="json")["sources"],
        "conflicts": sorted({id for pair in bank.conflicts(full) for id in pair} - {full}),
        "history": [asdict(change) for change in bank.history(full)],
    }


class StatusRequest(_Body):
    """Approve (`active`), quarantine or retire."""

    status: Status
    reason: str | None = Field(default=None, max_length=2000)


@router.post("/constraints/{id}/status", response_model=ConstraintView, tags=["constraints"])
async def set_status(request: Request, id: str, body: StatusRequest) -> Response:
    """Change the status of a constraint; the change log keeps who and why. Scope: `curate`."""
    caller = caller_of(request, "curate")
    actor = f"{caller.name} ({caller.key})" if caller.key else caller.name
    with memory_span("update_memory", bank_name_of(request)) as span:
        span["gen_ai.memory.record.id"] = id
        found = await asked_of(
            request,
            "curate",
            lambda bank: bank.set_status(id, body.status, actor=actor, reason=body.reason),
        )
    return _json(view(found))


@router.get("/changes", response_model=list[dict[str, Any]], tags=["constraints"])
async def changes(
    request: Request,
    since: Annotated[int, Query(ge=0, lt=2**31, description="sequence number")] = 0,
) -> Response:
    """The change log of the bank behind a sequence number. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.history(since=since))
    return _json([asdict(change) for change in found])


# ---- the bank as a whole


@router.get("/stats", response_model=dict[str, Any], tags=["bank"])
async def stats(request: Request) -> Response:
    """What the bank holds, counted. Scope: `recall`."""
    return _json(asdict(await asked_of(request, "recall", lambda bank: bank.stats())))


_SCREENED: TypeAdapter[list[Screened]] = TypeAdapter(list[Screened])


@router.get("/refusals", response_model=list[dict[str, Any]], tags=["bank"])
async def refusals(
    request: Request,
    reason: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Drafts that were refused, each with the reason. Scope: `curate`."""
    found = await asked_of(request, "curate", lambda bank: bank.refusals(reason, limit=limit))
    return Response(_SCREENED.dump_json(found), media_type="application/json")


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "The bank as JSONL."}},
    tags=["bank"],
)
async def export(
    request: Request,
    runs: Annotated[bool, Query(description="with the messages of the runs")] = True,
) -> Response:
    """The bank as JSONL: the same knowledge gives the same bytes. Scope: `admin`."""
    # Written aside first: a slow reader holds no snapshot of the bank, and an error is a status.
    stream: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed when it was read
    try:
        await asked_of(request, "admin", lambda bank: bank.export(stream, runs=runs))
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return StreamingResponse(_read(stream), media_type="application/x-ndjson")


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


class ImportReport(BaseModel):
    """What an import did, by kind of record; `refused` names the first 1,000."""

    new: dict[str, int]
    known: dict[str, int]
    kept: dict[str, int]
    refused: list[dict[str, Any]]
    refused_count: int


@router.post(
    "/import",
    response_model=ImportReport,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
    tags=["bank"],
)
async def import_(request: Request) -> Response:
    """Add what an export holds; its words are screened, misfits counted. Scope: `admin`."""
    caller_of(request, "admin")
    memory = (await tenant_of(request)).memory
    with SpooledTemporaryFile(max_size=_COPIED) as stream:
        async for chunk in request.stream():
            await to_thread.run_sync(stream.write, chunk)
        stream.seek(0)
        found = await to_thread.run_sync(memory.import_, stream)
    refused = [asdict(line) for line in found.refused]
    return _json({**vars(found), "refused": refused})


# ---- the server


class BankList(BaseModel):
    """Banks that the caller's key opens."""

    banks: list[str]


@router.get("/banks", response_model=BankList, tags=["server"])
async def banks(request: Request) -> Response:
    """Banks that the key opens. Scope: `recall`."""
    caller = caller_of(request, "recall")
    names = await to_thread.run_sync(service_of(request).banks.names)
    return _json({"banks": [name for name in names if caller.bank in (None, name)]})


class BankRequest(_Body):
    """A new bank."""

    name: str = Field(description="1 to 63 of a-z, 0-9, - and _")


@router.post("/banks", response_model=BankList, tags=["server"])
async def create_bank(request: Request, body: BankRequest) -> Response:
    """Make a bank, if it is not there. Scope: `admin`, of every bank or of this name."""
    caller = caller_of(request, "admin")
    caller.enters(body.name)
    await to_thread.run_sync(service_of(request).banks.create, body.name)
    return _json({"banks": [body.name]})


@router.get("/audit", response_model=list[dict[str, Any]], tags=["server"])
async def audit(
    request: Request,
    since: Annotated[int, Query(ge=0, lt=2**31, description="number of the last one seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Who wrote what and when, oldest first. Scope: `admin`."""
    caller_of(request, "admin")
    found = sa.select(AUDIT).where(AUDIT.c.number > since).order_by(AUDIT.c.number).limit(limit)
    if (name := request.state.bank_name) is not None:
        found = found.where(AUDIT.c.bank == name)
    return _json(await to_thread.run_sync(service_of(request).ledger.rows, found))
