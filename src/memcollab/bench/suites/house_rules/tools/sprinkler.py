"""The watering of a park: a panel with days and times, a pump, and a valve for each bed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("sprinkler.json")
MIX = "K3"
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
Books = dict[str, dict[str, Any]]


def feed(bed: str, mix: str) -> str:
    """Feed a bed with a mix."""
    # House rule: there is one that is right, and it is the same for everybody.
    if mix != MIX:
        raise ValueError(f"{mix!r} is in none of our cans")
    books = _read()
    books["fed"][bed] = True
    _write(books)
    return f"{bed}: done"


def plan(bed: str, day: str) -> str:
    """Plan the day on which a bed is watered; planning it again replaces the day."""
    return _keep(bed, _day(day))


def plan_at(bed: str, day: str, time: str) -> str:
    """Plan the day and the time at which a bed is watered; doing it again replaces them."""
    # House rule: a time is four figures of the long day, with nothing between them.
    if not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", str(time)):
        raise ValueError(f"{time!r} does not fit the four boxes of the clock, which show 0830 now")
    return _keep(bed, f"{_day(day)} {time}")


def pump(on: bool) -> str:
    """Switch the pump on or off."""
    books = _read()
    # House rule: a pump that starts against shut valves trips, so they are opened before it.
    running = bool(on) and any(books["valves"].values())
    books["pump"]["on"] = running
    if running:
        books["watered"] |= {bed: True for bed, is_open in books["valves"].items() if is_open}
    _write(books)
    return f"pump: {'running' if running else 'tripped' if on else 'off'}"


def valve(bed: str, on: bool) -> str:
    """Open or shut the valve of a bed."""
    books = _read()
    _known(books, bed)
    books["valves"][bed] = bool(on)
    _write(books)
    return f"{bed}: {'open' if on else 'shut'}"


# House rule: the panel has three large letters for a day.
def _day(day: str) -> str:
    if len(str(day)) != len(DAYS[0]):
        raise ValueError(f"{day!r} is too long for the panel, on which today is MON")
    if day not in DAYS:
        raise ValueError(f"the panel cannot show {day!r}: it has large letters only")
    return day


def _keep(bed: str, when: str) -> str:
    books = _read()
    _known(books, bed)
    books["plan"][bed] = when
    _write(books)
    return f"{bed}: {when}"


def _known(books: Books, bed: str) -> None:
    if bed not in books["valves"]:
        raise LookupError(f"there is no bed {bed!r}: {', '.join(books['valves'])}")


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
