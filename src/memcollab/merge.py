"""Accepted drafts → constraints: near-duplicates become one, opposites stay two (pure).

The contract of this module:

* The plan depends on the *set* of drafts and of existing constraints, not on their order.
* Constraints that the bank holds never change here, whatever their status: a draft joins one or
  opens a new one. The words of a new one are those of one draft; nothing is rewritten (a model or
  a rule that rewrites a memory again and again wears it out).
* Every draft belongs to exactly one constraint of its own category, scope and harness: the most
  similar one that says the same. Merging again against the result opens nothing and moves nothing.
* What differs in a number, in an identifier or in the case it speaks of is not the same, however
  alike it sounds. What tells the reader the opposite in the same case is a conflict: both are
  kept, and the pair is reported for somebody to decide.

Similarity is a function handed in: ``similarity(texts, texts)`` → cosine matrix (rows × columns).
An average of word vectors, as the bundled model gives, sees no order and hardly any negation;
hence the checks on the words here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memcollab.recipe import Recipe
from memcollab.records import Category, Constraint, Draft, Support

_Place = tuple[str, str, str | None]  # category, scope, harness
Similarity = Callable[[Sequence[str], Sequence[str]], NDArray[np.floating]]

# How far below the merging threshold two constraints may lie and still be worth asking whether
# they contradict each other: "not" and a changed word cost similarity too.
_CONFLICT_SLACK = 0.15


@dataclass(frozen=True)
class Accepted:
    """A draft that passed the screen, and where it comes from."""

    draft: Draft
    category: Category
    harness: str | None
    task_id: str
    family_right: str
    family_wrong: str

    @property
    def constraint(self) -> Constraint:
        """What the draft becomes if nothing says the same yet, without support."""
        return Constraint(
            when=self.draft.when,
            enforce=self.draft.enforce,
            avoid=self.draft.avoid,
            category=self.category,
            scope=self.draft.scope,
            harness=self.harness if self.draft.scope == "harness" else None,
        )


@dataclass(frozen=True)
class MergePlan:
    """What to store: ``belongs`` maps draft id → constraint id, ``created`` are the new
    constraints with the support they have from this plan, ``conflicts`` are pairs of constraint
    ids (each pair and the list sorted) of which at least one is new. Ordered by id throughout."""

    belongs: Mapping[str, str] = field(default_factory=dict)
    created: tuple[Constraint, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()

    @property
    def merged(self) -> int:
        """Drafts that joined an existing or a sibling's constraint."""
        return len(self.belongs) - len(self.created)


def support(accepted: Iterable[Accepted]) -> Support:
    """What the accepted drafts of one constraint amount to: distinct tasks, contrasts, families."""
    entries = list(accepted)
    return Support(
        tasks=len({entry.task_id for entry in entries}),
        contrasts=len({entry.draft.contrast_id for entry in entries}),
        families_right=tuple(sorted({entry.family_right for entry in entries})),
        families_wrong=tuple(sorted({entry.family_wrong for entry in entries})),
    )


def merge(
    accepted: Sequence[Accepted],
    existing: Sequence[Constraint],
    similarity: Similarity,
    recipe: Recipe,
) -> MergePlan:
    """Say for each accepted draft which constraint it belongs to, and which are new.

    ``similarity`` is asked at most three times per category, scope and harness, and only where a
    draft is new there. With ``recipe.merge`` off only drafts of equal words join, as in the paper
    (section 3.2: the bank is a plain union).
    """
    entries = _distinct(accepted)
    anchors = {constraint.id: constraint for constraint in existing}
    proposed = {draft_id: entry.constraint for draft_id, entry in entries.items()}
    weight = Counter(constraint.id for constraint in proposed.values())
    known = _by_place(anchors.values())
    fresh = _by_place(c for c in proposed.values() if c.id not in anchors)

    owner = {constraint_id: constraint_id for constraint_id in anchors}
    conflicts: set[tuple[str, str]] = set()
    for place, new in fresh.items():
        if not recipe.merge:
            owner.update({constraint.id: constraint.id for constraint in new})
            continue
        partition = _Partition(known.get(place, []), new, similarity, recipe.merge_similarity)
        owner.update(partition.owners(weight))
        conflicts.update(partition.conflicts(owner))
    belongs = {draft_id: owner[constraint.id] for draft_id, constraint in proposed.items()}
    created = _created(entries, belongs, anchors)
    return MergePlan(belongs, created, tuple(sorted(conflicts)))


