"""The proxy before a real local model: tools, a streamed answer, and the run that it records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.serving import service_over, serving
from tests.test_collab import WRITER, write_runs
from tests.test_serve_proxy_recording import CALL, USER

from memcollab import MemCollab

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds up.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
ASKED: dict[str, Any] = {"model": "coder-0.5b", "temperature": 0, "max_tokens": 8, "tools": [TOOL]}


@pytest.mark.lab
def test_a_real_local_model_is_guided_and_its_run_recorded(tmp_path: Path) -> None:
    """A 0.5B model behind a real server is given tools, then a tool's result, and streams: what the
    client read is what was recorded, in one run with what it cost, without the guidance."""
    lab = os.environ.get("MEMCOLLAB_LAB_URL")
    if not lab:
        pytest.skip("no local model: set MEMCOLLAB_LAB_URL to an OpenAI-compatible server")
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)
    with serving(service_over(tmp_path / "team.db", upstream=lab)) as url:
        client = openai.OpenAI(api_key="none", base_url=f"{url}/proxy/v1", max_retries=0)
        asked = client.chat.completions.with_raw_response
        first = asked.create(messages=[USER], **ASKED)  # type: ignore[call-overload]
        recall = first.headers["memcollab-recall"]
        assert first.headers["memcollab-memory"] == "guided"
        spent = first.parse().usage
        # A model so small seldom calls a tool in the right form, so here it has called one.
        called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        result = {"role": "tool", "tool_call_id": CALL["id"], "content": "3"}
        streamed = asked.create(  # type: ignore[call-overload]
            messages=[USER, called, result],
            stream=True,
            stream_options={"include_usage": True},
            **ASKED,
        )
        assert streamed.headers["memcollab-recall"] == recall
        chunks = list(streamed.parse())
        told = {"recall_id": recall, "solved": False}
        assert httpx.post(f"{url}/v1/outcomes", json=told).status_code == 200
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    with MemCollab(tmp_path / "team.db") as memory:
        (run,) = [
            run
            for each in memory.bank.summaries()
            if (run := memory.bank.trajectory(each.id)).run == recall
        ]
        guidance = memory.bank.recall(recall).guidance
        assert memory.bank.verify().ok
    assert [step.role for step in run.steps] == ["assistant", "tool", "assistant"]
    assert [call.name for call in run.steps[0].tool_calls] == ["add"]
    assert run.steps[-1].content == text != ""
    assert guidance
    assert not any(guidance in step.content for step in run.steps)
    assert run.verdict.solved is False
    assert run.usage.output_tokens == spent.completion_tokens + chunks[-1].usage.completion_tokens
