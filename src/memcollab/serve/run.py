"""Bind and serve; on SIGTERM take no new work, finish what was begun, store what waits, end."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from memcollab.errors import UsageError
from memcollab.serve.app import build_app
from memcollab.serve.service import Service
from memcollab.serve.watch import LOG, log_to, write_log

_GRACE_SECONDS = 30
# Python lets a thread that computes keep the others waiting for 5 ms, more than a recall takes.
_SWITCH_SECONDS = 0.0005


def serve(
    service: Service, host: str = "127.0.0.1", port: int = 8080, *, reuse_port: bool = False
) -> None:
    """Serve until told to stop.

    Args:
        reuse_port: share the port with other processes that say so, too (SO_REUSEPORT): the kernel
            deals connections out among them, so that several cores serve the same banks.

    Raises:
        UsageError: the address is open to others, and there is no key; or with ``reuse_port`` it
            cannot be bound.
    """
    check_bind(service, host)
    log_to()
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = uvicorn.Config(
        build_app(service),
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # the gate writes one line a request, with its bank and key
        server_header=False,
        date_header=False,  # the gate's, where what passes the proxy brings none
        proxy_headers=False,  # who calls is who connected, not what a header says
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = Server(config, service)
    if not reuse_port:
        server.run()
        return
    with shared_socket(host, port) as bound:
        server.run([bound])


class Server(uvicorn.Server):
    """Tells streams that the end has come; they would hold it up otherwise."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """When this ends, the signal that stopped the server ends the process, and nothing is done
        any more: the log is written before."""
        with super().capture_signals():
            try:
                yield
            finally:
                write_log()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn says where it runs only if it has bound the port itself."""
        await super().startup(sockets)
        for bound in sockets or ():
            host, port = bound.getsockname()[:2]
            LOG.info("running on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.closing = True
        super().handle_exit(sig, frame)


def shared_socket(host: str, port: int) -> socket.socket:
    """A socket whose port other processes may listen on, too. Raises: UsageError: it cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=True)
    except (OSError, ValueError) as error:  # ValueError: no such option here
        raise UsageError(
            f"port {port} of {host!r} cannot be shared: {error}. Valid: an address of this "
            "machine and, on Linux, macOS or BSD, a port whose every server was started with "
            "--reuse-port. Next: end the other server, or choose another --port"
        ) from error


def check_bind(service: Service, host: str) -> None:
    """Raises: UsageError: others can reach ``host``, and no key shuts them out."""
    if is_loopback(host):
        return
    service.require_key = True
    if all(key.revoked for key in service.keyring.list()):
        raise UsageError(
            f"{host!r} can be reached by others, and there is no key to shut them out. Valid: "
            "127.0.0.1 without a key, any other address with one. "
            "Next: memcollab key create --scope recall --scope record"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
