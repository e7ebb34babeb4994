"""An experiment as evidence: attempts with an arm's memory beside the same attempts without.

Every task was attempted both ways, so no coin was thrown, and none is claimed. Each pair becomes
two recalls that say so (``Recall.paired``), one that showed what the arm showed and one that
withheld it, with what came of them. Evidence compares them with each other only, as if a balanced
coin had fallen: each side is one half by design. That takes no credit for the pairing itself (the
same task on both sides), which can only make the intervals too wide. Where several constraints were
shown together, each shares in what all of them did: only coins of their own tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memcollab.bank import Bank
from memcollab.bench.attempts import Attempt
from memcollab.bench.plan import Done, Name, Planned, attempts
from memcollab.bench.tables import BASELINE
from memcollab.errors import NotFound, UsageError
from memcollab.records import (
    Agent,
    Category,
    CategoryDecision,
    CategoryGuess,
    Constraint,
    Outcome,
    Recall,
    RecallEntry,
    Record,
    Task,
    Usage,
    content_id,
)
from memcollab.scrub import Scrubber

_BALANCED = 0.5

Place = tuple[str, str, str, int]  # suite, agent, task, seed
Ended = tuple[Recall, Outcome]


class PairedReport(Record):
    """What of an arm became evidence: pairs that are new, and those that the bank had already.
    ``alone`` attempts have no partner with a verdict, or none themselves; ``unguided`` were shown
    nothing."""

    arm: str
    new: int = 0
    known: int = 0
    alone: int = 0
    unguided: int = 0


@dataclass(frozen=True)
class Pair:
    """One attempt with an arm's memory, and the same without."""

    planned: Planned
    shown: Attempt
    withheld: Attempt


def record(
    bank: Bank,
    arm: str,
    planned: Sequence[Planned],
    done: Mapping[Name, Done],
    harness: str | None = None,
) -> PairedReport:
    """Store the pairs of ``arm`` in ``bank`` as recalls with outcomes; again changes nothing.

    Raises:
        UsageError: the experiment has no such arm with a memory, it reads several memories for one
            agent, or the bank does not hold what it showed.
    """
    mine = _of_arm(arm, planned)
    held = dict(_attempts(planned, done))
    without = {_place(each): each for each in held.values() if each.arm == BASELINE}
    guided = [each for each in mine if each.shown.constraints]
    pairs = [pair for each in guided if (pair := _pair(each, held, without)) is not None]
    constraints = _constraints(bank, arm, pairs)
    ended = [side for pair in pairs for side in _sides(pair, constraints, harness)]
    added = bank.add_outcomes(ended)
    return PairedReport(
        arm=arm,
        new=added.new // 2,
        known=added.known // 2,
        alone=len(guided) - len(pairs),
        unguided=len(mine) - len(guided),
    )


def _of_arm(arm: str, planned: Sequence[Planned]) -> list[Planned]:
    mine = [each for each in planned if each.arm == arm]
    arms = sorted({each.arm for each in planned if each.source})
    if arm not in arms:
        raise UsageError(
            f"the experiment has no arm {arm!r} with a memory. Valid: {', '.join(arms)}"
        )
    places = {(each.suite, each.agent.name, each.task.task_id, each.settings.seed) for each in mine}
    if len(places) < len(mine):
        raise UsageError(
            f"an agent of the arm {arm!r} reads several memories, and an attempt without any is "
            "the partner of one. Next: an arm of one memory, such as 'default'"
        )
    return mine


def _attempts(
    planned: Sequence[Planned], done: Mapping[Name, Done]
) -> Iterator[tuple[tuple[str, Place], Attempt]]:
    for each in attempts(planned, done):
        yield (each.arm, _place(each)), each


def _place(attempt: Attempt) -> Place:
    return attempt.suite, attempt.agent, attempt.task_id, attempt.seed


def _pair(
    planned: Planned,
    held: Mapping[tuple[str, Place], Attempt],
    without: Mapping[Place, Attempt],
) -> Pair | None:
    place = planned.suite, planned.agent.name, planned.task.task_id, planned.settings.seed
    shown, withheld = held.get((planned.arm, place)), without.get(place)
    if shown is None or withheld is None or not (shown.judged and withheld.judged):
        return None
    return Pair(planned, shown, withheld)


def _constraints(bank: Bank, arm: str, pairs: Sequence[Pair]) -> dict[str, Constraint]:
    ids = sorted({each for pair in pairs for each in pair.shown.constraints})
    try:
        return {each: bank.constraint(each) for each in ids}
    except NotFound as error:
        raise UsageError(
            f"the bank {str(bank.path)!r} does not hold what the arm {arm!r} showed: {error}. "
            "Next: memcollab bank import an export of the arm's own bank"
        ) from error


def _sides(
    pair: Pair, constraints: Mapping[str, Constraint], harness: str | None
) -> Iterator[Ended]:
    for attempt in (pair.shown, pair.withheld):
        withheld = attempt is pair.withheld
        recall = _recall(pair, [constraints[each] for each in pair.shown.constraints], harness)
        if withheld:
            recall = recall.model_copy(
                update={
                    "id": _id(pair, attempt),
                    "withheld": True,
                    "guidance": "",
                    "guidance_tokens": 0,
                }
            )
        yield recall, Outcome(recall_id=recall.id, solved=attempt.solved, usage=_usage(attempt))


def _recall(pair: Pair, constraints: Sequence[Constraint], harness: str | None) -> Recall:
    planned = pair.planned
    filed = Category.parse(planned.shown.category or "-")
    return Recall(
        id=_id(pair, pair.shown),
        task=Scrubber().task(Task(text=planned.task.task)),
        agent=Agent(model=planned.agent.name, harness=harness),
        decision=CategoryDecision(
            guesses=(CategoryGuess(category=filed, probability=1.0),), method="label"
        ),
        entries=tuple(
            RecallEntry(
                constraint=each,
                score=0.0,
                parts={},
                reason=f"shown by the arm {planned.arm!r} of an experiment",
            )
            for each in constraints
        ),
        holdout=_BALANCED,
        paired=True,
        guidance=planned.shown.guidance,
        guidance_tokens=planned.shown.tokens,
    )


def _id(pair: Pair, attempt: Attempt) -> str:
    """The same pair has the same ids, whoever stores it."""
    names = [attempt.agent, pair.shown.key, pair.withheld.key, attempt.key]
    return content_id("recall", {"pair": names})


def _usage(attempt: Attempt) -> Usage:
    return Usage(
        turns=attempt.turns,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        seconds=attempt.seconds,
    )
