"""Inspect AI logs (``.eval`` and ``.json``) → runs, one for each sample and epoch.

Read by the documented form of the logs, versions 1 and 2, without importing ``inspect_ai`` (3 s).
tests/test_sources_inspect.py compares with what ``inspect_ai`` reads.

What becomes what:

* task: the sample's input (of a list of messages the user's texts), with its choices; the key is
  the sample's id where that is a text (numbers are given by position and name no task);
  ``metadata.category`` is the label.
* agent: ``metadata.memcollab_model``, else the log's model; the harness is
  ``metadata.memcollab_harness``, else the log's solver, else the names of its plan's steps.
* verdict: the score named by ``metadata.memcollab_scorer``, else the first. ``C`` = 1, ``P`` = 0.5,
  ``I`` and ``N`` = 0, as in Inspect; solved is a score of 1. Not judged are: a sample with an error
  ("crashed"), one that was stopped by a limit ("limit"), one made invalid, a score that is no
  number from 0 to 1.
* usage: what the log's model used, cached input included; seconds are working time.
* shown: ``metadata.memcollab_shown``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

from memcollab.records import Rejected, Step, Trajectory, Usage, Verdict
from memcollab.sources.archives import Entry, ZipArchive
from memcollab.sources.files import MAX_RECORD, RunFile
from memcollab.sources.jsontext import elements, parse
from memcollab.sources.messages import after_prompt, read_steps, text_of
from memcollab.sources.nouns import agent_record, task_record
from memcollab.sources.rejections import Unfit, rejected, shown
from memcollab.sources.streams import Readable

_HEAD = 64 * 1024
_OPENING = re.compile(rb'\s*(\xef\xbb\xbf)?\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')
_LARGE = 8 * 1024 * 1024
_UNREAD = {"events", "events_data", "store", "timelines", "transcript", "error_retries", "output"}
_VALUES: Final[Mapping[str, float]] = {
    "C": 1.0,
    "I": 0.0,
    "P": 0.5,
    "N": 0.0,
    "yes": 1.0,
    "true": 1.0,
    "no": 0.0,
    "false": 0.0,
}
_ATTACHED = ("attachment://", "tc://")


class InspectSource:
    """Inspect AI logs, one file or a folder of them."""

    name = "inspect"

    def claims(self, file: RunFile) -> bool:
        """``.eval`` files, and ``.json`` files that begin as a log does."""
        suffix = file.path.suffix.lower()
        if suffix == ".eval":
            return True
        return suffix == ".json" and bool(_OPENING.match(file.peek(_HEAD)))

    def read(self, file: RunFile) -> Iterator[Trajectory | Rejected]:
        """Its runs; origins are ``file:sample id``, with the epoch behind it from the second on."""
        read = _eval_log if file.path.suffix.lower() == ".eval" else _json_log
        empty = True
        for run in read(file):
            empty = False
            yield run
        if empty:
            yield rejected(file.name, Unfit("empty", "the log holds no sample"))


# --- the two forms of a log ------------------------------------------------------------------


def _json_log(file: RunFile) -> Iterator[Trajectory | Rejected]:
    header: dict[str, Any] = {}
    number = 0
    try:
        for key, part in elements(file, into="samples"):
            if key == "samples":
                number += 1
                yield _run(file, str(number), header, part)
            elif key in ("eval", "plan") and isinstance(part, bytes):
                header[key] = parse(part)
    except Unfit as problem:
        yield rejected(f"{file.name}:{number + 1}" if number else file.name, problem)


def _eval_log(file: RunFile) -> Iterator[Trajectory | Rejected]:
    with ExitStack() as stack:
        copy = file.seekable(stack)
        archive = ZipArchive(copy, file.budget, file.problem)
        entries = {entry.name: entry for entry in archive.entries}
        samples = [entry for name, entry in entries.items() if _is_sample(name)]
        try:
            header = _header(archive, entries) if samples else {}
            for entry in samples:
                record = entry.name.removeprefix("samples/").removesuffix(".json")
                yield _run(file, record, header, _sample_text(archive, entry))
        except Unfit as problem:
            yield rejected(file.name, problem)
        if archive.problem and not archive.problem.reported:
            yield rejected(file.name, archive.problem)


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _header(archive: ZipArchive, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """The log's head: written at its end or, where it was stopped, at its start."""
    for name in ("header.json", "_journal/start.json"):
        if name in entries:
            value = parse(_all(archive.open(entries[name])))
            if isinstance(value, dict):
                return value
    raise Unfit("missing-field", "the log has neither header.json nor _journal/start.json")


