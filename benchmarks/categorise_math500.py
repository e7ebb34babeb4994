"""How well the categoriser files MATH500, with the rest of the MATH test set as labelled tasks.

    python benchmarks/categorise_math500.py DATA [--cross-validate] [--json]

``DATA`` is a folder with ``math/math500_test.jsonl.gz`` (500 rows: ``problem``, ``subject``) and
``math/math_test_5000.jsonl.gz`` (5,000 rows: ``problem``, ``type``). The 500 are among the 5,000
and are left out of the labelled tasks by their text. No model is called.

``--cross-validate`` never opens the 500: five folds of the 4,500 others. It is what the settings
were chosen by; the run on the 500 comes after. Figures and settings: design/categories.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memcollab.embed import bundled
from memcollab.records import Category, Task
from memcollab.taxonomy import Categoriser, Taxonomy

Labelled = list[tuple[str, Category]]
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cross-validate", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    taxonomy = Taxonomy.load()
    held_out, others = read(given.data / "math", taxonomy)
    report = (
        cross_validate(taxonomy, others)
        if given.cross_validate
        else {
            "math500": measure(taxonomy, others, held_out),
            "math500_seeds_alone": measure(taxonomy, [], held_out),
        }
    )
    print(json.dumps(report, indent=None if given.json else 2))


def read(folder: Path, taxonomy: Taxonomy) -> tuple[Labelled, Labelled]:
    """The 500, and the 4,500 whose text is not among them."""
    held_out = _rows(folder / "math500_test.jsonl.gz", "subject", taxonomy)
    texts = {_plain(text) for text, _ in held_out}
    whole = _rows(folder / "math_test_5000.jsonl.gz", "type", taxonomy)
    return held_out, [(text, label) for text, label in whole if _plain(text) not in texts]


def _rows(path: Path, label: str, taxonomy: Taxonomy) -> Labelled:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["problem"], taxonomy.resolve(row[label])) for row in rows]


def _plain(text: str) -> str:
    return " ".join(text.split())


def cross_validate(taxonomy: Taxonomy, labelled: Labelled) -> dict[str, Any]:
    order = np.random.default_rng(0).permutation(len(labelled))
    found = []
    for fold in np.array_split(order, FOLDS):
        inside = set(fold.tolist())
        others = [item for number, item in enumerate(labelled) if number not in inside]
        found.append(measure(taxonomy, others, [labelled[number] for number in fold]))
    return {
        "folds": found,
        "mean": {
            name: round(float(np.mean([f[name] for f in found])), 4) for name in ("top1", "top2")
        },
    }


def measure(taxonomy: Taxonomy, labelled: Labelled, asked: Labelled) -> dict[str, Any]:
    """Accuracy over ``asked``; a task filed under anything but its own subject is wrong, though
    the candidates are all categories of the taxonomy and not the seven of MATH alone."""
    started = time.perf_counter()
    categoriser = Categoriser(taxonomy, bundled(), labelled)
    trained = time.perf_counter() - started
    ranks, spent, confused = [], [], Counter[str]()
    for text, label in asked:
        started = time.perf_counter()
        decision = categoriser.decide(Task(text=text))
        spent.append(time.perf_counter() - started)
        names = [guess.category.name for guess in decision.guesses]
        ranks.append(names.index(label.name) if label.name in names else len(names))
        if names[0] != label.name:
            confused[f"{label.name} -> {names[0]}"] += 1
    return {
        "labelled": len(labelled),
        "tasks": len(asked),
        "top1": round(_share(ranks, 1), 4),
        "top2": round(_share(ranks, 2), 4),
        "interval95_top1": _interval(_share(ranks, 1), len(ranks)),
        "interval95_top2": _interval(_share(ranks, 2), len(ranks)),
        "most_confused": dict(confused.most_common(6)),
        "train_seconds": round(trained, 2),
        "decide_ms_p50": round(1000 * float(np.median(spent)), 3),
        "stored_bytes": len(categoriser.to_bytes()),
    }


def _share(ranks: Sequence[int], within: int) -> float:
    return sum(rank < within for rank in ranks) / len(ranks)


def _interval(share: float, count: int) -> list[float]:
    """Wilson's 95 % interval."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count**2)) ** 0.5
    return [round(middle - half, 3), round(middle + half, 3)]


if __name__ == "__main__":
    main()
