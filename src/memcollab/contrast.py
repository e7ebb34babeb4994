"""Runs of one task → the pairs worth asking "what made the difference?" (pure).

The contract of this module:

* The result depends on the set of runs only: not on their order, not on a run being given twice.
* Unjudged runs never enter a pair: nobody knows how they ended.
* Both runs of a pair were made in the same harness. Across harnesses the tools, the turns allowed
  and the answer format differ too, and the writer would explain those instead of the reasoning.
* ``default`` spreads its few pairs per task over model families on both sides, because a
  difference that shows between unrelated models is less likely to be one model's style
  (paper section 3.1: keep the invariant, drop the bias). design/contrast.md gives the rules.
* ``paper-v1`` and ``paper-v2`` filter nothing, to the letter (paper section 3.2).
* ``single`` puts nothing beside a run: it is what the others are compared with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, islice
from math import inf

from memcollab.recipe import Recipe
from memcollab.records import Contrast, ContrastKind, RunSummary

Pair = tuple[RunSummary, RunSummary]
Size = Callable[[RunSummary], int]


def select_contrasts(
    runs: Iterable[RunSummary], recipe: Recipe, *, strongest_first: Sequence[str] = ()
) -> list[Contrast]:
    """The contrasts of these runs, ordered by task id, then in the order of their worth.

    ``strongest_first`` names models from strong to weak and matters to the paper's recipes only.
    Left out, strength is the share of judged runs solved. A model that it does not name counts as
    weaker than those it names. ``paper-v1`` knows two agents: of more models it takes the first
    and the last of that order.
    """
    tasks = _by_task(runs)
    if recipe.pairing == "discordant":
        return [contrast for task in tasks for contrast in _default(task, recipe)]
    if recipe.pairing == "single":
        limit = recipe.max_contrasts_per_task
        return [_contrast("single", run, run) for task in tasks for run in task[:limit]]
    judged = [run for task in tasks for run in task]
    strength = _strength(judged, strongest_first)
    if recipe.pairing == "paper-v1":
        named = [model for model in strength if model in set(strongest_first)]
        pool = named if len(named) > 1 else strength
        strength = [pool[0], pool[-1]] if len(pool) > 1 else []
        choose = _paper_v1
    else:
        choose = _paper_v2
    limit = recipe.max_contrasts_per_task
    return [contrast for task in tasks for contrast in _paper(task, strength, choose)[:limit]]


def mixed_tasks(runs: Iterable[RunSummary]) -> int:
    """How many tasks have at least one solved and one unsolved run."""
    verdicts = defaultdict(set)
    for run in runs:
        if run.solved is not None:
            verdicts[run.task_id].add(run.solved)
    return sum(len(seen) == 2 for seen in verdicts.values())


def _by_task(runs: Iterable[RunSummary]) -> list[list[RunSummary]]:
    """Judged runs grouped by task, both levels in the order of ids.

    One id may come with several counts of turns (usage is not part of a run's identity): the
    least is kept, so that the order of reading decides nothing.
    """
    tasks: dict[str, list[RunSummary]] = defaultdict(list)
    last = ""
    for run in sorted(runs, key=lambda run: (run.id, *_cost(run))):
        if run.solved is not None and run.id != last:
            tasks[run.task_id].append(run)
        last = run.id
    return [tasks[task_id] for task_id in sorted(tasks)]


def _cost(run: RunSummary) -> tuple[float, float]:
    """Turns, then tokens; what is unknown counts as dear."""
    return (
        inf if run.turns is None else run.turns,
        inf if run.tokens is None else run.tokens,
    )


def _contrast(kind: ContrastKind, preferred: RunSummary, other: RunSummary) -> Contrast:
    return Contrast(task_id=preferred.task_id, kind=kind, preferred=preferred.id, other=other.id)


# -- default -----------------------------------------------------------------------------------


def _default(task: list[RunSummary], recipe: Recipe) -> list[Contrast]:
    """Discordant pairs of different models; else one of a single model; then efficiency. Where no
    run was right, the pairs of wrong ones that saw most."""
    right = [run for run in task if run.solved]
    wrong = [run for run in task if not run.solved]
    if not right:
        return [
            _contrast("unsolved", *pair) for pair in _unsolved(wrong, recipe.max_unsolved_per_task)
        ]
    found = [_contrast("discordant", *pair) for pair in _discordant(right, wrong, recipe)]
    if not found and recipe.max_contrasts_per_task != 0:
        found = [_contrast("same_model", *pair) for pair in _same_model(right, wrong)]
    if recipe.efficiency_ratio is not None:
        widest = _efficiency(right, recipe.efficiency_ratio, recipe.max_efficiency_per_task)
        found += [_contrast("efficiency", *pair) for pair in widest]
    return found


def _discordant(right: list[RunSummary], wrong: list[RunSummary], recipe: Recipe) -> list[Pair]:
    partners = _partners(right, wrong)
    if recipe.max_contrasts_per_task is None:
        return [(solved, run) for run in wrong for solved in partners[run.id]]
    return _Spread(partners, wrong).take(recipe.max_contrasts_per_task)


def _partners(right: list[RunSummary], wrong: list[RunSummary]) -> dict[str, list[RunSummary]]:
    """Per unsolved run: the solved runs of other models in the same harness."""
    by_harness = defaultdict(list)
    for run in right:
        by_harness[run.agent.harness].append(run)
    return {
        run.id: [
            solved
            for solved in by_harness[run.agent.harness]
            if solved.agent.model != run.agent.model
        ]
        for run in wrong
    }


class _Spread:
    """Takes pairs one by one, each time from what has been used least.

    The unsolved run is chosen first: one that tried before one that made no turn, then the family,
    the model and the run used least. Then its partner: the family used least, of another family if
    there is one, the model and the run used least, the shortest. Ids break ties.
    """

    def __init__(self, partners: dict[str, list[RunSummary]], wrong: list[RunSummary]) -> None:
        self.partners = partners
        self.wrong = [run for run in wrong if partners[run.id]]
        self.foreign = {
            run.id: any(solved.agent.family != run.agent.family for solved in partners[run.id])
            for run in self.wrong
        }
        self.uses: Counter[tuple[str, str, str]] = Counter()
        self.taken: set[tuple[str, str]] = set()

    def take(self, limit: int) -> list[Pair]:
        pairs: list[Pair] = []
        while len(pairs) < limit and (pair := self._next()) is not None:
            for side, run in zip(("right", "wrong"), pair, strict=True):
                self.uses.update(_names(side, run))
            self.taken.add((pair[0].id, pair[1].id))
            pairs.append(pair)
        return pairs

    def _next(self) -> Pair | None:
        for run in sorted(self.wrong, key=self._worth_of_wrong):
            free = [s for s in self.partners[run.id] if (s.id, run.id) not in self.taken]
            if free:
                return min(free, key=lambda solved: self._worth_of_right(solved, run)), run
        return None

    def _worth_of_wrong(self, run: RunSummary) -> tuple[bool, int, bool, int, int, str]:
        family, model, itself = (self.uses[name] for name in _names("wrong", run))
        return run.turns == 0, family, not self.foreign[run.id], model, itself, run.id

    def _worth_of_right(
        self, run: RunSummary, other: RunSummary
    ) -> tuple[int, bool, int, int, float, float, str]:
        family, model, itself = (self.uses[name] for name in _names("right", run))
        related = run.agent.family == other.agent.family
        return family, related, model, itself, *_cost(run), run.id


def _names(side: str, run: RunSummary) -> list[tuple[str, str, str]]:
    """What a use of ``run`` uses up: its family, its model, itself."""
    return [
        (side, "family", run.agent.family),
        (side, "model", run.agent.model),
        (side, "run", run.id),
    ]


def _same_model(right: list[RunSummary], wrong: list[RunSummary]) -> list[Pair]:
    """At most one pair of a single model's own runs: the one that tried, against the shortest."""
    pairs = [
        (solved, run)
        for run in wrong
        for solved in right
        if (solved.agent.model, solved.agent.harness) == (run.agent.model, run.agent.harness)
    ]
    return sorted(pairs, key=lambda p: (p[1].turns == 0, _cost(p[0]), p[0].id, p[1].id))[:1]


def _unsolved(wrong: list[RunSummary], limit: int) -> list[Pair]:
    """Pairs of wrong runs of different models, those with most turns first: they heard most from
    the environment. One that made no turn heard nothing."""
    heard = sorted((run for run in wrong if run.turns != 0), key=lambda r: (-_turns(r), r.id))
    pairs = (
        (run, other)
        for run, other in combinations(heard, 2)
        if run.agent.model != other.agent.model and run.agent.harness == other.agent.harness
    )
    return list(islice(pairs, limit))


def _efficiency(right: list[RunSummary], ratio: float, limit: int) -> list[Pair]:
    """The widest pairs (light, heavy) of solved runs, no run twice.

    Turns decide. Tokens are compared only where no pair of the task differs enough in turns, and
    only between runs of equal turns: otherwise a chatty model would pass for a wasteful one.
    """
    by_harness = defaultdict(list)
    for run in right:
        by_harness[run.agent.harness].append(run)
    by_turns = list(by_harness.values())
    by_tokens = [group for runs in by_turns for group in _equal_turns(runs)]
    for groups, size in ((by_turns, _turns), (by_tokens, _tokens)):
        ends = [pair for group in groups for pair in _ends(group, size, ratio)]
        if ends:
            widest = sorted(ends, key=lambda p: (-size(p[1]) / size(p[0]), p[0].id, p[1].id))
            return widest[:limit]
    return []


def _turns(run: RunSummary) -> int:
    return run.turns or 0


def _tokens(run: RunSummary) -> int:
    return run.tokens or 0


def _equal_turns(runs: list[RunSummary]) -> Iterator[list[RunSummary]]:
    groups = defaultdict(list)
    for run in runs:
        groups[run.turns].append(run)
    yield from groups.values()


def _ends(runs: list[RunSummary], size: Size, ratio: float) -> Iterator[Pair]:
    """Pairs (light, heavy) of different models from the two ends inward, while wide enough.

    A size of 0 is "unknown" here: a solved run that took nothing was not counted.
    """
    line = sorted((run for run in runs if size(run) > 0), key=lambda run: (size(run), run.id))
    while len(line) > 1:
        light, heavy = _widest(line, size)
        if light.agent.model == heavy.agent.model or size(heavy) < ratio * size(light):
            return
        yield light, heavy
        line = [run for run in line if run.id not in (light.id, heavy.id)]


def _widest(line: list[RunSummary], size: Size) -> Pair:
    """The widest pair of different models in a line sorted by size.

    It always holds one end of the line: widening a pair that holds neither keeps at least one
    choice of another model.
    """
    first, last = line[0], line[-1]
    heavy = next((r for r in reversed(line) if r.agent.model != first.agent.model), first)
    light = next((r for r in line if r.agent.model != last.agent.model), last)
    one, two = (first, heavy), (light, last)
    return min(one, two, key=lambda p: (-size(p[1]) / size(p[0]), p[0].id, p[1].id))


# -- the paper's recipes -----------------------------------------------------------------------

Choice = Callable[[dict[str, RunSummary], Sequence[str]], RunSummary | None]


def _strength(runs: list[RunSummary], strongest_first: Sequence[str]) -> list[str]:
    """The models of these runs, strongest first."""
    judged: Counter[str] = Counter(run.agent.model for run in runs)
    solved: Counter[str] = Counter(run.agent.model for run in runs if run.solved)
    named = [model for model in dict.fromkeys(strongest_first) if model in judged]
    rest = sorted(set(judged) - set(named), key=lambda m: (-solved[m] / judged[m], m))
    return named + rest


def _paper(task: list[RunSummary], strength: list[str], choose: Choice) -> list[Contrast]:
    """The preferred run of each harness against each other run in it, strongest first."""
    by_harness: dict[str | None, dict[str, RunSummary]] = defaultdict(dict)
    for run in task:  # in the order of ids: of several runs of a model the least id stands for it
        by_harness[run.agent.harness].setdefault(run.agent.model, run)
    contrasts = []
    for harness in sorted(by_harness, key=lambda name: (name is not None, name or "")):
        runs = by_harness[harness]
        preferred = choose(runs, strength)
        if preferred is None:
            continue
        others = [runs[m] for m in strength if m in runs and runs[m].id != preferred.id]
        contrasts += [_contrast(_kind(preferred, run), preferred, run) for run in others]
    return contrasts


def _paper_v1(runs: dict[str, RunSummary], strength: Sequence[str]) -> RunSummary | None:
    """The weak agent's run where it solved, else the strong one's (v1, section 3.2)."""
    if len(strength) < 2 or not all(model in runs for model in strength):
        return None
    strong, weak = (runs[model] for model in strength)
    return weak if weak.solved else strong


def _paper_v2(runs: dict[str, RunSummary], strength: Sequence[str]) -> RunSummary | None:
    """The strongest correct run, else the strongest model's run (v2)."""
    ranked = [runs[model] for model in strength if model in runs]
    return next((run for run in ranked if run.solved), ranked[0]) if ranked else None


def _kind(preferred: RunSummary, other: RunSummary) -> ContrastKind:
    if preferred.solved:
        return "both_right" if other.solved else "discordant"
    return "both_wrong"
