"""A bank as JSONL: the way out. The format is described in design/bank.md.

One object a line, a header first, then every kind in an order in which a line refers to earlier
lines only, each kind sorted by id. Nothing in it depends on when or in how many attempts the bank
was learned: no change log, no sequence numbers, no times but those of recalls and outcomes (facts),
no caches. What was retracted or rolled back is left out: runs, what was made of them, and
constraints that nothing stands behind any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import orjson
import sqlalchemy as sa

from memcollab.bank import learning, memory, runs, trust
from memcollab.bank.lookup import stream
from memcollab.bank.rows import (
    Row,
    Stored,
    answer_from,
    canonical,
    contrast_from,
    run_usage_from,
    task_from,
    unpack_steps,
    usage_from,
    verdict_from,
)
from memcollab.bank.schema import (
    ANSWERS,
    CONSTRAINTS,
    CONTRASTS,
    DRAFTS,
    OUTCOMES,
    RECALLS,
    TABLE_OF_KIND,
    TASKS,
    TRAJECTORIES,
)
from memcollab.records import RECORD_FORMAT

EXPORT_FORMAT = "memcollab-bank"
EXPORT_VERSION = 1

# From a bank, and whether all of it is wanted, to the lines of one kind.
Lines = Callable[[sa.Connection, bool], Iterator[Row]]


class Sink(Protocol):
    """Anything that bytes can be written to."""

    def write(self, content: bytes, /) -> int: ...


def export(connection: sa.Connection, stream: Sink, *, whole: bool) -> dict[str, int]:
    """Write the bank, or without ``whole`` its light share; lines written by kind."""
    header = {
        "type": "header",
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "records": RECORD_FORMAT,
        "runs": whole,
    }
    _write(stream, header)
    counts: Counter[str] = Counter()
    for kind in TABLE_OF_KIND:
        if not whole and kind in _NEVER_LIGHT:
            continue
        for line in _LINES[kind](connection, whole):
            _write(stream, {"type": kind, **line})
            counts[kind] += 1
    return dict(counts)


def _write(stream: Sink, value: Mapping[str, Any]) -> None:
    stream.write(canonical(value) + b"\n")


# A light share is what recalling and tracing need, and nothing that no screen has seen: no message
# of any run, no raw answer, no refused draft, and nobody's own tasks.
_NEVER_LIGHT = {"answer", "recall", "outcome"}


def _task_lines(connection: sa.Connection, whole: bool) -> Iterator[Row]:
    statement = sa.select(TASKS).order_by(TASKS.c.id)
    if not whole:
        learned = sa.exists().where(CONTRASTS.c.task_id == TASKS.c.id)
        statement = statement.where(sa.or_(TASKS.c.category.is_not(None), learned))
    for row in stream(connection, statement):
        yield {"id": row["id"], **task_from(row).model_dump(mode="json")}


def _run_lines(connection: sa.Connection, whole: bool) -> Iterator[Row]:
    statement = runs.whole_runs().order_by(TRAJECTORIES.c.id)
    statement = statement.where(~trust.retracted_run(TRAJECTORIES.c.id))
    if not whole:
        pair = sa.or_(
            CONTRASTS.c.preferred == TRAJECTORIES.c.id, CONTRASTS.c.other == TRAJECTORIES.c.id
        )
        statement = statement.where(sa.exists().where(pair))
    for row in stream(connection, statement):
        yield _run_line(row, whole=whole and row["content"] is not None)


def _run_line(row: Stored, *, whole: bool) -> Row:
    usage = run_usage_from(row) if whole else usage_from(row)
    return {
        "id": row["id"],
        "task_id": row["task_id"],
        "agent": {"model": row["model"], "harness": row["harness"], "family": row["family"]},
        "run": row["run"],
        "verdict": verdict_from(row).model_dump(mode="json"),
        "usage": usage.model_dump(mode="json"),
        "shown": orjson.loads(row["shown"]),
        "origin": row["origin"] if whole else "",
        # Stored as canonical JSON already: embedded as it is.
        "steps": orjson.Fragment(unpack_steps(row["content"])) if whole else None,
    }


def _contrast_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    statement = sa.select(CONTRASTS).where(~trust.retracted_contrast()).order_by(CONTRASTS.c.id)
    for row in connection.execute(statement).mappings():
        yield {"id": row["id"], **contrast_from(row).model_dump(mode="json")}


def _constraint_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    gone = _gone(connection)
    for constraint in memory.all_constraints(connection):
        if constraint.id not in gone:
            yield {"id": constraint.id, **constraint.model_dump(mode="json")}


def _gone(connection: sa.Connection) -> set[str]:
    """Constraints that are retired because nothing stands behind them any more."""
    bare = sa.select(CONSTRAINTS.c.id).where(
        CONSTRAINTS.c.status == "retired", CONSTRAINTS.c.support_contrasts == 0
    )
    ids = set(connection.execute(bare).scalars())
    return ids - memory.decided_ids(connection, ids)


def _answer_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    statement = (
        sa.select(ANSWERS)
        .join(CONTRASTS, CONTRASTS.c.id == ANSWERS.c.contrast_id)
        .where(~trust.retracted_contrast())
        .order_by(ANSWERS.c.request_id, ANSWERS.c.writer)
    )
    for row in stream(connection, statement):
        line = answer_from(row).model_dump(mode="json")
        # How long the answer took is a time of learning, not a part of what was learned.
        del line["usage"]["seconds"]
        yield line


def _draft_lines(connection: sa.Connection, whole: bool) -> Iterator[Row]:
    statement = (
        sa.select(DRAFTS)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .where(~trust.retracted_draft(), DRAFTS.c.counted.is_not(sa.false()))
        .order_by(DRAFTS.c.id)
    )
    if not whole:
        statement = statement.where(DRAFTS.c.refused.is_(None))
    for row in stream(connection, statement):
        screened = learning.screened_from(row).model_dump(mode="json")
        yield {"id": row["id"], "constraint_id": row["constraint_id"], **screened}


def _conflict_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    gone = _gone(connection)
    for first, second in memory.conflicts(connection, None):
        if gone & {first, second}:
            continue
        yield {"first": first, "second": second}


def _recall_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    for row in stream(connection, sa.select(RECALLS).order_by(RECALLS.c.id)):
        yield {"id": row["id"], "at": row["at"], "recall": orjson.loads(row["content"])}


def _outcome_lines(connection: sa.Connection, _whole: bool) -> Iterator[Row]:
    for row in stream(connection, sa.select(OUTCOMES).order_by(OUTCOMES.c.recall_id)):
        yield {"at": row["at"], "outcome": orjson.loads(row["content"])}


_LINES: dict[str, Lines] = {
    "task": _task_lines,
    "run": _run_lines,
    "contrast": _contrast_lines,
    "answer": _answer_lines,
    "constraint": _constraint_lines,
    "draft": _draft_lines,
    "conflict": _conflict_lines,
    "recall": _recall_lines,
    "outcome": _outcome_lines,
}
