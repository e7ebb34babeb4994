"""Memory in any Inspect task: where guidance enters a prompt, and the solver ``memcollab/guided``.

``insert`` is the one place at which guidance enters a prompt, for every solver and for the hook
(`memcollab.bench.hook`): in the user message that puts the task, after its text, a blank line
between; or before its text, where that is asked for. What stands last weighs most: a model that
would copy the values of a worked call rather than those of its task is better told first
(results/LOG.md).

A bank is asked through ``MemCollab`` alone. It is opened once for all samples of an evaluation,
and the hook lets go of it when the run ends. Recall is plain code of about a millisecond, so that
parallel samples, which share one event loop, need no lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from inspect_ai.model import ChatMessage, ChatMessageUser, ContentText
from inspect_ai.solver import Generate, Solver, TaskState, solver

from memcollab.errors import UsageError
from memcollab.guide import Place

# Loaded where a bank is opened: every evaluation imports this module, as it is where the entry
# point leads, and most know nothing of memory.
if TYPE_CHECKING:
    from memcollab import MemCollab, Usage
    from memcollab.settings import Settings

# Metadata of a sample: guidance that a solver of this package is to insert, and where.
GUIDANCE = "memcollab_guidance"
PLACE = "memcollab_place"


def insert(
    messages: Sequence[ChatMessage], guidance: str, at: int | None = None, place: Place = "after"
) -> list[ChatMessage]:
    """The messages with ``guidance`` after (or before) the text of the last user message, or of the
    message at ``at``; without guidance, the messages as they are. Nothing that is given is changed.

    Raises:
        UsageError: there is guidance and no user message.
    """
    given = list(messages)
    if not guidance:
        return given
    position = last_user_message(given) if at is None else at
    if position is None:
        raise UsageError(
            f"there is no user message to put guidance into, of {len(given)} messages. "
            "Next: give the sample an input"
        )
    message = given[position]
    content = (_behind if place == "after" else _before)(message.content, guidance)
    given[position] = message.model_copy(update={"content": content})
    return given


def last_user_message(messages: Sequence[ChatMessage]) -> int | None:
    """Where it stands; None if there is none."""
    users = (n for n, message in enumerate(messages) if isinstance(message, ChatMessageUser))
    return max(users, default=None)


def _behind(content: str | list[Any], guidance: str) -> str | list[Any]:
    """Of parts, the last text grows; images and the like stay what and where they are."""
    if isinstance(content, str):
        return f"{content}\n\n{guidance}" if content else guidance
    texts = [number for number, part in enumerate(content) if isinstance(part, ContentText)]
    if not texts:
        return [*content, ContentText(text=guidance)]
    last = content[texts[-1]]
    grown = last.model_copy(update={"text": f"{last.text}\n\n{guidance}"})
    return [*content[: texts[-1]], grown, *content[texts[-1] + 1 :]]


def _before(content: str | list[Any], guidance: str) -> str | list[Any]:
    """Of parts, it is the first."""
    if isinstance(content, str):
        return f"{guidance}\n\n{content}" if content else guidance
    return [ContentText(text=f"{guidance}\n\n"), *content]


def inserted(state: TaskState) -> list[ChatMessage]:
    """The sample's messages with the guidance that its metadata holds, if it holds any."""
    guidance = state.metadata.get(GUIDANCE)
    place: Place = "before" if state.metadata.get(PLACE) == "before" else "after"
    return insert(state.messages, guidance if isinstance(guidance, str) else "", place=place)


def task_text(state: TaskState) -> str:
    """The words of the task, as ``memcollab learn`` reads them from the log of the run, so that a
    task is filed and found by the same words: the user's texts, and the choices below them."""
    given = state.input
    if not isinstance(given, str):
        given = "\n\n".join(each.text for each in given if isinstance(each, ChatMessageUser))
    choices = [choice.value for choice in state.choices]
    if not given.strip() or not choices:
        return given
    listed = (f"{chr(ord('A') + number)}) {choice}" for number, choice in enumerate(choices))
    return "\n".join((given, "", *listed))


@dataclass(frozen=True)
class Given:
    """What one sample is given: the guidance, its size, the ids of the constraints in it, and the
    recall they come from; or why there is none."""

    recall: str | None = None
    guidance: str = ""
    tokens: int = 0
    shown: tuple[str, ...] = ()
    abstained: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the log says of it, in the sample's metadata."""
        return {
            "memcollab_recall": self.recall,
            "memcollab_shown": list(self.shown),
            "memcollab_guidance_tokens": self.tokens,
            "memcollab_abstained": self.abstained,
        }


