"""Every threshold of the evidence, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """How much is risked, and for what.

    Raises:
        ValueError: a value is out of its range.
    """

    error: float = 0.05
    """Chance that a bank without any true effect ever claims one; also the expected share of false
    ones among the claims. Half is spent on categories, half on constraints. Above 0, below 1."""
    effect: float = 0.1
    """The effect that is looked for (share solved). Others are found, too, a little later."""
    holdout: float = 0.1
    """Where the coins end: the share of recalls, and of entries, that are withheld. 0 = no coins,
    and so no new evidence. At most ``holdout_start``."""
    holdout_start: float = 0.5
    """Where the coins start. 0.5 learns fastest. Below 1."""
    holdout_halved: int = 200
    """Judged outcomes after which a coin's probability is halved, down to ``holdout``."""
    first_chance: int = 20
    """Judged outcomes, over all agents, up to which a new constraint takes one place in front."""
    optimism: float = 0.75
    """Standard deviations that uncertainty adds to a pooled uplift when constraints are ranked."""
    second_chance: float = 2.0
    """Standard deviations that may lift a constraint above showing nothing where none ranks there:
    what fell behind by bad luck would stay there otherwise, for nothing more is heard of it."""
    optimism_fades: int = 300
    """Judged outcomes of a constraint with an agent over which optimism fades and caution grows."""
    caution: float = 1.0
    """Standard deviations by which a constraint that had its time must rank above showing nothing:
    1.0 = it probably (84 %) helps."""
    relevance_step: float = 0.1
    """Candidates whose relevance falls into the same step are equal and are ranked by uplift."""

    def __post_init__(self) -> None:
        _within("error", self.error, 0 < self.error < 1, "above 0 and below 1")
        _within("effect", self.effect, 0 < self.effect <= 1, "above 0 and at most 1")
        fits = 0 <= self.holdout <= self.holdout_start < 1
        _within(
            "holdout", self.holdout, fits, f"from 0 to holdout_start={self.holdout_start!r} < 1"
        )
        _within("holdout_halved", self.holdout_halved, self.holdout_halved > 0, "above 0")
        _within("first_chance", self.first_chance, self.first_chance >= 0, "0 or above")
        _within("optimism", self.optimism, self.optimism >= 0, "0 or above")
        _within("second_chance", self.second_chance, self.second_chance >= 0, "0 or above")
        _within("caution", self.caution, self.caution >= 0, "0 or above")
        _within("optimism_fades", self.optimism_fades, self.optimism_fades > 0, "above 0")
        _within("relevance_step", self.relevance_step, self.relevance_step > 0, "above 0")


def _within(name: str, value: float, fits: bool, valid: str) -> None:
    if not fits:
        raise ValueError(f"{name} must be {valid}, not {value!r}")
