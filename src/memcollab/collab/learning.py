"""From judged runs to constraints: the steps of a learn, each stored as soon as it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from functools import cached_property

from memcollab.bank import AWAITS_TRIAL, Bank, Merge, Pending, Screened, StoredAnswer
from memcollab.collab.intake import Intake, Progress
from memcollab.collab.screening import beyond_limit, model_names, screened
from memcollab.contrast import mixed_tasks, select_contrasts
from memcollab.distill import Distilled, Failed, Request, distil, prompt_hash, request_for
from memcollab.embed import Vectors
from memcollab.merge import Accepted, merge
from memcollab.models import LanguageModel, in_use
from memcollab.recipe import Recipe
from memcollab.records import (
    Constraint,
    Contrast,
    Draft,
    LearnReport,
    Refusal,
    RunSummary,
    Trajectory,
    Usage,
)
from memcollab.scrub import Scrubber
from memcollab.taxonomy import Categoriser

_NAMED_FAILURES = 1000


# ---- contrasts and requests


def choose_contrasts(
    runs: Sequence[RunSummary], recipe: Recipe, strongest_first: Sequence[str], limit: int | None
) -> list[Contrast]:
    """The contrasts that the recipe finds in ``runs``, at most ``limit`` of them."""
    found = select_contrasts(runs, recipe, strongest_first=strongest_first)
    if limit is None:
        return found
    # The best of every task before the second best of any: a cut should cost breadth last, and what
    # the environment told in a task that nobody solved is news where a third pair of a task is not.
    seen: Counter[str] = Counter()
    ranked = []
    for contrast in found:
        rank = seen[contrast.task_id], contrast.kind == "unsolved", contrast.id
        ranked.append((rank, contrast))
        seen[contrast.task_id] += 1
    return [contrast for _, contrast in sorted(ranked, key=lambda entry: entry[0])][:limit]


def report_of(
    intake: Intake, runs: Sequence[RunSummary], contrasts: Sequence[Contrast], recipe: Recipe
) -> LearnReport:
    """What is known before anything is asked: what came in, and what there is to contrast."""
    kinds = Counter(contrast.kind for contrast in contrasts)
    return intake.report().model_copy(
        update={
            "tasks_mixed": mixed_tasks(runs),
            "contrasts": dict(sorted(kinds.items())),
            "recipe": recipe.name,
        }
    )


def open_requests(
    bank: Bank, contrasts: Sequence[Contrast], writer: str, recipe: Recipe
) -> list[Request]:
    """Requests for those contrasts to which the writer has given the bank no answer yet."""
    hashes = {prompt_hash(kind, recipe) for kind in {contrast.kind for contrast in contrasts}}
    waiting = {found.id for found in bank.contrasts(unanswered=(writer, hashes))}
    return [_request(bank, contrast, recipe) for contrast in contrasts if contrast.id in waiting]


def _request(bank: Bank, contrast: Contrast, recipe: Recipe) -> Request:
    preferred, other = _runs_of(bank, contrast)
    return request_for(contrast, preferred.task, preferred, other, recipe)


def _runs_of(bank: Bank, contrast: Contrast) -> tuple[Trajectory, Trajectory]:
    return bank.trajectory(contrast.preferred), bank.trajectory(contrast.other)


# ---- answers


async def ask(
    requests: Sequence[Request],
    writer: LanguageModel,
    keep: Callable[[Distilled], None],
    *,
    parallel: int,
    progress: Progress | None,
) -> dict[str, object]:
    """Put the requests to the writer and ``keep`` each answer as it comes.

    Returns:
        The fields of the report that tell how the asking went.

    Raises:
        ModelUnavailable: the writer answers nothing; what it had answered was kept.
    """
    tiers: Counter[str] = Counter()
    failures: list[str] = []
    usage = Usage()
    done = 0
    answers = distil(requests, writer, parallel=parallel)
    # Closed in this order, however it ends: requests still open are called off while the writer's
    # connections, and the loop they belong to, are there.
    async with in_use(writer), aclosing(answers):
        async for result in answers:
            done += 1
            if progress:
                progress("asking the writer", done, len(requests))
            if isinstance(result, Failed):
                failures.append(f"{result.request.contrast.id}: {result.error}")
                continue
            tiers[result.tier] += 1
            usage = usage + result.answer.usage
            keep(result)
    return {
        "asked": done,
        "failed": len(failures),
        "failures": tuple(failures[:_NAMED_FAILURES]),
        "tiers": dict(tiers),
        "usage": usage,
    }


class Keeper:
    """Stores each answer of one writer, with its screened drafts, at once; one for each learn,
    whose runs are in the bank."""

    def __init__(self, bank: Bank, recipe: Recipe, writer: str, categoriser: Categoriser) -> None:
        self._bank = bank
        self._recipe = recipe
        self._writer = writer
        self._categoriser = categoriser

    @cached_property
    def _models(self) -> frozenset[str]:
        return model_names(self._bank)

    def keep(self, result: Distilled) -> None:
        """Store one answer and what was made of it."""
        request = result.request
        preferred, other = _runs_of(self._bank, request.contrast)
        category = self._categoriser.decide(preferred.task).top
        drafts = [
            Screened(
                draft=draft,
                category=category,
                harness=preferred.agent.harness if draft.scope == "harness" else None,
                refusal=refusal,
                writer=self._writer,
                prompt_hash=request.prompt_hash,
                recipe=self._recipe.name,
            )
            for draft, refusal in self._judged(result, preferred, other)
        ]
        self._bank.save_answer(self._answer(result), drafts)

    def _judged(
        self, result: Distilled, preferred: Trajectory, other: Trajectory
    ) -> Iterator[tuple[Draft, Refusal | None]]:
        if self._recipe.screen:
            yield from screened(result, preferred, other, self._models)
        else:
            yield from ((draft, None) for draft in result.drafts)
        yield from beyond_limit(result)

    def _answer(self, result: Distilled) -> StoredAnswer:
        return StoredAnswer(
            request_id=result.request.prompt.id,
            contrast_id=result.request.contrast.id,
            writer=self._writer,
            prompt_hash=result.request.prompt_hash,
            tier=result.tier,
            text=Scrubber().text(result.answer.text),
            usage=result.answer.usage,
        )


# ---- constraints


def merge_plan(
    pending: Sequence[Pending],
    existing: Sequence[Constraint],
    *,
    similarity: Callable[[Sequence[str], Sequence[str]], Vectors],
    recipe: Recipe,
    quarantined_on_purpose: Collection[str] = (),
) -> Merge:
    """What is to become of pending drafts, in the words of the bank.

    Trusted drafts come first, and join no constraint that waits for trust: its words are a
    stranger's, and support from here would let them out.
    """
    doubtful = {
        one.id
        for one in existing
        if one.status == "quarantined" and one.id not in quarantined_on_purpose
    }
    trusted = [entry for entry in pending if entry.trusted]
    others = [entry for entry in pending if not entry.trusted]
    sound = [one for one in existing if one.id not in doubtful]
    first = _plan(trusted, sound, similarity, recipe)
    held = {one.id: one for one in (*first.assigned.values(), *existing)}
    if not others:
        return first
    second = _plan(others, list(held.values()), similarity, recipe)
    return Merge(
        assigned={**first.assigned, **second.assigned},
        conflicts=sorted({*first.conflicts, *second.conflicts}),
        reason=first.reason,
    )


def _plan(
    pending: Sequence[Pending],
    existing: Sequence[Constraint],
    similarity: Callable[[Sequence[str], Sequence[str]], Vectors],
    recipe: Recipe,
) -> Merge:
    accepted = [
        Accepted(
            draft=entry.draft,
            category=entry.category,
            harness=entry.harness,
            task_id=entry.task_id,
            family_right=entry.family_right,
            family_wrong=entry.family_wrong,
        )
        for entry in pending
    ]
    plan = merge(accepted, existing, similarity, recipe)
    tried_first = recipe.admission == "trial"
    created = [_waiting(each) if tried_first else each for each in plan.created]
    constraints = {constraint.id: constraint for constraint in (*existing, *created)}
    assigned = {draft: constraints[found] for draft, found in plan.belongs.items()}
    reason = AWAITS_TRIAL if tried_first else None
    return Merge(assigned=assigned, conflicts=plan.conflicts, reason=reason)


def _waiting(constraint: Constraint) -> Constraint:
    return constraint.model_copy(update={"status": "quarantined"})


def came_of(bank: Bank, contrasts: Sequence[Contrast], writer: str) -> dict[str, object]:
    """The fields of the report that tell what the drafts about these contrasts came to, whenever
    they were written."""
    drafts = bank.drafts([contrast.id for contrast in contrasts], writer=writer)
    refused = Counter(entry.refusal.reason for entry, _ in drafts if entry.refusal)
    constraints = {found for _, found in drafts if found}
    accepted = len(drafts) - refused.total()
    waiting = {one.id for one in bank.constraints(status="quarantined")}
    return {
        "distilled": len(drafts),
        "accepted": accepted,
        "refused": dict(sorted(refused.items())),
        "constraints": len(constraints),
        "quarantined": len(constraints & waiting),
        "merged": accepted - len(constraints),
    }
