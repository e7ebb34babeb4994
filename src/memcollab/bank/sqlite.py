"""The one place that knows SQLite: connections, transactions, upserts, and what its errors mean.

Transactions come in five modes, chosen by the execution option ``MODE``:

``read``   a snapshot; never waits for a writer (WAL) and never becomes a writer, so that
           SQLITE_BUSY_SNAPSHOT cannot happen.
``write``  takes the write lock at once (``BEGIN IMMEDIATE``) and waits for it up to
           ``BUSY_SECONDS``; committed means on disk (``synchronous=FULL``).
``quick``  the same, but a commit is handed to the operating system only (``NORMAL``): a power cut
           may lose the last ones, a crash of the process none, and neither can harm the file.
``scratch``  the same, and nothing is ever waited for to reach the disk: for banks that vanish.
``bare``   no transaction: for the pragmas that refuse to run in one.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from memcollab.errors import BankCorrupt, BankError

BUSY_SECONDS = 30
MODE = "memcollab_mode"
Mode = Literal["read", "write", "quick", "scratch", "bare"]
_BEGIN: dict[Mode, tuple[str, ...]] = {
    "read": ("BEGIN",),
    "write": ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
    "quick": ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    "scratch": ("PRAGMA synchronous=OFF", "BEGIN IMMEDIATE"),
    "bare": (),
}


def make_engine(path: Path, *, read_only: bool) -> sa.Engine:
    """An engine over the file at ``path``, which need not exist unless ``read_only``."""
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

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)
    sa.event.listen(engine, "begin", _begin)
    return engine


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


def insert_new(table: sa.Table) -> sqlite.Insert:
    """An INSERT that leaves rows alone whose key is there already."""
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_replace(table: sa.Table) -> sqlite.Insert:
    """An INSERT that overwrites the row of that key; for caches only."""
    statement = sqlite.insert(table)
    values = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=table.primary_key, set_=values)


def insert_or_add(
    table: sa.Table, counts: Sequence[str], least: Sequence[str] = ()
) -> sqlite.Insert:
    """An INSERT that, where the key is there, adds the columns ``counts`` to those of its row, and
    keeps of the columns ``least`` the smaller value."""
    statement = sqlite.insert(table)
    sums = {name: table.c[name] + statement.excluded[name] for name in counts}
    for name in least:
        mine, theirs = table.c[name], statement.excluded[name]
        sums[name] = sa.case((theirs < mine, theirs), else_=mine)
    return statement.on_conflict_do_update(index_elements=table.primary_key, set_=sums)


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
