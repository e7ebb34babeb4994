"""Constraints and the tasks that they come from, by category, as arrays to search."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import Vectors
from memcollab.errors import BankCorrupt
from memcollab.recall.lexicon import Lexicon, Reals
from memcollab.records import Constraint

Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class IndexRow:
    """A constraint and the ids of the tasks that it was learned from."""

    constraint: Constraint
    source_task_ids: tuple[str, ...] = ()


class Partition:
    """The active constraints of one category, and the tasks that they come from. Never changes."""

    def __init__(self, rows: Sequence[IndexRow], texts: Mapping[str, str], embed: Embed) -> None:
        self.constraints = tuple(row.constraint for row in rows)
        ids = sorted({task for row in rows for task in row.source_task_ids})
        place = {task: number for number, task in enumerate(ids)}
        self.tasks = tuple(texts[task] for task in ids)
        # A constraint without a source is judged by its anchor in place of a task: those stand
        # after the tasks.
        self._bare = [number for number, row in enumerate(rows) if not row.source_task_ids]
        after = {number: len(ids) + index for index, number in enumerate(self._bare)}
        self.sources = tuple(
            tuple(place[task] for task in row.source_task_ids) or (after[number],)
            for number, row in enumerate(rows)
        )
        self._flat = np.fromiter(chain.from_iterable(self.sources), dtype=np.int64)
        self._starts = np.cumsum([0, *map(len, self.sources[:-1])])
        anchors = [constraint.anchor for constraint in self.constraints]
        self.anchor_vectors = embed(anchors)
        self._task_vectors = embed(self.tasks)
        self._anchor_words = Lexicon(anchors)
        self._task_words = Lexicon(self.tasks)
        self._subcategories = Codes([c.category.subcategory for c in self.constraints])
        # None is open to every agent; a constraint of a harness without a name is open to none.
        self._harnesses = Codes(
            [(c.harness or "") if c.scope == "harness" else None for c in self.constraints]
        )
        self.support = np.array([_support(constraint) for constraint in self.constraints])

    def visible(self, harness: str | None) -> NDArray[np.bool_]:
        """Which constraints an agent of that harness may see."""
        open_to_all = self._harnesses.equal(None)
        return open_to_all | self._harnesses.equal(harness) if harness else open_to_all

    def of_subcategory(self, name: str | None) -> NDArray[np.bool_]:
        """Which constraints have that subcategory; None is like nothing."""
        if name is None:
            return np.zeros(len(self.constraints), dtype=np.bool_)
        return self._subcategories.equal(name)

    def likeness_of_anchors(self, query: Query) -> Reals:
        """Likeness of each anchor to the query by vector and by words, 0 to 1, shape
        (2, constraints)."""
        likeness = np.empty((2, len(self.constraints)))
        likeness[0] = np.vecdot(self.anchor_vectors, query.vector)
        likeness[1], _ = self._anchor_words.look(query.words)
        return _bounded(likeness)

    def likeness_of_tasks(self, query: Query, anchors: Reals) -> tuple[Reals, Reals]:
        """The same of each source task, shape (2, sources), and the share of words that it has in
        common with the query, shape (tasks,)."""
        likeness = np.empty((2, len(self.tasks)))
        likeness[0] = np.vecdot(self._task_vectors, query.vector)
        likeness[1], shared = self._task_words.look(query.words)
        return np.concatenate([_bounded(likeness), anchors[:, self._bare]], axis=1), shared

    def best_source(self, of_task: Reals) -> Reals:
        """The greatest of ``of_task`` over the sources of each constraint."""
        best: Reals = np.maximum.reduceat(of_task[self._flat], self._starts)
        return best


@dataclass(frozen=True)
class Query:
    """The task that is asked, its vector, and its content words."""

    text: str
    vector: Vectors
    words: Counter[str]


class Codes:
    """Values as small numbers, so that comparing all with one is one step."""

    def __init__(self, values: Sequence[Hashable]) -> None:
        self._code = {value: number for number, value in enumerate(dict.fromkeys(values))}
        self._codes = np.array([self._code[value] for value in values], dtype=np.int32)

    def equal(self, value: Hashable) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = self._codes == self._code.get(value, -1)
        return same


def _bounded(likeness: Reals) -> Reals:
    """In place: nothing below 0, and rounding takes nothing above 1."""
    np.maximum(likeness, 0, out=likeness)
    return np.minimum(likeness, 1, out=likeness)


def _support(constraint: Constraint) -> float:
    """0 without a source task, one half with one, towards 1 with many."""
    return 1 - 1 / (1 + constraint.support.tasks)


class Index:
    """Constraints to search, by category. A partition is built when it is first searched and kept
    until a row of it changes; readers and one writer may work at once.

    Args:
        embed: texts → vectors; the bank's cache of vectors in front of the embedder.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._rows: dict[str, IndexRow] = {}
        self._texts: dict[str, str] = {}
        self._active: dict[str, dict[str, IndexRow]] = defaultdict(dict)
        self._built: dict[str, Partition] = {}
        self._lock = Lock()

    def update(self, rows: Iterable[IndexRow], tasks: Mapping[str, str]) -> frozenset[str]:
        """Put ``rows`` in, each in place of the one of the same constraint.

        Args:
            rows: all of the bank, or what changed since; a constraint that is no longer active
                leaves the search.
            tasks: the texts of their source tasks by id; texts given earlier are kept.

        Returns:
            The categories in which something changed; only these are built again.

        Raises:
            BankCorrupt: a source task of an active constraint has no text.
        """
        changed = set()
        with self._lock:
            self._texts.update(tasks)
            for row in rows:
                key, name = row.constraint.id, row.constraint.category.name
                if self._rows.get(key) != row:
                    self._check(row)
                    self._rows[key] = row
                    self._active[name].pop(key, None)
                    if row.constraint.status == "active":
                        self._active[name][key] = row
                    self._built.pop(name, None)
                    changed.add(name)
        return frozenset(changed)

    def _check(self, row: IndexRow) -> None:
        missing = [task for task in row.source_task_ids if task not in self._texts]
        if missing and row.constraint.status == "active":
            raise BankCorrupt(
                f"constraint {row.constraint.id!r} comes from the tasks {missing!r}, whose texts "
                "the bank does not hold. Next: memcollab bank verify"
            )

    @property
    def sizes(self) -> dict[str, int]:
        """Active constraints by category."""
        with self._lock:
            return {name: len(rows) for name, rows in sorted(self._active.items()) if rows}

    def __len__(self) -> int:
        return sum(self.sizes.values())

    def partition(self, category: str) -> Partition | None:
        """The part of that category, built if it is not; None if nothing active is in it."""
        built = self._built.get(category)
        if built is not None:
            return built
        with self._lock:
            rows = self._active.get(category)
            if rows and category not in self._built:
                ordered = [rows[key] for key in sorted(rows)]
                self._built[category] = Partition(ordered, self._texts, self._embed)
            return self._built.get(category)
