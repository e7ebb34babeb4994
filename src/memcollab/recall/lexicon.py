"""The words that tell what a text is about, and the TF-IDF cosine of a text with many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import words

Reals = NDArray[Any]

# Function words of English and of tasks: they say nothing about what is asked. In a partition of
# five constraints no idf can tell.
_STOP = frozenset(
    """a about all also an and any are as at be been both but by can could did do does each for from
    had has have he her his how i if in into is it its let may must no not of on one only or our she
    so some such than that the their them then there these they this those to two was we were what
    when where which while who whose will with would you your answer find give given question
    express enforce avoid""".split()
)


# A word of so few texts is not common, however few texts there are.
_RARE = 8
# With fewer words than these, the share of them that two texts have in common says nothing.
_ENOUGH = 4


def content_words(text: str) -> list[str]:
    """The words that say what a text is about: no function words, no signs, no single letters."""
    return list(filter(_tells, words(text)))


@lru_cache(maxsize=65_536)
def _tells(word: str) -> bool:
    return len(word) > 1 and word not in _STOP and (word[0].isalpha() or word[0] == "\\")


class _LookedUp(NamedTuple):
    """How many words of a query weigh something, the owners of those that texts hold (a text once
    for each), and the cosines."""

    asked: int
    owners: NDArray[np.int64]
    cosines: Reals


class Lexicon:
    """TF-IDF cosine of one text with each of many, over an inverted list: the numbers of the texts
    that hold word ``i``, and its weights there, stand from ``_starts[i]`` to ``_starts[i + 1]``.

    Words that more than a tenth of the texts hold (and more than ``_RARE``) weigh nothing: they
    tell little apart and make most of the list.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        counts = [Counter(content_words(text)) for text in texts]
        flat = list(chain.from_iterable(counts))
        self._ids = {word: number for number, word in enumerate(dict.fromkeys(flat))}
        ids = np.array([self._ids[word] for word in flat], dtype=np.int64)
        owners = np.repeat(np.arange(self._count), [len(count) for count in counts])
        times = np.array([n for count in counts for n in count.values()], dtype=np.float64)
        frequency = np.bincount(ids, minlength=len(self._ids))
        tells = frequency <= max(_RARE, self._count / 10)
        self._idf = np.where(tells, np.log1p(self._count / frequency), 0)
        kept = np.flatnonzero(tells[ids])
        kept = kept[np.argsort(ids[kept], kind="stable")]
        ids, owners, times = ids[kept], owners[kept], times[kept]
        weights = (1 + np.log(times)) * self._idf[ids]
        lengths = np.sqrt(np.bincount(owners, weights**2, minlength=self._count))
        self._owners = owners
        self._weights = weights / lengths[owners]
        self._sizes = np.bincount(owners, minlength=self._count)
        self._starts = np.concatenate([[0], np.cumsum(np.where(tells, frequency, 0))])

    def cosines(self, query: Counter[str]) -> Reals:
        """For each text its cosine with the query, 0 to 1, shape ``(texts,)``.

        A word of the query that no text holds counts against every text, as one would that a
        single text holds.
        """
        return self._looked_up(query).cosines

    def look(self, query: Counter[str]) -> tuple[Reals, Reals]:
        """The cosines, and for each text the share of the words of the shorter of the two that the
        other holds (1 if these are too few to tell), shape ``(texts,)`` each."""
        found = self._looked_up(query)
        shared = np.bincount(found.owners, minlength=self._count)
        fewer = np.minimum(found.asked, self._sizes)
        return found.cosines, np.where(fewer < _ENOUGH, 1, shared / np.maximum(fewer, 1))

    def _looked_up(self, query: Counter[str]) -> _LookedUp:
        ids = np.array([self._ids.get(word, -1) for word in query], dtype=np.int64)
        known = ids >= 0
        if not known.any():
            return _LookedUp(0, np.empty(0, np.int64), np.zeros(self._count))
        times = np.array(list(query.values()), dtype=np.float64)
        weights = (1 + np.log(times)) * np.where(known, self._idf[ids], math.log1p(self._count))
        asked = int(np.count_nonzero(weights))
        weights = weights[known] / (np.sqrt(np.vecdot(weights, weights)) or 1)
        starts, ends = self._starts[ids[known]], self._starts[ids[known] + 1]
        lists = [slice(*both) for both in zip(starts.tolist(), ends.tolist(), strict=True)]
        owners = np.concatenate([self._owners[one] for one in lists])
        shares = np.concatenate([self._weights[one] for one in lists])
        shares *= np.repeat(weights, ends - starts)
        return _LookedUp(asked, owners, np.bincount(owners, shares, minlength=self._count))
