"""Attempts → the tables of the report, as plain frozen values (pure).

The contract of this module:

* A **cell** is one label × suite × agent; a label is an arm, and its source where an agent reads
  several ("other ← coder-1.5b"). Every cell of the grid is there; one that was not run has n = 0.
* Shares are over attempts with a verdict. One without a verdict is counted apart and is never a
  wrong answer.
* A difference is with − without the memory, over pairs: the same suite, agent, task and seed, in
  the arm and in the baseline, both with a verdict. What has no partner is left out and counted.
* Several seeds of a task are **averaged first**: the task is the unit of every interval and test
  (`memcollab.bench.statistics`), so seeds are never counted as tasks.
* The order of the attempts decides nothing, with one exception: of several records of one attempt
  the last counts, and ``Tables.replaced`` says how many did not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import get_args

from memcollab.bench.attempts import Attempt, Failure
from memcollab.bench.statistics import (
    NAN,
    NOTHING,
    Cells,
    Estimate,
    Groups,
    Paired,
    holm,
    macro_difference,
    macro_share,
    mean,
    mean_difference,
    paired,
    share,
)

BASELINE = "none"
FOCUS = "default"
# The order in which known arms are shown; an arm of another name stands after them.
_ARMS = "none own other self-contrast paper-v1 default examples random wrong-category".split()
# Of one model's runs, read one by one: rows of the transfer matrix named by the model alone.
_OF_ONE_MODEL = frozenset({"own", "other"})

MEASURES = ("turns", "tokens", "input_tokens", "output_tokens", "guidance_tokens")
NO_VERDICT = "no verdict"
OUTCOMES: tuple[str, ...] = ("solved", *get_args(Failure), NO_VERDICT)
UNPAIRED = Paired(NOTHING, 0, 0, 0, 0)


@dataclass(frozen=True)
class Ledger:
    """What an arm's memory cost to make: the writer's tokens and requests, what came of them, and
    the minutes it took, where that was recorded. ``writers`` are their names. ``recorded`` requests
    were answered from a file: their tokens are what the file says, which may be an estimate."""

    arm: str
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    constraints: int = 0
    minutes: float | None = None
    writers: tuple[str, ...] = ()
    recorded: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Plan:
    """What was to be run, in the order of showing it: arms, agents, and per suite the attempts of
    one cell (tasks × seeds); ``attempts`` in all, where that is known. What the attempts hold
    beyond it is shown too. ``whole`` is the plan of which this is a part."""

    arms: tuple[str, ...] = ()
    suites: Mapping[str, int] = field(default_factory=dict)
    agents: tuple[str, ...] = ()
    attempts: int | None = None
    whole: Plan | None = None


@dataclass(frozen=True)
class LogUse:
    """A log and the samples of it that a cell rests on."""

    log: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One label × suite × agent.

    ``expected``, ``attempts`` and ``judged`` count attempts; every ``Estimate.n`` counts tasks.
    ``costs`` and ``changes`` are keyed by ``MEASURES``, per attempt. ``corrected`` is the p of
    ``against`` after Holm's correction over the cells of the label. ``guided`` counts the judged
    attempts that were shown anything. ``grouped`` is the difference with an interval over groups of
    tasks, of which there are ``groups``; unknown where the tasks have none.
    """

    label: str
    arm: str
    source: str | None
    suite: str
    agent: str
    expected: int
    attempts: int
    judged: int
    guided: int
    seeds: int
    outcomes: Mapping[str, int]
    accuracy: Estimate
    costs: Mapping[str, Estimate]
    against: Paired
    changes: Mapping[str, Estimate]
    logs: tuple[LogUse, ...]
    corrected: float = NAN
    grouped: Estimate = NOTHING
    groups: int = 0


@dataclass(frozen=True)
class Overall:
    """A label over its suites (for one agent, or for all where ``agent`` is None): each cell of
    equal weight. ``cells`` were run, of ``planned``. ``grouped`` is the difference with an interval
    over groups of tasks in the suites that have any; unknown where none has."""

    label: str
    arm: str
    agent: str | None
    cells: int
    planned: int
    accuracy: Estimate
    difference: Estimate
    changes: Mapping[str, Estimate]
    grouped: Estimate = NOTHING


@dataclass(frozen=True)
class Transfer:
    """What the memory of ``source`` changed for ``agent``: mean paired difference over suites."""

    row: str
    agent: str
    difference: Estimate


