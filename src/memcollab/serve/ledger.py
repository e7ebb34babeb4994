"""What a server keeps beside its banks, for all of its replicas: keys, audit, answers, jobs.

It is a database of its own, so that no bank, export or tenant ever holds a key. Every step is one
statement, or several of which none needs to have read anything, so SQLite and PostgreSQL need no
lock of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from memcollab.bank.text import portable
from memcollab.errors import BankError

METADATA = sa.MetaData()
ANSWERS_KEPT = timedelta(hours=24)

KEYS = sa.Table(
    "keys",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("bank", sa.String(64), nullable=True),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("revoked", sa.String(40), nullable=True),
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("bank", sa.String(64), nullable=True, index=True),
    sa.Column("key", sa.String(16), nullable=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("request", sa.String(64), nullable=False),
)
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("asked", sa.String(64), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("media_type", sa.Text, nullable=True),
    sa.Column("body", sa.LargeBinary, nullable=True),
)
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("bank", sa.String(64), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("stage", sa.Text, nullable=True),
    sa.Column("done", sa.Integer, nullable=True),
    sa.Column("total", sa.Integer, nullable=True),
    sa.Column("report", sa.Text, nullable=True),
    sa.Column("error", sa.Text, nullable=True),
    sa.Column("started", sa.String(40), nullable=False),
    sa.Column("beat", sa.String(40), nullable=False),
)
# Of the web pages: the hash of a cookie, and the key that it was opened with.
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(16), nullable=False),
    sa.Column("opened", sa.String(40), nullable=False),
)

# One learns into a bank at a time, whichever replica it runs on.
_RUNNING = JOBS.c.state == "running"
ONE_RUNNING = sa.Index(
    "one_running_job",
    JOBS.c.bank,
    unique=True,
    sqlite_where=_RUNNING,
    postgresql_where=_RUNNING,
)
for _table in METADATA.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, sa.String):
            _column.type = portable(_column.type)  # a path may hold what PostgreSQL cannot


def now() -> str:
    """ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def ago(span: timedelta) -> str:
    return (datetime.now(UTC) - span).isoformat(timespec="microseconds")


class Ledger:
    """Open it on a path or a URL of PostgreSQL; made where there is none.

    Raises:
        BankError: it cannot be opened, read or written.
    """

    def __init__(self, target: str | Path) -> None:
        self._explained: Callable[[], AbstractContextManager[None]] = _explained
        self._turn: AbstractContextManager[object] = nullcontext()
        if "://" in str(target):
            from memcollab.bank.postgres import explained

            url = sa.make_url(str(target)).set(drivername="postgresql+psycopg")
            self._engine = sa.create_engine(url, pool_pre_ping=True)
            self._explained = partial(explained, "of the server's ledger")
        else:
            self._engine = sa.create_engine(f"sqlite:///{Path(target).absolute()}")
            sa.event.listen(self._engine, "connect", _careful)
            # SQLite is asked for its lock again and again, by sleeping: neighbours queue here.
            self._turn = Lock()
        with self._writing() as connection:
            if self._engine.dialect.name == "postgresql":
                # Replicas that start at once would meet in PostgreSQL's catalogue.
                connection.exec_driver_sql(_ONE_AT_A_TIME)
            METADATA.create_all(connection)
            ONE_RUNNING.create(connection, checkfirst=True)  # in a ledger that was made before
        self.forget_answers()

    def close(self) -> None:
        self._engine.dispose()

    def forget_answers(self) -> int:
        """Drop those that were kept for as long as they are to be; how many."""
        return self.change(ANSWERS.delete().where(ANSWERS.c.at < ago(ANSWERS_KEPT)))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._explained(), self._turn, self._engine.begin() as connection:
            yield connection

    def rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        """All rows of a query, by name of column."""
        with self._explained(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def add(self, table: sa.Table, row: Mapping[str, Any]) -> bool:
        """Insert; False if there is a row of that key already."""
        with self._writing() as connection:
            try:
                with connection.begin_nested():
                    connection.execute(table.insert(), dict(row))
            except IntegrityError:
                return False
        return True

    def change(self, statement: sa.Update | sa.Delete) -> int:
        """Rows that were changed."""
        with self._writing() as connection:
            return connection.execute(statement).rowcount

    def together(self, *statements: sa.Insert | sa.Update) -> None:
        """Carry out all of them, or none."""
        with self._writing() as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise BankError(
            f"the server's ledger cannot be used: {error.orig}. "
            "Next: check that its folder may be written and that the disk has room"
        ) from error


_ONE_AT_A_TIME = (
    "SELECT pg_advisory_xact_lock(hashtextextended('memcollab ledger ' || current_schema(), 0))"
)


def _careful(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=30000").fetchall()
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
