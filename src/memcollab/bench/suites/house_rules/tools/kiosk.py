"""The till of a kiosk: prices, refunds and money paid out of the drawer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("kiosk.json")
WORD = "dusk"
Books = dict[str, dict[str, Any]]


def let_in(person: str, word: str) -> str:
    """Let somebody in behind the counter; the door asks for a word."""
    # House rule: there is one that is right, and it is the same for everybody.
    if word != WORD:
        raise ValueError(f"{word!r} is not the word")
    books = _read()
    books["inside"][person] = True
    _write(books)
    return f"{person}: done"


def set_price(item: str, amount: float) -> str:
    """Set what an item costs."""
    books = _read()
    books["prices"][item] = _coins(amount)
    _write(books)
    return f"{item}: {prices()[item]}"


def prices() -> dict[str, str]:
    """Return the items and their prices as the labels show them."""
    return {item: _label(amount) for item, amount in _read()["prices"].items()}


def refund(receipt: str, amount: float) -> str:
    """Give money back for a receipt; a second refund of a receipt replaces the first."""
    books = _read()
    books["refunds"][receipt] = _coins(amount)
    _write(books)
    return f"{receipt}: {_label(books['refunds'][receipt])}"


def unlock() -> str:
    """Unlock the drawer."""
    books = _read()
    books["drawer"]["open"] = True
    _write(books)
    return "drawer: open"


def pay_out(name: str, amount: float) -> str:
    """Pay somebody out of the drawer; a second payment to the same name replaces the first."""
    books = _read()
    paid = _coins(amount)
    if not books["drawer"]["open"]:
        return f"{name}: nothing came out"
    # House rule: the drawer falls shut after one payment, and a shut drawer pays nothing.
    books["drawer"]["open"] = False
    books["paid"][name] = paid
    _write(books)
    return f"{name}: {_label(paid)}"


# House rule: the till counts in the smallest coin. A fraction is no number of coins; euros without
# a fraction are believed, and only the label shows what they were taken for.
def _coins(amount: float) -> int:
    if float(amount) != int(float(amount)):
        raise ValueError(f"{amount!r} cannot be counted out in coins, as 330 can")
    return int(float(amount))


def _label(coins: int) -> str:
    return f"{coins / 100:.2f} euros"


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
