"""A small world for the tests of banks: runs, contrasts, answers, drafts, a plan, a recall."""

from __future__ import annotations

import io
from collections.abc import Sequence

from memcollab.bank import Bank, Merge, Pending, Screened, StoredAnswer
from memcollab.records import (
    Agent,
    Category,
    CategoryDecision,
    CategoryGuess,
    Constraint,
    Contrast,
    Draft,
    Recall,
    RecallEntry,
    Refusal,
    Step,
    Task,
    ToolCall,
    Trajectory,
    Usage,
    Verdict,
)

MATHS = Category(name="mathematics", subcategory="counting")


def run(
    number: int,
    model: str,
    solved: bool | None,
    *,
    category: Category | None = MATHS,
    usage: Usage | None = None,
) -> Trajectory:
    """A run of ``model`` on task ``number``."""
    text = f"In how many ways can {number} guests sit around a table?"
    call = ToolCall(name="python", arguments='{"code": "1"}', id="call-1")
    return Trajectory(
        task=Task(text=text, category=category),
        agent=Agent(model=model, harness="table"),
        steps=(
            Step(role="user", content=text),
            Step(role="assistant", content=f"{model} thinks", tool_calls=(call,)),
            Step(role="tool", content="1", tool_call_id="call-1"),
            Step(role="assistant", content=f"{model} says {number}"),
        ),
        verdict=Verdict(solved=solved, score=None if solved is None else float(solved)),
        usage=usage or Usage(input_tokens=100, seconds=1.5),
        run="1",
        shown=("c-00000000000000000000",),
        origin=f"runs.jsonl:{number}",
    )


def pair(number: int) -> tuple[Trajectory, Trajectory]:
    """The right and the wrong run of task ``number``."""
    return run(number, "gpt-4", True), run(number, "qwen2.5-7b", False)


def contrast_of(number: int) -> Contrast:
    """The contrast of ``pair(number)``."""
    right, wrong = pair(number)
    return Contrast(task_id=right.task.id, kind="discordant", preferred=right.id, other=wrong.id)


def answer_to(
    contrast: Contrast,
    *,
    request: str = "",
    writer: str = "gpt-5",
    text: str = "",
    seconds: float | None = None,
) -> StoredAnswer:
    """What a writer said about ``contrast``."""
    return StoredAnswer(
        request_id=request or f"request-{contrast.id}",
        contrast_id=contrast.id,
        writer=writer,
        prompt_hash="prompt-1",
        tier="json",
        text=text or f"an answer about {contrast.id}",
        usage=Usage(output_tokens=10, seconds=seconds, cost_usd=0.5),
    )


def screened(contrast: Contrast, words: str, refusal: str | None = None) -> Screened:
    """A draft about ``contrast``, accepted or refused."""
    return Screened(
        draft=Draft(contrast_id=contrast.id, when=words, enforce="this", avoid="that"),
        category=MATHS,
        harness="table",
        refusal=Refusal(reason=refusal, detail="7") if refusal else None,
        writer="gpt-5",
        prompt_hash="prompt-1",
        recipe="default",
    )


def by_first_word(pending: Sequence[Pending], existing: Sequence[Constraint]) -> Merge:
    """A plan: drafts with the same first word are one constraint, founded by the first of them."""
    places = {constraint.when.split()[0]: constraint for constraint in existing}
    assigned = {}
    for entry in pending:
        draft = entry.draft
        founded = Constraint(
            when=draft.when, enforce=draft.enforce, avoid=draft.avoid, category=entry.category
        )
        assigned[draft.id] = places.setdefault(draft.when.split()[0], founded)
    return Merge(assigned)


def recall_of(number: int, shown: Sequence[Constraint] = ()) -> Recall:
    """The recall of that number, which gave the constraints ``shown``, or abstained."""
    entries = tuple(
        RecallEntry(constraint=constraint, score=0.5, parts={"anchor": 0.5}, reason="alike")
        for constraint in shown
    )
    guess = CategoryGuess(category=MATHS, probability=0.9)
    return Recall(
        id=f"recall-{number:020x}",
        task=Task(text="a new task"),
        agent=Agent(model="smollm2-135m"),
        decision=CategoryDecision(guesses=(guess,), method="classifier"),
        entries=entries,
        abstained=None if entries else "nothing is near",
        guidance="\n".join(constraint.text for constraint in shown),
        timings={"embed": 0.2},
    )


def exported(bank: Bank, *, runs: bool = True) -> bytes:
    """The bank as JSONL."""
    stream = io.BytesIO()
    bank.export(stream, runs=runs)
    return stream.getvalue()