# Arms that differ in the number of entries alone, from few to many: (number, arm).
Series = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class EntryPoint:
    """What a number of entries changed for an agent on a suite. ``series`` names the arms
    that differ in the number alone, the first and the last of them."""

    series: str
    arm: str
    label: str
    suite: str
    agent: str
    difference: Estimate
    turns: Estimate


@dataclass(frozen=True)
class Balance:
    """What an arm's memory cost to make, and what each later attempt saves (negative: costs more).

    ``break_even`` is the number of attempts after which the tokens are saved again, None is never;
    ``best`` and ``worst`` are the same at the limits of the interval.
    """

    arm: str
    spent: Ledger | None
    tokens: Estimate
    turns: Estimate
    break_even: int | None
    best: int | None
    worst: int | None


@dataclass(frozen=True)
class Tables:
    """All that a report shows. ``labels`` holds the baseline first. ``seconds`` are the median of
    an attempt with a verdict, by agent: cells are run at different loads of a machine, so that they
    are compared with nothing."""

    baseline: str
    focus: str
    labels: tuple[str, ...]
    suites: tuple[str, ...]
    agents: tuple[str, ...]
    cells: tuple[Cell, ...]
    overall: tuple[Overall, ...]
    transfer: tuple[Transfer, ...]
    entries: tuple[EntryPoint, ...]
    balances: tuple[Balance, ...]
    seconds: Mapping[str, float]
    errors: tuple[tuple[str, int], ...]
    looked: int
    opened: int
    replaced: int
    records: int

    @property
    def compared(self) -> tuple[Cell, ...]:
        """Cells with a memory that have at least one pair with the baseline."""
        return tuple(cell for cell in self.cells if cell.against.difference.known)

    @property
    def worse(self) -> tuple[Cell, ...]:
        """Cells that are worse than the baseline: by interval and exact test (``Estimate.p``)."""
        return tuple(cell for cell in self.compared if cell.against.difference.below_zero)

    @property
    def better(self) -> tuple[Cell, ...]:
        """Cells that are better than the baseline: by interval and exact test (``Estimate.p``)."""
        return tuple(cell for cell in self.compared if cell.against.difference.above_zero)

    def cell(self, label: str, suite: str, agent: str) -> Cell:
        """The cell of that name.

        Raises:
            KeyError: the grid has no such label, suite or agent.
        """
        for cell in self.cells:
            if (cell.label, cell.suite, cell.agent) == (label, suite, agent):
                return cell
        raise KeyError((label, suite, agent))

    def over(self, label: str, agent: str | None = None) -> Overall:
        """A label over its suites, for one agent or for all.

        Raises:
            KeyError: there is no such label or agent.
        """
        for each in self.overall:
            if (each.label, each.agent) == (label, agent):
                return each
        raise KeyError((label, agent))


def tabulate(
    attempts: Sequence[Attempt],
    ledgers: Iterable[Ledger] = (),
    *,
    plan: Plan | None = None,
    baseline: str = BASELINE,
    focus: str = FOCUS,
    entries: Sequence[Series] = (),
) -> Tables:
    """The tables of ``attempts``. Nothing of it fails on attempts that are only half there."""
    ledger = {each.arm: each for each in ledgers}
    kept = _latest(attempts)
    grid = _Grid.of(kept, plan or Plan(), baseline)
    cells = _corrected([grid.cell(*key) for key in grid.names()])
    overall = tuple(grid.overall(label, agent, cells) for label, agent in grid.rows())
    return Tables(
        baseline=baseline,
        focus=focus,
        labels=grid.labels,
        suites=grid.suites,
        agents=grid.agents,
        cells=cells,
        overall=overall,
        transfer=_transfer(grid),
        entries=tuple(x for series in entries for x in _entries(grid, cells, series)),
        balances=tuple(_balance(arm, ledger.get(arm), grid) for arm in grid.arms_with_memory()),
        seconds=_seconds(kept),
        errors=_errors(kept),
        looked=sum(each.opened is not None for each in kept),
        opened=sum(each.opened is True for each in kept),
        replaced=len(attempts) - len(kept),
        records=len(kept),
    )


# ---- attempts, in order

