"""Does evidence find out what helps whom? A generated world, with the plain union bank beside it.

    python benchmarks/evidence_world.py [--outcomes 20000] [--seed 1] [--bank] [--chart FILE]
    python benchmarks/evidence_world.py --waits 5000 [--recalls 600] [--seed 1]

Four agents of two families, forty constraints in four categories. A third of the constraints helps
every agent by ten points, a third helps one family by ten points and hurts the other by ten, a
third is poison: it hurts everyone by ten. Effects of constraints shown together add up on top of
what an agent solves in a category (35 to 65 %), within 2 to 98 %. No two agents, categories or
constraints are told apart by anything but their outcomes: every constraint of a task's category is
as relevant as every other.

A task comes at random from an agent and a category. ``evidence`` chooses up to three constraints by
the rules (``limit`` is the recipe's), throws the coins, and counts the outcome; it assesses anew
every 50 outcomes. ``union`` shows three at random, always. Shares are of all recalls of a window:

harmful   one that hurts the asking agent was chosen, whether or not a coin then withheld it
helpful   one that helps the asking agent was shown: what a coin withheld is a miss
solved    the task was solved

``--bank`` adds a fourth: the same world behind the public door, ``MemCollab`` over a bank on disk
(``recall`` and ``record_outcome``), which ends with ``Bank.verify``. Its coins fall by the random
ids of its recalls, so that its figures differ a little from run to run.

``--waits CELLS`` asks something else: how long a recall waits for what outcomes say. The world is
then as large as that (constraint × agent), all of it known by two outcomes a cell. A recall begins
every 20 ms, if the one before has ended, and a second thread reports how it ended, as a server
does. Twice: each recall waits for looks at the outcomes (``patience`` infinite), or a thread looks
while recalls go by what was known (as ``MemCollab`` is by default).

``--chart`` draws the shares over time (SVG, PNG, JSON or HTML by its ending; extra ``bench``).
"""

from __future__ import annotations

import argparse
import io
import json
import math
import queue
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from memcollab import MemCollab
from memcollab.evidence import (
    Candidate,
    Entry,
    Evidence,
    Exposure,
    Observation,
    Rules,
    assess,
    choose,
    expose,
    retirements,
)
from memcollab.recipe import DEFAULT, Recipe
from memcollab.records import Agent, Category, Constraint, Outcome, Recall, RecallEntry

EFFECT = 0.1
LIMIT = 3
EVERY = 50
PACE_SECONDS = 0.02


@dataclass(frozen=True)
class World:
    """What is true: the family of each agent, the constraints of each category, what an agent
    solves alone by (agent, category), and the effect by (constraint, family)."""

    families: dict[str, str]
    categories: dict[str, tuple[str, ...]]
    alone: dict[tuple[str, str], float]
    effects: dict[tuple[str, str], float]

    def effect(self, constraint: str, agent: str) -> float:
        return self.effects[constraint, self.families[agent]]

    def chance(self, agent: str, category: str, shown: Sequence[str]) -> float:
        """How probably the agent solves a task of the category, shown these."""
        total = sum(self.effect(each, agent) for each in shown)
        return min(0.98, max(0.02, self.alone[agent, category] + total))


@dataclass(frozen=True)
class Event:
    """A recall and its outcome. ``can_help``: a constraint that helps the agent exists."""

    harmful: bool
    helpful: bool
    can_help: bool
    solved: bool


# From (recall id, agent, category) to what is found and how the coins fell, and the word back.
Recaller = Callable[[str, str, str], Exposure]
Listener = Callable[[Observation], None]


def make_world(seed: int, constraints: int = 40, categories: int = 4) -> World:
    """A world of that seed. Kinds are dealt in turn over shuffled constraints."""
    dice = random.Random(seed)  # noqa: S311 # a simulation, no secret
    families = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    names = [f"c{number:02}" for number in range(constraints)]
    places = {f"k{number}": tuple(names[number::categories]) for number in range(categories)}
    dice.shuffle(names)
    effects = {}
    for number, name in enumerate(names):
        kind, sign = number % 3, 1 if number % 2 else -1
        for_a, for_b = ((1, 1), (sign, -sign), (-1, -1))[kind]
        effects[name, "a"], effects[name, "b"] = EFFECT * for_a, EFFECT * for_b
    alone = {
        (agent, category): dice.uniform(0.35, 0.65) for agent in families for category in places
    }
    return World(families, places, alone, effects)


