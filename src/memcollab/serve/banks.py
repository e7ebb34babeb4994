"""Banks by name. A tenant reaches no other tenant's rows: what it is given opens one bank."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from anyio import to_thread

from memcollab.bank import Versions
from memcollab.collab import MemCollab
from memcollab.errors import BankError, MemCollabError, NotFound
from memcollab.records import Recall
from memcollab.serve.places import check_name, place_at
from memcollab.serve.watch import LOG
from memcollab.spans import memory_span

_GROUP = 256
# How long a watcher waits for news before it looks whether it is to end, rests between two, and
# stays away from a server that failed.
_LOOK_SECONDS = 0.5
_BREATH_SECONDS = 0.1
_RETRY_SECONDS = 2.0
# Opens the bank at a path or URL; ``create`` makes it.
Opener = Callable[..., MemCollab]


class _Waiting(NamedTuple):
    recall: Recall
    stored: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Keeper:
    """Stores recalls in groups, one at a time: what the event loop has made ready by the end of its
    turn is one, and what arrives while it is written goes into the next. A thread that took each as
    it came would take the interpreter's lock from the loop for each.

    A recall is answered when it is stored, so an outcome can always refer to it.
    """

    def __init__(self, save: Callable[[Sequence[Recall]], None]) -> None:
        self._save = save
        self._lock = threading.Lock()  # over the three that follow
        self._waiting: list[_Waiting] = []
        self._at_work = False
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "memcollab-keeper")

    async def keep(self, recall: Recall) -> None:
        """Returns when it is stored. Raises: BankError: it could not be."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._closed:
                raise BankError(
                    "the server is ending, and this recall is not stored. Next: ask again in a "
                    "moment"
                )
            self._waiting.append(_Waiting(recall, stored, loop))
            begins, self._at_work = not self._at_work, True
        if begins:
            loop.call_soon(self._begin)
        await stored

    def close(self) -> None:
        """Store what is waiting, and end."""
        with self._lock:
            self._closed = True
        self._thread.shutdown()
        if self._waiting:
            self._store(self._waiting)

    def _begin(self) -> None:
        """Hand the next group to the thread, if there is one; at the end of a turn of a loop."""
        with self._lock:
            if self._closed:
                return
            group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
            self._at_work = bool(group)
            if group:
                self._thread.submit(self._store, group)

    def _store(self, group: Sequence[_Waiting]) -> None:
        failure: Exception | None = None
        try:
            self._save([each.recall for each in group])
        except Exception as error:  # noqa: BLE001 - handed to each who waits for it
            failure = error
        waiting = defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]](list)
        for each in group:
            waiting[each.loop].append(each.stored)
        for loop, stored in waiting.items():
            try:
                loop.call_soon_threadsafe(self._settle, stored, failure)
            except RuntimeError:  # it has ended, and nobody waits there any more
                self._begin()

    def _settle(self, waiting: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
        for stored in waiting:
            if stored.cancelled():
                continue
            if failure is None:
                stored.set_result(None)
            else:
                stored.set_exception(failure)
        self._begin()


class Tenant:
    """One bank at work.

    A warm recall takes a millisecond or two and runs in the event loop: handing it to a thread
    costs more than it saves. One that has to load or rebuild the index runs in a thread, and those
    that come meanwhile wait there. Over a server of databases all run in threads: each asks it for
    the bank's versions, and the loop must not wait for that.
    """

    def __init__(self, name: str, memory: MemCollab, *, shared: bool = False) -> None:
        self.name = name
        self.memory = memory
        self._lock = threading.Lock()
        self._warm_at: Versions | None = None
        self._keeper = Keeper(memory.bank.save_recalls)
        self._watcher = Watcher(self) if shared else None

    async def recall(self, *, store: bool, **asked: Any) -> Recall:
        """As ``MemCollab.recall``."""
        recall = await self._recalled(store, asked)
        if store:
            await self._keeper.keep(recall)
        return recall

    async def recall_ahead(self, **asked: Any) -> tuple[Recall, asyncio.Task[None]]:
        """As ``recall`` with ``store``, for who has something to do until it is stored: what is
        done when it is, so that an outcome can be tied to it."""
        recall = await self._recalled(True, asked)
        return recall, asyncio.create_task(self._keeper.keep(recall))

    async def _recalled(self, store: bool, asked: dict[str, Any]) -> Recall:
        with memory_span("search_memory", self.name) as span:
            recall = await self._searched(store, asked)
            span["gen_ai.memory.record.count"] = len(recall.entries)
        return recall

    async def _searched(self, store: bool, asked: dict[str, Any]) -> Recall:
        if self._watcher is not None:
            recall = await to_thread.run_sync(self._refreshed_recall, store, asked)
        elif self._is_warm() and self._lock.acquire(blocking=False):
            try:
                recall = self._recall(store, asked)
            finally:
                self._lock.release()
        else:
            recall = await to_thread.run_sync(self._warm_recall, store, asked)
        return recall

    def _is_warm(self) -> bool:
        return self.memory.bank.versions() == self._warm_at

    def _recall(self, store: bool, asked: dict[str, Any]) -> Recall:
        return self.memory.recall(store=store, keep=_later, **asked)

    def _refreshed_recall(self, store: bool, asked: dict[str, Any]) -> Recall:
        """A recall takes in what has changed, and its watcher has taken in most of it before."""
        with self._lock:
            return self._recall(store, asked)

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
        before = self.memory.bank.versions()
        self.memory.warm()
        self._warm_at = before

    def close(self) -> None:
        """Store what is waiting and let go of the bank."""
        if self._watcher is not None:
            self._watcher.close()
        self._keeper.close()
        self.memory.close()


class Watcher:
    """Takes in what other replicas change as they change it, so that no recall has to wait for it.

    A recall asks the bank for its versions all the same: what it answers from is never old, whether
    or not somebody was told.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"memcollab-watcher-{tenant.name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End within a moment."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_BREATH_SECONDS):
            try:
                self._follow()
            except MemCollabError as error:  # the server is away; recalls say so to their callers
                LOG.warning(
                    "watching stopped",
                    extra={"fields": {"bank": self._tenant.name, "error": type(error).__name__}},
                )
                self._over.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        bank = self._tenant.memory.bank
        with bank.following() as next_versions:
            seen = bank.versions()
            while not self._over.is_set():
                found = next_versions(seen, _LOOK_SECONDS)
                if found != seen:
                    seen = found
                    self._tenant.warm()
                    # Outcomes may come by the hundred; those of a moment are taken in together.
                    self._over.wait(_BREATH_SECONDS)


def _later(_recall: Recall) -> None:
    """The keeper stores it, behind the event loop's back."""


class Banks:
    """The banks of a server, each opened once.

    Args:
        place: the file of the one bank or the folder of many, or a URL of PostgreSQL.
        opener: makes the ``MemCollab`` of a path or URL.
        many: whether there are many banks, by name.
    """

    def __init__(self, place: str | Path, opener: Opener, *, many: bool) -> None:
        self.place = place_at(place, many=many)
        self.many = many
        self._opener = opener
        self._open: dict[str, Tenant] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> str | None:
        """The bank of a request that names none: the one there is."""
        return self.place.default

    @property
    def ledger(self) -> str | Path:
        """Where the server's own records are kept; no bank can have this name."""
        return self.place.ledger

    def names(self) -> list[str]:
        """Banks that exist, by name."""
        return self.place.names()

    def opened(self, name: str) -> Tenant | None:
        """The bank of that name, if it is open; never waits."""
        return self._open.get(name)

    def tenant(self, name: str) -> Tenant:
        """The bank of that name. Raises: NotFound: there is none."""
        with self._lock:
            if name not in self._open:
                self._open[name] = Tenant(name, self.memory(name), shared=self.place.shared)
            return self._open[name]

    def memory(self, name: str) -> MemCollab:
        """A new object over the bank of that name, for work beside its recalls."""
        self.place.check(name)
        if self.many and not self.place.exists(name):
            raise NotFound(f"there is no bank {name!r}. Next: POST /v1/banks, with an admin key")
        target = self.place.target(name)
        memory = self._opener(target, create=not self.many)
        with _named(name, target):
            memory.bank  # noqa: B018 - opened now, so that a broken bank is told at once
        return memory

    def create(self, name: str) -> bool:
        """Make a bank; False if it exists. Raises: UsageError: no name, or one bank only."""
        check_name(name)
        self.place.check(name)
        if self.place.exists(name):
            return False
        self.place.make(name)
        self._opener(self.place.target(name), create=True).bank.close()
        return True

    def close(self) -> None:
        for tenant in self._open.values():
            tenant.close()
        self._open.clear()
        self.place.close()


@contextmanager
def _named(name: str, target: str | Path) -> Iterator[None]:
    """Errors call the bank by its name, not by where it is."""
    try:
        yield
    except BankError as error:
        raise type(error)(str(error).replace(str(target), name)) from error
