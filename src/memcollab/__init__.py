"""MemCollab: one shared memory for LLM agents that run on different models.

It turns the runs that agents on different models already made into short, checked constraints
("When …, enforce …; avoid …"), keeps them in one bank, and gives any agent the few that fit its
next task. This docstring is the map; the folder is the sentence:

    the path of the data
      sources      1  runs from outside → Trajectory: Inspect logs, chat JSONL, anything mapped
      contrast     2  trajectories of one task → Contrast pairs, by recipe
      distill      3  Contrast → drafts: asks the writer model, live, in batch files or replayed
      screen       4  draft → accepted, or refused with a named reason
      merge        5  near-duplicates → one constraint with support
      bank         6  the shared memory: text, provenance, change log, on SQLite
      taxonomy     7  which category is this task? one function files and finds
      recall       8  task + agent + bank → ranked constraints with reasons, or an abstention
      guide        9  constraints → the text that enters a prompt, within a budget
      evidence    10  outcomes → uplift with intervals; who abstains, what is retired, ranked, tried
      collab          the one object users hold; the only file that knows the order above
      bench           lets models attempt tasks in a sandbox; the logs are runs
    what the path stands on
      records, recipe, models, embed, errors, patterns, spans
      scrub           takes secrets and personal data out of all that comes in
    the doors
      settings, cli
      serve           a bank for a whole team: HTTP, web pages, keys, tenants
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memcollab.collab import MemCollab
    from memcollab.errors import MemCollabError
    from memcollab.models import ScriptedModel
    from memcollab.recipe import Recipe
    from memcollab.records import (
        Agent,
        Category,
        Constraint,
        LearnReport,
        Outcome,
        Recall,
        RecallEntry,
        Step,
        Task,
        ToolCall,
        Trajectory,
        Usage,
        Verdict,
    )

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "Category",
    "Constraint",
    "LearnReport",
    "MemCollab",
    "MemCollabError",
    "Outcome",
    "Recall",
    "RecallEntry",
    "Recipe",
    "ScriptedModel",
    "Step",
    "Task",
    "ToolCall",
    "Trajectory",
    "Usage",
    "Verdict",
    "__version__",
]
_ELSEWHERE = {
    "MemCollab": "collab",
    "MemCollabError": "errors",
    "Recipe": "recipe",
    "ScriptedModel": "models",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is asked for: importing this package imports nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_ELSEWHERE.get(name, 'records')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
