"""What follows from an assessment: abstain, retire, leave out, rank; each with a reason (pure).

Claims forbid, estimates rank. "Show nothing" has an uplift of 0 and takes part in the ranking: what
ranks below it is not shown for now, and comes back when its estimate does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from memcollab.evidence.assessment import Assessment
from memcollab.evidence.pooling import Pooled
from memcollab.evidence.rules import Rules

Why = Literal["first chance", "ranked", "second chance", "behind nothing", "hurts"]


@dataclass(frozen=True)
class Candidate:
    """A constraint that fits the task. ``relevance`` is how well (0 to 1), as recall scored it."""

    constraint: str
    relevance: float = 1.0


@dataclass(frozen=True)
class Standing:
    """How a constraint stands with an agent. ``score`` is its ``pooled`` uplift with optimism, as
    share solved; ``why`` names the rule and ``reason`` says it in words."""

    constraint: str
    why: Why
    pooled: Pooled
    score: float
    reason: str

    @property
    def shown(self) -> bool:
        """Whether the rules let it be shown."""
        return self.why in ("first chance", "ranked", "second chance")


@dataclass(frozen=True)
class Choice:
    """What to show, in order; what not, and why; or why recall abstains."""

    chosen: tuple[Standing, ...] = ()
    left: tuple[Standing, ...] = ()
    abstained: str | None = None


def unproven(category: str, agent: str, assessment: Assessment | None, rules: Rules) -> str | None:
    """Why ``agent`` is not to be guided in ``category`` yet, where guidance has to be proven to
    help (``Rules.proven``); else None. ``assessment`` None: no outcomes were ever compared."""
    if not rules.proven:
        return None
    uplift = assessment.categories.get((category, agent)) if assessment else None
    if uplift is not None and uplift.helps:
        return None
    known = uplift or "no outcomes with it and without were compared"
    return f"memory is not proven to help {agent!r} in {category!r}: {known}"


def abstention(
    category: str, agent: str, assessment: Assessment | None, rules: Rules, *, coins: bool = True
) -> str | None:
    """Why recall shows nothing of ``category`` to ``agent``; None where it may. What is unproven
    may be tried where ``coins`` are thrown for it (`memcollab.evidence.expose`)."""
    uplift = assessment.categories.get((category, agent)) if assessment else None
    if uplift is not None and uplift.hurts:
        return f"memory hurts {agent!r} in {category!r}: {uplift}"
    return None if coins and rules.holdout else unproven(category, agent, assessment, rules)


def retirements(constraints: Iterable[str], assessment: Assessment) -> dict[str, str]:
    """Which of these constraints hurt in general, with the reason.

    The claim over all agents must say so, and there must be no agent that it probably helps: what
    helps one family and hurts another is left out for the other only.
    """
    found = {}
    for constraint in constraints:
        uplift = assessment.overall.get(constraint)
        if uplift is None or not uplift.hurts:
            continue
        if not any(estimate > 0 for estimate in _for_each_agent(constraint, assessment)):
            found[constraint] = f"hurts in general: {uplift}, and no agent gains from it"
    return found


def standing(
    constraint: str, agent: str, family: str, category: str, assessment: Assessment, rules: Rules
) -> Standing:
    """How ``constraint`` stands with ``agent`` for tasks of ``category``.

    Chances and optimism are the price of learning: without a holdout nothing is learned from what
    is shown, and estimates alone decide.
    """
    uplift = assessment.constraints.get((constraint, agent))
    pooled = assessment.constraint_for(constraint, agent, family, category)
    tried = min(1.0, assessment.judged.get((constraint, agent), 0) / rules.optimism_fades)
    optimism = rules.optimism if rules.holdout else 0.0
    score = pooled.mean + optimism * (1 - tried) * pooled.sd
    estimate = f"{100 * pooled.mean:+.1f} ± {100 * pooled.sd:.1f} points pooled"
    outcomes = _outcomes(constraint, assessment)
    why: Why
    if uplift is not None and uplift.hurts:
        why, reason = "hurts", f"hurts {agent!r}: {uplift}"
    elif rules.holdout and outcomes < rules.first_chance:
        why = "first chance"
        reason = f"new: {outcomes} of {rules.first_chance} judged outcomes; {estimate}"
    elif score <= rules.caution * tried * pooled.sd:
        why, reason = "behind nothing", f"ranks behind nothing: {estimate}"
    else:
        why, reason = "ranked", f"uplift for {agent!r}: {estimate}"
    return Standing(constraint, why, pooled, score, reason)


def choose(
    candidates: Sequence[Candidate],
    *,
    agent: str,
    family: str,
    category: str,
    assessment: Assessment,
    rules: Rules,
    limit: int,
    coins: bool = True,
) -> Choice:
    """Up to ``limit`` candidates for a task of ``category``, in the order to show them.

    More relevant ones come first; of equal relevance (``Rules.relevance_step``) the one of higher
    score. Of the new constraints that are relevant enough (as relevant as what would be shown
    without them), the least tried takes one place: a fair first chance at bounded cost. Where none
    is to be shown, the one behind nothing of which most can be hoped gets a second chance. Retired
    constraints are no candidates: the bank leaves them out. ``coins`` says whether they can be
    thrown for this task.

    Raises:
        ValueError: ``limit`` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be 1 or above, not {limit!r}")
    reason = abstention(category, agent, assessment, rules, coins=coins)
    if reason is not None:
        return Choice(abstained=reason)
    relevance = {each.constraint: each.relevance for each in candidates}
    every = [standing(each, agent, family, category, assessment, rules) for each in relevance]

    def step(each: Standing) -> int:
        # A relevance on the edge of a step is in it, whatever its last digit.
        return math.floor(relevance[each.constraint] / rules.relevance_step + 1e-9)

    def order(each: Standing) -> tuple[int, float, float, str]:
        return -step(each), -each.score, -relevance[each.constraint], each.constraint

    def least_tried(each: Standing) -> tuple[int, tuple[int, float, float, str]]:
        return _outcomes(each.constraint, assessment), order(each)

    shown = sorted((e for e in every if e.why in ("ranked", "first chance")), key=order)
    least = step(shown[limit - 1]) if len(shown) >= limit else -math.inf
    ranked = [each for each in shown if each.why == "ranked" and step(each) >= least]
    new = [each for each in shown if each.why == "first chance" and step(each) >= least]
    if new:
        # One place for the least tried of what is new, the others that the known ones leave free.
        first = min(new, key=least_tried)
        others = sorted(new, key=lambda each: (-step(each), least_tried(each)))
        free = [each for each in others if each is not first]
        ranked = [*ranked[: limit - 1], first, *free]
    chosen = sorted(ranked[:limit], key=order)
    chosen = chosen or _second_chance(every, rules)
    kept = {each.constraint for each in chosen}
    if chosen:
        left = tuple(each for each in every if each.constraint not in kept)
        return Choice(tuple(chosen), left)
    return Choice(left=tuple(every), abstained=_nothing(every, agent))


