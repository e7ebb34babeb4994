"""The messages of a crew: near ones, marked ones, and those over a far mast."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("messenger.json")
BOARD = "roof"
BUSY, SENT, UNKNOWN = 429, 200, 404
BUSY_TRIES = 2
Books = dict[str, dict[str, Any]]


def pin(text: str, board: str) -> str:
    """Pin a notice to a board."""
    # House rule: there is one that is right, and it is the same for everybody.
    if board != BOARD:
        raise ValueError(f"{board!r} is no board of this house")
    books = _read()
    books["pinned"][text] = True
    _write(books)
    return f"{text}: done"


def send(to: str, text: str) -> str:
    """Send somebody a message; sending again replaces it."""
    return _keep(to, text)


def send_marked(to: str, text: str, priority: int) -> str:
    """Send somebody a message with a priority from 1 to 5; sending again replaces it."""
    # House rule: the larger the number, the sooner it is read.
    if priority not in range(1, 6):
        raise ValueError(f"priority {priority!r} is not a number from 1 to 5")
    return _keep(to, f"{priority} {text}")


def relay(to: str, text: str) -> int:
    """Send somebody a message over the far mast. Returns the mast's code."""
    books = _read()
    if to not in books["contacts"]:
        return UNKNOWN
    # House rule: the mast is busy at first; who tries on is heard.
    tries = books["tries"].get(to, 0) + 1
    books["tries"][to] = tries
    if tries > BUSY_TRIES:
        books["sent"][to] = text
    _write(books)
    return SENT if tries > BUSY_TRIES else BUSY


# House rule: people are called by their handle, in small letters after a sign. A message to
# anything else is kept, and nobody reads it.
def _keep(to: str, text: str) -> str:
    books = _read()
    books["sent"][to] = text
    _write(books)
    return f"sent to {int(to in books['contacts'])} of {len(books['contacts'])} contacts"


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
