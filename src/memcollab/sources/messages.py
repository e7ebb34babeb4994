"""Chat messages in the forms that providers and frameworks write → ``Step``s.

Read are: OpenAI chat (also its items of 2025), Anthropic blocks, Gemini parts, Inspect AI,
LangChain, ShareGPT and their like. Of a content made of parts the text is kept; images, audio and
reasoning are dropped (what providers return of it is partly encrypted, and no other model can act
on it). Tool calls keep their arguments as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import orjson

from memcollab.records import Role, Step, ToolCall
from memcollab.sources.rejections import Unfit, shown

ROLES: Final[Mapping[str, Role]] = {
    alias: cast(Role, role)
    for role, aliases in {
        "system": "system developer",
        "user": "user human customer",
        "assistant": "assistant ai model bot gpt agent chatgpt llm",
        "tool": "tool function observation environment ipython tool_result",
    }.items()
    for alias in aliases.split()
}
"""Names of roles, and what they are called here. A mapping may add to them."""

_ROLE_KEYS = ("role", "from", "type", "speaker", "sender", "author")
_CONTENT_KEYS = ("content", "value", "text", "parts", "message", "output")
_PART_KEYS = {
    "text",
    "thought",
    "thoughtSignature",
    "inlineData",
    "fileData",
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
}
_DROPPED = {"reasoning", "thinking", "redacted_thinking"}
_Read = Callable[[Mapping[str, Any]], Iterable[Step]]


def read_steps(messages: object, roles: Mapping[str, Role] = ROLES) -> tuple[Step, ...]:
    """The steps of a list of messages.

    Raises:
        Unfit: ``wrong-type`` when it is no list, or a message has no known role or form.
    """
    if not isinstance(messages, list):
        raise Unfit("wrong-type", f"messages must be a list, not {shown(messages)}")
    steps: list[Step] = []
    for index, message in enumerate(messages):
        try:
            steps.extend(_steps(message, roles))
        except Unfit as problem:
            raise Unfit(problem.reason, f"messages[{index}]{problem.detail}") from None
    return tuple(steps)


def after_prompt(steps: Sequence[Step], task_text: str) -> tuple[Step, ...]:
    """The steps from where the agent begins: without the system messages in front, and without
    the user messages right behind them that state the task (it is known from ``task_text``)."""
    start = 0
    while start < len(steps) and steps[start].role == "system":
        start += 1
    task = task_text.strip()
    while start < len(steps) and steps[start].role == "user":
        text = steps[start].content.strip()
        if text not in task and task not in text:
            break
        start += 1
    return tuple(steps[start:])


def text_of(content: object) -> str:
    """The text of a content: a string, a list of parts, or any other JSON value as JSON text."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, dict) and isinstance(content.get("parts"), list):
        return text_of(content["parts"])
    parts = content if isinstance(content, list) else [content]
    if not all(map(_is_part, parts)):
        return json_text(content)
    return "\n".join(text for part in parts if (text := _part_text(part)))


