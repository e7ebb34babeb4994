"""A bank into another, row by row, whatever each is kept in."""

from __future__ import annotations

from hashlib import sha256
from typing import IO, cast

import sqlalchemy as sa

from memcollab.bank.export import export
from memcollab.bank.lookup import batches, stream
from memcollab.bank.schema import CACHES, META, METADATA, VECTORS
from memcollab.bank.verify import verify
from memcollab.errors import BankCorrupt, UsageError

# The target has its own version; the rest is derived again when it is needed.
_LEFT = {META, VECTORS, CACHES}
_TABLES = [table for table in METADATA.sorted_tables if table not in _LEFT]


def copy(source: sa.Connection, target: sa.Connection, *, names: tuple[str, str]) -> dict[str, int]:
    """Copy every row and prove it, in the caller's transactions; rows by table.

    Raises:
        UsageError: the target is not empty.
        BankCorrupt: what arrived does not verify, or does not export to the same bytes.
    """
    _check_empty(target, names[1])
    copied = {table.name: _copy_table(source, target, table) for table in _TABLES}
    problems = verify(target, lambda _connection: []).problems
    if problems:
        raise BankCorrupt(
            f"{len(problems)} things in the bank {names[0]!r} are not what they claim to be, the "
            f"first is {problems[0]}; nothing was copied. Next: memcollab bank verify"
        )
    if _digest(source) != _digest(target):
        raise BankCorrupt(
            f"the copy of {names[0]!r} in {names[1]!r} does not export to the same bytes; nothing "
            "was copied. Next: memcollab bank export, then import, and report this as a bug"
        )
    return copied


def _check_empty(target: sa.Connection, name: str) -> None:
    for table in METADATA.sorted_tables:
        if table is not META and target.execute(sa.select(table).limit(1)).first() is not None:
            raise UsageError(
                f"the bank {name!r} is not empty: it has {table.name}. Valid: a place without a "
                "bank, or a bank that nothing was stored in. Next: memcollab bank export and "
                "import, which add to what is there"
            )


def _copy_table(source: sa.Connection, target: sa.Connection, table: sa.Table) -> int:
    count = 0
    rows = sa.select(table).order_by(*table.primary_key)
    for batch in batches(stream(source, rows)):
        target.execute(table.insert(), [dict(row) for row in batch])
        count += len(batch)
    return count


def _digest(connection: sa.Connection) -> str:
    stream = _Hashed()
    export(connection, cast("IO[bytes]", stream), whole=True)
    return stream.hash.hexdigest()


class _Hashed:
    """A stream that keeps no more than the hash of what is written to it."""

    def __init__(self) -> None:
        self.hash = sha256()

    def write(self, content: bytes) -> int:
        self.hash.update(content)
        return len(content)
