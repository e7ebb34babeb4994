"""INSERTs that meet rows of the same key: the form is the same in both databases, SQLAlchemy has a
class of it for each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import sqlalchemy as sa


def insert_new(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """An INSERT that leaves rows alone whose key is there already."""
    statement: sa.Insert = _insert(connection, table).on_conflict_do_nothing()
    return statement


def insert_or_replace(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """An INSERT that overwrites the row of that key; for caches only."""
    inserted = _insert(connection, table)
    values = {
        column.name: inserted.excluded[column.name]
        for column in table.columns
        if not column.primary_key
    }
    statement: sa.Insert = inserted.on_conflict_do_update(
        index_elements=table.primary_key, set_=values
    )
    return statement


def insert_or_add(
    connection: sa.Connection, table: sa.Table, counts: Sequence[str], least: Sequence[str] = ()
) -> sa.Insert:
    """An INSERT that, where the key is there, adds the columns ``counts`` to those of its row, and
    keeps of the columns ``least`` the smaller value."""
    inserted = _insert(connection, table)
    sums = {name: table.c[name] + inserted.excluded[name] for name in counts}
    for name in least:
        mine, theirs = table.c[name], inserted.excluded[name]
        sums[name] = sa.case((theirs < mine, theirs), else_=mine)
    statement: sa.Insert = inserted.on_conflict_do_update(
        index_elements=table.primary_key, set_=sums
    )
    return statement


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    # The engine of the connection has imported this module already.
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(table)
