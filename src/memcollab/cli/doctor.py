"""``memcollab doctor``: what works here, what does not, and the next command for each."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from memcollab import __version__
from memcollab.cli import options
from memcollab.errors import MemCollabError

if TYPE_CHECKING:
    from memcollab.settings import Settings


class Check(NamedTuple):
    """One thing looked at: ``bad`` breaks the main job, ``off`` switches a part of it off."""

    name: str
    state: Literal["ok", "off", "bad"]
    detail: str


def doctor(
    bank: options.BankPath = None,
    writer: options.Writer = None,
    writer_url: options.WriterUrl = None,
    as_json: options.Json = False,
) -> None:
    """Check this installation, the bank and the writer; exit 1 when something is broken."""
    from memcollab import settings
    from memcollab.cli import show

    chosen = settings.load(bank=bank, writer=writer, writer_url=writer_url)
    checks = list(_checks(chosen))
    if as_json:
        show.emit({"checks": [check._asdict() for check in checks]})
    else:
        colours = {"ok": "green", "off": "yellow", "bad": "red"}
        for check in checks:
            show.console.print(f"{check.state:4}", style=colours[check.state], end="")
            show.console.print(f" {check.name:10} {check.detail}", markup=False)
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("memcollab", "ok", f"{__version__} on Python {sys.version.split()[0]}")
    for name, look in (("bank", _bank), ("embedder", _embedder), ("writer", _writer)):
        yield _guarded(name, look, settings)
    yield _bench()


def _guarded(name: str, look: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return look(settings)
    except MemCollabError as error:
        return Check(name, "bad", str(error))


def _bank(settings: Settings) -> Check:
    from memcollab.bank import Bank

    if "://" not in settings.bank and not Path(settings.bank).exists():
        detail = f"{settings.bank!r} is not there yet. Next: memcollab learn RUNS --writer MODEL"
        return Check("bank", "off", detail)
    with Bank.open(settings.bank, create=False) as bank:
        active, name = bank.stats().by_status.get("active", 0), bank.name
    return Check("bank", "ok", f"{name!r} holds {active} active constraints")


def _embedder(settings: Settings) -> Check:
    with settings.collab(create=False) as memory:
        embedder = memory.embedder
        embedder.embed(["is anybody there?"])
    return Check("embedder", "ok", f"{embedder.name}, {embedder.dim} dimensions")


def _writer(settings: Settings) -> Check:
    from memcollab.models import Prompt, model_named

    if not settings.writer:
        return Check("writer", "off", "none named. Next: memcollab learn RUNS --writer MODEL")
    model = model_named(settings.writer, url=settings.writer_url, key=settings.key)
    if settings.writer.startswith("recorded:"):
        return Check("writer", "ok", f"answers recorded from {model.name!r}")
    answer = asyncio.run(model.ask(Prompt("doctor", "Answer in one word.", "Are you there?")))
    return Check("writer", "ok", f"{model.name!r} answered {answer.text[:40]!r}")


def _bench() -> Check:
    if find_spec("inspect_ai") is None:
        return Check("bench", "off", "not installed. Next: pip install 'memcollab[bench]'")
    if shutil.which("bwrap") is None:
        return Check("bench", "off", "no bubblewrap. Next: apt-get install bubblewrap")
    return Check("bench", "ok", "Inspect AI and bubblewrap are here")
