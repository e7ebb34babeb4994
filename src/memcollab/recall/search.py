"""Which constraints fit a task: the fused search, and the paper's."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from memcollab.embed import Vectors
from memcollab.recall.index import Index, Numbers, Partition, Query
from memcollab.recall.lexicon import Reals, content_words
from memcollab.recall.same import same_task
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

_WEIGH_TASK = (WEIGHTS["task_vector"], WEIGHTS["task_words"])
_WEIGH_ANCHOR = (WEIGHTS["anchor_vector"], WEIGHTS["anchor_words"])


@dataclass(frozen=True)
class Found:
    """What a search came to: ``entries`` by falling score, or ``abstained`` says why there are
    none. ``timings`` are milliseconds by stage."""

    entries: tuple[RecallEntry, ...]
    abstained: str | None
    timings: Mapping[str, float]


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
            ``min_score``, ``min_anchor``, ``max_overlap``; for the paper's way ``paper_tasks``,
            ``max_entries``.
        vector: the embedding of the task's text, shape ``(dim,)``.
    """
    clock = _Clock()
    query = Query(task.text, vector, Counter(content_words(task.text)))
    places = _places(decision, index, recipe)
    clock.lap("partitions")
    if not places:
        return Found((), _nothing_filed(decision, index), clock.timings)
    if recipe.retrieval == "paper":
        found, abstained = _paper(query, agent.harness, decision.top, places[0][0], recipe)
    else:
        found, abstained = _fused(query, agent.harness, places, recipe)
    entries = tuple(_entry(one, decision) for one in found)
    clock.lap("search")
    return Found(entries, abstained, clock.timings)


@dataclass(frozen=True)
class _Match:
    """A constraint that fits: its score and the parts of it."""

    constraint: Constraint
    score: float
    parts: Mapping[str, float]


def _entry(match: _Match, decision: CategoryDecision) -> RecallEntry:
    """The match with its reason in words."""
    constraint, parts = match.constraint, match.parts
    likely = parts.get("category", decision.guesses[0].probability)
    said = [f"{constraint.category}: its category is {likely:.2f} likely by {decision.method}"]
    if "task_vector" in parts:
        said += [
            f"nearest source task {parts['task_vector']:.2f} alike in meaning, "
            f"{parts['task_words']:.2f} in words",
            f"its own words {parts['anchor_vector']:.2f} and {parts['anchor_words']:.2f}",
        ]
    else:
        said.append(f"source task {parts['task_words']:.2f} alike in words")
    tasks = constraint.support.tasks
    said.append(f"learned from {tasks} task{'' if tasks == 1 else 's'}")
    return RecallEntry(
        constraint=constraint, score=match.score, parts=parts, reason="; ".join(said)
    )