def live(
    world: World, outcomes: int, recall: Recaller, listen: Listener, seed: int
) -> Iterator[Event]:
    """One recall after the other. The same seed asks the same tasks with the same luck."""
    dice = random.Random(seed)  # noqa: S311 # a simulation, no secret
    agents, categories = sorted(world.families), sorted(world.categories)
    for number in range(outcomes):
        agent, category, luck = dice.choice(agents), dice.choice(categories), dice.random()
        exposure = recall(f"recall-{seed}-{number}", agent, category)
        solved = luck < world.chance(agent, category, exposure.shown)
        found = [world.effect(each.constraint, agent) for each in exposure.entries]
        shown = [world.effect(each, agent) for each in exposure.shown]
        there = [world.effect(each, agent) for each in world.categories[category]]
        yield Event(min(found, default=0) < 0, max(shown, default=0) > 0, max(there) > 0, solved)
        listen(
            Observation(
                agent,
                world.families[agent],
                category,
                exposure.entries,
                solved,
                exposure.withheld,
                exposure.holdout,
            )
        )


class WithEvidence:
    """A bank that recalls by evidence, assesses every ``every`` outcomes, and retires."""

    def __init__(self, world: World, rules: Rules, limit: int = LIMIT, every: int = EVERY) -> None:
        self._world, self._rules, self._limit, self._every = world, rules, limit, every
        self.evidence = Evidence()
        self.assessment = assess(self.evidence, rules)
        self.retired: dict[str, str] = {}
        self._since = 0

    def recall(self, recall: str, agent: str, category: str) -> Exposure:
        there = self._world.categories[category]
        choice = choose(
            [Candidate(each) for each in there if each not in self.retired],
            agent=agent,
            family=self._world.families[agent],
            category=category,
            assessment=self.assessment,
            rules=self._rules,
            limit=self._limit,
        )
        return expose(
            recall,
            [each.constraint for each in choice.chosen],
            agent=agent,
            category=category,
            evidence=self.evidence,
            rules=self._rules,
        )

    def listen(self, seen: Observation) -> None:
        self.evidence.add(seen)
        self._since += 1
        if self._since == self._every:
            self._since = 0
            self.assessment = assess(self.evidence, self._rules)
            names = [each for there in self._world.categories.values() for each in there]
            active = [each for each in names if each not in self.retired]
            self.retired |= retirements(active, self.assessment)


class Union:
    """A bank without evidence: any ``limit`` of the category, always shown."""

    def __init__(self, world: World, seed: int, limit: int = LIMIT) -> None:
        self._world, self._limit = world, limit
        self._dice = random.Random(seed)  # noqa: S311 # a simulation, no secret

    def recall(self, _recall: str, _agent: str, category: str) -> Exposure:
        found = self._dice.sample(self._world.categories[category], self._limit)
        return Exposure(tuple(Entry(each) for each in found), withheld=False, holdout=0.0)


