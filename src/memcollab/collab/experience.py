"""What the outcomes of a bank say of what is found, and what follows from it.

Looking at them takes time that grows with the bank, so it is done now and then and kept
(``Rules.assessed_every``). A bank whose outcomes compare nothing, because no coin was ever thrown,
is not assessed: recall then gives what it would give without this module, in the same time.

A recall goes by one ``Look``, which never changes; a later one takes its place whole. The first
look at a bank with outcomes is waited for, and so is the next while looks are short: the same bank
then gives the same recall. Where the last one took longer than ``patience``, a thread takes the
next one, and recalls go by the last until it is done. Who reports the outcome that makes the number
full waits for a look of any length, because what it retires is to follow from that outcome.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from memcollab.bank import Bank
from memcollab.evidence import (
    Assessment,
    Candidate,
    Evidence,
    Rules,
    abstention,
    assess,
    choose,
    expose,
    retirements,
    unproven,
)
from memcollab.recipe import Recipe
from memcollab.records import Agent, RecallEntry

ACTOR = "evidence"
PATIENCE_SECONDS = 0.05
LOG = logging.getLogger("memcollab.collab")


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


@dataclass(frozen=True)
class Look:
    """What the outcomes of a bank said at one moment, and what follows for a recall.

    Attributes:
        rules: None: outcomes decide nothing.
        outcomes: the number of ``Bank.versions`` when it was begun; -1: nobody has looked.
        evidence: the counts, of that number or a later one. Nobody adds to them.
        assessment: of these counts; None where they compare nothing.
        seconds: what it took, in processor time: of one bank and machine always about the same,
            so that a busy moment does not decide who waits.
    """

    rules: Rules | None
    outcomes: int = -1
    evidence: Evidence = field(default_factory=Evidence)
    assessment: Assessment | None = None
    seconds: float = 0.0

    def is_old(self, outcomes: int) -> bool:
        """Whether enough are new where there are so many."""
        if self.rules is None:
            return False
        step = self.rules.step(outcomes)
        return self.outcomes // step < outcomes // step

    def widened(self, recipe: Recipe) -> Recipe:
        """The recipe by which to search: with more candidates where outcomes are to choose."""
        if self.rules is None or self.assessment is None:
            return recipe
        return recipe.model_copy(update={"limit": max(recipe.limit, self.rules.candidates)})

    def pick(
        self,
        found: Sequence[RecallEntry],
        agent: Agent,
        category: str,
        limit: int,
        *,
        coins: bool,
    ) -> Picked:
        """Up to ``limit`` of what a search found for a task of ``category``; ``coins``: whether any
        can be thrown for it."""
        if self.rules is None or not found:
            return Picked(tuple(found[:limit]))
        if self.assessment is None:
            reason = abstention(category, agent.model, None, self.rules, coins=coins)
            return Picked(() if reason else tuple(found[:limit]), abstained=reason)
        entries = {entry.constraint.id: entry for entry in found}
        choice = choose(
            [Candidate(each, entry.score) for each, entry in entries.items()],
            agent=agent.model,
            family=agent.family,
            category=category,
            assessment=self.assessment,
            rules=self.rules,
            limit=limit,
            coins=coins,
        )
        left = {each.constraint: each.reason for each in choice.left if not each.shown}
        chosen = tuple(_because(entries[each.constraint], each.reason) for each in choice.chosen)
        return Picked(chosen, left, choice.abstained)

    def draw(
        self, recall: str, entries: Sequence[RecallEntry], agent: Agent, category: str
    ) -> Drawn:
        """Throw the coins of a recall for what it would show."""
        if self.rules is None or not self.rules.holdout:
            return Drawn(tuple(entries))
        exposure = expose(
            recall,
            [entry.constraint.id for entry in entries],
            agent=agent.model,
            category=category,
            evidence=self.evidence,
            rules=self.rules,
            unproven=unproven(category, agent.model, self.assessment, self.rules) is not None,
        )
        thrown = (
            entry.model_copy(update={"shown": coin.shown, "holdout": coin.holdout})
            for entry, coin in zip(entries, exposure.entries, strict=True)
        )
        return Drawn(tuple(thrown), exposure.withheld, exposure.holdout)


class Experience:
    """The last look at the outcomes of one bank, and who takes the next; for any number of threads.

    Args:
        rules: None: outcomes decide nothing, and nobody looks.
        patience: seconds (of processor time) from which on a look keeps no recall waiting.
    """

    def __init__(self, bank: Bank, rules: Rules | None, patience: float = PATIENCE_SECONDS) -> None:
        self._bank = bank
        self._rules = rules
        self._patience = patience
        self._look = Look(rules)
        self._looking = Lock()  # held while somebody looks: one at a time
        self._handing = Lock()  # held for a moment, over what follows
        self._thread = ThreadPoolExecutor(1, "memcollab-look")
        self._ahead: Future[Look] | None = None
        self._closed = False

    def at(self, outcomes: int) -> Look:
        """What a recall goes by where so many outcomes (the number of ``Bank.versions``) were
        reported, by whomever.

        Raises:
            BankError: the bank cannot be read. What a look in the thread failed with is raised by
                the recall after it, once; the one after that has it tried again.
        """
        self._settle()
        look = self._look
        if not look.is_old(outcomes):
            return look
        if look.outcomes <= 0 or look.seconds < self._patience:
            return self._look_again(outcomes)
        self._look_ahead(outcomes)
        return look

    def retire(self, outcomes: int) -> list[str]:
        """Retire what hurts in general, if it is time to look again: of all processes that report
        outcomes the one does whose outcome makes the number full. Ids of what was retired."""
        if self._rules is None or not outcomes or outcomes % self._rules.step(outcomes):
            return []
        assessment = self._look_again(outcomes).assessment
        if assessment is None:
            return []
        reasons = retirements(assessment.overall, assessment)
        return self._bank.retire(reasons, actor=ACTOR) if reasons else []

    def wait(self) -> None:
        """Return when no look is under way in the thread."""
        with self._handing:
            ahead = self._ahead
        if ahead is not None:
            wait([ahead])

    def close(self) -> None:
        """Wait for the look that is under way, and begin no other: the bank may then be closed. No
        recall is left to raise what that look failed with, so it is logged."""
        with self._handing:
            self._closed = True
            ahead, self._ahead = self._ahead, None
        self._thread.shutdown()
        failure = ahead and ahead.exception()
        if failure:
            LOG.warning("the last look at the outcomes failed", exc_info=failure)

    def _look_again(self, outcomes: int) -> Look:
        """Whoever comes while another looks gets what that one saw, if it is new enough."""
        with self._looking:
            if self._look.is_old(outcomes) and self._rules is not None:
                self._look = _looked(self._bank, self._rules, outcomes)
            return self._look

    def _look_ahead(self, outcomes: int) -> None:
        """Have the thread look, unless it does."""
        with self._handing:
            if self._ahead is None and not self._closed:
                self._ahead = self._thread.submit(self._look_again, outcomes)

    def _settle(self) -> None:
        """Let go of a look that has ended. Raises what it failed with."""
        if self._ahead is None:
            return
        with self._handing:
            ahead = self._ahead
            if ahead is None or not ahead.done():
                return
            self._ahead = None
        ahead.result()


def _looked(bank: Bank, rules: Rules, outcomes: int) -> Look:
    began = time.thread_time()
    with _uncollected():
        evidence = bank.evidence() if outcomes else Evidence()
        assessment = assess(evidence, rules) if evidence.compares else None
    return Look(rules, outcomes, evidence, assessment, time.thread_time() - began)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles meanwhile. A look makes a million objects and no cycle; every so many
    CPython would walk over all that the process holds, and every thread would stand still for it.
    """
    if not gc.isenabled():  # somebody else's wish, or another look
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _because(entry: RecallEntry, reason: str) -> RecallEntry:
    return entry.model_copy(update={"reason": f"{entry.reason}; {reason}"})
