"""What an experiment measures, attempt by attempt, and what of it the logs already hold.

An attempt is known by what is run: task, agent, settings, seed and guidance. Arms that show the
same task the same guidance (or none) share one attempt: the same words make the same run, so the
paired difference there is 0 and not noise. At temperatures above 0 this holds for a seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from memcollab.bench.arms import NOTHING, Arm, Guide, Memory, Shown, memories
from memcollab.bench.attempts import Attempt
from memcollab.bench.checks import judged_agents, lacking, refuse_contaminated
from memcollab.bench.evaluate import Job, Settings, judged, samples, tokens
from memcollab.bench.experiment import Experiment
from memcollab.bench.roster import AgentSpec
from memcollab.bench.suites import Suite
from memcollab.bench.tables import Plan
from memcollab.bench.tasks import BenchTask
from memcollab.errors import UsageError
from memcollab.records import Agent, Record

if TYPE_CHECKING:
    from inspect_ai.log import EvalSampleSummary


Name = tuple[str, str]  # of an attempt in the logs: its agent and its key


@dataclass(frozen=True)
class Planned:
    """One attempt that the experiment asks for."""

    arm: str
    suite: str
    agent: AgentSpec
    task: BenchTask
    settings: Settings
    source: str | None
    shown: Shown

    @cached_property
    def job(self) -> Job:
        """What is run."""
        return Job(self.task, self.shown.guidance, self.shown.constraints, self.shown.place)

    @cached_property
    def key(self) -> str:
        """What is run, hashed; the agent is not part of it."""
        return self.job.digest(self.settings)


class Cell(Record):
    """One arm × suite × agent: what is planned, what of it is known, what the rest will cost.

    ``shared`` attempts are run for another arm of the plan. Costs are means over what the agent did
    in the logs so far, times what is left to run; None where it has done nothing yet. ``seconds``
    pass if as many attempts are made at once as were in the logs.
    """

    arm: str
    suite: str
    agent: str
    source: str | None = None
    attempts: int
    known: int
    shared: int
    to_run: int
    guided: int
    guidance_tokens: float
    most_output_tokens: int
    tokens: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Place:
    """The folder of an experiment."""

    root: Path

    @property
    def logs(self) -> Path:
        """Logs of the measured runs."""
        return self.root / "logs"

    def build(self, suite: str) -> Path:
        """Logs of the build runs."""
        return self.root / "build" / suite

    @property
    def validation(self) -> Path:
        """Logs of the runs by which memories prove themselves (`memcollab.bench.validation`)."""
        return self.root / "validation"

    def bank(self, memory: Memory) -> Path:
        """The bank of a memory."""
        return self.root / "banks" / f"{memory.name}.db"


def plan(
    experiment: Experiment, suites: Sequence[Suite], place: Place, *, early: bool = False
) -> list[Planned]:
    """Every attempt that the experiment asks for: task by task, so that a run that is stopped
    early has measured the same tasks under every arm.

    ``early``: where a bank is not made yet, or not whole, count on guidance of the whole budget for
    every task.

    Raises:
        UsageError: a bank is missing or half learned, or holds a constraint learned from a test
            task, or for an arm that shows runs a test task itself.
    """
    agents = experiment.specs(experiment.agents)
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    planned: list[tuple[int, Planned]] = []
    ready: dict[tuple[Memory, bool], bool] = {}
    for spec in agents:
        for arm in experiment.arms:
            for memory in memories(arm, spec.name, builders):
                column = Column(experiment, suites, spec, arm.name, memory)
                if memory is None:
                    planned += column.attempts(always(NOTHING))
                    continue
                key = memory, arm.show == "examples"
                bank = place.bank(memory)
                if key not in ready:
                    ready[key] = _ready(experiment, suites, bank, arm, early=early)
                proves = experiment.proves(arm)
                if ready[key] and (not proves or _validated(bank, arm, spec, early=early)):
                    with guide(experiment, place, arm, memory, spec) as guided:
                        planned += column.attempts(guided.show)
                else:
                    unknown = Shown(f"{arm.name} {memory.name}", experiment.guidance_tokens)
                    planned += column.attempts(always(unknown))
    return [each for _, each in sorted(planned, key=lambda entry: entry[0])]


def _ready(
    experiment: Experiment, suites: Sequence[Suite], bank: Path, arm: Arm, *, early: bool
) -> bool:
    """Whether a bank is whole; unless it is ``early``, one that is not is refused."""
    if bank.exists():
        refuse_contaminated(bank, suites, shows_runs=arm.show == "examples")
    missing = lacking(bank, suites, experiment.unanswered)
    if missing and not early:
        raise UsageError(
            f"the arm {arm.name!r} reads the bank {str(bank)!r}, {missing}. "
            "Next: memcollab bench learn with the same experiment and folder"
        )
    return missing is None


def _validated(bank: Path, arm: Arm, spec: AgentSpec, *, early: bool) -> bool:
    """Whether a bank holds what came of the agent's attempts with it; unless it is ``early``, one
    that does not is refused: nothing would be proven, and the arm would be one without memory."""
    if spec.name in judged_agents(bank):
        return True
    if early:
        return False
    raise UsageError(
        f"the arm {arm.name!r} shows {spec.name!r} what is proven to help it, and the bank "
        f"{str(bank)!r} holds no outcome of its attempts. "
        "Next: memcollab bench validate with the same experiment and folder"
    )


@dataclass(frozen=True)
class Column:
    """One arm for one agent and one memory (None: without any), over all suites."""

    experiment: Experiment
    suites: Sequence[Suite]
    spec: AgentSpec
    arm: str
    memory: Memory | None

    def attempts(self, show: Callable[[BenchTask], Shown]) -> list[tuple[int, Planned]]:
        """Its attempts, each with its task's place in the suite."""
        source = "+".join(self.memory.models) if self.memory else None
        found = []
        for suite in self.suites:
            for place, task in enumerate(suite.test):
                shown = show(task)
                for seed in self.experiment.seeds:
                    settings = self.experiment.measured(seed)
                    made = Planned(self.arm, suite.name, self.spec, task, settings, source, shown)
                    found.append((place, made))
        return found


