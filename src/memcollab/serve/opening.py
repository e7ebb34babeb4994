"""From settings to a server and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memcollab import settings
from memcollab.collab import MemCollab
from memcollab.errors import MissingExtra
from memcollab.settings import Settings

try:
    from memcollab.serve.banks import Banks
    from memcollab.serve.keys import Keyring
    from memcollab.serve.ledger import Ledger
    from memcollab.serve.places import place_at
    from memcollab.serve.run import serve as run
    from memcollab.serve.service import Limits, Service
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("memcollab"):
        raise
    raise MissingExtra(f"`memcollab serve` (the package {error.name!r})", "serve") from error


__all__ = ["Limits", "keyring", "open_service", "run"]


def open_service(
    chosen: Settings,
    *,
    limits: Limits,
    require_key: bool,
    upstream: str | None = None,
    record_runs: bool = True,
) -> Service:
    """A server over the bank, or the folder or database of banks, that is set.

    Raises:
        UsageError: the folder is none, or the URL is of nothing that can be served.
        BankError: the database cannot be reached.
    """
    place, many = _place(chosen)

    def opener(target: str | Path, *, create: bool) -> MemCollab:
        return chosen.model_copy(update={"bank": str(target)}).collab(create=create)

    writer = {"writer": chosen.writer, "writer_url": chosen.writer_url, "key": chosen.key}
    return Service(
        Banks(place, opener, many=many),
        require_key=require_key,
        limits=limits,
        upstream=upstream,
        record_runs=record_runs,
        writer={**writer, "parallel": chosen.parallel} if chosen.writer else {},
    )


@contextmanager
def keyring(bank: str | None, banks: str | None) -> Iterator[Keyring]:
    """The keys of the server of that bank, folder or database, whether it runs or not."""
    target, many = _place(settings.load(bank=bank, banks=banks))
    place = place_at(target, many=many)
    ledger = Ledger(place.ledger)
    try:
        yield Keyring(ledger, place.check, place.default)
    finally:
        ledger.close()
        place.close()


def _place(chosen: Settings) -> tuple[str, bool]:
    """Where the banks are, and whether there are many."""
    return (chosen.bank, False) if chosen.banks is None else (chosen.banks, True)
