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
from collections.abc import Collection, Mapping, Sequence
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

from memcollab.bench.arms import ARMS, Arm, Show, Source, arm_like
from memcollab.bench.evaluate import Harness, Settings
from memcollab.bench.roster import AgentSpec, check_agents
from memcollab.bench.suites import Choice, Suite, choose
from memcollab.bench.tables import BASELINE
from memcollab.errors import UsageError
from memcollab.recipe import DEFAULT, Recipe, recipe

SAMPLING_TEMPERATURE = 0.7
_RUNS: Mapping[Source, str] = {
    "all": "all builders'",
    "own": "the agent's own",
    "other": "another builder's",
}
_SHOWS: Mapping[Show, str] = {
    "recall": "what recall finds",
    "random": "as many, at random",
    "wrong-category": "recall in a wrong category",
    "examples": "a solved run",
}


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

    def part(
        self,
        arms: Collection[str] = (),
        suites: Collection[str] = (),
        agents: Collection[str] = (),
    ) -> Self:
        """The same of these arms, suites and measured agents alone; of none named, of all. The arm
        without memory stays: it is what the others are compared with.

        Raises:
            UsageError: the experiment has no such arm, suite or agent.
        """
        measured = {AgentSpec.parse(each).name: each for each in self.agents}
        _refuse_strange("arm", arms, [arm.name for arm in self.arms])
        _refuse_strange("suite", suites, [each.name for each in self.suite])
        _refuse_strange("agent", agents, list(measured))
        kept = {
            "arms": tuple(x for x in self.arms if not arms or x.name in {BASELINE, *arms}),
            "suite": tuple(x for x in self.suite if not suites or x.name in suites),
            "agents": tuple(x for n, x in measured.items() if not agents or n in agents),
        }
        return self.model_copy(update=kept)

    @property
    def series(self) -> list[list[tuple[str, str]]]:
        """Arms that differ in the number of entries alone, from few to many: (number, arm)."""
        alike: dict[str, list[tuple[int, str]]] = {}
        for arm in self.arms:
            if arm.runs is not None and arm.show != "examples":
                rest = arm.model_copy(update={"name": "-", "limit": None}).model_dump_json()
                alike.setdefault(rest, []).append((arm.limit or self.limit, arm.name))
        return [
            [(str(limit), name) for limit, name in sorted(found)]
            for found in alike.values()
            if len({limit for limit, _ in found}) > 1
        ]

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

    def proves(self, arm: Arm) -> bool:
        """Whether what an arm shows has to be proven to help first (`Rules.proven`)."""
        rules = self.recipe_of(arm.recipe).evidence
        return arm.runs is not None and rules is not None and rules.proven

    def told(self) -> dict[str, str]:
        """The settings, as a report tells them."""
        names = "builders agents harness turns max_tokens temperature seeds choice_seed contrasts"
        given = {name: getattr(self, name) for name in [*names.split(), "limit", "guidance_tokens"]}
        built = [each for each in self.suite if each.build]
        given["build_tasks"] = tuple(f"{each.name} {each.build}" for each in built) or "none"
        given["test_tasks"] = tuple(f"{each.name} {each.test}" for each in self.suite)
        given["build_seeds"] = (
            tuple(f"{each.name} {' '.join(map(str, each.build_seeds))}" for each in built) or "none"
        )
        if any(len(each.build_seeds) > 1 for each in built):
            given["temperature_of_further_build_seeds"] = SAMPLING_TEMPERATURE
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

    def arms_told(self) -> list[dict[str, str]]:
        """Whose runs, which recipe and which limits each arm has, as a report tells them."""
        return [self._arm_told(arm) for arm in self.arms]

    def _arm_told(self, arm: Arm) -> dict[str, str]:
        if arm.runs is None:
            rest = "runs recipe shows entries tokens place otherwise".split()
            return {"arm": arm.name} | dict.fromkeys(rest, "–")
        method = self.recipe_of(arm.recipe)
        entries = str(arm.limit or self.limit)
        return {
            "arm": arm.name,
            "runs": _RUNS[arm.runs],
            "recipe": arm.recipe,
            "shows": _SHOWS[arm.show],
            "entries": "1 run" if arm.show == "examples" else entries,
            "tokens": str(self.guidance_tokens),
            "place": arm.place,
            "otherwise": "; ".join(self._deviations(arm, method)) or "–",
        }

    def _deviations(self, arm: Arm, method: Recipe) -> list[str]:
        """In what an arm is not what its name may promise."""
        told = []
        limits = method.limit, method.guidance_tokens
        if limits != (DEFAULT.limit, DEFAULT.guidance_tokens):
            told.append(
                f"the recipe has {method.limit} entries and {method.guidance_tokens:,} tokens"
            )
        if method.pairing == "single":
            told.append("the writer is asked about one run, in other words than about two")
        told += [f"{name} = {value!r}" for name, value in self.recipe.items()]
        own = ("categories", "min_score", "min_anchor")
        told += [f"{name} = {v!r}" for name in own if (v := getattr(arm, name)) is not None]
        return told

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


def _refuse_strange(what: str, named: Collection[str], valid: Sequence[str]) -> None:
    strange = sorted(set(named) - set(valid))
    if strange:
        raise UsageError(
            f"the experiment has no {what} {strange[0]!r}. Valid: {', '.join(valid)}. "
            f"Next: --{what} with one of these"
        )


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
