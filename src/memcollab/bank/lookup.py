"""Rows by id: which are there, adding those that are not, what an abbreviated id means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from memcollab.bank.rows import Stored
from memcollab.bank.upserts import insert_new
from memcollab.errors import NotFound, UsageError

T = TypeVar("T")
# Records of one transaction, and ids of one query: some builds of SQLite take 999 parameters.
BATCH = 500
# SQLite does so always, PostgreSQL with a cursor on the server.
_AS_USED = {"stream_results": True, "max_row_buffer": BATCH}


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of at most ``size``, in order."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def known(connection: sa.Connection, column: sa.Column[str], values: Iterable[str]) -> set[str]:
    """Those of ``values`` that occur in ``column``."""
    found: set[str] = set()
    for batch in batches(dict.fromkeys(values)):
        found.update(connection.execute(sa.select(column).where(column.in_(batch))).scalars())
    return found


def stream(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Stored]:
    """Rows of ``statement``, of which there may be very many: fetched as they are used, and its
    cursor closed even where the caller stops half-way."""
    with connection.execute(statement, execution_options=_AS_USED) as result:
        yield from result.mappings()


def select_in(
    connection: sa.Connection,
    statement: sa.Select[Any],
    column: sa.Column[str],
    values: Collection[str] | None,
) -> Iterator[Stored]:
    """Rows of ``statement`` whose ``column`` is among ``values`` (None = all), sorted by ``column``
    and then by the primary key of its table."""
    statement = statement.order_by(column, *column.table.primary_key)
    if values is None:
        yield from stream(connection, statement)
        return
    for batch in batches(sorted(set(values))):
        yield from connection.execute(statement.where(column.in_(batch))).mappings()


def add_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert those rows whose primary key is new; how many that were. The first of equals wins."""
    key = tuple(table.primary_key)
    fresh = {tuple(row[column.name] for column in key): row for row in reversed(rows)}
    for batch in batches(dict.fromkeys(first for first, *_ in fresh)):
        held = sa.select(*key).where(key[0].in_(batch))
        for found in connection.execute(held):
            fresh.pop(tuple(found), None)
    if fresh:
        connection.execute(insert_new(connection, table), list(fresh.values()))
    return len(fresh)


def resolve(connection: sa.Connection, column: sa.Column[str], wanted: str, noun: str) -> str:
    """The full id that ``wanted``, an id or an unambiguous beginning of one, stands for.

    Raises:
        NotFound: no id begins so.
        UsageError: several do.
    """
    # A range, not LIKE: it uses the index, and "~" sorts after every character of an id.
    begins_so = sa.and_(column >= wanted, column < wanted + "~")
    found = connection.execute(sa.select(column).where(begins_so).order_by(column).limit(4))
    ids = list(found.scalars())
    if wanted in ids or len(ids) == 1:
        return ids[0]
    if not ids:
        listing = "list" if noun == "constraint" else "stats"
        raise NotFound(
            f"the bank holds no {noun} {wanted!r}. Valid: an id or an unambiguous beginning of it. "
            f"Next: memcollab bank {listing}"
        )
    raise UsageError(
        f"{wanted!r} begins the id of more than one {noun}: {', '.join(ids[:3])}"
        f"{', …' if len(ids) > 3 else ''}. Next: give more of it"
    )


def one(connection: sa.Connection, table: sa.Table, wanted: str, noun: str) -> Stored:
    """The row of that id, or of an unambiguous beginning of it; errors as ``resolve``."""
    found = resolve(connection, table.c.id, wanted, noun)
    return connection.execute(sa.select(table).where(table.c.id == found)).mappings().one()
