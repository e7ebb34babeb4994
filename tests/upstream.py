"""An OpenAI-compatible server for tests, over real sockets, that says exactly what it is told to;
and a client that shows exactly what comes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import h11

CLOSE = b"close"
_LULL = 0.01
_WAIT = 20.0
# RFC 9110, 7.6.1, and what a proxy sets anew: ``host``, the length of what it added to.
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)


class Message(NamedTuple):
    """A request or an answer as it came over the wire, but for its chunks.

    ``whole``: it came to its proper end.
    """

    first: tuple[bytes, ...]
    headers: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool = True

    def end_to_end(self, *without: bytes) -> list[tuple[bytes, bytes]]:
        """Headers in order of their names, those of one name in the order in which they came."""
        named = {
            option.strip().lower()
            for name, value in self.headers
            if name == b"connection"
            for option in value.split(b",")
        }
        left = HOP_BY_HOP | named | set(without)
        return sorted((h for h in self.headers if h[0] not in left), key=lambda header: header[0])

    def value(self, name: bytes) -> bytes | None:
        return next((value for header, value in self.headers if header == name), None)


@dataclass
class Upstream:
    """Answers each request with ``script``, pieces of bytes that are sent one by one; an empty one
    waits for ``passed``, ``CLOSE`` ends the connection. ``seen`` are the requests.
    """

    url: str
    port: int
    script: Sequence[bytes] = ()
    pause: float = _LULL
    seen: list[Message] = field(default_factory=list)
    passed: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_WAIT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := read(connection, h11.Connection(h11.SERVER))) is not None:
                self.seen.append(request)
                for piece in self.script:
                    if piece is CLOSE:
                        return
                    if not piece:
                        self.passed.wait(_WAIT)
                        continue
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return
                    time.sleep(self.pause)


def read(
    connection: socket.socket, parser: h11.Connection, asked: bytes = b"POST"
) -> Message | None:
    """The message that comes next; None if none does."""
    start: h11.Request | h11.Response | None = None
    body = b""
    if parser.our_role is h11.CLIENT:
        parser.send(h11.Request(method=asked, target="/", headers=[("host", "x")]))
        parser.send(h11.EndOfMessage())
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            event = h11.ConnectionClosed()
        if event is h11.NEED_DATA:
            try:
                parser.receive_data(connection.recv(65536))
            except OSError:
                parser.receive_data(b"")
        elif isinstance(event, h11.InformationalResponse):
            continue
        elif isinstance(event, h11.Request | h11.Response):
            start = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            return start and _message(start, body, whole=isinstance(event, h11.EndOfMessage))


def _message(start: h11.Request | h11.Response, body: bytes, *, whole: bool) -> Message:
    first: tuple[bytes, ...] = (
        (start.method, start.target)
        if isinstance(start, h11.Request)
        else (str(start.status_code).encode(),)
    )
    return Message(first, [(bytes(n), bytes(v)) for n, v in start.headers], body, whole)


def ask(port: int, request: bytes) -> Message | None:
    """Send these bytes; what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=_WAIT) as connection:
        connection.sendall(request)
        return read(connection, h11.Connection(h11.CLIENT), request.split(b" ", 1)[0])


@contextmanager
def upstream() -> Iterator[Upstream]:
    """A server of its own, each connection in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = Upstream(f"http://127.0.0.1:{port}/v1", port)
        ending = threading.Event()

        def accept() -> None:
            while not ending.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ending.set()
            server.passed.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)
