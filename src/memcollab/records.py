"""The nouns of MemCollab: frozen values, equal by content, addressed by content.

The contract of this module:

* A record is a value. It never changes; ``model_copy(update=…)`` makes another one.
* An id is a hash of what the thing *is*. Where it was found, when it was read, how long it took and
  what it cost are not part of what it is: the same run read from a copy of a file has the same id,
  and ``Bank.verify`` re-derives every id from the stored content.
* A task has no answer field. Only a verdict exists, so neither the writer model, nor an agent,
  nor recall can see a gold answer.
* Changing what goes into an id is a change of format: raise ``RECORD_FORMAT`` and migrate.

Ids read ``<kind>-<20 hex digits>``: 80 bits of SHA-256 over canonical JSON (sorted keys, UTF-8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from math import ceil
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

RECORD_FORMAT = 1
# What a 64-bit column of a database holds.
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]

Role = Literal["system", "user", "assistant", "tool"]
Scope = Literal["reasoning", "harness"]
Status = Literal["active", "quarantined", "retired"]
ContrastKind = Literal[
    "discordant", "same_model", "efficiency", "unsolved", "both_right", "both_wrong", "single"
]


def content_id(kind: str, content: Mapping[str, Any]) -> str:
    """The id of ``content``: ``kind``, a dash, 20 hex digits of SHA-256 over canonical JSON."""
    payload = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return f"{kind}-{hashlib.sha256(payload).hexdigest()[:20]}"


class Record(BaseModel):
    """Base of every record: frozen, strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Category(Record):
    """Where a task belongs: a category of the taxonomy and, if known, one of its subcategories."""

    name: str = Field(min_length=1)
    subcategory: str | None = None

    def __str__(self) -> str:
        return f"{self.name}/{self.subcategory}" if self.subcategory else self.name

    @classmethod
    def parse(cls, label: str) -> Category:
        """Read ``name`` or ``name/subcategory``."""
        name, _, subcategory = label.partition("/")
        return cls(name=name, subcategory=subcategory or None)


class Task(Record):
    """What was to be done. ``key`` is the name that its source gives it, when that tells apart
    tasks of equal text (the same request in two different worlds)."""

    text: str = Field(min_length=1)
    key: str | None = None
    category: Category | None = Field(default=None, description="the label its source brought")

    @cached_property
    def id(self) -> str:
        """Content id over text and key; the label is not part of what the task is."""
        return content_id("task", {"text": self.text, "key": self.key})


class Agent(Record):
    """Who worked: a model inside a harness (the loop, the tools and the answer format around it).

    ``family`` groups models of one origin ("qwen", "gpt"); left out, it is read off the name.
    """

    model: str = Field(min_length=1)
    harness: str | None = None
    family: str = ""

    def model_post_init(self, _context: Any) -> None:
        """Fill ``family`` from the model's name where the source did not say it."""
        if not self.family:
            # Pydantic's own way to set a field of a frozen model while it is being built.
            object.__setattr__(self, "family", family_of(self.model))


class ToolCall(Record):
    """A tool that a model asked for; ``arguments`` is JSON text as the model wrote it."""

    name: str
    arguments: str = "{}"
    id: str | None = None


