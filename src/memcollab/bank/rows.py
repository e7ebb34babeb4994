"""Records to rows and back. Pure: nothing here reads or writes a bank.

``*_row`` gives what is stored, ``*_from`` the record again, validated: that is faster than
pydantic's ``model_construct`` (3 against 7 microseconds for a constraint), which skips it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import orjson
import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from memcollab.errors import BankCorrupt
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Contrast,
    Record,
    RunSummary,
    Step,
    Task,
    Trajectory,
    Usage,
    Verdict,
)

P = ParamSpec("P")
R = TypeVar("R")
Row = dict[str, Any]
# A row as it is read: by name, whichever way SQLAlchemy gives it.
Stored = sa.RowMapping | Mapping[str, Any]


class StoredAnswer(Record):
    """What a writer model answered to one request, kept so that it is paid for once.

    ``usage`` is what it cost; ``tier`` the form in which it could be read.
    """

    request_id: str
    contrast_id: str
    writer: str
    prompt_hash: str
    tier: str
    text: str
    usage: Usage = Usage()


def reads(read: Callable[P, R]) -> Callable[P, R]:
    """A stored record that is none any more leaves as ``BankCorrupt``."""

    @wraps(read)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except (ValidationError, orjson.JSONDecodeError, zlib.error) as error:
            what = "; ".join(line.strip() for line in str(error).splitlines()[:3])
            raise BankCorrupt(
                f"a stored record cannot be read: {what}. Next: memcollab bank verify"
            ) from error

    return checked


def canonical(value: object) -> bytes:
    """JSON with sorted keys: the same value gives the same bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def canonical_text(value: object) -> str:
    """``canonical`` as text, for columns of text."""
    return canonical(value).decode()


def text_hash(text: str) -> str:
    """The key of a text in the cache of vectors: 40 hex digits of SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


# ---- tasks


def task_row(task: Task) -> Row:
    return {
        "id": task.id,
        "text": task.text,
        "key": task.key,
        **category_columns(task.category),
    }


@reads
def task_from(row: Stored) -> Task:
    return Task(text=row["text"], key=row["key"], category=category_from(row))


def category_columns(category: Category | None) -> Row:
    return {
        "category": category.name if category else None,
        "subcategory": category.subcategory if category else None,
    }


def category_from(row: Stored) -> Category | None:
    if row["category"] is None:
        return None
    return Category(name=row["category"], subcategory=row["subcategory"])


# ---- trajectories


def trajectory_row(trajectory: Trajectory) -> Row:
    usage, verdict, agent = trajectory.usage, trajectory.verdict, trajectory.agent
    return {
        "id": trajectory.id,
        "task_id": trajectory.task.id,
        "model": agent.model,
        "family": agent.family,
        "harness": agent.harness,
        "run": trajectory.run,
        "solved": verdict.solved,
        "score": verdict.score,
        "judge": verdict.judge,
        "reason": verdict.reason,
        "turns_given": usage.turns is not None,
        **usage_columns(usage),
        "turns": trajectory.turns,
        "shown": canonical_text(trajectory.shown),
        "origin": trajectory.origin,
    }


@reads
def trajectory_from(row: Stored, task: Task, steps: bytes) -> Trajectory:
    return Trajectory(
        task=task,
        agent=agent_from(row),
        steps=steps_from(steps),
        verdict=verdict_from(row),
        usage=run_usage_from(row),
        run=row["run"],
        shown=orjson.loads(row["shown"]),
        origin=row["origin"],
    )


def agent_from(row: Stored) -> Agent:
    return Agent(model=row["model"], harness=row["harness"], family=row["family"])


def verdict_from(row: Stored) -> Verdict:
    return Verdict(
        solved=row["solved"], score=row["score"], judge=row["judge"], reason=row["reason"]
    )


def usage_columns(usage: Usage) -> Row:
    return dict(usage)


def usage_from(row: Stored) -> Usage:
    return Usage(**{name: row[name] for name in Usage.model_fields})


def run_usage_from(row: Stored) -> Usage:
    """The usage as the source gave it: turns that were counted from the steps are left out."""
    usage = usage_from(row)
    return usage if row["turns_given"] else usage.model_copy(update={"turns": None})


def pack_steps(steps: Sequence[Step]) -> bytes:
    """Steps as they are stored: zlib over canonical JSON, fields at their default left out."""
    content = _steps_adapter().dump_python(tuple(steps), mode="json", exclude_defaults=True)
    return zlib.compress(canonical(content))


def unpack_steps(content: bytes) -> bytes:
    """The canonical JSON of stored steps."""
    return zlib.decompress(content)


def steps_from(content: bytes) -> tuple[Step, ...]:
    return _steps_adapter().validate_json(unpack_steps(content))


@cache
def _steps_adapter() -> TypeAdapter[tuple[Step, ...]]:
    return TypeAdapter(tuple[Step, ...])


SUMMARY_COLUMNS = (
    "id",
    "task_id",
    "model",
    "harness",
    "family",
    "solved",
    "turns",
    "input_tokens",
    "output_tokens",
)


@reads
def summary_from(row: Stored, agents: dict[tuple[str | None, ...], Agent]) -> RunSummary:
    """A summary, sharing one ``Agent`` among all runs of it; ``agents`` is filled on the way."""
    key = (row["model"], row["harness"], row["family"])
    if key not in agents:
        agents[key] = agent_from(row)
    tokens, more = row["input_tokens"], row["output_tokens"]
    if more is not None:
        tokens = (tokens or 0) + more
    return RunSummary(
        id=row["id"],
        task_id=row["task_id"],
        agent=agents[key],
        solved=row["solved"],
        turns=row["turns"],
        tokens=tokens,
    )


# ---- learning


def contrast_row(contrast: Contrast) -> Row:
    return {"id": contrast.id, **dict(contrast)}


@reads
def contrast_from(row: Stored) -> Contrast:
    return Contrast(
        task_id=row["task_id"], kind=row["kind"], preferred=row["preferred"], other=row["other"]
    )


def answer_row(answer: StoredAnswer) -> Row:
    row = {**dict(answer), **usage_columns(answer.usage)}
    del row["usage"]
    return row


@reads
def answer_from(row: Stored) -> StoredAnswer:
    named = {name: row[name] for name in StoredAnswer.model_fields if name != "usage"}
    return StoredAnswer(**named, usage=usage_from(row))


# ---- constraints


def constraint_row(constraint: Constraint) -> Row:
    support = constraint.support
    return {
        "id": constraint.id,
        "when": constraint.when,
        "enforce": constraint.enforce,
        "avoid": constraint.avoid,
        **category_columns(constraint.category),
        "scope": constraint.scope,
        "harness": constraint.harness,
        "status": constraint.status,
        "support_tasks": support.tasks,
        "support_contrasts": support.contrasts,
        "families_right": canonical_text(support.families_right),
        "families_wrong": canonical_text(support.families_wrong),
    }


@reads
def constraint_from(row: Stored) -> Constraint:
    # One validation of the whole, not one per part: a cold recall reads every constraint.
    return Constraint.model_validate(
        {
            **{name: row[name] for name in ("when", "enforce", "avoid", "scope", "harness")},
            "category": {"name": row["category"], "subcategory": row["subcategory"]},
            "status": row["status"],
            "support": {
                "tasks": row["support_tasks"],
                "contrasts": row["support_contrasts"],
                "families_right": orjson.loads(row["families_right"]),
                "families_wrong": orjson.loads(row["families_wrong"]),
            },
        }
    )
