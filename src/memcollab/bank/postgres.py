"""The one place that knows PostgreSQL: connections, transactions, and what its errors mean.

A bank is the tables of one schema: the first of the search path, ``public`` unless the URL says
``?options=-csearch_path=NAME``. The modes of ``database``, and how PostgreSQL does them:

``read``   ``REPEATABLE READ READ ONLY``: one snapshot for all statements.
``write``  takes the advisory lock of the bank first and waits for it up to ``BUSY_SECONDS``. It is
           ``READ COMMITTED`` on purpose: the snapshot of a stricter transaction would be as old as
           its waiting.
``quick``  takes no lock, and ``synchronous_commit=off``.

Covered: PostgreSQL 13 and later, in UTF-8, directly or behind a pooler that pools by transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from memcollab.bank import database
from memcollab.bank.database import MODE, Database, Pause
from memcollab.bank.schema import CHANGES, COUNTERS, METADATA
from memcollab.errors import BankCorrupt, BankError, MissingExtra

try:
    import psycopg
except ImportError as error:
    raise MissingExtra("a bank on PostgreSQL", "postgres") from error

# How long at most until another's change is seen where a notification does not arrive.
POLL_SECONDS = 0.5
CONNECT_SECONDS = 10
_SECRETS = ("password", "sslpassword", "passfile", "sslkey")
_THE_BANK = "'memcollab ' || current_schema()"


class PostgreSQL(Database):
    """A bank in a schema of a server."""

    quick_waits = False
    # Beginning takes round trips, which some do while another writes; readers have the rest.
    writers_at_once = 4

    def __init__(self, url: sa.URL, *, create: bool, read_only: bool) -> None:
        super().__init__()
        shown = url.difference_update_query(_SECRETS).set(drivername="postgresql")
        self.name = shown.render_as_string(hide_password=True)
        self.path = None
        self.read_only = read_only
        self.may_create = create and not read_only
        defaults = {"application_name": "memcollab", "connect_timeout": str(CONNECT_SECONDS)}
        missing = {name: value for name, value in defaults.items() if name not in url.query}
        url = url.set(drivername="postgresql+psycopg").update_query_dict(missing)
        # A server that was started again is no error of whoever asks next.
        self._engine = sa.create_engine(url, pool_pre_ping=True)
        sa.event.listen(self._engine, "begin", _begin)
        self.reader = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self.writer = self._in_mode("write")
        self.quick_writer = self._in_mode("quick")

    def _in_mode(self, mode: str) -> sa.Engine:
        return self._engine.execution_options(
            isolation_level="READ COMMITTED", postgresql_readonly=self.read_only, **{MODE: mode}
        )

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self.name)

    def make_ready(self) -> None:
        """Refuse a database in which not every text has a place."""
        with self.reader.connect() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise BankError(
                f"the database of {self.name!r} is encoded in {encoding!r}, which cannot hold "
                "every text. Valid: UTF8. Next: createdb --encoding=UTF8 --template=template0 NAME"
            )

    def finish_tables(self, connection: sa.Connection) -> None:
        """Whoever changes a constraint or reports an outcome notifies the replicas, when it is
        committed. In a bank that was made before, outcomes are seen by looking."""
        for statement in _NOTIFY:
            connection.exec_driver_sql(statement)

    @contextmanager
    def upgrading(self) -> Iterator[sa.Connection]:
        """PostgreSQL changes tables within transactions: nothing more is needed."""
        with self.writer.begin() as connection:
            yield connection

    def back_up(self, schema: int) -> None:
        """Nothing: a step happens as a whole or not at all, and a server has its own backups."""

    def after_copy(self, connection: sa.Connection) -> None:
        """Number on from the greatest that was copied."""
        for table in METADATA.sorted_tables:
            column = table.autoincrement_column
            if column is not None:
                last = sa.select(sa.func.max(column)).scalar_subquery()
                sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
                # False: the next number is this one, so that an empty table begins with 1.
                following = sa.func.setval(sequence, sa.func.coalesce(last, 0) + 1, sa.false())
                connection.execute(sa.select(following))

    def damage(self, connection: sa.Connection) -> list[str]:
        """Pages of this database whose checksum failed, where the server has checksums."""
        found = connection.exec_driver_sql(
            "SELECT checksum_failures, checksum_last_failure FROM pg_stat_database "
            "WHERE datname = current_database()"
        ).one()
        if not found[0]:
            return []
        return [f"{found[0]} pages of the database had a wrong checksum, the last at {found[1]}"]

    def size(self, connection: sa.Connection) -> int:
        """Bytes of the tables with their indexes."""
        sizes = (
            sa.func.pg_total_relation_size(sa.func.to_regclass(sa.literal(table.name)))
            for table in METADATA.sorted_tables
        )
        return sum(connection.execute(sa.select(*sizes)).one())

    @contextmanager
    def listening(self) -> Iterator[Pause]:
        """A connection of its own that is notified; where a pooler keeps notifications back, the
        caller looks every ``POLL_SECONDS``."""
        arguments, given = self._engine.dialect.create_connect_args(self._engine.url)
        with psycopg.connect(*arguments, **dict(given), autocommit=True) as connection:
            for (channel,) in connection.execute(f"SELECT md5({_THE_BANK})").fetchall():
                connection.execute(f'LISTEN "memcollab_{channel}"')

            def pause(seconds: float) -> None:
                for _ in connection.notifies(timeout=min(seconds, POLL_SECONDS), stop_after=1):
                    return

            yield pause


# One channel for each bank of the server; its name is bounded by 63 bytes, a schema's is not known.
_NOTIFY = (
    "CREATE OR REPLACE FUNCTION memcollab_notify() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_notify('memcollab_' || md5('memcollab ' || TG_TABLE_SCHEMA), ''); "
    "RETURN NULL; END $$",
    f"CREATE TRIGGER memcollab_notify AFTER INSERT ON {CHANGES.name} "
    "FOR EACH STATEMENT EXECUTE FUNCTION memcollab_notify()",
    f"CREATE TRIGGER memcollab_notify AFTER INSERT OR UPDATE ON {COUNTERS.name} "
    "FOR EACH STATEMENT EXECUTE FUNCTION memcollab_notify()",
)


def _begin(connection: sa.Connection) -> None:
    mode = connection.get_execution_options().get(MODE, "read")
    if mode == "quick":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    elif mode == "write":
        # Both in one round trip. The key is of 64 bits, so that banks do not share it by chance.
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = '{round(database.BUSY_SECONDS * 1000)}ms'; "
            f"SELECT pg_advisory_xact_lock(hashtextextended({_THE_BANK}, 0))"
        )


# By the start of the error's SQLSTATE, or by words of libpq, whose errors have none: what happened,
# and what to do next.
_MEANINGS: tuple[tuple[str, type[BankError], str], ...] = (
    (
        "55P03",
        BankError,
        "has been locked by another process for {seconds} seconds. "
        "Next: wait for that one to finish, then run the same command again; nothing is lost",
    ),
    (
        "40P01",
        BankError,
        "was written by another process in the opposite order. Next: run the same command again; "
        "nothing is lost",
    ),
    (
        "53100",
        BankError,
        "cannot grow: the disk of the server is full. What was saved before stays. "
        "Next: free some space there, then run the same command again",
    ),
    (
        "53300",
        BankError,
        "has no connection free. Next: raise max_connections of the server, or put a pooler before "
        "it",
    ),
    (
        "25006",
        BankError,
        "cannot be written: it is open for reading only, or the server is a standby. "
        "Next: give the URL of the primary",
    ),
    (
        "42501",
        BankError,
        "may not be used so by this role. Next: GRANT ALL ON SCHEMA … TO the role, or make the "
        "schema its own",
    ),
    (
        "3F000",
        BankError,
        "names a schema that does not exist. Next: CREATE SCHEMA, then the same command again",
    ),
    (
        "57014",
        BankError,
        "took longer than the server allows for a statement. Next: raise statement_timeout for "
        "this role, then run the same command again; nothing is lost",
    ),
    (
        "57P",
        BankError,
        "is being shut down or started by its server. Next: wait, then run the same command again; "
        "what was saved stays",
    ),
    (
        "XX00",
        BankCorrupt,
        "is damaged. Next: memcollab bank verify, then restore a backup or import the last export",
    ),
    (
        "23503",
        BankError,
        "does not hold what a record refers to. "
        "Next: save tasks and runs before contrasts, contrasts before answers and drafts",
    ),
    (
        "23505",
        BankError,
        "already holds another record of that id. Next: memcollab bank verify",
    ),
    (
        "password authentication failed",
        BankError,
        "does not open: the user or the password is wrong. Next: correct them in the URL, or keep "
        "the password in PGPASSWORD or ~/.pgpass",
    ),
    (
        "no password supplied",
        BankError,
        "does not open without a password. Next: give it in PGPASSWORD, ~/.pgpass or the URL",
    ),
    (
        "role ",
        BankError,
        "does not open: the server knows no such user. Next: createuser NAME, or correct the URL",
    ),
    (
        "database ",
        BankError,
        "is not there: the server has no such database. Next: createdb NAME, or correct the URL",
    ),
    (
        "connection",
        BankError,
        "cannot be reached: no server answers there, or it hung up. Next: check host and port, and "
        "that the server runs, then run the same command again",
    ),
)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Errors of the database leave as BankError, with what happened and what to do next."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise BankError(
            f"the bank {name!r} has no connection free for this thread: {error}. "
            "Next: use fewer threads, or more processes"
        ) from error
    except DBAPIError as error:
        raise _meaning(name, error.orig) from error
    except psycopg.Error as error:
        raise _meaning(name, error) from error


def _meaning(name: str, error: BaseException | None) -> BankError:
    state = getattr(error, "sqlstate", None)
    said = " ".join(str(error).split())
    for mark, kind, meaning in _MEANINGS:
        if state.startswith(mark) if state else _says(said, mark):
            happened = meaning.format(seconds=database.BUSY_SECONDS)
            return kind(f"the bank {name!r} {happened}. ({said})")
    return BankError(
        f"the bank {name!r} could not be used: {said}. "
        "Next: memcollab bank verify, and look into the log of the server"
    )


def _says(said: str, mark: str) -> bool:
    """Errors in connecting: ``FATAL: database "x" does not exist``. "database" alone may be a part
    of the address."""
    if mark in {"role ", "database "}:
        return f'FATAL: {mark}"' in said
    return mark in said