class Step(Record):
    """One message of a run, in the OpenAI chat form."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Verdict(Record):
    """How a run ended. ``solved is None`` means unjudged: ``reason`` says why (no verdict in the
    source, a crash, a time-out). A crash is not a wrong answer."""

    solved: bool | None
    score: float | None = None
    judge: str | None = None
    reason: str | None = None


class Usage(Record):
    """What something cost: model calls (``turns``), tokens, seconds, US dollars; None = unknown."""

    turns: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    seconds: float | None = Field(default=None, ge=0)
    cost_usd: float | None = Field(default=None, ge=0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: _plus(getattr(self, name), getattr(other, name)) for name in FIELDS})

    @property
    def tokens(self) -> int | None:
        """Tokens in and out together."""
        total: int | None = _plus(self.input_tokens, self.output_tokens)
        return total


FIELDS = tuple(Usage.model_fields)


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a + b


class RunSummary(Record):
    """What contrasting needs to know of a run; light enough to hold a million of them."""

    id: str
    task_id: str
    agent: Agent
    solved: bool | None
    turns: int | None = None
    tokens: int | None = None


class Trajectory(Record):
    """One agent's run on one task.

    ``run`` is the source's own name for the attempt (a trial number, an epoch): two attempts that
    happen to read alike stay two runs. ``shown`` are ids of constraints that the agent was given;
    their text is cut out before learning, so that memory never re-learns itself.
    ``origin`` says where it was read (``file:record``) and is not part of its identity.
    """

    task: Task
    agent: Agent
    steps: tuple[Step, ...]
    verdict: Verdict
    usage: Usage = Usage()
    run: str | None = None
    shown: tuple[str, ...] = ()
    origin: str = ""

    @cached_property
    def id(self) -> str:
        """Content id over task, agent, run name, steps and whether it was solved."""
        return content_id(
            "run",
            {
                "task": self.task.id,
                "agent": [self.agent.model, self.agent.harness],
                "run": self.run,
                "solved": self.verdict.solved,
                "steps": [
                    [
                        step.role,
                        step.content,
                        step.tool_call_id,
                        [[call.name, call.arguments] for call in step.tool_calls],
                    ]
                    for step in self.steps
                ],
            },
        )

    @property
    def turns(self) -> int:
        """Model calls: as the source counted them, else the assistant messages."""
        if self.usage.turns is not None:
            return self.usage.turns
        return sum(step.role == "assistant" for step in self.steps)

    @property
    def summary(self) -> RunSummary:
        return RunSummary(
            id=self.id,
            task_id=self.task.id,
            agent=self.agent,
            solved=self.verdict.solved,
            turns=self.turns,
            tokens=self.usage.tokens,
        )


class Rejected(Record):
    """A record of a source that could not become a trajectory: where, a named reason, a detail."""

    origin: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


class Contrast(Record):
    """Two runs of one task that differ in how they ended, or in what they cost.

    ``preferred`` and ``other`` are trajectory ids. For ``efficiency`` both were solved and
    ``preferred`` took far less; for ``unsolved`` neither was, and what the environment told them
    is the lesson; ``both_right`` and ``both_wrong`` exist in the paper's recipes only. ``single``
    is one run that stands on both sides (recipe ``single``).
    """

    task_id: str
    kind: ContrastKind
    preferred: str
    other: str

    @cached_property
    def id(self) -> str:
        return content_id(
            "contrast", {"kind": self.kind, "preferred": self.preferred, "other": self.other}
        )


class Draft(Record):
    """A constraint as the writer model wrote it, not yet screened."""

    contrast_id: str
    when: str
    enforce: str
    avoid: str
    scope: Scope = "reasoning"

    @cached_property
    def id(self) -> str:
        return content_id("draft", self.model_dump(mode="json"))


class Refusal(Record):
    """Why a draft did not enter the bank: a named reason and the part of it that gave offence."""

    reason: str
    detail: str = ""


class Support(Record):
    """What stands behind a constraint: distinct source tasks, contrasts, and the model families on
    the right and on the wrong side of them."""

    tasks: int = 0
    contrasts: int = 0
    families_right: tuple[str, ...] = ()
    families_wrong: tuple[str, ...] = ()


class Constraint(Record):
    """One entry of the shared memory: "When …, enforce …; avoid …" (paper section 3.2).

    ``scope`` "reasoning" travels to any harness; "harness" speaks of tools and of finishing in the
    one named by ``harness`` and is shown only there.
    """

    when: str
    enforce: str
    avoid: str
    category: Category
    scope: Scope = "reasoning"
    harness: str | None = None
    status: Status = "active"
    support: Support = Support()

    @cached_property
    def id(self) -> str:
        """Content id over the words and where they apply; status and support may change."""
        return content_id(
            "c",
            {
                "when": self.when,
                "enforce": self.enforce,
                "avoid": self.avoid,
                "category": str(self.category),
                "scope": self.scope,
                "harness": self.harness,
            },
        )

    @property
    def text(self) -> str:
        """The sentence that an agent reads."""
        parts = (self.when, self.enforce, self.avoid)
        when, enforce, avoid = (part.rstrip(" .;,") for part in parts)
        return f"When {when}, enforce {enforce}; avoid {avoid}."

    @property
    def anchor(self) -> str:
        """The short text that is embedded: when it applies and what to do."""
        return f"{self.when} {self.enforce}"


class CategoryGuess(Record):
    """One candidate category of a task and how probable it is (0 to 1)."""

    category: Category
    probability: float


class CategoryDecision(Record):
    """How a task was filed: candidates by falling probability, and who decided."""

    guesses: tuple[CategoryGuess, ...]
    method: Literal["label", "classifier", "seed", "model"]

    @property
    def top(self) -> Category:
        return self.guesses[0].category

    @property
    def margin(self) -> float:
        """Probability of the first less that of the second (1.0 when there is one only)."""
        if len(self.guesses) < 2:
            return 1.0
        return self.guesses[0].probability - self.guesses[1].probability


class RecallEntry(Record):
    """A recalled constraint, the parts of its score (each 0 to 1) and the reason in words.

    ``shown`` is how its own coin fell, ``holdout`` with which probability it was to be left out:
    0 = it had none.
    """

    constraint: Constraint
    score: float
    parts: Mapping[str, float]
    reason: str
    shown: bool = True
    holdout: float = Field(default=0.0, ge=0, lt=1)


class Recall(Record):
    """The answer to "what should this agent know before this task?".

    Either ``entries`` were found, or ``abstained`` says why there are none. ``withheld`` marks a
    holdout: they were found and, by a coin of probability ``holdout`` (0 = none was thrown), not
    shown. ``left`` says of constraints that evidence left out why, by id. ``paired`` marks one of
    two runs of an experiment, with and without what was found. ``timings`` are milliseconds by
    stage.
    """

    id: str
    task: Task
    agent: Agent
    decision: CategoryDecision
    entries: tuple[RecallEntry, ...] = ()
    abstained: str | None = None
    withheld: bool = False
    holdout: float = Field(default=0.0, ge=0, lt=1)
    paired: bool = False
    left: Mapping[str, str] = Field(default_factory=dict)
    guidance: str = ""
    guidance_tokens: int = 0
    recipe: str = "default"
    bank_sequence: int = 0
    timings: Mapping[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _coins_can_have_fallen_so(self) -> Self:
        if self.withheld and not self.holdout:
            raise ValueError("what was withheld needs the probability of its coin as holdout")
        if any(not entry.shown and not entry.holdout for entry in self.entries):
            raise ValueError("an entry that was not shown needs the probability of its coin")
        if len({entry.constraint.id for entry in self.entries}) < len(self.entries):
            raise ValueError("each constraint is found once in a recall")
        return self

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the constraints that the agent was shown, in order."""
        if self.withheld:
            return ()
        return tuple(entry.constraint.id for entry in self.entries if entry.shown)


