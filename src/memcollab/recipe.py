"""Named settings of the method. A recipe is a value: what it does not name, it does not change.

``paper-v1``  MemCollab v1 (arXiv 2603.23234, 24 Mar 2026) to the letter: the weak model's run is
              preferred where it was right, else the strong model's; nothing is filtered, merged or
              refused; recall by hard category and TF-IDF between tasks, 3 tasks × 3 entries.
``paper-v2``  v2 (28 May 2026): any number of models; a correct run is preferred, else the strongest
              model's, contrasted with each of the others.
``default``   discordant pairs of different models first, spread over model families; efficiency
              contrasts where both were right at very different cost; drafts screened and merged;
              recall soft over categories, few entries, abstains below a threshold.
``proven``    ``default``, but an agent is guided only in categories where outcomes have proven that
              it helps; elsewhere a holdout's share is shown, to find out.
``trial``     ``default``, but new constraints are quarantined until a trial has admitted them.
``single``    one run at a time, nothing beside it: what memory from a model's own runs usually is.
              For comparison; all but the pairing is as in ``default``.

The threshold values of ``default`` were chosen on validation tasks only; design/recall.md has the
measurements.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from memcollab.errors import UsageError
from memcollab.evidence import Rules, TrialRules


class Recipe(BaseModel):
    """Every named setting of the method, with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="how a bank and a report call it")
    # contrast
    pairing: Literal["discordant", "paper-v1", "paper-v2", "single"] = Field(
        default="discordant", description="which runs of a task are put beside each other"
    )
    max_contrasts_per_task: int | None = Field(default=4, description="None = all pairs")
    efficiency_ratio: float | None = Field(
        default=2.0,
        description="a both-solved pair is an efficiency contrast if one run took at least this "
        "many times the turns (or, at equal turns, the tokens) of the other; None = never",
    )
    max_efficiency_per_task: int = Field(default=1, description="efficiency contrasts of a task")
    max_unsolved_per_task: int = Field(
        default=0,
        description="pairs of wrong runs of a task that nobody solved, for what the environment "
        "told them; 0 = such tasks teach nothing",
    )
    # distil
    max_entries: int = Field(default=3, description="constraints per contrast; the paper's K")
    run_budget: int = Field(default=1500, description="tokens of each run that the writer sees")
    worked_calls: bool = Field(
        default=False,
        description="a constraint about a tool's function shows one call of it, on values that the "
        "writer invents",
    )
    # screen, merge
    screen: bool = Field(default=True, description="refuse drafts by the named reasons")
    merge: bool = Field(default=True, description="join near-duplicates of a category")
    merge_similarity: float = Field(
        default=0.80, description="cosine of two constraints of a category that are one"
    )
    independent_sources: int = Field(
        default=2,
        ge=1,
        description="a constraint from untrusted sources is quarantined until so many independent "
        "ones support it: other uploaders, other families, other texts",
    )
    # recall
    retrieval: Literal["fused", "paper"] = Field(
        default="fused", description="weighted parts, or the paper's TF-IDF between tasks"
    )
    categories: Literal["soft", "hard", "none"] = Field(
        default="soft", description="search the likeliest two when unsure, only one, or all"
    )
    soft_margin: float = Field(
        default=0.4, description="below this margin the second category is searched too"
    )
    limit: int = Field(default=3, description="constraints at most")
    paper_tasks: int = Field(default=3, description="source tasks of the paper's retrieval; its p")
    min_score: float = Field(default=0.25, description="below this recall abstains")
    min_anchor: float = Field(
        default=0.0,
        description="a constraint is passed over if its own words (when, enforce) are less than "
        "this alike in meaning to the task, whatever the tasks that it was learned from",
    )
    max_overlap: float = Field(
        default=0.75, description="cosine above which a second entry says the same"
    )
    guidance_tokens: int = Field(default=400, description="budget of the guidance text")
    recite: bool = Field(
        default=False,
        description="ask an agent that thinks aloud to say first which lessons apply: costs a turn "
        "or so; a model too small to go on from there only repeats itself",
    )
    # evidence
    evidence: Rules | None = Field(
        default=Rules(),
        description="thresholds by which outcomes decide what is shown; None = outcomes decide "
        "nothing",
    )
    # admission
    admission: Literal["screen", "trial"] = Field(
        default="screen",
        description="what a new constraint has to pass before it is shown: the screen, or a trial "
        "on tasks that it was not learned from, too (`memcollab trial`)",
    )
    trial: TrialRules = Field(
        default=TrialRules(), description="thresholds of a trial; used by `memcollab trial` alone"
    )


DEFAULT = Recipe(name="default")
PAPER_V1 = Recipe(
    name="paper-v1",
    pairing="paper-v1",
    max_contrasts_per_task=None,
    efficiency_ratio=None,
    screen=False,
    merge=False,
    retrieval="paper",
    categories="hard",
    limit=9,
    guidance_tokens=1200,
    evidence=None,
)
PAPER_V2 = PAPER_V1.model_copy(update={"name": "paper-v2", "pairing": "paper-v2"})
STRICT = DEFAULT.model_copy(update={"name": "strict", "min_anchor": 0.45})
PROVEN = DEFAULT.model_copy(update={"name": "proven", "evidence": Rules(proven=True)})
TRIAL = DEFAULT.model_copy(update={"name": "trial", "admission": "trial"})
SINGLE = DEFAULT.model_copy(update={"name": "single", "pairing": "single"})

RECIPES = {
    recipe.name: recipe for recipe in (DEFAULT, STRICT, PROVEN, TRIAL, PAPER_V1, PAPER_V2, SINGLE)
}


def recipe(name: str | Recipe) -> Recipe:
    """The recipe of that name (a recipe is returned as it is).

    Raises:
        UsageError: no recipe has that name.
    """
    if isinstance(name, Recipe):
        return name
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(
            f"there is no recipe {name!r}. Valid: {', '.join(sorted(RECIPES))}. "
            "Next: memcollab learn --recipe default"
        ) from None
