"""The description of an experiment: a TOML file that says what is built, learned and measured.

    name = "main"
    builders = ["coder-1.5b@http://127.0.0.1:8101/v1", "coder-0.5b@http://127.0.0.1:8102/v1"]
    agents = ["coder-1.5b@http://127.0.0.1:8101/v1"]
    arms = ["none", "own", "other", "default", {name = "default-k1", like = "default", limit = 1}]

    [[suite]]
    name = "gsm8k"
    build = 80
    test = 50

Everything an experiment makes lies in one folder: ``build/`` (Inspect logs of the build tasks),
``banks/``, ``logs/`` (Inspect logs of the test tasks), ``report/``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from memcollab.bench.arms import ARMS, Arm, arm_like
from memcollab.bench.evaluate import Harness, Settings
from memcollab.bench.roster import AgentSpec, check_agents
from memcollab.bench.suites import Choice, Suite, choose
from memcollab.errors import UsageError
from memcollab.recipe import Recipe, recipe

SAMPLING_TEMPERATURE = 0.7


class SuiteChoice(BaseModel):
    """How many build and test tasks of a suite; ``file`` is a user's own task file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    build: int = Field(default=0, ge=0)
    test: int = Field(default=0, ge=0)
    file: Path | None = None
    contrasts: int | None = Field(
        default=None, ge=1, description="in place of the experiment's, for every memory alike"
    )
    build_seeds: tuple[int, ...] = Field(
        default=(0,),
        min_length=1,
        description="runs of each build task by each builder; all after the first are sampled at "
        f"temperature {SAMPLING_TEMPERATURE}: more is found out, and self-contrast has pairs",
    )
    test_seed: int = Field(
        default=0,
        ge=0,
        description="draws the test part of house-rules anew, to confirm a result on other tasks",
    )


class Experiment(BaseModel):
    """What an experiment is made of. Budgets are the same for every arm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="how the report calls it")
    suite: tuple[SuiteChoice, ...] = Field(min_length=1)
    builders: tuple[str, ...] = Field(description="agents whose runs the memories are made of")
    agents: tuple[str, ...] = Field(min_length=1, description="agents that are measured")
    arms: tuple[Arm, ...] = Field(min_length=1)
    choice_seed: int = Field(default=0, description="of the choice of tasks")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="runs of each test task")
    temperature: float = Field(default=0.0, ge=0, description="of the measured runs")
    harness: Harness = "python-turns"
    turns: int = Field(default=5, ge=1, description="model calls per task at most")
    max_tokens: int = Field(default=512, ge=16, description="tokens per model call at most")
    contrasts: int = Field(default=25, ge=1, description="per suite and memory")
    unanswered: int = Field(
        default=0,
        ge=0,
        description="requests per suite and memory that may stay without an answer: some that a "
        "writer refuses for good",
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict,
        description="settings of the method that are changed alike for every memory",
    )
    limit: int = Field(default=3, ge=1, description="constraints per task at most")
    guidance_tokens: int = Field(default=400, ge=50, description="budget of the guidance")

    @field_validator("arms", mode="before")
    @classmethod
    def _named(cls, arms: object) -> object:
        """An arm by name, or as a table that changes one (``like``)."""
        if not isinstance(arms, list):
            return arms
        return [arm_like(arm) if isinstance(arm, dict) else ARMS.get(arm, arm) for arm in arms]

    @field_validator("arms")
    @classmethod
    def _apart(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        names = [arm.name for arm in arms]
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same name")
        return arms

    @field_validator("recipe")
    @classmethod
    def _known(cls, changes: dict[str, Any]) -> dict[str, Any]:
        kept = sorted({"name", "pairing"} & set(changes))
        if kept:
            raise ValueError(f"{kept[0]!r} is what tells the arms apart, and cannot be changed")
        Recipe.model_validate({"name": "changed", **changes})
        return changes

    @model_validator(mode="after")
    def _shows_what_it_learns(self) -> Self:
        """An experiment makes no trials, so what awaits one would leave its arms empty."""
        for arm in self.arms:
            if arm.runs and self.recipe_of(arm.recipe).admission == "trial":
                raise ValueError(
                    f"the arm {arm.name!r} would be empty: its constraints await a trial, and "
                    "nobody makes one here. Valid: admission = 'screen'"
                )
        return self

    def recipe_of(self, name: str) -> Recipe:
        """The recipe of that name with the experiment's changes."""
        return Recipe.model_validate(recipe(name).model_dump() | self.recipe)

    def specs(self, names: tuple[str, ...]) -> list[AgentSpec]:
        """The agents of these names.

        Raises:
            UsageError: one is not usable, or comes twice.
        """
        specs = [AgentSpec.parse(name) for name in names]
        check_agents(specs)
        return specs

    def measured(self, seed: int) -> Settings:
        """What the measured runs of a seed depend on."""
        return Settings(self.turns, self.max_tokens, self.temperature, seed, self.harness)

    def built(self, suite: str) -> list[Settings]:
        """What the build runs of a suite depend on, seed by seed."""
        seeds = next(each.build_seeds for each in self.suite if each.name == suite)
        return [
            Settings(
                self.turns,
                self.max_tokens,
                SAMPLING_TEMPERATURE if place else 0.0,
                seed,
                self.harness,
            )
            for place, seed in enumerate(seeds)
        ]

    def told(self) -> dict[str, str]:
        """The settings, as a report tells them."""
        names = "builders agents harness turns max_tokens temperature seeds contrasts limit"
        given = {name: getattr(self, name) for name in [*names.split(), "guidance_tokens"]}
        if self.recipe:
            given["method_changed"] = tuple(f"{name} = {v!r}" for name, v in self.recipe.items())
        if own := [each for each in self.suite if each.contrasts]:
            given["contrasts_of"] = tuple(f"{each.name} {each.contrasts}" for each in own)
        # Where a model was served says nothing to a reader.
        return {
            name.replace("_", " "): ", ".join(
                str(each).rpartition("@")[0] or str(each) for each in value
            )
            if isinstance(value, tuple)
            else str(value)
            for name, value in given.items()
        }

    def choose(self, data: Path | None) -> list[Suite]:
        """The tasks of every suite, build and test.

        Raises:
            UsageError: a suite cannot be read or holds too few.
        """
        choices = [
            Choice(each.name, each.build, each.test, each.file, each.test_seed)
            for each in self.suite
        ]
        return choose(choices, data, seed=self.choice_seed)


def load_experiment(path: Path) -> Experiment:
    """Read an experiment's file; a suite's ``file`` is named relative to it.

    Raises:
        UsageError: it cannot be read, or what it says is not valid (each place is named).
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        experiment = Experiment.model_validate(content)
    except OSError as error:
        raise UsageError(f"the experiment {str(path)!r} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the experiment {str(path)!r} is not TOML: {error}") from None
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise UsageError(
            f"the experiment {str(path)!r}: {places}. Arms by name: {', '.join(ARMS)}. "
            "Next: see docs/how-to/run-an-experiment.md"
        ) from None
    suites = tuple(
        each.model_copy(update={"file": each.file and path.parent / each.file})
        for each in experiment.suite
    )
    return experiment.model_copy(update={"suite": suites})