class ThroughBank:
    """The same, but through ``MemCollab``: an imported bank, recall, and how it ended."""

    def __init__(self, world: World, memory: MemCollab) -> None:
        self._world, self.memory = world, memory
        topics = [topic.name for topic in memory.taxonomy.topics]
        self._filed = dict(zip(world.categories, topics, strict=False))
        lines = [header(memory)]
        self.ids = {}
        self._made = dict[str, Constraint]()
        for category, names in world.categories.items():
            for name in names:
                words = {"when": "a task comes", "enforce": f"the way of {name}", "avoid": "others"}
                made = Constraint(**words, category=Category(name=self._filed[category]))
                self.ids[name] = made.id
                self._made[name] = made
                line = {"type": "constraint", "id": made.id, **made.model_dump(mode="json")}
                lines.append(json.dumps(line).encode())
        self._names = {id: name for name, id in self.ids.items()}
        memory.import_(io.BytesIO(b"\n".join(lines)), trusted=True)
        self._last = ""

    @staticmethod
    def recipe(rules: Rules, limit: int = LIMIT) -> Recipe:
        """Every constraint of a category is as relevant as every other."""
        rules = rules.model_copy(update={"relevance_step": 1.0})
        return DEFAULT.model_copy(
            update={
                "screen": False,
                "categories": "hard",
                "min_score": 0.0,
                "max_overlap": 1.0,
                "limit": limit,
                "evidence": rules,
            }
        )

    def ask(self, agent: str, category: str, *, store: bool = True) -> Recall:
        """What the memory has for that agent and a task of that category."""
        asked = Agent(model=agent, family=self._world.families[agent])
        filed = self._filed[category]
        return self.memory.recall("A task comes.", agent=asked, category=filed, store=store)

    def know(self, dice: random.Random, together: int = 20) -> int:
        """Two outcomes for every constraint × agent: shown, and withheld; so many constraints found
        together. How many outcomes that makes."""
        ended = list(self._all_tried(dice, together))  # all asked before anything is known
        return self.memory.bank.add_outcomes(ended).new

    def _all_tried(self, dice: random.Random, together: int) -> Iterator[tuple[Recall, Outcome]]:
        for agent, (category, names) in product(
            self._world.families, self._world.categories.items()
        ):
            found = self.ask(agent, category, store=False)
            for start in range(0, len(names), together):
                chunk = names[start : start + together]
                entries = tuple(
                    RecallEntry(constraint=self._made[name], score=1.0, parts={}, reason="")
                    for name in chunk
                )
                for withheld in (False, True):
                    id = f"recall-{agent}-{category}-{start}-{withheld}"
                    coin = {"withheld": withheld, "holdout": 0.5}
                    recall = found.model_copy(update={"id": id, "entries": entries, **coin})
                    yield recall, Outcome(recall_id=id, solved=dice.random() < 0.5)

    def recall(self, _recall: str, agent: str, category: str) -> Exposure:
        found = self.ask(agent, category)
        self._last = found.id
        entries = tuple(
            Entry(self._names[entry.constraint.id], entry.shown, entry.holdout)
            for entry in found.entries
        )
        exposure = Exposure(entries, found.withheld, found.holdout)
        assert exposure.shown == tuple(self._names[id] for id in found.shown)
        return exposure

    def listen(self, seen: Observation) -> None:
        self.memory.record_outcome(self._last, seen.solved)


def header(memory: MemCollab) -> bytes:
    """The first line of any export."""
    stream = io.BytesIO()
    memory.bank.export(stream)
    return stream.getvalue().splitlines()[0]


def simulate(world: World, outcomes: int, rules: Rules, seed: int) -> dict[str, list[Event]]:
    """The events of both banks, and of one that shows nothing, for the same tasks and luck."""
    evidence, union = WithEvidence(world, rules), Union(world, seed)
    none = Exposure((), withheld=False, holdout=0.0)
    banks: dict[str, tuple[Recaller, Listener]] = {
        "evidence": (evidence.recall, evidence.listen),
        "union": (union.recall, lambda _: None),
        "no memory": (lambda *_: none, lambda _: None),
    }
    return {
        name: list(live(world, outcomes, recall, listen, seed))
        for name, (recall, listen) in banks.items()
    }


