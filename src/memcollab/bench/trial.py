"""Admission by trial: tasks with a candidate and without, until the rule has decided (or may not
go on).

What is attempted: tasks of the candidate's category, as the product itself files them, that are
neither among its sources nor near-duplicates of one (`memcollab.recall.same_task`), in an order
that the seed draws; by every agent with every seed; once with the candidate alone as guidance and
once without any. Candidates share the attempts without. A task without an attempt's verdict (the
server or the sandbox failed, time ran out) is no failure: the pair is left out, and counted.

The logs are those of ``bench``: what one holds with a verdict is not run again, so a trial that was
killed goes on by being called again. The order of tasks, the rule and the budget are functions of
what the logs hold, so it ends as if it had not been killed.

The budget is in model calls: answers that a model gave. An attempt is begun only if all the turns
that it may take fit. Calls of an attempt that was killed half-way are in no log and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean

from memcollab.bank import TrialPair
from memcollab.bench.evaluate import (
    Attempted,
    Evaluation,
    Job,
    Settings,
    judged,
    require,
    samples,
)
from memcollab.bench.plan import Done, Name, known
from memcollab.bench.roster import AgentSpec, check_agents
from memcollab.bench.run import Runner
from memcollab.bench.suites import SUITES, is_among, shuffled
from memcollab.bench.tasks import BenchTask, load_tasks
from memcollab.collab import MemCollab
from memcollab.errors import ModelError, UsageError
from memcollab.evidence import TrialRules, Verdict, decide
from memcollab.guide import write_guidance
from memcollab.records import Constraint, Record, Status

ACTOR = "trial"
_MOST_TASKS = 1000  # of a suite: what no trial needs need not be filed and compared
_STATUS: Mapping[str, Status] = {
    "helps": "active",
    "hurts": "retired",
    "no use": "retired",
    "undecided": "quarantined",
}


class Candidacy(Record):
    """One candidate of a trial: what there is to try it on, and how the trial ended.

    ``tasks`` of its category can be used, ``sources`` of any category were left out because it was
    learned from them. ``says`` None: nothing was run yet. ``words`` are those of the change log.
    ``unjudged`` pairs have no verdict on one side. ``needs``: calls that would decide it, if all
    goes on as so far; None where that points nowhere.
    """

    constraint: str
    text: str
    category: str
    tasks: int
    sources: int
    says: str | None = None
    status: Status = "quarantined"
    words: str = ""
    tried: int = 0
    better: int = 0
    worse: int = 0
    uplift: float | None = None
    low: float | None = None
    high: float | None = None
    unjudged: int = 0
    needs: int | None = None


class TrialReport(Record):
    """A trial: planned (``dry``), or as far as it came.

    ``spent`` calls of ``budget`` are in the logs; ``most`` more could be asked for if nothing were
    decided early. ``left_out`` says of named constraints why they are not tried.
    """

    suite: str
    agents: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int
    spent: int
    most: int
    log_dir: str
    candidates: tuple[Candidacy, ...]
    left_out: Mapping[str, str] = {}
    pairs: int = 0
    dry: bool = True


@dataclass(frozen=True)
class Conditions:
    """Who attempts what, how, and what it may cost.

    ``seeds``: each pair once for each; the first draws the order of tasks. Several make sense at
    a temperature above 0 only.
    """

    suite: str
    tasks: Sequence[BenchTask]
    agents: Sequence[AgentSpec]
    budget: int
    log_dir: Path
    seeds: tuple[int, ...] = (0,)
    turns: int = 5
    max_tokens: int = 512
    temperature: float = 0.0
    sandbox: str = "bubblewrap"
    parallel: int = 2
    progress: Callable[[Attempted], None] | None = field(default=None, compare=False)

    def check(self) -> None:
        """Raise ``UsageError`` where they cannot be met."""
        check_agents(self.agents)
        if len(self.seeds) > 1 and not self.temperature:
            raise UsageError(
                f"the seeds {self.seeds!r} make the same runs at a temperature of 0. "
                "Next: one seed, or --temperature 0.7"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"the seeds {self.seeds!r} are to be different. Next: give each once")

    @property
    def settings(self) -> tuple[Settings, ...]:
        """Of the attempts, for each seed."""
        return tuple(
            Settings(self.turns, self.max_tokens, self.temperature, seed) for seed in self.seeds
        )


def pool(
    suite: str | None, tasks: Path | None, data: Path | None, seed: int = 0
) -> tuple[str, list[BenchTask]]:
    """The name of a suite, and its tasks that are not for measuring: the build part of a built-in
    one (1,000 of it at most, drawn by ``seed``), all that is not marked as ``test`` of a task file.

    Raises:
        UsageError: both or neither are given, there is no such suite, or no such task in it.
    """
    if (suite is None) == (tasks is None):
        raise UsageError(
            "a trial needs tasks: either a suite or a task file. "
            f"Next: --suite {'|'.join(SUITES)}, or TASKS.jsonl"
        )
    if tasks is not None:
        name, found = tasks.stem, [task for task in load_tasks(tasks) if task.part != "test"]
    else:
        name = str(suite)
        if name not in SUITES:
            raise UsageError(f"there is no suite {name!r}. Valid: {', '.join(SUITES)}")
        build, test = SUITES[name](data)
        measured = [task.task for task in test]
        apart = (task for task in shuffled(build, seed) if not is_among(task.task, measured))
        found = list(islice(apart, _MOST_TASKS))
    if not found:
        raise UsageError(
            f"{name!r} has no task to try on: its test part stays unseen, so that it can measure. "
            "Next: another suite, or a task file"
        )
    return name, found


@dataclass(frozen=True)
class _Pair:
    """One task by one agent with one seed, with the candidate and without."""

    agent: AgentSpec
    settings: Settings
    shown: Job
    bare: Job

    @cached_property
    def names(self) -> tuple[Name, Name]:
        """Of its two attempts in the logs: with, without."""
        return (
            (self.agent.name, self.shown.digest(self.settings)),
            (self.agent.name, self.bare.digest(self.settings)),
        )

    def solved(self, done: Mapping[Name, Done]) -> tuple[bool, bool] | None:
        """With and without; None if one has no verdict."""
        verdicts = [done[name].solved for name in self.names if name in done]
        if len(verdicts) < 2 or verdicts[0] is None or verdicts[1] is None:
            return None
        return verdicts[0], verdicts[1]


@dataclass(frozen=True)
class _Candidate:
    """A constraint with its tasks in order, each with its pairs."""

    constraint: Constraint
    sources: int
    tasks: tuple[tuple[_Pair, ...], ...]


@dataclass
class _State:
    """What the logs hold, and which attempts were made by this call, whatever came of them."""

    done: Mapping[Name, Done]
    made: set[Name] = field(default_factory=set)

    def ended(self, task: Sequence[_Pair]) -> bool:
        """Whether nothing of the task is left to attempt now."""
        return all(self.has(name) for pair in task for name in pair.names)

    def has(self, name: Name) -> bool:
        """Whether an attempt has a verdict, or was made by this call."""
        return name in self.made or (name in self.done and self.done[name].solved is not None)


class Trial:
    """One trial over a bank: ``plan`` it, then ``run`` it.

    Args:
        constraints: ids of the candidates, or beginnings of them; none: all that await a trial.

    Raises:
        UsageError: nothing is to be tried, or a condition cannot be met.
        NotFound: the bank has no such constraint.
    """

    def __init__(
        self, memory: MemCollab, conditions: Conditions, constraints: Sequence[str] = ()
    ) -> None:
        conditions.check()
        self._bank = memory.bank
        self._rules: TrialRules = memory.recipe.trial
        self._needed = memory.recipe.independent_sources
        self._budget_of_guidance = memory.recipe.guidance_tokens
        self._conditions = conditions
        self._left_out: dict[str, str] = {}
        chosen = self._chosen(constraints)
        categories = _filed(memory, conditions.tasks) if chosen else {}
        self._candidates = [self._candidate(each, categories) for each in chosen]

    def plan(self) -> TrialReport:
        """What would be run and at most cost; nothing is run or stored."""
        state = _State(known(self._conditions.log_dir))
        found = [self._outline(each) for each in self._candidates]
        return self._report(found, state)

    def run(self) -> TrialReport:
        """Attempt tasks until every candidate is decided, its tasks are used up, or the budget is
        spent; store pairs and verdicts as they come.

        Raises:
            MissingExtra, SandboxError: attempts cannot be made here.
            ModelUnavailable, ModelError: a server does not answer (any more).
            BankError: the bank cannot be written.
        """
        require(self._conditions.sandbox)
        self._conditions.log_dir.mkdir(parents=True, exist_ok=True)
        state = _State(known(self._conditions.log_dir))
        new = self._store(state)
        open_ = [each for each in self._candidates if not self._settled(each, state)]
        while batch := self._next(open_, state):
            self._attempt(batch)
            state.done = known(self._conditions.log_dir)
            state.made |= {name for name, _, _, _ in batch}
            new += self._store(state)
            open_ = [each for each in open_ if not self._settled(each, state)]
        for candidate in open_:
            self._conclude(candidate, state)
        found = [self._outcome(each, state) for each in self._candidates]
        return self._report(found, state).model_copy(update={"pairs": new, "dry": False})

    # ---- candidates

    def _chosen(self, ids: Sequence[str]) -> list[Constraint]:
        harness = self._conditions.settings[0].harness
        found = [self._bank.constraint(each) for each in ids] or self._bank.awaiting()
        chosen = {}
        for each in found:
            if each.status != "quarantined":
                self._left_out[each.id] = f"it is {each.status}, not quarantined"
            elif each.harness not in (None, harness):
                self._left_out[each.id] = f"it is for the harness {each.harness!r}, not {harness!r}"
            else:
                chosen[each.id] = each
        if not chosen:
            because = "; ".join(f"{name}: {why}" for name, why in self._left_out.items())
            raise UsageError(
                f"no constraint of {str(self._bank.path)!r} can be tried"
                f"{f' ({because})' if because else ', for none awaits a trial'}. "
                "Next: memcollab learn RUNS --recipe trial, or --constraint ID of a quarantined one"
            )
        return [chosen[each] for each in sorted(chosen)]

    def _candidate(self, constraint: Constraint, filed: Mapping[str, str]) -> _Candidate:
        sources = {source.task.text for source in self._bank.provenance(constraint.id).sources}
        ordered = shuffled(self._conditions.tasks, self._conditions.seeds[0])
        strange = [task for task in ordered if not is_among(task.task, sources)]
        apart = [t for t in strange if filed[t.task_id] == constraint.category.name]
        guidance = write_guidance([constraint], self._budget_of_guidance)
        if not guidance.shown:
            self._left_out[constraint.id] = "it is longer than the recipe's guidance_tokens"
            apart = []
        tasks = tuple(tuple(self._pairs(task, constraint.id, guidance.text)) for task in apart)
        return _Candidate(constraint, len(ordered) - len(strange), tasks)

    def _pairs(self, task: BenchTask, constraint: str, guidance: str) -> Iterator[_Pair]:
        for agent in self._conditions.agents:
            for settings in self._conditions.settings:
                yield _Pair(agent, settings, Job(task, guidance, (constraint,)), Job(task))

    # ---- attempts

    def _next(self, candidates: Sequence[_Candidate], state: _State) -> list[_Attempt]:
        """The attempts of the next tasks: of every open candidate in turn one, up to as many as run
        at once, as far as the budget allows. A task is begun whole or not at all."""
        left = self._conditions.budget - self._spent()
        batch: dict[Name, _Attempt] = {}
        waiting = {
            each.constraint.id: iter([task for task in each.tasks if not state.ended(task)])
            for each in candidates
        }
        tasks = 0
        while waiting and tasks < max(self._conditions.parallel, len(candidates)):
            for name in list(waiting):
                task = next(waiting[name], None)
                fresh = _missing(task or (), state, batch)
                if task is None or self._most(len(batch) + len(fresh)) > left:
                    del waiting[name]
                    continue
                batch |= fresh
                tasks += 1
        return list(batch.values())

    def _attempt(self, batch: Sequence[_Attempt]) -> None:
        conditions = self._conditions
        runner = Runner(conditions.sandbox, conditions.parallel, (), conditions.progress)
        groups: dict[tuple[AgentSpec, Settings], list[Job]] = {}
        for _, agent, settings, job in batch:
            groups.setdefault((agent, settings), []).append(job)
        for (agent, settings), jobs in groups.items():
            evaluation = Evaluation(
                agent,
                settings,
                conditions.log_dir,
                runner.sandbox,
                runner.parallel,
                runner.progress,
            )
            for report in runner.attempt(jobs, evaluation):
                if report.unattempted:
                    raise ModelError(
                        f"{report.unattempted} attempts of {agent.name!r} were not made: "
                        f"{report.first_error!r}. Next: the same command again; what was finished "
                        "is not repeated"
                    )

    def _most(self, attempts: int) -> int:
        """Calls that so many attempts can take."""
        return attempts * self._conditions.turns

    def _spent(self) -> int:
        """Calls in the logs by attempts of this trial, those without a verdict included."""
        names = {
            name
            for candidate in self._candidates
            for task in candidate.tasks
            for pair in task
            for name in pair.names
        }
        return _calls(self._conditions.log_dir, names, self._conditions.turns)

    # ---- verdicts

    def _verdict(self, candidate: _Candidate, state: _State) -> Verdict:
        return decide(_differences(candidate, state), self._rules)

    def _settled(self, candidate: _Candidate, state: _State) -> bool:
        """Whether the candidate is decided; then the bank says so."""
        if self._verdict(candidate, state).says == "undecided":
            return False
        self._conclude(candidate, state)
        return True

    def _conclude(self, candidate: _Candidate, state: _State) -> None:
        verdict = self._verdict(candidate, state)
        self._bank.conclude_trial(
            candidate.constraint.id,
            _STATUS[verdict.says],
            actor=ACTOR,
            reason=self._words(candidate, verdict),
            needed=self._needed,
        )

    def _words(self, candidate: _Candidate, verdict: Verdict) -> str:
        conditions = self._conditions
        agents = ", ".join(sorted(agent.name for agent in conditions.agents))
        said = f"{verdict.words}; on {conditions.suite!r} with {agents}"
        if verdict.says != "undecided":
            return said
        needed = self._needs(verdict)
        more = "nothing points either way yet" if needed is None else f"about {needed} calls more"
        if not candidate.tasks:
            return f"{said}; to decide it needs: tasks of its category"
        unused = len(candidate.tasks) - verdict.tasks
        if verdict.needs and verdict.needs > unused:
            more += f" and {verdict.needs - unused} tasks more than there are"
        return f"{said}; to decide it needs: {more}"

    def _needs(self, verdict: Verdict) -> int | None:
        if verdict.needs is None:
            return None
        pairs = len(self._conditions.agents) * len(self._conditions.seeds)
        return verdict.needs * pairs * 2 * self._conditions.turns

    def _store(self, state: _State) -> int:
        """Keep every pair with both verdicts in the bank; how many were new."""
        found = [
            TrialPair(
                constraint_id=candidate.constraint.id,
                agent=pair.agent.name,
                attempt=pair.names[0][1],
                suite=self._conditions.suite,
                task=pair.bare.task.task_id,
                seed=pair.settings.seed,
                solved_with=solved[0],
                solved_without=solved[1],
            )
            for candidate in self._candidates
            for task in candidate.tasks
            for pair in task
            if (solved := pair.solved(state.done)) is not None
        ]
        return self._bank.add_trial(found).new if found else 0

    # ---- reports

    def _outline(self, candidate: _Candidate) -> Candidacy:
        constraint = candidate.constraint
        return Candidacy(
            constraint=constraint.id,
            text=constraint.text,
            category=constraint.category.name,
            tasks=len(candidate.tasks),
            sources=candidate.sources,
        )

    def _outcome(self, candidate: _Candidate, state: _State) -> Candidacy:
        verdict = self._verdict(candidate, state)
        ended = [pair for task in _ended(candidate, state) for pair in task]
        status = self._bank.constraint(candidate.constraint.id).status
        words = self._words(candidate, verdict)
        if verdict.says == "helps" and status == "quarantined":
            words += "; it waits for trust in its sources: memcollab bank quarantine"
        return self._outline(candidate).model_copy(
            update={
                "says": verdict.says,
                "status": status,
                "words": words,
                "tried": verdict.tasks,
                "better": verdict.better,
                "worse": verdict.worse,
                "uplift": verdict.uplift,
                "low": verdict.low,
                "high": verdict.high,
                "unjudged": sum(pair.solved(state.done) is None for pair in ended),
                "needs": self._needs(verdict),
            }
        )

    def _report(self, found: Sequence[Candidacy], state: _State) -> TrialReport:
        conditions = self._conditions
        missing: dict[Name, _Attempt] = {}
        for candidate in self._candidates:
            for task in candidate.tasks:
                missing |= _missing(task, state, missing)
        return TrialReport(
            suite=conditions.suite,
            agents=tuple(agent.name for agent in conditions.agents),
            seeds=conditions.seeds,
            budget=conditions.budget,
            spent=self._spent(),
            most=self._most(len(missing)),
            log_dir=str(conditions.log_dir),
            candidates=tuple(found),
            left_out=self._left_out,
        )


_Attempt = tuple[Name, AgentSpec, Settings, Job]


def _missing(task: Sequence[_Pair], state: _State, but: Collection[Name]) -> dict[Name, _Attempt]:
    """The attempts at a task that are still to be made, without those named."""
    return {
        name: (name, pair.agent, pair.settings, job)
        for pair in task
        for name, job in zip(pair.names, (pair.shown, pair.bare), strict=True)
        if name not in but and not state.has(name)
    }


def _ended(candidate: _Candidate, state: _State) -> Iterator[tuple[_Pair, ...]]:
    """The candidate's tasks up to the first at which something is left to attempt: a later one that
    another candidate has paid for already must not overtake it."""
    for task in candidate.tasks:
        if not state.ended(task):
            return
        yield task


def _differences(candidate: _Candidate, state: _State) -> list[float]:
    """With less without, of every task that ended and has a pair with both verdicts."""
    found = []
    for task in _ended(candidate, state):
        solved = [pair.solved(state.done) for pair in task]
        each = [int(both[0]) - int(both[1]) for both in solved if both is not None]
        if each:
            found.append(fmean(each))
    return found


def _filed(memory: MemCollab, tasks: Sequence[BenchTask]) -> dict[str, str]:
    """The category of each task, as a recall for it would file it."""
    return {task.task_id: memory.recall(task.task, store=False).decision.top.name for task in tasks}


def _calls(log_dir: Path, names: Collection[Name], turns: int) -> int:
    """Model calls of every sample of these attempts in the logs. One that failed after the model
    had answered does not say how often, and counts as all its turns."""
    total = 0
    for _, sample in samples(log_dir):
        name = sample.metadata.get("memcollab_model"), sample.metadata.get("memcollab_digest")
        if name not in names:
            continue
        if judged(sample):
            score = next(iter((sample.scores or {}).values()))
            total += int((score.metadata or {}).get("turns") or 0)
        elif sample.model_usage:
            total += turns
    return total
