"""Cosines of one vector with many: bounds of all first, then the cosines of those asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import Vectors

try:
    import simsimd
except ImportError:  # the bounds are the cosines then, and take two or three times as long
    simsimd = None  # type: ignore[assignment]

# Fewer vectors are read in full sooner than bounded.
_FEW = 500
_MOST = 127
# More than rounding can take from a sum of products of two vectors of length 1.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Asked:
    """A vector of length 1 or 0, shape ``(dim,)``, that is compared with many others."""

    vector: Vectors

    @cached_property
    def whole(self) -> Whole:
        """The same in whole numbers."""
        return Whole(self.vector[np.newaxis])


class Cosines:
    """Vectors of length 1 or 0, shape ``(count, dim)``, to be compared with others.

    Most of what a comparison with many takes is reading them. So each is also kept in whole
    numbers of one byte, and only what comes near in those is read in full.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._whole = Whole(vectors) if simsimd and len(vectors) >= _FEW else None

    def bounds(self, query: Asked) -> NDArray[np.floating]:
        """Nothing less than the cosine of each with ``query``, shape ``(count,)``."""
        return self.exact(query.vector) if self._whole is None else self._whole.bounds(query.whole)

    def exact(self, query: Vectors, numbers: NDArray[np.intp] | None = None) -> Vectors:
        """The cosines of those ``numbers`` (None: of all), bit for bit the same in any company."""
        some = self.vectors if numbers is None else self.vectors[numbers]
        cosines: Vectors = np.vecdot(some, query)
        return cosines


class Whole:
    """Vectors as whole numbers from -127 to 127, each times a step of its own, and the length of
    what that leaves out of it."""

    def __init__(self, vectors: Vectors) -> None:
        greatest = np.abs(vectors).max(axis=1, initial=0)
        self._steps = np.where(greatest > 0, greatest, 1) / _MOST
        steps = self._steps[:, np.newaxis]
        self._numbers = np.rint(vectors / steps).astype(np.int8)
        left = vectors - self._numbers * steps
        self._left: NDArray[np.floating] = np.sqrt(np.vecdot(left, left))

    def bounds(self, asked: Whole) -> NDArray[np.floating]:
        """Nothing less than the cosine of each with that of ``asked``, shape ``(count,)``.

        With v = v̂ + l and q = q̂ + m, v·q = v̂·q̂ + l·q + v̂·m, and the last two are at most |l| and
        (1 + |l|)·|m| (Cauchy and Schwarz).
        """
        dots = simsimd.cdist(self._numbers, asked._numbers, metric="inner")
        bounds: NDArray[np.floating] = np.asarray(dots)[:, 0]
        bounds *= self._steps * asked._steps
        bounds += self._left * (1 + asked._left)
        bounds += asked._left + _ROUNDING
        return bounds
