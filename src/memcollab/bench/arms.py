"""The arms of an experiment: where the guidance comes from, all else being equal.

| arm | memory |
|---|---|
| ``none`` | no memory |
| ``own`` | of the agent's own runs, one by one (recipe ``single``) |
| ``other`` | of another builder's runs, the same way: naive transfer |
| ``self-contrast`` | of the agent's own runs, contrasted with each other |
| ``paper-v1`` | the paper's recipe within the experiment's limits, of all builders' runs |
| ``default`` | MemCollab, recipe ``default``, of all builders' runs |
| ``proven`` | the same, shown where it helped the agent at build tasks, beyond its interval |
| ``examples`` | no constraints: the run that solved the most similar build task, shown as it was |
| ``random`` | as many constraints of ``default``'s bank as it would recall, drawn at random |
| ``wrong-category`` | recall from ``default``'s bank, told a wrong category |

The same writer, contrasts per suite, entries and guidance tokens serve every arm, so that only the
source differs. Memory enters through the public door (`memcollab.MemCollab`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from memcollab.bench.tasks import BenchTask
from memcollab.collab import MemCollab
from memcollab.guide import Place, count_tokens, fence, write_guidance
from memcollab.recall import same_task
from memcollab.recipe import Recipe
from memcollab.records import Agent, Category, Constraint, RunSummary, Trajectory

Source = Literal["all", "own", "other"]
Show = Literal["recall", "random", "wrong-category", "examples"]


class Arm(BaseModel):
    """Where guidance comes from, and where in the prompt it stands. ``runs`` None is no memory;
    what is None elsewhere is as the recipe or the experiment has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    runs: Source | None = "all"
    recipe: str = "default"
    show: Show = "recall"
    limit: int | None = Field(default=None, ge=1)
    categories: Literal["soft", "hard", "none"] | None = None
    min_score: float | None = None
    min_anchor: float | None = None
    place: Place = "after"


ARMS: Mapping[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(name="none", runs=None),
        Arm(name="own", runs="own", recipe="single"),
        Arm(name="other", runs="other", recipe="single"),
        Arm(name="self-contrast", runs="own"),
        Arm(name="paper-v1", recipe="paper-v1"),
        Arm(name="default"),
        Arm(name="proven", recipe="proven"),
        Arm(name="examples", show="examples"),
        Arm(name="random", show="random"),
        Arm(name="wrong-category", show="wrong-category"),
    )
}


def arm_like(table: Mapping[str, Any]) -> object:
    """A table of an experiment's file: an arm by its fields, or ``like`` another with changes.

    Raises:
        ValueError: it is like an arm that there is not.
    """
    changes = dict(table)
    like = changes.pop("like", None)
    if like is None:
        return changes
    if like not in ARMS:
        raise ValueError(f"there is no arm {like!r} to be like")
    return ARMS[like].model_dump() | changes


@dataclass(frozen=True)
class Memory:
    """Which bank an arm reads: made with ``recipe`` from the runs of ``models``."""

    recipe: str
    models: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return "-".join([self.recipe, *self.models])


def memories(arm: Arm, agent: str, builders: Sequence[str]) -> list[Memory | None]:
    """The memories under which ``agent`` is measured in this arm: one, or for ``other`` one of each
    other builder, or none at all where the agent built nothing it could own. [None] is no memory.
    """
    if arm.runs is None:
        return [None]
    sources: dict[Source, list[tuple[str, ...]]] = {
        "all": [tuple(builders)],
        "own": [(agent,)] if agent in builders else [],
        "other": [(builder,) for builder in builders if builder != agent],
    }
    return [Memory(arm.recipe, models) for models in sources[arm.runs]]


@dataclass(frozen=True)
class Shown:
    """What is given with a task: the text, its size, the ids of its constraints, the category."""

    guidance: str = ""
    tokens: int = 0
    constraints: tuple[str, ...] = ()
    category: str | None = None
    place: Place = "after"


NOTHING = Shown()