def json_text(value: object) -> str:
    """``value`` as JSON text. Raises: Unfit ``wrong-type`` when it is nested too deep."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested deeper than orjson goes, or a large integer
        pass
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError, TypeError) as error:
        raise Unfit("wrong-type", f": cannot be written as JSON: {error}") from error


def _is_part(part: object) -> bool:
    """Whether this is a part of a content, and not data that a tool returned as it is."""
    if isinstance(part, str):
        return True
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    return isinstance(kind, str) or part.keys() <= _PART_KEYS


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if part.get("type") in _DROPPED or part.get("thought") is True:
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _steps(message: object, roles: Mapping[str, Role]) -> Iterable[Step]:
    if not isinstance(message, dict):
        raise Unfit("wrong-type", f" must be an object, not {shown(message)}")
    name, content = message.get("role"), message.get("content")
    calls = message.get("tool_calls") or message.get("function_call")
    if isinstance(name, str) and isinstance(content, str) and not calls:
        role = roles.get(name)
        if role is not None and role != "tool":  # most messages of most runs
            return (Step(role=role, content=content),)
    if isinstance(kind := message.get("type"), str) and kind in _ITEMS:
        return _ITEMS[kind](message)
    return _message(message, _role(message, roles))


def _message(message: Mapping[str, Any], role: Role) -> Iterator[Step]:
    key = next((key for key in _CONTENT_KEYS if message.get(key) is not None), "content")
    content = message.get(key)
    parts = [part for part in content if isinstance(part, dict)] if type(content) is list else []
    for part in parts:
        result = _result_part(part)
        if result is not None:
            yield result
    calls = (*_calls(message), *(call for part in parts if (call := _call_part(part))))
    text = text_of(content)
    if not text and role == "tool":
        text = _error_text(message)
    if text or calls or not any(map(_result_part, parts)):
        call_id = _first(message, "tool_call_id", "tool_use_id", "call_id")
        if not isinstance(call_id, str) or role != "tool":
            call_id = None
        yield Step(role=role, content=text, tool_calls=calls, tool_call_id=call_id)


def _role(message: Mapping[str, Any], roles: Mapping[str, Role]) -> Role:
    for key in _ROLE_KEYS:
        name = message.get(key)
        if isinstance(name, dict):
            name = name.get("role")
        if isinstance(name, str):
            role = roles.get(name) or roles.get(name.lower())
            if role is not None:
                return role
            raise Unfit("wrong-type", f".{key} is {shown(name)}. Valid: {', '.join(sorted(roles))}")
    raise Unfit(
        "wrong-type", f" has no role: none of {', '.join(_ROLE_KEYS)} in {shown(list(message))}"
    )


def _error_text(message: Mapping[str, Any]) -> str:
    """What a tool said went wrong, where that is all it said (Inspect AI)."""
    error = message.get("error") or message.get("tool_error")
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def _calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        calls = [*(calls or ()), {"function": legacy}] if isinstance(calls, list | None) else calls
    if calls is None:
        return
    if not isinstance(calls, list):
        raise Unfit("wrong-type", f".tool_calls must be a list, not {shown(calls)}")
    for index, call in enumerate(calls):
        if not isinstance(call, dict):
            raise Unfit("wrong-type", f".tool_calls[{index}] must be an object, not {shown(call)}")
        yield _call(call, f".tool_calls[{index}]")


def _call(call: Mapping[str, Any], where: str) -> ToolCall:
    function = call.get("function")
    inner = cast("Mapping[str, Any]", function) if isinstance(function, dict) else call
    name = function if isinstance(function, str) else _first(inner, "name", "tool", "tool_name")
    if not isinstance(name, str):
        raise Unfit("wrong-type", f"{where} names no tool: {shown(call)}")
    arguments = _first(inner, "arguments", "args", "input", "parameters")
    text = arguments if isinstance(arguments, str) else json_text(arguments or {})
    call_id = _first(call, "id", "call_id", "tool_call_id")
    return ToolCall(name=name, arguments=text, id=call_id if isinstance(call_id, str) else None)


def _call_part(part: Mapping[str, Any]) -> ToolCall | None:
    """A tool call inside a content: Anthropic's ``tool_use``, Gemini's ``functionCall``."""
    gemini = part.get("functionCall") or part.get("function_call")
    if isinstance(gemini, dict):
        return _call(gemini, " content part")
    if part.get("type") in ("tool_use", "tool_call") and isinstance(part.get("name"), str):
        return _call(part, " content part")
    return None


def _result_part(part: Mapping[str, Any]) -> Step | None:
    """A tool's result inside a user's content: ``tool_result``, ``functionResponse``."""
    gemini = part.get("functionResponse") or part.get("function_response")
    if isinstance(gemini, dict):
        return Step(role="tool", content=text_of(gemini.get("response")))
    if part.get("type") != "tool_result":
        return None
    call_id = _first(part, "tool_use_id", "tool_call_id")
    return Step(
        role="tool",
        content=text_of(part.get("content")),
        tool_call_id=call_id if isinstance(call_id, str) else None,
    )


def _called(item: Mapping[str, Any]) -> Iterator[Step]:
    call = _call({**item, "id": _first(item, "call_id", "id")}, "")
    yield Step(role="assistant", tool_calls=(call,))


def _answered(item: Mapping[str, Any]) -> Iterator[Step]:
    call_id = item.get("call_id")
    yield Step(
        role="tool",
        content=text_of(item.get("output")),
        tool_call_id=call_id if isinstance(call_id, str) else None,
    )


def _nothing(_item: Mapping[str, Any]) -> Iterator[Step]:
    return iter(())


# Items of the OpenAI Responses form that are no messages.
_ITEMS: Final[Mapping[str, _Read]] = {
    "function_call": _called,
    "function_call_output": _answered,
    "reasoning": _nothing,
}


def _first(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)
