"""What a web page costs the server, over a bank of generated constraints.

    python benchmarks/pages_speed.py [--constraints 50000] [--rounds 20] [--json]

The bank is that of ``serve_load.py``. The server is ``memcollab serve`` as a process of its own,
with its defaults but for the limit of rate; each page is asked for once, so that what is kept is
counted, and then ``rounds`` times, one after the other. Milliseconds from the request to the last
byte, on loopback; no browser is part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from recall_speed import Maker
from serve_load import announced, fill, peak

from memcollab.bank import Bank
from memcollab.taxonomy import Taxonomy

PAGES = {
    "overview": "/",
    "constraints": "/constraints",
    "constraints, by words": "/constraints?text=prime",
    "constraints, by category": "/constraints?category=algebra&status=active",
    "contrasts": "/contrasts",
    "recall, form": "/recall",
    "transfer": "/transfer",
    "learn": "/learn",
    "red flags": "/flags",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraints", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--bank", type=Path, help="keep the bank here, and use it if it is there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.bank or Path(folder, "bench.db")
        if not path.exists():
            fill(path, Maker(Taxonomy.load(), random.Random(0)), given.constraints)  # noqa: S311 - not a secret
        report = measured(path, given)
    print(json.dumps(report, indent=None if given.json else 2))


def measured(path: Path, given: argparse.Namespace) -> dict[str, Any]:
    with Bank.open(path) as bank:
        one = bank.constraints(limit=1)[0].id
    pages = {**PAGES, "one constraint": f"/constraints/{one}"}
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(path)]
    process = subprocess.Popen(  # noqa: S603 - this very program
        [*command, "--port", "0", "--rate", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        base = f"http://127.0.0.1:{announced(process)}/{path.stem}/pages"
        report: dict[str, Any] = {"bank": given.constraints, "rounds": given.rounds}
        with httpx.Client(timeout=60) as client:
            for name, target in pages.items():
                first, *others = [spent(client, base + target) for _ in range(given.rounds + 1)]
                report[name] = {
                    "first ms": round(first, 1),
                    "p50 ms": round(statistics.median(others), 1),
                    "max ms": round(max(others), 1),
                }
        report["load average"] = os.getloadavg()[0]
        report["peak memory MB"] = peak(process.pid)
        return report
    finally:
        process.terminate()
        process.wait(60)


def spent(client: httpx.Client, url: str) -> float:
    began = time.perf_counter()
    client.get(url).raise_for_status()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
