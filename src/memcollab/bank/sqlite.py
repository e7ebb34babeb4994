"""The one place that knows SQLite: connections, transactions, and what its errors mean.

The modes of ``database``, and how SQLite does them:

``read``   a snapshot; never waits for a writer (WAL) and never becomes a writer, so that
           SQLITE_BUSY_SNAPSHOT cannot happen.
``write``  takes the write lock at once (``BEGIN IMMEDIATE``) and waits for it up to
           ``BUSY_SECONDS``; committed means on disk (``synchronous=FULL``).
``quick``  the same, but a commit is handed to the operating system only (``NORMAL``).
``scratch``  the same, and nothing is ever waited for to reach the disk: for banks that vanish.
``upgrade``  like ``write``, but tables may be dropped to be made anew, whatever refers to them.
``bare``   no transaction: for the pragmas that refuse to run in one.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from memcollab.bank.database import BUSY_SECONDS, MODE, Database, Pause
from memcollab.errors import BankCorrupt, BankError

POLL_SECONDS = 0.1
Mode = Literal["read", "write", "quick", "scratch", "upgrade", "bare"]
_BEGIN: dict[Mode, tuple[str, ...]] = {
    "read": ("BEGIN",),
    "write": ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
    "quick": ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    "scratch": ("PRAGMA synchronous=OFF", "BEGIN IMMEDIATE"),
    "upgrade": ("PRAGMA foreign_keys=OFF", "PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
    "bare": (),
}


class SQLite(Database):
    """A bank in one file, at ``path``.

    Raises:
        BankError: nothing can be there, or nothing is and ``create`` is False.
    """

    quick_waits = True
    writers_at_once = 1

    def __init__(
        self,
        path: Path,
        *,
        create: bool,
        read_only: bool,
        temporary: TemporaryDirectory[str] | None = None,
    ) -> None:
        super().__init__()
        _check_place(path, create=create and not read_only)
        self.path: Path = path
        self.name = str(path)
        self.read_only = read_only
        # Of a file that is there and empty, whoever may write makes a bank.
        self.may_create = not read_only
        self._temporary = temporary
        self._engine = make_engine(path, read_only=read_only)
        self._glancing: sqlite3.Connection | None = None
        self._questions: dict[sa.Select[Any], str] = {}
        self._turn = Lock()
        self.reader = in_mode(self._engine, "read")
        self.writer = in_mode(self._engine, "scratch" if temporary else "write")
        self.quick_writer = in_mode(self._engine, "scratch" if temporary else "quick")

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self.path)

    def make_ready(self) -> None:
        """Readers beside a writer, from the first."""
        use_wal(self._engine)

    def finish_tables(self, connection: sa.Connection) -> None:
        """Nothing beside the tables is needed."""

    @contextmanager
    def upgrading(self) -> Iterator[sa.Connection]:
        """References are not looked at until all is done, as SQLite's own procedure has it."""
        try:
            with in_mode(self._engine, "upgrade").begin() as connection:
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise BankCorrupt(
                        f"the bank {self.name!r} cannot be brought forward: a row of {broken[0]!r} "
                        f"refers to one of {broken[2]!r} that is not there; nothing was changed. "
                        "Next: memcollab bank verify with the version that wrote it"
                    )
        finally:
            self._engine.dispose()  # that connection would go on not looking

    def back_up(self, schema: int) -> None:
        """A copy beside the bank."""
        back_up(self.path, Path(f"{self.path}.schema{schema}.backup"))

    def after_copy(self, connection: sa.Connection) -> None:
        """Numbers go on from the greatest by themselves."""

    def damage(self, connection: sa.Connection) -> list[str]:
        """The findings of SQLite's integrity check."""
        return damage(connection)

    def size(self, _connection: sa.Connection) -> int:
        """Bytes of the bank and of what is not yet folded into it."""
        return size_on_disk(self.path)

    def glance(self, question: sa.Select[Any]) -> Sequence[Any]:
        """On a connection of its own, without SQLAlchemy: 0.01 ms in place of 0.1."""
        with self._turn:
            if self._glancing is None:
                self._glancing = connector(self.path, read_only=self.read_only)()
            words = self._questions.get(question)
            if words is None:
                words = str(question.compile(self._engine, compile_kwargs={"literal_binds": True}))
                self._questions[question] = words
            try:
                row: Sequence[Any] = self._glancing.execute(words).fetchone()
            except sqlite3.Error as error:
                raise sa.exc.OperationalError(words, None, error) from error
            return row

    @contextmanager
    def listening(self) -> Iterator[Pause]:
        """SQLite tells nobody: the caller looks ten times a second."""
        yield lambda seconds: time.sleep(min(seconds, POLL_SECONDS))

    def close(self) -> None:
        """Let go of the file; one that was made to vanish does."""
        super().close()
        with self._turn:
            if self._glancing is not None:
                self._glancing.close()
                self._glancing = None
        if self._temporary is not None:
            self._temporary.cleanup()