def _distinct(accepted: Sequence[Accepted]) -> dict[str, Accepted]:
    """One entry per draft id, in the order of ids, whatever the order given."""
    ordered = sorted(accepted, key=lambda entry: (entry.draft.id, entry.constraint.id))
    return {entry.draft.id: entry for entry in ordered}


def _by_place(constraints: Iterable[Constraint]) -> dict[_Place, list[Constraint]]:
    """Distinct constraints by category, scope and harness, in the order of ids. Subcategories do
    not part them: the same lesson from two of them is one lesson with more support."""
    places: dict[_Place, list[Constraint]] = defaultdict(list)
    distinct = {constraint.id: constraint for constraint in constraints}
    for constraint_id in sorted(distinct):
        constraint = distinct[constraint_id]
        places[constraint.category.name, constraint.scope, constraint.harness].append(constraint)
    return places


def _created(
    entries: Mapping[str, Accepted], belongs: Mapping[str, str], anchors: Mapping[str, Constraint]
) -> tuple[Constraint, ...]:
    """The constraints that are not in the bank yet, with their support."""
    members: dict[str, list[Accepted]] = defaultdict(list)
    words: dict[str, Constraint] = {}
    for draft_id, entry in entries.items():
        members[belongs[draft_id]].append(entry)
        words[entry.constraint.id] = entry.constraint
    return tuple(
        words[constraint_id].model_copy(update={"support": support(members[constraint_id])})
        for constraint_id in sorted(members.keys() - anchors.keys())
    )