def simulate_bank(world: World, outcomes: int, rules: Rules, seed: int) -> list[Event]:
    """The events of a bank on disk, behind the public door.

    Raises:
        AssertionError: the bank's counts are not what its recalls and outcomes give.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        MemCollab(Path(folder, "bank.db"), recipe=ThroughBank.recipe(rules)) as memory,
    ):
        through = ThroughBank(world, memory)
        events = list(live(world, outcomes, through.recall, through.listen, seed))
        assert memory.bank.verify().ok
    return events


def waits(cells: int, recalls: int, seed: int) -> dict[str, dict[str, float]]:
    """Milliseconds that recalls, and reports of outcomes, take while outcomes arrive."""
    world = make_world(seed, constraints=cells // 4)
    ways = {"each recall waits": {"patience": math.inf}, "a thread looks": {}}
    return {way: _waits(world, recalls, seed, **given) for way, given in ways.items()}


def _waits(world: World, recalls: int, seed: int, **given: float) -> dict[str, float]:
    dice = random.Random(seed)  # noqa: S311 # a simulation, no secret
    rules = Rules(holdout=0.1)
    asked, reported = list[float](), list[float]()
    ended = queue.SimpleQueue[tuple[str, bool] | None]()

    with (
        tempfile.TemporaryDirectory() as folder,
        MemCollab(Path(folder, "bank.db"), recipe=ThroughBank.recipe(rules), **given) as memory,
    ):

        def report() -> None:
            while (outcome := ended.get()) is not None:
                began = time.perf_counter()
                memory.record_outcome(*outcome)
                reported.append(1000 * (time.perf_counter() - began))

        through = ThroughBank(world, memory)
        known = through.know(dice)
        began = time.perf_counter()
        memory.warm()
        warmed = time.perf_counter() - began
        reporter = threading.Thread(target=report)
        reporter.start()
        for _ in range(recalls):
            agent, category = dice.choice([*world.families]), dice.choice([*world.categories])
            began = time.perf_counter()
            recall = through.ask(agent, category)
            asked.append(1000 * (time.perf_counter() - began))
            ended.put((recall.id, dice.random() < 0.5))
            time.sleep(max(0, PACE_SECONDS - (time.perf_counter() - began)))
        ended.put(None)
        reporter.join()
        assert memory.bank.versions().outcomes == known + recalls
    middle, high = np.percentile(asked, [50, 99])
    found = {"p50": middle, "p99": high, "longest": max(asked), "longest report": max(reported)}
    return {"first look, s": round(warmed, 2), **{k: round(v, 1) for k, v in found.items()}}


def shares(events: Sequence[Event]) -> dict[str, float]:
    """The shares of a window of events, as the head of this file defines them."""
    can = [event for event in events if event.can_help]
    return {
        "harmful": sum(event.harmful for event in events) / len(events),
        "helpful": sum(event.helpful for event in can) / max(1, len(can)),
        "solved": sum(event.solved for event in events) / len(events),
    }


def draw(events: dict[str, list[Event]], path: Path, window: int = 500) -> None:
    """Shares over time, a panel each, a line per bank."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"outcomes": end, "bank": bank, "measure": measure, "share": 100 * value}
        for bank, every in events.items()
        for end in range(window, len(every) + 1, window)
        for measure, value in shares(every[end - window : end]).items()
    ]
    titles = {
        "harmful": "recalls with one that hurts the asking agent, %",
        "helpful": "recalls that show one that helps it, %",
        "solved": "tasks solved, %",
    }
    colours = alt.Scale(
        domain=list(events), range=["#0072B2", "#D55E00", "#767676", "#009E73"][: len(events)]
    )
    panels = [
        alt.Chart(alt.Data(values=[row for row in rows if row["measure"] == measure]))
        .mark_line()
        .encode(
            x=alt.X("outcomes:Q", title=f"outcomes so far (windows of {window})"),
            y=alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("bank:N", scale=colours, title="bank"),
        )
        .properties(width=280, height=220, title=title)
        for measure, title in titles.items()
    ]
    alt.hconcat(*panels).configure_title(fontSize=11).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outcomes", type=int, default=20_000)
    parser.add_argument("--last", type=int, default=2_000, help="window of the report")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bank", action="store_true", help="through MemCollab, too")
    parser.add_argument("--waits", type=int, metavar="CELLS", help="how long recalls wait, instead")
    parser.add_argument("--recalls", type=int, default=600, help="of --waits")
    given = parser.parse_args()
    if given.waits:
        found = waits(given.waits, given.recalls, given.seed)
        print(json.dumps(found, indent=None if given.json else 2))
        return
    world, rules = make_world(given.seed), Rules(holdout=0.1)
    events = simulate(world, given.outcomes, rules, given.seed)
    if given.bank:
        events["MemCollab"] = simulate_bank(world, given.outcomes, rules, given.seed)
    report = {bank: shares(every[-given.last :]) for bank, every in events.items()}
    if given.chart:
        draw(events, given.chart)
    print(json.dumps(report, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