def _all(stream: Readable) -> bytes:
    parts, have = [], 0
    while data := stream.read(1 << 18):
        have += len(data)
        if have > MAX_RECORD:
            raise Unfit("too-large", f"more than {MAX_RECORD} bytes in one sample")
        parts.append(data)
    return b"".join(parts)


def _sample_text(archive: ZipArchive, entry: Entry) -> bytes | dict[str, Any] | Unfit:
    """A sample's JSON; of a large one only the fields that are read, because its events, which
    repeat the messages of every turn, may be many times as long."""
    try:
        stream = archive.open(entry)
        if entry.size <= _LARGE:
            return _all(stream)
        return {
            key: _part(part)
            for key, part in elements(stream)
            if key is not None and key not in _UNREAD
        }
    except Unfit as problem:
        return problem


def _part(part: bytes | Unfit) -> Any:
    if isinstance(part, Unfit):
        raise part
    return parse(part)


# --- one sample ------------------------------------------------------------------------------


def _run(
    file: RunFile, record: str, header: Mapping[str, Any], part: bytes | dict[str, Any] | Unfit
) -> Trajectory | Rejected:
    origin = f"{file.name}:{record}"
    try:
        if isinstance(part, Unfit):
            raise part
        sample = parse(part) if isinstance(part, bytes) else part
        if not isinstance(sample, dict):
            raise Unfit("wrong-type", f"a sample must be an object, not {shown(sample)}")
        origin = _origin(file, record, sample)
        return _trajectory(origin, header, sample)
    except Unfit as problem:
        return rejected(origin, problem)


def _origin(file: RunFile, record: str, sample: Mapping[str, Any]) -> str:
    name = sample.get("id", record)
    epoch = sample.get("epoch")
    text = name if isinstance(name, str) else shown(name)
    return f"{file.name}:{text}" + (f" (epoch {epoch})" if epoch not in (None, 1) else "")


def _trajectory(origin: str, header: Mapping[str, Any], sample: Mapping[str, Any]) -> Trajectory:
    spec, metadata = _table(header, "eval"), _table(sample, "metadata")
    model = spec.get("model")
    if not isinstance(model, str):
        raise Unfit("unknown-model", f"eval.model is {shown(model)}")
    attached = _attachments(sample)
    text = _task_text(sample, attached)
    name = sample.get("id")
    steps = _steps(sample, attached, text)
    verdict = _verdict(sample, metadata)
    if not steps and verdict.solved is not None:
        raise Unfit("no-messages", "nothing behind the sample's input")
    epoch = sample.get("epoch")
    return Trajectory(
        task=task_record(text, name if isinstance(name, str) and name else None, _label(metadata)),
        agent=agent_record(_model(metadata, model), _harness(header, spec, metadata)),
        steps=steps,
        verdict=verdict,
        usage=_usage(sample, model),
        run=str(epoch) if isinstance(epoch, int) and epoch > 1 else None,
        shown=_shown(metadata),
        origin=origin,
    )


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _label(metadata: Mapping[str, Any]) -> str | None:
    label = metadata.get("category")
    return label if isinstance(label, str) and label.strip("/") else None


def _model(metadata: Mapping[str, Any], logged: str) -> str:
    """The name that ``bench collect`` gave the model: the log's own holds Inspect's route to it."""
    given = metadata.get("memcollab_model")
    return given if isinstance(given, str) and given else logged


