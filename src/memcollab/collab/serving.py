"""From a task to the constraints that fit it: a fresh index, a decision, a search, what outcomes
say of what was found, the words, and the coins."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from uuid import uuid4

from memcollab.bank import Bank
from memcollab.collab.derived import Derived
from memcollab.collab.experience import Drawn, Experience, Look
from memcollab.embed import Embedder
from memcollab.guide import Guidance, write_guidance
from memcollab.recall import Index, IndexRow, search
from memcollab.recipe import Recipe
from memcollab.records import Agent, Recall, RecallEntry, Task


class Serving:
    """The index over one bank, brought up to date by the bank's versions. It only reads."""

    def __init__(
        self, bank: Bank, derived: Derived, embedder: Embedder, experience: Experience
    ) -> None:
        self._bank = bank
        self._derived = derived
        self._embedder = embedder
        self._experience = experience
        self._index = Index(derived.vectors)
        self._sequence = -1  # before the first change of any bank

    def recall(self, task: Task, agent: Agent, recipe: Recipe, *, coins: bool) -> Recall:
        """What ``agent`` should know for ``task``, as ``MemCollab.recall`` describes it; ``coins``
        are thrown only where an outcome can follow."""
        clock = _Clock()
        known = self._refresh()
        clock.lap("refresh")
        vector = self._embedder.embed([task.text])[0]
        clock.lap("embed")
        decision = self._derived.categoriser.decide(task, vector)
        clock.lap("categorise")
        searched = known.widened(recipe)
        found = search(task, agent, decision, self._index, searched, vector)
        clock.skip(found.timings)
        name, category = f"recall-{uuid4().hex[:20]}", decision.top.name
        picked = known.pick(found.entries, agent, category, recipe.limit, coins=coins)
        clock.lap("evidence")
        guidance = _guidance(picked.entries, recipe)
        # The budget is spent before the coins are thrown: what does not fit is no holdout.
        drawn = Drawn(tuple(e for e in picked.entries if e.constraint.id in guidance.shown))
        if coins:
            drawn = known.draw(name, drawn.entries, agent, category)
            if len(drawn.shown) < len(drawn.entries):
                guidance = _guidance(drawn.shown, recipe)
        clock.lap("guidance")
        return Recall(
            id=name,
            task=task,
            agent=agent,
            decision=decision,
            entries=drawn.entries,
            abstained=found.abstained or picked.abstained,
            withheld=drawn.withheld,
            holdout=drawn.holdout,
            left=picked.left,
            guidance=guidance.text,
            guidance_tokens=guidance.tokens,
            recipe=recipe.name,
            bank_sequence=self._sequence,
            timings=clock.timings,
        )

    def build(self) -> int:
        """Build every part of the index now, not when it is first searched; its constraints."""
        self._refresh()
        for category in self._index.sizes:
            self._index.partition(category)
        return len(self._index)

    def _refresh(self) -> Look:
        """Take in the bank's last changes and outcomes, whoever made them; what outcomes say."""
        versions = self._bank.versions()
        known = self._experience.at(versions.outcomes)
        if versions.sequence == self._sequence:
            return known
        changed = self._bank.index_rows(max(self._sequence, 0))
        ids = {task for row in changed.rows for task in row.task_ids}
        texts = {task.id: task.text for task in self._bank.tasks(ids)} if ids else {}
        self._index.update((IndexRow(row.constraint, row.task_ids) for row in changed.rows), texts)
        self._derived.train()
        self._sequence = changed.sequence
        return known


def _guidance(entries: Sequence[RecallEntry], recipe: Recipe) -> Guidance:
    constraints = [entry.constraint for entry in entries]
    return write_guidance(constraints, recipe.guidance_tokens, recite=recipe.recite)


class _Clock:
    """Milliseconds between laps, by name."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings[name] = round((now - self._last) * 1000, 3)
        self._last = now

    def skip(self, timed: Mapping[str, float]) -> None:
        """Take in laps that were timed elsewhere and begin the next one now."""
        self.timings.update({name: round(spent, 3) for name, spent in timed.items()})
        self._last = time.perf_counter()
