"""``bench collect``: several models attempt the same tasks; the Inspect logs are what learn reads.

One Inspect evaluation per model, one log file each time it is called. What a log already holds
(same task, same model, same settings, no error) is not run again, so that a killed collection goes
on where it stopped by being called again. A sample whose model or sandbox failed is an error in
the log, never a wrong answer, and is run again by the next call.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import importlib.util
import os
import tempfile
import time
import urllib.error
import urllib.request
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from memcollab.bench import confine
from memcollab.bench.tasks import BenchTask, State, load_tasks
from memcollab.errors import MissingExtra, ModelUnavailable, UsageError
from memcollab.records import Record, Usage

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog, EvalSample, EvalSampleSummary
    from inspect_ai.model import Model

LOG_FORMAT = 1
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_KEY = "MEMCOLLAB_API_KEY"
_REQUEST_SECONDS = 900
_NAME_IN_INSPECT = "openai-api/memcollab"


@dataclass(frozen=True)
class AgentSpec:
    """A model that attempts tasks: ``name`` as runs will know it, ``model`` as Inspect names it,
    ``url`` of an OpenAI-compatible server where there is one."""

    name: str
    model: str
    url: str | None = None

    @classmethod
    def parse(cls, text: str) -> AgentSpec:
        """Read ``MODEL@URL`` (an OpenAI-compatible server) or a name that Inspect knows, as
        ``openai/gpt-5-mini``. The runs are known by the part after the last slash.

        Raises:
            UsageError: it is neither.
        """
        name, at, url = text.rpartition("@")
        if at and name and urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname:
            return cls(_bare(name), f"{_NAME_IN_INSPECT}/{name}", url.rstrip("/"))
        if "/" in text.strip("/") and not at:
            return cls(_bare(text), text)
        raise UsageError(
            f"the agent {text!r} names no model. Valid: MODEL@http://HOST:PORT/v1 (any "
            "OpenAI-compatible server), or a name that Inspect knows, as openai/gpt-5-mini"
        )

    @property
    def key(self) -> str | None:
        """The key for the server at ``url``. One on this machine needs none.

        Raises:
            UsageError: another machine's server needs one, and there is none.
        """
        if self.url is None:
            return None
        key = os.environ.get(_KEY)
        if not key and urlsplit(self.url).hostname not in _LOOPBACK:
            raise UsageError(f"the server {self.url!r} needs a key. Next: export {_KEY}=…")
        return key or "none"


class Attempted(Record):
    """One sample that was finished or failed; what a progress display is told."""

    model: str
    task_id: str
    solved: bool
    done: int
    total: int


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


@dataclass(frozen=True)
class Settings:
    """What a run depends on besides its task and its model."""

    turns: int = 5
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0

    @property
    def digest(self) -> str:
        """A hash of the settings and of every word the harness says."""
        from memcollab.bench.agent import HARNESS, HARNESS_DIGEST

        content = [LOG_FORMAT, HARNESS, HARNESS_DIGEST, *self.__dict__.values()]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:12]


def collect(
    tasks: Path,
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
        tasks: a task file (`memcollab.bench.tasks`).
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
    _require_inspect()
    todo = load_tasks(tasks)[:limit]
    specs = [each if isinstance(each, AgentSpec) else AgentSpec.parse(each) for each in agents]
    _check_agents(specs)
    if sandbox == "none":
        warnings.warn("model-written code runs unconfined on this machine", stacklevel=2)
    confine.check(_kind(sandbox))
    log_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(turns, max_tokens, temperature, seed)
    reports = []
    for spec in specs:
        collection = _Collection(spec, todo, log_dir, settings, sandbox, parallel, progress)
        reports.append(collection.run(resume))
    return CollectReport(log_dir=str(log_dir), sandbox=sandbox, agents=tuple(reports))


@dataclass
class _Collection:
    """One model's part of a collection."""

    spec: AgentSpec
    tasks: Sequence[BenchTask]
    log_dir: Path
    settings: Settings
    sandbox: str
    parallel: int
    progress: Callable[[Attempted], None] | None

    def run(self, resume: bool) -> AgentReport:
        known = finished(self.log_dir, self.spec.name) if resume else set()
        missing = [task for task in self.tasks if self._digest(task) not in known]
        report = AgentReport(
            model=self.spec.name, tasks=len(self.tasks), known=len(self.tasks) - len(missing)
        )
        if not missing:
            return report
        _ping(self.spec)
        started = time.monotonic()
        with _quiet():
            log = self._evaluate(missing)
        return _told(report, log, len(missing), time.monotonic() - started)

    def _digest(self, task: BenchTask) -> str:
        return f"{task.digest}-{self.settings.digest}"

    def _evaluate(self, missing: Sequence[BenchTask]) -> EvalLog:
        from inspect_ai import eval as inspect_eval

        (log,) = inspect_eval(
            self._task(missing),
            model=self._model(),
            log_dir=str(self.log_dir),
            log_format="eval",
            # A killed collection keeps every finished sample, and holds no copy elsewhere.
            log_buffer=1,
            log_realtime=False,
            display="none",
            max_samples=self.parallel,
            max_sandboxes=self.parallel,
            # A few samples may fail for reasons of their own; a server that is gone fails all.
            fail_on_error=max(3, len(missing) // 10),
            score=True,
            ctl_server=False,
            acp_server=False,
            metadata={"memcollab_log_format": LOG_FORMAT, **self.settings.__dict__},
        )
        return log

    def _task(self, missing: Sequence[BenchTask]) -> Task:
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset

        from memcollab.bench.agent import python_turns
        from memcollab.bench.judge import judge
        from memcollab.bench.sandbox import environment_name

        done = Counter[str]()

        def count(task_id: str, solved: bool) -> None:
            done["done"] += 1
            if self.progress is not None:
                self.progress(
                    Attempted(
                        model=self.spec.name,
                        task_id=task_id,
                        solved=solved,
                        done=done["done"],
                        total=len(missing),
                    )
                )

        return Task(
            name="collect",
            dataset=MemoryDataset([self._sample(task) for task in missing], name="collect"),
            solver=python_turns(self.settings.turns),
            scorer=judge({task.task_id: task for task in missing}, count),
            sandbox=environment_name(self.sandbox),
        )

    def _sample(self, task: BenchTask) -> Any:
        from inspect_ai.dataset import Sample

        from memcollab.bench.agent import HARNESS

        metadata = {
            "category": task.category,
            "memcollab_harness": HARNESS,
            "memcollab_model": self.spec.name,
            "memcollab_digest": self._digest(task),
            "function": task.function,
            "acts": isinstance(task.checker, State),
        }
        files = dict(task.files)
        if task.module_text is not None:
            files[f"{confine.TOOLS}/{task.module_name}.py"] = task.module_text
        return Sample(
            id=task.task_id,
            input=task.task,
            target=task.checker.model_dump_json(),
            metadata={key: value for key, value in metadata.items() if value is not None},
            # Inspect takes a short string for the name of a file; a data URL is always content.
            files={name: _data_url(text) for name, text in files.items()} or None,
        )

    def _model(self) -> Model:
        from inspect_ai.model import GenerateConfig, get_model

        from memcollab.bench.agent import STOP

        config = GenerateConfig(
            temperature=self.settings.temperature,
            max_tokens=self.settings.max_tokens,
            seed=self.settings.seed,
            # Some hosted models refuse stop sequences; every OpenAI-compatible server knows them.
            stop_seqs=list(STOP) if self.spec.url else None,
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
    """Digests (task and settings) of the samples of ``model`` that the logs in ``log_dir`` hold
    with a verdict and without an error. A log that cannot be read is named in a warning."""
    from inspect_ai.log import read_eval_log_sample_summaries

    done = set()
    for path in sorted(log_dir.glob("*.eval")):
        try:
            samples = read_eval_log_sample_summaries(str(path))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            warnings.warn(f"{path.name} cannot be read: {error!r}", stacklevel=2)
            continue
        for sample in samples:
            digest = sample.metadata.get("memcollab_digest")
            if digest and sample.metadata.get("memcollab_model") == model and _judged(sample):
                done.add(digest)
    return done


def _judged(sample: EvalSample | EvalSampleSummary) -> bool:
    return sample.error is None and bool(sample.scores)


def _told(report: AgentReport, log: EvalLog, asked: int, seconds: float) -> AgentReport:
    """The report with what the log of this call adds."""
    samples = log.samples or []
    scores = [next(iter((s.scores or {}).values())) for s in samples if _judged(s)]
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
    spent = [usage for sample in samples for usage in sample.model_usage.values()]
    turns = [message for s in samples for message in s.messages if message.role == "assistant"]
    return Usage(
        turns=len(turns),
        # Inspect counts tokens that the server had in its cache apart.
        input_tokens=sum(each.input_tokens + (each.input_tokens_cache_read or 0) for each in spent),
        output_tokens=sum(usage.output_tokens for usage in spent),
        seconds=round(seconds, 1),
    )


def _require_inspect() -> None:
    for name in ("inspect_ai", "math_verify"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"memcollab bench (for {name})", "bench")


def _check_agents(specs: Sequence[AgentSpec]) -> None:
    names = Counter(spec.name for spec in specs)
    twice = [name for name, count in names.items() if count > 1]
    if not specs or twice:
        raise UsageError(
            f"the agents {twice!r} are given twice"
            if twice
            else "no agent was given. Next: --agent MODEL@http://HOST:PORT/v1"
        )
    for spec in specs:
        _ = spec.key


def _kind(sandbox: str) -> confine.Kind:
    for kind in confine.KINDS:
        if sandbox == kind:
            return kind
    raise UsageError(f"there is no sandbox {sandbox!r}. Valid: {', '.join(confine.KINDS)}")


def _ping(spec: AgentSpec) -> None:
    """Ask the server for its models, so that a server that is not there is said at once.

    Raises:
        ModelUnavailable: it does not answer, or refuses the key.
    """
    if spec.url is None:
        return
    request = urllib.request.Request(  # noqa: S310 - http or https, AgentSpec.parse saw to it
        f"{spec.url}/models", headers={"Authorization": f"Bearer {spec.key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        # A server without that route still answers; one that refuses the key refuses all.
        if error.code in {401, 403}:
            raise ModelUnavailable(f"{spec.url!r} refuses the key in {_KEY}") from None
    except OSError as error:
        raise ModelUnavailable(
            f"the server of {spec.name!r} at {spec.url!r} does not answer: {error}. "
            "Next: start it, or correct the URL after the @"
        ) from None


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
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            with warnings.catch_warnings():
                # It calls tenacity by a parameter that tenacity has renamed, and leaves streams and
                # connections to the garbage collector, which closes them here.
                warnings.filterwarnings("ignore", "The 'initial' parameter", DeprecationWarning)
                warnings.simplefilter("ignore", ResourceWarning)
                yield
                gc.collect()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _data_url(text: str) -> str:
    return "data:text/plain;base64," + base64.b64encode(text.encode()).decode()


def _bare(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1]
