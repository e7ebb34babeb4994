"""A real server for tests: uvicorn in a thread, on a free port of loopback."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn

from memcollab import MemCollab
from memcollab.serve.app import build_app
from memcollab.serve.banks import Banks
from memcollab.serve.run import Server
from memcollab.serve.service import Limits, Service

# A request of MCP for what the server may push, and its headers.
LISTEN = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
LISTENS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "MCP-Method": "subscriptions/listen",
}


def service_over(
    place: str | Path,
    *,
    many: bool = False,
    require_key: bool = False,
    limits: Limits | None = None,
    writer: Any = None,
    upstream: str | None = None,
) -> Service:
    def opener(path: str | Path, *, create: bool) -> MemCollab:
        return MemCollab(path, create=create)

    return Service(
        Banks(place, opener, many=many),
        require_key=require_key,
        limits=limits or Limits(),
        writer={"writer": writer} if writer else {},
        upstream=upstream,
    )


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The address of the server, for as long as the block runs."""
    config = uvicorn.Config(
        build_app(service),
        port=0,
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        ws="none",
    )
    server = Server(config, service)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the server ended before it began"
        assert time.monotonic() < deadline, "the server did not begin"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        service.closing = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def cut_off(url: str, path: bytes, after: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """The address of a server between, which breaks the first answers to requests of that path
    off, each behind that many bytes, and passes the rest; and the breaks that there were."""
    target = ("127.0.0.1", int(url.rpartition(":")[2]))
    cuts: list[int] = []

    def relay(client: socket.socket) -> None:
        with client, socket.create_connection(target) as server:
            left: int | None = None
            while True:
                for one in select.select([client, server], [], [])[0]:
                    if not (data := one.recv(65536)):
                        return
                    if one is client and path + b" HTTP" in data and len(cuts) < len(after):
                        left = after[len(cuts)]
                    if one is server and left is not None:
                        data = data[:left]
                        left -= len(data)
                    (server if one is client else client).sendall(data)
                    if one is server and left == 0:
                        cuts.append(after[len(cuts)])
                        return

    def accept() -> None:
        with suppress(OSError):  # closed: the block is over
            while True:
                threading.Thread(target=relay, args=(door.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}", cuts
        door.shutdown(socket.SHUT_RDWR)
