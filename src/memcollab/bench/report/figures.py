"""Numbers as a report writes them, and text of unknown origin as it may be shown."""

from __future__ import annotations

import math
import unicodedata

from memcollab.bench.statistics import Estimate

NOT_RUN = "not run"


def percent(estimate: Estimate) -> str:
    """``56 % [42, 69]``"""
    if not estimate.known:
        return NOT_RUN
    low, high = (f"{100 * each:.0f}" for each in (estimate.low, estimate.high))
    return f"{100 * estimate.value:.0f} % [{low}, {high}]"


def points(estimate: Estimate, digits: int = 1) -> str:
    """A difference of shares in percentage points: ``+8.0 [−2.1, +18.3]``"""
    return change(estimate.times(100), digits)


def change(estimate: Estimate, digits: int) -> str:
    """A signed difference with its interval."""
    if not estimate.known:
        return NOT_RUN
    if math.isnan(estimate.low):
        return signed(estimate.value, digits)
    return f"{signed(estimate.value, digits)} {interval(estimate, digits)}"


def interval(estimate: Estimate, digits: int = 1) -> str:
    """``[−2.1, +18.3]``, of a signed value."""
    return f"[{signed(estimate.low, digits)}, {signed(estimate.high, digits)}]"


def amount(estimate: Estimate, digits: int) -> str:
    """A mean, its interval left to the plots."""
    return f"{estimate.value:,.{digits}f}" if estimate.known else NOT_RUN


def signed(value: float, digits: int) -> str:
    """With its sign, and without one where it rounds to 0."""
    text = f"{abs(value):,.{digits}f}"
    if not float(text.replace(",", "")):
        return text
    return ("+" if value > 0 else "−") + text


def p_value(p: float) -> str:
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plain(text: str, limit: int = 300) -> str:
    """One line, without characters that are not seen, of at most ``limit`` characters."""
    shown = "".join(_visible(each) for each in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "…"


def _visible(character: str) -> str:
    if character in "\n\r\t":
        return " "
    return "�" if unicodedata.category(character)[0] == "C" else character


def numbered(n: int, noun: str, plural: str | None = None) -> str:
    """``1 cell``, ``12 cells``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
