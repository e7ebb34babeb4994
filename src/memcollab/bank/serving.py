"""What recall leaves behind and what it keeps at hand: recalls, outcomes, vectors, caches.

A recall is stored as it was given, constraints and all: what an agent was shown stays readable
after the constraint has been retired or has gained support.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from memcollab.bank import evidence
from memcollab.bank.lookup import add_rows, batches, known, one, select_in, stream
from memcollab.bank.rows import Row, reads, text_hash
from memcollab.bank.schema import CACHES, OUTCOMES, RECALLS, VECTORS
from memcollab.bank.upserts import insert_or_replace
from memcollab.errors import NotFound, UsageError
from memcollab.evidence import Observation
from memcollab.records import Outcome, Recall

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """A recall and how its task ended; ``at`` is when that was recorded, ISO 8601 in UTC."""

    recall: Recall
    outcome: Outcome
    at: str


# Built once: this is on the path of every recall.
_INSERT_RECALL = RECALLS.insert()


def save_recall(connection: sa.Connection, recall: Recall, content: str, at: str) -> None:
    connection.execute(_INSERT_RECALL, {"id": recall.id, "at": at, "content": content})


def recall(connection: sa.Connection, wanted: str) -> Recall:
    return recall_from(one(connection, RECALLS, wanted, "recall")["content"])


@reads
def recall_from(content: str) -> Recall:
    return Recall.model_validate_json(content)


@reads
def outcome_from(content: str) -> Outcome:
    return Outcome.model_validate_json(content)


def outcome_row(outcome: Outcome, at: str) -> Row:
    return {
        "recall_id": outcome.recall_id,
        "at": at,
        "solved": outcome.solved,
        "content": outcome.model_dump_json(),
    }


def save_outcome(connection: sa.Connection, outcome: Outcome, at: str) -> int:
    """The version of the evidence after, 0 if nothing was written: reporting the same outcome again
    changes nothing."""
    recalls = sa.select(RECALLS.c.content).where(RECALLS.c.id == outcome.recall_id)
    content = connection.execute(recalls).scalar()
    if content is None:
        raise NotFound(
            f"the bank holds no recall {outcome.recall_id!r}. Valid: the id of a recall that was "
            "saved here. Next: recall with this bank, and report that recall's outcome"
        )
    held = connection.execute(
        sa.select(OUTCOMES.c.content).where(OUTCOMES.c.recall_id == outcome.recall_id)
    ).scalar()
    recalled = recall_from(content)
    seen = evidence.observation(recalled, outcome)
    if held is None:
        connection.execute(OUTCOMES.insert(), outcome_row(outcome, at))
        return evidence.count(connection, [seen], 1)
    before = outcome_from(held)
    if before == outcome:
        return 0
    if before.solved is not None:
        raise UsageError(
            f"recall {outcome.recall_id!r} has the outcome solved={before.solved!r} already; "
            f"another one came, with {_differing(before, outcome)}. Valid: one verdict per recall, "
            "after any number of unjudged ones. Next: recall again for another attempt"
        )
    connection.execute(
        OUTCOMES.update()
        .where(OUTCOMES.c.recall_id == outcome.recall_id)
        .values(outcome_row(outcome, at))
    )
    return evidence.recount(connection, evidence.observation(recalled, before), seen)


def _differing(before: Outcome, after: Outcome) -> str:
    told = {name: getattr(after, name) for name in Outcome.model_fields}
    return ", ".join(f"{name}={v!r}" for name, v in told.items() if v != getattr(before, name))


def add_outcomes(connection: sa.Connection, rows: Sequence[Row]) -> int:
    """Insert the outcomes of recalls that have none, and count them; how many that were."""
    held = known(connection, OUTCOMES.c.recall_id, [row["recall_id"] for row in rows])
    fresh = {row["recall_id"]: row for row in reversed(rows) if row["recall_id"] not in held}
    if not fresh:
        return 0
    connection.execute(OUTCOMES.insert(), list(fresh.values()))
    evidence.count(connection, observations(connection, fresh), len(fresh))
    return len(fresh)


def add_recalls(connection: sa.Connection, recalls: Sequence[Recall], at: str) -> int:
    """Insert the recalls that are not here; how many that were."""
    rows = [{"id": each.id, "at": at, "content": each.model_dump_json()} for each in recalls]
    return add_rows(connection, RECALLS, rows)


def observations(
    connection: sa.Connection, recall_ids: Collection[str] | None = None
) -> Iterator[Observation]:
    """All that evidence is counted from: every outcome with its recall, or those of some."""
    statement = sa.select(RECALLS.c.id, RECALLS.c.content.label("recall"), OUTCOMES.c.content).join(
        OUTCOMES, RECALLS.c.id == OUTCOMES.c.recall_id
    )
    for row in select_in(connection, statement, RECALLS.c.id, recall_ids):
        yield evidence.observation(recall_from(row["recall"]), outcome_from(row["content"]))


def outcomes(connection: sa.Connection) -> Iterator[Judged]:
    """Recalls with an outcome, in the order in which the outcomes were recorded."""
    statement = (
        sa.select(RECALLS.c.content.label("recall"), OUTCOMES.c.content, OUTCOMES.c.at)
        .join(RECALLS, RECALLS.c.id == OUTCOMES.c.recall_id)
        .order_by(OUTCOMES.c.at, OUTCOMES.c.recall_id)
    )
    for row in stream(connection, statement):
        yield Judged(
            recall_from(row["recall"]),
            outcome_from(row["content"]),
            row["at"],
        )


# ---- caches


def vectors(connection: sa.Connection, embedder: str, texts: Sequence[str]) -> dict[str, Vectors]:
    """The cached vectors of those texts that have one: text → float32 of shape (dim,)."""
    hashes = {text_hash(text): text for text in texts}
    found: dict[str, Vectors] = {}
    for batch in batches(hashes):
        statement = sa.select(VECTORS.c.text_hash, VECTORS.c.vector).where(
            VECTORS.c.embedder == embedder, VECTORS.c.text_hash.in_(batch)
        )
        for key, vector in connection.execute(statement):
            found[hashes[key]] = np.frombuffer(vector, dtype="<f4")
    return found


def save_vectors(connection: sa.Connection, embedder: str, vectors: Mapping[str, Vectors]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "embedder": embedder,
            "text_hash": text_hash(text),
            "vector": np.ascontiguousarray(vector, dtype="<f4").tobytes(),
        }
        for text, vector in vectors.items()
    ]
    # In one order, so that two writers never wait for each other.
    rows.sort(key=lambda row: row["text_hash"])
    if rows:
        connection.execute(insert_or_replace(connection, VECTORS), rows)


def cached(connection: sa.Connection, name: str, key: str) -> bytes | None:
    statement = sa.select(CACHES.c.content).where(CACHES.c.name == name, CACHES.c.key == key)
    return connection.execute(statement).scalar()


def save_cache(connection: sa.Connection, name: str, key: str, content: bytes) -> None:
    row = {"name": name, "key": key, "content": content}
    connection.execute(insert_or_replace(connection, CACHES), row)


def drop_caches(connection: sa.Connection) -> int:
    """Forget everything that can be derived again; how many rows that were."""
    return sum(connection.execute(table.delete()).rowcount for table in (VECTORS, CACHES))
