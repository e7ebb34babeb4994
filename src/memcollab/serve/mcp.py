"""The Model Context Protocol: the memory as four tools, two kinds of resources and one prompt.

``build`` takes what reaches the memory of a request, so that the same server serves one bank over
standard input and output (``Alone``, ``memcollab mcp``) and, over streamable HTTP, the bank of each
request, as far as its key opens that (``mcp_http``).

Texts that come in are bounded by ``MOST_TEXT``, a message of a run with its calls too, a run by
``MOST_STEPS`` and ``MOST_RUN``; what exceeds them is an error that says so. Errors of ours are told
to the model, with the next step; others stay inside.

Listed as resources are the categories that hold active constraints, on the first page, and these
constraints, best supported first, ``MOST_LISTED`` there and ``MOST_BEHIND`` on each further page. A
category reads as at most ``MOST_LISTED``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ListResourcesResult, Resource
from pydantic import AfterValidator, Field

from memcollab import __version__
from memcollab.bank import LOCAL, reporter
from memcollab.bank.cursor import Place, cursor_of, place_in, place_of
from memcollab.collab import MemCollab
from memcollab.errors import MemCollabError, NotFound
from memcollab.records import Agent, Constraint, Recall, Step, Task, Trajectory, Verdict

T = TypeVar("T")
MOST_TEXT = 100_000
MOST_STEPS = 1_000
MOST_RUN = 4_000_000
MOST_LISTED = 1_000
# Clients that walk every page give up after so many (MCP's inspector after 64), while one that
# reads the first alone should not wait: the pages behind it are longer.
MOST_BEHIND = 4_000
_CONSTRAINTS = "memcollab://constraints/"
_CATEGORIES = "memcollab://categories/"
_JSON = "application/json"
# The HTTP request of a call; None over standard input and output.
Request = Any


def _size(step: Step) -> int:
    called = (call.name + call.arguments + (call.id or "") for call in step.tool_calls)
    return len(step.content) + len(step.tool_call_id or "") + sum(map(len, called))


def _short_step(step: Step) -> Step:
    if (size := _size(step)) > MOST_TEXT:
        raise ValueError(
            f"a message of {size} characters with its calls. Valid: up to {MOST_TEXT}. "
            "Next: shorten it, or send the run as a file to /v1/trajectories/files"
        )
    return step


def _short_run(steps: Sequence[Step]) -> Sequence[Step]:
    if (size := sum(map(_size, steps))) > MOST_RUN:
        raise ValueError(
            f"a run of {size} characters. Valid: up to {MOST_RUN}. "
            "Next: send it as a file to /v1/trajectories/files"
        )
    return steps


Words = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Steps = Annotated[
    list[Annotated[Step, AfterValidator(_short_step)]],
    Field(min_length=1, max_length=MOST_STEPS),
    AfterValidator(_short_run),
]
INSTRUCTIONS = """\
Shared lessons from earlier attempts. Call recall before a task; when the task has ended call
report_outcome with the recall_id, so that the memory learns which lessons help."""


class Reach(Protocol):
    """The memory of a request. Every method raises ``AccessDenied`` where its key does not open
    that, ``NotFound`` where there is no such bank."""

    async def recall(self, request: Request, **asked: Any) -> Recall:
        """As ``MemCollab.recall``, stored."""

    async def read(self, request: Request, ask: Callable[[MemCollab], T]) -> T:
        """What a question gives; it is asked in a thread."""

    async def write(
        self,
        request: Request,
        what: str,
        change: Callable[[MemCollab, str], T],
        *,
        judges: str | None = None,
    ) -> T:
        """What a change gives, made in a thread and noted as ``what``. It is given who is not to
        be believed alone, "" for who is, as ``MemCollab.record_outcome`` takes it. ``judges``: the
        id of a recall whose run is judged by it, so that what is known of that is stored first."""


class Alone:
    """One memory, for whoever started the process."""

    def __init__(self, memory: MemCollab) -> None:
        self._memory = memory
        self._lock = threading.Lock()

    async def recall(self, request: Request, **asked: Any) -> Recall:
        del request

        def ask() -> Recall:
            with self._lock:  # calls may come side by side, and the index is one
                return self._memory.recall(**asked)

        return await to_thread.run_sync(ask)

    async def read(self, request: Request, ask: Callable[[MemCollab], T]) -> T:
        del request
        return await to_thread.run_sync(ask, self._memory)

    async def write(
        self,
        request: Request,
        what: str,
        change: Callable[[MemCollab, str], T],
        *,
        judges: str | None = None,
    ) -> T:
        del request, what, judges
        return await to_thread.run_sync(change, self._memory, "")


def build(reach: Reach) -> MCPServer:
    """The server over the memory that ``reach`` finds for each request."""
    with _logging_left_alone():
        server = MCPServer(
            "memcollab",
            instructions=INSTRUCTIONS,
            version=__version__,
            middleware=[_Lister(reach)],
            subscriptions=False,  # a stream that nothing is pushed to holds up the end
        )
    _add_tools(server, reach)
    _add_resources(server, reach)

    @server.prompt(title="Begin a task with the shared memory")
    def begin_task(task: str) -> str:
        """A task, with the order to ask the memory first and to report how it ended."""
        return (
            "First call the tool recall with the task below and take its guidance as advice. "
            "When you have finished, call report_outcome with its recall_id.\n\n" + task
        )

    return server


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """The SDK sets the root logger up for its own taste, which would print every line of everybody
    in colours, at 10 ms each."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _request_of(ctx: Context) -> Request:
    return ctx.request_context.request


