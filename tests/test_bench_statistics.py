"""Statistics against the literature, against scipy, and against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memcollab.bench.statistics import (
    Estimate,
    holm,
    macro_difference,
    macro_share,
    mean,
    mean_difference,
    paired,
    share,
)

QUICK = 400
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


def _columns(pairs: list[tuple[bool, bool]]) -> tuple[list[bool], list[bool]]:
    return [before for before, _ in pairs], [after for _, after in pairs]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_share_gives_the_published_wilson_intervals(
    successes: int, n: int, low: float, high: float
) -> None:
    """Newcombe 1998 (Stat. Med. 17:857), table I, method 3: score without continuity correction."""
    found = share(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_is_scipys_wilson_interval(case: tuple[int, int]) -> None:
    """The same limits as scipy's, and the value lies between them."""
    successes, n = case
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = share(successes, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_share_takes_tasks_of_several_seeds() -> None:
    """Half of the seeds of 3 tasks count as 1.5 of 3; more than n is refused."""
    assert share(1.5, 3).value == 0.5
    with pytest.raises(ValueError, match="successes"):
        share(4, 3)


def test_paired_gives_the_published_exact_mcnemar() -> None:
    """Fagerland, Lydersen & Laake 2013 (BMC Med. Res. Methodol. 13:91): airway hyper-
    responsiveness in 21 children, 1 and 7 discordant, exact conditional p = 0.0703."""
    found = paired(
        *_columns([(True, True)] + [(True, False)] + [(False, True)] * 7 + [(False, False)] * 12)
    )
    assert (found.won, found.lost, found.both, found.neither) == (7, 1, 1, 12)
    assert found.p == pytest.approx(0.0703, abs=5e-5)
    assert found.difference.value == pytest.approx(6 / 21)


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_paired_counts_every_pair_and_contains_its_value(pairs: list[tuple[bool, bool]]) -> None:
    """The four counts add up, p is scipy's, and the interval holds the value within -1 and 1."""
    found = paired(*_columns(pairs), resamples=QUICK)
    assert found.won + found.lost + found.both + found.neither == len(pairs)
    if not pairs:
        assert math.isnan(found.p)
        assert math.isnan(found.difference.value)
        return
    discordant = found.won + found.lost
    expected = stats.binomtest(found.won, discordant).pvalue if discordant else 1.0
    assert found.p == pytest.approx(expected)
    assert -1 <= found.difference.low <= found.difference.value <= found.difference.high <= 1


@given(PAIRS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_paired_is_mirrored_by_a_swap_and_blind_to_order(pairs, random) -> None:
    """Swapping the arms mirrors the result exactly; the order of the tasks changes nothing."""
    before, after = _columns(pairs)
    found = paired(before, after, resamples=QUICK)
    swapped = paired(after, before, resamples=QUICK)
    shuffled = random.sample(pairs, len(pairs))
    assert repr(paired(*_columns(shuffled), resamples=QUICK)) == repr(found)
    if pairs:
        assert swapped.difference == -found.difference
        assert (swapped.won, swapped.lost, swapped.p) == (found.lost, found.won, found.p)


def test_ties_are_no_proof_of_equality() -> None:
    """50 ties have p = 1 and an interval that still holds differences of some points."""
    found = paired([True] * 20 + [False] * 30, [True] * 20 + [False] * 30)
    assert (found.p, found.difference.value) == (1.0, 0.0)
    assert (found.both, found.neither) == (20, 30)
    assert found.difference.low == pytest.approx(-found.difference.high)
    assert 0.02 < found.difference.high < 0.08


def test_few_wins_are_no_mark() -> None:
    """Of 60 tasks 5 won and none lost: the interval is centred as Bonett & Price centre it, reaches
    down to 0, and McNemar's p is 0.0625, so the difference is not called above 0. With 6 won it is:
    the interval lies above 0 and p is 0.031."""
    five = paired([False] * 60, [True] * 5 + [False] * 55).difference
    assert five.p == pytest.approx(0.0625)
    assert (five.low + five.high) / 2 == pytest.approx(5 / 62, abs=0.005)
    assert five.low <= 0
    six = paired([False] * 60, [True] * 6 + [False] * 54).difference
    assert six.above_zero
    assert (-six).below_zero
    assert six.p == pytest.approx(2 / 2**6)


def test_an_interval_off_0_is_no_mark_where_the_exact_test_disagrees() -> None:
    """A cell needs both; a mean over cells, which has no such test, needs its interval."""
    assert not Estimate(0.1, 0.01, 0.2, 60, 0.06).above_zero
    assert not Estimate(-0.1, -0.2, -0.01, 60, 0.06).below_zero
    assert Estimate(0.1, 0.01, 0.2, 60).above_zero


def test_a_mean_of_one_cell_is_that_cell() -> None:
    """One difference has one interval and one p, wherever it stands."""
    random = np.random.default_rng(11)
    pairs = [(bool(random.random() < 0.3), bool(random.random() < 0.6)) for _ in range(40)]
    cell = {f"t{random.random()}": pair for pair in pairs}
    assert (
        macro_difference({"maths": {"a": cell}, "code": {}}) == paired(*_columns(pairs)).difference
    )


def _grouped(spread: float, random: np.random.Generator) -> tuple[dict, dict[str, str]]:
    """Ten groups of six tasks that are solved with a memory alone: about 0.3 of them."""
    rates = np.clip(0.3 + random.normal(0, spread, 10), 0, 1)
    names = {f"t{n}-{m}": n for n in range(10) for m in range(6)}
    cell = {name: (False, bool(random.random() < rates[n])) for name, n in names.items()}
    return {"s": {"a": cell}}, {name: str(n) for name, n in names.items()}


def test_groups_are_resampled_whole() -> None:
    """Where tasks of a group are won together, the interval over groups covers the truth in at
    least 91 % of 200 draws and the one over tasks in less; it is no narrower, and has no p."""
    random = np.random.default_rng(12)
    hits = {"groups": 0, "tasks": 0}
    for _ in range(200):
        suites, groups = _grouped(0.2, random)
        over_groups = macro_difference(suites, groups={"s": groups}, resamples=800)
        over_tasks = macro_difference(suites, resamples=800)
        hits["groups"] += over_groups.low <= 0.3 <= over_groups.high
        hits["tasks"] += over_tasks.low <= 0.3 <= over_tasks.high
    assert hits["groups"] >= 182 > hits["tasks"]
    assert math.isnan(over_groups.p)
    assert over_groups.value == over_tasks.value


def test_seeds_make_values_surer_and_never_more_tasks() -> None:
    """A task with several seeds is one pair of shares."""
    found = paired([0.0, 0.5, 1.0], [0.5, 0.5, 0.0])
    assert (found.won, found.lost, found.both, found.neither) == (1, 1, 1, 0)
    assert found.difference.n == 3
    with pytest.raises(ValueError, match="from 0 to 1"):
        paired([0.0], [2.0])
    with pytest.raises(ValueError, match="1 without, 2 with"):
        paired([True], [True, False])


def test_the_interval_of_a_difference_covers_what_is_true() -> None:
    """In 300 draws each, 95 % intervals hold the true difference in at least 92 %."""
    random = np.random.default_rng(5)
    for n, won, lost in ((20, 0.3, 0.05), (50, 0.1, 0.02), (50, 0.3, 0.3), (50, 0.02, 0.02)):
        hits = 0
        for _ in range(300):
            change = random.choice([1, -1, 0], p=[won, lost, 1 - won - lost], size=n)
            found = paired(change < 0, change > 0, resamples=1000).difference
            hits += found.low <= won - lost <= found.high
        assert hits >= 276, (n, won, lost)


def test_the_interval_of_a_mean_covers_what_is_true() -> None:
    """Of 20 skewed values, 95 % intervals hold the true mean in at least 88 % of 300 draws: the
    skew costs some, as Hesterberg 2015 finds."""
    random = np.random.default_rng(6)
    hits = 0
    for _ in range(300):
        found = mean(random.exponential(size=20).tolist(), resamples=1000)
        hits += found.low <= 1 <= found.high
    assert hits >= 264


def test_mean_is_close_to_scipys_percentile_bootstrap() -> None:
    """For 200 values the expansion is small: the limits are scipy's within 3 % of the width."""
    values = np.random.default_rng(7).normal(10, 3, 200)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(8)
    ).confidence_interval
    found = mean(values.tolist())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)


