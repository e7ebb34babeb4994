"""The yard of a delivery firm: which van stands where, and who drives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

STATE = Path("vans.json")
YARDS = {"NOR": "north yard", "SOU": "south yard", "HAR": "harbour yard", "MIL": "mill yard"}


class Van(TypedDict):
    """Where a van stands and who drives it."""

    yard: str
    driver: str


FIRST_DAY: dict[str, Van] = {
    "VAN-003": {"yard": "NOR", "driver": "Olu"},
    "VAN-007": {"yard": "SOU", "driver": "Petra"},
    "VAN-012": {"yard": "HAR", "driver": "Jun"},
    "VAN-025": {"yard": "NOR", "driver": "Marta"},
}


def park(van: str, yard: str) -> str:
    """Park a van in a yard."""
    fleet = _fleet(van)
    _check_yard(yard)
    fleet[van]["yard"] = yard
    return _save(fleet, f"{van}: saved")


def assign(van: str, driver: str) -> str:
    """Give a van to a driver."""
    fleet = _fleet(van)
    fleet[van]["driver"] = driver
    return _save(fleet, f"{van}: saved")


def overview() -> list[str]:
    """Return one line for each van: its number, its yard by code and by name, its driver."""
    return [
        f"{van}: {state['yard']} ({YARDS[state['yard']]}), {state['driver']}"
        for van, state in _load().items()
    ]


# House rules: a van is called VAN- and three digits, a yard by its code in capitals. Only the
# refusals tell.
def _fleet(van: str) -> dict[str, Van]:
    fleet = _load()
    if van not in fleet:
        digits = "".join(character for character in str(van) if character.isdigit())
        raise LookupError(f"van not found: write VAN-{digits:0>3}")
    return fleet


def _check_yard(yard: str) -> None:
    if yard not in YARDS:
        known = ", ".join(f"{code} for the {name}" for code, name in YARDS.items())
        raise LookupError(f"yard not found: write {known}")


def _load() -> dict[str, Van]:
    if not STATE.exists():
        return json.loads(json.dumps(FIRST_DAY))  # type: ignore[no-any-return]
    return json.loads(STATE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _save(fleet: dict[str, Van], message: str) -> str:
    STATE.write_text(json.dumps(fleet), encoding="utf-8")
    return message
