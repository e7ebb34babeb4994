"""Constraints: listed, shown with all that is behind them, and what a curator does to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import Query, Request
from pydantic import BaseModel, Field, TypeAdapter
from starlette.responses import Response

from memcollab.bank import Bank, Provenance
from memcollab.bank.cursor import cursor_of, place_in, place_of
from memcollab.records import Constraint, Effect, Status
from memcollab.serve.http.requests import (
    Body,
    Cursor,
    Limit,
    Reason,
    Since,
    actor_of,
    asked_of,
    bank_name_of,
    caller_of,
    json_answer,
    tenant_of,
    versioned,
)
from memcollab.serve.http.views import ConstraintView, view
from memcollab.spans import memory_span

router = versioned("constraints")
_Words = Annotated[str | None, Field(min_length=1, max_length=2000)]


class ConstraintPage(BaseModel):
    """Constraints, best supported first."""

    constraints: list[ConstraintView]
    next: str | None = Field(description="`cursor` of the page behind this one; null: no more")


@router.get("/constraints", response_model=ConstraintPage)
async def constraints(
    request: Request,
    status: Status | None = None,
    category: Annotated[str | None, Query(description="NAME or NAME/SUBCATEGORY")] = None,
    scope: Literal["reasoning", "harness"] | None = None,
    harness: str | None = None,
    text: Annotated[str | None, Query(description="words that it holds")] = None,
    support: Annotated[
        int | None, Query(ge=0, lt=2**31, description="source tasks at least")
    ] = None,
    agent: Annotated[
        str | None, Query(description="a model whose runs it came from, or that it was shown to")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Constraints that pass every filter. Scope: `recall`."""
    after = place_in(cursor)
    found = await asked_of(
        request,
        "recall",
        lambda bank: bank.constraints(
            status=status,
            category=category,
            scope=scope,
            harness=harness,
            text=text,
            support=support,
            agent=agent,
            limit=limit + 1,
            after=after,
        ),
    )
    page = found[:limit]
    next = cursor_of(place_of(page[-1])) if len(found) > limit else None
    return json_answer({"constraints": [view(each) for each in page], "next": next})


class ConstraintDetail(BaseModel):
    """A constraint with all that is behind it."""

    constraint: ConstraintView
    sources: list[dict[str, Any]] = Field(
        description="each draft behind it: what the writer said (`screened`), the `contrast`, its "
        "`task`, and the runs `preferred` and `other`"
    )
    conflicts: list[str] = Field(description="ids of constraints that contradict it")
    lineage: list[str] = Field(
        description="ids from the words that it was edited from to those it was edited into; its "
        "own alone where nobody edited it"
    )
    history: list[dict[str, Any]] = Field(description="the change log, oldest first")


_PROVENANCE: TypeAdapter[Provenance] = TypeAdapter(Provenance)


@router.get("/constraints/{id}", response_model=ConstraintDetail)
async def constraint(request: Request, id: str) -> Response:
    """One constraint with its sources, conflicts and history. Scope: `recall`."""
    return json_answer(await asked_of(request, "recall", lambda bank: _detail(bank, id)))


def _detail(bank: Bank, id: str) -> dict[str, Any]:
    behind = bank.provenance(id)
    full = behind.constraint.id
    return {
        "constraint": view(behind.constraint),
        "sources": _PROVENANCE.dump_python(behind, mode="json")["sources"],
        "conflicts": sorted({id for pair in bank.conflicts(full) for id in pair} - {full}),
        "lineage": bank.lineage(full),
        "history": [asdict(change) for change in bank.history(full)],
    }


class StatusRequest(Body):
    """Let it be recalled (`active`), quarantine or retire it."""

    status: Status
    reason: Reason = None


@router.post("/constraints/{id}/status", response_model=ConstraintView)
async def set_status(request: Request, id: str, body: StatusRequest) -> Response:
    """Change the status of a constraint; the change log keeps who and why. Scope: `curate`."""
    caller_of(request, "curate")
    actor = actor_of(request)
    return await _changed(
        request,
        id,
        lambda bank: bank.set_status(id, body.status, actor=actor, reason=body.reason),
    )


class ApproveRequest(Body):
    """Why a quarantined constraint may be recalled."""

    reason: str = Field(min_length=1, max_length=2000, description="the log keeps it")


@router.post("/constraints/{id}/approve", response_model=ConstraintView)
async def approve(request: Request, id: str, body: ApproveRequest) -> Response:
    """Let a quarantined constraint be recalled, whoever it came from. Scope: `curate`."""
    caller_of(request, "curate")
    actor = actor_of(request)
    return await _changed(
        request, id, lambda bank: bank.approve(id, actor=actor, reason=body.reason)
    )


class EditRequest(Body):
    """Other words for a constraint; what is left out stays as it is."""

    when: _Words = None
    enforce: _Words = None
    avoid: _Words = None
    reason: Reason = None


@router.post("/constraints/{id}/edit", response_model=ConstraintView)
async def edit(request: Request, id: str, body: EditRequest) -> Response:
    """Say a constraint in other words, which are screened. The answer is its successor, behind
    which the same runs stand; the edited one is retired and kept. Scope: `curate`."""
    caller_of(request, "curate")
    memory = (await tenant_of(request)).memory
    actor = actor_of(request)
    return await _changed(request, id, lambda _: memory.edit(id, actor=actor, **body.model_dump()))


async def _changed(request: Request, id: str, change: Callable[[Bank], Constraint]) -> Response:
    with memory_span("update_memory", bank_name_of(request)) as span:
        span["gen_ai.memory.record.id"] = id
        return json_answer(view(await asked_of(request, "curate", change)))


@router.get("/constraints/{id}/effects", response_model=list[Effect])
async def effects(request: Request, id: str) -> Response:
    """What outcomes say of one constraint: with all agents, then with each. Scope: `recall`."""
    caller_of(request, "recall")
    memory = (await tenant_of(request)).memory
    return json_answer(list(await to_thread.run_sync(memory.effects, id)))


class WaitingView(BaseModel):
    """A constraint that waits, who stands behind it, and why it waits."""

    constraint: ConstraintView
    sources: dict[str, str] = Field(description="name → trust")
    families: list[str] = Field(description="of the models whose runs stand behind it")
    why: str


class WaitingPage(BaseModel):
    """Quarantined constraints, best supported first."""

    waiting: list[WaitingView]
    next: str | None = Field(description="`cursor` of the page behind this one; null: no more")


@router.get("/quarantine", response_model=WaitingPage)
async def quarantine(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Quarantined constraints, best supported first. Scope: `curate`."""
    caller_of(request, "curate")
    after = place_in(cursor)
    needed = (await tenant_of(request)).memory.recipe.independent_sources
    found = await asked_of(
        request, "curate", lambda bank: bank.quarantine(needed=needed, limit=limit + 1, after=after)
    )
    page = found[:limit]
    next = cursor_of(place_of(page[-1].constraint)) if len(found) > limit else None
    waiting = [{**vars(one), "constraint": view(one.constraint)} for one in page]
    return json_answer({"waiting": waiting, "next": next})


@router.get("/changes", response_model=list[dict[str, Any]])
async def changes(
    request: Request,
    since: Since = 0,
    limit: Limit = 1000,
) -> Response:
    """The change log of the bank behind a sequence number: the next page is behind that of the last
    one. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.history(since=since, limit=limit))
    return json_answer([asdict(change) for change in found])
