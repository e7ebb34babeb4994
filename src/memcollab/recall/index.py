"""Constraints and the tasks that they come from, by category, as arrays to search."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import Vectors
from memcollab.errors import BankCorrupt
from memcollab.recall.cosines import Asked, Cosines
from memcollab.recall.lexicon import Lexicon, Reals
from memcollab.records import Constraint

Embed = Callable[[Sequence[str]], Vectors]
Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class IndexRow:
    """A constraint and the ids of the tasks that it was learned from."""

    constraint: Constraint
    source_task_ids: tuple[str, ...] = ()


class Sources(NamedTuple):
    """The sources of some constraints one after the other, and where those of each begin."""

    flat: Numbers
    starts: Numbers

    @classmethod
    def of(cls, each: Sequence[tuple[int, ...]]) -> Sources:
        flat = np.fromiter(chain.from_iterable(each), dtype=np.intp)
        return cls(flat, np.cumsum([0, *map(len, each[:-1])]))


class Partition:
    """The active constraints of one category, and the tasks that they come from. Never changes."""

    def __init__(self, rows: Sequence[IndexRow], texts: Mapping[str, str], embed: Embed) -> None:
        self.constraints = tuple(row.constraint for row in rows)
        ids = sorted({task for row in rows for task in row.source_task_ids})
        place = {task: number for number, task in enumerate(ids)}
        self.tasks = tuple(texts[task] for task in ids)
        # A constraint without a source is judged by its anchor in place of a task: those stand
        # after the tasks.
        bare = [number for number, row in enumerate(rows) if not row.source_task_ids]
        after = {number: len(ids) + index for index, number in enumerate(bare)}
        self.sources = tuple(
            tuple(place[task] for task in row.source_task_ids) or (after[number],)
            for number, row in enumerate(rows)
        )
        self._sources = Sources.of(self.sources)
        self._bare = np.array(bare, dtype=np.intp)
        anchors = [constraint.anchor for constraint in self.constraints]
        self.anchors = Cosines(embed(anchors))
        self._task_cosines = Cosines(embed(self.tasks))
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
        """Likeness of each anchor to the query, 0 to 1, shape (2, constraints): by vector nothing
        less than it (``sharpen`` finds what it is), and by words."""
        likeness = np.empty((2, len(self.constraints)))
        likeness[0] = _bounded(self.anchors.bounds(query.asked))
        likeness[1] = self._anchor_words.cosines(query.words)
        return likeness

    def likeness_of_tasks(self, query: Query, anchors: Reals) -> tuple[Reals, Reals]:
        """The same of each source, shape (2, sources), and the share of words that it has in
        common with the query, shape (tasks,)."""
        tasks = len(self.tasks)
        likeness = np.empty((2, tasks + len(self._bare)))
        likeness[0, :tasks] = _bounded(self._task_cosines.bounds(query.asked))
        likeness[1, :tasks], shared = self._task_words.look(query.words)
        likeness[:, tasks:] = anchors[:, self._bare]
        return likeness, shared

    def sharpen(self, query: Query, numbers: Numbers, anchors: Reals, tasks: Reals) -> Sources:
        """Put the likeness by vector of those constraints and of their sources in place of its
        bounds."""
        anchors[0, numbers] = _bounded(self.anchors.exact(query.vector, numbers))
        sources = Sources.of([self.sources[number] for number in numbers.tolist()])
        is_task = sources.flat < len(self.tasks)
        of_task, bare = sources.flat[is_task], sources.flat[~is_task]
        tasks[0, of_task] = _bounded(self._task_cosines.exact(query.vector, of_task))
        tasks[0, bare] = anchors[0, self._bare[bare - len(self.tasks)]]
        return sources

    def best_source(self, of_source: Reals, sources: Sources | None = None) -> Reals:
        """The greatest of ``of_source`` over the sources of each constraint: of all, or of those
        that ``sources`` belong to."""
        flat, starts = sources or self._sources
        best: Reals = np.maximum.reduceat(of_source[flat], starts)
        return best


@dataclass(frozen=True)
class Query:
    """The task that is asked, its vector, and its content words."""

    text: str
    vector: Vectors
    words: Counter[str]

    @cached_property
    def asked(self) -> Asked:
        """The vector, to be compared with those of every partition."""
        return Asked(self.vector)


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
