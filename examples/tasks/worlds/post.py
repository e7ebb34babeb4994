"""A post office: letters go to towns, and the office answers each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

STATE = Path("post.json")
TOWNS = ("Brill", "Dornach", "Elm", "Varna")
BUSY_TRIES = 1


class Office(TypedDict):
    """How often each letter was tried, and where those that arrived went."""

    tries: dict[str, int]
    delivered: dict[str, str]


def send(letter: str, town: str) -> str:
    """Send a letter to a town. Returns what the office answers."""
    office = _load()
    if town not in TOWNS:
        return f"404 there is no town {town!r}"
    office["tries"][letter] = office["tries"].get(letter, 0) + 1
    # House rule: at first the line is busy and nothing is sent; the sender has to try again. A
    # letter that has arrived stays where it is.
    arrived = office["tries"][letter] > BUSY_TRIES
    if arrived:
        office["delivered"].setdefault(letter, town)
    STATE.write_text(json.dumps(office), encoding="utf-8")
    return "200 arrived" if arrived else "503 busy, not sent: send it again"


def delivered() -> dict[str, str]:
    """Return the letters that have arrived, each with its town."""
    return _load()["delivered"]


def _load() -> Office:
    if not STATE.exists():
        return Office(tries={}, delivered={})
    office: Office = json.loads(STATE.read_text(encoding="utf-8"))
    return office
