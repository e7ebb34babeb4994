"""Stage 8: task + agent + index → the few constraints that fit, or why there are none.

What holds for every answer:

* Only active constraints; of scope ``harness`` only those of the asking agent's harness.
* Never a constraint whose only source is the very task that is asked (``same_task``), and no score
  that rests on such a source.
* A score is a weighted sum of named parts, each 0 to 1, so a threshold means the same in a bank of
  ten and of ten thousand. That is why words are compared by TF-IDF cosine and not by BM25, whose
  scale depends on the collection; the paper's retrieval is TF-IDF too.
* An equal index, task and decision give an equal answer; ties are broken by constraint id.

Search is exact: one matrix of vectors and one inverted list of words for each category, built when
first searched. No model, no network. Weights, thresholds and timings: design/recall.md.
"""

from __future__ import annotations

import heapq
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memcollab.embed import Vectors, words
from memcollab.errors import BankCorrupt
from memcollab.recipe import Recipe
from memcollab.records import (
    Agent,
    Category,
    CategoryDecision,
    CategoryGuess,
    Constraint,
    RecallEntry,
    Task,
)

# What each part weighs in the fused score; they sum to 1. Chosen on validation tasks.
WEIGHTS: Mapping[str, float] = {
    "task_vector": 0.25,
    "task_words": 0.15,
    "anchor_vector": 0.20,
    "anchor_words": 0.10,
    "category": 0.15,
    "subcategory": 0.10,
    "support": 0.05,
}

_WEIGH_TASK = np.array([WEIGHTS["task_vector"], WEIGHTS["task_words"]])
_WEIGH_ANCHOR = np.array([WEIGHTS["anchor_vector"], WEIGHTS["anchor_words"]])

Embed = Callable[[Sequence[str]], Vectors]
Reals = NDArray[Any]


