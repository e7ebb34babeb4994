"""Text as PostgreSQL can hold it: any text, sorted by code point.

PostgreSQL stores no NUL. There, and only there, U+0000 is stored as U+0001 U+0001 and U+0001 as
U+0001 U+0002, which keeps the order; other text is stored as it is, so SQL by hand reads it.
Identifiers may be of any length there, as in SQLite.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

_NUL, _ONE = "\x00", "\x01"
_ESCAPED_NUL, _ESCAPED_ONE = "\x01\x01", "\x01\x02"


def escape(text: str) -> str:
    """``text`` without NUL; different texts stay different and in order."""
    if _NUL not in text and _ONE not in text:
        return text
    return text.replace(_ONE, _ESCAPED_ONE).replace(_NUL, _ESCAPED_NUL)


def unescape(stored: str) -> str:
    """The text that ``escape`` was given."""
    if _ONE not in stored:
        return stored
    return stored.replace(_ESCAPED_NUL, _NUL).replace(_ESCAPED_ONE, _ONE)


class EscapedText(sa.TypeDecorator[str]):
    """TEXT of PostgreSQL that takes any ``str``, and sorts as SQLite does."""

    impl = sa.Text
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(collation="C")

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        del dialect
        return None if value is None else escape(value)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> str | None:
        del dialect
        return None if value is None else unescape(value)


def portable(kind: TypeEngine[str]) -> TypeEngine[str]:
    """A type of text that holds the same in every database."""
    return kind.with_variant(EscapedText(), "postgresql")
