"""Shares, paired differences and their intervals (pure).

The contract of this module:

* The unit is the **task**. Several attempts at one task (seeds) are averaged before they come here,
  so a value is a number from 0 to 1 where a single attempt would be a bool. More seeds make a
  task's value surer; they never count as more tasks.
* Differences are with − without. Swapping the two mirrors every interval, and the order of the
  tasks changes nothing: the result depends on the values and on ``seed``.
* No data is no exception: value, interval and p are nan, n is 0. A mean of one value has a value
  and an interval of nan, for nothing is known of its spread.

Intervals are two-sided and not corrected for looking at many cells; ``holm`` corrects p-values.

A plain bootstrap of 50 ties says that the difference is 0 and nothing else, which 50 tasks cannot
show. Where values are shares, two pseudo-tasks, one won and one lost, are therefore added before
the spread is taken (Agresti & Min 2005, Biometrics 61:515; Bonett & Price 2012, J. Educ. Behav.
Stat. 37:479). The value itself stays the observed one, and the spread lies around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
NAN = math.nan
_PSEUDO = (1.0, -1.0)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``n`` is the number of tasks (of pairs, in a difference)."""

    value: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        return self.n > 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low, self.n)

    def times(self, factor: float) -> Estimate:
        """The same in another unit; ``factor`` is above 0."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high, self.n)


NOTHING = Estimate(NAN, NAN, NAN, 0)


@dataclass(frozen=True)
class Paired:
    """What a memory changed on the same tasks.

    ``difference`` of shares, with − without. ``won`` tasks are solved more often with than without,
    ``lost`` ones less often; of the ties, ``neither`` were never solved and ``both`` are the rest.
    ``p`` is that of the exact McNemar test, two-sided; for tasks of several seeds that is the sign
    test over won and lost, which is the same test where a task has one seed.
    """

    difference: Estimate
    won: int
    lost: int
    both: int
    neither: int
    p: float


def share(successes: float, n: int, confidence: float = 0.95) -> Estimate:
    """The share of ``n`` tasks that were solved, with its score interval (Wilson 1927).

    ``successes`` is the sum of the tasks' values, whole where each was attempted once. For several
    seeds the interval is that of n tasks: on the wide side, for averaging has made values surer.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be from 0 to n={n!r}, not {successes!r}")
    if n == 0:
        return NOTHING
    z = _z(confidence)
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Estimate(p, low, high, n)


