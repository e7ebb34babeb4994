"""Bringing a bank to the schema of this code: making a new one, and the steps of an older one.

The steps are in ``steps``, written with Alembic's operations. Each runs in one write transaction
together with the new version number, so a bank is never between two versions. Before the first step
a bank in a file is copied to ``<bank>.schema<old>.backup``. A new bank has the newest schema.

The version is a row of ``meta`` and not Alembic's own table, so that opening a bank that is up to
date reads one row, and imports no Alembic (70 ms).
"""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa

from memcollab.bank.database import Database
from memcollab.bank.schema import META, METADATA
from memcollab.bank.steps import STEPS
from memcollab.errors import BankError, BankVersionError
from memcollab.records import RECORD_FORMAT

_FORMAT = "memcollab-bank"


def newest() -> int:
    """The schema this code reads and writes."""
    return 1 + len(STEPS)


def prepare(database: Database) -> None:
    """Make an empty place a bank, and an older bank a present one.

    Raises:
        BankError: there is something else, or nothing and none may be made.
        BankVersionError: the bank is of a newer schema, or older and may not be written.
    """
    with database.reader.connect() as connection:
        version = _version(connection, database.name)
    if version == newest():
        return
    if version and version > newest():
        raise BankVersionError(
            f"the bank {database.name!r} has schema {version}; this memcollab reads {newest()}. "
            "Next: pip install --upgrade memcollab"
        )
    if version is None:
        if not database.may_create:
            raise BankError(
                f"{database.name!r} is empty, not a bank. "
                f"Next: memcollab learn RUNS --bank {database.name}"
            )
        database.make_ready()
        _create(database)
    else:
        if database.read_only:
            raise BankVersionError(
                f"the bank {database.name!r} has schema {version}, this memcollab reads "
                f"{newest()}, and it is open for reading only. Next: open it once for writing, "
                "which keeps a backup of a file"
            )
        _upgrade(database)


def _version(connection: sa.Connection, name: str) -> int | None:
    """The schema of the bank; None for an empty place."""
    tables = sa.inspect(connection).get_table_names()
    if not tables:
        return None
    meta = {}
    if META.name in tables:
        meta = dict(connection.execute(sa.select(META.c.name, META.c.value)).all())
    if meta.get("format") != _FORMAT:
        raise BankError(
            f"{name!r} is a database of something else: it has the tables "
            f"{', '.join(sorted(tables)[:5])}. Next: give another --bank"
        )
    if int(meta["records"]) > RECORD_FORMAT:
        raise BankVersionError(
            f"the bank {name!r} holds records of format {meta['records']}; this memcollab "
            f"reads {RECORD_FORMAT}. Next: pip install --upgrade memcollab"
        )
    return int(meta["schema"])


def _create(database: Database) -> None:
    with database.writer.begin() as connection:
        # Another process may have been faster; the write lock makes this the last look.
        if _version(connection, database.name) is not None:
            return
        METADATA.create_all(connection, checkfirst=False)
        database.finish_tables(connection)
        meta = {"format": _FORMAT, "schema": str(newest()), "records": str(RECORD_FORMAT)}
        connection.execute(
            META.insert(), [{"name": name, "value": value} for name, value in meta.items()]
        )


def _upgrade(database: Database) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    saved = False
    while True:
        with database.upgrading() as connection:
            version = _version(connection, database.name)
            if version is None or version >= newest():
                return
            if not saved:
                # Under the write lock, so that the copy is what the steps start from.
                database.back_up(version)
                saved = True
            step = import_module(f"memcollab.bank.steps.{STEPS[version - 1]}")
            step.upgrade(Operations(MigrationContext.configure(connection)))
            connection.execute(
                META.update().where(META.c.name == "schema").values(value=str(version + 1))
            )
