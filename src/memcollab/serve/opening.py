"""From settings to a server and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memcollab import settings
from memcollab.collab import MemCollab
from memcollab.errors import MissingExtra, UsageError
from memcollab.settings import Settings

try:
    from memcollab.serve.banks import Banks, ledger_of
    from memcollab.serve.keys import Keyring
    from memcollab.serve.ledger import Ledger
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
    """A server over the bank, or the folder of banks, that is set.

    Raises:
        UsageError: the folder is none.
    """
    place, many = _place(chosen)

    def opener(path: Path, *, create: bool) -> MemCollab:
        return chosen.model_copy(update={"bank": str(path)}).collab(create=create)

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
def keyring(bank: str | None, banks: Path | None) -> Iterator[Keyring]:
    """The keys of the server of that bank or folder, whether it runs or not."""
    place, many = _place(settings.load(bank=bank, banks=banks))
    ledger = Ledger(ledger_of(place, many=many))
    try:
        yield Keyring(ledger)
    finally:
        ledger.close()


def _place(chosen: Settings) -> tuple[Path, bool]:
    if chosen.banks is None:
        if "://" in chosen.bank:
            raise UsageError(
                f"{chosen.bank!r} cannot be served. Valid: a path. Next: give --bank or --banks"
            )
        return Path(chosen.bank), False
    if not chosen.banks.is_dir():
        raise UsageError(
            f"{str(chosen.banks)!r} is no folder. Valid: a folder of banks, one NAME.db each. "
            f"Next: mkdir -p {chosen.banks}"
        )
    return chosen.banks, True
