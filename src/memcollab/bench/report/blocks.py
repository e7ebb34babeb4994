"""What a report is made of, whatever it is written as. Every text in here is plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["better", "worse", "missing"]


@dataclass(frozen=True)
class Entry:
    """A table cell. ``link`` is the anchor of a row elsewhere in the report, or a relative path."""

    text: str
    link: str | None = None
    tone: Tone | None = None


@dataclass(frozen=True)
class Row:
    """The first entry heads the row. ``anchor`` is what a link can point to."""

    entries: tuple[Entry, ...]
    anchor: str | None = None


@dataclass(frozen=True)
class Table:
    """``folded``: long, and shown on demand."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """``name`` is of letters and dashes; ``alt`` says in words what the picture shows."""

    name: str
    svg: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Paragraph:
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


Block = Table | Chart | Paragraph | Bullets


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str | Entry]], folded: bool = False
) -> Table:
    """A table of texts or entries."""
    made = tuple(
        Row(tuple(each if isinstance(each, Entry) else Entry(each) for each in row)) for row in rows
    )
    return Table(caption, tuple(heads), made, folded)
