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
show. Where values are shares, two pseudo-tasks, one won and one lost, are therefore added to each
suite before the bootstrap (Agresti & Min 2005, Biometrics 61:515; Bonett & Price 2012, J. Educ.
Behav. Stat. 37:479). The value stays the observed one; the interval is that of the tasks with the
pseudo-tasks, so that its centre lies nearer to 0. One cell, and a mean that one cell makes up, are
computed alike and have the same interval.

A difference is called above or below 0 where its interval lies there and, of one cell's shares,
the exact McNemar test agrees at ``LEVEL``: with 5 won and none lost they can differ.
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
Groups = Mapping[str, Mapping[str, str]]
NAN = math.nan
LEVEL = 0.05
_PSEUDO = (1.0, -1.0)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``n`` is the number of tasks (of pairs, in a difference).

    ``p`` is that of the exact McNemar test, two-sided, where the value is the difference of one
    cell's shares; else nan. Of tasks with several seeds it is the sign test over won and lost,
    which is the same test where a task has one seed.
    """

    value: float
    low: float
    high: float
    n: int
    p: float = NAN

    @property
    def known(self) -> bool:
        return self.n > 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0, and no test says that this may be chance."""
        return self.low > 0 and not self.p >= LEVEL

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0, and no test says that this may be chance."""
        return self.high < 0 and not self.p >= LEVEL

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low, self.n, self.p)

    def times(self, factor: float) -> Estimate:
        """The same in another unit; ``factor`` is above 0."""
        value, low, high = (factor * each for each in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.n, self.p)


NOTHING = Estimate(NAN, NAN, NAN, 0)


@dataclass(frozen=True)
class Paired:
    """What a memory changed on the same tasks.

    ``difference`` of shares, with − without. ``won`` tasks are solved more often with than without,
    ``lost`` ones less often; of the ties, ``neither`` were never solved and ``both`` are the rest.
    """

    difference: Estimate
    won: int
    lost: int
    both: int
    neither: int

    @property
    def p(self) -> float:
        """As ``Estimate.p``."""
        return self.difference.p


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
    cell = {str(task): pair for task, pair in enumerate(zip(before, after, strict=True))}
    found = macro_difference(
        {"": {"": cell}}, confidence=confidence, seed=seed, resamples=resamples
    )
    return Paired(found, won, lost, len(changes) - won - lost - neither, neither)


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
    tail = _tail(confidence, len(sample))
    low, high = _limits([_Table.of(sample[:, None])], tail, seed, resamples)
    return Estimate(value, low, high, len(sample))


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


Cells = Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]]


def macro_share(
    suites: Mapping[str, Mapping[str, Mapping[str, float]]],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """The mean over the suite × agent cells of the share of tasks solved, each of equal weight.

    ``suites`` maps suite → agent → task id → share (0 to 1, or bool). Tasks are resampled as in
    ``macro_difference``: agents that attempted the same tasks are not twice as many tasks. Two won
    and two lost pseudo-tasks are added to each suite (Agresti & Coull 1998, Am. Stat. 52:119). One
    cell alone has the interval of ``share``. ``n`` counts tasks.
    """
    names = [name for name in sorted(suites) if any(suites[name].values())]
    if not names:
        return NOTHING
    tables = [_table(_as_pairs(suites[name]), {}) for name in names]
    cells = sum(table.cells for table in tables)
    n = sum(len(table.sums) for table in tables)
    if cells == 1:
        return share(float(tables[0].sums.sum()), n, confidence)
    value = math.fsum(float(each) for table in tables for each in table.means) / cells
    added = [table.with_rows((1.0, 1.0, 0.0, 0.0)) for table in tables]
    low, high = _limits(added, (1 - confidence) / 2, seed, resamples)
    low, high = round(low / cells, 12), round(high / cells, 12)
    return Estimate(value, max(0.0, min(low, value)), min(max(high, value), 1.0), n)


def macro_difference(
    suites: Cells,
    *,
    groups: Groups | None = None,
    shares: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 10_000,
) -> Estimate:
    """The mean over the suite × agent cells of their paired differences, each cell of equal weight.

    ``suites`` maps suite → agent → task id → (without, with). Tasks are resampled within their
    suite, and a task takes the results of all agents along: two agents at one task are not two
    independent observations. Cells without a pair are left out. ``n`` counts the pairs.

    ``groups`` maps suite → task id → group: groups are resampled whole in place of tasks, for tasks
    of one group may be won and lost together (a cluster bootstrap, with percentiles moved outwards
    for few groups as in ``mean``). A task of no group is one of its own. There is no p then.

    ``shares=False`` takes values without bounds (turns, tokens): no pseudo-tasks are added.
    """
    names = [name for name in sorted(suites) if any(suites[name].values())]
    if not names:
        return NOTHING
    tables = [_table(suites[name], (groups or {}).get(name, {})) for name in names]
    cells = sum(table.cells for table in tables)
    value = math.fsum(float(each) for table in tables for each in table.means) / cells
    pairs = sum(table.n for table in tables)
    rows = sum(len(table.sums) for table in tables)
    if not shares and all(len(table.sums) < 2 for table in tables):
        return Estimate(value, NAN, NAN, pairs)
    if shares:
        tables = [table.with_rows(_PSEUDO) for table in tables]
    # Without pseudo-tasks the sample is as small as the tasks are few, and so it is with groups.
    expanded = bool(groups) or not shares
    tail = _tail(confidence, max(rows, 2)) if expanded else (1 - confidence) / 2
    # What is left of 0 after sums of fractions is no sign.
    low, high = (round(each / cells, 12) for each in _limits(tables, tail, seed, resamples))
    limit = 1.0 if shares else math.inf
    p = _of_one_cell(suites[names[0]]) if shares and cells == 1 and not groups else NAN
    return Estimate(value, max(low, -limit), min(high, limit), pairs, p)


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


def _of_one_cell(agents: Mapping[str, Mapping[str, tuple[float, float]]]) -> float:
    """The p of the exact McNemar test for the one cell of a suite."""
    changes = [after - before for cell in agents.values() for before, after in cell.values()]
    won, lost = sum(each > 0 for each in changes), sum(each < 0 for each in changes)
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def _z(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))


def _tail(confidence: float, n: int) -> float:
    """The percentile below which the lower limit lies: Hesterberg's expansion for n values."""
    reach = stats.t.ppf((1 + confidence) / 2, n - 1) * math.sqrt(n / (n - 1))
    return float(stats.norm.cdf(-reach))


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values) if len(values) else NAN


