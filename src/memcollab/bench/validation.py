"""Memories that have to prove themselves (`Rules.proven`): every agent that is measured with one
attempts the build tasks with it and without, and what came of it becomes evidence in its bank.

The tasks are met as test tasks are, and recall holds back what was learned from the very task, so
that what helps here may be expected to help there. What is shown is found by relevance alone,
whatever outcomes the bank holds already: a validation that is interrupted goes on as it began.
Attempts without memory that the build logs hold are not made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from memcollab.bench import paired
from memcollab.bench.arms import NOTHING, Arm, Memory, memories
from memcollab.bench.checks import lacking
from memcollab.bench.collect import AgentReport, CollectReport
from memcollab.bench.evaluate import require
from memcollab.bench.experiment import Experiment
from memcollab.bench.plan import (
    Cell,
    Column,
    Done,
    Name,
    Place,
    Planned,
    always,
    cells,
    guide,
    known,
)
from memcollab.bench.run import Runner, evaluation
from memcollab.bench.suites import Suite
from memcollab.bench.tables import BASELINE
from memcollab.collab import MemCollab
from memcollab.errors import UsageError
from memcollab.records import EvidenceReport

GUIDED = "guided"


def plan(
    experiment: Experiment, suites: Sequence[Suite], place: Place, *, early: bool = False
) -> dict[Memory, list[Planned]]:
    """The attempts, with and without, of each memory that has to prove itself, task by task; none
    where there is no such memory. ``early``: leave out memories that are not learned yet.

    Raises:
        UsageError: a memory is not learned, or not wholly.
    """
    met = [Suite(suite.name, (), suite.as_tested) for suite in suites if suite.build]
    builders = [spec.name for spec in experiment.specs(experiment.builders)]
    found: dict[Memory, list[Planned]] = {}
    for spec in experiment.specs(experiment.agents):
        for memory in _to_prove(experiment, spec.name, builders):
            bank = place.bank(memory)
            missing = lacking(bank, suites, experiment.unanswered)
            if missing and early:
                continue
            if missing:
                raise UsageError(
                    f"the bank {str(bank)!r} is to be validated, {missing}. "
                    "Next: memcollab bench learn with the same experiment and folder"
                )
            arm = Arm(name=GUIDED, recipe=memory.recipe)
            bare = Column(experiment, met, spec, BASELINE, None).attempts(always(NOTHING))
            with guide(experiment, place, arm, memory, spec, by_outcomes=False) as guided:
                shown = Column(experiment, met, spec, GUIDED, memory).attempts(guided.show)
            every = sorted([*bare, *shown], key=lambda entry: entry[0])
            found.setdefault(memory, []).extend(planned for _, planned in every)
    return found


def _to_prove(experiment: Experiment, agent: str, builders: Sequence[str]) -> list[Memory]:
    found = {
        memory: None
        for arm in experiment.arms
        if experiment.proves(arm)
        for memory in memories(arm, agent, builders)
        if memory is not None
    }
    return list(found)


def outline(experiment: Experiment, suites: Sequence[Suite], place: Place) -> list[Cell]:
    """The attempts of ``plan`` as cells of arms called ``validate none``, ``validate guided``."""
    planned = plan(experiment, suites, place, early=True)
    every = [each for group in planned.values() for each in group]
    return [
        cell.model_copy(update={"arm": f"validate {cell.arm}"})
        for cell in cells(every, _done(suites, place))
    ]


def validate(
    experiment: Experiment, suites: Sequence[Suite], place: Place, runner: Runner
) -> CollectReport:
    """Make every attempt of ``plan`` that no log holds.

    Raises:
        UsageError: no memory has to prove itself, or one is not learned.
        UsageError, SandboxError, ModelUnavailable: as `memcollab.bench.collect.collect`.
    """
    require(runner.sandbox)
    planned = plan(experiment, suites, place)
    if not planned:
        raise UsageError(
            f"no arm of {experiment.name!r} has to prove itself: {_named(experiment)}. "
            "Valid: an arm with the recipe 'proven'. Next: memcollab bench run"
        )
    place.validation.mkdir(parents=True, exist_ok=True)
    built = _built(suites, place)
    reports: list[AgentReport] = []
    for spec in runner.chosen(experiment.specs(experiment.agents)):
        for seed in experiment.seeds:
            settings = experiment.measured(seed)
            jobs = [
                each.job
                for group in planned.values()
                for each in group
                if each.agent == spec and each.settings == settings and not _has(built, each)
            ]
            reports += runner.attempt(jobs, evaluation(spec, settings, place.validation, runner))
    return CollectReport(
        log_dir=str(place.validation), sandbox=runner.sandbox, agents=tuple(reports)
    )


def record(
    experiment: Experiment, suites: Sequence[Suite], place: Place
) -> Mapping[str, EvidenceReport]:
    """Store what came of the attempts in the memories' banks, again changes nothing; what it
    proves, by bank. Of an agent that has not made all of its attempts nothing is stored: a bank
    that holds outcomes of an agent holds all that its validation asks for."""
    done = _done(suites, place)
    proven = {}
    for memory, every in plan(experiment, suites, place).items():
        open_ = {each.agent.name for each in every if not _has(done, each)}
        planned = [each for each in every if each.agent.name not in open_]
        if not planned:
            continue
        with MemCollab(place.bank(memory), recipe=experiment.recipe_of(memory.recipe)) as collab:
            paired.record(collab.bank, GUIDED, planned, done, experiment.harness)
            proven[memory.name] = collab.evidence()
    return proven


def _done(suites: Sequence[Suite], place: Place) -> dict[Name, Done]:
    """The verdicts that the logs of the build and of the validation hold."""
    return _built(suites, place) | _judged(place.validation)


def _built(suites: Sequence[Suite], place: Place) -> dict[Name, Done]:
    found: dict[Name, Done] = {}
    for suite in suites:
        if suite.build:
            found |= _judged(place.build(suite.name))
    return found


def _judged(folder: Path) -> dict[Name, Done]:
    return {name: each for name, each in known(folder).items() if each.solved is not None}


def _has(done: Mapping[Name, Done], planned: Planned) -> bool:
    return (planned.agent.name, planned.key) in done


def _named(experiment: Experiment) -> str:
    return ", ".join(
        f"{arm.name!r} has the recipe {arm.recipe!r}" for arm in experiment.arms if arm.runs
    )
