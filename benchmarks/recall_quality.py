"""Does recall find what fits, and is it silent where nothing does?

    python benchmarks/recall_quality.py [--tune] [--json]

Over ``recall_validation.toml`` (constraints, their source tasks, tasks that ask for them, tasks
that should get nothing; all written for this). Each query is filed by the categoriser from the
seeds alone, as in a bank without labels, and searched with the recipe ``default``.
The first query of each constraint chose the settings, the second is the one to report.

``--tune`` prints the figures over a grid of thresholds and margins, on the first queries only.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcollab.embed import bundled
from memcollab.recall import Index, IndexRow, search
from memcollab.recipe import DEFAULT, PAPER_V1, Recipe
from memcollab.records import Agent, Category, Constraint, Support, Task
from memcollab.taxonomy import Categoriser, Taxonomy

FILE = Path(__file__).with_name("recall_validation.toml")
AGENT = Agent(model="any")


@dataclass(frozen=True)
class Asked:
    """A task and the id of the constraint that it asks for; None = it should get nothing."""

    text: str
    wanted: str | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    content = tomllib.loads(FILE.read_text("utf-8"))
    index, ids = build(content)
    seeds = Categoriser(Taxonomy.load(), bundled())
    if given.tune:
        tune(content, index, ids, seeds)
        return
    report = {
        recipe.name: {
            part: measure(asked(content, ids, number), index, seeds, recipe)
            for part, number in (("chosen on", 0), ("report", 1))
        }
        for recipe in (DEFAULT, PAPER_V1)
    }
    print(json.dumps(report, indent=None if given.json else 2))


def build(content: dict[str, Any]) -> tuple[Index, list[str]]:
    """The index over the constraints of the file, and their ids in its order."""
    index = Index(bundled().embed)
    tasks: dict[str, str] = {}
    rows = []
    for entry in content["constraint"]:
        sources = [Task(text=text) for text in entry["sources"]]
        tasks |= {task.id: task.text for task in sources}
        constraint = Constraint(
            when=entry["when"],
            enforce=entry["enforce"],
            avoid=entry["avoid"],
            category=Category.parse(entry["category"]),
            support=Support(tasks=len(sources), contrasts=len(sources)),
        )
        rows.append(IndexRow(constraint, tuple(task.id for task in sources)))
    index.update(rows, tasks)
    return index, [row.constraint.id for row in rows]


def asked(content: dict[str, Any], ids: Sequence[str], number: int) -> list[Asked]:
    """The queries of that number, and every other of the unrelated tasks."""
    related = [
        Asked(entry["queries"][number], wanted)
        for entry, wanted in zip(content["constraint"], ids, strict=True)
    ]
    return related + [Asked(text, None) for text in content["unrelated"][number::2]]


def measure(
    queries: Sequence[Asked], index: Index, seeds: Categoriser, recipe: Recipe
) -> dict[str, float]:
    """Shares: the wanted one first; among those given; nothing given though one is wanted; rightly
    silent on unrelated tasks. ``given`` is the mean number of entries on related tasks."""
    first = among = silent = right_silence = entries = 0
    for query in queries:
        task = Task(text=query.text)
        vector = bundled().embed([query.text])[0]
        found = search(task, AGENT, seeds.decide(task, vector), index, recipe, vector)
        ids = [entry.constraint.id for entry in found.entries]
        if query.wanted is None:
            right_silence += not ids
            continue
        first += ids[:1] == [query.wanted]
        among += query.wanted in ids
        silent += not ids
        entries += len(ids)
    related = sum(query.wanted is not None for query in queries)
    return {
        "related": related,
        "first": round(first / related, 3),
        "among": round(among / related, 3),
        "silent": round(silent / related, 3),
        "given": round(entries / related, 2),
        "unrelated": len(queries) - related,
        "rightly_silent": round(right_silence / (len(queries) - related), 3),
    }


def tune(content: dict[str, Any], index: Index, ids: Sequence[str], seeds: Categoriser) -> None:
    for recipe in _grid():
        values = {
            name: getattr(recipe, name) for name in ("min_score", "soft_margin", "max_overlap")
        }
        print(values, measure(asked(content, ids, 0), index, seeds, recipe))


def _grid() -> Iterator[Recipe]:
    for least in (0.25, 0.28, 0.30, 0.32, 0.35, 0.38, 0.40, 0.45):
        yield DEFAULT.model_copy(update={"min_score": least})
    for margin in (0.0, 0.1, 0.25, 0.4, 0.6, 1.0):
        yield DEFAULT.model_copy(update={"soft_margin": margin})
    for overlap in (0.6, 0.7, 0.8, 0.85, 0.9):
        yield DEFAULT.model_copy(update={"max_overlap": overlap})


if __name__ == "__main__":
    main()
