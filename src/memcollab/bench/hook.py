"""The hook that guides a task which knows nothing of memory: on by ``MEMCOLLAB_GUIDE_BANK``.

Inspect lets a hook change the messages of a model call before they are sent
(``on_before_model_generate``); that is where guidance enters, and the task's own solver goes on
with its own messages. What follows from it:

* Covered: any solver or agent that calls the evaluated model inside the sample, tool loops
  included. The first call of a sample decides which message puts the task: its last user message.
  Later calls that hold that message hold the guidance, too, so that a conversation stays one.
* Not covered: calls of other models (graders, simulated users) and calls while scoring; agents
  that do not call through Inspect; messages rewritten between two calls.
* A sample that a solver of MemCollab guides already is left alone, and so are those of ``memcollab
  bench``: there the arm decides what is shown, and one of them shows nothing.

A hook that raises is a warning in Inspect, and the sample goes on. So the bank is opened where
raising does stop the evaluation, in ``enabled``, before the first sample; a recall that fails later
leaves its sample without guidance, and its metadata says why.

What belongs to a sample is kept in a context variable: each sample runs in a task of its own, and
Inspect calls the hooks of a sample there.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass

from inspect_ai.hooks import (
    BeforeModelGenerate,
    Hooks,
    RunEnd,
    SampleAttemptStart,
    SampleEnd,
    SampleScoring,
    hooks,
)
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, ChatMessageAssistant
from inspect_ai.solver import TaskState
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from memcollab.bench.guided import (
    Given,
    Guide,
    any_open,
    close_all,
    insert,
    last_user_message,
    model_of,
    task_text,
)
from memcollab.errors import MemCollabError, UsageError
from memcollab.guide import Place, strip_guidance
from memcollab.records import Usage

_PREFIX = "MEMCOLLAB_GUIDE_"
_BENCH = "memcollab_digest"  # in the metadata of every sample of ``memcollab bench``


class GuideSettings(BaseSettings):
    """What the hook is told by the environment, ``MEMCOLLAB_GUIDE_*``."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    bank: str = Field(description="path of the bank; the hook is on where it is set")
    agent: str | None = Field(default=None, description="who reads; else the evaluated model")
    harness: str | None = Field(default=None, description="opens constraints of that harness")
    category: str | None = Field(default=None, description="where to file every task")
    limit: int | None = Field(default=None, ge=1, description="constraints at most")
    place: Place = Field(default="after", description="where guidance stands: after or before")
    recipe: str | None = Field(
        default=None, description="default, strict, proven, trial, paper-v1, paper-v2 or single"
    )
    record: bool = Field(default=False, description="record how each guided sample ended")


_NAMES = tuple(_PREFIX + name.upper() for name in GuideSettings.model_fields)


@dataclass
class _Sample:
    """One sample while it runs. ``anchor`` is the message that puts its task: id and text."""

    uuid: str
    text: str
    model: str
    agent: str
    given: Given | None = None
    anchor: tuple[str | None, str] | None = None
    scoring: bool = False


_running: ContextVar[_Sample | None] = ContextVar("memcollab_sample", default=None)