class Outcome(Record):
    """How the task of a recall ended; ``solved is None`` = unjudged (a crash, a time-out).

    ``source`` names who reported it where that is not to be trusted alone (a client of a server);
    "" is trusted.
    """

    recall_id: str
    solved: bool | None
    usage: Usage = Usage()
    detail: str | None = None
    source: str = Field(default="", max_length=256)


class Effect(Record):
    """What outcomes say of one category or constraint, with one agent (None: with all).

    ``uplift`` is the share solved shown less withheld (−1 to 1), ``low`` to ``high`` its interval
    at ``confidence``, valid however often one looks; None without judged outcomes on both sides.
    ``says`` names the claim, ``words`` say it with the numbers.
    """

    subject: str
    agent: str | None
    says: Literal["helps", "hurts", "not known"]
    uplift: float | None
    low: float | None
    high: float | None
    confidence: float
    shown: int
    withheld: int
    unjudged: int
    words: str


class Saving(Record):
    """Tokens, turns and US dollars of a judged outcome, shown less withheld (negative: saved),
    guidance included, compared within agent, category and probability of the coin; with the
    standard error of each difference. None where usage was not reported on both sides. ``shown``
    and ``withheld`` count the outcomes compared by tokens, ``guidance_tokens`` is the mean of those
    shown."""

    tokens: float | None = None
    tokens_error: float | None = None
    turns: float | None = None
    turns_error: float | None = None
    cost_usd: float | None = None
    cost_usd_error: float | None = None
    shown: int = 0
    withheld: int = 0
    guidance_tokens: float = 0.0


class EvidenceReport(Record):
    """Does memory help, whom, where, and how sure is that.

    ``judged`` outcomes of recalls that found something, ``unjudged`` apart; ``compared`` of the
    judged had a coin thrown, and they alone are evidence. ``constraints`` are given with each agent
    and with all. ``retired`` says why evidence retired a constraint, by id. ``spent`` is what
    learning cost. ``summary`` answers in words, ``following`` is what to do next.
    """

    judged: int
    unjudged: int
    compared: int
    categories: tuple[Effect, ...] = ()
    constraints: tuple[Effect, ...] = ()
    retired: Mapping[str, str] = Field(default_factory=dict)
    spent: Usage = Usage()
    saving: Saving = Saving()
    summary: str = ""
    following: str = ""

    @property
    def break_even(self) -> int | None:
        """After how many outcomes the tokens of learning are saved again; None: never, or not
        known."""
        spent, saved = self.spent.tokens, self.saving.tokens
        return None if not spent or saved is None or saved >= 0 else ceil(spent / -saved)


