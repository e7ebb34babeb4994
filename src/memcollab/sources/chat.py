"""Chat JSONL, the project's own form: one run a line, messages as in the OpenAI chat API.

``chat_schema()`` is its JSON Schema and ``chat_line()`` writes it; design/sources.md shows it.
Types are strict: ``"solved": "yes"`` is rejected, not guessed at. Fields that the form does not
know are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memcollab.records import Rejected, Trajectory, Usage, Verdict
from memcollab.sources.files import RunFile
from memcollab.sources.jsontext import json_lines, parse
from memcollab.sources.messages import after_prompt, read_steps
from memcollab.sources.nouns import agent_record, task_record
from memcollab.sources.rejections import Unfit, rejected, shown

_NAMES = frozenset(["task", "task_id", "messages", "agent", "model", "solved"])
_NAMED = {b"task", b"messages"}
_HEAD = 64 * 1024
_TRIED = 5
_NAME = re.compile(rb'"(\w+)"\s*:')
Count = Annotated[int, Field(ge=0, lt=2**53)]
Amount = Annotated[float, Field(ge=0, lt=2**53, allow_inf_nan=False)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Part(_Form):
    """A part of a content. Text is kept; images, audio and reasoning are not."""

    type: str
    text: str | None = None


class Function(_Form):
    """A tool's name and its arguments, as JSON text or as the value itself."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class Call(_Form):
    """A tool call."""

    function: Function
    id: str | None = None
    type: str = "function"


class Message(_Form):
    """One message, as in the OpenAI chat API."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class ChatAgent(_Form):
    """Which model worked, inside which harness."""

    model: str = Field(min_length=1)
    family: str | None = Field(
        None, description="models of one origin; read off the name if absent"
    )
    harness: str | None = Field(None, description="the loop, tools and answer format around it")


class ChatUsage(_Form):
    """What the run cost; what is not known is left out."""

    turns: Count | None = Field(None, description="model calls; else the assistant messages")
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    seconds: Amount | None = None
    cost_usd: Amount | None = None


class ChatRun(_Form):
    """One run: one line of a chat JSONL file. Either ``agent`` or ``model`` is needed."""

    task: str = Field(min_length=1, description="what was to be done, as the agent was told")
    messages: list[Message] = Field(
        description="the conversation; system messages in front and the user message that states "
        "the task may be there or not"
    )
    agent: ChatAgent | None = None
    model: str | None = Field(None, description="short for agent.model", min_length=1)
    solved: bool | None = Field(None, description="null or absent: nobody judged it")
    task_id: str | None = Field(None, description="tells apart tasks of equal text")
    category: str | None = Field(
        None, description="category or category/subcategory", pattern="^[^/]"
    )
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    judge: str | None = Field(None, description="who or what said whether it is solved")
    reason: str | None = Field(
        None, description="why it is not judged: crashed, limit …", max_length=80
    )
    usage: ChatUsage | None = None
    run: str | None = Field(None, description="name of this attempt, if there are several")
    shown: list[str] | None = Field(None, description="ids of the constraints the agent was given")


def chat_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line of chat JSONL."""
    schema = ChatRun.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MemCollab chat JSONL: one run",
        **{key: value for key, value in schema.items() if key != "title"},
        "anyOf": [_given("agent"), _given("model")],
    }


def _given(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def chat_line(run: Trajectory) -> dict[str, Any]:
    """A run as one line of chat JSONL; reading it gives a run with the same id."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": run.task.text}]
    for step in run.steps:
        message: dict[str, Any] = {"role": step.role, "content": step.content}
        if step.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in step.tool_calls
            ]
        if step.tool_call_id is not None:
            message["tool_call_id"] = step.tool_call_id
        messages.append(message)
    category = run.task.category
    line = {
        "task": run.task.text,
        "task_id": run.task.key,
        "category": str(category) if category else None,
        "agent": run.agent.model_dump(exclude_none=True),
        "messages": messages,
        **run.verdict.model_dump(),
        "usage": run.usage.model_dump(exclude_none=True) or None,
        "run": run.run,
        "shown": list(run.shown) or None,
    }
    return {key: value for key, value in line.items() if value is not None or key == "solved"}


class ChatSource:
    """Chat JSONL files: plain, compressed or in archives."""

    name = "chat"

    def claims(self, file: RunFile) -> bool:
        """``.jsonl`` and ``.ndjson`` files, unless their first lines are of another form."""
        if file.path.suffix.lower() not in (".jsonl", ".ndjson"):
            return False
        head = file.peek(_HEAD)
        whole, _, rest = head.rpartition(b"\n")
        if len(head) < _HEAD:
            whole = head
        lines = [line for line in whole.splitlines() if line.strip()][:_TRIED]
        values = [value for line in lines if isinstance(value := _tried(line), dict)]
        if values:
            return any(map(_fits, values))
        if not lines and rest:  # the first line is longer than what was looked at
            return _NAMED.issubset(_NAME.findall(rest))
        return bool(lines)  # none is an object: each line is rejected by name

    def read(self, file: RunFile) -> Iterator[Trajectory | Rejected]:
        """Its runs, line by line."""
        for number, value in json_lines(file):
            origin = f"{file.name}:{number}"
            try:
                yield _trajectory(value, origin)
            except Unfit as problem:
                yield rejected(origin, problem)


def _fits(value: dict[str, Any]) -> bool:
    """Whether this is meant as a run of ours: judged generously, so that faults get a name."""
    return len(_NAMES & value.keys()) > 1 and ("task" in value or "messages" in value)


def _tried(line: bytes) -> Any:
    try:
        return parse(line)
    except Unfit:
        return None


def _trajectory(value: Any, origin: str) -> Trajectory:
    if isinstance(value, Unfit):
        raise value
    try:
        run = ChatRun.model_validate(value)
    except ValidationError as error:
        raise _unfit(error) from error
    model = run.agent.model if run.agent else run.model
    if model is None:
        raise Unfit("unknown-model", "neither agent nor model is given")
    task = task_record(run.task, run.task_id, run.category)
    steps = after_prompt(read_steps(value["messages"]), run.task)
    if not steps and run.solved is not None:
        raise Unfit("no-messages", "nothing behind the task's own text")
    harness, family = (run.agent.harness, run.agent.family) if run.agent else (None, None)
    return Trajectory(
        task=task,
        agent=agent_record(model, harness, family or ""),
        steps=steps,
        verdict=_verdict(run),
        usage=Usage(**run.usage.model_dump()) if run.usage else Usage(),
        run=run.run,
        shown=tuple(run.shown or ()),
        origin=origin,
    )


def _verdict(run: ChatRun) -> Verdict:
    reason = (run.reason or "no verdict") if run.solved is None else None
    return Verdict(solved=run.solved, score=run.score, judge=run.judge, reason=reason)


def _unfit(error: ValidationError) -> Unfit:
    """The first fault: its place, what is wrong, what was found."""
    fault = error.errors(include_url=False)[0]
    where = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]
    ).lstrip(".")
    if fault["type"] == "missing":
        return Unfit("missing-field", where)
    if not fault["loc"]:
        return Unfit("wrong-type", f"a run must be an object, not {shown(fault['input'])}")
    return Unfit("wrong-type", f"{where}: {fault['msg']}, got {shown(fault['input'])}")
