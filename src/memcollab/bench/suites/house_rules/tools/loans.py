"""The loans of a museum: who has which piece, and what leaves the house."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("loans.json")
INSURER = "Aldus"
Books = dict[str, dict[str, Any]]


def insure(piece: str, insurer: str) -> str:
    """Have a piece insured."""
    # House rule: there is one that is right, and it is the same for everybody.
    if insurer != INSURER:
        raise ValueError(f"{insurer!r} does not insure us")
    books = _read()
    books["insured"][piece] = True
    _write(books)
    return f"{piece}: done"


def lend(piece: str, borrower: str) -> str:
    """Lend a piece to somebody; lending it again replaces the borrower."""
    books = _read()
    books["lent"][piece] = _card(books, borrower)
    _write(books)
    return f"{piece}: lent"


def lend_until(piece: str, borrower: str, date: str) -> str:
    """Lend a piece to somebody until a day; doing it again replaces the entry."""
    books = _read()
    # House rule: the stamp has the day first and dots, and does not fit anything else.
    if not re.fullmatch(r"\d\d\.\d\d\.\d{4}", str(date)):
        raise ValueError(f"{date!r} does not look like 31.12.2026")
    books["lent"][piece] = f"{_card(books, borrower)}: {date}"
    _write(books)
    return f"{piece}: lent until {date}"


def photograph(piece: str) -> str:
    """Photograph a piece."""
    # House rule: for its photograph a piece is taken out of its crate, so it comes before packing.
    books = _read()
    books["photographs"][piece] = True
    books["packed"].pop(piece, None)
    _write(books)
    return f"{piece}: photographed"


def pack(piece: str) -> str:
    """Pack a piece into its crate."""
    books = _read()
    books["packed"][piece] = True
    _write(books)
    return f"{piece}: packed"


def ship(piece: str, town: str) -> str:
    """Ship a piece to a town."""
    books = _read()
    if not books["packed"].get(piece) or not books["photographs"].get(piece):
        return f"{piece}: stopped at the door"
    books["shipped"][piece] = town
    _write(books)
    return f"{piece}: on its way to {town}"


# House rule: cards stand by family, as in any card index. A borrower without a card is told of.
def _card(books: Books, borrower: str) -> str:
    if borrower not in books["cards"]:
        raise LookupError(
            f"no card for {borrower!r} in the box, which starts with {next(iter(books['cards']))!r}"
        )
    return borrower


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