class LearnReport(Record):
    """What a learn did, to the last run: ``seen = judged + unjudged + sum(rejected)``.

    ``known`` are judged runs that the bank held already. The counts of drafts are of the contrasts
    of these runs, whether they were put to the writer now or earlier: ``asked`` says how many now,
    and ``usage`` is what that cost. ``distilled = accepted + sum(refused)``; ``merged`` of the
    accepted joined a constraint whose words are another draft's; ``constraints`` is how many
    constraints stand on these contrasts, of which ``quarantined`` wait for trust in their sources;
    ``retracted`` runs on these tasks teach nothing any more; ``failed`` contrasts have no usable
    answer; ``pending`` requests wait in a batch file.
    """

    seen: int = 0
    judged: int = 0
    unjudged: int = 0
    unjudged_reasons: Mapping[str, int] = Field(default_factory=dict)
    rejected: Mapping[str, int] = Field(default_factory=dict)
    rejections: tuple[Rejected, ...] = Field(default=(), description="the first 1,000, in order")
    skipped_files: tuple[str, ...] = Field(default=(), description="files no source claims")
    scrubbed: Mapping[str, int] = Field(
        default_factory=dict, description="runs by what was taken out of them before all else"
    )
    known: int = 0
    tasks: int = 0
    agents: int = 0
    tasks_mixed: int = 0
    contrasts: Mapping[str, int] = Field(default_factory=dict)
    asked: int = 0
    distilled: int = 0
    accepted: int = 0
    refused: Mapping[str, int] = Field(default_factory=dict)
    merged: int = 0
    constraints: int = 0
    quarantined: int = 0
    retracted: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    pending: int = 0
    tiers: Mapping[str, int] = Field(default_factory=dict)
    usage: Usage = Usage()
    writer: str | None = None
    recipe: str = "default"
    dry_run: bool = False

    @property
    def why_nothing(self) -> str | None:
        """Why nothing was learned, with the next step; None when something was, or when answers
        are awaited, or when nothing was meant to be."""
        if self.constraints or self.pending or self.dry_run:
            return None
        return next(reason for holds, reason in self._reasons() if holds)

    def _reasons(self) -> Iterator[tuple[bool, str]]:
        worst = max(self.rejected, key=lambda reason: self.rejected[reason], default="")
        yield (
            not self.judged + self.unjudged,
            f"no run could be read: {self.seen} seen, {dict(self.rejected)!r} rejected, "
            f"{len(self.skipped_files)} files left aside. Most often: {worst!r}. "
            "Next: memcollab learn PATH --map FILE.toml --preview",
        )
        yield (
            not self.judged,
            f"none of {self.unjudged} runs has a verdict ({dict(self.unjudged_reasons)!r}), so "
            "nothing tells right from wrong. Next: bring `solved` with the runs or in the mapping",
        )
        yield (
            not self.contrasts and self.retracted > 0,
            f"{self.retracted} runs on these {self.tasks} tasks were retracted or rolled back, and "
            "the others make no contrast. Next: memcollab bank log says who did that; "
            "memcollab bank retract --trajectory ID --restore takes it back",
        )
        yield (
            not self.contrasts,
            f"no two of {self.judged} judged runs make a contrast: {self.tasks} tasks, "
            f"{self.agents} agents, {self.tasks_mixed} tasks with a right and a wrong run. Runs of "
            "different models on the same task are needed; a task is the same when its text and "
            "its key are. Next: memcollab learn PATH --preview",
        )
        yield (
            self.failed > 0 and not self.distilled,
            f"the writer {self.writer!r} gave no usable answer to {self.failed} contrasts. First: "
            f"{next(iter(self.failures), '')}. Next: memcollab doctor",
        )
        yield (
            not self.distilled,
            f"the writer {self.writer!r} saw no lesson in the contrasts {dict(self.contrasts)!r}",
        )
        yield (
            True,
            f"all {self.distilled} drafts of {self.writer!r} were refused: {dict(self.refused)!r}. "
            "Next: memcollab bank stats shows each; a stronger writer copies less",
        )


# A family is what the name starts with once the provider's path is gone, but for these, whose names
# hide it. Order matters: the first pattern found anywhere in the name wins.
_FAMILIES = (
    (r"llama|vicuna|lemur|openmath|alpaca", "llama"),
    (r"mi[sx]tral|codestral|devstral|zephyr|eurus", "mistral"),
    (r"qwen|qwq", "qwen"),
    (r"gpt|davinci|\bo[1-9](-|$)|chatgpt|text-bison-openai", "gpt"),
    (r"gemini|gemma|bison|palm|bard", "google"),
    (r"claude", "claude"),
    (r"deepseek", "deepseek"),
    (r"smollm", "smollm"),
)
_NOT_A_LETTER = re.compile(r"[^a-z]+")


def family_of(model: str) -> str:
    """The family of a model, read off its name: ``openai/gpt-4`` → ``gpt``, ``kimi-k2`` → ``kimi``.

    Never empty: a name without letters is its own family.
    """
    name = model.lower().rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    for pattern, family in _FAMILIES:
        if re.search(pattern, name):
            return family
    words = [word for word in _NOT_A_LETTER.split(name) if word]
    return words[0] if words else name or model
