"""The register of a club's members, page by page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("members.json")
SHEET = "green"
PAGE = 3
Books = dict[str, dict[str, Any]]


def welcome(name: str, sheet: str) -> str:
    """Welcome a guest on a sheet."""
    # House rule: there is one that is right, and it is the same for everybody.
    if sheet != SHEET:
        raise ValueError(f"{sheet!r} is no sheet of ours")
    books = _read()
    books["guests"][name] = True
    _write(books)
    return f"{name}: done"


def set_town(member: str, town: str) -> str:
    """Enter the town in which a member lives."""
    return _keep("towns", member, town)


def set_joined(member: str, date: str) -> str:
    """Enter the day on which a member joined."""
    # House rule: the day comes first and dots stand between; the register takes whatever it gets.
    return _keep("joined", member, date)


def page(number: int) -> dict[str, str]:
    """Return a page of the register: members and the towns in which they live."""
    # House rule: the first page has no number yet, that is 0; past the last one all are empty.
    rows = list(_read()["towns"].items())
    return dict(rows[int(number) * PAGE : (int(number) + 1) * PAGE])


def mark_paid(member: str) -> str:
    """Mark a member as having paid."""
    return _keep("paid", member, True)


# House rule: a member is called by all five figures, as text.
def _keep(book: str, member: str, value: str | bool) -> str:
    books = _read()
    if member not in books["towns"]:
        raise LookupError(f"no member {member!r} in the register: {', '.join(books['towns'])}")
    books[book][member] = value
    _write(books)
    return f"{member}: {value}"


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
