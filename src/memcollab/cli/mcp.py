"""``memcollab mcp``."""

from __future__ import annotations

from memcollab.cli import options


def mcp(bank: options.BankPath = None, recipe: options.RecipeName = None) -> None:
    """Serve a bank to an MCP client over standard input and output."""
    from memcollab import settings
    from memcollab.errors import MissingExtra

    try:
        from memcollab.serve.mcp import Alone, build
    except ImportError as error:
        raise MissingExtra("memcollab mcp", "serve") from error

    with settings.load(bank=bank, recipe=recipe).collab() as memory:
        memory.bank  # noqa: B018 - opened now, so that a broken bank is told at once
        build(Alone(memory)).run("stdio")