@dataclass(frozen=True)
class IndexRow:
    """A constraint and the ids of the tasks that it was learned from."""

    constraint: Constraint
    source_task_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a search came to: ``entries`` by falling score, or ``abstained`` says why there are
    none. ``timings`` are milliseconds by stage."""

    entries: tuple[RecallEntry, ...]
    abstained: str | None
    timings: Mapping[str, float]


# ---- the same task


# Of two tasks, the longer contains the shorter, of at least so many words, if no more than
# ``_MISSING`` of its words are new and ``_CONTAINED`` of its runs of ``_RUN`` words are there.
_LEAST_WORDS = 8
_MISSING = 0.05
_RUN = 5
_CONTAINED = 0.8
# Comparing costs as much as ten scores, so a source is passed unread if it shares fewer than half
# of the content words of the shorter text (there are enough of them to tell) and if its vector is
# another one. The same task cannot be both: it lacks a twentieth of the words at most.
_SHARED = 0.5
_ENOUGH_WORDS = 4
_ALIKE = 0.8
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


class _Print:
    """A text as ``same_task`` compares it. What few comparisons come to is made when needed."""

    def __init__(self, text: str) -> None:
        text = text.casefold()
        self.tokens = _TOKEN.findall(_THOUSANDS.sub("", text) if "," in text else text)
        self.known = frozenset(self.tokens)

    @cached_property
    def numbers(self) -> Counter[str]:
        return Counter(filter(str.isdigit, self.tokens))

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        shifted = (self.tokens[start:] for start in range(_RUN))
        return frozenset(zip(*shifted, strict=False))


@lru_cache(maxsize=1024)
def _print(text: str) -> _Print:
    return _Print(text)


def same_task(one: str, other: str) -> bool:
    """Whether two texts put the same task.

    They do if they are equal but for case, spacing and punctuation, or if the shorter (of eight
    words at least) is found in the longer: all of its numbers, 95 % of its words, four fifths of
    its runs of five words. So a task inside an agent's prompt is the same task, and so is a long
    one in which a name was changed. A task of the same template with other numbers is another one:
    what was learned from the first is meant to help with it.
    """
    first, second = _print(one), _print(other)
    if first.tokens == second.tokens:
        return True
    short, long = sorted((first, second), key=lambda print_: (len(print_.tokens), print_.tokens))
    return (
        len(short.tokens) >= _LEAST_WORDS
        and len(short.known - long.known) <= _MISSING * len(short.known)
        and short.numbers <= long.numbers
        and len(short.runs & long.runs) >= _CONTAINED * len(short.runs)
    )


# ---- words


# Function words of English and of tasks: they say nothing about what is asked. In a partition of
# five constraints no idf can tell.
_STOP = frozenset(
    """a about all also an and any are as at be been both but by can could did do does each for from
    had has have he her his how i if in into is it its let may must no not of on one only or our she
    so some such than that the their them then there these they this those to two was we were what
    when where which while who whose will with would you your answer find give given question
    express enforce avoid""".split()
)


# Words of so few texts are not common, however few texts there are.
_RARE = 8


def _content_words(text: str) -> list[str]:
    """The words that say what a text is about: no function words, no signs, no single letters."""
    return list(filter(_tells, words(text)))


@lru_cache(maxsize=65_536)
def _tells(word: str) -> bool:
    return len(word) > 1 and word not in _STOP and (word[0].isalpha() or word[0] == "\\")


class _Words:
    """TF-IDF cosine of one text with each of many, over an inverted list: the numbers of the texts
    that hold word ``i``, and its weights there, stand from ``_starts[i]`` to ``_starts[i + 1]``.

    Words that more than a tenth of the texts hold (and more than ``_RARE``) weigh nothing: they
    tell little apart and make most of the list.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        counts = [Counter(_content_words(text)) for text in texts]
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

    def look(self, query: Counter[str]) -> tuple[Reals, Reals]:
        """For each text, shape ``(texts,)`` each: its cosine with the query, 0 to 1; and the share
        of the words of the shorter of the two that the other holds (1 if these are too few to
        tell).

        A word of the query that no text holds counts against every text, as one would that a
        single text holds.
        """
        ids = np.array([self._ids.get(word, -1) for word in query], dtype=np.int64)
        known = ids >= 0
        if not known.any():
            return np.zeros(self._count), np.ones(self._count)
        times = np.array(list(query.values()), dtype=np.float64)
        weights = (1 + np.log(times)) * np.where(known, self._idf[ids], math.log1p(self._count))
        asked = np.count_nonzero(weights)
        weights = weights[known] / (np.sqrt(np.vecdot(weights, weights)) or 1)
        starts, ends = self._starts[ids[known]], self._starts[ids[known] + 1]
        sizes = ends - starts
        # Where each entry of those lists stands: 0 1 2 … with a jump at the start of each list.
        places = np.arange(sizes.sum()) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
        owners = self._owners[places]
        shares = self._weights[places] * np.repeat(weights, sizes)
        cosines = np.bincount(owners, shares, minlength=self._count)
        shared = np.bincount(owners, minlength=self._count)
        fewer = np.minimum(asked, self._sizes)
        return cosines, np.where(fewer < _ENOUGH_WORDS, 1, shared / np.maximum(fewer, 1))


# ---- the index


