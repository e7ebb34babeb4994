"""The room calendar of a community hall."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

STATE = Path("rooms.json")
OPENING = {"red": ["28.02.2026"], "green": ["19.03.2026", "27.03.2026"], "blue": []}


def book(room: str, day: str) -> str:
    """Book a room for a day. Booking it again changes nothing."""
    calendar = _calendar(room)
    _check(day)
    if day not in calendar[room]:
        calendar[room].append(day)
    return _save(calendar, f"{room}: booked")


def cancel(room: str, day: str) -> str:
    """Take a booking away."""
    calendar = _calendar(room)
    _check(day)
    if day not in calendar[room]:
        raise LookupError(f"{room} is not booked on {day!r}")
    calendar[room].remove(day)
    return _save(calendar, f"{room}: cancelled")


def bookings(room: str) -> list[str]:
    """Return the booked days of a room."""
    return _calendar(room)[room]


def _calendar(room: str) -> dict[str, list[str]]:
    text = STATE.read_text(encoding="utf-8") if STATE.exists() else json.dumps(OPENING)
    calendar: dict[str, list[str]] = json.loads(text)
    if room not in calendar:
        raise LookupError(f"there is no room {room!r}: the rooms are {', '.join(calendar)}")
    return calendar


# House rule: a day is text, day before month before year, two digits, two digits and four, with
# dots. Only the refusal tells.
def _check(day: str) -> None:
    try:
        well_formed = datetime.strptime(day, "%d.%m.%Y").strftime("%d.%m.%Y") == day
    except (TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise ValueError("a day is written DD.MM.YYYY, like 28.02.2026")


def _save(calendar: dict[str, list[str]], message: str) -> str:
    STATE.write_text(json.dumps(calendar), encoding="utf-8")
    return message
