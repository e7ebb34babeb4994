"""Trials of constraints that await admission: what waits, what was attempted, how it ended.

Attempts of a trial are kept apart from recalls and outcomes. A trial shows what no recall would
show, so that counted as evidence about a category it would make memory look as bad as the worst
candidate that was ever tried. What of it counts is the verdict, in the change log.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from memcollab.bank import trust
from memcollab.bank.lookup import add_rows
from memcollab.bank.memory import all_constraints, note, set_status
from memcollab.bank.rows import Stored, reads
from memcollab.bank.runs import Added
from memcollab.bank.schema import CHANGES, CONSTRAINTS, TRIALS
from memcollab.records import Constraint, Record, Status

AWAITS_TRIAL = "awaits a trial"
# How the change log calls a trial that was passed by what must wait for trust all the same.
PASSED = "passed a trial"


class TrialPair(Record):
    """One task, attempted by one agent with one seed, with a constraint and without any.

    ``attempt`` names what was run with it: task, settings, seed and guidance, hashed.
    """

    constraint_id: str
    agent: str
    attempt: str
    suite: str
    task: str
    seed: int
    solved_with: bool
    solved_without: bool


def add(connection: sa.Connection, pairs: Sequence[TrialPair], at: str) -> Added:
    new = add_rows(connection, TRIALS, [{**dict(pair), "at": at} for pair in pairs])
    return Added(new, len(pairs) - new)


def pairs(connection: sa.Connection, constraint_id: str) -> list[TrialPair]:
    statement = (
        sa.select(TRIALS)
        .where(TRIALS.c.constraint_id == constraint_id)
        .order_by(TRIALS.c.suite, TRIALS.c.task, TRIALS.c.agent, TRIALS.c.seed, TRIALS.c.attempt)
    )
    return [_pair_from(row) for row in connection.execute(statement).mappings()]


@reads
def _pair_from(row: Stored) -> TrialPair:
    return TrialPair(**{name: row[name] for name in TrialPair.model_fields})


def awaiting(connection: sa.Connection) -> list[Constraint]:
    """Quarantined, and the last step that made them so says that a trial is awaited: what was
    quarantined for another reason is not for a trial to admit unasked."""
    quarantined = sa.select(CONSTRAINTS.c.id).where(CONSTRAINTS.c.status == "quarantined")
    statement = (
        sa.select(CHANGES.c.constraint_id, CHANGES.c.reason)
        .where(CHANGES.c.constraint_id.in_(quarantined))
        .where(CHANGES.c.action.in_(("learned", "quarantined", PASSED)))
        .order_by(CHANGES.c.sequence)
    )
    last: dict[str, str | None] = dict(connection.execute(statement).all())
    waiting = [each for each, reason in last.items() if (reason or "").startswith(AWAITS_TRIAL)]
    return list(all_constraints(connection, waiting))


def conclude(
    connection: sa.Connection,
    constraint_id: str,
    status: Status,
    *,
    actor: str,
    reason: str,
    at: str,
    needed: int,
) -> bool:
    (constraint,) = all_constraints(connection, [constraint_id])
    if constraint.status != "quarantined":
        return False
    standing = trust.standings(connection, [constraint_id], needed)[constraint_id]
    if status == "active" and standing.status != "active":
        # That it helps on these tasks says nothing of what else it does: the rule of trust stays,
        # and lets it out when more stands behind it.
        waits = f"{reason}; it waits: {standing.why}"
        _note_once(connection, constraint, PASSED, actor, waits, at, undecided=True)
    elif status != "quarantined":
        set_status(connection, constraint_id, status, actor=actor, reason=reason, at=at)
    else:
        _note_once(connection, constraint, "tried", actor, reason, at)
    return True


def _note_once(
    connection: sa.Connection,
    constraint: Constraint,
    action: str,
    actor: str,
    reason: str,
    at: str,
    *,
    undecided: bool = False,
) -> None:
    """Log how a trial ended, unless that is what the log says last."""
    if reason != _last_reason(connection, constraint.id):
        said = {"actor": actor, "reason": reason, "at": at}
        note(connection, constraint, action, **said, undecided=undecided)


def _last_reason(connection: sa.Connection, constraint_id: str) -> str | None:
    statement = (
        sa.select(CHANGES.c.reason)
        .where(CHANGES.c.constraint_id == constraint_id)
        .order_by(CHANGES.c.sequence.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar()
