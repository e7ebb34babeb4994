"""Logs as they may be passed on: whole, but for the texts of benchmarks that are not ours.

Every text of a withheld task and every checker, wherever it stands, becomes its id and the
beginning of its SHA-256; whoever has the benchmark puts it back with ``restore``. Inspect's events,
which repeat every message, go. Verdicts, usage, messages of the agent and guidance stay.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcollab.bench.suites import Suite
from memcollab.bench.suites.house_rules import is_drawn
from memcollab.errors import UsageError

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

WITHHELD = frozenset({"gsm8k", "math500", "mbpp", "humaneval"})


def publish(suites: Iterable[Suite], root: Path, out: Path) -> list[Path]:
    """Copy every log below ``root`` to the same place below ``out``, as the module says.

    Returns:
        The logs that are there now, in order. One whose content is there already is not touched, so
        that publishing anew changes what is new alone.

    Raises:
        UsageError: there is no log, ``out`` is ``root``, or a log holds a task of none of the
            suites, of which nobody knows whether its text may be passed on. Nothing is written.
    """
    suites = list(suites)
    _check_known(suites, root)
    return _copied(_withheld(suites), root, out)


def restore(suites: Iterable[Suite], root: Path, out: Path) -> list[Path]:
    """The reverse of ``publish``: the texts of ``suites`` stand where they were withheld. What was
    withheld of other tasks stays withheld.

    Returns, raises: as ``publish``.
    """
    instead = _withheld(suites)
    return _copied({name: text for text, name in instead.items()}, root, out)


def _check_known(suites: Iterable[Suite], root: Path) -> None:
    from inspect_ai.log import read_eval_log_sample_summaries

    tasks = {task.task_id for suite in suites for task in (*suite.build, *suite.test)}
    for path in sorted(root.rglob("*.eval")):
        for sample in read_eval_log_sample_summaries(str(path)):
            name = str(sample.id)
            if not _is_known(name, tasks):
                raise UsageError(
                    f"the log {path.name!r} holds the task {name!r}, which no suite of the "
                    "experiment has: its text could not be withheld. "
                    "Next: publish with the experiment that names every suite and task of the logs"
                )


def _is_known(sample_id: str, tasks: Set[str]) -> bool:
    """Whether it is one of the tasks, or one of ours: with guidance an id has a suffix, and tables
    with other seeds may share the folder."""
    ids = {sample_id, sample_id.rpartition("+")[0]}
    return not ids.isdisjoint(tasks) or any(map(is_drawn, ids))


def _copied(replaced: Mapping[str, str], root: Path, out: Path) -> list[Path]:
    from inspect_ai.log import read_eval_log, write_eval_log

    found = sorted(root.rglob("*.eval"))
    if not found or out.resolve() == root.resolve():
        raise UsageError(
            f"there is no Inspect log below {str(root)!r}, or it is where the copies were to go "
            f"({str(out)!r}). Next: memcollab bench run, or another folder for the copies"
        )
    written = []
    for path in found:
        log = read_eval_log(str(path), resolve_attachments=True)
        log.samples = [_replaced(sample, replaced) for sample in log.samples or []]
        target = out / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".partial")
        write_eval_log(log, str(fresh), format="eval")
        if target.exists() and _contents(fresh) == _contents(target):
            fresh.unlink()
        else:
            fresh.replace(target)
        written.append(target)
    return written


def _contents(log: Path) -> dict[str, int]:
    """Checksums of a log by member; its archive also holds when each was written."""
    with zipfile.ZipFile(log) as archive:
        return {member.filename: member.CRC for member in archive.infolist()}


def _withheld(suites: Iterable[Suite]) -> dict[str, str]:
    """What to put in place of each text that is withheld, the longest text first."""
    texts = {
        text: f"[withheld: {task.task_id}, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}]"
        for suite in suites
        if suite.name in WITHHELD
        for task in (*suite.build, *suite.test)
        for text in (task.task, task.checker.model_dump_json())
    }
    return dict(sorted(texts.items(), key=lambda entry: -len(entry[0])))


def _replaced(sample: EvalSample, replaced: Mapping[str, str]) -> EvalSample:
    bare = sample.model_copy(
        update={"events": [], "events_data": None, "attachments": {}, "timelines": None}
    )
    content = _without(bare.model_dump(mode="json", exclude_none=True), replaced)
    return type(sample).model_validate(content)


def _without(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for text, instead in replaced.items():
            if text in value:
                value = value.replace(text, instead)
        return value
    if isinstance(value, Mapping):
        return {key: _without(each, replaced) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, replaced) for each in value]
    return value
