"""Everything that the parts of one running server share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from memcollab.serve.banks import Banks
from memcollab.serve.jobs import Jobs
from memcollab.serve.keys import Keyring
from memcollab.serve.ledger import Ledger
from memcollab.serve.pages.session import Sessions
from memcollab.serve.pages.standing import Standings
from memcollab.serve.proxy import Proxy
from memcollab.serve.recorder import Recorder
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
        self.keyring = Keyring(self.ledger, self.banks.default)
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
        return Proxy(self.upstream, Recorder(lambda result: turns.labels(result).inc()))

    def run_ends(self, recall_id: str) -> None:
        """To be called, in a thread, before the outcome of a recall is recorded: what has passed of
        its run is stored first."""
        if self.proxy is not None:
            self.proxy.ends(recall_id)

    def close(self) -> None:
        """End what runs, store what waits."""
        self.closing = True
        self.jobs.close()
        self.banks.close()
        self.ledger.close()
