"""What an answer says, read off its bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memcollab.serve.answers import answered

words = st.text(max_size=12)
call = st.fixed_dictionaries({"name": st.text(min_size=1, max_size=8), "arguments": words})


def whole(message: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message}], **fields}).encode()


def event(**delta: Any) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def read(content: bytes, kind: str = "text/event-stream", coding: str = "") -> Any:
    headers = {"content-type": kind, "content-encoding": coding}
    return answered({k: v for k, v in headers.items() if v}, content)


@given(st.lists(words), st.lists(call, max_size=3), st.integers(1, 5), st.booleans())
def test_streamed_pieces_make_the_message_that_was_not_streamed(
    pieces: list[str], calls: list[dict[str, str]], step: int, crlf: bool
) -> None:
    """Text is joined, line separators of Unicode and all, and each piece of a tool call goes to the
    call of its index."""
    events = [event(role="assistant", content=""), *(event(content=piece) for piece in pieces)]
    for index, one in enumerate(calls):
        first = {"index": index, "id": f"call-{index}", "type": "function"}
        events.append(event(tool_calls=[{**first, "function": {"name": one["name"]}}]))
    for at in range(0, 12, step):
        for index, one in enumerate(calls):
            part = {"arguments": one["arguments"][at : at + step]}
            events.append(event(tool_calls=[{"index": index, "function": part}]))
    content = b"".join([*events, b": still here\n\n", b"data: [DONE]\n\n"])
    found = read(content.replace(b"\n\n", b"\r\n\r\n") if crlf else content)
    assert found.message["content"] == "".join(pieces)
    names = [(c["id"], c["function"]) for c in found.message.get("tool_calls", [])]
    assert names == [(f"call-{index}", one) for index, one in enumerate(calls)]


@pytest.mark.parametrize(
    ("coding", "squeezed"),
    [
        ("", bytes),
        ("gzip", gzip.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
    ],
)
def test_an_answer_is_read_in_every_encoding(coding: str, squeezed: Any) -> None:
    """With what it cost, where upstream says so."""
    content = whole({"role": "assistant", "content": "é"}, usage={"prompt_tokens": 3, "x": {}})
    found = read(squeezed(content), "application/json; charset=utf-8", coding)
    assert found.message == {"role": "assistant", "content": "é"}
    assert (found.usage.input_tokens, found.usage.output_tokens) == (3, None)


def test_usage_stands_in_the_last_event() -> None:
    """As ``stream_options`` asks for it; events without choices say nothing else."""
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\n'
    found = read(event(content="a") + last + b"data: [DONE]\n\n")
    assert (found.message["content"], found.usage.tokens) == ("a", 7)


def test_of_several_choices_the_first_is_taken() -> None:
    """One run has one answer."""
    second = {"choices": [{"index": 1, "delta": {"content": "b"}}]}
    other = b"data: " + json.dumps(second).encode() + b"\n\n"
    assert read(other + event(content="a") + b"data: [DONE]\n\n").message["content"] == "a"


def test_a_refusal_is_what_was_said() -> None:
    """Also where there is no content."""
    found = read(whole({"role": "assistant", "content": None, "refusal": "no"}), "application/json")
    assert found.message["content"] == "no"


def test_an_answer_that_broke_off_is_none() -> None:
    """Neither the end of the stream nor a reason to finish came."""
    assert read(event(content="a") + b"data: {") is None
    assert read(b"") is None
    assert read(event(content="a") + b'data: {"choices": [{"finish_reason": "stop"}]}\n\n')


@pytest.mark.parametrize(
    ("content", "kind", "coding"),
    [
        (b"<html>", "text/html", ""),
        (b"[]", "application/json", ""),
        (b'{"choices": []}', "application/json", ""),
        (b'{"choices": [{"message": 3}]}', "application/json", ""),
        (b"not gzip", "application/json", "gzip"),
        (b"data: 3\n\n", "text/event-stream", ""),
        (b"data: {\n\n", "text/event-stream", ""),
        (b'data: {"choices": [{"delta": {"content": 3}}]}\n\n', "text/event-stream", ""),
        (b'data: {"choices": [{"delta": {"tool_calls": [3]}}]}\n\n', "text/event-stream", ""),
        (b"\xff", "text/event-stream", ""),
    ],
)
def test_what_is_no_chat_completion_is_told(content: bytes, kind: str, coding: str) -> None:
    """As one kind of error, whatever is wrong with it."""
    with pytest.raises(ValueError):  # noqa: PT011 - the class is what is promised
        read(content, kind, coding)
