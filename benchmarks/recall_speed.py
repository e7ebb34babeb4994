"""How long a recall takes in process, and what a cold start pays.

    python benchmarks/recall_speed.py [--constraints 10000] [--queries 2000] [--json]

Constraints, source tasks and queries are made by a generator from a fixed seed: sentences of the
taxonomy's own examples, keywords and subcategories, mixed, with other numbers. Its 11 categories
are halved into 22. Sizes are skewed: the largest holds a tenth of all, and is asked a tenth of the
time. Tasks have about sixty words, a constraint one to three source tasks.

One core: the process binds itself to one and gives every library one thread. Warm: each query is
new text, the index has been searched before. Embedding, category decision and search are timed
each, and together, by the clock and in processor time (which waiting for the core does not
lengthen, though sharing its caches does).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from memcollab.embed import Vectors, bundled
from memcollab.recall import Index, IndexRow, search
from memcollab.recipe import DEFAULT
from memcollab.records import Agent, Category, Constraint, Support, Task
from memcollab.taxonomy import Categoriser, Taxonomy, Topic
from memcollab.taxonomy.topics import Subtopic

AGENT = Agent(model="any", harness="bench")
LABELLED = 5000
SYLLABLES = "ba co di fe gu ha jo ki le mu na po ri sa te vo wi za ten lor mik sun dar pel".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraints", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    one_core()
    made = Maker(halved(Taxonomy.load()), random.Random(0))  # noqa: S311 - not a secret
    report = {"cold": cold(made, 1_000), "warm": warm(made, given.constraints, given.queries)}
    print(json.dumps(report, indent=None if given.json else 2))


def one_core() -> None:
    """Start again, bound to one core and with one thread for each library: they read these names
    when they are loaded."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    if all(os.environ.get(name) == "1" for name in names):
        return
    os.environ.update(dict.fromkeys(names, "1"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - this very program


def halved(taxonomy: Taxonomy) -> Taxonomy:
    """The taxonomy with each category cut in two, about twenty in all."""
    lines = ["format = 1"]
    for topic in taxonomy.topics:
        middle = len(topic.subcategory) // 2
        for number, parts in enumerate((topic.subcategory[:middle], topic.subcategory[middle:])):
            lines.append("[[category]]")
            lines += fields(topic, f"{topic.name}_{number + 1}")
            for part in parts:
                lines.append("[[category.subcategory]]")
                lines += fields(part, part.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "halved.toml")
        path.write_text("\n".join(lines), "utf-8")
        return Taxonomy.load(path)


def fields(topic: Subtopic, name: str) -> list[str]:
    """A JSON string or list of them is one of TOML, too."""
    values = {"name": name, "title": name, "description": topic.description}
    lists = {"keywords": topic.keywords, "examples": topic.examples}
    return [f"{key} = {json.dumps(value)}" for key, value in (values | lists).items()]


class Maker:
    """Makes tasks and constraints that read like those of a category."""

    def __init__(self, taxonomy: Taxonomy, chance: random.Random) -> None:
        self.taxonomy = taxonomy
        self._chance = chance
        # Words beyond the taxonomy's own few thousand, as frequent as words are (Zipf's law).
        self._words = [
            "".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(8000)
        ]
        self._frequencies = list(accumulate(1 / rank for rank in range(1, 8001)))
        # A tenth of all in the first, then falling.
        self._shares = [0.91**rank for rank in range(len(taxonomy.topics))]

    def topic(self) -> Topic:
        return self._chance.choices(self.taxonomy.topics, self._shares)[0]

    def task(self, topic: Topic) -> Task:
        """About sixty words. A quarter of the tasks are half of another category, so that the
        second category is searched as often as it is on MATH (one task in five)."""
        other = self.topic() if self._chance.random() < 0.25 else topic
        words: list[str] = []
        while len(words) < 50:
            words += self._sentence(topic).split()
            topic, other = other, topic
        return Task(text=" ".join(words))

    def _sentence(self, topic: Topic) -> str:
        part = self._chance.choice([topic, *topic.subcategory])
        words = self._chance.choice(part.seeds).split()
        # Every third word is another one, a name or a number, so that no two are alike.
        for place in range(0, len(words), 3):
            words[place] = self._other(part)
        return " ".join(words)

    def _other(self, part: Subtopic) -> str:
        kind = self._chance.random()
        if kind < 0.25:
            return str(self._chance.randint(2, 999))
        if kind < 0.5:
            return self._chance.choice(self._chance.choice(part.seeds).split())
        return self._chance.choices(self._words, cum_weights=self._frequencies)[0]

    def constraint(self, topic: Topic, tasks: int) -> Constraint:
        part = self._chance.choice(topic.subcategory)
        when, enforce, avoid = (
            " ".join(self._sentence(topic).split()[: self._chance.randint(8, 20)]) for _ in range(3)
        )
        harness = "bench" if self._chance.random() < 0.1 else None
        return Constraint(
            when=when,
            enforce=enforce,
            avoid=avoid,
            category=Category(name=topic.name, subcategory=part.name),
            scope="harness" if harness else "reasoning",
            harness=harness,
            support=Support(tasks=tasks, contrasts=tasks),
        )

    def rows(self, count: int) -> tuple[list[IndexRow], dict[str, str]]:
        """``count`` constraints, each from one to three tasks."""
        rows, tasks = [], {}
        for _ in range(count):
            topic = self.topic()
            sources = [self.task(topic) for _ in range(self._chance.randint(1, 3))]
            tasks |= {task.id: task.text for task in sources}
            constraint = self.constraint(topic, len(sources))
            rows.append(IndexRow(constraint, tuple(task.id for task in sources)))
        return rows, tasks

    def labelled(self, count: int) -> list[tuple[str, Category]]:
        topics = [self.topic() for _ in range(count)]
        return [(self.task(topic).text, Category(name=topic.name)) for topic in topics]


def kept(texts: Sequence[str]) -> Callable[[Sequence[str]], Vectors]:
    """Vectors as the bank's cache gives them: looked up, not computed."""
    vectors = dict(zip(texts, bundled().embed(texts), strict=True))
    dim = bundled().dim
    return lambda asked: np.array([vectors[text] for text in asked]).reshape(len(asked), dim)


def cold(made: Maker, count: int) -> dict[str, float]:
    """Milliseconds that the first recall of a process adds, over ``count`` constraints."""
    rows, tasks = made.rows(count)
    content = Categoriser(made.taxonomy, bundled(), made.labelled(LABELLED)).to_bytes()
    embed = kept([*tasks.values(), *(row.constraint.anchor for row in rows)])
    task = made.task(made.taxonomy.topics[0])
    bundled.cache_clear()
    clock = [time.perf_counter()]
    embedder = bundled()
    clock.append(time.perf_counter())
    Taxonomy.load()
    clock.append(time.perf_counter())
    categoriser = Categoriser.from_bytes(content, made.taxonomy, embedder)
    clock.append(time.perf_counter())
    index = Index(embed)
    index.update(rows, tasks)
    clock.append(time.perf_counter())
    vector = embedder.embed([task.text])[0]
    found = search(task, AGENT, categoriser.decide(task, vector), index, DEFAULT, vector)
    clock.append(time.perf_counter())
    stages = ("load embedder", "load taxonomy", "load categoriser", "fill index", "first recall")
    spent = {
        name: round(1000 * float(ms), 1) for name, ms in zip(stages, np.diff(clock), strict=True)
    }
    return {"constraints": count, **spent, "total": round(sum(spent.values()), 1)} | {
        f"of it {name}": round(ms, 1) for name, ms in found.timings.items()
    }


def warm(made: Maker, count: int, queries: int) -> dict[str, Any]:
    """Milliseconds of a recall over ``count`` constraints."""
    rows, tasks = made.rows(count)
    categoriser = Categoriser(made.taxonomy, bundled(), made.labelled(LABELLED))
    index = Index(bundled().embed)
    started = time.perf_counter()
    index.update(rows, tasks)
    for name in index.sizes:
        index.partition(name)
    built = time.perf_counter() - started
    asked = [made.task(made.topic()) for _ in range(queries + 100)]
    clocks: dict[str, Callable[[], float]] = {"clock": time.perf_counter, "cpu": time.thread_time}
    spent: dict[str, list[Any]] = {name: [] for name in clocks}
    entries = unsure = 0
    for task in asked:
        moments = [[clock() for clock in clocks.values()]]
        vector = bundled().embed([task.text])[0]
        moments.append([clock() for clock in clocks.values()])
        decision = categoriser.decide(task, vector)
        moments.append([clock() for clock in clocks.values()])
        found = search(task, AGENT, decision, index, DEFAULT, vector)
        moments.append([clock() for clock in clocks.values()])
        entries += len(found.entries)
        unsure += decision.margin < DEFAULT.soft_margin
        for name, times in zip(clocks, np.array(moments).T, strict=True):
            spent[name].append([*np.diff(times), times[-1] - times[0]])
    return {
        "constraints": count,
        "source tasks": len(tasks),
        "categories": len(index.sizes),
        "largest category": max(index.sizes.values()),
        "words of a query": round(float(np.mean([len(task.text.split()) for task in asked])), 1),
        "two categories searched": round(unsure / len(asked), 2),
        "entries given": round(entries / len(asked), 2),
        "build all partitions, embedding included, s": round(built, 2),
        "ms": {name: table(np.array(rows[100:])) for name, rows in spent.items()},
    }


def table(seconds: Any) -> dict[str, dict[str, float]]:
    """Percentiles in milliseconds, by stage."""
    return {
        stage: {f"p{p}": round(1000 * float(np.percentile(column, p)), 3) for p in (50, 95, 99)}
        for stage, column in zip(
            ("embed", "categorise", "search", "recall"), seconds.T, strict=True
        )
    }


if __name__ == "__main__":
    main()