# Banks that are open, by what they were opened with: the samples of an evaluation share one.
_open: dict[Settings, MemCollab] = {}


def any_open() -> bool:
    """Whether a bank is open."""
    return bool(_open)


def close_all() -> None:
    """Let go of every bank; one that is asked again is opened again."""
    while _open:
        _open.popitem()[1].close()


class Guide:
    """One bank, asked for the samples of an evaluation.

    Args:
        bank: path of the bank; else that of the settings (``MEMCOLLAB_BANK``, ``memcollab.toml``).
        agent: who is to read; else the evaluated model, by its name.
        harness: the loop it works in; opens the constraints of that harness.
        category: where to file every task; else it is judged task by task.
        limit: constraints at most; else the recipe's.
        recipe: a recipe's name; else that of the settings.
        place: where guidance stands, ``after`` the text of the task or ``before`` it.

    Raises:
        BankError: there is no bank there, or it cannot be used. Nothing was asked of a model yet.
        UsageError: an option has a value that it cannot have.
    """

    def __init__(
        self,
        bank: str | None = None,
        *,
        agent: str | None = None,
        harness: str | None = None,
        category: str | None = None,
        limit: int | None = None,
        recipe: str | None = None,
        place: Place = "after",
    ) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"limit is {limit!r}. Valid: 1 or more. Next: leave it out for 3")
        if place not in get_args(Place):
            valid = ", ".join(get_args(Place))
            raise UsageError(f"place is {place!r}. Valid: {valid}. Next: leave it out")
        from memcollab.settings import load

        settings = load(bank=bank, harness=harness, recipe=recipe)
        # Inspect changes into the task's folder while it runs.
        self._settings = settings.model_copy(update={"bank": _absolute(settings.bank)})
        self._agent, self._limit, self.place = agent, limit, place
        # Opened now, so that a bank that is not there is said before any sample costs.
        taxonomy = self._memory.taxonomy
        self._category = taxonomy.resolve(category) if category else None

    @property
    def _memory(self) -> MemCollab:
        if self._settings not in _open:
            memory = self._settings.collab(create=False)
            _ = memory.bank, memory.embedder  # both are loaded when first asked for
            _open[self._settings] = memory
        return _open[self._settings]

    def recall(self, text: str, model: str) -> Given:
        """What the agent is given for the task that is put with these words."""
        if not text.strip():
            return Given(abstained="the input has no words")
        recall = self._memory.recall(
            text,
            agent=self._agent or model,
            harness=self._settings.harness,
            category=self._category,
            limit=self._limit,
        )
        if not recall.guidance:
            held = "withheld by a coin" if recall.entries else "no constraint fits the budget"
            return Given(recall.id, abstained=recall.abstained or held)
        return Given(recall.id, recall.guidance, recall.guidance_tokens, recall.shown)

    def record(
        self, recall: str, solved: bool | None, usage: Usage, detail: str | None = None
    ) -> None:
        """Store in the bank how the task of that recall ended."""
        self._memory.record_outcome(recall, solved, usage=usage, detail=detail)


def _absolute(bank: str) -> str:
    return bank if "://" in bank or bank == ":memory:" else str(Path(bank).absolute())


def model_of(state: TaskState) -> str:
    """The name of the evaluated model, as ``memcollab learn`` reads it from the log."""
    given = state.metadata.get("memcollab_model")
    return given if isinstance(given, str) and given else str(state.model)


@solver
def guided(
    bank: str | None = None,
    agent: str | None = None,
    harness: str | None = None,
    category: str | None = None,
    limit: int | None = None,
    recipe: str | None = None,
    place: Place = "after",
) -> Solver:
    """Recall, insert what was recalled, then do what Inspect's ``generate()`` does.

    ``inspect eval task.py --solver memcollab/guided -S bank=team.db``. The options are those of
    `Guide`. The sample's metadata says what was shown: ``memcollab_recall``, ``memcollab_shown``,
    ``memcollab_guidance_tokens``, ``memcollab_abstained``.
    """
    guide = Guide(
        bank,
        agent=agent,
        harness=harness,
        category=category,
        limit=limit,
        recipe=recipe,
        place=place,
    )

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        given = guide.recall(task_text(state), model_of(state))
        state.messages = insert(state.messages, given.guidance, place=place)
        state.metadata = {**state.metadata, **given.metadata}
        return await generate(state)

    return solve
