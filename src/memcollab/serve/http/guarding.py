"""What keeps a bank from being poisoned, and what undoes it: sources and trust, retractions,
snapshots, differences, going back, and the log of it all.

What changes a bank takes ``dry_run``, which tells what would be.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from memcollab.bank import (
    Bank,
    Change,
    Decided,
    Decision,
    Difference,
    RolledBack,
    Snapshot,
    Trust,
)
from memcollab.serve.http.requests import (
    Body,
    Limit,
    Reason,
    Since,
    actor_of,
    asked_of,
    caller_of,
    changed_of,
    json_answer,
    tenant_of,
    versioned,
)

router = versioned("guarding")
_POINT = "the name of a snapshot, a number of the log, a time (ISO 8601), or `now`"
_Point = Annotated[str, Field(min_length=1, max_length=256, description=_POINT)]
_DryRun = Annotated[bool, Field(description="say what would change; change nothing")]


async def _needed(request: Request) -> int:
    """Of how many independent sources the bank's recipe asks support."""
    return (await tenant_of(request)).memory.recipe.independent_sources


# ---- sources


class SourceView(BaseModel):
    """Whoever brought anything, and how far it is believed."""

    name: str
    trust: Trust


@router.get("/sources", response_model=list[SourceView])
async def sources(request: Request) -> Response:
    """Whoever brought anything, and how far each is trusted. Scope: `curate`."""
    found = await asked_of(request, "curate", lambda bank: bank.sources())
    return json_answer([{"name": name, "trust": trust} for name, trust in found.items()])


class TrustRequest(Body):
    """How far to believe a source. `retracted`: undo all that only it brought."""

    source: str = Field(min_length=1, max_length=256, description="as `/v1/sources` names it")
    trust: Trust
    reason: Reason = None
    dry_run: _DryRun = False


@router.post("/sources/trust", response_model=Decided)
async def set_trust(request: Request, body: TrustRequest) -> Response:
    """Trust a source, distrust or retract it; what it supports follows. Scope: `curate`."""
    caller_of(request, "curate")
    needed, actor = await _needed(request), actor_of(request)

    def decide(bank: Bank) -> Decided:
        return bank.set_trust(
            body.source,
            body.trust,
            actor=actor,
            reason=body.reason,
            needed=needed,
            dry_run=body.dry_run,
        )

    return json_answer(asdict(await changed_of(request, decide)))


class RetractRequest(Body):
    """Runs and contrasts that are to teach nothing any more."""

    ids: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, max_length=1000, description="of runs and contrasts, or beginnings of them"
    )
    restore: bool = Field(default=False, description="take a retraction back")
    reason: Reason = None
    dry_run: _DryRun = False


@router.post("/retract", response_model=Decided)
async def retract(request: Request, body: RetractRequest) -> Response:
    """Undo what was learned from runs or contrasts, and learn nothing from them again.
    Scope: `curate`."""
    caller_of(request, "curate")
    needed, actor = await _needed(request), actor_of(request)

    def decide(bank: Bank) -> Decided:
        return bank.retract(
            *body.ids,
            actor=actor,
            reason=body.reason,
            restore=body.restore,
            needed=needed,
            dry_run=body.dry_run,
        )

    return json_answer(asdict(await changed_of(request, decide)))


@router.get("/decisions", response_model=list[Decision])
async def decisions(
    request: Request,
    target: Annotated[str | None, Query(description="a source, or the id of a run")] = None,
    since: Since = 0,
    limit: Limit = 1000,
) -> Response:
    """The log of trust and retractions behind a number, oldest first: the next page is behind that
    of the last one. Scope: `curate`."""
    found = await asked_of(
        request, "curate", lambda bank: bank.decisions(target, since=since, limit=limit)
    )
    return json_answer([asdict(one) for one in found])


# ---- going back


@router.get("/snapshots", response_model=list[Snapshot])
async def snapshots(request: Request) -> Response:
    """Snapshots, oldest first. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.snapshots())
    return json_answer([asdict(one) for one in found])


class SnapshotRequest(Body):
    """A name for the present."""

    name: str | None = Field(default=None, max_length=256, description="else it is the time")
    dry_run: _DryRun = False


@router.post("/snapshots", status_code=201, response_model=Snapshot)
async def snapshot(request: Request, body: SnapshotRequest) -> Response:
    """Give the present state a name to come back to. Scope: `curate`."""
    found = await changed_of(request, lambda bank: bank.snapshot(body.name, dry_run=body.dry_run))
    return json_answer(asdict(found), 201)


@router.get("/diff", response_model=list[Difference])
async def diff(
    request: Request,
    first: Annotated[str, Query(min_length=1, max_length=256, description=_POINT)],
    second: Annotated[str, Query(min_length=1, max_length=256, description=_POINT)] = "now",
) -> Response:
    """Constraints whose state differs between two points. Scope: `recall`."""
    found = await asked_of(request, "recall", lambda bank: bank.diff(first, second))
    return json_answer([asdict(one) for one in found])


class RollbackRequest(Body):
    """Where to go back to."""

    to: _Point
    reason: Reason = None
    dry_run: _DryRun = False


class RollbackReport(BaseModel):
    """What a rollback did; `sequence` is where to go back to, if it was wrong."""

    to: dict[str, Any] = Field(description="the point: `sequence` and `at`")
    sequence: int
    restored: list[str]
    retired: list[str]
    drafts: int
    set_aside: int
    lifted: int


@router.post("/rollback", response_model=RollbackReport)
async def rollback(request: Request, body: RollbackRequest) -> Response:
    """Make the state as of a point the present one. It is logged, loses nothing, and can be rolled
    back. Scope: `curate`."""
    caller_of(request, "curate")
    actor = actor_of(request)

    def back(bank: Bank) -> RolledBack:
        return bank.rollback(body.to, actor=actor, reason=body.reason, dry_run=body.dry_run)

    done = await changed_of(request, back)
    return json_answer({**vars(done), "to": done.to._asdict()})


class Log(BaseModel):
    """The last entries of each log, oldest first."""

    changes: list[Change]
    decisions: list[Decision]
    snapshots: list[Snapshot]


@router.get("/log", response_model=Log)
async def log(
    request: Request,
    since: Annotated[int, Query(ge=0, lt=2**31, description="changes after this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="the last so many of each")] = 50,
) -> Response:
    """What changed, what was decided on sources and runs, and the snapshots. Scope: `curate`."""

    def read(bank: Bank) -> dict[str, Any]:
        return {
            "changes": [asdict(one) for one in bank.last_changes(limit, since=since)],
            "decisions": [asdict(one) for one in bank.last_decisions(limit)],
            "snapshots": [asdict(one) for one in bank.snapshots()[-limit:]],
        }

    return json_answer(await asked_of(request, "curate", read))
