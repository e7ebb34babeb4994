"""What the outcomes of a bank say of what is found, and what follows from it.

Assessing a bank takes time that grows with it, so it is done now and then and kept
(``Rules.assessed_every``). A bank whose outcomes compare nothing, because no coin was ever thrown,
is asked nothing: recall then gives what it would give without this module, in the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memcollab.bank import Bank
from memcollab.evidence import (
    Assessment,
    Candidate,
    Evidence,
    Rules,
    assess,
    choose,
    expose,
    retirements,
)
from memcollab.recipe import Recipe
from memcollab.records import Agent, RecallEntry

ACTOR = "evidence"


@dataclass(frozen=True)
class Picked:
    """What is to be shown, in order, each with its reason; why others are not; or why none is."""

    entries: tuple[RecallEntry, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    abstained: str | None = None


@dataclass(frozen=True)
class Drawn:
    """Entries with how their coins fell, and how that of the recall did."""

    entries: tuple[RecallEntry, ...]
    withheld: bool = False
    holdout: float = 0.0

    @property
    def shown(self) -> tuple[RecallEntry, ...]:
        """What the agent sees."""
        return () if self.withheld else tuple(entry for entry in self.entries if entry.shown)


class Experience:
    """The outcomes of one bank, as last assessed. ``rules`` None: they decide nothing."""

    def __init__(self, bank: Bank, rules: Rules | None) -> None:
        self._bank = bank
        self._rules = rules
        self._evidence = Evidence()
        self._assessment: Assessment | None = None
        self._outcomes: int | None = None

    def refresh(self, outcomes: int) -> None:
        """Take in the bank's outcomes, whoever reported them, if enough are new. ``outcomes`` is
        the number of ``Bank.versions``."""
        if self._rules is None or outcomes == self._outcomes:
            return
        step = self._rules.step(outcomes)
        if self._outcomes is None or outcomes // step != self._outcomes // step:
            self._evidence = self._bank.evidence() if outcomes else Evidence()
            compares = self._evidence.compares
            self._assessment = assess(self._evidence, self._rules) if compares else None
            self._outcomes = outcomes

    def widened(self, recipe: Recipe) -> Recipe:
        """The recipe by which to search: with more candidates where outcomes are to choose."""
        if self._rules is None or self._assessment is None:
            return recipe
        return recipe.model_copy(update={"limit": max(recipe.limit, self._rules.candidates)})

    def pick(self, found: Sequence[RecallEntry], agent: Agent, category: str, limit: int) -> Picked:
        """Up to ``limit`` of what a search found for a task of ``category``."""
        if self._rules is None or self._assessment is None or not found:
            return Picked(tuple(found[:limit]))
        entries = {entry.constraint.id: entry for entry in found}
        choice = choose(
            [Candidate(each, entry.score) for each, entry in entries.items()],
            agent=agent.model,
            family=agent.family,
            category=category,
            assessment=self._assessment,
            rules=self._rules,
            limit=limit,
        )
        left = {each.constraint: each.reason for each in choice.left if not each.shown}
        chosen = tuple(_because(entries[each.constraint], each.reason) for each in choice.chosen)
        return Picked(chosen, left, choice.abstained)

    def draw(
        self, recall: str, entries: Sequence[RecallEntry], agent: Agent, category: str
    ) -> Drawn:
        """Throw the coins of a recall for what it would show."""
        if self._rules is None or not self._rules.holdout:
            return Drawn(tuple(entries))
        exposure = expose(
            recall,
            [entry.constraint.id for entry in entries],
            agent=agent.model,
            category=category,
            evidence=self._evidence,
            rules=self._rules,
        )
        thrown = (
            entry.model_copy(update={"shown": coin.shown, "holdout": coin.holdout})
            for entry, coin in zip(entries, exposure.entries, strict=True)
        )
        return Drawn(tuple(thrown), exposure.withheld, exposure.holdout)

    def retire(self, outcomes: int) -> list[str]:
        """Retire what hurts in general, if it is time to look again: of all processes that report
        outcomes the one does whose outcome makes the number full. Ids of what was retired."""
        if self._rules is None or not outcomes or outcomes % self._rules.step(outcomes):
            return []
        self.refresh(outcomes)
        if self._assessment is None:
            return []
        reasons = retirements(self._assessment.overall, self._assessment)
        return self._bank.retire(reasons, actor=ACTOR) if reasons else []


def _because(entry: RecallEntry, reason: str) -> RecallEntry:
    return entry.model_copy(update={"reason": f"{entry.reason}; {reason}"})