def _shown(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    ids = metadata.get("memcollab_shown")
    return tuple(item for item in ids if isinstance(item, str)) if isinstance(ids, list) else ()


def _harness(
    header: Mapping[str, Any], spec: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str | None:
    for given in (metadata.get("memcollab_harness"), spec.get("solver")):
        if isinstance(given, str) and given:
            return given
    steps = _table(header, "plan").get("steps")
    names = [step.get("solver") for step in steps or () if isinstance(step, dict)]
    return "+".join(name for name in names if isinstance(name, str)) or None


def _attachments(sample: Mapping[str, Any]) -> Mapping[str, Any]:
    """Long texts that messages name by their hash; logs of 2024 keep them in the transcript."""
    return {**_table(_table(sample, "transcript"), "content"), **_table(sample, "attachments")}


def _resolved(value: Any, attached: Mapping[str, Any]) -> Any:
    """``value`` with the attachments it names in place."""
    if not attached:
        return value
    try:
        return _with(value, attached)
    except RecursionError as error:
        raise Unfit("wrong-type", "messages are nested too deep") from error


def _with(value: Any, attached: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        for prefix in _ATTACHED:
            if value.startswith(prefix):
                return attached.get(value.removeprefix(prefix), value)
        return value
    if isinstance(value, list):
        return [_with(item, attached) for item in value]
    if isinstance(value, dict):
        return {key: _with(item, attached) for key, item in value.items()}
    return value


def _task_text(sample: Mapping[str, Any], attached: Mapping[str, Any]) -> str:
    given = _resolved(sample.get("input"), attached)
    if isinstance(given, list):
        messages = read_steps(given)
        given = "\n\n".join(step.content for step in messages if step.role == "user")
    if given is not None and not isinstance(given, str):
        raise Unfit("wrong-type", f"input must be a text or messages, not {shown(given)}")
    if not given or not given.strip():
        raise Unfit("missing-field", "input")
    choices = sample.get("choices")
    if not isinstance(choices, list) or not choices:
        return given
    letters = (chr(ord("A") + index) for index in range(len(choices)))
    listed = (
        f"{letter}) {text_of(choice)}" for letter, choice in zip(letters, choices, strict=True)
    )
    return "\n".join((given, "", *listed))


def _steps(
    sample: Mapping[str, Any], attached: Mapping[str, Any], task_text: str
) -> tuple[Step, ...]:
    messages = _resolved(sample.get("messages"), attached)
    if messages is None:
        return ()
    if isinstance(messages, list):
        messages = [*_without_input(messages)]
    return after_prompt(read_steps(messages), task_text)


def _without_input(messages: Iterable[Any]) -> Iterator[Any]:
    """The messages behind those that came with the sample (examples it was shown, too)."""
    begun = False
    for message in messages:
        own = isinstance(message, dict) and message.get("source") == "input"
        begun = begun or not (own or _is_system(message))
        if begun:
            yield message


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"


# --- verdict and usage -----------------------------------------------------------------------


def _verdict(sample: Mapping[str, Any], metadata: Mapping[str, Any]) -> Verdict:
    judge, score = _score(sample, metadata)
    value = _value(score.get("value"))
    stopped = _stopped(sample)
    if stopped is None and not score:
        stopped = "no verdict"
    if stopped is None and value is None:
        given = score.get("reason")
        stopped = given[:80] if isinstance(given, str) and given else "score is no number"
    if stopped is None and value is not None and not 0 <= value <= 1:
        stopped = "score out of range"
    solved = None if stopped or value is None else value >= 1
    return Verdict(solved=solved, score=value, judge=judge, reason=stopped)


def _stopped(sample: Mapping[str, Any]) -> str | None:
    """Why a score, if there is one, is no verdict on the model."""
    names = {"error": "crashed", "limit": "limit", "invalidation": "invalidated"}
    return next((reason for key, reason in names.items() if sample.get(key)), None)


def _score(
    sample: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[str | None, Mapping[str, Any]]:
    """The scorer that counts, and its score; logs of 2024 have one without a name."""
    scores = dict(_table(sample, "scores"))
    if isinstance(sample.get("score"), dict):
        scores.setdefault("score", sample["score"])
    wanted = metadata.get("memcollab_scorer")
    name = wanted if isinstance(wanted, str) and wanted in scores else next(iter(scores), None)
    return name, _table(scores, name) if name is not None else {}


def _value(value: Any) -> float | None:
    if isinstance(value, str):
        value = _VALUES.get(value, _VALUES.get(value.lower(), value))
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _usage(sample: Mapping[str, Any], model: str) -> Usage:
    used = _table(sample, "model_usage")
    own = _table(used, model) if model in used else _only(used)
    cached = ("input_tokens_cache_read", "input_tokens_cache_write")
    fresh = _count(own.get("input_tokens"))
    seconds = _amount(sample.get("working_time"))
    return Usage(
        turns=_count(sample.get("turn_count")),
        input_tokens=None
        if fresh is None
        else fresh + sum(_count(own.get(k)) or 0 for k in cached),
        output_tokens=_count(own.get("output_tokens")),
        seconds=_amount(sample.get("total_time")) if seconds is None else seconds,
        cost_usd=_amount(own.get("total_cost")),
    )


def _only(used: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage of the one model there is; with several, none can be told to be the agent's."""
    return _table(used, next(iter(used))) if len(used) == 1 else {}


def _amount(value: Any) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return float(value) if fits else None


def _count(value: Any) -> int | None:
    amount = _amount(value)
    return None if amount is None else int(amount)