_Key = tuple[str, str, str]  # label, suite, agent
_Place = tuple[str, str, str, int]  # suite, agent, task, seed
_Pair = tuple[Attempt, Attempt]
_Pairs = dict[str, list[_Pair]]


def _place(attempt: Attempt) -> _Place:
    return attempt.suite, attempt.agent, attempt.task_id, attempt.seed


def _latest(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The last record of each attempt, sorted."""
    last = {(each.arm, each.source or "", *_place(each)): each for each in attempts}
    return [last[key] for key in sorted(last)]


def _by_task(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = defaultdict(list)
    for each in attempts:
        found[each.task_id].append(each)
    return found


def _pairs(attempts: Iterable[Attempt], without: Mapping[_Place, Attempt]) -> _Pairs:
    """By task: (without, with) of every seed that has a verdict in both."""
    found: _Pairs = defaultdict(list)
    for each in attempts:
        partner = without.get(_place(each))
        if partner is not None and partner.judged and each.judged:
            found[each.task_id].append((partner, each))
    return found


def _measure(attempt: Attempt, measure: str) -> float:
    if measure == "solved":
        return float(attempt.solved or False)
    if measure == "tokens":
        return float(attempt.input_tokens + attempt.output_tokens)
    return float(getattr(attempt, measure))


def _average(attempts: Sequence[Attempt], measure: str) -> float:
    return math.fsum(_measure(each, measure) for each in attempts) / len(attempts)


def _averages(pairs: _Pairs, measure: str) -> dict[str, tuple[float, float]]:
    """By task, its seeds averaged: (without, with)."""
    return {
        task: (
            _average([before for before, _ in found], measure),
            _average([after for _, after in found], measure),
        )
        for task, found in pairs.items()
    }


def _sides(values: Mapping[str, tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [before for before, _ in values.values()], [after for _, after in values.values()]


def _outcome(attempt: Attempt) -> str:
    if attempt.solved is None:
        return NO_VERDICT
    return "solved" if attempt.solved else attempt.failure or "wrong"


def _errors(attempts: Iterable[Attempt]) -> tuple[tuple[str, int], ...]:
    counted = Counter(each.error or "no reason given" for each in attempts if not each.judged)
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _seconds(attempts: Iterable[Attempt]) -> dict[str, float]:
    taken: dict[str, list[float]] = defaultdict(list)
    for each in attempts:
        if each.judged:
            taken[each.agent].append(each.seconds)
    return {agent: median(found) for agent, found in taken.items()}


# ---- the grid


@dataclass(frozen=True)
class _Grid:
    """The attempts by cell, and the names of the rows and columns in the order of showing them."""

    baseline: str
    labels: tuple[str, ...]
    suites: tuple[str, ...]
    agents: tuple[str, ...]
    origin: Mapping[str, tuple[str, str | None]]
    expected: Mapping[str, int]
    attempts: Mapping[_Key, list[Attempt]]
    without: Mapping[_Place, Attempt]
    groups: Groups

    @classmethod
    def of(cls, attempts: Sequence[Attempt], plan: Plan, baseline: str) -> _Grid:
        several = _arms_of_several_sources(attempts)
        origin: dict[str, tuple[str, str | None]] = {}
        cells: dict[_Key, list[Attempt]] = defaultdict(list)
        tried: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for each in attempts:
            label = f"{each.arm} ← {each.source}" if each.arm in several else each.arm
            origin[label] = (each.arm, each.source if each.arm in several else None)
            cells[label, each.suite, each.agent].append(each)
            tried[each.suite].add((each.task_id, each.seed))
        ran = {arm for arm, _ in origin.values()}
        origin |= {arm: (arm, None) for arm in (baseline, *plan.arms) if arm not in ran}
        suites = _ordered({*plan.suites, *tried}, list(plan.suites))
        return cls(
            baseline=baseline,
            labels=_ordered(origin, [baseline, *plan.arms, *_ARMS], lambda label: origin[label][0]),
            suites=suites,
            agents=_ordered({*plan.agents, *(each.agent for each in attempts)}, plan.agents),
            origin=origin,
            expected={s: max(plan.suites.get(s, 0), len(tried[s])) for s in suites},
            attempts=cells,
            without={_place(each): each for each in attempts if each.arm == baseline},
            groups=_groups(attempts),
        )

    def names(self) -> list[_Key]:
        return [(x, suite, a) for x in self.labels for suite in self.suites for a in self.agents]

    def rows(self) -> list[tuple[str, str | None]]:
        return [(label, agent) for label in self.labels for agent in (None, *self.agents)]

    def arms_with_memory(self) -> list[str]:
        arms = dict.fromkeys(self.origin[label][0] for label in self.labels)
        return [arm for arm in arms if arm != self.baseline]

    def cell(self, label: str, suite: str, agent: str) -> Cell:
        found = self.attempts.get((label, suite, agent), [])
        judged = [each for each in found if each.judged]
        tasks = _by_task(judged)
        outcomes = Counter(_outcome(each) for each in found)
        sources = {each.source for each in found}
        pairs = {} if label == self.baseline else _pairs(found, self.without)
        solved = _averages(pairs, "solved")
        groups = self.groups.get(suite, {})
        return Cell(
            label=label,
            arm=self.origin[label][0],
            source=next(iter(sources)) if len(sources) == 1 else None,
            suite=suite,
            agent=agent,
            expected=self.expected[suite],
            attempts=len(found),
            judged=len(judged),
            guided=sum(bool(each.guidance_tokens or each.constraints) for each in judged),
            seeds=len({each.seed for each in found}),
            outcomes={name: outcomes[name] for name in OUTCOMES},
            accuracy=share(math.fsum(_average(x, "solved") for x in tasks.values()), len(tasks)),
            costs={m: mean([_average(x, m) for x in tasks.values()]) for m in MEASURES},
            against=paired(*_sides(solved)) if pairs else UNPAIRED,
            changes={m: mean_difference(*_sides(_averages(pairs, m))) for m in MEASURES},
            logs=_logs(found),
            grouped=_over_groups({suite: {agent: solved}}, self.groups),
            groups=len({groups[task] for task in solved if task in groups}),
        )

    def overall(self, label: str, agent: str | None, cells: Sequence[Cell]) -> Overall:
        mine = [x for x in cells if x.label == label and agent in (None, x.agent)]
        held = {label} if label != self.baseline else set()
        pairs = self.pairs(held, [agent] if agent else self.agents)
        return Overall(
            label=label,
            arm=self.origin[label][0],
            agent=agent,
            cells=sum(cell.judged > 0 for cell in mine),
            planned=len(mine),
            accuracy=self.share(label, [agent] if agent else self.agents),
            difference=_macro(pairs, "solved"),
            changes={measure: _macro(pairs, measure) for measure in MEASURES},
            grouped=_over_groups(_values(pairs, "solved"), self.groups),
        )

    def share(self, label: str, agents: Sequence[str]) -> Estimate:
        """The share solved over these agents and all suites."""
        return macro_share(
            {
                suite: {
                    agent: {
                        task: _average(found, "solved")
                        for task, found in _by_task(
                            each
                            for each in self.attempts.get((label, suite, agent), [])
                            if each.judged
                        ).items()
                    }
                    for agent in agents
                }
                for suite in self.suites
            }
        )

    def pairs(self, labels: Iterable[str], agents: Sequence[str]) -> dict[str, dict[str, _Pairs]]:
        """Suite → agent and label → task → pairs."""
        return {
            suite: {
                f"{agent} {label}": _pairs(
                    self.attempts.get((label, suite, agent), []), self.without
                )
                for agent in agents
                for label in sorted(labels)
            }
            for suite in self.suites
        }


def _macro(pairs: Mapping[str, Mapping[str, _Pairs]], measure: str) -> Estimate:
    return macro_difference(_values(pairs, measure), shares=measure == "solved")


def _values(pairs: Mapping[str, Mapping[str, _Pairs]], measure: str) -> Cells:
    return {
        suite: {agent: _averages(found, measure) for agent, found in agents.items()}
        for suite, agents in pairs.items()
    }


def _over_groups(suites: Cells, groups: Groups) -> Estimate:
    """The mean difference with an interval over groups; unknown where no task is in one."""
    met = any(
        task in groups.get(suite, {})
        for suite, agents in suites.items()
        for tasks in agents.values()
        for task in tasks
    )
    return macro_difference(suites, groups=groups) if met else NOTHING


def _groups(attempts: Iterable[Attempt]) -> Groups:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for each in attempts:
        if each.group is not None:
            found[each.suite][each.task_id] = each.group
    return found


def _arms_of_several_sources(attempts: Iterable[Attempt]) -> set[str]:
    """Arms in which one agent reads more than one memory."""
    sources: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for each in attempts:
        sources[each.arm, each.agent].add(each.source)
    return {arm for (arm, _), found in sources.items() if len(found) > 1}


def _ordered(
    names: Iterable[str], first: Sequence[str], of: Callable[[str], str] = str
) -> tuple[str, ...]:
    places = {name: place for place, name in reversed(list(enumerate(first)))}
    return tuple(sorted(names, key=lambda name: (places.get(of(name), len(places)), name)))


def _logs(attempts: Iterable[Attempt]) -> tuple[LogUse, ...]:
    samples: dict[str, set[str]] = defaultdict(set)
    for each in attempts:
        if each.log is not None:
            samples[each.log].add(each.sample or each.task_id)
    return tuple(LogUse(log, tuple(sorted(samples[log]))) for log in sorted(samples))


# ---- what is made of the cells


def _corrected(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Each cell with its p corrected over the cells of its label."""
    by_label: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_label[cell.label].append(cell)
    corrected: dict[tuple[str, str, str], float] = {}
    for label, mine in by_label.items():
        for cell, p in zip(mine, holm([cell.against.p for cell in mine]), strict=True):
            corrected[label, cell.suite, cell.agent] = p
    return tuple(
        replace(cell, corrected=corrected[cell.label, cell.suite, cell.agent]) for cell in cells
    )


def _transfer(grid: _Grid) -> tuple[Transfer, ...]:
    """Rows: memories of one model by its name, then the arms whose memory several models share."""
    rows: dict[str, dict[_Key, list[Attempt]]] = {}
    for key, found in grid.attempts.items():
        for each in found:
            if each.source is not None:
                rows.setdefault(_row(each), {}).setdefault(key, []).append(each)
    # Memories of one model first; then in the order of the arms.
    places = {label: place for place, label in enumerate(grid.labels)}
    order = sorted(
        rows, key=lambda row: (" · " in row, min(places[label] for label, _, _ in rows[row]), row)
    )
    return tuple(
        Transfer(row, agent, _macro(_of_agent(rows[row], agent, grid.without), "solved"))
        for row in order
        for agent in grid.agents
    )


def _row(attempt: Attempt) -> str:
    source = attempt.source or ""
    return source if attempt.arm in _OF_ONE_MODEL else f"{attempt.arm} · {source}"


def _of_agent(
    row: Mapping[_Key, list[Attempt]],
    agent: str,
    without: Mapping[_Place, Attempt],
) -> dict[str, dict[str, _Pairs]]:
    found: dict[str, dict[str, _Pairs]] = defaultdict(dict)
    for (label, suite, reader), attempts in sorted(row.items()):
        if reader == agent:
            found[suite][label] = _pairs(attempts, without)
    return found


def _entries(grid: _Grid, cells: Sequence[Cell], series: Series) -> tuple[EntryPoint, ...]:
    arms = [arm for _, arm in series]
    # A suite on which only one of the arms was run shows no effect of the number.
    ran: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        if cell.arm in arms and cell.against.difference.known:
            ran[cell.suite].add(cell.arm)
    return tuple(
        EntryPoint(
            f"{arms[0]} to {arms[-1]}",
            arm,
            label,
            suite,
            agent,
            cell.against.difference,
            cell.changes["turns"],
        )
        for suite in grid.suites
        if len(ran[suite]) > 1
        for agent in grid.agents
        for label, arm in series
        for cell in cells
        if (cell.arm, cell.suite, cell.agent) == (arm, suite, agent)
    )


def _balance(arm: str, spent: Ledger | None, grid: _Grid) -> Balance:
    labels = {label for label in grid.labels if grid.origin[label][0] == arm}
    pairs = grid.pairs(labels, grid.agents)
    tokens, turns = -_macro(pairs, "tokens"), -_macro(pairs, "turns")
    cost = spent.tokens if spent else 0
    return Balance(
        arm=arm,
        spent=spent,
        tokens=tokens,
        turns=turns,
        break_even=_break_even(cost, tokens.value),
        best=_break_even(cost, tokens.high),
        worst=_break_even(cost, tokens.low),
    )


def _break_even(spent: int, saved: float) -> int | None:
    return math.ceil(spent / saved) if saved > 0 else None
