"""The bank as a whole: counted, exported, imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Annotated, Any

from anyio import to_thread
from fastapi import Query, Request
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import Response, StreamingResponse

from memcollab.bank import Screened
from memcollab.bank.cursor import cursor_of, refused_place_in
from memcollab.serve.http.requests import (
    COPIED,
    Cursor,
    Limit,
    asked_of,
    bank_name_of,
    caller_of,
    json_answer,
    tenant_of,
    versioned,
)
from memcollab.spans import memory_span

router = versioned("bank")
_CHUNK = 2**18


@router.get("/stats", response_model=dict[str, Any])
async def stats(request: Request) -> Response:
    """What the bank holds, counted. Scope: `recall`."""
    return json_answer(asdict(await asked_of(request, "recall", lambda bank: bank.stats())))


class RefusalPage(BaseModel):
    """Refused drafts by reason and id."""

    refusals: list[dict[str, Any]]
    next: str | None = Field(description="`cursor` of the page behind this one; null: no more")


_SCREENED: TypeAdapter[list[Screened]] = TypeAdapter(list[Screened])


@router.get("/refusals", response_model=RefusalPage)
async def refusals(
    request: Request, reason: str | None = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Drafts that were refused, each with the reason. Scope: `curate`."""
    after = refused_place_in(cursor)
    found = await asked_of(
        request, "curate", lambda bank: bank.refused(reason, after=after, limit=limit + 1)
    )
    page = found[:limit]
    next = cursor_of(page[-1].place) if len(found) > limit else None
    drafts = _SCREENED.dump_python([one.screened for one in page], mode="json")
    return json_answer({"refusals": drafts, "next": next})


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "The bank as JSONL."}},
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
    except BaseException:  # whoever asked may have gone: nothing stays open
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
)
async def import_(request: Request) -> Response:
    """Add what an export holds; its words are screened, misfits counted. Scope: `admin`."""
    caller_of(request, "admin")
    memory = (await tenant_of(request)).memory
    with SpooledTemporaryFile(max_size=COPIED) as stream:
        async for chunk in request.stream():
            await to_thread.run_sync(stream.write, chunk)
        stream.seek(0)
        with memory_span("upsert_memory", bank_name_of(request)) as span:
            found = await to_thread.run_sync(memory.import_, stream)
            span["gen_ai.memory.record.count"] = sum(found.new.values())
    refused = [asdict(line) for line in found.refused]
    return json_answer({**vars(found), "refused": refused})
