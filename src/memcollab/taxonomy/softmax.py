"""A linear softmax classifier over weighted words and a vector: numpy only, no random number.

A text is its words and word pairs, weighted (1 + log count) · idf and brought to length 1, beside
its embedding, centred and brought to length ``VECTOR_WEIGHT``. The loss is convex, so training has
one answer, and L-BFGS (Nocedal and Wright 2006, algorithm 7.5) finds it in some thirty passes:
a second for 5,000 tasks. scikit-learn would do the same at 0.6 s of import and 100 MB of install.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import Vectors, words

# Chosen by cross-validation on MATH tasks outside MATH500: design/categories.md.
VECTOR_WEIGHT = 0.5
PENALTY = 0.1
PASSES = 40
_MEMORY = 8
_ENOUGH = 1e-4

# float32 throughout; the stubs of numpy lose it at every step.
Reals = NDArray[Any]
Whole = NDArray[np.int64]
Loss = Callable[[Reals], tuple[float, Reals]]


def terms(text: str) -> list[str]:
    """The words of ``text`` and its pairs of neighbours."""
    found = words(text)
    return [*found, *(f"{first} {second}" for first, second in pairwise(found))]


@dataclass(frozen=True)
class Features:
    """How a text becomes numbers: the terms that count, their idf, the centre of the vectors."""

    vocabulary: Mapping[str, int]
    idf: Reals
    centre: Reals

    @classmethod
    def fit(cls, counted: Sequence[Sequence[str]], always: int, vectors: Vectors) -> Features:
        """Features of texts given as their terms; a term counts if two texts hold it, or one of the
        first ``always``."""
        frequency = Counter[str]()
        for text in counted:
            frequency.update(set(text))
        kept = {term for term, count in frequency.items() if count > 1}
        kept.update(term for text in counted[:always] for term in text)
        ordered = sorted(kept)
        counts = np.array([frequency[term] for term in ordered], dtype=np.float32)
        return cls(
            vocabulary={term: number for number, term in enumerate(ordered)},
            idf=np.log((1 + len(counted)) / (1 + counts)) + 1,
            centre=vectors.mean(axis=0),
        )

    def weigh(self, text: Iterable[str]) -> tuple[Whole, Reals]:
        """Ids and weights of the terms of one text; never empty."""
        counts = Counter(map(self.vocabulary.get, text))
        counts.pop(None, None)
        if not counts:
            return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
        ids = np.array(list(counts), dtype=np.int64)
        weights = (1 + np.log(np.array(list(counts.values()), dtype=np.float32))) * self.idf[ids]
        return ids, weights / np.sqrt(np.vecdot(weights, weights))

    def place(self, vectors: Vectors) -> Reals:
        """Embeddings, centred and brought to length ``VECTOR_WEIGHT``."""
        centred = vectors - self.centre
        lengths = np.sqrt(np.vecdot(centred, centred))[..., None]
        placed: Reals = VECTOR_WEIGHT * centred / np.where(lengths > 0, lengths, 1)
        return placed


class Rows:
    """Texts as a sparse matrix of term weights, by row and by column, beside their vectors."""

    def __init__(self, rows: Sequence[tuple[Whole, Reals]], dense: Reals, columns: int) -> None:
        self.dense = dense
        self.columns = columns
        self._starts = np.cumsum([0, *(len(ids) for ids, _ in rows[:-1])])
        self._ids = np.concatenate([ids for ids, _ in rows])
        self._weights = np.concatenate([weights for _, weights in rows])[:, None]
        owner = np.repeat(np.arange(len(rows)), [len(ids) for ids, _ in rows])
        by_column = np.argsort(self._ids, kind="stable")
        self._owner = owner[by_column]
        self._turned = self._weights[by_column]
        self._used, self._column_starts = np.unique(self._ids[by_column], return_index=True)

    @property
    def width(self) -> int:
        """Features of a row, sparse and dense."""
        return self.columns + int(self.dense.shape[1])

    def times(self, weights: Reals) -> Reals:
        """Rows × ``weights`` (features, classes)."""
        sparse = weights.take(self._ids, axis=0)
        sparse *= self._weights
        total: Reals = np.add.reduceat(sparse, self._starts, axis=0)
        total += self.dense @ weights[self.columns :]
        return total

    def turned_times(self, values: Reals) -> Reals:
        """Rows turned × ``values`` (rows, classes)."""
        total = np.zeros((self.width, values.shape[1]), dtype=np.float32)
        sparse = values.take(self._owner, axis=0)
        sparse *= self._turned
        total[self._used] = np.add.reduceat(sparse, self._column_starts, axis=0)
        total[self.columns :] = self.dense.T @ values
        return total


def train(rows: Rows, classes: Whole, count: int, importance: Reals) -> Reals:
    """Weights (features, ``count``) of the softmax classifier with an L2 penalty.

    Args:
        classes: the class of each row, 0 to ``count`` - 1.
        importance: how many rows each row stands for.
    """
    wanted = np.eye(count, dtype=np.float32)[classes]

    def loss(weights: Reals) -> tuple[float, Reals]:
        guessed = softmax(rows.times(weights))
        surprise = -np.log(np.maximum(guessed[np.arange(len(classes)), classes], 1e-12))
        slope = rows.turned_times((guessed - wanted) * importance[:, None])
        value = float(importance @ surprise) + PENALTY / 2 * float(np.vdot(weights, weights))
        return value, slope + PENALTY * weights

    return _minimise(loss, np.zeros((rows.width, count), dtype=np.float32))


def softmax(scores: Reals) -> Reals:
    """Probabilities along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: Reals = raised / raised.sum(axis=-1, keepdims=True)
    return total


def _minimise(loss: Loss, start: Reals) -> Reals:
    """Where ``loss`` (a value and its slope) is least, by limited-memory BFGS."""
    here, (value, slope) = start, loss(start)
    past: list[tuple[Reals, Reals]] = []
    for _ in range(PASSES):
        way = _direction(slope, past)
        there, new_value, new_slope = _step(loss, here, value, slope, way)
        move, bend = there - here, new_slope - slope
        if np.vdot(move, bend) > 1e-10:
            past = [*past[1 - _MEMORY :], (move, bend)]
        settled = value - new_value <= _ENOUGH * abs(new_value)
        here, value, slope = there, new_value, new_slope
        if settled:
            break
    return here


def _direction(slope: Reals, past: Sequence[tuple[Reals, Reals]]) -> Reals:
    """The slope seen through the curvature of the past steps (the two-loop recursion)."""
    way = slope.copy()
    if not past:
        way /= max(float(np.abs(slope).sum()), 1e-12)
        return way
    shares = []
    for move, bend in reversed(past):
        shares.append(np.vdot(move, way) / np.vdot(move, bend))
        way -= shares[-1] * bend
    move, bend = past[-1]
    way *= np.vdot(move, bend) / np.vdot(bend, bend)
    for (move, bend), share in zip(past, reversed(shares), strict=True):
        way += (share - np.vdot(bend, way) / np.vdot(move, bend)) * move
    return way


def _step(
    loss: Loss, here: Reals, value: float, slope: Reals, way: Reals
) -> tuple[Reals, float, Reals]:
    """The next point along ``way``: halved until the value falls as it should (Armijo)."""
    length, gain = 1.0, float(np.vdot(slope, way))
    while True:
        there = here - length * way
        new_value, new_slope = loss(there)
        if new_value <= value - 1e-4 * length * gain or length < 1e-6:
            return there, new_value, new_slope
        length /= 2
