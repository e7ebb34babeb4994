"""Options that several commands share, each said once."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

BankPath = Annotated[
    str | None,
    typer.Option("--bank", "-b", help="Path or URL of the bank.", show_default="memcollab.db"),
]
BanksPath = Annotated[
    str | None,
    typer.Option(
        "--banks", help="Folder of banks, one NAME.db each, or URL of a PostgreSQL of many."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="default, strict, proven, trial, paper-v1, paper-v2 or single."),
]
AgentName = Annotated[
    str | None, typer.Option("--agent", "-a", help="Model that will work on the task.")
]
Harness = Annotated[
    str | None, typer.Option("--harness", help="Harness it works in; opens harness constraints.")
]
Writer = Annotated[
    str | None,
    typer.Option("--writer", "-w", help="Model that distils: provider:model, recorded:FILE."),
]
WriterUrl = Annotated[
    str | None, typer.Option("--writer-url", help="OpenAI-compatible server of the writer.")
]
Mapping = Annotated[
    Path | None, typer.Option("--map", "-m", help="TOML file that says how to read foreign runs.")
]


def actor(by: str | None = None) -> str:
    """Who does it, as a log calls them: whoever is named, else the user of this machine."""
    try:
        return by or getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "operator"
