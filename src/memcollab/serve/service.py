"""Everything that the parts of one running server share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from memcollab.bank import Bank
from memcollab.serve.banks import Banks
from memcollab.serve.jobs import Jobs
from memcollab.serve.keys import Keyring
from memcollab.serve.ledger import AUDIT, Ledger
from memcollab.serve.pages.session import Sessions
from memcollab.serve.pages.standing import Standings
from memcollab.serve.proxy import Proxy
from memcollab.serve.recorder import Recorder, Turn
from memcollab.serve.watch import Metrics


@dataclass(frozen=True)
class Limits:
    """What one caller may ask for.

    Attributes:
        body: bytes of a request.
        upload: bytes of a file of runs, or of an export that comes in.
        proxied: bytes of a request that passes the proxy, pictures and files among them.
        rate: requests a second of one key, or of one address that shows no valid one, twice that in
            a burst; 0 is no limit.
    """

    body: int = 8 * 2**20
    upload: int = 2**30
    rate: float = 1000
    proxied: int = 2**29


@dataclass
class Service:
    """One running server.

    Attributes:
        banks: what is served.
        require_key: whether callers without a key are turned away; if not, only neighbours on
            loopback may call. To be set where anything forwards to the server: not every proxy can
            be told from a neighbour.
        writer: arguments of ``MemCollab.learn`` that say who distils; empty: nobody does.
        upstream: the OpenAI-compatible server behind ``/proxy/v1``; None: there is no proxy.
        record_runs: whether runs that pass the proxy are recorded.
        closing: it takes no new work; streams end.
    """

    banks: Banks
    require_key: bool = True
    limits: Limits = Limits()
    writer: Mapping[str, Any] = field(default_factory=dict)
    upstream: str | None = None
    record_runs: bool = True
    closing: bool = False

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.banks.ledger)
        self.keyring = Keyring(self.ledger, self.banks.place.check, self.banks.default)
        self.sessions = Sessions(self.ledger, self.keyring)
        self.jobs = Jobs(self.ledger, self.banks, self.writer)
        self.metrics = Metrics()
        self.standings = Standings()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The door to ``upstream``, if there is one."""
        if self.upstream is None:
            return None
        turns = self.metrics.turns
        recorder = Recorder(lambda result: turns.labels(result).inc(), self._audit_run)
        return Proxy(self.upstream, recorder)

    def _audit_run(self, first: Turn) -> None:
        sent = first.sender
        row = {
            "at": first.asked_at,
            "bank": sent.bank,
            "key": sent.caller.key,
            "who": sent.caller.name,
            "action": "POST /proxy/v1/chat/completions",
            "target": f"/v1/recalls/{first.recall.id}",
            "status": first.status,
            "request": sent.request,
        }
        self.ledger.add(AUDIT, row)

    def ending(self, bank: Bank, recall_id: str | None) -> AbstractContextManager[None]:
        """Around recording the verdict on a recall of that bank, in a thread: what has passed of
        its run is stored first. None: there is no verdict."""
        if self.proxy is None or recall_id is None:
            return nullcontext()
        return self.proxy.ending(bank, recall_id)

    def close(self) -> None:
        """End what runs, store what waits."""
        self.closing = True
        self.jobs.close()
        self.banks.close()
        self.ledger.close()
