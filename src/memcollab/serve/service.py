"""Everything that the parts of one running server share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memcollab.serve.banks import Banks
from memcollab.serve.jobs import Jobs
from memcollab.serve.keys import Keyring
from memcollab.serve.ledger import Ledger
from memcollab.serve.pages.session import Sessions
from memcollab.serve.pages.standing import Standings
from memcollab.serve.watch import Metrics


@dataclass(frozen=True)
class Limits:
    """What one caller may ask for.

    Attributes:
        body: bytes of a request.
        upload: bytes of a file of runs, or of an export that comes in.
        rate: requests a second of one key (or address), twice that in a burst; 0 is no limit.
    """

    body: int = 8 * 2**20
    upload: int = 2**30
    rate: float = 1000


@dataclass
class Service:
    """One running server.

    Attributes:
        banks: what is served.
        require_key: whether callers without a key are turned away; if not, only neighbours on
            loopback may call.
        writer: arguments of ``MemCollab.learn`` that say who distils; empty: nobody does.
        upstream: the OpenAI-compatible server behind ``/proxy/v1``; None: there is no proxy.
        closing: it takes no new work; streams end.
    """

    banks: Banks
    require_key: bool = True
    limits: Limits = Limits()
    writer: Mapping[str, Any] = field(default_factory=dict)
    upstream: str | None = None
    closing: bool = False

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.banks.ledger)
        self.keyring = Keyring(self.ledger)
        self.sessions = Sessions(self.ledger, self.keyring)
        self.jobs = Jobs(self.ledger, self.banks, self.writer)
        self.metrics = Metrics()
        self.standings = Standings()

    def close(self) -> None:
        """End what runs, store what waits."""
        self.closing = True
        self.jobs.close()
        self.banks.close()
        self.ledger.close()
