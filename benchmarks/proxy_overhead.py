"""What the proxy adds to a chat completion, in interleaved pairs on loopback.

    python benchmarks/proxy_overhead.py [--constraints 10000] [--pairs 2000] [--json]

Three processes: an upstream that answers at once, ``memcollab serve`` with its defaults (the runs
are recorded), and this one, which asks upstream directly and through the proxy by turns, over one
kept connection each. The bank is made as by ``serve_load.py``. Kinds of requests:

``first turn``    a new task each time: a recall is made and stored
``later turn``    a conversation of seven messages whose task is known
``first event``   a later turn, streamed: until the first event is there
``stream``        the same, until the last of 50 events is there

For each kind: percentiles in milliseconds of both ways, and of the difference within pairs, which
the load of the machine meets alike; and what the server took of a processor for each request, its
record included, which does not depend on who else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from recall_speed import Maker
from serve_load import announced, fill, processor_ms

from memcollab.taxonomy import Taxonomy

WARM = 50
EVENTS = 50
SAID = "the lanterns can be hung in sixty ways, for turning the ring changes nothing " * 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--constraints", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--bank", type=Path, help="keep the bank here, and use it if it is there")
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.upstream:
        upstream()
        return
    made = Maker(Taxonomy.load(), random.Random(0))  # noqa: S311 - not a secret
    with tempfile.TemporaryDirectory() as folder:
        path = given.bank or Path(folder, "bench.db")
        if not path.exists():
            fill(path, made, given.constraints)
        report = measured(path, made, given.pairs)
    report = {"constraints": given.constraints, "pairs of each kind": given.pairs, **report}
    print(json.dumps(report, indent=None if given.json else 2))


def measured(path: Path, made: Maker, pairs: int) -> dict[str, Any]:
    behind = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, __file__, "--upstream"], stdout=subprocess.PIPE, text=True
    )
    assert behind.stdout is not None
    port = int(behind.stdout.readline())
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(path), "--port", "0"]
    command += ["--rate", "0", "--upstream", f"http://127.0.0.1:{port}/v1"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - as above
    try:
        proxy = announced(server)
        report = {}
        for kind in ("first turn", "later turn", "first event", "stream"):
            before = processor_ms(server.pid)
            lines = Line(port, "/v1"), Line(proxy, "/proxy/v1")
            report[kind] = compared(*lines, kind, made, pairs)
            spent = (processor_ms(server.pid) - before) / (pairs + WARM)
            report[kind]["processor ms a request"] = round(spent, 3)
        with urllib.request.urlopen(f"http://127.0.0.1:{proxy}/metrics") as answer:
            turns = re.findall(r'proxied_turns_total{result="(\w+)"} (\d+)', answer.read().decode())
        return {**report, "turns": dict(turns), "load average": os.getloadavg()[0]}
    finally:
        for process in (server, behind):
            process.terminate()
            process.wait(60)


def compared(direct: Line, proxy: Line, kind: str, made: Maker, pairs: int) -> dict[str, Any]:
    """Both ways by turns, each going first every other time."""
    spent: dict[str, list[float]] = {"direct": [], "through": []}
    known = made.task(made.topic()).text
    for number in range(pairs + WARM):
        task = made.task(made.topic()).text if kind == "first turn" else known
        body = chat(task, later=kind != "first turn", stream=kind in ("first event", "stream"))
        ways = [("direct", direct), ("through", proxy)]
        for name, line in ways if number % 2 else reversed(ways):
            took = line.ask(body, first_only=kind == "first event")
            if number >= WARM:
                spent[name].append(took * 1000)
    both = {name: np.array(times) for name, times in spent.items()}
    both["added"] = both["through"] - both["direct"]
    return {
        name: {f"p{p}": round(float(np.percentile(times, p)), 3) for p in (50, 95)}
        for name, times in both.items()
    }


def chat(task: str, *, later: bool, stream: bool) -> bytes:
    messages = [{"role": "system", "content": SAID}, {"role": "user", "content": task}]
    if later:
        for _ in range(3):
            messages += [{"role": "assistant", "content": SAID}, {"role": "user", "content": SAID}]
    return json.dumps({"model": "bench", "messages": messages, "stream": stream}).encode()


class Line:
    """A kept connection."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = path
        self._held = b""

    def ask(self, body: bytes, *, first_only: bool) -> float:
        """Seconds until the answer is there, or its first event."""
        head = (
            f"POST {self._path}/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._socket.sendall(head.encode() + body)
        answer = self._until(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the answer is {answer!r}")
        if length := re.search(rb"(?i)content-length: (\d+)", answer):
            self._take(int(length[1]))
            return time.perf_counter() - began
        self._until(b"\n\n")
        first = time.perf_counter() - began
        self._until(b"0\r\n\r\n")
        return first if first_only else time.perf_counter() - began

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        found, _, self._held = self._held.partition(mark)
        return found

    def _take(self, length: int) -> None:
        while len(self._held) < length:
            self._more()
        self._held = self._held[length:]

    def _more(self) -> None:
        came = self._socket.recv(65536)
        if not came:
            raise SystemExit("the connection broke off")
        self._held += came


# ---- the upstream, in a process of its own


def upstream() -> None:
    """Answers at once; plain sockets in one loop, so that it costs next to nothing."""
    import asyncio

    message = {"role": "assistant", "content": SAID}
    whole = json.dumps({"choices": [{"index": 0, "message": message}], "usage": {}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    plain = head % len(whole) + whole
    event = b'data: {"choices":[{"index":0,"delta":{"content":"sixty ways "}}]}\n\n'
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    done = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    start = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                asked = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                writer.close()
                return
            length = re.search(rb"(?i)content-length: (\d+)", asked)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if b'"stream": true' in body:
                writer.write(start)
                for _ in range(EVENTS):
                    writer.write(chunk)
                    await asyncio.sleep(0)
                writer.write(done)
            else:
                writer.write(plain)

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
