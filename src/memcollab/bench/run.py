"""The steps of an experiment. Each goes on where it stopped by being called again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from memcollab.bank import StoredAnswer
from memcollab.bench.arms import Memory, memories
from memcollab.bench.checks import lacking
from memcollab.bench.collect import AgentReport, CollectReport, attempt
from memcollab.bench.evaluate import Attempted, Evaluation, Job, Settings, require, samples
from memcollab.bench.experiment import Experiment
from memcollab.bench.plan import Place, Planned
from memcollab.bench.roster import AgentSpec
from memcollab.bench.suites import Suite
from memcollab.bench.tables import Ledger
from memcollab.collab import MemCollab
from memcollab.errors import ModelError, UsageError
from memcollab.models import LanguageModel
from memcollab.records import LearnReport, Record

# A log holds so many attempts at most: small enough to look into, and to be read again quickly.
_LOG_ATTEMPTS = 200
# Tokens of a request to the writer beside the runs: what it is asked, and the task.
_REQUEST_WORDS = 1000


@dataclass(frozen=True)
class Runner:
    """How attempts are made: what does not change what is measured."""

    sandbox: str = "bubblewrap"
    parallel: int = 2
    only: Collection[str] = ()
    progress: Callable[[Attempted], None] | None = None

    def chosen(self, specs: Sequence[AgentSpec]) -> list[AgentSpec]:
        """The agents that are to run now: with one server at a time, one after the other.

        Raises:
            UsageError: ``only`` names an agent that the experiment does not have.
        """
        names = {spec.name for spec in specs}
        strange = sorted(set(self.only) - names)
        if strange:
            raise UsageError(
                f"the experiment has no agent {strange[0]!r}. Valid: {', '.join(sorted(names))}"
            )
        return [spec for spec in specs if not self.only or spec.name in self.only]

    def attempt(self, jobs: Sequence[Job], evaluation: Evaluation) -> list[AgentReport]:
        """The jobs that no log holds, in logs of a bounded size; stops where a log ends in error:
        the server is gone, and every further one would fail alike."""
        missing = evaluation.missing(jobs)
        known = len({job.digest(evaluation.settings) for job in jobs}) - len(missing)
        reports = [AgentReport(model=evaluation.spec.name, tasks=known, known=known)]
        for start in range(0, len(missing), _LOG_ATTEMPTS):
            part = missing[start : start + _LOG_ATTEMPTS]
            reports.append(attempt(evaluation, part, resume=False))
            if reports[-1].unattempted:
                break
        return reports


def build(
    experiment: Experiment, suites: Sequence[Suite], place: Place, runner: Runner
) -> CollectReport:
    """Let every builder attempt every build task.

    Raises:
        UsageError, SandboxError, ModelUnavailable: as `memcollab.bench.collect.collect`.
    """
    require(runner.sandbox)
    reports = []
    for spec in runner.chosen(experiment.specs(experiment.builders)):
        for suite in suites:
            for settings in experiment.built(suite.name):
                folder = place.build(suite.name)
                folder.mkdir(parents=True, exist_ok=True)
                jobs = [Job(task) for task in suite.build]
                reports += runner.attempt(jobs, evaluation(spec, settings, folder, runner))
    return CollectReport(
        log_dir=str(place.root / "build"), sandbox=runner.sandbox, agents=tuple(reports)
    )


def run(
    experiment: Experiment, planned: Sequence[Planned], place: Place, runner: Runner
) -> CollectReport:
    """Make every planned attempt that no log holds.

    Raises:
        UsageError, SandboxError, ModelUnavailable: as `memcollab.bench.collect.collect`.
    """
    require(runner.sandbox)
    place.logs.mkdir(parents=True, exist_ok=True)
    reports = []
    for spec in runner.chosen(experiment.specs(experiment.agents)):
        for seed in experiment.seeds:
            settings = experiment.measured(seed)
            jobs = [
                each.job for each in planned if each.agent == spec and each.settings == settings
            ]
            reports += runner.attempt(jobs, evaluation(spec, settings, place.logs, runner))
    return CollectReport(log_dir=str(place.logs), sandbox=runner.sandbox, agents=tuple(reports))


def evaluation(spec: AgentSpec, settings: Settings, folder: Path, runner: Runner) -> Evaluation:
    """An agent's attempts of these settings, as ``runner`` makes them, with their logs in
    ``folder``."""
    return Evaluation(spec, settings, folder, runner.sandbox, runner.parallel, runner.progress)


def banks_needed(experiment: Experiment) -> list[Memory]:
    """Every memory that an arm reads, each once, in a fixed order."""
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    found = {
        memory
        for spec in experiment.specs(experiment.agents)
        for arm in experiment.arms
        for memory in memories(arm, spec.name, builders)
        if memory is not None
    }
    return sorted(found, key=lambda memory: memory.name)


def learn(
    experiment: Experiment,
    place: Place,
    *,
    writer: str | LanguageModel | None = None,
    writer_url: str | None = None,
    batch_out: Path | None = None,
    batch_in: Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> dict[str, LearnReport]:
    """Make the bank of every memory from the build runs: the same writer, and of every suite the
    same number of contrasts.

    Args:
        batch_out: write all requests to this file in place of asking, each once.
        batch_in: take the answers from this file.

    Returns:
        What came of it, by memory and suite (``default-a-b/gsm8k``).

    Raises:
        UsageError: there are no build runs, or no writer.
        ModelUnavailable: the writer answers nothing; what it had answered is stored.
    """
    reports = {}
    requests: dict[bytes, None] = {}
    place.root.joinpath("banks").mkdir(parents=True, exist_ok=True)
    for memory in banks_needed(experiment):
        with MemCollab(place.bank(memory), recipe=experiment.recipe_of(memory.recipe)) as collab:
            for suite in experiment.suite:
                if not suite.build:
                    continue
                part = place.root / "banks" / f".{memory.name}-{suite.name}.requests"
                name = f"{memory.name}/{suite.name}"
                reports[name] = collab.learn(
                    _runs(place, suite.name),
                    writer=writer,
                    writer_url=writer_url,
                    batch_in=batch_in,
                    batch_out=part if batch_out else None,
                    exclude_agents=_others(experiment, memory),
                    max_contrasts=suite.contrasts or experiment.contrasts,
                    progress=progress,
                )
                if batch_out:
                    requests |= dict.fromkeys(part.read_bytes().splitlines(keepends=True))
                    part.unlink()
    if batch_out:
        _write(batch_out, b"".join(requests))
    return reports


class Asked(Record):
    """What is still to be asked of the writer for a memory: ``requests`` at most, each of about so
    many tokens: as the answers so far, else as much of both runs as a request may hold."""

    memory: str
    requests: int
    input_tokens: float
    output_tokens: float | None = None


def to_ask(experiment: Experiment, suites: Sequence[Suite], place: Place) -> list[Asked]:
    """What the memories that are not learned yet will cost at most."""
    needed = {each: place.bank(each) for each in banks_needed(experiment)}
    answers = {each: _answers(bank) if bank.exists() else [] for each, bank in needed.items()}
    spent = [answer.usage for known in answers.values() for answer in known]
    read = [each.input_tokens for each in spent if each.input_tokens is not None]
    written = [each.output_tokens for each in spent if each.output_tokens is not None]
    most = sum(each.contrasts or experiment.contrasts for each in experiment.suite if each.build)
    found = []
    for memory, bank in needed.items():
        if lacking(bank, suites, experiment.unanswered) is None:
            continue
        method = experiment.recipe_of(memory.recipe)
        runs = 1 if method.pairing == "single" else 2
        found.append(
            Asked(
                memory=memory.name,
                requests=most - len(answers[memory]),
                input_tokens=fmean(read) if read else runs * method.run_budget + _REQUEST_WORDS,
                output_tokens=fmean(written) if written else None,
            )
        )
    return found


def _answers(bank: Path) -> list[StoredAnswer]:
    with MemCollab(bank, create=False) as collab:
        return list(collab.bank.answers())


def refuse_half_learned(experiment: Experiment, reports: Mapping[str, LearnReport]) -> None:
    """See that every request of a learn was answered, but for as many of each suite and memory as
    the experiment allows.

    Raises:
        ModelError: more were not; each memory and suite is named.
    """
    open_ = {name: report.pending + report.failed for name, report in reports.items()}
    over = [f"{name}: {n}" for name, n in open_.items() if n > experiment.unanswered]
    if over:
        raise ModelError(
            f"requests to the writer have no usable answer ({', '.join(over)}), and bench run "
            "measures no memory that is half learned. Next: the same command again, which asks "
            "those alone (--batch-in: with a file that answers them; --batch-out writes them); or "
            "unanswered = N in the experiment, where a writer refuses them for good"
        )


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"cannot write the requests to {str(path)!r}: {error.strerror}. "
            "Next: give --batch-out another file"
        ) from error


def ledgers(experiment: Experiment, place: Place) -> list[Ledger]:
    """What the memories of each arm cost to make, as their banks tell; arms of one memory have the
    same. Tokens are those that the writer's answers came with.

    Answers about build tasks of the experiment's suites are counted; about all tasks where none of
    these has a build part, for then what is read was learned from other suites.
    """
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    agents = experiment.specs(experiment.agents)
    tasks = _built(experiment, place)
    told = {
        memory: _told(place.bank(memory), tasks)
        for memory in banks_needed(experiment)
        if place.bank(memory).exists()
    }
    found = []
    for arm in experiment.arms:
        read = {memory for spec in agents for memory in memories(arm, spec.name, builders)}
        found.append(_ledger(arm.name, [told[each] for each in read if each in told]))
    return [ledger for ledger in found if ledger.requests]


@dataclass(frozen=True)
class _Told:
    """What a bank tells of its making."""

    answers: Sequence[StoredAnswer]
    constraints: int


def _ledger(arm: str, told: Sequence[_Told]) -> Ledger:
    answers = [answer for each in told for answer in each.answers]
    seconds = [answer.usage.seconds for answer in answers if answer.usage.seconds is not None]
    return Ledger(
        arm=arm,
        input_tokens=sum(answer.usage.input_tokens or 0 for answer in answers),
        output_tokens=sum(answer.usage.output_tokens or 0 for answer in answers),
        requests=len(answers),
        constraints=sum(each.constraints for each in told),
        minutes=sum(seconds) / 60 if seconds else None,
        writers=tuple(sorted({answer.writer for answer in answers})),
        recorded=sum(answer.tier == "recorded" for answer in answers),
    )


def _told(bank: Path, keys: set[str]) -> _Told:
    """``keys`` name the tasks that count; if there are none, all do."""
    with MemCollab(bank, create=False) as collab:
        held = collab.bank.tasks()
        tasks = {task.id for task in held if not keys or task.key in keys}
        contrasts = {each.id for each in collab.bank.contrasts() if each.task_id in tasks}
        answers = [each for each in collab.bank.answers() if each.contrast_id in contrasts]
        made = {name for _, name in collab.bank.drafts(contrasts) if name is not None}
    return _Told(answers, len(made))


def _built(experiment: Experiment, place: Place) -> set[str]:
    """The build tasks of the experiment's suites that were attempted."""
    folders = [place.build(suite.name) for suite in experiment.suite if suite.build]
    return {str(sample.id) for folder in folders for _, sample in samples(folder)}


def _runs(place: Place, suite: str) -> Path:
    folder = place.build(suite)
    if not any(folder.glob("*.eval")):
        raise UsageError(
            f"there are no runs of the build tasks in {str(folder)!r}. "
            "Next: memcollab bench build with the same experiment and folder"
        )
    return folder


def _others(experiment: Experiment, memory: Memory) -> list[str]:
    builders = experiment.specs(experiment.builders)
    return [spec.name for spec in builders if spec.name not in memory.models]
