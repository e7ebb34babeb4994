"""What can be seen of a server: structured logs, metrics, and whose trace its spans belong to. None
of it holds a secret, a task or a constraint's words; metrics do not name banks either, since
whoever scrapes them sees all.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from memcollab.spans import INSTALLED

LOG = logging.getLogger("memcollab.serve")
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_MOMENT = 0.1
_WAITING = 10_000


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class Unhurried(logging.StreamHandler[Any]):
    """Writes the lines of a moment at once, in a thread of its own: whoever reads a log is woken by
    each write, and a request would wait for that, for ever if nobody reads. Warnings are written
    when they come; the rest at the latest after ``_MOMENT`` seconds, and when the program ends. Of
    lines that cannot be written the last ``_WAITING`` are kept, and a line counts the others."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._lines: deque[str] = deque(maxlen=_WAITING)
        self._dropped = 0
        self._writing = threading.Lock()
        self._urgent = threading.Event()
        threading.Thread(target=self._run, name="memcollab-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._dropped += len(self._lines) == _WAITING
            self._lines.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING:
                self._urgent.set()
        except Exception:  # noqa: BLE001 - as every handler of the standard library does it
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits; at the program's end ``logging`` calls this, too."""
        with self._writing:
            dropped, self._dropped = self._dropped, 0
            taken = [self._lost(dropped)] if dropped else []
            while self._lines:
                taken.append(self._lines.popleft())
            if taken:
                self.stream.write("".join(taken))
                self.stream.flush()

    def _lost(self, count: int) -> str:
        """What stands in place of lines that were not written in time."""
        record = logging.makeLogRecord(
            {
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "log lines dropped, for nobody read them",
                "fields": {"count": count},
            }
        )
        return self.format(record) + self.terminator

    def _run(self) -> None:
        while True:
            self._urgent.wait(_MOMENT)
            self._urgent.clear()
            try:
                self.flush()
            except (OSError, ValueError):  # nobody reads any more, or the stream is closed
                return


def log_to(stream: Any = None, level: int = logging.INFO) -> None:
    """Send the server's log, uvicorn's and the warnings of MCP's SDK, whose other lines repeat what
    was asked, to ``stream`` (standard error) as JSON lines."""
    handler = Unhurried(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for logger in (LOG, logging.getLogger("uvicorn.error")):
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)
    mcp = logging.getLogger("mcp")
    mcp.handlers[:] = [handler]
    mcp.propagate = False
    mcp.setLevel(logging.WARNING)


def write_log() -> None:
    """Write what waits of the log."""
    for handler in LOG.handlers:
        handler.flush()


class Metrics:
    """Prometheus metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "memcollab_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "memcollab_request_seconds",
            "Time until the last byte, by route.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.open = Gauge("memcollab_requests_open", "Requests at work.", registry=self.registry)
        self.recalls = Counter(
            "memcollab_recalls", "Recalls by result.", ("result",), registry=self.registry
        )
        self.turns = Counter(
            "memcollab_proxied_turns",
            "Turns that passed the proxy, by what became of their record.",
            ("result",),
            registry=self.registry,
        )
        self.stages = Histogram(
            "memcollab_recall_stage_seconds",
            "Time of each stage of a recall.",
            ("stage",),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


@contextmanager
def caller_trace(headers: Mapping[str, str]) -> Iterator[None]:
    """Spans inside belong to the trace that the caller's headers name."""
    if not INSTALLED or "traceparent" not in headers:
        yield
        return
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(dict(headers)))
    try:
        yield
    finally:
        context.detach(token)