@hooks(name="guide", description="guides each sample from the bank in MEMCOLLAB_GUIDE_BANK")
class GuideHook(Hooks):
    """Recall at the first model call of a sample, insert, say so in the log, record the outcome."""

    def __init__(self) -> None:
        self._told: tuple[str | None, ...] | None = None
        self._guide: Guide | None = None
        self._record = False

    def enabled(self) -> bool:
        """Whether a bank is named; also while a solver has one open, which ``on_run_end`` closes.

        Raises:
            BankError: the bank that is named cannot be used.
            UsageError: a setting has a value that it cannot have.
        """
        if not os.environ.get(_NAMES[0]):
            self._guide, self._told = None, None
            return any_open()
        told = tuple(map(os.environ.get, _NAMES))
        if told != self._told:
            settings, _ = _settings(), _state()
            options = settings.model_dump(exclude={"record"})
            self._guide, self._record = Guide(**options), settings.record
            self._told = told
        return True

    async def on_sample_attempt_start(self, data: SampleAttemptStart) -> None:
        """Note what the sample asks, before its solver changes anything."""
        state = _state()
        if self._guide is None or state is None or _BENCH in state.metadata:
            return
        held = _running.get()
        again = held.given if held is not None and held.uuid == data.sample_id else None
        _running.set(
            _Sample(data.sample_id, task_text(state), str(state.model), model_of(state), again)
        )

    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        """Put the guidance into the messages that are about to be sent."""
        held = _running.get()
        if self._guide is None or held is None or held.scoring or data.model_name != held.model:
            return
        if held.anchor is None and not self._begin(self._guide, held, data.input):
            return
        position = _anchored(data.input, held)
        if held.given is not None and position is not None:
            data.input[:] = insert(data.input, held.given.guidance, position, self._guide.place)

    def _begin(self, guide: Guide, held: _Sample, messages: list[ChatMessage]) -> bool:
        """Find the message that puts the task and recall for it; False where there is none, or
        where it is guided already."""
        position = last_user_message(messages)
        if position is None or any(strip_guidance(each.text) != each.text for each in messages):
            return False
        held.anchor = (messages[position].id, messages[position].text)
        if held.given is None:
            held.given = Given(abstained="the recall failed")
            try:
                held.given = guide.recall(held.text, held.agent)
            except MemCollabError as error:
                held.given = Given(abstained=f"the recall failed: {error}")
                raise  # Inspect makes it a warning
        return True

    async def on_sample_scoring(self, data: SampleScoring) -> None:  # noqa: ARG002
        """Say in the sample's metadata what it was given; no call is guided from here on."""
        held, state = _running.get(), _state()
        if held is None or state is None:
            return
        held.scoring = True
        if held.given is not None:
            state.metadata = {**state.metadata, **held.given.metadata}

    async def on_sample_end(self, data: SampleEnd) -> None:
        """Record how the sample ended, where that is wanted."""
        held = _running.get()
        if self._guide is None or not self._record or held is None or held.given is None:
            return
        if held.given.recall is not None:
            solved, detail = verdict(data.sample)
            self._guide.record(held.given.recall, solved, _usage(data.sample, held.model), detail)

    async def on_run_end(self, data: RunEnd) -> None:  # noqa: ARG002
        """Let go of the banks of this evaluation."""
        close_all()


def _state() -> TaskState | None:
    """The state of the sample that is running."""
    # Not public, and the only way to it from a hook (Inspect 0.3.285). Imported here, so that a
    # release without it costs the hook and nothing else.
    from inspect_ai.solver._task_state import sample_state

    return sample_state()


def _settings() -> GuideSettings:
    try:
        return GuideSettings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{_PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}, "
            f"got {fault['input']!r}"
            for fault in error.errors()
        )
        raise UsageError(
            f"the hook cannot be used: {wrong}. Valid: {', '.join(_NAMES)}. "
            "Next: mend the environment"
        ) from error


def _anchored(messages: list[ChatMessage], held: _Sample) -> int | None:
    """Where the message that puts the task stands, without guidance as yet."""
    if held.anchor is None:
        return None
    name, text = held.anchor
    for number, message in enumerate(messages):
        if message.role == "user" and message.text == text and message.id == name:
            return number
    # A solver may make its messages anew for each call.
    same = (n for n, each in enumerate(messages) if each.role == "user" and each.text == text)
    return next(same, None)


def verdict(sample: EvalSample) -> tuple[bool | None, str | None]:
    """Whether the sample was solved, and why that is not known where it is not.

    Solved is told by the score that counts (``memcollab_scorer``, else the first): ``C`` and 1 are,
    ``I`` and 0 are not; partial credit, several values and what was stopped are no verdict.
    """
    if sample.error is not None:
        return None, f"crashed: {sample.error.message}"
    if sample.limit is not None:
        return None, f"limit: {sample.limit.type}"
    scores = sample.scores or {}
    wanted = str(sample.metadata.get("memcollab_scorer"))
    score = scores.get(wanted) or next(iter(scores.values()), None)
    if score is None:
        return None, "no verdict"
    if isinstance(score.value, str | int | float) and score.value in ("C", "I", 0, 1):
        return score.value in ("C", 1), None
    return None, f"the score {score.value!r} is no verdict"


def _usage(sample: EvalSample, model: str) -> Usage:
    spent = sample.model_usage.get(model)
    cached = (spent.input_tokens_cache_read or 0) if spent else 0
    return Usage(
        turns=sum(isinstance(message, ChatMessageAssistant) for message in sample.messages),
        input_tokens=spent.input_tokens + cached if spent else None,
        output_tokens=spent.output_tokens if spent else None,
        seconds=sample.working_time,
    )
