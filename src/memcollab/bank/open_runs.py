"""Runs whose outcome is not known yet: the one kind of row here that is replaced.

A run that is watched while it goes on is stored with each of its turns, under the recall it began
with; the last turn takes the place of those before. It is no trajectory until a verdict makes it
one, in the transaction of that verdict, and is then as unchangeable as any other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from memcollab.bank import runs, trust
from memcollab.bank.rows import reads
from memcollab.bank.schema import OPEN_RUNS, OUTCOMES, TRAJECTORIES
from memcollab.bank.serving import outcome_from
from memcollab.bank.upserts import insert_or_replace
from memcollab.records import Outcome, Trajectory, Usage, Verdict

_DOUBT: tuple[trust.Trust, ...] = ("retracted", "untrusted", "trusted")


class OpenRun(NamedTuple):
    """A run as far as it is known.

    ``run.run`` is the id of its recall. ``asked_at`` is when its last turn was asked, ISO 8601 in
    UTC: of two turns the later one stays, whichever is stored first. ``run.usage`` is what the
    turns cost that are stored here for the first time. ``source`` is who sent the last turn, where
    that is not to be trusted alone, as ``Outcome.source``.
    """

    run: Trajectory
    asked_at: str
    source: str = ""

    @property
    def recall_id(self) -> str:
        return self.run.run or ""


def save(connection: sa.Connection, turns: Sequence[OpenRun], at: str) -> set[str]:
    """Store the turns; where the verdict was faster, the run becomes a trajectory at once. The
    recalls of those that are the first of their run here."""
    first = set()
    for turn in turns:
        held = _held(connection, turn.recall_id)
        if held is None and not _ended(connection, turn.run):
            first.add(turn.recall_id)
        last = _later(held, turn)
        row = {
            "recall_id": last.recall_id,
            "asked_at": last.asked_at,
            "content": _packed(last.run),
            "source": last.source,
        }
        connection.execute(insert_or_replace(connection, OPEN_RUNS), row)
    verdicts = sa.select(OUTCOMES.c.content).where(
        OUTCOMES.c.recall_id.in_([turn.recall_id for turn in turns]), OUTCOMES.c.solved.is_not(None)
    )
    for content in connection.execute(verdicts).scalars().all():
        conclude(connection, outcome_from(content), at)
    return first


def conclude(connection: sa.Connection, outcome: Outcome, at: str) -> None:
    """Make the open run of a recall the trajectory that its verdict makes it. What comes after a
    verdict is left aside: the run ended there.

    The run is believed as far as both are, who sent it and who reported its verdict: whoever of
    them is not trusted, the sender first, has brought it, as the source ``reporter:NAME``.
    """
    held = _held(connection, outcome.recall_id)
    if held is None or outcome.solved is None:
        return
    source = _doubted(connection, held.source, outcome.source)
    if trust.trust_of(connection, source) == "retracted":
        return
    connection.execute(OPEN_RUNS.delete().where(OPEN_RUNS.c.recall_id == outcome.recall_id))
    if _ended(connection, held.run):
        return
    verdict = Verdict(solved=outcome.solved, judge=outcome.source or "outcome")
    usage = _filled(held.run.usage, outcome.usage)
    run = Trajectory(**dict(held.run) | {"verdict": verdict, "usage": usage})
    runs.add_runs(connection, runs.pack([run], ()))
    first_seen: trust.Trust = "trusted" if source == trust.LOCAL else "untrusted"
    trust.bring(connection, [run.id], source, at, first_seen)


def count(connection: sa.Connection) -> int:
    """How many runs await their outcome."""
    return connection.execute(sa.select(sa.func.count()).select_from(OPEN_RUNS)).scalar_one()


def open_run(connection: sa.Connection, recall_id: str) -> Trajectory | None:
    """The run of a recall, as far as it is known; None: there is none, or it has ended."""
    held = _held(connection, recall_id)
    return held.run if held else None


def _held(connection: sa.Connection, recall_id: str) -> OpenRun | None:
    rows = sa.select(OPEN_RUNS).where(OPEN_RUNS.c.recall_id == recall_id)
    row = connection.execute(rows).mappings().first()
    return OpenRun(_unpacked(row["content"]), row["asked_at"], row["source"]) if row else None


def _later(held: OpenRun | None, turn: OpenRun) -> OpenRun:
    if held is None:
        return turn
    last = held if held.asked_at > turn.asked_at else turn
    spent = held.run.usage + turn.run.usage
    return last._replace(run=last.run.model_copy(update={"usage": spent}))


def _doubted(connection: sa.Connection, *names: str) -> str:
    """The source of what these made together: the least trusted of them, the first of equals."""
    sources = [trust.reporter(name) for name in names if name] or [trust.LOCAL]
    known = {source: trust.trust_of(connection, source) for source in sources}
    return min(sources, key=lambda source: _DOUBT.index(known[source] or "untrusted"))


def _ended(connection: sa.Connection, run: Trajectory) -> bool:
    made = sa.select(TRAJECTORIES.c.id).where(
        TRAJECTORIES.c.task_id == run.task.id, TRAJECTORIES.c.run == run.run
    )
    return connection.execute(made.limit(1)).first() is not None


def _filled(counted: Usage, told: Usage) -> Usage:
    """What the reporter says it cost; what they leave out, as it was counted in passing."""
    said = told.model_dump(exclude_none=True)
    return counted.model_copy(update=said)


def _packed(run: Trajectory) -> bytes:
    return zlib.compress(run.model_dump_json().encode())


@reads
def _unpacked(content: bytes) -> Trajectory:
    return Trajectory.model_validate_json(zlib.decompress(content))
