"""What takes time to count, kept for a while.

Counting a bank of 50,000 constraints and assessing its outcomes takes a second or so, a page must
not. So one count serves every reader, for twenty times as long as it took: whoever looks costs at
most a twentieth of a core. What was decided on a page is counted at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from memcollab.bank import Stats, Taught
from memcollab.collab import MemCollab
from memcollab.records import EvidenceReport
from memcollab.serve.ledger import now

_TIMES = 20
_LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Standing:
    """A bank, counted at a moment (``at``, ISO 8601 in UTC): what it holds, what its outcomes say,
    the models in it, whose runs were set against whose, and whose preferred runs the constraints
    that outcomes speak of came from."""

    at: str
    stats: Stats
    evidence: EvidenceReport
    agents: tuple[str, ...]
    taught: tuple[Taught, ...]
    teachers: Mapping[str, frozenset[str]]


class Standings:
    """The standing of each bank of a server."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Standing]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, name: str, memory: MemCollab) -> Standing:
        """The standing of a bank; counted now, or not long ago."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            until, found = self._kept.get(name, (0.0, None))
            began = time.monotonic()
            if found is None or began >= until:
                found = _counted(memory)
                ended = time.monotonic()
                kept = max(_LEAST_SECONDS, _TIMES * (ended - began))
                self._kept[name] = (ended + kept, found)
            return found

    def forget(self, name: str) -> None:
        """Something was decided: count anew."""
        self._kept.pop(name, None)


def _counted(memory: MemCollab) -> Standing:
    bank = memory.bank
    return Standing(
        at=now(),
        stats=bank.stats(),
        evidence=memory.evidence(),
        agents=bank.agents(),
        taught=tuple(bank.taught()),
        teachers=bank.teachers(),
    )
