"""The records that many runs share, made once: their tasks and their agents."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from memcollab.records import Agent, Category, Task
from memcollab.sources.rejections import Unfit, shown

UNKNOWN_MODELS: Final = frozenset(["", "none", "null", "unknown", "n/a", "none/none", "?", "..."])
"""Names (in lower case) by which a source says that it does not know the model."""
_SHORT = 4096


def task_record(text: str, key: str | None, label: str | None) -> Task:
    """The task; ``label`` is ``category`` or ``category/subcategory``. Raises: Unfit."""
    if label is not None and not label.partition("/")[0]:
        raise Unfit("wrong-type", f"the category {shown(label)} has no name")
    # long texts are not kept: the cache must stay small
    return (_task if len(text) <= _SHORT else _task.__wrapped__)(text, key, label)


def agent_record(model: str, harness: str | None, family: str = "") -> Agent:
    """The agent. Raises: Unfit ``unknown-model``."""
    if model.strip().lower() in UNKNOWN_MODELS:
        raise Unfit("unknown-model", f"the model's name is {shown(model)}")
    return _agent(model, harness, family)


@lru_cache(maxsize=1024)
def _task(text: str, key: str | None, label: str | None) -> Task:
    return Task(text=text, key=key, category=Category.parse(label) if label else None)


@lru_cache(maxsize=1024)
def _agent(model: str, harness: str | None, family: str) -> Agent:
    return Agent(model=model, harness=harness, family=family)
