"""How a bank of an older schema becomes one of this: an append-only list of small steps.

``STEPS[0]`` takes schema 1 to 2, and so on; a step is never changed once released. Each runs in one
transaction together with the new version number, so a bank is never between two versions. Before
the first step the file is copied to ``<bank>.schema<old>.backup``. A new bank is made at the newest
schema at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from memcollab.bank import evidence, serving, sqlite
from memcollab.bank.schema import META, METADATA
from memcollab.errors import BankError, BankVersionError
from memcollab.records import RECORD_FORMAT

Step = Callable[[sa.Connection], None]


def _count_outcomes(connection: sa.Connection) -> None:
    """1 → 2: outcomes as counts, with what the bank knows already."""
    connection.exec_driver_sql(
        "CREATE TABLE evidence (kind VARCHAR(16) NOT NULL, subject TEXT NOT NULL, "
        "agent TEXT NOT NULL, category TEXT NOT NULL, coin VARCHAR(16) NOT NULL, "
        "holdout_millionths INTEGER NOT NULL, source VARCHAR(256) NOT NULL, family TEXT NOT NULL, "
        "shown_solved BIGINT NOT NULL, shown_failed BIGINT NOT NULL, "
        "withheld_solved BIGINT NOT NULL, withheld_failed BIGINT NOT NULL, "
        "unjudged BIGINT NOT NULL, PRIMARY KEY "
        "(kind, subject, agent, category, coin, holdout_millionths, source))"
    )
    connection.exec_driver_sql(
        "CREATE TABLE counters (name VARCHAR(64) NOT NULL, value BIGINT NOT NULL, "
        "PRIMARY KEY (name))"
    )
    evidence.rebuild(connection, serving.observations(connection))


def _keep_trials(connection: sa.Connection) -> None:
    """2 → 3: what trials of constraints that await admission came to."""
    connection.exec_driver_sql(
        "CREATE TABLE trials (constraint_id VARCHAR(64) NOT NULL, agent VARCHAR(256) NOT NULL, "
        "attempt VARCHAR(256) NOT NULL, suite TEXT NOT NULL, task TEXT NOT NULL, "
        "seed BIGINT NOT NULL, solved_with BOOLEAN NOT NULL, solved_without BOOLEAN NOT NULL, "
        "at TEXT NOT NULL, PRIMARY KEY (constraint_id, agent, attempt), "
        "FOREIGN KEY(constraint_id) REFERENCES constraints (id))"
    )


STEPS: tuple[Step, ...] = (_count_outcomes, _keep_trials)
_FORMAT = "memcollab-bank"


def newest() -> int:
    """The schema this code reads and writes."""
    return 1 + len(STEPS)


def prepare(reader: sa.Engine, writer: sa.Engine, path: Path, *, may_write: bool) -> None:
    """Make an empty file a bank, and an older bank a present one.

    Raises:
        BankError: there is something else in the file, or nothing and it may not be written.
        BankVersionError: the bank is of a newer schema, or older and may not be written.
    """
    with reader.connect() as connection:
        version = _version(connection, path)
    if version == newest():
        return
    if version and version > newest():
        raise BankVersionError(
            f"the bank {str(path)!r} has schema {version}; this memcollab reads {newest()}. "
            "Next: pip install --upgrade memcollab"
        )
    if not may_write:
        raise _not_ready(path, version)
    if version is None:
        sqlite.use_wal(writer)
        _create(writer, path)
    else:
        _upgrade(writer, path)


def _not_ready(path: Path, version: int | None) -> BankError:
    if version is None:
        return BankError(
            f"{str(path)!r} is empty, not a bank. Next: memcollab learn RUNS --bank {path}"
        )
    return BankVersionError(
        f"the bank {str(path)!r} has schema {version}, this memcollab reads {newest()}, and it is "
        "open for reading only. Next: open it once for writing, which keeps a backup"
    )


def _version(connection: sa.Connection, path: Path) -> int | None:
    """The schema of the bank; None for an empty file."""
    tables = sa.inspect(connection).get_table_names()
    if not tables:
        return None
    meta = {}
    if META.name in tables:
        meta = dict(connection.execute(sa.select(META.c.name, META.c.value)).all())
    if meta.get("format") != _FORMAT:
        raise BankError(
            f"{str(path)!r} is a database of something else: it has the tables "
            f"{', '.join(sorted(tables)[:5])}. Next: give another --bank"
        )
    if int(meta["records"]) > RECORD_FORMAT:
        raise BankVersionError(
            f"the bank {str(path)!r} holds records of format {meta['records']}; this memcollab "
            f"reads {RECORD_FORMAT}. Next: pip install --upgrade memcollab"
        )
    return int(meta["schema"])


def _create(writer: sa.Engine, path: Path) -> None:
    with writer.begin() as connection:
        # Another process may have been faster; the write lock makes this the last look.
        if _version(connection, path) is not None:
            return
        METADATA.create_all(connection, checkfirst=False)
        meta = {"format": _FORMAT, "schema": str(newest()), "records": str(RECORD_FORMAT)}
        connection.execute(
            META.insert(), [{"name": name, "value": value} for name, value in meta.items()]
        )


def _upgrade(writer: sa.Engine, path: Path) -> None:
    saved = False
    while True:
        with writer.begin() as connection:
            version = _version(connection, path)
            if version is None or version >= newest():
                return
            if not saved:
                # Under the write lock, so that the copy is what the steps start from.
                sqlite.back_up(path, Path(f"{path}.schema{version}.backup"))
                saved = True
            STEPS[version - 1](connection)
            connection.execute(
                META.update().where(META.c.name == "schema").values(value=str(version + 1))
            )
