"""One model attempts tasks, by Inspect: jobs in, an Inspect log out.

What a log already holds with a verdict (same task, model, settings and guidance) is known by its
digest and need not be run again. A sample whose model or sandbox failed is an error in the log,
never a wrong answer.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import importlib.util
import os
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from memcollab.bench import conditions, confine
from memcollab.bench.roster import AgentSpec
from memcollab.bench.tasks import BenchTask, State
from memcollab.errors import MissingExtra, UsageError
from memcollab.guide import Place
from memcollab.records import Record

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog, EvalSample, EvalSampleSummary
    from inspect_ai.model import Model

LOG_FORMAT = 1
_REQUEST_SECONDS = 900
Harness = Literal["python-turns", "single-turn"]


class Attempted(Record):
    """One sample that was finished or failed; what a progress display is told."""

    model: str
    task_id: str
    solved: bool
    done: int
    total: int


@dataclass(frozen=True)
class Settings:
    """What a run depends on besides its task, its model and its guidance."""

    turns: int = 5
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    harness: Harness = "python-turns"

    @property
    def digest(self) -> str:
        """A hash of the settings and of every word the harness says."""
        from memcollab.bench import agent

        words = agent.SINGLE_DIGEST if self.harness == agent.SINGLE else agent.HARNESS_DIGEST
        numbers = [self.turns, self.max_tokens, self.temperature, self.seed]
        content = [LOG_FORMAT, self.harness, words, *numbers]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:12]


@dataclass(frozen=True)
class Job:
    """A task, and the guidance that is given with it, after its text or before it; ``shown`` are
    the ids of its constraints."""

    task: BenchTask
    guidance: str = ""
    shown: tuple[str, ...] = ()
    place: Place = "after"

    def digest(self, settings: Settings) -> str:
        """What is run, hashed: two jobs of one digest are the same measurement."""
        parts = [self.task.digest, settings.digest]
        if self.guidance:
            # As in logs that are older than the choice of a place.
            content = self.guidance if self.place == "after" else f"{self.place}: {self.guidance}"
            parts.append(hashlib.sha256(content.encode()).hexdigest()[:12])
        return "-".join(parts)

    def sample_id(self, settings: Settings) -> str:
        """The task's id; with guidance, one of its own beside it."""
        if not self.guidance:
            return self.task.task_id
        return f"{self.task.task_id}+{self.digest(settings).rsplit('-', 1)[1]}"