def always(shown: Shown) -> Callable[[BenchTask], Shown]:
    """The same for every task."""

    def show(_: BenchTask) -> Shown:
        return shown

    return show


@contextmanager
def guide(
    experiment: Experiment,
    place: Place,
    arm: Arm,
    memory: Memory,
    spec: AgentSpec,
    *,
    by_outcomes: bool = True,
) -> Iterator[Guide]:
    """What ``arm`` shows to an agent; unless ``by_outcomes``, whatever the bank's outcomes say."""
    bank, agent = place.bank(memory), Agent(model=spec.name, harness=experiment.harness)
    method = experiment.recipe_of(arm.recipe)
    if not by_outcomes:
        method = method.model_copy(update={"evidence": None})
    opened = Guide.open(arm, bank, agent, method, experiment.limit, experiment.guidance_tokens)
    with opened.collab:
        yield opened


# -- what the logs hold ------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What came of an attempt, as a log holds it."""

    log: str
    sample: str
    solved: bool | None
    failure: str | None
    error: str | None
    opened: bool | None
    turns: int
    input_tokens: int
    output_tokens: int
    seconds: float
    at_once: int

    @property
    def told(self) -> dict[str, Any]:
        """What a record of the attempt has of it."""
        return {name: value for name, value in self.__dict__.items() if name != "at_once"}


def known(log_dir: Path) -> dict[Name, Done]:
    """What the logs hold, by agent and key. A verdict goes before an error; of several verdicts
    the first counts, whatever it is."""
    found: dict[Name, Done] = {}
    at_once = cache(_at_once)
    for path, sample in samples(log_dir):
        name = sample.metadata.get("memcollab_model"), sample.metadata.get("memcollab_digest")
        if not all(name):
            continue
        done = _done(path, sample, at_once(path))
        before = found.get((str(name[0]), str(name[1])))
        if before is None or (before.solved is None and done.solved is not None):
            found[str(name[0]), str(name[1])] = done
    return found


def _at_once(log: Path) -> int:
    """How many attempts of a log were made at once."""
    from inspect_ai.log import read_eval_log

    return read_eval_log(str(log), header_only=True).eval.config.max_samples or 1