@given(VALUES, VALUES)
@settings(max_examples=40, deadline=None)
def test_mean_difference_is_mirrored_by_a_swap(one: list[float], two: list[float]) -> None:
    """Swapping the sides mirrors it, and the value is the difference of the means."""
    n = min(len(one), len(two))
    found = mean_difference(one[:n], two[:n], resamples=QUICK)
    assert mean_difference(two[:n], one[:n], resamples=QUICK) == -found
    assert found.value == pytest.approx(np.mean(two[:n]) - np.mean(one[:n]), abs=1e-3)


def test_too_little_data_is_not_an_error() -> None:
    """Nothing gives nan and n = 0; one value has no interval."""
    for found in (
        mean([]),
        share(0, 0),
        paired([], []).difference,
        macro_difference({}),
        macro_share({}),
    ):
        assert found.n == 0
        assert all(math.isnan(x) for x in (found.value, found.low, found.high))
    assert mean([3.0]).value == 3.0
    assert math.isnan(mean([3.0]).low)
    assert macro_difference({"a": {"x": {"t": (3.0, 5.0)}}}, shares=False).value == 2.0


def _suites(seed: int, gain: float = 0.2) -> dict[str, dict[str, dict[str, tuple[bool, bool]]]]:
    random = np.random.default_rng(seed)
    return {
        suite: {
            agent: {
                f"t{task}": (bool(random.random() < 0.4), bool(random.random() < 0.4 + gain))
                for task in range(size)
            }
            for agent in ("weak", "strong")
        }
        for suite, size in (("maths", 10), ("code", 40))
    }


