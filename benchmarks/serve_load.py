"""What a served recall costs, with load from a second process on loopback.

    python benchmarks/serve_load.py [--constraints 100000] [--seconds 10] [--clients 1,16] [--json]

The bank is made by the generator of ``recall_speed.py`` from a fixed seed: one source task for each
constraint, the taxonomy's categories halved, new text in each request. The server is
``memcollab serve`` as a process of its own with its defaults, but for the limit of rate. The load
is this process: plain sockets, one request at a time for each client, so what it takes of the
machine is small; it is included. Each request stores its recall.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from recall_speed import Maker

from memcollab.bank import Bank
from memcollab.bank import schema as tables
from memcollab.bank.memory import state
from memcollab.bank.rows import constraint_row, task_row
from memcollab.taxonomy import Taxonomy

_BATCH = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraints", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", default="1,16")
    parser.add_argument("--bank", type=Path, help="keep the bank here, and use it if it is there")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.bank or Path(folder, "bench.db")
        made = Maker(Taxonomy.load(), random.Random(0))  # noqa: S311 - not a secret
        if not path.exists():
            fill(path, made, given.constraints)
        tasks = [made.task(made.topic()).text for _ in range(5000)]
        report = measured(path, tasks, given)
    print(json.dumps(report, indent=None if given.json else 2))


def fill(path: Path, made: Maker, count: int) -> None:
    """A bank of ``count`` constraints, each from one task, its rows written straight."""
    with Bank.open(path) as bank:
        for start in range(0, count, _BATCH):
            rows: dict[Any, list[dict[str, Any]]] = {}
            for number in range(start, min(start + _BATCH, count)):
                for table, row in chain(made, number):
                    rows.setdefault(table, []).append(row)
            with bank._writing(quick=True) as connection:
                for table, batch in rows.items():
                    connection.execute(table.insert(), batch)


def chain(made: Maker, number: int) -> list[tuple[Any, dict[str, Any]]]:
    """The rows of a constraint with its task, two runs, contrast and draft."""
    topic = made.topic()
    task = made.task(topic).model_copy(update={"key": str(number)})
    constraint = made.constraint(topic, 1)
    runs = [
        {
            "id": f"run-{number}-{side}",
            "task_id": task.id,
            "model": side,
            "family": side,
            "solved": side == "a",
            "turns": 1,
            "turns_given": True,
            "shown": "[]",
            "origin": "",
        }
        for side in ("a", "b")
    ]
    contrast = {"id": f"contrast-{number}", "task_id": task.id, "kind": "discordant"}
    contrast |= {"preferred": runs[0]["id"], "other": runs[1]["id"]}
    words = {name: getattr(constraint, name) for name in ("when", "enforce", "avoid", "scope")}
    draft = {
        "counted": True,
        **words,
        "id": f"draft-{number}",
        "contrast_id": contrast["id"],
        "writer": "bench",
        "prompt_hash": "",
        "recipe": "default",
        "category": constraint.category.name,
        "constraint_id": constraint.id,
    }
    change = {"constraint_id": constraint.id, "actor": "bench", "action": "new"}
    change |= {"after": state(constraint), "at": "2026-01-01T00:00:00+00:00"}
    return [
        (tables.TASKS, task_row(task)),
        *((tables.TRAJECTORIES, run) for run in runs),
        (tables.CONTRASTS, contrast),
        (tables.CONSTRAINTS, constraint_row(constraint)),
        (tables.DRAFTS, draft),
        (tables.CHANGES, change),
    ]


def measured(path: Path, tasks: list[str], given: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(path)]
    process = subprocess.Popen(  # noqa: S603 - this very program
        [*command, "--port", "0", "--rate", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        port = announced(process)
        ready = time.perf_counter() - started
        report: dict[str, Any] = {
            "constraints": given.constraints,
            "ready after s": round(ready, 1),
        }
        for clients in map(int, given.clients.split(",")):
            before = processor_ms(process.pid)
            told = asyncio.run(load(port, clients, given.seconds, tasks))
            spent = processor_ms(process.pid) - before
            told["processor ms a request"] = round(spent / 1.1 / max(1, told["requests"]), 3)
            report[f"{clients} clients"] = told
        report["load average"] = os.getloadavg()[0]
        report["peak memory MB"] = peak(process.pid)
        return report
    finally:
        process.terminate()
        process.wait(60)


def announced(process: subprocess.Popen[str]) -> int:
    """The port; the rest of the log goes nowhere."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"running on http://[\d.]+:(\d+)", line):
            subprocess.Popen(["/bin/cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return int(found[1])
    raise SystemExit("the server ended")


def processor_ms(pid: int) -> float:
    """What a process has used so far, in user and system mode: unlike time by the clock, waiting
    for a core that others use does not lengthen it. NaN where there is no /proc."""
    place = Path(f"/proc/{pid}/stat")
    if not place.exists():
        return float("nan")
    fields = place.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> float | None:
    return memory(pid, "VmHWM")


def memory(pid: int, kind: str) -> float | None:
    """MB of a process, as Linux counts them: ``VmRSS`` now, ``VmHWM`` at most so far. None where
    there is no /proc, or the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    found = re.search(rf"{kind}:\s+(\d+)", status)
    return round(int(found[1]) / 1024, 1) if found else None


async def asked(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    body: bytes,
    more: bytes = b"",
) -> tuple[bytes, bytes]:
    """Head and body of the answer to a POST, over a kept connection; ``more``: header lines, each
    with its end. Raises: IncompleteReadError, OSError: the connection ended before the answer."""
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%b"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), more, len(body), body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return head, await reader.readexactly(int(length[1]))


async def load(port: int, clients: int, seconds: float, tasks: list[str]) -> dict[str, Any]:
    """Requests of ``clients`` at once, for so long, after a tenth of it to warm up."""
    spent: list[float] = []
    stages: dict[str, list[float]] = {}
    began = time.perf_counter()
    failed = 0

    async def client(number: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while (now := time.perf_counter()) < began + seconds * 1.1:
            body = json.dumps({"task": tasks[turn % len(tasks)], "harness": "bench"}).encode()
            turn += clients
            head, _ = await asked(reader, writer, "/v1/recall", body)
            failed += not head.startswith(b"HTTP/1.1 200")
            if now > began + seconds * 0.1:
                spent.append(time.perf_counter() - now)
                for name, value in re.findall(rb"([\w-]+);dur=([\d.]+)", head):
                    stages.setdefault(name.decode(), []).append(float(value))
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    times = np.array(spent) * 1000
    return {
        "requests/s": round(len(spent) / seconds, 1),
        "ms": {f"p{p}": round(float(np.percentile(times, p)), 2) for p in (50, 95, 99)},
        "requests": len(spent),
        "failed": failed,
        "stages, p50 ms": {n: round(float(np.median(v)), 3) for n, v in stages.items()},
    }


if __name__ == "__main__":
    main()