def _second_chance(every: Sequence[Standing], rules: Rules) -> list[Standing]:
    """The one behind nothing of which most can be hoped, if that is more than nothing and what
    comes of it can be learned from."""
    if not rules.holdout:
        return []
    hopes = [
        (each.pooled.mean + rules.second_chance * each.pooled.sd, each.constraint, each)
        for each in every
        if each.why == "behind nothing"
    ]
    hope, _, best = max(hopes, default=(0.0, "", None))
    if best is None or hope <= 0:
        return []
    reason = f"{best.reason}, as every candidate does; a second chance"
    return [replace(best, why="second chance", reason=reason)]


def _nothing(every: Sequence[Standing], agent: str) -> str:
    if not every:
        return "there is no candidate"
    best = max(every, key=lambda each: each.score)
    return (
        f"none of {len(every)} candidates is expected to help {agent!r}; "
        f"the best, {best.constraint!r}, {best.reason}"
    )


def _outcomes(constraint: str, assessment: Assessment) -> int:
    uplift = assessment.overall.get(constraint)
    return uplift.shown + uplift.withheld if uplift else 0


def _for_each_agent(constraint: str, assessment: Assessment) -> Iterable[float]:
    for agent, family in assessment.families.items():
        yield assessment.constraint_for(constraint, agent, family, "").mean