class _Partition:
    """The known and the new constraints of one category, scope and harness.

    Columns are the known ones, then the new ones; rows are the new ones. Both sorted by id.
    """

    def __init__(
        self,
        known: list[Constraint],
        new: list[Constraint],
        similarity: Similarity,
        threshold: float,
    ) -> None:
        self.columns = [*known, *new]
        self.rows = new
        self.offset = len(known)
        self.threshold = threshold
        self.similarity = similarity
        self.facts: dict[int, _Facts] = {}
        self.cosine = self._cosines(_words_of, self.rows, self.columns)

    def _cosines(
        self,
        text: Callable[[Constraint], str],
        rows: Sequence[Constraint],
        columns: Sequence[Constraint],
    ) -> NDArray[np.floating]:
        """Rounded, because the last bits of a matrix product depend on the shape of the matrix,
        and a tie that falls one way today must not fall the other way tomorrow."""
        found = self.similarity([text(row) for row in rows], [text(column) for column in columns])
        return np.round(np.asarray(found, dtype=np.float64), 4)

    @cached_property
    def _parts(self) -> dict[tuple[int, int], tuple[float, bool]]:
        """For near pairs: how alike their cases are, and whether advice and warning are swapped."""
        near = np.argwhere(self.cosine >= self.threshold - _CONFLICT_SLACK)
        near = near[near[:, 0] + self.offset != near[:, 1]]
        if not len(near):
            return {}
        rows, row_of = np.unique(near[:, 0], return_inverse=True)
        columns, column_of = np.unique(near[:, 1], return_inverse=True)
        left = [self.rows[row] for row in rows]
        right = [self.columns[column] for column in columns]
        cases = self._cosines(lambda c: c.when, left, right)[row_of, column_of]
        swapped = self._swapped(left, right)[row_of, column_of]
        return {
            (int(row), int(column)): (float(case), bool(swap))
            for (row, column), case, swap in zip(near, cases, swapped, strict=True)
        }

    def _swapped(
        self, left: Sequence[Constraint], right: Sequence[Constraint]
    ) -> NDArray[np.bool_]:
        """Where one enforces what the other avoids: crosswise closer than straight, and close."""
        advice = [c.enforce for c in left] + [c.avoid for c in left]
        other = [c.enforce for c in right] + [c.avoid for c in right]
        cosine = np.round(np.asarray(self.similarity(advice, other), dtype=np.float64), 4)
        (ee, ea), (ae, aa) = (np.split(half, 2, axis=1) for half in np.split(cosine, 2, axis=0))
        close = np.maximum(ea, ae) >= self.threshold
        return np.asarray(close & (ea + ae > ee + aa), dtype=np.bool_)

    def _facts(self, column: int) -> _Facts:
        if column not in self.facts:
            self.facts[column] = _Facts(self.columns[column])
        return self.facts[column]

    def _same(self, row: int, column: int) -> bool:
        """Whether the new constraint of a row may be merged with that of a column."""
        if self.cosine[row, column] < self.threshold:
            return False
        one, two = self._facts(self.offset + row), self._facts(column)
        return one.same_case(two) and not (one.contradicts(two) or self._parts[row, column][1])

    def _opposed(self, row: int, column: int) -> bool:
        """Whether both speak of the same case and tell the reader to do opposite things."""
        case, swapped = self._parts[row, column]
        one, two = self._facts(self.offset + row), self._facts(column)
        alike = case >= self.threshold - _CONFLICT_SLACK
        return alike and one.same_case(two) and (swapped or one.contradicts(two))

    def owners(self, weight: Mapping[str, int]) -> dict[str, str]:
        """Per new constraint the id of the one that stands for it: itself if it leads."""
        homes = [self._homes(row, range(self.offset)) for row in range(len(self.rows))]
        homeless = [row for row, found in enumerate(homes) if not found]
        leaders = self._leaders(homeless, weight)
        led = {self.offset + row for row in leaders}
        owners = {}
        for row, constraint in enumerate(self.rows):
            choices = homes[row] + self._homes(row, led)
            if self.offset + row in led:
                choices = [self.offset + row]
            best = min(choices, key=lambda c: (-self.cosine[row, c], self.columns[c].id))
            owners[constraint.id] = self.columns[best].id
        return owners

    def _homes(self, row: int, allowed: Container[int]) -> list[int]:
        """Those of the allowed columns that the new constraint of a row could join."""
        near = np.flatnonzero(self.cosine[row] >= self.threshold).tolist()
        itself = self.offset + row
        return [c for c in near if c != itself and c in allowed and self._same(row, c)]

    def _leaders(self, homeless: list[int], weight: Mapping[str, int]) -> list[int]:
        """Rows that become constraints: by falling number of drafts that they could stand for.

        Greedy: each row that no leader covers yet leads, and covers the rows that could join it.
        """
        pool = {self.offset + row for row in homeless}
        around = {row: [c - self.offset for c in self._homes(row, pool)] for row in homeless}
        count = {
            row: sum(weight[self.rows[other].id] for other in [row, *around[row]])
            for row in homeless
        }
        leaders: list[int] = []
        covered: set[int] = set()
        for row in sorted(homeless, key=lambda row: (-count[row], self.rows[row].id)):
            if row not in covered:
                leaders.append(row)
                covered.update(around[row])
        return leaders

    def conflicts(self, owner: Mapping[str, str]) -> set[tuple[str, str]]:
        """Pairs of constraint ids that contradict each other; at least one of each is new."""
        found = set()
        for row, column in self._parts:
            one, two = self.rows[row].id, self.columns[column].id
            if owner[one] == one and owner[two] == two and self._opposed(row, column):
                found.add((min(one, two), max(one, two)))
        return found


