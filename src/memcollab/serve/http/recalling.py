"""Recalling, how it ended, and what outcomes prove."""

from __future__ import annotations

from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from memcollab.records import Agent, EvidenceReport, Outcome, Recall, Task, Usage
from memcollab.serve.http.requests import (
    Body,
    asked_of,
    bank_name_of,
    caller_of,
    count_recall,
    json_answer,
    service_of,
    tenant_of,
    versioned,
)
from memcollab.spans import memory_span

router = versioned("recall")


class RecallRequest(Body):
    """A task that is about to begin."""

    task: Annotated[str, Field(min_length=1)] | Task = Field(description="what is to be done")
    agent: Annotated[str, Field(min_length=1)] | Agent = Field(
        default="any", description="the model that will do it"
    )
    harness: str | None = Field(default=None, description="the loop and tools it works in")
    category: str | None = Field(default=None, description="NAME or NAME/SUBCATEGORY, else judged")
    limit: int | None = Field(default=None, ge=1, le=100, description="constraints at most")
    store: bool = Field(default=True, description="keep it, so that an outcome can be tied to it")


def _recall_json(recall: Recall) -> bytes:
    value = recall.model_dump(mode="json")
    for entry, shown in zip(recall.entries, value["entries"], strict=True):
        shown["constraint"]["id"] = entry.constraint.id
        shown["constraint"]["text"] = entry.constraint.text
    return orjson.dumps(value)


@router.post("/recall", response_model=Recall)
async def recall(request: Request, body: RecallRequest) -> Response:
    """The few constraints that fit a task; with `store`, an outcome can be tied to it.
    Scope: `recall`."""
    caller_of(request, "recall")
    tenant = await tenant_of(request)
    found = await tenant.recall(
        task=body.task,
        agent=body.agent,
        harness=body.harness,
        category=body.category,
        limit=body.limit,
        store=body.store,
    )
    count_recall(request, found)
    return Response(_recall_json(found), media_type="application/json")


@router.get("/recalls/{id}", response_model=Recall)
async def stored_recall(request: Request, id: str) -> Response:
    """A stored recall, as it was given. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.recall(id))
    return Response(_recall_json(found), media_type="application/json")


class OutcomeRequest(Body):
    """How the task of a recall ended."""

    recall_id: str
    solved: bool | None = Field(description="null: unjudged (a crash, a time-out)")
    usage: Usage = Usage()
    detail: str | None = None


@router.post("/outcomes", response_model=Outcome)
async def record_outcome(request: Request, body: OutcomeRequest) -> Response:
    """Report how the task of a recall ended. Scope: `record`. What only one key says that may not
    curate is not believed."""
    caller = caller_of(request, "record")
    service, memory = service_of(request), (await tenant_of(request)).memory

    def record() -> Outcome:
        judged = None if body.solved is None else body.recall_id
        with service.ending(memory.bank, judged):
            return memory.record_outcome(
                body.recall_id,
                body.solved,
                usage=body.usage,
                detail=body.detail,
                source=caller.source,
            )

    with memory_span("update_memory", bank_name_of(request)):
        return json_answer(await to_thread.run_sync(record))


@router.get("/evidence", response_model=EvidenceReport)
async def evidence(request: Request) -> Response:
    """Does memory help, whom, where, how sure is that, what did it cost and save?
    Scope: `recall`."""
    caller_of(request, "recall")
    memory = (await tenant_of(request)).memory
    return json_answer(await to_thread.run_sync(memory.evidence))