@dataclass
class Guide:
    """What one arm shows to one agent, from one bank."""

    arm: Arm
    collab: MemCollab
    agent: Agent

    @classmethod
    def open(
        cls, arm: Arm, bank: Path, agent: Agent, method: Recipe, limit: int, tokens: int
    ) -> Guide:
        """Read the bank at ``bank`` with the recipe ``method``, within the experiment's limits.

        Raises:
            BankError: there is no such bank.
        """
        return cls(
            arm, MemCollab(bank, recipe=_within(method, arm, limit, tokens), create=False), agent
        )

    def show(self, task: BenchTask) -> Shown:
        """What the arm shows for a task, whose id seeds what is drawn at random."""
        return replace(self._chosen(task), place=self.arm.place)

    def _chosen(self, task: BenchTask) -> Shown:
        draw = random.Random(_seed(task.task_id))  # noqa: S311 - a control's choice, no secret
        match self.arm.show:
            case "recall":
                return self._recalled(task.task)
            case "random":
                return self._random(task.task, draw)
            case "wrong-category":
                return self._wrong_category(task.task, draw)
            case "examples":
                text = self._examples.nearest(task.task, self.collab.recipe.guidance_tokens)
                return Shown(text, count_tokens(text) if text else 0)

    def _recalled(self, task: str, category: Category | None = None) -> Shown:
        found = self.collab.recall(task, agent=self.agent, category=category, store=False)
        top = found.decision.top.name
        return Shown(found.guidance, found.guidance_tokens, found.shown, top)

    def _random(self, task: str, draw: random.Random) -> Shown:
        """As many as recall would show, so that the arms differ in fit and not in length."""
        fitting = self._recalled(task)
        number = len(fitting.constraints)
        chosen = draw.sample(self._active, min(number, len(self._active)))
        method = self.collab.recipe
        written = write_guidance(chosen, method.guidance_tokens, recite=method.recite)
        return Shown(written.text, written.tokens, written.shown, fitting.category)

    def _wrong_category(self, task: str, draw: random.Random) -> Shown:
        right = self._recalled(task)
        held = {constraint.category.name for constraint in self._active}
        wrong = sorted(held - {right.category})
        return self._recalled(task, Category(name=draw.choice(wrong))) if wrong else NOTHING

    @cached_property
    def _examples(self) -> _Examples:
        return _Examples(self.collab)

    @cached_property
    def _active(self) -> list[Constraint]:
        found = self.collab.bank.constraints(status="active")
        return sorted(found, key=lambda constraint: constraint.id)


class _Examples:
    """Solved runs of a bank by the meaning of their tasks."""

    def __init__(self, collab: MemCollab) -> None:
        self._collab = collab
        solved = [run for run in collab.bank.summaries() if run.solved]
        # Of several solved runs of a task the one that took least stands for it.
        least = {run.task_id: run.id for run in sorted(solved, key=_dearest_first)}
        texts = {task.id: task.text for task in collab.bank.tasks(set(least))}
        self._runs = [least[task_id] for task_id in texts]
        self._texts = list(texts.values())
        self._vectors = collab.embedder.embed(self._texts) if texts else None

    def nearest(self, task: str, budget: int) -> str:
        """The run that solved the most similar other task, within ``budget`` tokens; "" if none."""
        if self._vectors is None:
            return ""
        scores = self._vectors @ self._collab.embedder.embed([task])[0]
        for place in np.argsort(-scores):
            if not same_task(task, self._texts[place]):
                run = self._collab.bank.trajectory(self._runs[place])
                return _as_example(run, budget)
        return ""


def _as_example(run: Trajectory, budget: int) -> str:
    names = {"assistant": "Agent", "user": "Environment", "tool": "Result"}
    said = [f"{names.get(step.role, step.role)}: {step.content.strip()}" for step in run.steps]
    lines = "\n".join(
        [f"A similar task: {run.task.text}", "How it was solved:", *said]
    ).splitlines()
    while lines and count_tokens(fence("\n".join(lines))) > budget:
        lines.pop()
    return fence("\n".join(lines)) if lines else ""


def _dearest_first(run: RunSummary) -> tuple[float, float, str]:
    return -(run.turns or 0), -(run.tokens or 0), run.id


def _within(method: Recipe, arm: Arm, limit: int, tokens: int) -> Recipe:
    changes: dict[str, Any] = {
        "limit": arm.limit or limit,
        "guidance_tokens": tokens,
        "categories": arm.categories,
        "min_score": arm.min_score,
        "min_anchor": arm.min_anchor,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return method.model_copy(update=given)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
