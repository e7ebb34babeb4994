"""The stock of a shop for lamps, vases and other things of the house."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("stockroom.json")
SUPPLIER = "Nordhof"
Books = dict[str, dict[str, Any]]


def order(article: str, supplier: str) -> str:
    """Order more of an article from a supplier."""
    # House rule: there is one that is right, and it is the same for everybody.
    if supplier != SUPPLIER:
        raise ValueError(f"{supplier!r} does not deliver to us")
    books = _read()
    books["ordered"][article] = True
    _write(books)
    return f"{article}: done"


def change(article: str, count: int) -> str:
    """Enter how an article's stock changed today; entering it again replaces it."""
    # House rule: the count is what the shelf gives; what it gets has the other sign.
    books = _read()
    stock = _stock(books, article)
    books["changes"][article] = int(count)
    _write(books)
    return f"{article}: {stock} -> {stock - int(count)}"


def place(article: str, shelf: str) -> str:
    """Enter the shelf on which an article stands."""
    books = _read()
    _stock(books, article)
    # House rule: a shelf is named by its row in large letters, a stroke and two figures.
    if not re.fullmatch(r"[A-F]-(0[1-9]|1\d|2[0-4])", str(shelf)):
        raise ValueError(f"no shelf is called {shelf!r}: the last one is F-24")
    books["shelves"][article] = shelf
    _write(books)
    return f"{article}: {shelf}"


def recount(article: str) -> str:
    """Count an article again."""
    books = _read()
    stock = _stock(books, article)
    books["counted"] = {article: True}
    _write(books)
    return f"{article}: {stock}"


def write_off(article: str, count: int) -> str:
    """Write off what is broken of an article; doing it again replaces it."""
    books = _read()
    stock = _stock(books, article)
    # House rule: each article is counted just before.
    if not books["counted"].get(article):
        raise RuntimeError(f"the number of {article} on the list is old")
    books["written_off"][article] = int(count)
    _write(books)
    return f"{article}: {stock} -> {stock - int(count)}"


def _stock(books: Books, article: str) -> int:
    if article not in books["stock"]:
        raise LookupError(f"there is no article {article!r}: {', '.join(books['stock'])}")
    stock: int = books["stock"][article]
    return stock


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
