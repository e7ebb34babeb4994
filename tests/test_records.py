"""Records: frozen values whose ids are hashes of what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memcollab.records import (
    Agent,
    Category,
    Constraint,
    LearnReport,
    Step,
    Task,
    Trajectory,
    Usage,
    Verdict,
    family_of,
)


def run(**changes: object) -> Trajectory:
    values = {
        "task": Task(text="Sort it"),
        "agent": Agent(model="owl-7b"),
        "steps": (Step(role="assistant", content="done"),),
        "verdict": Verdict(solved=True),
    }
    return Trajectory.model_validate({**values, **changes})


def test_where_and_when_a_run_was_read_is_not_what_it_is() -> None:
    """Origin, usage and the judge's name leave the id alone; content, verdict and trial do not."""
    assert run(origin="a:1", usage=Usage(seconds=3)).id == run(origin="b:9").id
    assert run(run="2").id != run().id
    assert run(verdict=Verdict(solved=False)).id != run().id
    assert run(task=Task(text="Sort it", key="world-2")).id != run().id


def test_status_and_support_leave_a_constraints_id_alone() -> None:
    """A constraint that is retired is still that constraint."""
    words = {"when": "a", "enforce": "b", "avoid": "c", "category": Category(name="algebra")}
    constraint = Constraint.model_validate(words)

    assert constraint.model_copy(update={"status": "retired"}).id == constraint.id
    assert constraint.text == "When a, enforce b; avoid c."


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-4-0613", "gpt"),
        ("Qwen2.5-Coder-1.5B", "qwen"),
        ("CodeLlama-34b-Instruct-hf", "llama"),
        ("CodeActAgent-Mistral-7b", "mistral"),
        ("Mixtral-8x7B", "mistral"),
        ("claude-opus-4-8", "claude"),
        ("kimi-k2p5", "kimi"),
        ("o3-mini", "gpt"),
        ("12345", "12345"),
    ],
)
def test_the_family_is_read_off_the_name(model: str, family: str) -> None:
    """Models of one origin share a family, whatever the provider's path."""
    assert family_of(model) == family
    assert Agent(model=model).family == family


@given(st.text(min_size=1))
def test_every_name_has_a_family(model: str) -> None:
    """No name is left without one, and asking never fails."""
    assert family_of(model)


@pytest.mark.parametrize("count", [-1, 2**70])
def test_a_count_that_no_database_holds_is_refused(count: int) -> None:
    """Negative and absurd counts are broken input, named where they come in."""
    with pytest.raises(ValidationError):
        Usage(input_tokens=count)


def test_usage_adds_up_and_unknown_stays_unknown() -> None:
    """A missing figure is no zero; two known ones are summed."""
    both = Usage(turns=1, input_tokens=5) + Usage(turns=2, output_tokens=7)

    assert (both.turns, both.input_tokens, both.output_tokens, both.seconds) == (3, 5, 7, None)
    assert both.tokens == 12


def test_categories_read_and_write_alike() -> None:
    """``name/subcategory`` is the one spelling."""
    assert str(Category.parse("algebra/quadratics")) == "algebra/quadratics"
    assert Category.parse("algebra") == Category(name="algebra")


def test_a_report_says_why_nothing_was_learned() -> None:
    """Each way to learn nothing has its own words; learning something has none."""
    assert "has a verdict" in str(LearnReport(seen=2, unjudged=2).why_nothing)
    refused = LearnReport(
        seen=2, judged=2, contrasts={"discordant": 1}, distilled=1, refused={"url": 1}, writer="w"
    )
    assert "were refused" in str(refused.why_nothing)
    failed = LearnReport(seen=2, judged=2, contrasts={"discordant": 1}, failed=1, writer="w")
    assert "no usable answer" in str(failed.why_nothing)
    assert LearnReport(constraints=1).why_nothing is None