def paired(
    without: Sequence[float],
    with_: Sequence[float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Paired:
    """Compare the same tasks without and with: shares solved (0 to 1, or bool), task by task.

    The interval is a bootstrap over tasks; p is exact McNemar (McNemar 1947; binomial, two-sided).

    Raises:
        ValueError: the two differ in length, or a value is not from 0 to 1.
    """
    before, after = _aligned(without, with_)
    if not np.all((before >= 0) & (before <= 1) & (after >= 0) & (after <= 1)):
        raise ValueError("every value must be a share from 0 to 1")
    changes = after - before
    won, lost = int(np.sum(changes > 0)), int(np.sum(changes < 0))
    neither = int(np.sum((changes == 0) & (before == 0)))
    return Paired(
        difference=_bounded(changes, confidence, seed, resamples),
        won=won,
        lost=lost,
        both=len(changes) - won - lost - neither,
        neither=neither,
        p=_mcnemar(won, lost) if len(changes) else NAN,
    )


def mean(
    values: Sequence[float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """The mean with its bootstrap interval: percentiles, moved outwards for small samples
    ("expanded percentile", Hesterberg 2015, Am. Stat. 69:371).

    Values that are all alike have an interval of no width: nothing bounds what was not seen.
    """
    sample = np.asarray(values, dtype=np.float64)
    value = _mean(sample)
    if len(sample) < 2:
        return Estimate(value, NAN, NAN, len(sample))
    low, high = _spread(sample, _tail(confidence, len(sample)), seed, resamples)
    return Estimate(value, value + low, value + high, len(sample))


def mean_difference(
    without: Sequence[float],
    with_: Sequence[float],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """The mean of the paired differences, with − without, with the interval of ``mean``.

    Raises:
        ValueError: the two differ in length.
    """
    before, after = _aligned(without, with_)
    changes = (after - before).tolist()
    return mean(changes, confidence=confidence, seed=seed, resamples=resamples)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of independent estimates, each of equal weight; unknown ones are left out.

    Their distances to the limits are added as squares (MOVER: Zou & Donner 2008, Stat. Med.
    27:1693). ``n`` is the sum.
    """
    known = [each for each in estimates if each.known]
    if not known:
        return NOTHING
    value = math.fsum(each.value for each in known) / len(known)
    below = math.hypot(*(each.value - each.low for each in known)) / len(known)
    above = math.hypot(*(each.high - each.value for each in known)) / len(known)
    return Estimate(value, value - below, value + above, sum(each.n for each in known))


Cells = Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]]


def macro_difference(
    suites: Cells,
    *,
    shares: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """The mean over the suite × agent cells of their paired differences, each cell of equal weight.

    ``suites`` maps suite → agent → task id → (without, with). Tasks are resampled within their
    suite, and a task takes the results of all agents along: two agents at one task are not two
    independent observations. Cells without a pair are left out. ``n`` counts the pairs.

    ``shares=False`` takes values without bounds (turns, tokens): no pseudo-tasks are added.
    """
    tables = [_table(suites[name]) for name in sorted(suites)]
    tables = [table for table in tables if table.shape[1]]
    cells = sum(table.shape[1] for table in tables)
    if not cells:
        return NOTHING
    value = math.fsum(float(each) for table in tables for each in _means(table)) / cells
    pairs = sum(int(np.sum(~np.isnan(table))) for table in tables)
    if not shares and all(len(table) < 2 for table in tables):
        return Estimate(value, NAN, NAN, pairs)
    # Without pseudo-tasks the sample is as small as the tasks are few.
    tasks = sum(len(table) for table in tables)
    tail = (1 - confidence) / 2 if shares else _tail(confidence, tasks)
    # Either order of the pseudo-tasks: swapping the two sides swaps them, too.
    orders: list[tuple[float, ...]] = [_PSEUDO, _PSEUDO[::-1]] if shares else [()]
    limits = [
        np.quantile(
            sum(
                _moves(table, pseudo, seed, stream, resamples)
                for stream, table in enumerate(tables)
            ),
            [tail, 1 - tail],
        )
        for pseudo in orders
    ]
    low, high = (float(each) / cells for each in np.mean(limits, axis=0))
    limit = 1.0 if shares else math.inf
    return Estimate(value, max(value + low, -limit), min(value + high, limit), pairs)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values, corrected for their number (Holm 1979), in the order given.

    A nan (a cell that was not run) stays nan and does not count.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [NAN] * len(p_values)
    so_far = 0.0
    for rank, (p, index) in enumerate(order):
        so_far = max(so_far, min(1.0, p * (len(order) - rank)))
        corrected[index] = so_far
    return tuple(corrected)


def _aligned(without: Sequence[float], with_: Sequence[float]) -> tuple[Floats, Floats]:
    if len(without) != len(with_):
        raise ValueError(f"pairs need two values each: {len(without)} without, {len(with_)} with")
    return np.asarray(without, dtype=np.float64), np.asarray(with_, dtype=np.float64)


def _mcnemar(won: int, lost: int) -> float:
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def _z(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))


def _tail(confidence: float, n: int) -> float:
    """The percentile below which the lower limit lies: Hesterberg's expansion for n values."""
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * math.sqrt(n / (n - 1))
    return float(stats.norm.cdf(-reach))


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values) if len(values) else NAN


def _bounded(changes: Floats, confidence: float, seed: int, resamples: int) -> Estimate:
    """The mean of differences of shares, with pseudo-tasks in its spread."""
    if not len(changes):
        return NOTHING
    value = _mean(changes)
    sample = np.concatenate([changes, _PSEUDO])
    low, high = _spread(sample, (1 - confidence) / 2, seed, resamples)
    return Estimate(value, max(value + low, -1.0), min(value + high, 1.0), len(changes))


def _spread(sample: Floats, tail: float, seed: int, resamples: int) -> tuple[float, float]:
    """How far below and above its mean the mean of a resample lies.

    Sorting makes the order of the tasks irrelevant; taking the mean with the mirror image's spread
    makes swapping the two sides exact.
    """
    draws = _draws(len(sample), resamples, seed, 0)
    sides = []
    for values in (np.sort(sample), np.sort(-sample)):
        moved = draws @ (values - values.mean()) / len(values)
        sides.append(np.quantile(moved, [tail, 1 - tail]))
    (low, high), (mirror_low, mirror_high) = sides
    return float(low - mirror_high) / 2, float(high - mirror_low) / 2


def _table(agents: Mapping[str, Mapping[str, tuple[float, float]]]) -> Floats:
    """Differences of one suite: a row per task, a column per agent that has any; nan for none."""
    names = [name for name in sorted(agents) if agents[name]]
    tasks = sorted({task for name in names for task in agents[name]})
    table = np.full((len(tasks), len(names)), NAN)
    rows = {task: row for row, task in enumerate(tasks)}
    for column, name in enumerate(names):
        for task, (without, with_) in agents[name].items():
            table[rows[task], column] = float(with_) - float(without)
    return table


def _means(table: Floats) -> Floats:
    return np.asarray(np.nanmean(table, axis=0), dtype=np.float64)


def _moves(
    table: Floats, pseudo: tuple[float, ...], seed: int, stream: int, resamples: int
) -> Floats:
    """How far the sum of a suite's cells moves from what it is, per resample."""
    table = np.vstack([table, *(np.full(table.shape[1], value) for value in pseudo)])
    centred = np.nan_to_num(table - _means(table))
    draws = _draws(len(table), resamples, seed, stream)
    sizes = draws @ (~np.isnan(table)).astype(np.float64)
    # A resample may hold no task of a cell that has few; such a cell stays where it is.
    moves = (draws @ centred) / np.maximum(sizes, 1)
    return np.asarray(moves.sum(axis=1), dtype=np.float64)


# The cells of a report are mostly of a few sizes, and those of one size share their resamples: 24
# of them, at 500 tasks, are 240 MB.
@lru_cache(maxsize=24)
def _counts(n: int, resamples: int, seed: int, stream: int) -> NDArray[np.uint16]:
    """How often each of n tasks is in each resample, of shape (resamples, n)."""
    drawn = np.random.default_rng([seed, stream]).integers(n, size=(resamples, n))
    drawn += np.arange(resamples)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.uint16)


def _draws(n: int, resamples: int, seed: int, stream: int) -> Floats:
    return _counts(n, resamples, seed, stream).astype(np.float64)
