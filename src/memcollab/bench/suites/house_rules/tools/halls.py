"""The booking book of a village's halls."""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("halls.json")
HOOK = "K7"
Books = dict[str, dict[str, Any]]


def lend_key(group: str, hook: str) -> str:
    """Lend a group the key from a hook."""
    # House rule: there is one that is right, and it is the same for everybody.
    if hook != HOOK:
        raise ValueError(f"{hook!r} has no key on it")
    books = _read()
    books["keys"][group] = True
    _write(books)
    return f"{group}: done"


def book(hall: str, date: str, group: str) -> str:
    """Book a hall for a group; booking the same day again replaces the group."""
    books = _read()
    books["bookings"][_page(hall, date)] = group
    _write(books)
    return f"{hall}, {date}: {group}"


def bookings(hall: str) -> list[str]:
    """Return the bookings of a hall."""
    found = _read()["bookings"].items()
    return [f"{page.split()[1]} {group}" for page, group in found if page.split()[0] == hall]


def book_hours(hall: str, date: str, start: str, end: str) -> str:
    """Book a hall for some hours of a day; doing it again replaces the hours."""
    books = _read()
    page = _page(hall, date)
    books["hours"][page] = f"{_time('start', start)}-{_time('end', end)}"
    _write(books)
    return f"{page}: {books['hours'][page]}"


def cancel(hall: str, date: str) -> str:
    """Cancel a booking. Returns what the book answers."""
    books = _read()
    page = _page(hall, date)
    if page not in {**books["bookings"], **books["cancelled"]}:
        raise LookupError(f"nothing is booked on {page!r}")
    # House rule: the answer is a number, and the booking stands until that number is handed back.
    number = str(zlib.crc32(page.encode()) % 9000 + 1000)
    books["asked"][number] = page
    _write(books)
    return number


def confirm(number: str) -> str:
    """Confirm something by its number."""
    books = _read()
    page = books["asked"].get(str(number))
    if page is None:
        raise LookupError(f"{number!r} is no number of this book")
    books["cancelled"][page] = books["bookings"].pop(page, None) or books["cancelled"][page]
    _write(books)
    return f"{page}: cancelled"


# House rule: pages are headed as a village clerk writes days; only an example is ever shown.
def _page(hall: str, date: str) -> str:
    if not re.fullmatch(r"\d\d\.\d\d\.\d{4}", str(date)):
        raise ValueError(f"{date!r} does not look like 31.12.2026")
    return f"{hall} {date}"


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