def _check_place(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise BankError(f"{str(path)!r} is a folder, not a bank. Next: give a file in it")
    if path.exists():
        return
    if not create:
        raise BankError(
            f"there is no bank at {str(path)!r}. Next: memcollab learn RUNS --bank {path}"
        )
    if not path.parent.is_dir():
        raise BankError(
            f"the folder {str(path.parent)!r} of the bank does not exist. "
            f"Next: mkdir -p {path.parent}"
        )


def make_engine(path: Path, *, read_only: bool) -> sa.Engine:
    """An engine over the file at ``path``, which need not exist unless ``read_only``."""
    connect = connector(path, read_only=read_only)
    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)
    sa.event.listen(engine, "begin", _begin)
    return engine


def connector(path: Path, *, read_only: bool) -> Callable[[], sqlite3.Connection]:
    """What connects to the file at ``path``."""
    address = f"{path.absolute().as_uri()}?{'mode=ro' if read_only else 'mode=rwc'}"
    if read_only and _cannot_have_readers_files(path):
        address += "&immutable=1"

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself, ``_begin`` below does.
        connection = sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    return connect


def _cannot_have_readers_files(path: Path) -> bool:
    """WAL keeps two files beside the bank. In a folder that cannot be written nobody can be writing
    to the bank either, and it may be read as a file that does not change."""
    return not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()


def _begin(connection: sa.Connection) -> None:
    # Straight to the driver: SQLAlchemy's own execute would cost more than these statements do.
    driver: Any = connection.connection.dbapi_connection
    for statement in _BEGIN[connection.get_execution_options().get(MODE, "read")]:
        try:
            driver.execute(statement)
        except sqlite3.Error as error:
            raise sa.exc.OperationalError(statement, None, error) from error


def in_mode(engine: sa.Engine, mode: Mode) -> sa.Engine:
    """The same engine, its transactions of that mode."""
    return engine.execution_options(**{MODE: mode})


def use_wal(engine: sa.Engine) -> None:
    """Readers beside a writer. Stays with the file; says nothing where the file has it already."""
    deadline = time.monotonic() + BUSY_SECONDS
    with in_mode(engine, "bare").connect() as connection:
        while True:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except DBAPIError as error:
                # The one statement that does not wait its turn: where two processes make the same
                # bank at once, SQLite answers the second with SQLITE_BUSY immediately.
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def _is_busy(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def damage(connection: sa.Connection) -> list[str]:
    """What SQLite itself finds wrong with the file; empty when nothing is."""
    rows = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    return [str(row) for row in rows if row != "ok"]


def size_on_disk(path: Path) -> int:
    """Bytes of the bank and of what is not yet folded into it."""
    files = (path, Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def back_up(path: Path, target: Path) -> None:
    """A consistent copy of the bank at ``target``, complete or not there at all."""
    partial = Path(f"{target}.partial")
    partial.unlink(missing_ok=True)
    source_address = f"{path.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source_address, uri=True)) as source,
        closing(sqlite3.connect(partial)) as copy,
    ):
        source.backup(copy)
    partial.replace(target)


# By the start of SQLite's own name for the error: what happened, and what to do next.
_MEANINGS: tuple[tuple[str, type[BankError], str], ...] = (
    (
        "SQLITE_BUSY",
        BankError,
        f"has been locked by another process for {BUSY_SECONDS} seconds. "
        "Next: wait for that one to finish, then run the same command again; nothing is lost",
    ),
    (
        "SQLITE_FULL",
        BankError,
        "cannot grow: the disk is full. What was saved before stays. "
        "Next: free some space, then run the same command again",
    ),
    (
        "SQLITE_NOTADB",
        BankError,
        "is not a database. Valid: a bank made by memcollab, or a path that does not exist yet. "
        "Next: give another --bank",
    ),
    (
        "SQLITE_CORRUPT",
        BankCorrupt,
        "is damaged. Next: memcollab bank verify, then import the last export into a new bank",
    ),
    (
        "SQLITE_READONLY",
        BankError,
        "cannot be written: it is open for reading only, or the file or its folder is protected. "
        "Next: check the permissions, or copy the bank elsewhere",
    ),
    (
        "SQLITE_CANTOPEN",
        BankError,
        "cannot be opened. Valid: a file in a folder that exists and may be written. "
        "Next: check the path and its permissions",
    ),
    (
        "SQLITE_CONSTRAINT_FOREIGNKEY",
        BankError,
        "does not hold what a record refers to. "
        "Next: save tasks and runs before contrasts, contrasts before answers and drafts",
    ),
    (
        "SQLITE_CONSTRAINT",
        BankError,
        "already holds another record of that id. Next: memcollab bank verify",
    ),
)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of the database leave as BankError, with what happened and what to do next."""
    try:
        yield
    except DBAPIError as error:
        name = getattr(error.orig, "sqlite_errorname", "")
        for start, kind, meaning in _MEANINGS:
            if name.startswith(start):
                raise kind(f"the bank {str(path)!r} {meaning}. ({error.orig})") from error
        raise BankError(
            f"the bank {str(path)!r} could not be used: {error.orig}. "
            "Next: memcollab bank verify, and check the disk"
        ) from error
