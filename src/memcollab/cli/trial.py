"""``memcollab trial``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memcollab.cli import options


def trial(
    agent: Annotated[
        list[str],
        typer.Option(help="MODEL@URL of an OpenAI-compatible server, or a name Inspect knows."),
    ],
    budget: Annotated[int, typer.Option(min=1, help="Model calls at most, logs included.")],
    tasks: Annotated[
        Path | None, typer.Argument(help="Tasks, one JSON object a line; or --suite.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="Built-in suite whose build tasks are tried on.")
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of a quarantined constraint, or its beginning; may be repeated.",
            show_default="all that await a trial",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the benchmarks' files; without it they come from the hub."),
    ] = None,
    bank: options.BankPath = None,
    recipe: options.RecipeName = None,
    log_dir: Annotated[Path, typer.Option(help="Where the Inspect logs go.")] = Path("trial"),
    sandbox: Annotated[
        str, typer.Option(help="bubblewrap; or none: model-written code runs unconfined.")
    ] = "bubblewrap",
    turns: Annotated[int, typer.Option(min=1, help="Model calls per attempt at most.")] = 5,
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens per turn at most.")] = 512,
    temperature: Annotated[float, typer.Option(min=0, help="Of every call.")] = 0.0,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            help="Of the order and the model's server; may be repeated.", show_default="0"
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 2,
    dry_run: Annotated[bool, typer.Option(help="Show the plan; run nothing.")] = False,
    as_json: options.Json = False,
) -> None:
    """Admit new constraints that help on tasks they were not learned from; refuse the others."""
    from memcollab import settings
    from memcollab.bench.roster import AgentSpec
    from memcollab.bench.trial import Conditions, Trial, pool
    from memcollab.cli import show

    seeds = tuple(seed or (0,))
    name, found = pool(suite, tasks, data, seeds[0])
    chosen = settings.load(bank=bank, recipe=recipe)
    with chosen.collab(create=False) as memory, show.progress(quiet=as_json or dry_run) as tick:
        conditions = Conditions(
            suite=name,
            tasks=found,
            agents=[AgentSpec.parse(each) for each in agent],
            budget=budget,
            log_dir=log_dir,
            seeds=seeds,
            turns=turns,
            max_tokens=max_tokens,
            temperature=temperature,
            sandbox=sandbox,
            parallel=parallel,
            progress=tick and (lambda done: tick(done.model, done.done, done.total)),
        )
        asked = Trial(memory, conditions, constraint or ())
        if dry_run or not as_json:
            show.trial(asked.plan(), as_json=as_json)
        if not dry_run:
            show.trial(asked.run(), as_json=as_json)
