"""``memcollab evidence``."""

from __future__ import annotations

from memcollab.cli import options


def evidence(
    bank: options.BankPath = None,
    recipe: options.RecipeName = None,
    as_json: options.Json = False,
) -> None:
    """Say whether memory helps, whom, where, how sure that is, and whether it pays."""
    from memcollab import settings
    from memcollab.cli import show

    with settings.load(bank=bank, recipe=recipe).collab(create=False) as memory:
        show.evidence(memory.evidence(), as_json=as_json)