def _words_of(constraint: Constraint) -> str:
    """What is compared: the three parts without the frame, which would make all look alike."""
    return f"{constraint.when} {constraint.enforce} {constraint.avoid}"


# -- what similarity of words does not see ---------------------------------------------------------

_OPPOSITES = """
always/never ascending/descending before/after include/exclude including/excluding
inclusive/exclusive increase/decrease increasing/decreasing up/down ceiling/floor first/last
minimum/maximum minimal/maximal min/max minimise/maximise minimize/maximize left/right lower/upper
smallest/largest smaller/larger least/most fewer/more less/greater add/subtract adding/subtracting
multiply/divide multiplying/dividing even/odd positive/negative open/closed accept/reject
accepting/rejecting allow/forbid allowing/forbidding keep/drop keeping/dropping keep/remove
keeping/removing early/late start/end beginning/end encode/decode encoding/decoding
permutations/combinations ordered/unordered signed/unsigned union/intersection prefix/suffix
row/column rows/columns numerator/denominator degrees/radians major/minor mutable/immutable
strict/lenient true/false integer/decimal whole/decimal local/global relative/absolute
case-sensitive/case-insensitive zero-based/one-based day-first/month-first
"""
_POLES: dict[str, list[tuple[str, bool]]] = defaultdict(list)
for _pair in _OPPOSITES.split():
    for _word, _side in zip(_pair.split("/"), (True, False), strict=True):
        _POLES[_word].append((_pair, _side))

_NEGATIONS = frozenset(
    "not never no without avoid avoiding skip skipping omit omitting refrain refraining".split()
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_IDENTIFIER = re.compile(r"\w+(?:[._]\w+)+|[a-z]+[A-Z]\w*")
_WITH = re.compile(r"\b(with|without) ([^\W\d_]+)")


class _Facts:
    """What the words of a constraint say that an average of word vectors loses."""

    def __init__(self, constraint: Constraint) -> None:
        when, enforce = constraint.when, constraint.enforce
        self.case_poles = _poles(when.lower())
        self.case_numbers = set(_NUMBER.findall(when))
        self.identifiers = set(_IDENTIFIER.findall(f"{when} {enforce}"))
        self.advice_poles = _poles(enforce.lower())
        self.advice_numbers = set(_NUMBER.findall(enforce))
        words = _WORD.findall(enforce.lower())
        self.negated = bool(words) and words[0] in _NEGATIONS
        self.advice = set(words[1:] if self.negated else words)

    def same_case(self, other: _Facts) -> bool:
        """Whether both speak of the same situation, tools and kind of rule."""
        return (
            self.case_numbers == other.case_numbers
            and self.identifiers == other.identifiers
            and bool(self.advice_numbers) == bool(other.advice_numbers)
            and not _opposite(self.case_poles, other.case_poles)
        )

    def contradicts(self, other: _Facts) -> bool:
        """Whether, in the same case, the advice of one is against that of the other.

        A negation counts only in front of much the same words: "never rounding early" and
        "keeping full precision" agree.
        """
        if self.advice_numbers != other.advice_numbers:
            return True
        if _opposite(self.advice_poles, other.advice_poles):
            return True
        common, every = self.advice & other.advice, self.advice | other.advice
        return self.negated != other.negated and len(common) >= len(every) / 2


def _poles(text: str) -> dict[str, bool]:
    """Which end of which pair of opposites the words stand at; both ends = neither."""
    words = set(_WORD.findall(text)) & _POLES.keys()
    found = {pole for word in words for pole in _POLES[word]}
    found |= {(f"with {noun}", kind == "with") for kind, noun in _WITH.findall(text)}
    return {pair: side for pair, side in found if (pair, not side) not in found}


def _opposite(one: Mapping[str, bool], two: Mapping[str, bool]) -> bool:
    return any(two.get(pair, side) is not side for pair, side in one.items())
