"""What a page takes from the request, and which method of the product answers it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from memcollab.bank import Bank
from memcollab.errors import KeyNeeded, NotFound, UsageError
from memcollab.recall import WEIGHTS
from memcollab.records import Status
from memcollab.serve.banks import Tenant
from memcollab.serve.http import (
    actor_of,
    asked_of,
    bank_name_of,
    caller_of,
    changed_of,
    service_of,
    tenant_of,
)
from memcollab.serve.pages import parting, view
from memcollab.serve.pages.render import (
    HEADERS,
    MEDIA_TYPES,
    SIGN_IN,
    asset,
    asset_path,
    local_target,
    page,
)
from memcollab.serve.pages.session import check_form, set_cookie
from memcollab.serve.pages.standing import Standing
from memcollab.spans import memory_span

T = TypeVar("T")
_ROWS = 25
_SOURCES = 50
_WORDS = ("when", "enforce", "avoid")


async def _checked(request: Request) -> None:
    """Every form comes from a page of this server and session."""
    if request.method == "POST":
        given = (await request.form()).get("token")
        token = given if isinstance(given, str) else ""
        state = request.state
        check_form(request.headers, state.cookie, token, loopback=state.loopback)


router = APIRouter(prefix="/pages", include_in_schema=False, dependencies=[Depends(_checked)])
# Beside the pages: where they begin, and their files.
entrance = APIRouter(include_in_schema=False)
_Text = Annotated[str, Query(max_length=500)]
_Place = Annotated[str | None, Query(max_length=300)]
_Reason = Annotated[str, Form(max_length=2000)]


# ---- what every page needs


async def _standing(request: Request) -> Standing:
    caller_of(request, "recall")
    tenant = await tenant_of(request)
    standings = service_of(request).standings
    return await to_thread.run_sync(standings.of, tenant.name, tenant.memory)


def _back(request: Request, path: str, done: str = "") -> Response:
    """To a page of this bank, after a form; what was done is said there."""
    target = f"/{bank_name_of(request)}/pages{path}"
    return RedirectResponse(
        f"{target}?{urlencode({'done': done})}" if done else target, 303, HEADERS
    )


def _done(request: Request) -> str:
    """What the form did that led to this page; the words are ours."""
    return view.DONE.get(request.query_params.get("done", ""), "")


# ---- signing in


@entrance.get("/")
async def begin() -> Response:
    """The pages are what a browser is here for."""
    return RedirectResponse("/pages/", 303, HEADERS)


@entrance.get("/static/{digest}/{name}")
async def file(digest: str, name: str) -> Response:
    """A file of the pages."""
    if name not in MEDIA_TYPES or asset_path(name) != f"/static/{digest}/{name}":
        raise NotFound(f"there is no file {name!r}. Next: open /pages/")
    return Response(asset(name), media_type=MEDIA_TYPES[name], headers=HEADERS)


@router.get("/sign-in")
async def sign_in_page(request: Request, next: _Text = "") -> Response:
    """Where a key is given."""
    target = local_target(next)
    return page("sign_in.html", request.scope, next=target, wrong=False, done=_done(request))


@router.post("/sign-in")
async def sign_in(
    request: Request,
    key: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Exchange a key for a session."""
    target = local_target(next)
    try:
        cookie, caller = await to_thread.run_sync(service_of(request).sessions.open, key.strip())
    except KeyNeeded:
        scope = request.scope
        return page("sign_in.html", scope, status=403, next=target, wrong=True, done="")
    request.state.caller = caller
    request.state.bank_name = caller.bank
    if target == "/pages/" and caller.bank:
        target = f"/{caller.bank}/pages/"
    headers = {**HEADERS, "Set-Cookie": set_cookie(cookie, loopback=request.state.loopback)}
    return RedirectResponse(target, 303, headers)


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, here and on every replica."""
    await to_thread.run_sync(service_of(request).sessions.close, request.state.cookie)
    headers = {**HEADERS, "Set-Cookie": set_cookie("", loopback=request.state.loopback)}
    return RedirectResponse(f"{SIGN_IN}?done=signed-out", 303, headers)


# ---- overview


@router.get("")
@router.get("/")
async def overview(request: Request) -> Response:
    """Does memory help, and what is there."""
    if request.state.bank_name is None:
        return await _choose_bank(request)
    found = await _standing(request)
    return page(
        "overview.html",
        request.scope,
        standing=found,
        effects=view.effects(found.evidence.categories),
        figures=view.figures(found.stats),
        ledger=view.ledger(found.stats, found.evidence),
        refused=view.bars(found.stats.refused),
        done=_done(request),
    )


async def _choose_bank(request: Request) -> Response:
    caller = caller_of(request, "recall")
    names = await to_thread.run_sync(service_of(request).banks.names)
    opened = [name for name in names if caller.bank in (None, name)]
    return page("banks.html", request.scope, names=opened)


# ---- constraints


@router.get("/constraints")
async def constraints(
    request: Request,
    text: _Text = "",
    category: _Text = "",
    status: Literal["", "active", "quarantined", "retired"] = "",
    support: Annotated[str, Query(pattern=r"^\d{0,6}$")] = "",
    agent: _Text = "",
    after: _Place = None,
) -> Response:
    """Constraints that pass every filter, best supported first."""
    standing = await _standing(request)
    wanted: dict[str, Any] = {
        "text": text.strip() or None,
        "category": category or None,
        "status": status or None,
        "support": int(support) if support else None,
        "agent": agent or None,
    }
    place = view.place_from(after)

    def ask(bank: Bank) -> tuple[Any, int]:
        return bank.constraints(**wanted, limit=_ROWS + 1, after=place), bank.count_constraints(
            **wanted
        )

    found, count = await asked_of(request, "recall", ask)
    return page(
        "constraints.html",
        request.scope,
        listed=view.constraint_rows(found, standing.evidence, agent or None, _ROWS),
        count=count,
        asked={
            "text": text,
            "category": category,
            "status": status,
            "support": support,
            "agent": agent,
        },
        begun=after is not None,
        categories=view.category_options(standing.stats.by_category),
        statuses=view.STATUSES,
        agents=standing.agents,
        total=standing.stats.constraints,
    )


@router.get("/constraints/{id}")
async def constraint(request: Request, id: str) -> Response:
    """One constraint: its words, what is known of it, where it came from, what became of it."""
    return await _constraint_page(request, id)


async def _constraint_page(
    request: Request, id: str, *, wrong: str = "", given: dict[str, str] | None = None
) -> Response:
    """``wrong``: why the words ``given`` could not be taken."""
    caller_of(request, "recall")
    memory = (await tenant_of(request)).memory

    def ask() -> dict[str, Any]:
        bank = memory.bank
        behind = bank.provenance(id)
        found = behind.constraint
        others = sorted({each for pair in bank.conflicts(found.id) for each in pair} - {found.id})
        line = bank.lineage(found.id)
        place = line.index(found.id)
        return {
            "constraint": found,
            "sources": behind.sources[:_SOURCES],
            "source_count": len(behind.sources),
            "conflicts": [bank.constraint(each) for each in others[:_SOURCES]],
            "earlier": [bank.constraint(each) for each in line[:place]],
            "later": [bank.constraint(each) for each in line[place + 1 :]],
            "effects": view.effects(memory.effects(found.id)),
            "trial": bank.trial(found.id),
            "history": view.history(bank.history(found.id)),
            "actions": view.actions(found.status),
            "words": given or {name: getattr(found, name) for name in _WORDS},
        }

    shown = await to_thread.run_sync(ask)
    status = 422 if wrong else 200
    done = _done(request)
    scope = request.scope
    return page("constraint.html", scope, status=status, wrong=wrong, done=done, **shown)


@router.post("/constraints/{id}/edit")
async def edit(
    request: Request,
    id: str,
    when: Annotated[str, Form(max_length=2000)] = "",
    enforce: Annotated[str, Form(max_length=2000)] = "",
    avoid: Annotated[str, Form(max_length=2000)] = "",
    reason: _Reason = "",
) -> Response:
    """Say it in other words: a successor takes over, the old words stay in the history."""
    caller_of(request, "curate")
    actor = actor_of(request)
    memory = (await tenant_of(request)).memory
    given = {"when": when, "enforce": enforce, "avoid": avoid}

    def change() -> str:
        before = memory.bank.constraint(id)
        words = view.altered(before, given)
        return memory.edit(before.id, **words, actor=actor, reason=reason.strip() or None).id

    try:
        full = await changed_of(request, lambda _: change())
    except UsageError as error:
        return await _constraint_page(request, id, wrong=str(error), given=given)
    service_of(request).standings.forget(bank_name_of(request))
    return _back(request, f"/constraints/{full}", "edited")


@router.post("/constraints/{id}/status")
async def set_status(
    request: Request,
    id: str,
    status: Annotated[Status, Form()],
    reason: _Reason = "",
    back: Annotated[Literal["constraint", "flags"], Form()] = "constraint",
) -> Response:
    """Approve, quarantine, retire or make active again."""
    caller_of(request, "curate")
    actor = actor_of(request)
    why = reason.strip() or None

    def decide(bank: Bank) -> tuple[str, str]:
        before = bank.constraint(id)
        if (before.status, status) == ("quarantined", "active"):
            bank.approve(before.id, actor=actor, reason=why or "looked at on its page")
            return before.id, "approved"
        bank.set_status(before.id, status, actor=actor, reason=why)
        return before.id, status

    full, done = await changed_of(request, decide)
    service_of(request).standings.forget(bank_name_of(request))
    return _back(request, "/flags" if back == "flags" else f"/constraints/{full}", done)


# ---- contrasts


@router.get("/contrasts")
async def contrasts(
    request: Request, kind: _Text = "", learned: bool = False, after: _Place = None
) -> Response:
    """Pairs of runs that lessons were drawn from."""
    standing = await _standing(request)

    def ask(bank: Bank) -> Any:
        return bank.paired(kind=kind or None, learned=learned, after=after, limit=_ROWS + 1)

    found = await asked_of(request, "recall", ask)
    return page(
        "contrasts.html",
        request.scope,
        found=found[:_ROWS],
        following=found[_ROWS - 1].contrast.id if len(found) > _ROWS else None,
        kinds=standing.stats.contrasts,
        asked={"kind": kind, "learned": "true" if learned else ""},
        begun=after is not None,
    )


@router.get("/contrasts/{id}")
async def contrast(request: Request, id: str) -> Response:
    """Two runs of one task side by side, and what was drawn from them."""

    def ask(bank: Bank) -> dict[str, Any]:
        found = bank.contrast(id)
        shown: dict[str, Any] = {"found": found, "parted": None, "missing": ""}
        try:
            runs = bank.trajectory(found.contrast.preferred), bank.trajectory(found.contrast.other)
            shown["parted"] = parting.part(*runs)
            shown["runs"] = runs
        except NotFound as error:  # it came by a light share, without its messages
            shown["missing"] = str(error)
        shown["constraints"] = [bank.constraint(each) for each in found.constraints]
        shown["drafts"] = bank.drafts([found.contrast.id])
        return shown

    shown = await asked_of(request, "recall", ask)
    if not request.state.caller.may("curate"):  # as over HTTP: refused words are a curator's
        shown["drafts"] = [each for each in shown["drafts"] if each[0].refusal is None]
    return page("contrast.html", request.scope, **shown)


# ---- recall


@router.get("/recall")
async def recall_page(request: Request) -> Response:
    """Where a task is typed."""
    return await _recall_page(
        request, {"task": "", "agent": "", "harness": "", "category": ""}, None
    )


@router.post("/recall")
async def recall(
    request: Request,
    task: Annotated[str, Form(max_length=100_000)] = "",
    agent: Annotated[str, Form(max_length=300)] = "",
    harness: Annotated[str, Form(max_length=300)] = "",
    category: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """What an agent would be told before this task. Nothing is stored, and nothing withheld."""
    caller_of(request, "recall")
    asked = {"task": task, "agent": agent, "harness": harness, "category": category}
    if not task.strip():
        return await _recall_page(request, asked, None)
    tenant: Tenant = await tenant_of(request)
    found = await tenant.recall(
        store=False,
        task=task,
        agent=agent.strip() or "any",
        harness=harness.strip() or None,
        category=category or None,
    )
    request.state.timings = found.timings
    return await _recall_page(request, asked, view.recalled(found, WEIGHTS))


async def _recall_page(
    request: Request, asked: dict[str, str], found: view.Recalled | None
) -> Response:
    standing = await _standing(request)
    taxonomy = (await tenant_of(request)).memory.taxonomy
    return page(
        "recall.html",
        request.scope,
        asked=asked,
        found=found,
        agents=standing.agents,
        harnesses=[name for name in standing.stats.by_harness if name != "-"],
        categories=[view.Option(name, view.words(name)) for name in taxonomy.names],
        total=standing.stats.by_status.get("active", 0),
    )


# ---- transfer


@router.get("/transfer")
async def transfer(request: Request) -> Response:
    """Whose runs help whom."""
    found = await _standing(request)
    return page(
        "transfer.html",
        request.scope,
        standing=found,
        helped=view.helped_map(found.evidence, found.teachers),
        taught=view.taught_map(found.taught),
    )


# ---- learning


@router.get("/learn")
async def learn_page(request: Request, reason: _Text = "", after: _Place = None) -> Response:
    """Learning jobs, and what was refused and why."""
    standing = await _standing(request)
    curates = request.state.caller.may("curate")
    refused = []
    if curates:
        begins = view.draft_place_from(after)

        def ask(bank: Bank) -> Any:
            return bank.refused(reason or None, after=begins, limit=_ROWS + 1)

        refused = await asked_of(request, "curate", ask)
    last = refused[_ROWS - 1] if len(refused) > _ROWS else None
    return page(
        "learn.html",
        request.scope,
        jobs=await _jobs(request),
        writer=bool(service_of(request).writer.get("writer")),
        stats=standing.stats,
        reasons=view.bars(standing.stats.refused),
        refused=refused[:_ROWS],
        following=view.draft_place_of(last) if last else None,
        reason=reason,
        begun=after is not None,
        done=_done(request),
    )


@router.get("/learn/jobs")
async def jobs(request: Request) -> Response:
    """The jobs as they stand: a part of the page above."""
    caller_of(request, "recall")
    return page("jobs.html", request.scope, jobs=await _jobs(request))


async def _jobs(request: Request) -> list[view.JobRow]:
    recent = service_of(request).jobs.recent
    return view.job_rows(await to_thread.run_sync(recent, bank_name_of(request), 10))


@router.post("/learn")
async def learn(request: Request) -> Response:
    """Begin to learn from the runs that the bank holds, by the server's writer."""
    caller_of(request, "curate")
    name = bank_name_of(request)
    await tenant_of(request)
    with memory_span("upsert_memory", name):
        await to_thread.run_sync(service_of(request).jobs.start, name, {})
    return _back(request, "/learn", "started")


# ---- red flags


@router.get("/flags")
async def flags(request: Request, after: _Place = None) -> Response:
    """Quarantined constraints: who stands behind each, and why it waits."""
    standing = await _standing(request)
    place = view.place_from(after)
    needed = (await tenant_of(request)).memory.recipe.independent_sources
    found = await asked_of(
        request,
        "recall",
        lambda bank: bank.quarantine(needed=needed, limit=_ROWS + 1, after=place),
    )
    page_of = found[:_ROWS]
    return page(
        "flags.html",
        request.scope,
        rows=view.waiting_rows(page_of),
        following=view.place_of(page_of[-1].constraint) if len(found) > _ROWS else None,
        count=standing.stats.by_status.get("quarantined", 0),
        begun=after is not None,
        done=_done(request),
    )
