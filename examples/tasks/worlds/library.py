"""The loan desk of a library: the books that are out, and a notebook for findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

STATE = Path("library.json")
PAGE_ROWS = 10
READERS = ("Ines", "Tomas", "Aiko", "Bela", "Nuru")
SHELVES = ("travel", "cooking", "history")


class Loan(TypedDict):
    """One book that is out."""

    book: str
    reader: str
    shelf: str
    days_late: int


def pages() -> int:
    """Return how many pages the list of loans has."""
    return -(-len(_all()) // PAGE_ROWS)


def loans(page: int) -> list[Loan]:
    """Return the books on a page of the list."""
    # House rule: the first page is number one and the last is the number of pages.
    if not 1 <= page <= pages():
        raise LookupError(f"page {page} not found: the first is 1, the last is {pages()}")
    return _all()[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]


def note(name: str, value: int) -> str:
    """Write a number into the notebook under a name; writing it again replaces it."""
    notebook = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    notebook[name] = value
    STATE.write_text(json.dumps(notebook), encoding="utf-8")
    return f"{name}: {value}"


def _all() -> list[Loan]:
    return [
        Loan(
            book=f"B{number:02d}",
            reader=READERS[number * 7 % 5],
            shelf=SHELVES[number * number % 7 % 3],
            days_late=max(0, number * 11 % 23 - 12),
        )
        for number in range(1, 35)
    ]
