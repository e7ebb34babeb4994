"""Runs as they come in, and learning from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Annotated

from anyio import to_thread
from fastapi import File, Form, Request, UploadFile
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from memcollab.records import LearnReport, Trajectory
from memcollab.serve.http.requests import (
    COPIED,
    Body,
    asked_of,
    bank_name_of,
    brought_by,
    caller_of,
    json_answer,
    service_of,
    tenant_of,
    versioned,
)
from memcollab.serve.jobs import Job, event
from memcollab.spans import memory_span

router = versioned("learn")
_EVENT_SECONDS = 0.2
# Servers between cut a stream off that is silent for longer, often for a minute.
_PING_SECONDS = 15.0
_PING = b": ping\n\n"


class TrajectoriesRequest(Body):
    """Runs as records."""

    trajectories: list[Trajectory] = Field(max_length=10_000)


@router.post("/trajectories", response_model=LearnReport)
async def add_trajectories(request: Request, body: TrajectoriesRequest) -> Response:
    """Add runs to the bank; nothing is learned from them yet. Scope: `record`. What only a key
    brought that may not curate is quarantined when it is learned from."""
    caller_of(request, "record")
    memory = (await tenant_of(request)).memory
    with memory_span("create_memory", bank_name_of(request)) as span:
        span["gen_ai.memory.record.count"] = len(body.trajectories)
        add = partial(memory.add_trajectories, **brought_by(request))
        report = await to_thread.run_sync(add, body.trajectories)
    return json_answer(report)


@router.post("/trajectories/files", response_model=LearnReport)
async def add_files(
    request: Request,
    file: Annotated[list[UploadFile], File(description="files or archives of any known format")],
    mapping: Annotated[
        str | None, Form(description="TOML text that says how to read a foreign format")
    ] = None,
) -> Response:
    """Add runs from files, in any format that `memcollab learn` reads. Scope: `record`; trust is
    as for `/v1/trajectories`."""
    caller_of(request, "record")
    memory = (await tenant_of(request)).memory
    with memory_span("create_memory", bank_name_of(request)):
        add = partial(memory.add_runs, **brought_by(request))
        report = await to_thread.run_sync(_read_files, add, file, mapping)
    return json_answer(report)


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
        while chunk := file.file.read(COPIED):
            target.write(chunk)
    return path


@router.get("/trajectories/{id}", response_model=Trajectory)
async def trajectory(request: Request, id: str) -> Response:
    """One run, whole. Scope: `recall`."""
    return json_answer(await asked_of(request, "recall", lambda bank: bank.trajectory(id)))


class LearnRequest(Body):
    """How to learn from the runs that the bank holds."""

    strongest_first: list[str] = Field(default=[], description="models, for the paper's recipes")
    exclude_agents: list[str] = Field(default=[], description="models whose runs are left out")
    max_contrasts: int | None = Field(default=None, ge=1, le=10**6)
    dry_run: bool = Field(default=False, description="count only; ask and store nothing")


@router.post("/learn", status_code=202, response_model=Job)
async def learn(request: Request, body: LearnRequest) -> Response:
    """Start to learn from the runs that the bank holds, by the server's writer. Scope: `curate`."""
    caller_of(request, "curate")
    service, name = service_of(request), bank_name_of(request)
    await tenant_of(request)
    with memory_span("upsert_memory", name):
        job = await to_thread.run_sync(service.jobs.start, name, body.model_dump())
    return json_answer(job, 202)


@router.get("/learn/{id}", response_model=Job)
async def job(request: Request, id: str) -> Response:
    """A learning job as it stands. Scope: `recall`."""
    caller_of(request, "recall")
    found = service_of(request).jobs.job
    return json_answer(await to_thread.run_sync(found, bank_name_of(request), id))


@router.get(
    "/learn/{id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def job_events(request: Request, id: str) -> Response:
    """Follow a learning job: `progress` events with the job, then one named for how it ended
    (`done`, `failed`, `lost`). A comment comes every 15 seconds where nothing else does. A stream
    that breaks can be asked for again, on any replica. Scope: `recall`."""
    caller_of(request, "recall")
    service, name = service_of(request), bank_name_of(request)
    first = await to_thread.run_sync(service.jobs.job, name, id)

    async def events() -> AsyncIterator[bytes]:
        found, said, spoke = first, b"", 0.0
        while True:
            silent = time.monotonic() - spoke >= _PING_SECONDS
            if (now := event(found)) != said or silent:
                yield _PING if now == said else now
                said, spoke = now, time.monotonic()
            if found.over or service.closing:
                return
            await asyncio.sleep(_EVENT_SECONDS)
            found = await to_thread.run_sync(service.jobs.job, name, id)

    return StreamingResponse(events(), media_type="text/event-stream")
