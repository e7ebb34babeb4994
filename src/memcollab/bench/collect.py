"""``bench collect``: several models attempt the same tasks; the Inspect logs are what learn reads.

One Inspect evaluation per model, one log file each time it is called. What a log already holds
(same task, same model, same settings, no error) is not run again, so that a killed collection goes
on where it stopped by being called again. A sample whose model or sandbox failed is an error in
the log, never a wrong answer, and is run again by the next call.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memcollab.bench.evaluate import Attempted, Evaluation, Job, Settings, judged, require, tokens
from memcollab.bench.roster import AgentSpec, check_agents, ping
from memcollab.bench.tasks import BenchTask, load_tasks
from memcollab.records import Record, Usage

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample


class AgentReport(Record):
    """What one model did: ``tasks = known + solved + sum(failed) + errors + unattempted``."""

    model: str
    tasks: int
    known: int = 0
    solved: int = 0
    failed: Mapping[str, int] = {}
    errors: int = 0
    unattempted: int = 0
    first_error: str | None = None
    usage: Usage = Usage()
    log: str | None = None


class CollectReport(Record):
    """What a collection did, model by model; the logs lie in ``log_dir``."""

    log_dir: str
    sandbox: str
    agents: tuple[AgentReport, ...]

    @property
    def complete(self) -> bool:
        """Whether every task has a verdict for every model."""
        return not any(agent.errors or agent.unattempted for agent in self.agents)


def collect(
    tasks: Path | Sequence[BenchTask],
    agents: Sequence[AgentSpec | str],
    log_dir: Path,
    *,
    sandbox: str = "bubblewrap",
    turns: int = 5,
    max_tokens: int = 512,
    parallel: int = 2,
    seed: int = 0,
    temperature: float = 0.0,
    limit: int | None = None,
    resume: bool = True,
    progress: Callable[[Attempted], None] | None = None,
) -> CollectReport:
    """Let every agent attempt every task, one agent after the other.

    Args:
        tasks: a task file (`memcollab.bench.tasks`), or what it holds.
        agents: models, as `AgentSpec.parse` reads them.
        log_dir: where the Inspect logs go; ``memcollab learn`` reads it.
        sandbox: ``bubblewrap``, or ``none``: model-written code runs unconfined.
        turns: model calls per task at most.
        max_tokens: tokens per model call at most.
        parallel: tasks at once.
        limit: only the first so many tasks.
        resume: leave out what a log in ``log_dir`` already holds.
        progress: called after each verdict.

    Raises:
        MissingExtra: Inspect is not installed.
        UsageError: a task file, agent or option is not usable.
        SandboxError: model-written code cannot be confined here.
        ModelUnavailable: a server does not answer.
    """
    require(sandbox)
    todo = (load_tasks(tasks) if isinstance(tasks, Path) else tasks)[:limit]
    specs = [each if isinstance(each, AgentSpec) else AgentSpec.parse(each) for each in agents]
    check_agents(specs)
    log_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(turns, max_tokens, temperature, seed)
    jobs = [Job(task) for task in todo]
    reports = [
        attempt(Evaluation(spec, settings, log_dir, sandbox, parallel, progress), jobs, resume)
        for spec in specs
    ]
    return CollectReport(log_dir=str(log_dir), sandbox=sandbox, agents=tuple(reports))


def attempt(evaluation: Evaluation, jobs: Sequence[Job], resume: bool = True) -> AgentReport:
    """One model attempts the jobs; with ``resume`` those that no log holds yet."""
    missing = evaluation.missing(jobs) if resume else list(jobs)
    name, known = evaluation.spec.name, len(jobs) - len(missing)
    report = AgentReport(model=name, tasks=len(jobs), known=known)
    if not missing:
        return report
    ping(evaluation.spec)
    started = time.monotonic()
    log = evaluation.run(missing)
    return _told(report, log, len(missing), time.monotonic() - started)


def _told(report: AgentReport, log: EvalLog, asked: int, seconds: float) -> AgentReport:
    """The report with what the log of this call adds."""
    samples = log.samples or []
    scores = [next(iter((s.scores or {}).values())) for s in samples if judged(s)]
    failures = Counter(str((score.metadata or {}).get("failure")) for score in scores)
    solved = failures.pop("None", 0)
    errors = [sample.error.message for sample in samples if sample.error]
    if log.error is not None:
        errors.append(log.error.message)
    return report.model_copy(
        update={
            "solved": solved,
            "failed": dict(failures),
            "errors": sum(1 for sample in samples if sample.error),
            "unattempted": asked - len(scores) - sum(1 for s in samples if s.error),
            "first_error": errors[0] if errors else None,
            "usage": _usage(samples, seconds),
            "log": log.location,
        }
    )


def _usage(samples: Sequence[EvalSample], seconds: float) -> Usage:
    spent = [tokens(sample) for sample in samples]
    turns = [message for s in samples for message in s.messages if message.role == "assistant"]
    return Usage(
        turns=len(turns),
        input_tokens=sum(read for read, _ in spent),
        output_tokens=sum(written for _, written in spent),
        seconds=round(seconds, 1),
    )