def test_macro_difference_weighs_cells_alike() -> None:
    """A suite of 10 tasks counts as much as one of 40; absent cells do not count."""
    suites = {
        "maths": {"weak": {f"t{x}": (False, True) for x in range(10)}, "strong": {}},
        "code": {"weak": {f"t{x}": (True, True) for x in range(40)}},
        "empty": {},
    }
    found = macro_difference(suites)
    assert (found.value, found.n) == (0.5, 50)
    assert found.low < 0.5 < found.high


def test_macro_difference_is_blind_to_order_and_mirrored_by_a_swap() -> None:
    """Only values and seed decide; swapping the arms mirrors it."""
    suites = _suites(1)
    backwards = {
        suite: {agent: dict(reversed(tasks.items())) for agent, tasks in reversed(agents.items())}
        for suite, agents in reversed(suites.items())
    }
    swapped = {
        suite: {
            agent: {task: (after, before) for task, (before, after) in tasks.items()}
            for agent, tasks in agents.items()
        }
        for suite, agents in suites.items()
    }
    found, mirror = macro_difference(suites), macro_difference(swapped)
    assert macro_difference(backwards) == found
    assert (mirror.value, mirror.low, mirror.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )


def test_two_agents_that_do_alike_are_no_more_proof_than_one() -> None:
    """A task takes all its agents along: copying an agent leaves the interval as wide as it was."""
    one = {suite: {"a": agents["weak"]} for suite, agents in _suites(2).items()}
    two = {
        suite: {"a": agents["weak"], "b": agents["weak"]} for suite, agents in _suites(2).items()
    }
    alone, copied = macro_difference(one), macro_difference(two)
    assert (copied.value, copied.low, copied.high) == pytest.approx(
        (alone.value, alone.low, alone.high)
    )


def test_macro_difference_covers_what_is_true() -> None:
    """In 200 draws, 95 % intervals hold the true mean difference in at least 91 %."""
    hits = 0
    for draw in range(200):
        found = macro_difference(_suites(100 + draw), resamples=800)
        hits += found.low <= 0.2 <= found.high
    assert hits >= 182


def _shares(random: np.random.Generator, alike: float) -> dict[str, dict[str, dict[str, bool]]]:
    """Two agents at the same 60 tasks of a suite; they end alike on a part of the tasks."""
    one = {f"t{n}": bool(random.random() < 0.3) for n in range(60)}
    two = {t: x if random.random() < alike else bool(random.random() < 0.3) for t, x in one.items()}
    return {"s": {"one": one, "two": two}}


def test_two_agents_at_60_tasks_are_60_tasks() -> None:
    """Agents that end alike give the interval of one of them, about; in 200 draws 95 % intervals
    hold the true share in at least 92 %, whether the agents end alike or not."""
    random = np.random.default_rng(13)
    same = _shares(random, 1.0)
    alone = macro_share({"s": {"one": same["s"]["one"]}})
    assert alone == share(sum(same["s"]["one"].values()), 60)
    both = macro_share(same)
    assert (both.value, both.n) == (alone.value, 60)
    assert both.high - both.low == pytest.approx(alone.high - alone.low, rel=0.1)
    for alike in (1.0, 0.6, 0.0):
        hits = 0
        for _ in range(200):
            found = macro_share(_shares(random, alike), resamples=800)
            hits += found.low <= 0.3 <= found.high
        assert hits >= 184, alike


def test_shares_of_nothing_solved_and_of_all_stay_within_0_and_1() -> None:
    """No win in either agent is a share of 0 whose interval begins there, and so at 1."""
    for solved, end in ((False, "low"), (True, "high")):
        cell = {f"t{n}": solved for n in range(30)}
        found = macro_share({"s": {"one": cell, "two": cell}})
        assert found.value == getattr(found, end) == float(solved)
        assert math.copysign(1, found.low) == 1  # a report would print "-0"
        assert 0.05 < found.high - found.low < 0.2


def test_holm_gives_the_worked_example() -> None:
    """p = .01, .04, .03, .005 become .03, .06, .06, .02 (step-down by 4, 3, 2, 1); nan stays."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    corrected = holm([0.5, math.nan, 0.6])
    assert corrected[0] == corrected[2] == 1.0
    assert math.isnan(corrected[1])
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    """No corrected p is below the raw one or above Bonferroni's, and their order is kept."""
    corrected = holm(p_values)
    for raw, found in zip(p_values, corrected, strict=True):
        assert raw <= found <= min(1.0, raw * len(p_values))
    assert [p for _, p in sorted(zip(p_values, corrected, strict=True))] == sorted(corrected)
