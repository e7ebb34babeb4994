"""What can be derived from the text of a bank at any time: vectors, and what files tasks.

Deriving and keeping are two steps. What a process derives is at hand for itself at once; it enters
the bank, where the next process finds it, with ``save`` and with nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memcollab.bank import Bank
from memcollab.embed import Embedder, Vectors
from memcollab.errors import TaxonomyError
from memcollab.records import Category
from memcollab.taxonomy import Categoriser, Taxonomy

_CATEGORISER = "categoriser"


class Derived:
    """Vectors and the categoriser of one bank, from its caches where they hold them."""

    def __init__(self, bank: Bank, taxonomy: Taxonomy, embedder: Embedder) -> None:
        self._bank = bank
        self._taxonomy = taxonomy
        self._embedder = embedder
        self._trained: Categoriser | None = None
        self._unsaved_categoriser: Categoriser | None = None
        self._unsaved_vectors: dict[str, Vectors] = {}

    @property
    def categoriser(self) -> Categoriser:
        """What files tasks, as last trained; trained now if it never was."""
        return self._trained or self.train()

    def train(self) -> Categoriser:
        """Train on the labelled tasks that the bank holds now, unless that is what was done last.

        Training takes seconds for thousands of tasks, so what it yields is worth keeping.
        """
        labelled = [
            (task.text, task.category)
            for task in self._bank.tasks(labelled=True)
            if task.category is not None
        ]
        key = Categoriser.key_of(self._taxonomy, self._embedder, labelled)
        if self._trained is None or self._trained.key != key:
            self._trained = self._kept_categoriser(key) or self._new_categoriser(labelled)
        return self._trained

    def _kept_categoriser(self, key: str) -> Categoriser | None:
        content = self._bank.cached(_CATEGORISER, key)
        if content is None:
            return None
        try:
            return Categoriser.from_bytes(content, self._taxonomy, self._embedder)
        except TaxonomyError:
            return None  # written by another version: what is derived is derived again

    def _new_categoriser(self, labelled: Sequence[tuple[str, Category]]) -> Categoriser:
        self._unsaved_categoriser = Categoriser(self._taxonomy, self._embedder, labelled)
        return self._unsaved_categoriser

    def similarity(self, first: Sequence[str], second: Sequence[str]) -> Vectors:
        """Cosines, shape ``(len(first), len(second))``. Nothing of it is saved later: most texts
        that are compared are drafts, which nobody asks for again once they are merged."""
        return self._rows(first, {}) @ self._rows(second, {}).T

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts`` in order, shape ``(len(texts), dim)``."""
        return self._rows(texts, self._unsaved_vectors)

    def _rows(self, texts: Sequence[str], made: dict[str, Vectors]) -> Vectors:
        """Vectors of ``texts``; those that the bank does not hold are left in ``made``."""
        if not texts:
            return np.zeros((0, self._embedder.dim), np.float32)
        held = self._bank.vectors(self._embedder.name, texts) | made
        missing = [text for text in dict.fromkeys(texts) if text not in held]
        if missing:
            new = dict(zip(missing, self._embedder.embed(missing), strict=True))
            made.update(new)
            held.update(new)
        return np.stack([held[text] for text in texts])

    def save(self) -> None:
        """Keep in the bank what was derived since it was last saved."""
        categoriser, self._unsaved_categoriser = self._unsaved_categoriser, None
        if categoriser is not None:
            self._bank.save_cache(_CATEGORISER, categoriser.key, categoriser.to_bytes())
        vectors, self._unsaved_vectors = self._unsaved_vectors, {}
        self._bank.save_vectors(self._embedder.name, vectors)
