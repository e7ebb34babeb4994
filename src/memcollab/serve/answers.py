"""The message in an answer of chat completions, read off the bytes that passed (pure).

Streamed pieces are put together as OpenAI's clients do. Of several choices the first is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import orjson

from memcollab.records import Usage

_LINE = re.compile("\r\n|\r|\n")
_DONE = "[DONE]"


class Answered(NamedTuple):
    """What the model said, as a message of the OpenAI chat form, and what it cost."""

    message: dict[str, Any]
    usage: Usage


def answered(headers: Mapping[str, str], content: bytes) -> Answered | None:
    """The message in the body of an answer; None where it broke off before its end.

    Args:
        headers: ``content-type`` and ``content-encoding`` matter.
        content: the body as it passed, compressed or not.

    Raises:
        ValueError: it is in no form that is known here.
    """
    coding = headers.get("content-encoding", "")
    try:
        text = httpx.Response(200, headers={"content-encoding": coding}, content=content).content
    except httpx.DecodingError as error:
        raise ValueError(f"the body is no {coding!r}") from error
    try:
        if headers.get("content-type", "").lower().startswith("text/event-stream"):
            return _streamed(text.decode())
        return _whole(orjson.loads(text))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"no chat completion: {type(error).__name__} {error}") from error


def _whole(answer: Any) -> Answered:
    message = dict(answer["choices"][0]["message"])
    return Answered(_said(message), _usage(answer.get("usage")))


def _streamed(text: str) -> Answered | None:
    message: dict[str, Any] = {"role": "assistant"}
    usage, ended = Usage(), False
    for data in _events(text):
        if data == _DONE:
            ended = True
            break
        piece = orjson.loads(data)
        usage = _usage(piece.get("usage")) if piece.get("usage") else usage
        for choice in piece.get("choices") or ():
            if choice.get("index", 0) == 0:
                _add(message, choice.get("delta") or {})
                ended = ended or choice.get("finish_reason") is not None
    return Answered(_said(message), usage) if ended else None


def _events(text: str) -> Iterator[str]:
    """The data of each server-sent event (WHATWG HTML, 9.2.6)."""
    data: list[str] = []
    for line in _LINE.split(text):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Text is joined; pieces of a tool call belong to the call of their index."""
    for name in ("content", "refusal"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    for place, piece in enumerate(delta.get("tool_calls") or ()):
        calls = message.setdefault("tool_calls", {})
        call = calls.setdefault(piece.get("index", place), {"id": None, "function": {}})
        call["id"] = call["id"] or piece.get("id")
        for name, text in (piece.get("function") or {}).items():
            if text is not None:
                call["function"][name] = call["function"].get(name, "") + text


def _said(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    if message.get("content") is None and message.get("refusal"):
        message["content"] = message["refusal"]
    return message


def _usage(told: Any) -> Usage:
    """Tokens as the upstream counted them; what is no count is not known."""
    counts = told if isinstance(told, dict) else {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    found = {ours: counts.get(theirs) for ours, theirs in names.items()}
    return Usage(**{name: n for name, n in found.items() if type(n) is int and 0 <= n < 2**53})