@dataclass(frozen=True)
class _Table:
    """What is resampled: a row per task or group, a column per cell. ``sums`` of values and how
    many tasks they are of, ``counts``; 0 where a cell has none."""

    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Floats) -> _Table:
        """A row per task; nan where a cell does not have it."""
        return cls(np.nan_to_num(values), (~np.isnan(values)).astype(np.float64))

    @property
    def cells(self) -> int:
        return len(self.sums.T)

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def means(self) -> Floats:
        return np.asarray(self.sums.sum(axis=0) / self.counts.sum(axis=0), dtype=np.float64)

    def with_rows(self, values: Sequence[float]) -> _Table:
        """With a pseudo-task of each value, the same in every cell."""
        more = np.repeat(np.asarray(values, dtype=np.float64)[:, None], self.cells, axis=1)
        counts = np.vstack([self.counts, np.ones_like(more)])
        return _Table(np.vstack([self.sums, more]), counts)

    def sorted(self) -> _Table:
        """Its rows in an order that depends on their content alone."""
        order = np.lexsort(np.hstack([self.counts, self.sums]).T)
        return _Table(self.sums[order], self.counts[order])

    def moves(self, seed: int, stream: int, resamples: int) -> Floats:
        """How far the sum of its cells' means moves from what it is, per resample."""
        centred = self.sums - self.counts * self.means
        draws = _draws(len(self.sums), resamples, seed, stream)
        # A resample may hold no task of a cell that has few; such a cell stays where it is.
        moved = (draws @ centred) / np.maximum(draws @ self.counts, 1)
        return np.asarray(moved.sum(axis=1), dtype=np.float64)


def _limits(
    tables: Sequence[_Table], tail: float, seed: int, resamples: int
) -> tuple[float, float]:
    """The limits of the sum of all cells' means.

    Sorting makes the order of the tasks irrelevant; taking the mean with the mirror image's spread
    makes swapping the two sides exact.
    """
    centre = math.fsum(float(each) for table in tables for each in table.means)
    sides = []
    for sign in (1, -1):
        turned = [_Table(sign * table.sums, table.counts).sorted() for table in tables]
        moved = sum(table.moves(seed, stream, resamples) for stream, table in enumerate(turned))
        sides.append(np.quantile(moved, [tail, 1 - tail]))
    (low, high), (mirror_low, mirror_high) = sides
    return centre + float(low - mirror_high) / 2, centre + float(high - mirror_low) / 2


def _as_pairs(
    agents: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, tuple[float, float]]]:
    return {
        agent: {task: (0.0, float(value)) for task, value in tasks.items()}
        for agent, tasks in agents.items()
    }


def _table(
    agents: Mapping[str, Mapping[str, tuple[float, float]]], groups: Mapping[str, str]
) -> _Table:
    """Differences of one suite: a row per task, or group of tasks, a column per agent that has
    any."""
    names = [name for name in sorted(agents) if agents[name]]
    # A task's id may be the name of a group.
    unit = {task: (task in groups, groups.get(task, task)) for x in names for task in agents[x]}
    rows = {each: row for row, each in enumerate(sorted(set(unit.values())))}
    sums, counts = np.zeros((2, len(rows), len(names)))
    for column, name in enumerate(names):
        for task, (without, with_) in agents[name].items():
            sums[rows[unit[task]], column] += float(with_) - float(without)
            counts[rows[unit[task]], column] += 1
    return _Table(sums, counts)


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