class _Partition:
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
        self._anchor_words = _Words(anchors)
        self._task_words = _Words(self.tasks)
        self._subcategories = np.array(
            [constraint.category.subcategory or "" for constraint in self.constraints]
        )
        self.support = np.array([_support(constraint) for constraint in self.constraints])
        # 0 is open to every agent; the others are numbers of harnesses.
        owners = [c.harness or "" if c.scope == "harness" else None for c in self.constraints]
        self._harnesses = {name: number for number, name in enumerate({None, *owners} - {None}, 1)}
        self._harness = np.array([self._harnesses.get(owner, 0) for owner in owners])

    def visible(self, harness: str | None) -> NDArray[np.bool_]:
        """Which constraints an agent of that harness may see."""
        own = self._harnesses.get(harness, 0) if harness else 0
        seen: NDArray[np.bool_] = (self._harness == 0) | (self._harness == own)
        return seen

    def of_subcategory(self, guess: CategoryGuess | None) -> Reals:
        """1 for each constraint of the guessed subcategory, else 0; no guess is like nothing."""
        name = guess.category.subcategory if guess else None
        if name is None:
            return np.zeros(len(self.constraints))
        same: Reals = self._subcategories == name
        return same.astype(np.float64)

    def likeness_of_anchors(self, query: _Query) -> Reals:
        """Likeness of each anchor to the query by vector and by words, 0 to 1, shape
        (2, constraints)."""
        likeness = np.empty((2, len(self.constraints)))
        likeness[0] = np.vecdot(self.anchor_vectors, query.vector)
        likeness[1], _ = self._anchor_words.look(query.words)
        return _bounded(likeness)

    def likeness_of_tasks(self, query: _Query, anchors: Reals) -> tuple[Reals, Reals]:
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
class _Query:
    """The task that is asked, its vector, and its content words."""

    text: str
    vector: Vectors
    words: Counter[str]


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
        self._built: dict[str, _Partition] = {}
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
        with self._lock:
            self._texts.update(tasks)
            changed = set()
            for row in rows:
                key = row.constraint.id
                if self._rows.get(key) == row:
                    continue
                self._rows[key] = row
                self._place(key, row)
                changed.add(row.constraint.category.name)
            for name in changed:
                self._built.pop(name, None)
            return frozenset(changed)

    def _place(self, key: str, row: IndexRow) -> None:
        partition = self._active[row.constraint.category.name]
        if row.constraint.status != "active":
            partition.pop(key, None)
            return
        missing = [task for task in row.source_task_ids if task not in self._texts]
        if missing:
            raise BankCorrupt(
                f"constraint {key!r} comes from the tasks {missing!r}, whose texts the bank does "
                "not hold. Next: memcollab bank verify"
            )
        partition[key] = row

    @property
    def sizes(self) -> dict[str, int]:
        """Active constraints by category."""
        return {name: len(rows) for name, rows in sorted(self._active.items()) if rows}

    def __len__(self) -> int:
        return sum(map(len, self._active.values()))

    def partition(self, category: str) -> _Partition | None:
        """The part of that category, built if it is not; None if nothing active is in it."""
        built = self._built.get(category)
        if built is not None:
            return built
        with self._lock:
            rows = self._active.get(category)
            if rows and category not in self._built:
                ordered = [rows[key] for key in sorted(rows)]
                self._built[category] = _Partition(ordered, self._texts, self._embed)
            return self._built.get(category)


# ---- searching


def search(
    task: Task,
    agent: Agent,
    decision: CategoryDecision,
    index: Index,
    recipe: Recipe,
    vector: Vectors,
) -> Found:
    """The constraints for ``task``, or why there are none.

    Args:
        decision: what ``Categoriser.decide`` said of the task.
        recipe: how to search: ``retrieval``, ``categories``, ``soft_margin``, ``limit``,
            ``min_score``, ``max_overlap``; for the paper's way ``paper_tasks``, ``max_entries``.
        vector: the embedding of the task's text, shape ``(dim,)``.
    """
    clock = _Clock()
    query = _Query(task.text, vector, Counter(_content_words(task.text)))
    places = _places(decision, index, recipe)
    clock.lap("partitions")
    if not places:
        return Found((), _nothing_filed(decision, index), clock.timings)
    if recipe.retrieval == "paper":
        candidates, abstained = _paper(query, agent.harness, decision.top, places[0][0], recipe)
    else:
        candidates, abstained = _fused(query, agent.harness, places, recipe)
    clock.lap("search")
    entries = tuple(candidate.entry(decision) for candidate in candidates)
    clock.lap("explain")
    return Found(entries, abstained, clock.timings)