def _add_tools(server: MCPServer, reach: Reach) -> None:
    # The SDK gives docstrings as they are written, so one of several lines would be indented.
    @server.tool(
        description="Call once before a task: gives the few constraints that fit it, as guidance, "
        "or the reason why there are none; and the recall_id for report_outcome. agent: your model."
    )
    async def recall(
        ctx: Context, task: Words, agent: Name = "any", harness: Name | None = None
    ) -> dict[str, Any]:
        try:
            found = await reach.recall(_request_of(ctx), task=task, agent=agent, harness=harness)
        except MemCollabError as error:
            raise ToolError(str(error)) from error
        return {
            "recall_id": found.id,
            "guidance": found.guidance,
            "abstained": found.abstained,
            "constraints": [] if found.withheld else [e.constraint.id for e in found.entries],
        }

    @server.tool()
    async def report_outcome(
        ctx: Context,
        recall_id: Id,
        solved: bool | None,
        detail: Annotated[str, Field(max_length=MOST_TEXT)] | None = None,
    ) -> dict[str, Any]:
        """Call once when a task has ended. solved: true, false, or null if nobody judged it."""

        def report(memory: MemCollab, source: str) -> dict[str, Any]:
            outcome = memory.record_outcome(recall_id, solved, detail=detail, source=source)
            return outcome.model_dump(mode="json")

        try:
            judges = None if solved is None else recall_id
            return await reach.write(_request_of(ctx), "report_outcome", report, judges=judges)
        except MemCollabError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    async def submit_run(
        ctx: Context, task: Words, agent: Name, steps: Steps, solved: bool | None = None
    ) -> dict[str, Any]:
        """Add a whole run (chat messages in order), for the memory to learn from later."""
        run = Trajectory(
            task=Task(text=task),
            agent=Agent(model=agent),
            steps=tuple(steps),
            verdict=Verdict(solved=solved),
            origin="mcp",
        )

        def submit(memory: MemCollab, source: str) -> dict[str, Any]:
            by = reporter(source) if source else LOCAL
            added = memory.add_trajectories([run], source=by, trusted=not source)
            return added.model_dump(mode="json")

        try:
            return await reach.write(_request_of(ctx), "submit_run", submit)
        except MemCollabError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    async def show_constraint(ctx: Context, constraint_id: Id) -> dict[str, Any]:
        """A constraint whole, and the pairs of runs that it was drawn from."""
        try:
            return await reach.read(_request_of(ctx), lambda memory: _shown(memory, constraint_id))
        except MemCollabError as error:
            raise ToolError(str(error)) from error


def _add_resources(server: MCPServer, reach: Reach) -> None:
    @server.resource(_CONSTRAINTS + "{id}", mime_type=_JSON)
    async def constraint(id: str, ctx: Context) -> dict[str, Any]:
        """A constraint and where it comes from."""
        return await _read(ctx, lambda memory: _shown(memory, id))

    @server.resource(_CATEGORIES + "{name}", mime_type=_JSON)
    async def category(name: str, ctx: Context) -> list[dict[str, str]]:
        """The active constraints of a category, best supported first, by id: at most 1,000."""
        held = await _read(ctx, lambda memory: _active(memory, unquote(name)))
        return [{"id": one.id, "text": one.text} for one in held]

    async def _read(ctx: Context, ask: Callable[[MemCollab], T]) -> T:
        try:
            return await reach.read(_request_of(ctx), ask)
        except NotFound as error:
            raise ResourceNotFoundError(str(error)) from error
        except MemCollabError as error:
            raise ResourceError(str(error)) from error


class _Lister:
    """Lists what the bank of the request holds; the SDK lists what a server was built with."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        built = await call_next(ctx)
        if ctx.method != "resources/list" or ctx.request_id is None:
            return built
        try:
            after = place_in((ctx.params or {}).get("cursor"))
            return await self._reach.read(ctx.request, lambda memory: _page(memory, after))
        except MemCollabError as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error


def _page(memory: MemCollab, after: Place | None) -> ListResourcesResult:
    most = MOST_LISTED if after is None else MOST_BEHIND
    found = memory.bank.constraints(status="active", limit=most + 1, after=after)
    held = found[:most]
    more = len(found) > len(held)
    categories = _categories(memory, held, whole=not more) if after is None else []
    return ListResourcesResult(
        resources=[*map(_category, categories), *map(_listed, held)],
        next_cursor=cursor_of(place_of(held[-1])) if more else None,
    )


def _categories(memory: MemCollab, held: Sequence[Constraint], *, whole: bool) -> list[str]:
    """The names of those that hold active constraints; ``held`` are the first of these."""
    names = {one.category.name for one in held}
    if not whole:
        known = {label.partition("/")[0] for label in memory.bank.stats().by_category}
        names |= {name for name in known - names if _active(memory, name, 1)}
    return sorted(names)


def _category(name: str) -> Resource:
    return Resource(
        uri=_CATEGORIES + quote(name, safe=""),
        name=name,
        description=f"The active constraints of the category {name}, best supported first.",
        mime_type=_JSON,
    )


def _listed(one: Constraint) -> Resource:
    return Resource(uri=_CONSTRAINTS + one.id, name=one.id, description=one.text, mime_type=_JSON)


def _active(memory: MemCollab, category: str, limit: int = MOST_LISTED) -> Sequence[Constraint]:
    return memory.bank.constraints(status="active", category=category, limit=limit)


def _shown(memory: MemCollab, id: str) -> dict[str, Any]:
    found = memory.bank.provenance(id)
    held = found.constraint
    sources = [
        {"task": s.task.text, "preferred": s.preferred.id, "other": s.other.id}
        for s in found.sources
    ]
    return {"id": held.id, "text": held.text, **held.model_dump(mode="json"), "sources": sources}
