"""``memcollab bench plan | build | learn | validate | run | report | evidence | publish |
restore``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memcollab import __version__
from memcollab.cli import options

if TYPE_CHECKING:
    from memcollab.bench.collect import CollectReport
    from memcollab.bench.experiment import Experiment
    from memcollab.bench.plan import Place
    from memcollab.bench.run import Runner
    from memcollab.bench.suites import Suite
    from memcollab.bench.tables import Plan

Description = Annotated[Path, typer.Argument(help="The experiment, a TOML file.")]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Where everything goes.", show_default="named like the file"),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of the benchmarks' files; without it they come from the hub."),
]
Sandbox = Annotated[
    str, typer.Option(help="bubblewrap; or none: model-written code runs unconfined.")
]
Parallel = Annotated[int, typer.Option(min=1, help="Tasks at once.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--agent", help="Only this agent of the experiment; may be repeated."),
]


@dataclass(frozen=True)
class _Opened:
    experiment: Experiment
    place: Place
    suites: list[Suite]


def _open(description: Path, folder: Path | None, data: Path | None) -> _Opened:
    from memcollab.bench.experiment import load_experiment
    from memcollab.bench.plan import Place

    experiment = load_experiment(description)
    place = Place(folder or description.with_suffix(""))
    return _Opened(experiment, place, experiment.choose(data))


def plan(
    experiment: Description, folder: Folder = None, data: Data = None, as_json: options.Json = False
) -> None:
    """Show every cell (arm, suite, agent), what is done, and what the rest will cost, the writer
    included."""
    from memcollab.bench import plan as planning
    from memcollab.bench import run as running
    from memcollab.bench import validation
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    planned = planning.plan(opened.experiment, opened.suites, opened.place, early=True)
    done = planning.known(opened.place.logs)
    cells = [
        *planning.build_cells(opened.experiment, opened.suites, opened.place),
        *validation.outline(opened.experiment, opened.suites, opened.place),
        *planning.cells(planned, done),
    ]
    asked = running.to_ask(opened.experiment, opened.suites, opened.place)
    show.planned(cells, asked, as_json=as_json)


def build(
    experiment: Description,
    folder: Folder = None,
    data: Data = None,
    agent: Only = None,
    sandbox: Sandbox = "bubblewrap",
    parallel: Parallel = 2,
    as_json: options.Json = False,
) -> None:
    """Let the builders attempt the build tasks."""
    from memcollab.bench import run as running
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    with show.progress(quiet=as_json) as tick:
        runner = _runner(sandbox, parallel, agent, tick)
        report = running.build(opened.experiment, opened.suites, opened.place, runner)
    tell(report, f"memcollab bench learn {experiment} --writer MODEL", as_json=as_json)


def learn(
    experiment: Description,
    folder: Folder = None,
    writer: options.Writer = None,
    writer_url: options.WriterUrl = None,
    batch_out: Annotated[
        Path | None, typer.Option(help="Write the requests to this file instead of asking.")
    ] = None,
    batch_in: Annotated[
        Path | None, typer.Option(help="Take the answers from this file instead of asking.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make the bank of every memory that an arm reads from the build runs."""
    from memcollab import settings
    from memcollab.bench import run as running
    from memcollab.bench.experiment import load_experiment
    from memcollab.bench.plan import Place
    from memcollab.cli import show

    described, place = load_experiment(experiment), Place(folder or experiment.with_suffix(""))
    chosen = settings.load(writer=writer, writer_url=writer_url)
    with show.progress(quiet=as_json) as progress:
        reports = running.learn(
            described,
            place,
            writer=chosen.writer,
            writer_url=chosen.writer_url,
            batch_out=batch_out,
            batch_in=batch_in,
            progress=progress,
        )
    show.memories(reports, as_json=as_json)
    if not batch_out:
        running.refuse_half_learned(described, reports)


def validate(
    experiment: Description,
    folder: Folder = None,
    data: Data = None,
    agent: Only = None,
    sandbox: Sandbox = "bubblewrap",
    parallel: Parallel = 2,
    as_json: options.Json = False,
) -> None:
    """Let the agents attempt the build tasks with each memory that has to prove itself (the arm
    proven), and without; the outcomes decide what its arms show."""
    from memcollab.bench import validation
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    with show.progress(quiet=as_json) as tick:
        runner = _runner(sandbox, parallel, agent, tick)
        report = validation.validate(opened.experiment, opened.suites, opened.place, runner)
    tell(report, f"memcollab bench run {experiment}", as_json=as_json)
    proven = validation.record(opened.experiment, opened.suites, opened.place)
    if not as_json:
        show.proven(proven)


def run(
    experiment: Description,
    folder: Folder = None,
    data: Data = None,
    agent: Only = None,
    sandbox: Sandbox = "bubblewrap",
    parallel: Parallel = 2,
    as_json: options.Json = False,
) -> None:
    """Let the agents attempt the test tasks under every arm; what a log holds is not repeated."""
    from memcollab.bench import plan as planning
    from memcollab.bench import run as running
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    planned = planning.plan(opened.experiment, opened.suites, opened.place)
    with show.progress(quiet=as_json) as tick:
        runner = _runner(sandbox, parallel, agent, tick)
        report = running.run(opened.experiment, planned, opened.place, runner)
    tell(report, f"memcollab bench report {experiment}", as_json=as_json)


