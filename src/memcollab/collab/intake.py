"""What comes in from the sources: counted as it passes, secrets taken out, judged runs only, our
guidance cut out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from memcollab.guide import strip_guidance
from memcollab.records import LearnReport, Rejected, Trajectory
from memcollab.scrub import Scrubber

Progress = Callable[[str, int, int | None], None]
_NAMED_REJECTIONS = 1000


@dataclass
class Intake:
    """What came in from the sources, counted as it passes; only judged runs go on."""

    exclude: frozenset[str]
    progress: Progress | None
    seen: int = 0
    judged: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejected] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    scrubbed: Counter[str] = field(default_factory=Counter)
    tasks: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)

    def judged_runs(self, runs: Iterable[Trajectory | Rejected]) -> Iterator[Trajectory]:
        """Count every run; yield those that tell right from wrong, without secrets and without our
        own guidance."""
        for run in runs:
            self.seen += 1
            if self.progress and self.seen % 100 == 0:
                self.progress("reading runs", self.seen, None)
            if isinstance(run, Trajectory) and run.agent.model in self.exclude:
                run = Rejected(origin=run.origin, reason="excluded-agent", detail=run.agent.model)
            if isinstance(run, Rejected):
                self._reject(run)
                continue
            run = self._scrubbed(run)
            self.tasks.add(run.task.id)
            self.agents.add(run.agent.model)
            if run.verdict.solved is None:
                self.unjudged[run.verdict.reason or "no verdict"] += 1
                continue
            self.judged += 1
            yield without_guidance(run)

    def _scrubbed(self, run: Trajectory) -> Trajectory:
        scrub = Scrubber()
        run = scrub.run(run)
        self.scrubbed.update(scrub.kinds)
        return run

    def _reject(self, run: Rejected) -> None:
        self.rejected[run.reason] += 1
        if len(self.rejections) < _NAMED_REJECTIONS:
            self.rejections.append(run)

    def report(self) -> LearnReport:
        """The counts, as the beginning of what a learn reports."""
        return LearnReport(
            seen=self.seen,
            judged=self.judged,
            unjudged=self.unjudged.total(),
            unjudged_reasons=dict(sorted(self.unjudged.items())),
            rejected=dict(sorted(self.rejected.items())),
            rejections=tuple(self.rejections),
            skipped_files=tuple(self.skipped),
            scrubbed=dict(sorted(self.scrubbed.items())),
            tasks=len(self.tasks),
            agents=len(self.agents),
        )


def without_guidance(run: Trajectory) -> Trajectory:
    """The run without the guidance it was given: memory never re-learns itself."""
    cut = [strip_guidance(step.content) for step in run.steps]
    if all(text == step.content for text, step in zip(cut, run.steps, strict=True)):
        return run
    steps = (
        step.model_copy(update={"content": text}) for step, text in zip(run.steps, cut, strict=True)
    )
    return run.model_copy(update={"steps": tuple(steps)})
