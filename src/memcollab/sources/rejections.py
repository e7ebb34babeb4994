"""Why a run is rejected: a small closed set of names, and the exception that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from memcollab.records import Rejected

REASONS: Final[Mapping[str, str]] = {
    "truncated": "the file, archive or last line ends in the middle; what came before was read",
    "not-json": "the record is not JSON text in UTF-8",
    "wrong-type": "a field holds another type or value than it may",
    "missing-field": "a field that every run needs is absent or empty",
    "unknown-model": "the run does not say which model made it",
    "no-messages": "the run has a verdict but nothing that the agent said or did",
    "duplicate": "the same run was read before",
    "too-large": "a record above 64 MB",
    "unsafe-path": "an archive member that is a link or a device, or whose path leaves the archive",
    "bomb": "an archive that expands beyond its limits, or archives nested too deep",
    "unreadable": "a file, archive or member that is damaged, encrypted, or may not be opened",
    "empty": "a log that holds no run",
}


class Unfit(Exception):
    """Something read is no run. ``reason`` is one of ``REASONS``, ``detail`` one line of text.

    Streams raise it where they break, the same one again on each further read; readers turn it
    into a ``Rejected``. ``reported`` is set when that was done, so that a break is told once by
    the innermost reader that came upon it. It never leaves ``read_runs``.
    """

    reported = False

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise ValueError(f"no rejection is named {reason!r}. Valid: {', '.join(REASONS)}")
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def rejected(origin: str, problem: Unfit) -> Rejected:
    """The record of a problem, which then counts as reported."""
    problem.reported = True
    return Rejected(origin=origin, reason=problem.reason, detail=problem.detail)


def shown(value: object, limit: int = 80) -> str:
    """``value`` as one short line for a message: its ``repr``, cut to ``limit`` characters."""
    try:
        text = repr(value[: limit + 1] if isinstance(value, str) else value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def named(name: str) -> str:
    """A file's name that is safe to print and to store: UTF-8, without control characters."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
