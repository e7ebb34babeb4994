"""``memcollab learn``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memcollab.cli import options


def learn(
    paths: Annotated[list[Path], typer.Argument(help="Runs: files, archives or folders.")],
    bank: options.BankPath = None,
    writer: options.Writer = None,
    writer_url: options.WriterUrl = None,
    mapping: options.Mapping = None,
    recipe: options.RecipeName = None,
    strongest: Annotated[
        list[str] | None,
        typer.Option(help="Models, strongest first (paper recipes; else read off the runs)."),
    ] = None,
    exclude_agent: Annotated[
        list[str] | None, typer.Option(help="Leave this model's runs out; may be repeated.")
    ] = None,
    max_contrasts: Annotated[
        int | None, typer.Option(min=1, help="Distil at most so many contrasts.")
    ] = None,
    batch_out: Annotated[
        Path | None, typer.Option(help="Write the requests to this file instead of asking.")
    ] = None,
    batch_in: Annotated[
        Path | None, typer.Option(help="Take the answers from this file instead of asking.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Who brings these runs: a person, a team, a folder.", show_default="local"
        ),
    ] = None,
    untrusted: Annotated[
        bool,
        typer.Option(
            "--untrusted",
            help="Quarantine what only such sources support, until enough independent ones do.",
        ),
    ] = False,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Requests to the writer at once.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first run that is rejected.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count runs and contrasts; ask and store nothing.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show the first run as it is read, and stop.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Contrast runs, distil what made the difference, screen, merge and store it."""
    from memcollab import settings
    from memcollab.cli import show
    from memcollab.errors import NothingLearned

    if preview:
        show.preview(paths[0], mapping)
        return
    chosen = settings.load(
        bank=bank,
        writer=writer,
        writer_url=writer_url,
        recipe=recipe,
        parallel=parallel,
        source=source,
        trusted=False if untrusted else None,
    )
    with chosen.collab() as memory, show.progress(quiet=as_json) as progress:
        report = memory.learn(
            *paths,
            writer=chosen.writer,
            writer_url=chosen.writer_url,
            key=chosen.key,
            mapping=mapping,
            strongest_first=strongest or (),
            exclude_agents=exclude_agent or (),
            max_contrasts=max_contrasts,
            batch_out=batch_out,
            batch_in=batch_in,
            parallel=chosen.parallel,
            strict=strict,
            source=chosen.source,
            trusted=chosen.trusted,
            dry_run=dry_run,
            progress=progress,
        )
    show.learn_report(report, as_json=as_json)
    if report.why_nothing:
        raise NothingLearned(report.why_nothing)