class _Clock:
    """Milliseconds between laps, by name."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = (now - self._last) * 1000
        self._last = now


Places = list[tuple[_Partition, CategoryGuess | None]]


def _places(decision: CategoryDecision, index: Index, recipe: Recipe) -> Places:
    """The partitions to search, each with what the decision thinks of its category.

    Soft: the likeliest category, and the second when the margin is small or when the first holds
    nothing (the threshold then decides whether the second is near enough).
    """
    guesses = {guess.category.name: guess for guess in decision.guesses}
    names = list(guesses)
    if recipe.retrieval == "paper" or recipe.categories == "hard":
        names = names[:1]
    elif recipe.categories == "none":
        names += [name for name in index.sizes if name not in guesses]
    else:
        sure = decision.margin >= recipe.soft_margin and index.partition(names[0]) is not None
        names = names[:1] if sure else names[:2]
    found = ((index.partition(name), guesses.get(name)) for name in names)
    return [(partition, guess) for partition, guess in found if partition is not None]


def _nothing_filed(decision: CategoryDecision, index: Index) -> str:
    if not len(index):
        return "the bank holds no active constraint. Next: memcollab learn RUNS --writer MODEL"
    held = ", ".join(f"{name} ({count})" for name, count in index.sizes.items())
    return (
        f"the bank holds no active constraint in {decision.top.name!r}, where the task was filed "
        f"by {decision.method}; it holds {held}"
    )


# ---- the fused search


_TURN = 64


@dataclass(frozen=True)
class _Candidate:
    """A constraint with its score, the parts of it, and where it stands in its partition."""

    score: float
    partition: _Partition
    number: int
    parts: Mapping[str, float]

    def __lt__(self, other: _Candidate) -> bool:
        return self.score > other.score

    @property
    def constraint(self) -> Constraint:
        return self.partition.constraints[self.number]

    def overlaps(self, other: _Candidate) -> float:
        """Cosine of the two anchors."""
        mine = self.partition.anchor_vectors[self.number]
        return float(mine @ other.partition.anchor_vectors[other.number])

    def entry(self, decision: CategoryDecision) -> RecallEntry:
        return RecallEntry(
            constraint=self.constraint,
            score=self.score,
            parts=self.parts,
            reason=_reason(self.constraint, self.parts, decision),
        )


class _Scored:
    """One partition against one query.

    ``bound`` is the score of each constraint with the most alike of its sources. It is the score
    itself unless that source is the task that is asked; ``candidate`` finds out, only for those
    whose turn comes.
    """

    def __init__(self, partition: _Partition, query: _Query, guess: CategoryGuess | None) -> None:
        self.partition = partition
        self._query = query
        self._probability = guess.probability if guess else 0.0
        self._same = partition.of_subcategory(guess)
        self._anchor = partition.likeness_of_anchors(query)
        self._task, self._shared = partition.likeness_of_tasks(query, self._anchor)
        self._of_task = _WEIGH_TASK @ self._task
        self._own = _WEIGH_ANCHOR @ self._anchor + WEIGHTS["support"] * partition.support
        self._own += WEIGHTS["category"] * self._probability + WEIGHTS["subcategory"] * self._same
        self.bound = self._own + partition.best_source(self._of_task)

    def candidate(self, number: int) -> _Candidate | None:
        """The constraint as scored by its best source that is not the task asked; None if it has
        no other source."""
        for source in sorted(
            self.partition.sources[number], key=lambda task: (-self._of_task[task], task)
        ):
            if not self._is_asked(source):
                parts = self._parts(number, source)
                score = float(self._own[number] + self._of_task[source])
                return _Candidate(score, self.partition, number, parts)
        return None

    def _is_asked(self, source: int) -> bool:
        if source >= len(self.partition.tasks):
            return False
        if self._shared[source] < _SHARED and self._task[0, source] < _ALIKE:
            return False
        return same_task(self._query.text, self.partition.tasks[source])

    def _parts(self, number: int, source: int) -> dict[str, float]:
        values = (
            *self._task[:, source],
            *self._anchor[:, number],
            self._probability,
            self._same[number],
            self.partition.support[number],
        )
        return dict(zip(WEIGHTS, map(float, values), strict=True))


def _fused(
    query: _Query, harness: str | None, places: Places, recipe: Recipe
) -> tuple[list[_Candidate], str | None]:
    """The default search: ``WEIGHTS`` says what a score is made of."""
    scored = [_Scored(partition, query, guess) for partition, guess in places]
    visible = [partition.visible(harness) for partition, _ in places]
    bounds = np.concatenate([part.bound for part in scored])
    bounds[~np.concatenate(visible)] = -1
    chosen: list[_Candidate] = []
    itself: list[int] = []
    for candidate in _falling(scored, bounds, recipe.min_score, itself):
        if len(chosen) == recipe.limit:
            break
        if all(candidate.overlaps(other) <= recipe.max_overlap for other in chosen):
            chosen.append(candidate)
    if chosen:
        return chosen, None
    where = " and ".join(repr(p.constraints[0].category.name) for p, _ in places)
    return [], _none_fits(where, bounds, len(itself), harness, recipe.min_score)


def _falling(
    scored: Sequence[_Scored], bounds: Reals, least: float, itself: list[int]
) -> Iterator[_Candidate]:
    """Candidates by falling score, none below ``least``. Those whose only source is the task asked
    are left out and noted in ``itself``."""
    starts = np.cumsum([0, *(len(part.bound) for part in scored)])
    waiting: list[_Candidate] = []
    for place in _by_bound(bounds, least):
        while waiting and waiting[0].score >= bounds[place]:
            yield heapq.heappop(waiting)
        part = int(np.searchsorted(starts, place, side="right")) - 1
        candidate = scored[part].candidate(place - int(starts[part]))
        if candidate is None:
            itself.append(place)
        elif candidate.score >= least:
            heapq.heappush(waiting, candidate)
    while waiting:
        yield heapq.heappop(waiting)


def _by_bound(bounds: Reals, least: float) -> Iterator[int]:
    """Places by falling bound, none below ``least``; sorted by ``_TURN``, for few are wanted."""
    near = np.flatnonzero(bounds >= least)
    while len(near):
        cut = np.argpartition(-bounds[near], _TURN) if len(near) > _TURN else np.arange(len(near))
        turn, near = np.sort(near[cut[:_TURN]]), near[np.sort(cut[_TURN:])]
        yield from turn[np.argsort(-bounds[turn], kind="stable")].tolist()


def _none_fits(where: str, bounds: Reals, itself: int, harness: str | None, least: float) -> str:
    """Why a search over constraints found none to give."""
    if bounds.max() < 0:
        return (
            f"every constraint in {where} belongs to one harness, and this agent's is {harness!r}"
        )
    if itself:
        return (
            f"{itself} constraints in {where} come from this very task alone and are held back; "
            f"no other reaches {least:.2f}"
        )
    return f"no constraint in {where} is near enough: the best scores {bounds.max():.2f}, " + (
        f"below {least:.2f}"
    )


def _reason(constraint: Constraint, parts: Mapping[str, float], decision: CategoryDecision) -> str:
    """The score in words."""
    tasks = constraint.support.tasks
    likely = sum(
        guess.probability
        for guess in decision.guesses
        if guess.category.name == constraint.category.name
    )
    said = [f"{constraint.category}: its category is {likely:.2f} likely by {decision.method}"]
    if "task_vector" in parts:
        said.append(
            f"nearest source task {parts['task_vector']:.2f} alike in meaning, "
            f"{parts['task_words']:.2f} in words"
        )
    if "anchor_vector" in parts:
        said.append(f"its own words {parts['anchor_vector']:.2f} and {parts['anchor_words']:.2f}")
    return "; ".join([*said, f"learned from {tasks} task{'' if tasks == 1 else 's'}"])


# ---- the paper's search


def _paper(
    query: _Query, harness: str | None, filed: Category, partition: _Partition, recipe: Recipe
) -> tuple[list[_Candidate], str | None]:
    """The paper's retrieval (section 3.3): constraints of the task's category and subcategory only,
    the ``paper_tasks`` source tasks most alike by TF-IDF, up to ``max_entries`` of each. No
    threshold and no fallback. The one addition: the task asked is not among the source tasks."""
    visible = partition.visible(harness)
    of_task: dict[int, list[int]] = defaultdict(list)
    for number, constraint in enumerate(partition.constraints):
        if visible[number] and constraint.category == filed:
            for source in partition.sources[number]:
                if source < len(partition.tasks):
                    of_task[source].append(number)
    if not of_task:
        return [], (
            f"no constraint is filed under {str(filed)!r}; the paper's recipe looks nowhere "
            "else. Next: --recipe default"
        )
    likeness = partition.likeness_of_tasks(query, partition.likeness_of_anchors(query))[0][1]
    chosen: dict[int, _Candidate] = {}
    for source in _nearest(query, partition, of_task, likeness, recipe.paper_tasks):
        parts = {"task_words": float(likeness[source])}
        for number in of_task[source][: recipe.max_entries]:
            chosen.setdefault(number, _Candidate(parts["task_words"], partition, number, parts))
    if not chosen:
        return [], f"every constraint under {str(filed)!r} comes from this very task alone"
    return list(chosen.values())[: recipe.limit], None


def _nearest(
    query: _Query,
    partition: _Partition,
    sources: Iterable[int],
    likeness: Reals,
    count: int,
) -> Iterator[int]:
    """The ``count`` sources most alike, without the task that is asked."""
    ordered = sorted(sources, key=lambda source: (-likeness[source], source))
    others = (s for s in ordered if not same_task(query.text, partition.tasks[s]))
    return islice(others, count)
