"""The Model Context Protocol: the memory as four tools, two kinds of resources and one prompt.

``build`` takes what gives the memory of a request, so that one server serves one bank over standard
input and output (``memcollab mcp``) or, over streamable HTTP, the bank of each request.

Texts that come in are bounded by ``MOST_TEXT`` and a run by ``MOST_STEPS``; what exceeds them is an
error that says so. Errors of ours are told to the model, with the next step; others stay inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from pydantic import Field

from memcollab import __version__
from memcollab.collab import MemCollab
from memcollab.errors import MemCollabError, NotFound
from memcollab.records import Agent, Step, Task, Trajectory, Verdict

MOST_TEXT = 100_000
MOST_STEPS = 1_000
MemoryOf = Callable[[Context], MemCollab]
Words = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
INSTRUCTIONS = """\
Shared lessons from earlier attempts. Call recall before a task; when the task has ended call
report_outcome with the recall_id, so that the memory learns which lessons help."""


def build(memory_of: MemoryOf) -> MCPServer:
    """The server; ``memory_of`` gives the memory of a request. It may be called from threads."""
    server = MCPServer("memcollab", instructions=INSTRUCTIONS, version=__version__)
    _add_tools(server, memory_of)
    _add_resources(server, memory_of)

    @server.prompt(title="Begin a task with the shared memory")
    def begin_task(task: str) -> str:
        """A task, with the order to ask the memory first and to report how it ended."""
        return (
            "First call the tool recall with the task below and take its guidance as advice. "
            "When you have finished, call report_outcome with its recall_id.\n\n" + task
        )

    return server


def _add_tools(server: MCPServer, memory_of: MemoryOf) -> None:
    @server.tool()
    def recall(
        ctx: Context, task: Words, agent: Name = "any", harness: Name | None = None
    ) -> dict[str, Any]:
        """Call once before a task: gives the few constraints that fit it, as guidance, or the
        reason why there are none; and the recall_id for report_outcome. agent: your model."""
        try:
            found = memory_of(ctx).recall(task, agent=agent, harness=harness)
        except MemCollabError as error:
            raise ToolError(str(error)) from error
        return {
            "recall_id": found.id,
            "guidance": found.guidance,
            "abstained": found.abstained,
            "constraints": [] if found.withheld else [e.constraint.id for e in found.entries],
        }

    @server.tool()
    def report_outcome(
        ctx: Context,
        recall_id: Id,
        solved: bool | None,
        detail: Annotated[str, Field(max_length=MOST_TEXT)] | None = None,
    ) -> dict[str, Any]:
        """Call once when a task has ended. solved: true, false, or null if nobody judged it."""
        try:
            outcome = memory_of(ctx).record_outcome(recall_id, solved, detail=detail)
        except MemCollabError as error:
            raise ToolError(str(error)) from error
        return outcome.model_dump(mode="json")

    @server.tool()
    def submit_run(
        ctx: Context,
        task: Words,
        agent: Name,
        steps: Annotated[list[Step], Field(min_length=1, max_length=MOST_STEPS)],
        solved: bool | None = None,
    ) -> dict[str, Any]:
        """Add a whole run (chat messages in order), for the memory to learn from later."""
        run = Trajectory(
            task=Task(text=task),
            agent=Agent(model=agent),
            steps=tuple(steps),
            verdict=Verdict(solved=solved),
            origin="mcp",
        )
        try:
            return memory_of(ctx).add_trajectories([run]).model_dump(mode="json")
        except MemCollabError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    def show_constraint(ctx: Context, constraint_id: Id) -> dict[str, Any]:
        """A constraint whole, and the pairs of runs that it was drawn from."""
        try:
            return _shown(memory_of(ctx), constraint_id)
        except MemCollabError as error:
            raise ToolError(str(error)) from error


def _add_resources(server: MCPServer, memory_of: MemoryOf) -> None:
    @server.resource("memcollab://constraints/{id}", mime_type="application/json")
    def constraint(id: str, ctx: Context) -> dict[str, Any]:
        """A constraint and where it comes from."""
        try:
            return _shown(memory_of(ctx), id)
        except NotFound as error:
            raise ResourceNotFoundError(str(error)) from error

    @server.resource("memcollab://categories/{name}", mime_type="application/json")
    def category(name: str, ctx: Context) -> list[dict[str, str]]:
        """The active constraints of a category, by id."""
        held = memory_of(ctx).bank.constraints(status="active")
        return [{"id": c.id, "text": c.text} for c in held if c.category.name == name]


def _shown(memory: MemCollab, id: str) -> dict[str, Any]:
    found = memory.bank.provenance(id)
    held = found.constraint
    sources = [
        {"task": s.task.text, "preferred": s.preferred.id, "other": s.other.id}
        for s in found.sources
    ]
    return {"id": held.id, "text": held.text, **held.model_dump(mode="json"), "sources": sources}
