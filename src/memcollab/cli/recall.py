"""``memcollab recall`` and ``memcollab outcome``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from memcollab.cli import options


def recall(
    task: Annotated[str, typer.Argument(help="The task, in words; - reads standard input.")],
    agent: options.AgentName = None,
    harness: options.Harness = None,
    bank: options.BankPath = None,
    recipe: options.RecipeName = None,
    category: Annotated[
        str | None, typer.Option(help="File the task here: name or name/subcategory.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Constraints at most.")] = None,
    as_json: options.Json = False,
) -> None:
    """Give the few constraints that fit a task, by its category first."""
    from memcollab import settings
    from memcollab.cli import show

    chosen = settings.load(bank=bank, recipe=recipe, agent=agent, harness=harness)
    with chosen.collab(create=False) as memory:
        recalled = memory.recall(
            sys.stdin.read() if task == "-" else task,
            agent=chosen.agent,
            harness=chosen.harness,
            category=category,
            limit=limit,
        )
    show.recalled(recalled, as_json=as_json)


def outcome(
    recall_id: Annotated[str, typer.Argument(help="The id that recall gave.")],
    solved: Annotated[
        bool | None,
        typer.Option("--solved/--failed", help="How it ended; neither = unjudged (a crash)."),
    ] = None,
    turns: Annotated[int | None, typer.Option(min=0, help="Model calls that it took.")] = None,
    input_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens read.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens written.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Time that it took.")] = None,
    cost_usd: Annotated[float | None, typer.Option(min=0, help="US dollars that it cost.")] = None,
    detail: Annotated[str | None, typer.Option(help="Anything worth keeping about it.")] = None,
    source: Annotated[
        str,
        typer.Option(help="Who says so, if not to be believed alone.", show_default="you: trusted"),
    ] = "",
    bank: options.BankPath = None,
    as_json: options.Json = False,
) -> None:
    """Report how the task of a recall ended, and what it cost."""
    from memcollab import settings
    from memcollab.cli import show
    from memcollab.records import Usage

    usage = Usage(
        turns=turns,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        seconds=seconds,
        cost_usd=cost_usd,
    )
    with settings.load(bank=bank).collab(create=False) as memory:
        recorded = memory.record_outcome(
            recall_id, solved=solved, usage=usage, detail=detail, source=source
        )
    show.value(recorded, as_json=as_json)