def report(
    experiment: Description,
    folder: Folder = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report.", show_default="report/NAME in the folder"),
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option(help="A remark for its beginning; may be repeated.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm, and none beside it; may be repeated."),
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="Only this suite; may be repeated.")
    ] = None,
    agent: Only = None,
    logs: Annotated[
        Path | None,
        typer.Option(
            help="The logs that the report links to, as published ones.",
            show_default="logs in the folder",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Its title.", show_default="what is shown of the experiment")
    ] = None,
) -> None:
    """Write what the logs hold as one HTML page, as Markdown, and as one record per attempt.

    With --arm, --suite or --agent it shows a part of the plan, and says so.
    """
    from memcollab.bench import conditions
    from memcollab.bench import plan as planning
    from memcollab.bench import run as running
    from memcollab.bench.experiment import load_experiment
    from memcollab.bench.report import write_report
    from memcollab.cli import show

    whole = load_experiment(experiment)
    described = whole.part(arm or (), suite or (), agent or ())
    place = planning.Place(folder or experiment.with_suffix(""))
    planned = planning.plan(described, described.choose(data), place)
    outline = planning.outline(described, whole)
    attempts = planning.attempts(planned, planning.known(place.logs))
    ledgers = running.ledgers(described, place)
    writers = sorted({writer for each in ledgers for writer in each.writers})
    chosen = (("arm", arm), ("suite", suite), ("agent", agent))
    command = [f"--{kind} {name}" for kind, names in chosen for name in names or ()]
    settings = described.told() | {"writer": ", ".join(writers) or conditions.UNKNOWN}
    settings |= conditions.told(place.logs, [each.log for each in attempts if each.log])
    settings |= {
        "report made": f"{datetime.now(UTC):%Y-%m-%d}, memcollab {__version__}",
        "command": " ".join(["memcollab bench report", experiment.name, *command]),
    }
    page, text = write_report(
        attempts,
        ledgers,
        out or place.root / "report" / described.name,
        title=title or _title(described.name, outline),
        notes=note or (),
        settings=settings,
        arms=described.arms_told(),
        entries=described.series,
        logs_root=logs or place.logs,
        plan=outline,
    )
    show.console.print(f"wrote {page} and {text}", markup=False, soft_wrap=True)


def _title(name: str, outline: Plan) -> str:
    """Reports of parts of one experiment are told apart by what they show."""
    if outline.whole is None:
        return f"Does memory help? {name}"
    kinds = (
        (outline.suites, outline.whole.suites),
        (outline.agents, outline.whole.agents),
        (outline.arms, outline.whole.arms),
    )
    shown = [", ".join(mine) for mine, of in kinds if len(mine) < len(of)]
    return f"Does memory help? {name}: {'; '.join(shown)}"


def evidence(
    experiment: Description,
    arm: Annotated[str, typer.Option(help="Whose memory: the pairs of this arm and of none.")],
    bank: options.BankPath = None,
    folder: Folder = None,
    data: Data = None,
    as_json: options.Json = False,
) -> None:
    """Store an arm's attempts, and the same without memory, as evidence in a bank."""
    from memcollab import settings
    from memcollab.bench import paired
    from memcollab.bench import plan as planning
    from memcollab.cli import show
    from memcollab.errors import UsageError

    opened = _open(experiment, folder, data)
    chosen = settings.load(bank=bank)
    banks = opened.place.root / "banks"
    if Path(chosen.bank).resolve().is_relative_to(banks.resolve()):
        raise UsageError(
            f"{chosen.bank!r} is a bank of the experiment: evidence in it would change what its "
            "arms show. Next: memcollab bench evidence with a copy of it as --bank"
        )
    planned = planning.plan(opened.experiment, opened.suites, opened.place)
    done = planning.known(opened.place.logs)
    with chosen.collab(create=False) as memory:
        report = paired.record(memory.bank, arm, planned, done, opened.experiment.harness)
    show.value(report, as_json=as_json)


def publish(
    experiment: Description,
    out: Annotated[Path, typer.Argument(help="Where the copies go.")],
    folder: Folder = None,
    data: Data = None,
) -> None:
    """Copy the logs without the texts of benchmarks that are not ours to pass on."""
    from memcollab.bench.publish import publish as copy
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    written = copy(opened.suites, opened.place.root, out)
    show.console.print(f"{len(written)} logs in {out}", markup=False, soft_wrap=True)


def restore(
    experiment: Description,
    published: Annotated[Path, typer.Argument(help="Published logs.")],
    folder: Folder = None,
    data: Data = None,
) -> None:
    """Put the texts back into published logs, so that they can be learned from and gone on with."""
    from memcollab.bench.publish import restore as copy
    from memcollab.cli import show

    opened = _open(experiment, folder, data)
    written = copy(opened.suites, published, opened.place.root)
    show.console.print(f"{len(written)} logs in {opened.place.root}", markup=False, soft_wrap=True)


def _runner(
    sandbox: str,
    parallel: int,
    agents: list[str] | None,
    tick: Callable[[str, int, int | None], None] | None,
) -> Runner:
    from memcollab.bench.evaluate import Attempted
    from memcollab.bench.run import Runner

    def progress(done: Attempted) -> None:
        if tick is not None:
            tick(done.model, done.done, done.total)

    return Runner(sandbox, parallel, tuple(agents or ()), progress)


def tell(report: CollectReport, following: str, *, as_json: bool) -> None:
    """Show what the attempts came to.

    Raises:
        ModelError: some have no verdict.
    """
    from memcollab.cli import show
    from memcollab.errors import ModelError

    show.collected(report, following, as_json=as_json)
    if not report.complete:
        first = next((each.first_error for each in report.agents if each.first_error), "")
        raise ModelError(
            f"some attempts have no verdict: {first!r}. Next: the same command again; what was "
            "finished is not repeated"
        )
