"""A conversation that was watched while it went on → the open run of its recall.

What passes here is what any run passes on its way into the bank: secrets are taken out, and the
guidance that memory gave is cut out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memcollab.bank import OpenRun
from memcollab.collab.intake import without_guidance
from memcollab.records import Recall, Trajectory, Usage, Verdict
from memcollab.scrub import Scrubber
from memcollab.sources.messages import after_prompt, read_steps
from memcollab.sources.rejections import Unfit


class Unreadable(ValueError):
    """The messages are in no form that can become steps; it gives the reason, and none of them."""


def open_run(
    recall: Recall, messages: Sequence[Any], usage: Usage, *, asked_at: str, source: str = ""
) -> OpenRun | None:
    """The run of ``recall`` as far as ``messages`` tell it, the last answer among them; None where
    nothing came behind the task yet.

    Args:
        messages: in the OpenAI chat form, or another that ``learn`` reads.
        usage: what the last turn cost.
        asked_at: when it was asked, ISO 8601 in UTC.
        source: who sent it, where that is not to be trusted alone.

    Raises:
        Unreadable: a message has no known role or form.
    """
    try:
        told = read_steps(list(messages))
    except Unfit as problem:
        raise Unreadable(problem.reason) from problem
    whole = Trajectory(
        task=recall.task,
        agent=recall.agent,
        steps=told,
        verdict=Verdict(solved=None, reason="no outcome yet"),
        usage=usage,
        run=recall.id,
        shown=recall.shown,
        origin="proxy",
    )
    # The text of the task is known without its secrets, so the messages are cut after they are.
    clean = without_guidance(Scrubber().run(whole))
    steps = after_prompt(clean.steps, clean.task.text)
    if not steps:
        return None
    return OpenRun(clean.model_copy(update={"steps": steps}), asked_at, source)