@dataclass(frozen=True)
class Evaluation:
    """One model, with the settings and the place of its logs."""

    spec: AgentSpec
    settings: Settings
    log_dir: Path
    sandbox: str = "bubblewrap"
    parallel: int = 2
    progress: Callable[[Attempted], None] | None = None

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the jobs that no log holds with a verdict, each once."""
        known = finished(self.log_dir, self.spec.name)
        todo = {job.digest(self.settings): job for job in reversed(jobs)}
        return [job for digest, job in reversed(todo.items()) if digest not in known]

    def run(self, jobs: Sequence[Job]) -> EvalLog:
        """Let the model attempt the jobs; the log holds a sample for each."""
        from inspect_ai import eval as inspect_eval

        with _quiet():
            (log,) = inspect_eval(
                self._task(jobs),
                model=self._model(),
                log_dir=str(self.log_dir),
                log_format="eval",
                # A killed run keeps every finished sample, and holds no copy elsewhere.
                log_buffer=1,
                log_realtime=False,
                display="none",
                max_samples=self.parallel,
                max_sandboxes=self.parallel,
                # A few samples may fail for reasons of their own; a server that is gone fails all.
                fail_on_error=max(3, len(jobs) // 10),
                score=True,
                ctl_server=False,
                acp_server=False,
                metadata={
                    "memcollab_log_format": LOG_FORMAT,
                    **self.settings.__dict__,
                    **conditions.of_this_machine(),
                },
            )
        return log

    def _task(self, jobs: Sequence[Job]) -> Task:
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset

        from memcollab.bench import agent
        from memcollab.bench.judge import judge
        from memcollab.bench.sandbox import environment_name

        done = Counter[str]()

        def count(sample_id: str, solved: bool) -> None:
            done["done"] += 1
            if self.progress is not None:
                told = {"model": self.spec.name, "task_id": sample_id, "solved": solved}
                self.progress(Attempted(**told, done=done["done"], total=len(jobs)))

        turns = self.settings.turns
        solvers = {"python-turns": agent.python_turns(turns), "single-turn": agent.single_turn()}
        return Task(
            name="collect",
            dataset=MemoryDataset([self._sample(job) for job in jobs], name="collect"),
            solver=solvers[self.settings.harness],
            scorer=judge({job.sample_id(self.settings): job.task for job in jobs}, count),
            sandbox=environment_name(self.sandbox),
        )

    def _sample(self, job: Job) -> Any:
        from inspect_ai.dataset import Sample

        task = job.task
        metadata = {
            "category": task.category,
            "memcollab_task": task.task_id,
            "memcollab_harness": self.settings.harness,
            "memcollab_model": self.spec.name,
            "memcollab_digest": job.digest(self.settings),
            "memcollab_guidance": job.guidance or None,
            "memcollab_place": job.place if job.guidance and job.place != "after" else None,
            "memcollab_shown": list(job.shown) or None,
            "function": task.function,
            "acts": isinstance(task.checker, State),
        }
        files = dict(task.files)
        if task.module_text is not None:
            files[f"{confine.TOOLS}/{task.module_name}.py"] = task.module_text
        return Sample(
            id=job.sample_id(self.settings),
            input=task.task,
            target=task.checker.model_dump_json(),
            metadata={key: value for key, value in metadata.items() if value is not None},
            # Inspect takes a short string for the name of a file; a data URL is always content.
            files={name: _data_url(text) for name, text in files.items()} or None,
        )

    def _model(self) -> Model:
        from inspect_ai.model import GenerateConfig, get_model

        from memcollab.bench import agent

        # Some hosted models refuse stop sequences; every OpenAI-compatible server knows them. An
        # agent with one message only has no turn after it that an imagined output could spoil.
        stops = self.spec.url and self.settings.harness == agent.HARNESS
        config = GenerateConfig(
            temperature=self.settings.temperature,
            max_tokens=self.settings.max_tokens,
            seed=self.settings.seed,
            stop_seqs=list(agent.STOP) if stops else None,
            max_connections=self.parallel,
            max_retries=2,
            attempt_timeout=_REQUEST_SECONDS,
        )
        return get_model(
            self.spec.model,
            config=config,
            base_url=self.spec.url,
            api_key=self.spec.key,
            memoize=False,
        )


def finished(log_dir: Path, model: str) -> set[str]:
    """Digests of the samples of ``model`` that the logs hold with a verdict."""
    return {
        sample.metadata["memcollab_digest"]
        for _, sample in samples(log_dir)
        if sample.metadata.get("memcollab_model") == model
        and sample.metadata.get("memcollab_digest")
        and judged(sample)
    }


def samples(log_dir: Path) -> Iterator[tuple[Path, EvalSampleSummary]]:
    """Every sample of every log in a folder, summed up, in the order of the logs' names. A log that
    cannot be read is named in a warning."""
    from inspect_ai.log import read_eval_log_sample_summaries

    for path in sorted(log_dir.glob("*.eval")):
        try:
            summaries = read_eval_log_sample_summaries(str(path))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            warnings.warn(f"{path.name} cannot be read: {error!r}", stacklevel=2)
            continue
        for summary in summaries:
            yield path, summary


def tokens(sample: EvalSample | EvalSampleSummary) -> tuple[int, int]:
    """Tokens read and written over all models of a sample. Inspect counts those that the server had
    in its cache apart; here they were read."""
    spent = sample.model_usage.values()
    read = sum(each.input_tokens + (each.input_tokens_cache_read or 0) for each in spent)
    return read, sum(each.output_tokens for each in spent)


def judged(sample: EvalSample | EvalSampleSummary) -> bool:
    """Whether a sample has a verdict."""
    return sample.error is None and bool(sample.scores)


def require(sandbox: str) -> None:
    """See that Inspect is installed and that model-written code can be confined.

    Raises:
        MissingExtra, UsageError, SandboxError: one of it does not hold.
    """
    for name in ("inspect_ai", "math_verify"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"memcollab bench (for {name})", "bench")
    if sandbox == "none":
        warnings.warn("model-written code runs unconfined on this machine", stacklevel=2)
    confine.check(_kind(sandbox))


def _kind(sandbox: str) -> confine.Kind:
    for kind in confine.KINDS:
        if sandbox == kind:
            return kind
    raise UsageError(f"there is no sandbox {sandbox!r}. Valid: {', '.join(confine.KINDS)}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Inspect's traces and data out of the home folder, and its warnings from the caller."""
    with tempfile.TemporaryDirectory(prefix="memcollab-inspect-", ignore_cleanup_errors=True) as d:
        wanted = {
            "XDG_DATA_HOME": d,
            "XDG_CACHE_HOME": d,
            "INSPECT_TRACE_FILE": str(Path(d) / "trace.log"),
            "INSPECT_EVAL_LOG_FILE_PATTERN": "{task}_{model}_{id}",
        }
        with _environment(wanted), warnings.catch_warnings():
            # It calls tenacity by a parameter that tenacity has renamed, and leaves streams and
            # connections to the garbage collector, which closes them here.
            warnings.filterwarnings("ignore", "The 'initial' parameter", DeprecationWarning)
            warnings.simplefilter("ignore", ResourceWarning)
            yield
            gc.collect()


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _data_url(text: str) -> str:
    return "data:text/plain;base64," + base64.b64encode(text.encode()).decode()
