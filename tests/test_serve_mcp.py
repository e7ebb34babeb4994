"""The MCP door, asked by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from tests.test_collab import WRITER, write_runs

from memcollab import MemCollab
from memcollab.bank import Bank

TASK = "Count the hands that hold two kings."


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)
    return tmp_path / "team.db"


def started(bank: Path) -> StdioServerParameters:
    """The SDK hands a process little of the environment; it must import what is tested here."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "memcollab.cli", "mcp", "--bank", str(bank)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_task_from_recall_to_outcome_over_stdio(bank: Path) -> None:
    """A real process: recall, show, report, submit; what was said is in the bank afterwards."""
    with Bank.open(bank) as opened:
        [known, *_] = opened.constraints()
    process = started(bank)

    async def ask() -> str:
        async with Client(process) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {"recall", "report_outcome", "submit_run", "show_constraint"}
            found = await client.call_tool("recall", {"task": TASK, "agent": "m"})
            id = found.structured_content["recall_id"]
            shown = await client.call_tool("show_constraint", {"constraint_id": known.id})
            assert shown.structured_content["sources"]
            read = await client.read_resource(f"memcollab://constraints/{known.id}")
            assert known.id in read.contents[0].text
            await client.call_tool("report_outcome", {"recall_id": id, "solved": True})
            steps = [{"role": "assistant", "content": "4"}]
            run = {"task": "2+2?", "agent": "m", "steps": steps, "solved": True}
            report = await client.call_tool("submit_run", run)
            assert report.structured_content["seen"] == 1
            prompt = await client.get_prompt("begin_task", {"task": TASK})
            assert TASK in prompt.messages[0].content.text
            return id

    id = asyncio.run(ask())
    with Bank.open(bank) as opened:
        assert opened.recall(id).task.text == TASK
        assert [judged.outcome.recall_id for judged in opened.outcomes()] == [id]


def test_errors_name_the_next_step_and_input_is_bounded(bank: Path) -> None:
    """An unknown id and an endless task are errors that a model can act on."""
    process = started(bank)

    async def ask() -> None:
        async with Client(process) as client:
            unknown = await client.call_tool("report_outcome", {"recall_id": "no", "solved": True})
            assert unknown.is_error
            assert "Next:" in unknown.content[0].text
            endless = await client.call_tool("recall", {"task": "x" * 100_001})
            assert endless.is_error
            assert "100000" in endless.content[0].text

    asyncio.run(ask())
