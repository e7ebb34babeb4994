"""Numbers → places in a drawing; the templates draw them (pure).

A drawing is SVG in the page itself, without script and without inline style, so that the strict
content-security policy holds, it scales, prints, and takes the page's colours. Whatever it says is
said beside it in words or figures, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memcollab.records import Effect

# Widths of the drawings in units of their own; the page scales them.
WIDTH = 240.0
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Interval:
    """An uplift with its interval on an axis: places from 0 to ``WIDTH``. ``open_low`` and
    ``open_high``: that end lies beyond the axis."""

    low: float
    value: float
    high: float
    says: str
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis of uplift that is alike on both sides of 0. ``reach``: what its ends stand for."""

    reach: float

    def place(self, uplift: float) -> float:
        """Where an uplift stands, from 0 to ``WIDTH``; beyond the ends is at the end."""
        share = (max(-self.reach, min(self.reach, uplift)) + self.reach) / (2 * self.reach)
        return round(share * WIDTH, 1)

    @property
    def said(self) -> str:
        """What its ends stand for, in points without a sign."""
        return _points(self.reach).removeprefix("+")

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and what they stand for, in points."""
        values = (-self.reach, -self.reach / 2, 0.0, self.reach / 2, self.reach)
        return [(self.place(each), _points(each)) for each in values]

    def interval(self, effect: Effect) -> Interval | None:
        """An effect on this axis; None where it has no value."""
        if effect.uplift is None or effect.low is None or effect.high is None:
            return None
        return Interval(
            self.place(effect.low),
            self.place(effect.uplift),
            self.place(effect.high),
            effect.says,
            open_low=effect.low < -self.reach,
            open_high=effect.high > self.reach,
        )


def axis(effects: Iterable[Effect]) -> Axis:
    """The narrowest axis of even steps that holds every value, and the intervals as far as twice
    the largest value: an interval that knows nothing must not flatten all others."""
    known = [effect for effect in effects if effect.uplift is not None]
    values = [abs(effect.uplift or 0.0) for effect in known]
    ends = [max(abs(effect.low or 0.0), abs(effect.high or 0.0)) for effect in known]
    needed = max(max(values, default=0), min(max(ends, default=0), 2 * max(values, default=0)))
    return Axis(next((step for step in _STEPS if step >= needed), 1.0))


def shares(values: Sequence[float]) -> list[float]:
    """Lengths of bars, from 0 to 100, the longest of them 100."""
    most = max(values, default=0)
    return [round(100 * value / most, 1) if most > 0 else 0.0 for value in values]


def heat(value: float, most: float) -> int:
    """One of five shades: 0 for nothing, 5 for the most; the root spreads small values."""
    if value <= 0 or most <= 0:
        return 0
    return max(1, min(5, math.ceil(5 * math.sqrt(value / most))))


def _points(uplift: float) -> str:
    points = 100 * uplift
    said = f"{points:+.0f}" if points == round(points) else f"{points:+.1f}"
    return "0" if not points else said.replace("-", "−")
