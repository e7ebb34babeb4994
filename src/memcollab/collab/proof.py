"""Does memory help, whom, where, how sure is that, and does it pay? In words and in numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, variance
from typing import Literal

from memcollab.bank import Bank, Judged
from memcollab.collab.experience import ACTOR
from memcollab.evidence import Assessment, Evidence, Rules, Uplift, assess
from memcollab.records import Effect, EvidenceReport, Saving

_REPORT = "memcollab outcome RECALL --solved (or --failed)"
_HOLDOUT = "set holdout = 0.1 (memcollab.toml, MEMCOLLAB_HOLDOUT, or MemCollab(holdout=0.1))"


def prove(bank: Bank, rules: Rules) -> EvidenceReport:
    """What the outcomes of a bank prove."""
    evidence = bank.evidence()
    found = assess(evidence, rules)
    judged, unjudged, compared = _counted(evidence)
    categories = tuple(_effect(*cell, uplift) for cell, uplift in found.categories.items())
    summary, following = _said(categories, found, judged, compared)
    return EvidenceReport(
        judged=judged,
        unjudged=unjudged,
        compared=compared,
        categories=categories,
        constraints=tuple(_of_constraints(found, found.overall)),
        retired=_retired(bank),
        spent=bank.stats().spent,
        saving=saved(bank.outcomes()) if compared else Saving(),
        summary=summary,
        following=following,
    )


def effects(bank: Bank, constraint: str, rules: Rules | None = None) -> tuple[Effect, ...]:
    """What the outcomes say of one constraint: with all agents, then with each."""
    wanted = bank.constraint(constraint).id
    found = assess(bank.evidence(), rules or Rules())
    return tuple(_of_constraints(found, [wanted] if wanted in found.overall else []))


def _of_constraints(found: Assessment, constraints: Iterable[str]) -> Iterator[Effect]:
    agents = defaultdict[str, list[str]](list)
    for constraint, agent in found.constraints:
        agents[constraint].append(agent)
    for constraint in constraints:
        yield _effect(constraint, None, found.overall[constraint])
        for agent in agents[constraint]:
            yield _effect(constraint, agent, found.constraints[constraint, agent])


def _effect(subject: str, agent: str | None, uplift: Uplift) -> Effect:
    known = not math.isnan(uplift.value)
    return Effect(
        subject=subject,
        agent=agent,
        says=_claim(uplift),
        uplift=uplift.value if known else None,
        low=uplift.low if known else None,
        high=uplift.high if known else None,
        confidence=uplift.confidence,
        shown=uplift.shown,
        withheld=uplift.withheld,
        unjudged=uplift.unjudged,
        words=f"{_claim(uplift)}: {uplift}",
    )


def _claim(uplift: Uplift) -> Literal["helps", "hurts", "not known"]:
    return "helps" if uplift.helps else "hurts" if uplift.hurts else "not known"


def _counted(evidence: Evidence) -> tuple[int, int, int]:
    """Judged outcomes, unjudged ones, and those of the judged that had a coin."""
    every = [item for strata in evidence.categories.values() for item in strata.items()]
    return (
        sum(tally.judged for _, tally in every),
        sum(tally.unjudged for _, tally in every),
        sum(tally.judged for stratum, tally in every if stratum.holdout),
    )


def _retired(bank: Bank) -> Mapping[str, str]:
    return {
        change.constraint_id: change.reason or ""
        for change in bank.history(actor=ACTOR)
        if change.action == "retired"
    }


# ---- in words


def _said(
    categories: Sequence[Effect], found: Assessment, judged: int, compared: int
) -> tuple[str, str]:
    """The answer, and what to do next."""
    if not judged:
        return (
            "nothing is known yet: no verdict on a recall that found something was reported",
            f"{_HOLDOUT}, recall, and report how each task ended: {_REPORT}",
        )
    if not compared:
        return (
            f"nothing is known yet: of {judged} judged outcomes none is of a recall with a coin, "
            "so nothing was withheld to compare with. Success after guidance is no proof of it",
            f"{_HOLDOUT} and go on reporting outcomes",
        )
    said = [
        f"memory {effect.says} {effect.agent!r} in {effect.subject!r}"
        for effect in categories
        if effect.says != "not known"
    ]
    mean, deviation = found.category_tree.at(())
    estimate = (
        f"best estimate over all: {100 * mean:+.1f} ± {100 * deviation:.1f} points, "
        f"from {compared} outcomes with a coin"
    )
    if not said:
        return (
            f"not known yet whether memory helps; {estimate}",
            "go on reporting outcomes. Ten points are known after about 1,000 outcomes of a "
            "category and agent at a holdout of 0.5, 2,500 at 0.1",
        )
    more = "go on reporting outcomes" if len(said) < len(categories) else "memcollab bank show ID"
    return f"{'; '.join(said)}. {estimate}", more


# ---- does it pay?

_MEASURES = ("tokens", "turns", "cost_usd")


@dataclass
class _Sides:
    """A measure of outcomes that may be compared, by whether what was found was shown."""

    shown: list[float] = field(default_factory=list)
    withheld: list[float] = field(default_factory=list)


def saved(ended: Iterable[Judged]) -> Saving:
    """What an outcome cost when shown, less what it cost when withheld."""
    sides = {measure: defaultdict[object, _Sides](_Sides) for measure in _MEASURES}
    guidance = []
    for each in ended:
        recall, outcome = each.recall, each.outcome
        if not recall.entries or not recall.holdout or outcome.solved is None:
            continue
        place = (recall.agent.model, recall.decision.top.name, recall.paired, recall.holdout)
        for measure, places in sides.items():
            value = getattr(outcome.usage, measure)
            if value is not None:
                side = places[place].withheld if recall.withheld else places[place].shown
                side.append(value)
        if not recall.withheld:
            guidance.append(recall.guidance_tokens)
    found: dict[str, float | None] = {}
    for measure, places in sides.items():
        found[measure], found[f"{measure}_error"] = _difference(places.values())
    return Saving(
        **found,
        shown=sum(len(each.shown) for each in sides["tokens"].values()),
        withheld=sum(len(each.withheld) for each in sides["tokens"].values()),
        guidance_tokens=fmean(guidance) if guidance else 0.0,
    )


def _difference(places: Iterable[_Sides]) -> tuple[float | None, float | None]:
    """Mean shown less mean withheld, with its standard error: places weighted as in
    ``evidence.sequence``, by n₁·n₀/(n₁+n₀)."""
    compared = [each for each in places if each.shown and each.withheld]
    if not compared:
        return None, None
    weights = [
        len(each.shown) * len(each.withheld) / (len(each.shown) + len(each.withheld))
        for each in compared
    ]
    total = math.fsum(weights)
    value = math.fsum(
        weight * (fmean(each.shown) - fmean(each.withheld))
        for weight, each in zip(weights, compared, strict=True)
    )
    if any(min(len(each.shown), len(each.withheld)) < 2 for each in compared):
        return value / total, None
    spread = math.fsum(
        weight**2
        * (variance(each.shown) / len(each.shown) + variance(each.withheld) / len(each.withheld))
        for weight, each in zip(weights, compared, strict=True)
    )
    return value / total, math.sqrt(spread) / total
