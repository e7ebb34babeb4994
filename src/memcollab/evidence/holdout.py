"""The coins: which recalls are withheld, and which entries left out (pure, repeatable).

A coin is the hash of the recall's id and of what it decides, so the same recall always falls the
same way, on every machine, without a generator of random numbers; ids of recalls are random.
Probabilities start balanced, where an outcome tells most, and are halved in steps down to the set
rate: in steps, because only outcomes at one probability are compared (``counts.Stratum``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from memcollab.evidence.counts import Entry, Evidence
from memcollab.evidence.rules import Rules


@dataclass(frozen=True)
class Exposure:
    """How the coins of a recall fell; the fields of an ``Observation`` that are known before the
    outcome is."""

    entries: tuple[Entry, ...]
    withheld: bool
    holdout: float

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the constraints to show, in the order given."""
        if self.withheld:
            return ()
        return tuple(entry.constraint for entry in self.entries if entry.shown)


def annealed(judged: int, rules: Rules) -> float:
    """The probability of a coin after so many judged outcomes: ``holdout_start``, halved every
    ``holdout_halved`` outcomes, never below ``holdout``; 0 where ``holdout`` is 0."""
    if not rules.holdout:
        return 0.0
    halvings = min(judged // rules.holdout_halved, 64)
    return max(rules.holdout, rules.holdout_start * 0.5**halvings)


def expose(
    recall: str,
    found: Sequence[str],
    *,
    agent: str,
    category: str,
    evidence: Evidence,
    rules: Rules,
    unproven: bool = False,
) -> Exposure:
    """Throw the coins of ``recall`` for the constraints ``found``, in the order to show them.

    The recall's coin is annealed by what is known of the category × agent. Each of several entries
    has a coin of its own, annealed by what is known of the constraint × agent; a single entry is
    decided by the recall's, at the higher of the two probabilities. What is ``unproven`` and has to
    be proven is shown as rarely as other recalls are withheld: the recall's coin is turned over.
    """
    whole = annealed(evidence.judged(category, agent, "category"), rules)
    own = [annealed(evidence.judged(each, agent, "constraint"), rules) for each in found]
    if len(found) == 1:
        whole, own = max(whole, *own), [0.0]
    if unproven:
        whole = 1 - whole
    withheld = bool(found) and _coin(recall, "") < whole
    entries = tuple(
        # Where the recall is withheld, no entry's coin is thrown.
        Entry(each, shown=withheld or _coin(recall, each) >= rate, holdout=rate)
        for each, rate in zip(found, own, strict=True)
    )
    return Exposure(entries, withheld, whole if found else 0.0)


def _coin(recall: str, what: str) -> float:
    """A number from 0 to below 1, even over recalls, independent of other coins."""
    digest = hashlib.sha256(f"{recall}\0{what}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
