"""What a served recall costs, with load from a second process on loopback.

    python benchmarks/serve_load.py [--constraints 100000] [--seconds 10] [--clients 1,16] [--json]
                                    [--door v1,mcp,mcp-2025] [--processes 1]

The bank is made by the generator of ``recall_speed.py`` from a fixed seed: one source task for each
constraint, the taxonomy's categories halved, new text in each request. The server is
``memcollab serve`` as a process of its own with its defaults, but for the limit of rate. The load
is this process: plain sockets, one request at a time for each client, so what it takes of the
machine is small; it is included. Each request stores its recall. The doors: ``/v1/recall``, and the
tool ``recall`` at ``/mcp``, as clients of the protocol's 2026 version call it, and as those of the
2025 versions do after their handshake; they take turns with the same server. More than one process
share the port (``--reuse-port``); the kernel deals the connections out.
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
from collections.abc import Callable
from functools import partial
from itertools import product
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
    parser.add_argument("--door", default="v1", help=f"of {', '.join(DOORS)}")
    parser.add_argument("--processes", type=int, default=1)
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
    processes: list[subprocess.Popen[str]] = []
    try:
        port = 0
        for _ in range(given.processes):
            processes.append(server(path, port, share=given.processes > 1))
            port = announced(processes[-1])
        ready = time.perf_counter() - started
        report: dict[str, Any] = {
            "constraints": given.constraints,
            "processes": given.processes,
            "ready after s": round(ready, 1),
        }
        pids = [process.pid for process in processes]
        for clients, door in product(map(int, given.clients.split(",")), given.door.split(",")):
            before = sum(map(processor_ms, pids))
            told = asyncio.run(load(port, clients, given.seconds, tasks, DOORS[door]))
            spent = sum(map(processor_ms, pids)) - before
            told["processor ms a request"] = round(spent / 1.1 / max(1, told["requests"]), 3)
            report[f"{door}, {clients} clients"] = told
        report["load average"] = os.getloadavg()[0]
        report["peak memory MB of each"] = [peak(pid) for pid in pids]
        return report
    finally:
        for process in processes:
            process.terminate()
            process.wait(60)


def server(path: Path, port: int, *, share: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(path), "--rate", "0"]
    command += ["--port", str(port), *(["--reuse-port"] if share else [])]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - this program


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


async def answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[bytes, bytes]:
    """Head and body of the answer, over a kept connection. Raises: IncompleteReadError, OSError:
    the connection ended before the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return head, await reader.readexactly(int(length[1]))


def posted(path: str, body: dict[str, Any], *headers: str) -> bytes:
    sent = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(sent)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + sent


def over_v1(task: str) -> bytes:
    return posted("/v1/recall", {"task": task, "harness": "bench"})


def over_mcp(task: str, version: str = "2026-07-28") -> bytes:
    params: dict[str, Any] = {"name": "recall", "arguments": {"task": task, "harness": "bench"}}
    headers = ["Accept: application/json, text/event-stream", f"MCP-Protocol-Version: {version}"]
    if version >= "2026":  # each request says what a handshake said before
        told = {"protocolVersion": version, "clientCapabilities": {}}
        params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in told.items()}
        headers += ["Mcp-Method: tools/call", "Mcp-Name: recall"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return posted("/mcp", call, *headers)


DOORS: dict[str, Callable[[str], bytes]] = {
    "v1": over_v1,
    "mcp": over_mcp,
    "mcp-2025": partial(over_mcp, version="2025-11-25"),
}


async def load(
    port: int, clients: int, seconds: float, tasks: list[str], asked: Callable[[str], bytes]
) -> dict[str, Any]:
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
            head, answer = await answered(reader, writer, asked(tasks[turn % len(tasks)]))
            turn += clients
            failed += not head.startswith(b"HTTP/1.1 200") or b'"isError":true' in answer
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
