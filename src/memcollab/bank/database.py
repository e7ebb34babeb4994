"""What a bank asks of the database that it is kept in; one class for each that it can be.

Transactions come in modes:

``read``   a snapshot that nothing changes and that waits for no writer.
``write``  all or nothing, one at a time in each bank: whoever comes second waits up to
           ``BUSY_SECONDS``. Committed means on disk. What it reads, nobody changes until it ends.
``quick``  for rows that no rule depends on (recalls, caches): a power cut may lose the last ones,
           a crash of the process none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, ClassVar

import sqlalchemy as sa

from memcollab.errors import BankError, UsageError

BUSY_SECONDS = 30
MODE = "memcollab_mode"
Pause = Callable[[float], None]


class Database(ABC):
    """Where one bank is kept.

    Attributes:
        name: what messages call the bank; no password is in it.
        path: its file, where it has one.
        reader, writer, quick_writer: one pool of connections, begun in the mode of that name.
        quick_waits: whether ``quick`` transactions, too, wait for their turn.
        writers_at_once: how many threads of a process may hold a connection to write or wait with.
    """

    quick_waits: ClassVar[bool]
    writers_at_once: ClassVar[int]
    name: str
    path: Path | None
    read_only: bool
    may_create: bool
    reader: sa.Engine
    writer: sa.Engine
    quick_writer: sa.Engine

    def __init__(self) -> None:
        self._turn_to_write = BoundedSemaphore(self.writers_at_once)

    @contextmanager
    def writing(self, *, quick: bool) -> Iterator[sa.Connection]:
        """A ``write`` or ``quick`` transaction: all of it, or nothing. Raises: BankError: its turn
        did not come within ``BUSY_SECONDS``.

        Threads of one process wait for each other before they take a connection, so that any number
        of writers leaves connections to those who read; and SQLite is not asked again and again, by
        sleeping, for a lock that a neighbour holds.
        """
        engine = self.quick_writer if quick else self.writer
        turn = self._in_turn() if self.quick_waits or not quick else nullcontext()
        with turn, engine.begin() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn_to_write.acquire(timeout=BUSY_SECONDS):
            raise BankError(
                f"the bank {self.name!r} has been written by other threads of this process for "
                f"{BUSY_SECONDS} seconds. Next: do the same again; nothing is lost"
            )
        try:
            yield
        finally:
            self._turn_to_write.release()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors of the database leave as BankError, with what happened and what to do next."""
        try:
            with self._explained():
                yield
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{error.object[:60]!r} is no Unicode text: it holds half of a surrogate pair at "
                f"character {error.start}. Next: repair it where it comes from, for example with "
                "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from error

    @abstractmethod
    def _explained(self) -> AbstractContextManager[None]:
        """The same for what only this database raises."""

    @abstractmethod
    def make_ready(self) -> None:
        """Prepare an empty place, before the tables are made."""

    @abstractmethod
    def finish_tables(self, connection: sa.Connection) -> None:
        """Add what this database needs beside the tables, after they are made."""

    @abstractmethod
    def upgrading(self) -> AbstractContextManager[sa.Connection]:
        """A ``write`` transaction in which tables may be changed and made anew."""

    @abstractmethod
    def back_up(self, schema: int) -> None:
        """Keep the bank as it is before it is brought forward from ``schema``."""

    @abstractmethod
    def after_copy(self, connection: sa.Connection) -> None:
        """Bring up to date what rows copied with their numbers leave behind."""

    @abstractmethod
    def damage(self, connection: sa.Connection) -> list[str]:
        """What the database itself finds wrong; empty when nothing is."""

    @abstractmethod
    def size(self, connection: sa.Connection) -> int:
        """Bytes that the bank takes."""

    def glance(self, question: sa.Select[Any]) -> Sequence[Any]:
        """The one row that answers a question without parameters, as of now. For what every recall
        asks: a database may have a shorter way to it than a transaction."""
        with self.reader.connect() as connection:
            return connection.execute(question).one()

    @abstractmethod
    def listening(self) -> AbstractContextManager[Pause]:
        """While it is open: a function that waits for somebody's change, at most so many seconds.
        It may return without one."""

    def close(self) -> None:
        """Let go of every connection."""
        self.reader.dispose()
