"""Estimates that borrow strength along a tree: normal-normal shrinkage at every level (pure).

A node's true uplift is its parent's plus a step ~ N(0, τ²) of its level; a leaf is seen with a
normal error of known variance v. With two levels the estimate of a leaf y is the classic

    parent + τ² / (τ² + v) · (y − parent)

(Efron & Morris 1975, JASA 70:311; Morris 1983, JASA 78:47). Over the whole tree ``pool`` takes the
exact posterior: sums of precisions towards the root, then back, each node without its own message
(Gaussian belief propagation; Pearl 1988, ch. 7). No outcome is counted twice.

τ² of a level is estimated from how much siblings differ beyond their errors: one scoring step of
the marginal likelihood from a prior guess τ₀², which is worth ``_PRIOR_SIBLINGS`` siblings that are
known exactly (the moment idea of DerSimonian & Laird 1986, Control. Clin. Trials 7:177, with the
weights of Fisher information). So few data cannot show that all siblings are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from memcollab.evidence.sequence import Floats, Ints

_PRIOR_SIBLINGS = 5.0
_LEAST = 0.01  # share of the prior variance that is always kept

Path = tuple[str, ...]


class Pooled(NamedTuple):
    """An estimated uplift (share solved) and its standard deviation: for ranking only."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Tree:
    """What is known of every node: ``nodes`` by path from the root, which is (), and the standard
    deviation τ of a step to each level (the first is that of the root around 0)."""

    nodes: Mapping[Path, Pooled]
    spread: tuple[float, ...]

    def at(self, path: Path) -> Pooled:
        """The estimate at ``path``; below the last known node, that node's with the steps between
        added to its uncertainty."""
        depth = len(path)
        while path[:depth] not in self.nodes:
            depth -= 1
        mean, sd = self.nodes[path[:depth]]
        steps = self.spread[depth + 1 : len(path) + 1]
        return Pooled(mean, float(np.sqrt(sd**2 + sum(step**2 for step in steps))))


def pool(
    paths: Sequence[Path], values: Floats, variances: Floats, guesses: Sequence[float]
) -> Tree:
    """The tree of these leaves.

    ``paths`` are all of one length and different; ``variances`` may be nan (nothing is known of the
    leaf). ``guesses`` are the prior standard deviations τ₀, one for the root and one per level.
    """
    levels = [sorted({path[:depth] for path in paths}) for depth in range(len(guesses))]
    levels[0] = [()]
    places = [{path: place for place, path in enumerate(level)} for level in levels]
    parents = [
        np.array([above[path[:-1]] for path in level], dtype=np.int64)
        for above, level in zip(places, levels[1:], strict=False)
    ]
    order = np.array([places[-1][path] for path in paths], dtype=np.int64)
    precision, weighted = np.zeros(len(levels[-1])), np.zeros(len(levels[-1]))
    known = np.isfinite(variances) & np.isfinite(values)
    precision[order[known]] = 1 / variances[known]
    weighted[order[known]] = values[known] / variances[known]
    return _solve(levels, parents, precision, weighted, guesses)


def _solve(
    levels: Sequence[Sequence[Path]],
    parents: Sequence[Ints],
    precision: Floats,
    weighted: Floats,
    guesses: Sequence[float],
) -> Tree:
    """Up from the leaves, down from the root. ``weighted`` is precision times mean."""
    below, messages, spread = [(precision, weighted)], list[tuple[Floats, Floats]](), list[float]()
    for depth in range(len(parents), 0, -1):
        parent, size = parents[depth - 1], len(levels[depth - 1])
        step = _step(*below[0], parent, size, guesses[depth] ** 2)
        damped = 1 / (1 + below[0][0] * step)
        message = (below[0][0] * damped, below[0][1] * damped)
        messages.insert(0, message)
        spread.insert(0, step)
        below.insert(0, (_sum(message[0], parent, size), _sum(message[1], parent, size)))
    spread.insert(0, guesses[0] ** 2)
    posterior = [(below[0][0] + 1 / spread[0], below[0][1])]
    for depth, parent in enumerate(parents, start=1):
        precise = posterior[-1][0][parent] - messages[depth - 1][0]
        mean = (posterior[-1][1][parent] - messages[depth - 1][1]) / precise
        prior = 1 / (1 / precise + spread[depth])
        posterior.append((below[depth][0] + prior, below[depth][1] + prior * mean))
    nodes = {
        path: Pooled(mean, sd)
        for level, (precise, weight) in zip(levels, posterior, strict=True)
        for path, mean, sd in zip(
            level, (weight / precise).tolist(), (precise**-0.5).tolist(), strict=True
        )
    }
    return Tree(nodes, tuple(float(step) ** 0.5 for step in spread))


def _step(precision: Floats, weighted: Floats, parent: Ints, size: int, guess: float) -> float:
    """τ² between siblings. ``guess`` is τ₀²."""
    known = precision > 0
    if not known.any():
        return guess
    parent, variance = parent[known], 1 / precision[known]
    value = weighted[known] * variance
    weight = 1 / (variance + guess)
    total = _sum(weight, parent, size)
    siblings = _sum(np.ones(len(weight)), parent, size)[parent]
    centre = (_sum(weight * value, parent, size)[parent]) / total[parent]
    # A sibling pulls the centre towards itself: what is left of its distance has this expectation.
    kept = 1 - weight / total[parent]
    several = siblings > 1
    beyond = (value - centre)[several] ** 2 / kept[several] - variance[several]
    information = (weight[several] * guess) ** 2 * kept[several]
    found = _PRIOR_SIBLINGS * guess + float(np.sum(information * beyond))
    return max(_LEAST * guess, found / (_PRIOR_SIBLINGS + float(np.sum(information))))


def _sum(values: Floats, parent: Ints, size: int) -> Floats:
    return np.bincount(parent, values, size).astype(np.float64)
