"""Outcomes as counts: kept up to date with every outcome, and derivable from what is stored.

The bank stores what ``memcollab.evidence`` counts and decides nothing by it. Every change to the
counts raises ``version``, in the same transaction; readers refresh by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from memcollab.bank.lookup import batches
from memcollab.bank.rows import Row as Columns
from memcollab.bank.schema import COUNTERS, EVIDENCE, OUTCOMES_COUNTED
from memcollab.bank.upserts import insert_or_add
from memcollab.evidence import Entry, Evidence, Observation, Stratum, Tally
from memcollab.evidence.counts import Row
from memcollab.records import Outcome, Recall

_MILLION = 1_000_000


def observation(recall: Recall, outcome: Outcome) -> Observation:
    """What evidence needs to know of a recall and its outcome."""
    return Observation(
        agent=recall.agent.model,
        family=recall.agent.family,
        category=recall.decision.top.name,
        entries=tuple(
            Entry(entry.constraint.id, entry.shown, entry.holdout) for entry in recall.entries
        ),
        solved=outcome.solved,
        withheld=recall.withheld,
        holdout=recall.holdout,
        paired=recall.paired,
        source=outcome.source,
    )


def count(connection: sa.Connection, seen: Iterable[Observation], number: int) -> int:
    """Count outcomes that are new, ``number`` of them; the version after."""
    return _add(connection, Evidence.of(seen).rows(), number)


def recount(connection: sa.Connection, before: Observation, after: Observation) -> int:
    """Count an outcome in place of the one that was counted before it; the version after."""
    return _add(connection, Evidence.of([after]).instead_of(Evidence.of([before])), 1)


def _add(connection: sa.Connection, rows: Iterable[Row], number: int) -> int:
    add = insert_or_add(connection, EVIDENCE, Tally._fields, least=["family"])
    for batch in batches(rows):
        connection.execute(add, [_columns(row) for row in batch])
    connection.execute(
        insert_or_add(connection, COUNTERS, ["value"]), {"name": OUTCOMES_COUNTED, "value": number}
    )
    return version(connection)


def load(connection: sa.Connection) -> Evidence:
    """Every count."""
    statement = sa.select(EVIDENCE).order_by(*EVIDENCE.primary_key)
    rows = (_row(*row) for row in connection.execute(statement))
    # An outcome that moved may leave a row of nothing behind.
    return Evidence.from_rows(row for row in rows if any(row.tally))


_VERSION = sa.select(COUNTERS.c.value).where(COUNTERS.c.name == OUTCOMES_COUNTED)


def version(connection: sa.Connection) -> int:
    """How often the counts were changed; 0 where nothing was ever counted."""
    return int(connection.execute(_VERSION).scalar() or 0)


def rebuild(connection: sa.Connection, seen: Iterator[Observation]) -> int:
    """Count everything anew; how many rows that makes."""
    derived = list(Evidence.of(seen).rows())
    connection.execute(EVIDENCE.delete())
    _add(connection, derived, 1)
    return len(derived)


def _columns(row: Row) -> Columns:
    stratum = row.stratum
    return {
        "kind": row.kind,
        "subject": row.subject,
        "agent": row.agent,
        "category": stratum.category,
        "coin": stratum.coin,
        "holdout_millionths": round(stratum.holdout * _MILLION),
        "source": stratum.source,
        "family": row.family,
        **row.tally._asdict(),
    }


def _row(
    kind: str,
    subject: str,
    agent: str,
    category: str,
    coin: str,
    holdout_millionths: int,
    source: str,
    family: str,
    *counts: int,
) -> Row:
    stratum = Stratum(category, coin, holdout_millionths / _MILLION, source)  # type: ignore[arg-type] # checked by verify
    return Row(kind, subject, agent, family, stratum, Tally(*counts))  # type: ignore[arg-type] # checked by verify