class _Clock:
    """Milliseconds between laps, by name."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = (now - self._last) * 1000
        self._last = now


Places = list[tuple[Partition, CategoryGuess | None]]


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


# Comparing texts costs as much as ten scores, so a source is passed unread if it shares less than
# this of the words of the shorter text, and if its vector is another one too. The same task cannot
# be both: it lacks a twentieth of the words at most.
_SHARED = 0.7
_ALIKE = 0.8
# So many constraints are looked at closely at a time.
_TURN = 24
# So many are put in order at a time.
_SORTED = 240


@dataclass(frozen=True)
class _Candidate:
    """A constraint of a partition, scored by one of its sources."""

    score: float
    scored: _Scored
    number: int
    source: int

    def __lt__(self, other: _Candidate) -> bool:
        return self.score > other.score

    @property
    def anchor(self) -> Vectors:
        """Its vector, of length 1: shape (dim,)."""
        anchor: Vectors = self.scored.partition.anchors.vectors[self.number]
        return anchor

    @property
    def match(self) -> _Match:
        constraint = self.scored.partition.constraints[self.number]
        return _Match(constraint, self.score, self.scored.parts(self.number, self.source))


class _Scored:
    """One partition against one query.

    ``bound`` is nothing less than the score of each constraint with the most alike of its sources.
    ``sharpen`` makes it that score, for those that come near. It is the constraint's own unless
    that source is the task that is asked; ``candidate`` finds out, for those whose turn comes.
    """

    def __init__(self, partition: Partition, query: Query, guess: CategoryGuess | None) -> None:
        self.partition = partition
        self._query = query
        self._probability = guess.probability if guess else 0.0
        self._same = partition.of_subcategory(guess.category.subcategory if guess else None)
        self._anchor = partition.likeness_of_anchors(query)
        self._task, self._shared = partition.likeness_of_tasks(query, self._anchor)
        self._rest = WEIGHTS["support"] * partition.support
        self._rest += WEIGHTS["category"] * self._probability
        self._rest += WEIGHTS["subcategory"] * self._same
        self._of_task = _weighed(_WEIGH_TASK, self._task)
        self._own = _weighed(_WEIGH_ANCHOR, self._anchor) + self._rest
        self.bound = self._own + partition.best_source(self._of_task)

    @property
    def anchor_likeness(self) -> Reals:
        """How near each anchor is to the query by vector: nothing less, until it is sharpened."""
        likeness: Reals = self._anchor[0]
        return likeness

    def sharpen(self, numbers: Numbers) -> Reals:
        """The bounds of those constraints, now as near as can be."""
        sources = self.partition.sharpen(self._query, numbers, self._anchor, self._task)
        self._of_task[sources.flat] = _weighed(_WEIGH_TASK, self._task[:, sources.flat])
        self._own[numbers] = _weighed(_WEIGH_ANCHOR, self._anchor[:, numbers]) + self._rest[numbers]
        self.bound[numbers] = self._own[numbers] + self.partition.best_source(
            self._of_task, sources
        )
        return self.bound[numbers]

    def candidate(self, number: int) -> _Candidate | None:
        """The constraint as scored by its best source that is not the task asked; None if it has
        no other source."""
        sources = self.partition.sources[number]
        if len(sources) > 1:
            likeness = self._of_task
            sources = tuple(sorted(sources, key=lambda task: (-likeness[task], task)))
        for source in sources:
            if not self._is_asked(source):
                score = float(self._own[number] + self._of_task[source])
                return _Candidate(score, self, number, source)
        return None

    def _is_asked(self, source: int) -> bool:
        if source >= len(self.partition.tasks):
            return False
        if self._shared[source] < _SHARED and self._task[0, source] < _ALIKE:
            return False
        return same_task(self._query.text, self.partition.tasks[source])

    def parts(self, number: int, source: int) -> dict[str, float]:
        values = (
            *self._task[:, source].tolist(),
            *self._anchor[:, number].tolist(),
            self._probability,
            float(self._same[number]),
            float(self.partition.support[number]),
        )
        return dict(zip(WEIGHTS, values, strict=True))


def _fused(
    query: Query, harness: str | None, places: Places, recipe: Recipe
) -> tuple[list[_Match], str | None]:
    """The default search: ``WEIGHTS`` says what a score is made of."""
    scored = [_Scored(partition, query, guess) for partition, guess in places]
    visible = [partition.visible(harness) for partition, _ in places]
    bounds = np.concatenate([part.bound for part in scored])
    bounds[~np.concatenate(visible)] = -1
    fitting = bounds
    if recipe.min_anchor > 0:
        anchors = np.concatenate([part.anchor_likeness for part in scored])
        fitting = np.where(anchors < recipe.min_anchor, -1, bounds)
    chosen: list[_Candidate] = []
    itself: list[int] = []
    vectors = np.empty((min(recipe.limit, len(bounds)), len(query.vector)), query.vector.dtype)
    for candidate in _falling(scored, fitting, recipe, itself):
        cosines = np.vecdot(vectors[: len(chosen)], candidate.anchor)
        if cosines.max(initial=-1) <= recipe.max_overlap:
            vectors[len(chosen)] = candidate.anchor
            chosen.append(candidate)
            if len(chosen) == recipe.limit:
                break
    if chosen:
        return [candidate.match for candidate in chosen], None
    where = " and ".join(repr(p.constraints[0].category.name) for p, _ in places)
    best = next((bound for *_, bound in _by_bound(scored, bounds, 0)), None)
    return [], _none_fits(where, best, len(itself), harness, recipe)


def _falling(
    scored: Sequence[_Scored], bounds: Reals, recipe: Recipe, itself: list[int]
) -> Iterator[_Candidate]:
    """Candidates by falling score, none below the recipe's ``min_score`` or ``min_anchor``. Those
    whose only source is the task asked are left out and noted in ``itself``."""
    waiting: list[_Candidate] = []
    for part, number, bound in _by_bound(scored, bounds, recipe.min_score):
        while waiting and waiting[0].score >= bound:
            yield heapq.heappop(waiting)
        if part.anchor_likeness[number] < recipe.min_anchor:
            continue
        candidate = part.candidate(number)
        if candidate is None:
            itself.append(number)
        elif candidate.score >= recipe.min_score:
            heapq.heappush(waiting, candidate)
    while waiting:
        yield heapq.heappop(waiting)


def _by_bound(
    scored: Sequence[_Scored], bounds: Reals, least: float
) -> Iterator[tuple[_Scored, int, float]]:
    """Constraints, each as its part, its number there and its sharpened bound, by falling bound,
    none below ``least``; sharpened by ``_TURN``, for few are wanted. ``bounds`` are those of all
    parts, one after the other; they are sharpened in place."""
    starts = np.cumsum([0, *(len(part.bound) for part in scored)])
    sharp = np.empty(0, dtype=np.intp)
    for turn, beyond in _turns(bounds, least):
        _sharpen(scored, bounds, starts, turn)
        sharp = np.concatenate([sharp, turn])
        # One that is still to come may be worth as much as its bound says.
        done = bounds[sharp] > beyond
        turn, sharp = np.sort(sharp[done]), sharp[~done]
        turn = turn[np.argsort(-bounds[turn], kind="stable")]
        for place in turn[bounds[turn] >= least].tolist():
            part = int(np.searchsorted(starts, place, side="right")) - 1
            yield scored[part], place - int(starts[part]), float(bounds[place])


def _turns(bounds: Reals, least: float) -> Iterator[tuple[Numbers, float]]:
    """Places by falling bound, none below ``least``, by ``_TURN``, each with the greatest bound of
    those to come."""
    rest = np.flatnonzero(bounds >= least)
    while len(rest):
        falling = -bounds[rest]
        cut = np.argpartition(falling, _SORTED) if len(rest) > _SORTED else np.arange(len(rest))
        near, rest = rest[cut[:_SORTED]], rest[cut[_SORTED:]]
        near = near[np.argsort(-bounds[near])]
        beyond = [*bounds[near[_TURN::_TURN]].tolist(), bounds[rest].max(initial=-1)]
        for turn, bound in enumerate(beyond):
            yield near[turn * _TURN : (turn + 1) * _TURN], bound


def _sharpen(scored: Sequence[_Scored], bounds: Reals, starts: Numbers, places: Numbers) -> None:
    places = np.sort(places)
    cuts = np.searchsorted(places, starts)
    for number, part in enumerate(scored):
        mine = places[cuts[number] : cuts[number + 1]]
        if len(mine):
            bounds[mine] = part.sharpen(mine - starts[number])


def _weighed(weights: tuple[float, float], likeness: Reals) -> Reals:
    """By vector and by words, in one: the same for a column in any company."""
    weighed: Reals = weights[0] * likeness[0]
    weighed += weights[1] * likeness[1]
    return weighed


def _none_fits(
    where: str, best: float | None, itself: int, harness: str | None, recipe: Recipe
) -> str:
    """Why a search over constraints found none to give; ``best`` is the best bound of all that the
    agent may see."""
    least = recipe.min_score
    if best is None:
        return (
            f"every constraint in {where} belongs to one harness, and this agent's is {harness!r}"
        )
    if itself:
        return (
            f"{itself} constraints in {where} come from this very task alone and are held back; "
            f"no other reaches {least:.2f}"
        )
    if recipe.min_anchor > 0 and best >= least:
        return (
            f"no constraint in {where} speaks of such a task: those learned from tasks like it "
            f"(the best scores {best:.2f}) are less than {recipe.min_anchor:.2f} alike in meaning "
            "by their own words"
        )
    return f"no constraint in {where} is near enough: the best scores {best:.2f}, " + (
        f"below {least:.2f}"
    )


# ---- the paper's search


def _paper(
    query: Query, harness: str | None, filed: Category, partition: Partition, recipe: Recipe
) -> tuple[list[_Match], str | None]:
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
    chosen: dict[int, _Match] = {}
    for source in _nearest(query, partition, of_task, likeness, recipe.paper_tasks):
        score = float(likeness[source])
        for number in of_task[source][: recipe.max_entries]:
            match = _Match(partition.constraints[number], score, {"task_words": score})
            chosen.setdefault(number, match)
    if not chosen:
        return [], f"every constraint under {str(filed)!r} comes from this very task alone"
    return list(chosen.values())[: recipe.limit], None


def _nearest(
    query: Query,
    partition: Partition,
    sources: Iterable[int],
    likeness: Reals,
    count: int,
) -> Iterator[int]:
    """The ``count`` sources most alike, without the task that is asked."""
    ordered = sorted(sources, key=lambda source: (-likeness[source], source))
    others = (s for s in ordered if not same_task(query.text, partition.tasks[s]))
    return islice(others, count)
