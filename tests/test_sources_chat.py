"""Chat JSONL: the project's own form of runs, its schema and its writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcollab.records import (
    Agent,
    Category,
    Rejected,
    Step,
    Task,
    ToolCall,
    Trajectory,
    Usage,
    Verdict,
)
from memcollab.sources import chat_line, chat_schema, read_runs

RUN: dict[str, Any] = {
    "task": "How many primes are below 20?",
    "task_id": "primes-20",
    "category": "number_theory/primes",
    "agent": {"model": "qwen2.5-7b", "harness": "codeact"},
    "messages": [
        {"role": "system", "content": "You may run Python."},
        {"role": "user", "content": "How many primes are below 20?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "function": {"name": "python", "arguments": '{"code": "…"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "8"},
        {"role": "assistant", "content": "8", "annotations": []},
    ],
    "solved": True,
    "score": 1,
    "judge": "exact match",
    "usage": {"turns": 2, "input_tokens": 210, "seconds": 3.5},
    "run": "1",
    "shown": ["c-0123456789abcdef0123"],
    "created": "2026-01-01",
}


def read(path: Path, *runs: Any) -> list[Trajectory | Rejected]:
    """What reading these lines gives."""
    path.write_bytes(b"".join(orjson.dumps(run) + b"\n" for run in runs))
    return list(read_runs([path]))


def test_every_field_of_the_form_arrives(tmp_path: Path) -> None:
    """A full line becomes a trajectory with each of its fields; unknown ones are passed over."""
    assert read(tmp_path / "r.jsonl", RUN) == [
        Trajectory(
            task=Task(
                text=RUN["task"],
                key="primes-20",
                category=Category(name="number_theory", subcategory="primes"),
            ),
            agent=Agent(model="qwen2.5-7b", harness="codeact", family="qwen"),
            steps=(
                Step(
                    role="assistant",
                    tool_calls=(ToolCall(name="python", arguments='{"code": "…"}', id="1"),),
                ),
                Step(role="tool", tool_call_id="1", content="8"),
                Step(role="assistant", content="8"),
            ),
            verdict=Verdict(solved=True, score=1.0, judge="exact match"),
            usage=Usage(turns=2, input_tokens=210, seconds=3.5),
            run="1",
            shown=("c-0123456789abcdef0123",),
            origin="r.jsonl:1",
        )
    ]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"task": None}, "wrong-type", "task: Input should be a valid string, got None"),
        ({"task": ""}, "wrong-type", "task: String should have at least 1 character"),
        ({"solved": 1}, "wrong-type", "solved: Input should be a valid boolean, got 1"),
        ({"agent": {"harness": "x"}}, "missing-field", "agent.model"),
        ({"agent": None}, "unknown-model", "neither agent nor model"),
        ({"usage": {"turns": -1}}, "wrong-type", "usage.turns: Input should be greater than"),
        ({"usage": {"turns": "2"}}, "wrong-type", "usage.turns: Input should be a valid integer"),
        ({"category": "/x"}, "wrong-type", "category: String should match pattern"),
        ({"shown": "c-1"}, "wrong-type", "shown: Input should be a valid list"),
        (
            {"messages": [{"role": "bot"}]},
            "wrong-type",
            "messages[0].role: Input should be 'system'",
        ),
        ({"messages": [{"content": "x"}]}, "missing-field", "messages[0].role"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(
    changes: dict[str, Any], reason: str, detail: str, tmp_path: Path
) -> None:
    """The rejection says which field, what it must be and what it is, and the schema agrees."""
    (rejected,) = read(tmp_path / "r.jsonl", {**RUN, **changes})
    assert isinstance(rejected, Rejected)
    assert (rejected.origin, rejected.reason) == ("r.jsonl:1", reason)
    assert rejected.detail.startswith(detail)
    assert not _validator().is_valid({**RUN, **changes})


def test_the_schema_is_one_and_the_example_is_valid() -> None:
    """The published JSON Schema is a valid schema, and a run that is read is valid under it."""
    jsonschema.Draft202012Validator.check_schema(chat_schema())
    _validator().validate(RUN)


def test_the_published_schema_is_the_one_of_the_code() -> None:
    """docs/reference/chat.schema.json is generated; this says so when it is stale."""
    published = Path(__file__).parent.parent / "docs" / "reference" / "chat.schema.json"
    assert orjson.loads(published.read_bytes()) == chat_schema()


def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(chat_schema())


# Text that UTF-8 can hold; a control character or a line end is JSON's to escape.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
COUNT = st.none() | st.integers(0, 10**6)
CALLS = st.lists(st.builds(ToolCall, name=NAME, arguments=TEXT, id=st.none() | NAME), max_size=2)
STEPS = st.lists(
    st.builds(Step, role=st.just("assistant"), content=TEXT, tool_calls=CALLS.map(tuple))
    | st.builds(Step, role=st.just("tool"), content=TEXT, tool_call_id=st.none() | NAME)
    | st.builds(Step, role=st.sampled_from(["user", "system"]), content=TEXT),
    max_size=4,
)
TASKS = st.builds(
    Task,
    text=TEXT.filter(bool),
    key=st.none() | NAME,
    category=st.none() | st.builds(Category, name=NAME, subcategory=st.none() | NAME),
)


@st.composite
def runs(draw: st.DrawFn) -> Trajectory:
    """A run as any source may give it: it begins with what the agent did."""
    solved = draw(st.none() | st.booleans())
    return Trajectory(
        task=draw(TASKS),
        agent=Agent(model=f"m{draw(NAME)}", harness=draw(st.none() | NAME)),
        steps=(Step(role="assistant", content="first"), *draw(STEPS)),
        verdict=Verdict(
            solved=solved,
            score=draw(st.none() | st.floats(-10, 10)),
            judge=draw(st.none() | NAME),
            reason="crashed" if solved is None else None,
        ),
        usage=Usage(turns=draw(COUNT), output_tokens=draw(COUNT)),
        run=draw(st.none() | NAME),
        shown=tuple(draw(st.lists(NAME, max_size=2))),
    )


@given(run=runs())
@settings(deadline=None)
def test_writing_and_reading_gives_the_same_run(
    run: Trajectory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any run written as chat JSONL is valid under the schema and reads as the run it was."""
    line = chat_line(run)
    _validator().validate(line)
    (again,) = read(tmp_path_factory.mktemp("chat") / "r.jsonl", line)
    assert isinstance(again, Trajectory), again
    assert again.id == run.id
    assert again == run.model_copy(update={"origin": "r.jsonl:1"})
