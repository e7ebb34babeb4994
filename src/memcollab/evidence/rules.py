"""Every threshold of the evidence, by name."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Rules(BaseModel):
    """How much is risked, and for what; what a recipe carries as ``evidence``.

    Raises:
        ValueError: a value is out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="chance that a bank without any true effect ever claims one, and the expected "
        "share of false ones among the claims; half is spent on categories, half on constraints",
    )
    effect: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="effect that is looked for (share solved); others are found a little later",
    )
    proven: bool = Field(
        default=False,
        description="guide an agent only in categories where its interval lies above 0. Elsewhere "
        "the coin is turned over: the share `holdout` is shown so that it can be proven, and with "
        "no holdout recall abstains",
    )
    holdout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="where the coins end: the share of recalls, and of entries, that are withheld; "
        "0 = no coins, and so no new evidence; at most `holdout_start`",
    )
    holdout_start: float = Field(
        default=0.5, ge=0, lt=1, description="where the coins start; 0.5 learns fastest"
    )
    holdout_halved: int = Field(
        default=200,
        gt=0,
        description="judged outcomes after which a coin's probability is halved, down to `holdout`",
    )
    first_chance: int = Field(
        default=20,
        ge=0,
        description="judged outcomes, over all agents, up to which a new constraint takes one "
        "place in front",
    )
    optimism: float = Field(
        default=0.75,
        ge=0,
        description="standard deviations that uncertainty adds to a pooled uplift in the ranking",
    )
    second_chance: float = Field(
        default=2.0,
        ge=0,
        description="standard deviations that may lift a constraint above showing nothing where "
        "none ranks there: of what is not shown nothing more is heard",
    )
    optimism_fades: int = Field(
        default=300,
        gt=0,
        description="judged outcomes of a constraint with an agent over which optimism fades and "
        "caution grows",
    )
    caution: float = Field(
        default=1.0,
        ge=0,
        description="standard deviations by which a constraint that had its time must rank above "
        "showing nothing: 1.0 = it probably (84 %) helps",
    )
    relevance_step: float = Field(
        default=0.1,
        gt=0,
        description="candidates whose relevance falls into the same step are equal and are ranked "
        "by uplift",
    )
    candidates: int = Field(
        default=20, gt=0, description="constraints that recall finds for the rules to choose among"
    )
    assessed_every: int = Field(
        default=50,
        gt=0,
        description="outcomes after which a bank is assessed again; from 10,000 on about a "
        "hundredth of all",
    )

    @model_validator(mode="after")
    def _holdout_ends_where_it_may(self) -> Self:
        if self.holdout > self.holdout_start:
            raise ValueError(
                f"holdout must be from 0 to holdout_start={self.holdout_start!r}, "
                f"not {self.holdout!r}"
            )
        return self

    def step(self, outcomes: int) -> int:
        """How many outcomes are waited for before a bank that has so many is assessed again."""
        hundreds = outcomes // (100 * self.assessed_every)
        return self.assessed_every << max(0, hundreds.bit_length() - 1)
