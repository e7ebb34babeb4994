"""Is a candidate to be admitted? A sequential test on tasks attempted with and without it (pure).

The unit is a task. Its difference is the mean, over the agents and seeds that attempted it both
ways, of solved with the candidate less solved without (−1 to 1): attempts at one task are alike, so
counting each pair for itself would make the same luck look like more of it. Where one agent has one
attempt, only discordant pairs move anything, as in McNemar's test.

**Test.** For the hypothesis "the mean difference is at most m", the wealth

    W(λ) = Π (1 + λ (Dₜ − m) / (1 + m)),  0 ≤ λ < 1

of one who bets the share λ on every task is a non-negative supermartingale, and so is its mean over
any fixed λs (here evenly spaced: a uniform prior on the bet). By Ville's inequality it ever reaches
1/α with probability of at most α, however often one looks and whenever one stops: Waudby-Smith &
Ramdas 2024, JRSS B 86:1 (capital processes, section 4); Ramdas et al. 2023, Stat. Sci. 38:576.
It is exact for every number of tasks, also the smallest.

**Decision.** Two tests, the first that is decided counts:

* "at most 0" is refuted at ``error``: the candidate *helps*, and is admitted. A candidate that is
  without effect or hurts is admitted with probability of at most ``error``.
* "at least ``effect``" is refuted at ``refusal_error``: it is refused. It *hurts* where "at least
  0" is refuted, too; else it is of *no use*. A candidate that helps by ``effect`` or more is
  refused with probability of at most ``refusal_error``.

That something does no harm is therefore no reason to admit it. What is shown costs tokens on every
call, and one of few places that another constraint could have had.

Covered: tasks that differ in difficulty and in effect, any dependence between agents and seeds at
one task. Assumed: tasks come as if drawn from the same population (their order is random). Not
covered: effects that a candidate has only beside other constraints; trials repeated until one
admits, of which each has its own ``error``.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from memcollab.evidence.sequence import Floats

Says = Literal["helps", "hurts", "no use", "undecided"]
_BETS = (np.arange(64) + 0.5) / 64
_MEANS = [float(mean) for mean in np.linspace(-0.99, 1.0, 200)]
_ROUNDING = 1e-9
_GROWN = 0.01  # a log wealth from which no pace can be told


class TrialRules(BaseModel):
    """What a trial risks, and for what; what a recipe carries as ``trial``.

    Raises:
        ValueError: a value is out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="chance that a candidate without effect, or one that hurts, is ever admitted",
    )
    refusal_error: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="chance that a candidate that helps by `effect` or more is ever refused",
    )
    effect: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="what a candidate has to be worth (share solved); it is refused once it is "
        "known to help by less, because what does no harm still takes tokens and a place",
    )


class Verdict(NamedTuple):
    """What the tasks so far say of a candidate.

    ``tasks`` are those that the verdict took, in their order; ``better`` and ``worse`` how many of
    them had a difference above and below 0. ``uplift`` is their mean difference (share solved, −1
    to 1; None without any), ``low`` to ``high`` its interval at ``confidence``, valid however
    often one looks. ``needs``: further tasks until it is decided if all goes on as so far; None
    where that points nowhere, and 0 where it is decided.
    """

    says: Says
    tasks: int
    better: int
    worse: int
    uplift: float | None
    low: float
    high: float
    confidence: float
    needs: int | None

    @property
    def words(self) -> str:
        """The verdict with its numbers, for the change log."""
        if self.uplift is None:
            return f"{self.says}: no task was judged both with and without it"
        return (
            f"{self.says}: {100 * self.uplift:+.0f} points ({100 * self.confidence:.0f} % interval "
            f"{100 * self.low:+.0f} to {100 * self.high:+.0f}) over {self.tasks} tasks, "
            f"{self.better} better and {self.worse} worse with it"
        )


def decide(differences: Sequence[float], rules: TrialRules) -> Verdict:
    """The verdict on a candidate whose tasks, in the order of the trial, had these differences.

    Raises:
        ValueError: a difference is not from −1 to 1.
    """
    seen = np.asarray(differences, dtype=np.float64)
    if seen.size and not (np.abs(seen) <= 1 + _ROUNDING).all():
        raise ValueError(f"a difference of two shares is from -1 to 1, not as in {differences!r}")
    helps, refuted = log_wealth(seen, 0.0), log_wealth(-seen, -rules.effect)
    wanted, enough = -math.log(rules.error), -math.log(rules.refusal_error)
    admitted, refused = _first(helps, wanted), _first(refuted, enough)
    if admitted is not None and (refused is None or admitted <= refused):
        return _verdict("helps", seen[:admitted], rules, 0)
    if refused is not None:
        hurts = _first(log_wealth(-seen[:refused], 0.0), enough) is not None
        return _verdict("hurts" if hurts else "no use", seen[:refused], rules, 0)
    further = [_further(helps, wanted), _further(refuted, enough)]
    likely = [number for number in further if number is not None]
    return _verdict("undecided", seen, rules, min(likely) if likely else None)


def log_wealth(differences: Floats, mean: float) -> Floats:
    """Natural logarithm of the e-process of "the mean difference is at most ``mean``" after each
    task; shape as ``differences``. For "at least m" negate both."""
    scaled = (differences - mean) / (1 + mean)
    grown = np.cumsum(np.log1p(np.outer(_BETS, scaled)), axis=1)
    return _log_mean(grown)


def interval(differences: Floats, level: float) -> tuple[float, float]:
    """The means that are not refuted at ``level`` (0.05 = 95 %), each side at half of it: a
    confidence sequence, found on a grid of hundredths and rounded outwards."""
    if not differences.size:
        return -1.0, 1.0
    limit = math.log(2 / level)
    # The more a mean is, the less wealth there is in betting against "at most" it.
    low = bisect(_MEANS, 0, key=lambda mean: not _passed(differences, mean, limit))
    high = bisect(_MEANS, 0, key=lambda mean: not _passed(-differences, mean, limit))
    return float(max(-1.0, _MEANS[low] - 0.01)), float(min(1.0, 0.01 - _MEANS[high]))


def _passed(differences: Floats, mean: float, limit: float) -> bool:
    return bool((log_wealth(differences, mean) >= limit).any())


def _verdict(says: Says, seen: Floats, rules: TrialRules, needs: int | None) -> Verdict:
    # Each side at ``error``, so that the interval leaves out 0 where the candidate is admitted.
    low, high = interval(seen, 2 * rules.error)
    return Verdict(
        says=says,
        tasks=int(seen.size),
        better=int((seen > _ROUNDING).sum()),
        worse=int((seen < -_ROUNDING).sum()),
        uplift=float(seen.mean()) if seen.size else None,
        low=low,
        high=high,
        confidence=1 - 2 * rules.error,
        needs=needs,
    )


def _first(log_wealths: Floats, limit: float) -> int | None:
    """After how many tasks the limit was first reached."""
    reached = np.flatnonzero(log_wealths >= limit)
    return int(reached[0]) + 1 if reached.size else None


def _further(log_wealths: Floats, limit: float) -> int | None:
    if not log_wealths.size or log_wealths[-1] < _GROWN:
        return None
    now = float(log_wealths[-1])
    return math.ceil((limit - now) * log_wealths.size / now)


def _log_mean(logs: Floats) -> Floats:
    """Of the exponentials, over the first axis."""
    if not logs.shape[1]:
        return np.zeros(0)
    highest = logs.max(axis=0)
    return np.asarray(highest + np.log(np.exp(logs - highest).mean(axis=0)), dtype=np.float64)