def _done(path: Path, sample: EvalSampleSummary, at_once: int) -> Done:
    score = next(iter((sample.scores or {}).values()), None) if judged(sample) else None
    more = (score.metadata or {}) if score else {}
    read, written = tokens(sample)
    failure = more.get("failure")
    return Done(
        log=path.name,
        sample=str(sample.id),
        solved=None if score is None else score.value == "C",
        failure=str(failure) if failure else None,
        error=None if score else str(sample.error or sample.limit or "no verdict"),
        opened=more.get("opened"),
        turns=int(more.get("turns") or 0),
        input_tokens=read,
        output_tokens=written,
        seconds=sample.working_time or 0.0,
        at_once=at_once,
    )


def attempts(planned: Iterable[Planned], done: Mapping[Name, Done]) -> list[Attempt]:
    """One record for each planned attempt that the logs hold."""
    records = []
    for each in planned:
        found = done.get((each.agent.name, each.key))
        if found is None:
            continue
        records.append(
            Attempt(
                arm=each.arm,
                suite=each.suite,
                agent=each.agent.name,
                source=each.source,
                task_id=each.task.task_id,
                group=each.task.module_name,
                seed=each.settings.seed,
                guidance_tokens=each.shown.tokens,
                constraints=each.shown.constraints,
                category=each.shown.category,
                key=each.key,
                **found.told,
            )
        )
    return records


def outline(experiment: Experiment, whole: Experiment | None = None) -> Plan:
    """What is to be run, in the order of showing it; ``whole`` is the experiment of which
    ``experiment`` is a part."""
    agents = [spec.name for spec in experiment.specs(experiment.agents)]
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    columns = sum(
        len(memories(arm, agent, builders)) for agent in agents for arm in experiment.arms
    )
    suites = {each.name: each.test * len(experiment.seeds) for each in experiment.suite}
    return Plan(
        arms=tuple(arm.name for arm in experiment.arms),
        suites=suites,
        agents=tuple(agents),
        attempts=columns * sum(suites.values()),
        whole=None if whole in (None, experiment) else outline(whole),
    )


def cells(planned: Sequence[Planned], done: Mapping[Name, Done]) -> list[Cell]:
    """The plan, cell by cell, with its cost."""
    groups: dict[tuple[str, ...], list[Planned]] = defaultdict(list)
    for each in planned:
        groups[each.arm, each.source or "", each.suite, each.agent.name].append(each)
    claimed = _with_verdict(done)
    return [_cell(group, done, claimed) for group in groups.values()]


def build_cells(experiment: Experiment, suites: Sequence[Suite], place: Place) -> list[Cell]:
    """What the builders attempt, as cells of an arm called ``build``."""
    found = []
    for spec in experiment.specs(experiment.builders):
        for suite in suites:
            group = [
                Planned("build", suite.name, spec, task, settings, None, NOTHING)
                for task in suite.build
                for settings in experiment.built(suite.name)
            ]
            done = known(place.build(suite.name))
            if group:
                found.append(_cell(group, done, _with_verdict(done)))
    return found


def _with_verdict(done: Mapping[Name, Done]) -> set[Name]:
    return {name for name, found in done.items() if found.solved is not None}


def _cell(
    group: Sequence[Planned],
    done: Mapping[Name, Done],
    claimed: set[Name],
) -> Cell:
    """``claimed`` holds what is known or will be run for a cell before, and takes in this one's."""
    first = group[0]
    names = [(each.agent.name, each.key) for each in group]
    keys = set(names)
    held = sum(name in done and done[name].solved is not None for name in names)
    to_run = len(keys - claimed)
    shared = len(group) - held - to_run
    claimed |= keys
    past = [each for (agent, _), each in done.items() if agent == first.agent.name]
    spent = fmean(each.input_tokens + each.output_tokens for each in past) if past else None
    seconds = fmean(each.seconds / each.at_once for each in past) if past else None
    return Cell(
        arm=first.arm,
        suite=first.suite,
        agent=first.agent.name,
        source=first.source,
        attempts=len(group),
        known=held,
        shared=shared,
        to_run=to_run,
        guided=sum(bool(each.shown.guidance) for each in group),
        guidance_tokens=fmean(each.shown.tokens for each in group),
        most_output_tokens=to_run * first.settings.turns * first.settings.max_tokens,
        tokens=None if spent is None else spent * to_run,
        seconds=None if seconds is None else seconds * to_run,
    )
