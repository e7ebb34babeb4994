"""The server: its banks, and its audit."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from memcollab.serve.http.requests import (
    Body,
    Limit,
    Since,
    caller_of,
    json_answer,
    service_of,
    versioned,
)
from memcollab.serve.ledger import AUDIT

router = versioned("server")


class BankList(BaseModel):
    """Banks that the caller's key opens."""

    banks: list[str]


@router.get("/banks", response_model=BankList)
async def banks(request: Request) -> Response:
    """Banks that the key opens. Scope: `recall`."""
    caller = caller_of(request, "recall")
    names = await to_thread.run_sync(service_of(request).banks.names)
    return json_answer({"banks": [name for name in names if caller.bank in (None, name)]})


class BankRequest(Body):
    """A new bank."""

    name: str = Field(description="1 to 63 of a-z, 0-9, - and _")


@router.post("/banks", response_model=BankList)
async def create_bank(request: Request, body: BankRequest) -> Response:
    """Make a bank, if it is not there. Scope: `admin`, of every bank or of this name."""
    caller = caller_of(request, "admin")
    caller.enters(body.name)
    await to_thread.run_sync(service_of(request).banks.create, body.name)
    return json_answer({"banks": [body.name]})


@router.get("/audit", response_model=list[dict[str, Any]])
async def audit(
    request: Request,
    since: Since = 0,
    limit: Limit = 100,
) -> Response:
    """Who wrote what and when, oldest first. Scope: `admin`."""
    caller_of(request, "admin")
    found = sa.select(AUDIT).where(AUDIT.c.number > since).order_by(AUDIT.c.number).limit(limit)
    if (name := request.state.bank_name) is not None:
        found = found.where(AUDIT.c.bank == name)
    return json_answer(await to_thread.run_sync(service_of(request).ledger.rows, found))
