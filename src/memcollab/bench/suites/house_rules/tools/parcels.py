"""A parcel counter: labels, the scale, and the van at the back door."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("parcels.json")
LINE = "E2"
BUSY, GONE, UNKNOWN = 3, 0, 4
BUSY_TRIES = 2
Books = dict[str, dict[str, Any]]


def send_van(town: str, line: str) -> str:
    """Send the van to a town, on a line."""
    # House rule: there is one that is right, and it is the same for everybody.
    if line != LINE:
        raise ValueError(f"{line!r} is no line of ours")
    books = _read()
    books["vans"][town] = True
    _write(books)
    return f"{town}: done"


def address(parcel: str, town: str) -> str:
    """Write the town on a parcel's label."""
    return _keep("towns", parcel, town)


def weigh(parcel: str, weight: float) -> str:
    """Write the weight on a parcel's label."""
    # House rule: the scale counts in its smallest unit and believes every number.
    return _keep("weights", parcel, weight)


def hand_over(parcel: str) -> int:
    """Hand a parcel to the van. Returns the van's code."""
    books = _read()
    if parcel not in books["towns"]:
        return UNKNOWN
    # House rule: the door is busy at first; a parcel that is in the van stays there.
    tries = books["tries"].get(parcel, 0) + 1
    books["tries"][parcel] = tries
    if tries > BUSY_TRIES:
        books["gone"][parcel] = True
    _write(books)
    return GONE if tries > BUSY_TRIES else BUSY


# House rule: a parcel is named as its label is printed, in large letters.
def _keep(book: str, parcel: str, value: str | float) -> str:
    books = _read()
    if parcel not in books["towns"]:
        raise LookupError(f"no {parcel!r} on the shelf: {', '.join(books['towns'])}")
    books[book][parcel] = value
    _write(books)
    return f"{parcel}: {value}"


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
