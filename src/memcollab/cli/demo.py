"""``memcollab demo``: the main job, end to end, on the project's own recorded runs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from memcollab.cli import options
from memcollab.errors import UsageError

if TYPE_CHECKING:
    from memcollab.collab import MemCollab
    from memcollab.records import LearnReport


def demo(
    writer: options.Writer = None,
    writer_url: options.WriterUrl = None,
    bank: Annotated[
        str | None, typer.Option("--bank", "-b", help="Keep the bank here; else it is thrown away.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Learn a bank from bundled real runs of three models and recall for new tasks; no key."""
    from memcollab import settings

    examples = _examples()
    with TemporaryDirectory(prefix="memcollab-demo-") as scratch:
        chosen = settings.load(
            bank=bank or f"{scratch}/demo.db",
            writer=writer or f"recorded:{examples / 'answers.jsonl'}",
            writer_url=writer_url,
        )
        with chosen.collab() as memory:
            report = memory.learn(
                examples / "runs",
                writer=chosen.writer,
                writer_url=chosen.writer_url,
                key=chosen.key,
            )
            tasks = _next_tasks(examples)
            if as_json:
                _as_json(memory, report, tasks)
            else:
                _as_story(memory, report, tasks, Path(scratch), live=writer is not None, kept=bank)


def _examples() -> Path:
    """The bundled examples: inside an installed package, or beside the source tree."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "examples", package.parent.parent / "examples"):
        if (place / "runs").is_dir():
            return place
    raise UsageError(
        "the bundled examples are not part of this installation. "
        "Next: git clone the repository and run make demo"
    )


def _next_tasks(examples: Path) -> list[dict[str, Any]]:
    lines = (examples / "tasks" / "next.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines if line.strip()]


AGENT, HARNESS = "coder-1.5b", "python-turns"


def _as_json(memory: MemCollab, report: LearnReport, tasks: list[dict[str, Any]]) -> None:
    from memcollab.cli import show

    recalls = [memory.recall(task["task"], agent=AGENT, harness=HARNESS) for task in tasks]
    show.emit({"learn": report, "recalls": recalls})


def _as_story(
    memory: MemCollab,
    report: LearnReport,
    tasks: list[dict[str, Any]],
    scratch: Path,
    *,
    live: bool,
    kept: str | None,
) -> None:
    from memcollab.cli import show

    say = show.console.print
    if not live:
        say(
            "The runs are real; the writer's answers are replayed from a recording. "
            "Live: memcollab demo --writer openai:gpt-5-mini\n",
            style="dim",
        )
    say("1  Learn: contrast the runs of several models on the same tasks", style="bold")
    show.learn_report(report, as_json=False)
    say("\n2  One contrast, and what was drawn from it", style="bold")
    show.contrast(memory.bank)
    say("\n3  The bank", style="bold")
    show.constraints(memory.bank.constraints(limit=12), as_json=False)
    say("\n4  What was refused, and why", style="bold")
    show.refusals(memory.bank, limit=5)
    _small_writer(scratch)
    say("\n5  Recall for tasks that no run has seen", style="bold")
    for task in tasks:
        say(f"\n» {task['task'][:300]}", style="cyan", markup=False)
        show.recalled(memory.recall(task["task"], agent=AGENT, harness=HARNESS), as_json=False)
    say("\n6  What enters the prompt of the last one", style="bold")
    last = memory.recall(tasks[-1]["task"], agent=AGENT, harness=HARNESS)
    say(last.guidance or "(nothing)", markup=False)
    if kept:
        say(f"\nThe bank is kept: memcollab bank list --bank {kept}", markup=False)


def _small_writer(scratch: Path) -> None:
    """A strong writer is seldom refused; a 1.5B model, asked about the same runs, often is."""
    from memcollab.cli import show
    from memcollab.collab import MemCollab

    examples = _examples()
    with MemCollab(scratch / "small.db") as memory:
        report = memory.learn(
            examples / "runs", writer=f"recorded:{examples / 'answers-small.jsonl'}"
        )
        show.console.print(
            f"  Of {report.distilled} drafts that {report.writer} wrote about {report.asked} of "
            f"the same contrasts, {report.distilled - report.accepted} were refused:",
            markup=False,
        )
        show.refusals(memory.bank, limit=5)
