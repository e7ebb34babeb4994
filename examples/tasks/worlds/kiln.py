"""The kiln of a pottery: a door, a chamber and a fire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

STATE = Path("kiln.json")


class Kiln(TypedDict):
    """What the kiln remembers: its door, what stands inside, and every firing so far."""

    open: bool
    inside: list[str]
    firings: list[list[str]]


def door(state: str) -> str:
    """Move the door: "open" or "shut"."""
    if state not in {"open", "shut"}:
        raise ValueError(f'the door knows "open" and "shut", not {state!r}')
    kiln = _load()
    kiln["open"] = state == "open"
    return _save(kiln, f"door {state}")


def put_in(piece: str) -> str:
    """Put one piece into the chamber. A piece that is inside stays there."""
    kiln = _load()
    _require(kiln["open"], "the door is shut: call door('open') first")
    if piece not in kiln["inside"]:
        kiln["inside"].append(piece)
    return _save(kiln, f"{piece} is inside")


def fire() -> str:
    """Light the fire for everything that is inside."""
    kiln = _load()
    _require(not kiln["open"], "the door is open: call door('shut') first")
    _require(bool(kiln["inside"]), "there is nothing to fire")
    kiln["firings"].append(sorted(kiln["inside"]))
    return _save(kiln, "fired")


def look() -> Kiln:
    """Return what can be seen: the door, the pieces inside and the firings so far."""
    return _load()


# House rule: the door is shut at first, pieces go in while it is open, the fire burns while it is
# shut. Each refusal tells the step that is missing.
def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise RuntimeError(complaint)


def _load() -> Kiln:
    if not STATE.exists():
        return Kiln(open=False, inside=[], firings=[])
    kiln: Kiln = json.loads(STATE.read_text(encoding="utf-8"))
    return kiln


def _save(kiln: Kiln, message: str) -> str:
    STATE.write_text(json.dumps(kiln), encoding="utf-8")
    return message
