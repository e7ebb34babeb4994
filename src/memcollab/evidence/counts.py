"""What happened after a recall → counts that merge (pure).

Which coin speaks for what:

* The recall's own coin (``Observation.holdout``) decides whether everything found is withheld. It
  is the evidence about a category × agent.
* An entry's coin (``Entry.holdout``) decides whether that one entry is left out of a recall that is
  shown. It is the evidence about a constraint × agent, and it is independent of its companions: all
  entries of a recall are learned from at once, as in a factorial design (Fisher 1935; Box, Hunter &
  Hunter 2005, ch. 5), and an innocent one does not inherit the harm of its neighbour.
* An entry without a coin of its own is spoken for by the recall's. That is exact where it was the
  only one found; otherwise it shares the uplift of its companions.
* In a paired experiment both sides were run, so nobody threw a coin: such outcomes are compared
  with each other only (``Stratum.coin`` is "arm"), as if a balanced coin had fallen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Coin = Literal["recall", "entry", "arm"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A constraint that was found for a task. ``holdout`` is the probability with which it was to
    be left out by a coin of its own; 0 = it had none. ``shown`` is how that coin fell."""

    constraint: str
    shown: bool = True
    holdout: float = 0.0

    def __post_init__(self) -> None:
        _check_coin(repr(self.constraint), self.holdout, withheld=not self.shown)


