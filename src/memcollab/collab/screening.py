"""What has to pass the screen on its way into the bank: drafts of a writer, lines of an import."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from memcollab.bank import Bank
from memcollab.distill import Distilled
from memcollab.errors import UsageError
from memcollab.records import Constraint, Draft, Refusal, Trajectory
from memcollab.screen import SourceText, called_tools, final_answers, screen


def model_names(bank: Bank) -> frozenset[str]:
    """Names of every model whose runs the bank holds: no constraint may speak of one."""
    return frozenset(run.agent.model for run in bank.summaries())


def screened(
    result: Distilled, preferred: Trajectory, other: Trajectory, models: Collection[str]
) -> Iterator[tuple[Draft, Refusal | None]]:
    """The drafts of one answer about the two runs, each with its refusal."""
    source = _source_text(preferred, other)
    for draft in result.drafts:
        refusal = screen(draft, source, models)
        yield (_withheld(draft) if refusal and refusal.reason == "secret" else draft), refusal


def _withheld(draft: Draft) -> Draft:
    """The draft to store in place of one that holds a secret, which must not enter the bank even
    as refused. All three parts go: a secret in disguise has no place where it stands."""
    words = dict.fromkeys(("when", "enforce", "avoid"), "[withheld: a secret]")
    return draft.model_copy(update=words)


def beyond_limit(result: Distilled) -> Iterator[tuple[Draft, Refusal]]:
    """The drafts that came beyond what one contrast may yield; no screen lets them in."""
    for draft in result.surplus:
        limit = result.request.limit
        yield draft, Refusal(reason="surplus", detail=f"beyond {limit} of one contrast")


def admission(bank: Bank) -> Callable[[Constraint | Draft], Refusal | None]:
    """The screen for words that come without the runs they were learned from."""
    nothing, models = SourceText(task_text="", run_texts=()), model_names(bank)

    def admit(found: Constraint | Draft) -> Refusal | None:
        words = {part: getattr(found, part) for part in ("when", "enforce", "avoid", "scope")}
        return screen(Draft(contrast_id="", **words), nothing, models)

    return admit


def check_words(bank: Bank, constraint: Constraint, words: Mapping[str, str | None]) -> None:
    """Raises: UsageError: ``constraint`` in other ``words`` (None: its own) does not pass."""
    given = {name: said for name, said in words.items() if said is not None}
    refusal = admission(bank)(constraint.model_copy(update=given))
    if refusal is not None:
        # Of a secret not even the part that gave it away is repeated.
        detail = f" ({refusal.detail})" if refusal.detail and refusal.reason != "secret" else ""
        raise UsageError(
            f"these words for {constraint.id!r} are refused: {refusal.reason}{detail}. "
            "Valid: advice that passes the screen as drafts do. Next: say it otherwise"
        )


def _source_text(preferred: Trajectory, other: Trajectory) -> SourceText:
    runs = (preferred, other)
    texts = tuple(_text(run) for run in runs)
    called = {call.name for run in runs for step in run.steps for call in step.tool_calls}
    return SourceText(
        task_text=preferred.task.text,
        run_texts=texts,
        final_answers=tuple(answer for run in runs for answer in final_answers(_last_words(run))),
        tools=tuple(sorted(called.union(*map(called_tools, texts)))),
    )


def _text(run: Trajectory) -> str:
    """All that was said and done in a run, calls in the form ``name(arguments)``."""
    return "\n".join(
        "\n".join([step.content, *(f"{call.name}({call.arguments})" for call in step.tool_calls)])
        for step in run.steps
    )


def _last_words(run: Trajectory) -> str:
    """The last message of the agent: what stands before it is on the way to the answer."""
    said = (step.content for step in reversed(run.steps) if step.role == "assistant")
    return next(said, "")
