"""Messages as providers and frameworks write them → steps."""

from __future__ import annotations

from typing import Any

import pytest

from memcollab.records import Step, ToolCall
from memcollab.sources.messages import ROLES, after_prompt, read_steps, text_of
from memcollab.sources.rejections import Unfit

SEARCH = ToolCall(name="search", arguments='{"q":"x"}', id="1")
CALLED = Step(role="assistant", tool_calls=(SEARCH,))
ANSWERED = Step(role="tool", content="found", tool_call_id="1")

FORMS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "search", "arguments": '{"q":"x"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "found"},
    ],
    "flat": [
        {
            "role": "assistant",
            "content": [{"type": "reasoning", "reasoning": "gAAAB"}],
            "tool_calls": [{"id": "1", "name": "search", "arguments": {"q": "x"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "found"}]},
    ],
    "inspect": [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "function": "search", "arguments": {"q": "x"}}],
        },
        {
            "role": "tool",
            "tool_call_id": "1",
            "content": "",
            "error": {"type": "unknown", "message": "found"},
        },
    ],
    "anthropic": [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "…", "signature": "gAAAB"},
                {"type": "tool_use", "id": "1", "name": "search", "input": {"q": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "content": "found"}],
        },
    ],
    "openai items": [
        {"type": "reasoning", "encrypted_content": "gAAAB"},
        {"type": "function_call", "call_id": "1", "name": "search", "arguments": '{"q":"x"}'},
        {"type": "function_call_output", "call_id": "1", "output": "found"},
    ],
    "langchain": [
        {
            "type": "ai",
            "content": "",
            "tool_calls": [{"id": "1", "name": "search", "args": {"q": "x"}}],
        },
        {"type": "tool", "content": "found", "tool_call_id": "1"},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_tool_call_gives_the_same_steps(form: str) -> None:
    """A call and its result read alike whoever wrote them; reasoning is not kept."""
    assert read_steps(FORMS[form]) == (CALLED, ANSWERED)


def test_gemini_parts_are_read() -> None:
    """Gemini names its roles and parts otherwise and gives calls no id."""
    steps = read_steps(
        [
            {"role": "user", "parts": [{"text": "look"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "search", "args": {"q": "x"}}}]},
            {"role": "function", "parts": [{"functionResponse": {"response": {"hits": 2}}}]},
        ]
    )
    assert steps == (
        Step(role="user", content="look"),
        Step(role="assistant", tool_calls=(SEARCH.model_copy(update={"id": None}),)),
        Step(role="tool", content='{"hits":2}'),
    )


@pytest.mark.parametrize("alias", ["human", "user", "Human", "USER"])
def test_role_names_of_others_are_known(alias: str) -> None:
    """ShareGPT's from/value and other names of roles are read in any case."""
    steps = read_steps([{"from": alias, "value": "hi"}, {"from": "gpt", "value": "yo"}])
    assert steps == (Step(role="user", content="hi"), Step(role="assistant", content="yo"))


def test_a_mapping_may_name_further_roles() -> None:
    """Names that only one framework has come from the mapping."""
    roles = {**ROLES, "solver": "assistant"}
    assert read_steps([{"role": "solver", "content": "x"}], roles)[0].role == "assistant"


@pytest.mark.parametrize(
    ("messages", "detail"),
    [
        ("text", "messages must be a list, not 'text'"),
        ([1], "messages[0] must be an object, not 1"),
        ([{"role": "wizard", "content": ""}], "messages[0].role is 'wizard'. Valid: agent, ai,"),
        ([{"content": "x"}], "messages[0] has no role"),
        ([{"role": "assistant", "tool_calls": 3}], "messages[0].tool_calls must be a list, not 3"),
        ([{"role": "assistant", "tool_calls": [3]}], "messages[0].tool_calls[0] must be an object"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0] names no tool"),
    ],
)
def test_what_is_no_message_is_named_with_its_place(messages: Any, detail: str) -> None:
    """The detail says which message, which field and what was found."""
    with pytest.raises(Unfit) as caught:
        read_steps(messages)
    assert caught.value.reason == "wrong-type"
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("x", "x"),
        (["a", {"type": "text", "text": "b"}, {"type": "image", "image": "data:…"}], "a\nb"),
        ({"parts": ["a", "b"]}, "a\nb"),
        ({"text": "a", "score": 1}, '{"text":"a","score":1}'),
        ([{"id": 1}, {"id": 2}], '[{"id":1},{"id":2}]'),
        ([], ""),
        (12, "12"),
    ],
)
def test_text_of_keeps_the_text_and_data_as_json(content: Any, text: str) -> None:
    """Of parts the text is kept; what a tool returned as data stays whole, as JSON."""
    assert text_of(content) == text


def test_a_run_begins_behind_the_prompt() -> None:
    """System messages in front and the user's statement of the task are not part of the run."""
    steps = (
        Step(role="system", content="be good"),
        Step(role="user", content="Solve it: Add 1 and 1. Answer shortly."),
        Step(role="user", content="Oh, and hurry."),
        Step(role="assistant", content="2"),
        Step(role="user", content="Add 1 and 1."),
    )
    assert after_prompt(steps, "Add 1 and 1.") == steps[2:]
    assert after_prompt(steps[3:], "Add 1 and 1.") == steps[3:]