@dataclass(frozen=True, slots=True)
class Observation:
    """How a recall ended: all that evidence needs to know of it.

    ``agent`` is the model's name, ``family`` its origin; ``category`` is that of the task.
    ``entries`` are what was found (none: recall abstained, and nothing is learned). ``withheld``
    marks a holdout: nothing found was shown; ``holdout`` is the probability with which that was to
    happen, 0 where no coin was thrown. ``solved is None`` = unjudged. ``paired``: one of two runs
    of an experiment, with and without what was found. ``source`` names who reported it, where that
    is not to be trusted alone; "" is trusted.

    Raises:
        ValueError: a probability is not in [0, 1), something is withheld at probability 0, or a
            constraint is found twice.
    """

    agent: str
    family: str
    category: str
    entries: tuple[Entry, ...]
    solved: bool | None
    withheld: bool = False
    holdout: float = 0.0
    paired: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        _check_coin(f"the recall of {self.agent!r}", self.holdout, withheld=self.withheld)
        names = [entry.constraint for entry in self.entries]
        if len(set(names)) < len(names):
            raise ValueError(f"each constraint is found once in a recall, not as in {names!r}")

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the constraints that the agent saw."""
        if self.withheld:
            return ()
        return tuple(entry.constraint for entry in self.entries if entry.shown)


class Stratum(NamedTuple):
    """Outcomes that may be compared: one category, one kind of coin, one probability of it, one
    source."""

    category: str
    coin: Coin
    holdout: float
    source: str = ""


class Tally(NamedTuple):
    """Judged outcomes by how the coin fell, and how many were not judged."""

    shown_solved: int = 0
    shown_failed: int = 0
    withheld_solved: int = 0
    withheld_failed: int = 0
    unjudged: int = 0

    @property
    def judged(self) -> int:
        return sum(self[:4])

    def minus(self, other: Tally) -> Tally:
        """This without the other, which may leave counts below 0: a step to be added later."""
        return Tally(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def plus(self, other: Tally) -> Tally:
        """Both, counted together."""
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


Strata = Mapping[Stratum, Tally]
Cells = Mapping[tuple[str, str], Strata]
_Cells = dict[tuple[str, str], dict[Stratum, Tally]]
_ONE = {
    (True, True): Tally(shown_solved=1),
    (True, False): Tally(shown_failed=1),
    (False, True): Tally(withheld_solved=1),
    (False, False): Tally(withheld_failed=1),
}
_UNJUDGED = Tally(unjudged=1)
_EMPTY = Tally()


class Row(NamedTuple):
    """One count with where it belongs: how evidence is stored. ``subject`` is the name of a
    category or the id of a constraint."""

    kind: Literal["category", "constraint"]
    subject: str
    agent: str
    family: str
    stratum: Stratum
    tally: Tally

    @property
    def negated(self) -> Row:
        """The row that takes this one away again."""
        return self._replace(tally=_EMPTY.minus(self.tally))


class Evidence:
    """Counts per category × agent and per constraint × agent, in strata. Equal by content.

    ``add`` is the only change; it costs one count per entry. ``a + b`` is a new one.
    """

    def __init__(self) -> None:
        self._categories: _Cells = {}
        self._constraints: _Cells = {}
        self._families: dict[str, str] = {}

    @classmethod
    def of(cls, observations: Iterable[Observation]) -> Evidence:
        """The evidence in all of them."""
        evidence = cls()
        for observation in observations:
            evidence.add(observation)
        return evidence

    @classmethod
    def from_rows(cls, rows: Iterable[Row]) -> Evidence:
        """What ``rows`` told; rows of the same place add up."""
        evidence = cls()
        for row in rows:
            cells = evidence._cells(row.kind)
            _count(cells, (row.subject, row.agent), row.stratum, row.tally)
            evidence._belongs(row.agent, row.family)
        return evidence

    def add(self, seen: Observation) -> None:
        """Count one outcome. One without entries is left out; one without a coin counts, and tells
        how often, not how much better."""
        if not seen.entries:
            return
        self._belongs(seen.agent, seen.family)
        coin: Coin = "arm" if seen.paired else "recall"
        whole = Stratum(seen.category, coin, _rate(seen.holdout), seen.source)
        outcome = _tally(not seen.withheld, seen.solved)
        _count(self._categories, (seen.category, seen.agent), whole, outcome)
        for entry in seen.entries:
            if not entry.holdout:
                _count(self._constraints, (entry.constraint, seen.agent), whole, outcome)
            elif not seen.withheld:
                own = Stratum(seen.category, "entry", _rate(entry.holdout), seen.source)
                fell = _tally(entry.shown, seen.solved)
                _count(self._constraints, (entry.constraint, seen.agent), own, fell)

    def instead_of(self, other: Evidence) -> Iterator[Row]:
        """What has to be added where ``other`` was counted, for this to be counted in its place."""
        yield from self.rows()
        yield from (row.negated for row in other.rows())

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence.from_rows([*self.rows(), *other.rows()])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evidence):
            return NotImplemented
        return (self._categories, self._constraints, self._families) == (
            other._categories,
            other._constraints,
            other._families,
        )

    __hash__ = None  # type: ignore[assignment] # it can grow

    def __repr__(self) -> str:
        return (
            f"<Evidence: {len(self._categories)} category × agent, "
            f"{len(self._constraints)} constraint × agent>"
        )

    @property
    def compares(self) -> bool:
        """Whether any coin was thrown: without one, outcomes tell nothing of what to show."""
        cells = (*self._categories.values(), *self._constraints.values())
        return any(stratum.holdout for strata in cells for stratum in strata)

    @property
    def categories(self) -> Cells:
        """Counts by (category, agent)."""
        return self._categories

    @property
    def constraints(self) -> Cells:
        """Counts by (constraint id, agent)."""
        return self._constraints

    @property
    def families(self) -> Mapping[str, str]:
        """The family of each agent; of two names for it the first in the alphabet."""
        return self._families

    def judged(self, subject: str, agent: str, kind: Literal["category", "constraint"]) -> int:
        """How many judged outcomes a category or a constraint has with that agent."""
        return judged(self._cells(kind).get((subject, agent), {}))

    def rows(self) -> Iterator[Row]:
        """Every count, in an order that its content alone decides."""
        kinds: tuple[Literal["category", "constraint"], ...] = ("category", "constraint")
        for kind in kinds:
            for (subject, agent), strata in sorted(self._cells(kind).items()):
                for stratum, tally in sorted(strata.items()):
                    yield Row(kind, subject, agent, self._families[agent], stratum, tally)

    def _cells(self, kind: Literal["category", "constraint"]) -> _Cells:
        return self._categories if kind == "category" else self._constraints

    def _belongs(self, agent: str, family: str) -> None:
        self._families[agent] = min(family, self._families.get(agent, family))


def judged(strata: Strata) -> int:
    """The judged outcomes of all strata."""
    return sum(tally.judged for tally in strata.values())


def _tally(shown: bool, solved: bool | None) -> Tally:
    return _UNJUDGED if solved is None else _ONE[shown, solved]


def _count(cells: _Cells, cell: tuple[str, str], stratum: Stratum, tally: Tally) -> None:
    strata = cells.setdefault(cell, {})
    held = strata.get(stratum)
    strata[stratum] = tally if held is None else held.plus(tally)


def _rate(holdout: float) -> float:
    """Two rates that differ by less than a millionth are one."""
    return round(holdout, 6)


def _check_coin(whose: str, holdout: float, *, withheld: bool) -> None:
    if not 0 <= holdout < 1:
        raise ValueError(f"holdout of {whose} must be from 0 to below 1, not {holdout!r}")
    if withheld and not holdout:
        raise ValueError(
            f"{whose} was withheld, so its holdout must be above 0: the probability of its coin"
        )
