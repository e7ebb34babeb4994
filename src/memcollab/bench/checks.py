"""What a memory has to be before it is measured: learned whole, and innocent of the test.

A bank that waits for its writer's answers would pass for a memory that does not help; one that
learned from a test task measures the answer being known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from memcollab.bench.suites import Suite, gives_away
from memcollab.collab import MemCollab
from memcollab.errors import UsageError
from memcollab.records import Task
from memcollab.scrub import Scrubber

_NOTHING = "for which no writer has answered yet"


def lacking(bank: Path, suites: Sequence[Suite], unanswered: int = 0) -> str | None:
    """What has still to be learned into a bank, in words that follow its name; None where it is
    whole.

    Args:
        suites: of each that has build tasks, runs have to be in the bank.
        unanswered: requests of each suite that may stay without an answer.
    """
    if not bank.exists():
        return _NOTHING
    with MemCollab(bank, create=False) as collab:
        contrasts = collab.bank.contrasts()
        answered = {answer.contrast_id for answer in collab.bank.answers()}
        texts = {task.id: task.text for task in collab.bank.tasks()}
    if not answered:
        return _NOTHING
    names = {_kept(task.task): suite.name for suite in suites for task in suite.build}
    held = {names.get(text) for text in texts.values()}
    for suite in suites:
        if suite.build and suite.name not in held:
            return f"which holds no run of the build tasks of {suite.name!r}"
    waiting = Counter(
        names.get(texts[each.task_id], "another experiment")
        for each in contrasts
        if each.id not in answered
    )
    over = [f"{name}: {number}" for name, number in waiting.items() if number > unanswered]
    if over:
        return f"where requests to the writer have no answer ({', '.join(sorted(over))})"
    return None


def judged_agents(bank: Path) -> set[str]:
    """The agents of whose recalls outcomes are in a bank."""
    with MemCollab(bank, create=False) as collab:
        return {agent for _, agent in collab.bank.evidence().categories}


def _kept(text: str) -> str:
    """The text of a task as a bank keeps it."""
    return Scrubber().task(Task(text=text)).text


def refuse_contaminated(bank: Path, suites: Sequence[Suite], *, shows_runs: bool = False) -> None:
    """See that no constraint of a bank was learned from a test task, and no outcome is of one,
    near-duplicates included; where runs are shown as they were (``shows_runs``), that no test task
    is in the bank at all.

    Raises:
        UsageError: one was; what holds it and the task are named.
    """
    asked = [task for suite in suites for task in suite.test]
    with MemCollab(bank, create=False) as collab:
        rows = collab.bank.index_rows(0).rows
        texts = {task.id: task.text for task in collab.bank.tasks()}
        tried = {judged.recall.task.text for judged in collab.bank.outcomes()}
    held = dict.fromkeys(tried, "an outcome of")
    if shows_runs:
        held |= dict.fromkeys(texts.values(), "runs, which would be shown, of")
    for row in rows:
        learned = f"{row.constraint.id!r}, which was learned from"
        held |= {texts[task_id]: learned for task_id in row.task_ids}
    for text, what in sorted(held.items()):
        for task in asked:
            if gives_away(text, task.task):
                raise UsageError(
                    f"the bank {str(bank)!r} holds {what} the test task {task.task_id!r}: what "
                    "would be measured is the answer being known. Next: learn the bank from build "
                    "tasks only"
                )
