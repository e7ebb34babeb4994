"""The rule of a trial: when tasks with and without a candidate admit it, refuse it, or do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.evidence.trial import TrialRules, decide, interval, log_wealth

RULES = TrialRules()
TASKS = 300
# How often a task is better and worse with the candidate: never more often better.
NOT_HELPING = {
    "a candidate that changes nothing": (0.0, 0.0),
    "luck both ways": (0.25, 0.25),
    "much luck both ways": (0.5, 0.5),
    "rare luck": (0.02, 0.02),
    "a little harm": (0.2, 0.25),
    "much harm": (0.05, 0.35),
}


def simulated(better: float, worse: float, number: int, seed: int = 1) -> np.ndarray:
    """Differences of ``number`` candidates, each over ``TASKS`` tasks."""
    draws = np.random.default_rng(seed).random((number, TASKS))
    return (draws < better).astype(float) - (draws > 1 - worse).astype(float)


@pytest.mark.parametrize("name", NOT_HELPING)
def test_of_2000_candidates_that_do_not_help_few_are_ever_admitted(name: str) -> None:
    """Looked at after every one of 300 tasks, at most the named level is ever admitted."""
    better, worse = NOT_HELPING[name]
    worlds = simulated(better, worse, 2000)
    ever = [bool((log_wealth(one, 0.0) >= -math.log(RULES.error)).any()) for one in worlds]
    assert sum(ever) <= 2000 * RULES.error


def test_agents_that_share_their_luck_at_a_task_do_not_admit_more() -> None:
    """A task counts once: four agents with the same luck are no more evidence than one."""
    rng = np.random.default_rng(2)
    task = rng.choice([-1.0, 1.0], size=(2000, 100))
    own = rng.choice([-1.0, 0.0, 1.0], size=(2000, 100, 4))
    worlds = np.where(rng.random((2000, 100, 4)) < 0.8, task[:, :, None], own).mean(axis=2)
    ever = [bool((log_wealth(one, 0.0) >= -math.log(RULES.error)).any()) for one in worlds]
    assert sum(ever) <= 2000 * RULES.error


def test_of_2000_candidates_that_help_enough_few_are_ever_refused() -> None:
    """One that is worth exactly the named effect is refused at most at the named level."""
    verdicts = [decide(one, RULES).says for one in simulated(0.3, 0.2, 2000, seed=3)]
    assert sum(each in ("hurts", "no use") for each in verdicts) <= 2000 * RULES.refusal_error


def test_a_strong_candidate_is_admitted_early_and_poison_is_refused_early() -> None:
    """40 points either way are decided, the right way, within a few dozen tasks."""
    good = [decide(one, RULES) for one in simulated(0.45, 0.05, 200, seed=4)]
    bad = [decide(one, RULES) for one in simulated(0.05, 0.45, 200, seed=5)]

    assert sum(each.says == "helps" for each in good) >= 195
    assert sum(each.says in ("hurts", "no use") for each in bad) >= 199
    assert np.median([each.tasks for each in good]) <= 40
    assert np.median([each.tasks for each in bad]) <= 25


def test_what_does_no_harm_is_of_no_use() -> None:
    """A candidate that changes nothing is refused, once it is known to be worth less than asked."""
    verdict = decide([0.0] * 100, RULES)

    assert verdict.says == "no use"
    assert verdict.high <= RULES.effect + 0.05
    assert verdict.tasks < 60


def test_the_verdict_is_that_of_the_first_task_that_decides() -> None:
    """What was attempted beyond the decision changes neither the verdict nor its numbers."""
    decided = decide([1.0] * 7, RULES)

    assert decided.says == "helps"
    assert decide([1.0] * 6, RULES).says == "undecided"
    assert decide([1.0] * 7 + [-1.0] * 50, RULES) == decided


def test_an_undecided_verdict_says_how_much_more_it_needs() -> None:
    """As many tasks as it says, going on as so far, do decide it."""
    half = decide([1.0, 0.0] * 6, RULES)
    assert half.says == "undecided"
    assert half.needs is not None
    assert decide([1.0, 0.0] * 6 + [1.0, 0.0] * half.needs, RULES).says == "helps"
    assert decide([], RULES).needs is None
    assert "no task was judged" in decide([], RULES).words


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_the_interval_holds_its_estimate_and_never_leaves_the_possible(seen: list[float]) -> None:
    """Low ≤ mean ≤ high, within −1 to 1, for any differences."""
    low, high = interval(np.array(seen), 0.05)
    assert -1 <= low <= float(np.mean(seen)) + 1e-9
    assert float(np.mean(seen)) - 1e-9 <= high <= 1


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_candidate_and_its_opposite_are_not_both_admitted(seen: list[float]) -> None:
    """Where the differences admit a candidate, their opposites do not."""
    both = {decide(seen, RULES).says, decide([-each for each in seen], RULES).says}
    assert both != {"helps"}


def test_the_interval_covers_however_often_one_looks() -> None:
    """In at most 5 % of 2,000 worlds does the true mean ever leave the interval."""
    left = 0
    for one in simulated(0.3, 0.2, 2000, seed=6):
        mean, limit = 0.1, math.log(2 / 0.05)
        passed = (log_wealth(one, mean) >= limit) | (log_wealth(-one, -mean) >= limit)
        left += bool(passed.any())
    assert left <= 2000 * 0.05


def test_a_difference_that_cannot_be_is_refused() -> None:
    """Shares differ by one at most."""
    with pytest.raises(ValueError, match="from -1 to 1"):
        decide([1.5], RULES)
