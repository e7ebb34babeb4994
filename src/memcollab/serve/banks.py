"""Banks by name. A tenant reaches no other tenant's rows because what it is given opens one bank.

Names are checked before they become part of a path: lower-case letters, digits, ``-`` and ``_``.
"""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread

from memcollab.collab import MemCollab
from memcollab.errors import BankError, NotFound, UsageError
from memcollab.records import Recall

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# First parts of paths that are doors, so no bank can be called so.
DOORS = frozenset("v1 mcp proxy pages static healthz readyz metrics docs".split())
_GROUP = 256
# Opens the bank at a path; ``create`` makes it.
Opener = Callable[..., MemCollab]


def check_name(name: str) -> str:
    """Raises: UsageError: it cannot be the name of a bank."""
    if not NAME.fullmatch(name) or name in DOORS:
        raise UsageError(
            f"{name!r} is no name of a bank. Valid: 1 to 63 of a-z, 0-9, - and _, a letter or "
            f"digit first; not {', '.join(sorted(DOORS))}. Next: choose another name"
        )
    return name


class Keeper:
    """Stores recalls in groups: what arrives while one transaction is written goes into the next.

    A recall is answered when it is stored, so an outcome can always refer to it.
    """

    def __init__(self, save: Callable[[Sequence[Recall]], None]) -> None:
        self._save = save
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="memcollab-keeper", daemon=True)
        self._thread.start()

    async def keep(self, recall: Recall) -> None:
        """Returns when it is stored. Raises: BankError: it could not be."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._queue.put((recall, stored, loop))
        await stored

    def close(self) -> None:
        """Store what is waiting, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while len(group) < _GROUP and not self._queue.empty():
                group.append(self._queue.get())
            ended = None in group
            self._store([each for each in group if each is not None])
            if ended:
                return

    def _store(self, group: list[tuple[Recall, asyncio.Future[None], Any]]) -> None:
        failure: Exception | None = None
        try:
            self._save([recall for recall, _, _ in group])
        except Exception as error:  # noqa: BLE001 - handed to each who waits for it
            failure = error
        for _, stored, loop in group:
            loop.call_soon_threadsafe(_settle, stored, failure)


def _settle(stored: asyncio.Future[None], failure: Exception | None) -> None:
    if stored.cancelled():
        return
    if failure is None:
        stored.set_result(None)
    else:
        stored.set_exception(failure)


class Tenant:
    """One bank at work.

    A warm recall takes a millisecond or two and runs in the event loop: handing it to a thread
    costs more than it saves. One that has to load or rebuild the index runs in a thread, and those
    that come meanwhile wait there.
    """

    def __init__(self, name: str, memory: MemCollab) -> None:
        self.name = name
        self.memory = memory
        self._lock = threading.Lock()
        self._warm_at = -1
        self._keeper = Keeper(memory.bank.save_recalls)

    async def recall(self, *, store: bool, **asked: Any) -> Recall:
        """As ``MemCollab.recall``."""
        if self._is_warm() and self._lock.acquire(blocking=False):
            try:
                recall = self._recall(store, asked)
            finally:
                self._lock.release()
        else:
            recall = await to_thread.run_sync(self._warm_recall, store, asked)
        if store:
            await self._keeper.keep(recall)
        return recall

    def _is_warm(self) -> bool:
        return self.memory.bank.sequence() == self._warm_at

    def _recall(self, store: bool, asked: dict[str, Any]) -> Recall:
        return self.memory.recall(store=store, keep=_later, **asked)

    def _warm_recall(self, store: bool, asked: dict[str, Any]) -> Recall:
        with self._lock:
            if not self._is_warm():
                self._warm()
            return self._recall(store, asked)

    def warm(self) -> None:
        """Load what recall needs, or take in what has changed."""
        with self._lock:
            if not self._is_warm():
                self._warm()

    def _warm(self) -> None:
        before = self.memory.bank.sequence()
        self.memory.warm()
        self._warm_at = before

    def close(self) -> None:
        """Store what is waiting and let go of the bank."""
        self._keeper.close()
        self.memory.close()


def _later(_recall: Recall) -> None:
    """The keeper stores it, behind the event loop's back."""


class Banks:
    """The banks of a server: one file, or every ``NAME.db`` of a folder. Each is opened once.

    Args:
        place: the file of the one bank, or the folder of many.
        opener: makes the ``MemCollab`` of a path.
    """

    def __init__(self, place: Path, opener: Opener, *, many: bool) -> None:
        self.place = place
        self.many = many
        self._opener = opener
        self._open: dict[str, Tenant] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> str | None:
        """The bank of a request that names none: the one there is."""
        return None if self.many else single_name(self.place)

    @property
    def ledger(self) -> Path:
        """Where the server's own records are kept; no bank can have this name."""
        return ledger_of(self.place, many=self.many)

    def names(self) -> list[str]:
        """Banks that exist, by name."""
        if self.default is not None:
            return [self.default]
        found = (path.stem for path in self.place.glob("*.db"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def opened(self, name: str) -> Tenant | None:
        """The bank of that name, if it is open; never waits."""
        return self._open.get(name)

    def tenant(self, name: str) -> Tenant:
        """The bank of that name. Raises: NotFound: there is none."""
        with self._lock:
            if name not in self._open:
                self._open[name] = Tenant(name, self.memory(name))
            return self._open[name]

    def memory(self, name: str) -> MemCollab:
        """A new object over the bank of that name, for work beside its recalls."""
        path = self._path(name)
        if self.many and not path.exists():
            raise NotFound(f"there is no bank {name!r}. Next: POST /v1/banks, with an admin key")
        memory = self._opener(path, create=not self.many)
        with self._named(name):
            memory.bank  # noqa: B018 - opened now, so that a broken bank is told at once
        return memory

    def create(self, name: str) -> bool:
        """Make a bank; False if it exists. Raises: UsageError: no name, or one bank only."""
        path = self._path(check_name(name))
        if path.exists():
            return False
        self._opener(path, create=True).bank.close()
        return True

    def _path(self, name: str) -> Path:
        if self.many:
            return self.place / f"{check_name(name)}.db"
        if name != self.default:
            raise NotFound(f"there is no bank {name!r}. Valid: {self.default!r}")
        return self.place

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except BankError as error:
            raise type(error)(str(error).replace(str(self._path(name)), name)) from error

    def close(self) -> None:
        for tenant in self._open.values():
            tenant.close()
        self._open.clear()


def single_name(path: Path) -> str:
    """The name of the only bank of a server: its file's, as far as that can be a name."""
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:63]
    return name or "bank"


def ledger_of(place: Path, *, many: bool) -> Path:
    return place / ".server.db" if many else Path(f"{place}.server")
