"""The time sheets of a workshop."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("timesheet.json")
CODE = "U9"
Books = dict[str, dict[str, Any]]


def excuse(person: str, code: str) -> str:
    """Excuse somebody for today with a code."""
    # House rule: there is one that is right, and it is the same for everybody.
    if code != CODE:
        raise ValueError(f"{code!r} is no code of the sheet")
    books = _read()
    books["excused"][person] = True
    _write(books)
    return f"{person}: done"


def record(person: str, duration: float) -> str:
    """Record what somebody worked today; recording it again replaces it."""
    # House rule: the sheet takes the small unit; hours without a fraction are believed.
    if float(duration) != int(float(duration)):
        raise ValueError(f"{duration!r}: the sheet has no room for a fraction of a minute")
    books = _read()
    books["worked"][person] = int(float(duration))
    _write(books)
    return f"{person}: {total(person)}"


def total(person: str) -> str:
    """Return what somebody worked today, as the sheet shows it."""
    worked = _read()["worked"].get(person, 0)
    return f"{worked // 60} h {worked % 60:02d}"


def shift(person: str, start: str, end: str) -> str:
    """Write down when somebody began and ended; doing it again replaces it."""
    books = _read()
    books["shifts"][person] = f"{_time('start', start)}-{_time('end', end)}"
    _write(books)
    return f"{person}: {books['shifts'][person]}"


def sign(person: str) -> str:
    """Sign somebody's sheet."""
    # House rule: what is signed is an empty sheet, so this comes first; a full one is put away.
    books = _read()
    books["worked"].pop(person, None)
    books["signed"][person] = True
    _write(books)
    return f"{person}: signed"


def hand_in(person: str) -> str:
    """Hand in somebody's sheet."""
    books = _read()
    if not books["signed"].get(person) or person not in books["worked"]:
        return f"{person}: not taken"
    books["handed_in"][person] = books["worked"][person]
    _write(books)
    return f"{person}: taken"


# House rule: a time is four figures of the long day, with nothing between them.
def _time(name: str, time: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", str(time)):
        raise ValueError(f"{name}: {time!r} does not fit the four boxes, which show 0830 now")
    return str(time)


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
