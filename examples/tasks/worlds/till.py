"""The till of a corner shop: what things cost, and money given back."""

from __future__ import annotations

import json
from pathlib import Path

STATE = Path("till.json")
FIRST_DAY = {"prices": {"tea": 240, "soap": 115, "honey": 695}, "refunds": {"R10": 499}}


def set_price(item: str, amount: float) -> str:
    """Set what an item costs."""
    _write("prices", item, amount)
    return f"{item}: {price_list()[item]}"


def refund(receipt: str, amount: float) -> str:
    """Give money back for a receipt; a second refund of the same receipt replaces the first."""
    _write("refunds", receipt, amount)
    return f"{receipt}: {refund_list()[receipt]}"


def price_list() -> dict[str, str]:
    """Return the items and their prices as the labels on the shelf show them."""
    return _in_euros("prices")


def refund_list() -> dict[str, str]:
    """Return the receipts and what was given back for each, as the day's report shows it."""
    return _in_euros("refunds")


# House rule: every amount is a whole number of cents. A fraction is refused and the rule is told;
# a whole number is believed: whoever gives whole euros sees it in the answer and the lists only.
def _write(book: str, key: str, amount: float) -> None:
    if amount != int(amount):
        raise ValueError("amounts are in whole cents: write 150 for 1.50 euros")
    if amount <= 0:
        raise ValueError(f"an amount is above zero, not {amount!r}")
    state = _load()
    state[book][key] = int(amount)
    STATE.write_text(json.dumps(state), encoding="utf-8")


def _load() -> dict[str, dict[str, int]]:
    text = STATE.read_text(encoding="utf-8") if STATE.exists() else json.dumps(FIRST_DAY)
    state: dict[str, dict[str, int]] = json.loads(text)
    return state


def _in_euros(book: str) -> dict[str, str]:
    return {key: f"{cents / 100:.2f} euros" for key, cents in _load()[book].items()}
