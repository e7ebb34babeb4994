"""Counts → all uplifts of a bank: claimed by intervals, and pooled for ranking (pure).

Two families of cells are claimed from, each at half of ``Rules.error``: category × agent, and
constraints (× agent, and over all agents). Two trees are pooled:

    bank ← category ← constraint ← family ← agent     uplift of a constraint for an agent
    bank ← category ← family ← agent                  uplift of what a category recalls

A constraint belongs to the category in which it has most judged outcomes (ties: by name).

No named source is believed alone. Where a cell has trusted outcomes on both sides of a coin, they
alone count. Where it has not, it is looked at without each named source in turn: what all looks
agree on (the sign) is believed as far as the weakest of them goes, and nothing is known otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from memcollab.evidence.counts import Cells, Evidence, Strata, Tally
from memcollab.evidence.pooling import Path, Pooled, Tree, pool
from memcollab.evidence.rules import Rules
from memcollab.evidence.sequence import Floats, Ints, compare, half_width, level, log_e

Cell = TypeVar("Cell", bound=Hashable)
# A stratum's tally and the source that reported it.
Counted = tuple[str, Tally]

# Prior standard deviations of the steps: of the root around 0, then one per level. A bank whose
# constraints differ by ten points and whose families and agents differ by half of that.
_CONSTRAINT_STEPS = (0.05, 0.05, 0.1, 0.05, 0.05)
_CATEGORY_STEPS = (0.05, 0.1, 0.05, 0.05)


class Uplift(NamedTuple):
    """Shown minus withheld (share solved, −1 to 1) with its interval, valid at any time of looking.

    ``shown`` and ``withheld`` are the judged outcomes behind it, ``unjudged`` those that count for
    nothing. ``confidence`` is that of the interval: the more cells a bank has, and the fewer of
    them have an effect, the nearer to 1. Without outcomes on both sides value and limits are nan.
    """

    value: float
    low: float
    high: float
    shown: int
    withheld: int
    unjudged: int
    confidence: float

    @property
    def helps(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def hurts(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"unknown ({self.shown} shown, {self.withheld} withheld)"
        value, low, high = (f"{100 * each:+.1f}" for each in (self.value, self.low, self.high))
        return f"{value} points [{low}, {high}] ({self.shown} shown, {self.withheld} withheld)"


@dataclass(frozen=True)
class Assessment:
    """What the outcomes say of a bank: claims by (category, agent), by (constraint, agent) and by
    constraint over all agents; pooled estimates by ``constraint_for`` and ``category_for``, which
    answer for what was never seen, too. ``judged`` counts the outcomes behind it by (constraint,
    agent)."""

    categories: Mapping[tuple[str, str], Uplift]
    constraints: Mapping[tuple[str, str], Uplift]
    overall: Mapping[str, Uplift]
    homes: Mapping[str, str]
    families: Mapping[str, str]
    judged: Mapping[tuple[str, str], int]
    constraint_tree: Tree
    category_tree: Tree

    def constraint_for(self, constraint: str, agent: str, family: str, category: str) -> Pooled:
        """The pooled uplift of a constraint for an agent. ``category`` is where a constraint that
        was never found belongs."""
        home = self.homes.get(constraint, category)
        return self.constraint_tree.at((home, constraint, family, agent))

    def category_for(self, category: str, agent: str, family: str) -> Pooled:
        """The pooled uplift of what ``category`` recalls for an agent."""
        return self.category_tree.at((category, family, agent))


def assess(evidence: Evidence, rules: Rules) -> Assessment:
    """Every uplift of a bank. Linear in the counts; call it once for many decisions."""
    by_category, by_constraint = evidence.categories, evidence.constraints
    over_agents = _over_agents(by_constraint)
    homes = _homes(by_constraint)
    families = dict(sorted(evidence.families.items()))
    categories, category_values = _uplifts(_tallies(by_category), rules)
    both, both_values = _uplifts({**_tallies(by_constraint), **over_agents}, rules)
    return Assessment(
        categories=categories,
        constraints={cell: both[cell] for cell in sorted(by_constraint)},
        overall={constraint: both[constraint] for constraint in over_agents},
        homes=homes,
        families=families,
        judged={cell: both[cell].shown + both[cell].withheld for cell in sorted(by_constraint)},
        constraint_tree=_tree(
            {
                (homes[constraint], constraint, families[agent], agent): (constraint, agent)
                for constraint, agent in sorted(by_constraint)
            },
            both_values,
            _CONSTRAINT_STEPS,
        ),
        category_tree=_tree(
            {
                (category, families[agent], agent): (category, agent)
                for category, agent in sorted(by_category)
            },
            category_values,
            _CATEGORY_STEPS,
        ),
    )


def _uplifts(
    cells: Mapping[Cell, Sequence[Counted]], rules: Rules
) -> tuple[dict[Cell, Uplift], dict[Cell, tuple[float, float]]]:
    """Uplift of each cell, all at one level; and their values with variances, for pooling."""
    counts, numbers = _arrays(_believed(tallies, rules) for tallies in cells.values())
    found = compare(counts[:, :4], numbers, len(cells))
    known = np.isfinite(found.value)
    evidence = log_e(found.value, found.variance, rules.effect)
    at = level(evidence[known], rules.error / 2)
    reach = half_width(found.variance, rules.effect, at)
    columns = zip(
        found.value.tolist(),
        np.maximum(found.value - reach, -1).tolist(),
        np.minimum(found.value + reach, 1).tolist(),
        found.shown.astype(int).tolist(),
        found.withheld.astype(int).tolist(),
        (sum(tally.unjudged for _, tally in tallies) for tallies in cells.values()),
        [1 - at] * len(cells),
        strict=True,
    )
    uplifts = {cell: Uplift(*column) for cell, column in zip(cells, columns, strict=True)}
    values = zip(found.value.tolist(), found.variance.tolist(), strict=True)
    return uplifts, dict(zip(cells, values, strict=True))


def _believed(counted: Sequence[Counted], rules: Rules) -> list[Tally]:
    """The tallies of a cell that count, by who reported them."""
    named = sorted({source for source, tally in counted if source and tally.judged})
    if not named:
        return [tally for _, tally in counted]
    trusted = [tally for source, tally in counted if not source]
    if _compares(trusted):
        return trusted
    looks = [[tally for source, tally in counted if source != without] for without in named]
    counts, numbers = _arrays(looks)
    found = compare(counts[:, :4], numbers, len(looks))
    signs = np.sign(found.value)
    if not np.all(signs == signs[0]):  # nan is unlike itself
        return trusted
    return looks[int(np.argmin(log_e(found.value, found.variance, rules.effect)))]


def _compares(tallies: Iterable[Tally]) -> bool:
    """Whether any stratum has judged outcomes on both sides."""
    return any(
        tally.shown_solved + tally.shown_failed and tally.withheld_solved + tally.withheld_failed
        for tally in tallies
    )


def _arrays(cells: Iterable[Sequence[Tally]]) -> tuple[Floats, Ints]:
    """A row of counts per stratum, and the number of the cell it belongs to."""
    rows, numbers = list[Tally](), list[int]()
    for number, tallies in enumerate(cells):
        rows.extend(tallies)
        numbers.extend([number] * len(tallies))
    # Several times as fast as np.array of tuples.
    counts = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * len(Tally._fields))
    return counts.reshape(-1, len(Tally._fields)), np.array(numbers, dtype=np.int64)


def _sorted(strata: Strata) -> list[Counted]:
    """In the order of their strata: the order of outcomes changes not even a last digit."""
    return [(stratum.source, tally) for stratum, tally in sorted(strata.items())]


def _tallies(cells: Cells) -> dict[tuple[str, str], list[Counted]]:
    return {cell: _sorted(strata) for cell, strata in sorted(cells.items())}


def _over_agents(cells: Cells) -> dict[str, list[Counted]]:
    """The tallies of each constraint with every agent. They stay apart: agents differ in how much
    they solve, and in how often they are shown what."""
    together = defaultdict[str, list[Counted]](list)
    for (constraint, _), strata in sorted(cells.items()):
        together[constraint].extend(_sorted(strata))
    return dict(together)


def _homes(cells: Cells) -> dict[str, str]:
    """Where each constraint has most judged outcomes."""
    outcomes = defaultdict[str, Counter[str]](Counter)
    for (constraint, _), strata in cells.items():
        for stratum, tally in strata.items():
            outcomes[constraint][stratum.category] += tally.judged
    return {
        constraint: min(counts, key=lambda category: (-counts[category], category))
        for constraint, counts in sorted(outcomes.items())
    }


def _tree(
    cells: Mapping[Path, Cell],
    values: Mapping[Cell, tuple[float, float]],
    steps: Sequence[float],
) -> Tree:
    pairs = np.array([values[cell] for cell in cells.values()]).reshape(-1, 2)
    return pool(tuple(cells), pairs[:, 0], pairs[:, 1], steps)
