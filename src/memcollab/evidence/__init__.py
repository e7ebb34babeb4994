"""Outcomes → does memory help, which constraint, and whom; and what follows from it (pure).

The contract of this package:

* Evidence comes from coins alone. A success after a constraint was shown says little, for easy
  tasks succeed without; so now and then what was found is *not* shown, by a coin of known
  probability (``holdout``). Uplift is the success rate shown minus withheld, and only recalls whose
  coin was of the same probability, in the same category and for the same agent, are compared.
* Unjudged outcomes are counted apart. They are neither solved nor failed.
* Counts are all that is kept (``Evidence``): adding an outcome touches a few of them, the order of
  outcomes changes nothing, and merging two counts is counting both.
* A claim ("helps", "hurts") is made by an interval that stays valid however often one looks
  (``sequence``), and over a whole bank without any true effect at most ``Rules.error`` of them ever
  make one. Estimates that borrow from relatives (``pooling``) rank; they claim nothing.
* A decision is a function of values and carries its reason in words.

    counts.py      what happened → counts that merge
    sequence.py    counts → difference, variance, intervals for any time of looking
    pooling.py     estimates that borrow strength along a tree
    rules.py       every threshold, by name
    assessment.py  counts → all uplifts of a bank, claimed and pooled
    decisions.py   who abstains, what is retired, what is shown and in which order
    holdout.py     the coins
    trial.py       a candidate with and without: admit it, refuse it, or go on

Covered: drifting difficulty, changing holdout rates, adaptive choice of what is shown. Not covered:
effects that change over time (an interval is about their average over the recalls compared), and
agents that change under one name. Reasons and measurements: design/evidence.md.
"""

from __future__ import annotations

from memcollab.evidence.assessment import Assessment, Uplift, assess
from memcollab.evidence.counts import Entry, Evidence, Observation, Stratum, Tally
from memcollab.evidence.decisions import (
    Candidate,
    Choice,
    Standing,
    abstention,
    choose,
    retirements,
    standing,
    unproven,
)
from memcollab.evidence.holdout import Exposure, annealed, expose
from memcollab.evidence.pooling import Pooled
from memcollab.evidence.rules import Rules
from memcollab.evidence.trial import TrialRules, Verdict, decide

__all__ = [
    "Assessment",
    "Candidate",
    "Choice",
    "Entry",
    "Evidence",
    "Exposure",
    "Observation",
    "Pooled",
    "Rules",
    "Standing",
    "Stratum",
    "Tally",
    "TrialRules",
    "Uplift",
    "Verdict",
    "abstention",
    "annealed",
    "assess",
    "choose",
    "decide",
    "expose",
    "retirements",
    "standing",
    "unproven",
]
