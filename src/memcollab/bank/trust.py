"""Whom the bank believes: who brought a run, and what follows for the constraints it supports.

A *source* is whoever brought runs: a person, a team, a folder, a file, the signer of an export.
The operator names it, and says whether it is trusted. The rule, for every constraint whose status
nobody set on purpose:

``active``       a trusted source stands behind it (both runs of one of its contrasts, and the words
                 of that draft), or enough independent untrusted ones do
``quarantined``  none of that: it waits, and never reaches recall
``retired``      nothing stands behind it any more

Two drafts are independent when other sources brought them, agents of other families made the runs,
and the runs are no near-duplicates: one source, one agent or one text counts once, however often it
comes. What is not covered: sources that agree with each other, lie about their agents and write
different texts; only the operator knows who is behind a name (design/threats.md).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import sqlalchemy as sa

from memcollab.bank.lookup import add_rows, batches, known, select_in
from memcollab.bank.rows import steps_from
from memcollab.bank.schema import (
    BROUGHT,
    CONTRASTS,
    DECISIONS,
    DRAFTS,
    RETRACTED,
    SOURCES,
    STEPS,
    TRAJECTORIES,
)
from memcollab.errors import UsageError
from memcollab.records import Constraint, Status, Step

Trust = Literal["trusted", "untrusted", "retracted"]

# Runs that nobody named a source for: the operator's own.
LOCAL = "local"
# Drafts that a writer of this bank wrote: their words are believed as far as their runs are.
OWN_WRITER = "own writer"
# Of how many independent sources an untrusted constraint needs support.
INDEPENDENT_SOURCES = 2
# Beginnings of the names that imports give themselves. Files and keys cost nothing to make, so all
# that nobody named count as one source.
UNNAMED = ("file:", "signer:")

# A longer list of one source and family adds nothing but work.
_SAMPLES = 8
_SHINGLE = 3
# Share of the shorter run's shingles that the other run holds too, from which they are one text.
_ALIKE = 0.5
_WORD = re.compile(r"\w+")


class Standing(NamedTuple):
    """What the rule says of a constraint, and why."""

    status: Status
    why: str


@dataclass(frozen=True)
class Backing:
    """A draft that untrusted sources stand behind: which, whose runs, and the runs themselves."""

    sources: frozenset[str]
    family: str
    runs: tuple[str, ...]


# ---- sources


_REPORTER = "reporter:"


def reporter(name: str) -> str:
    """The source of what somebody sent who may not be believed alone: the name of a key. It is the
    same for runs and for outcomes that make a run, so that nobody stands behind himself."""
    return f"{_REPORTER}{name}"


def is_reporter(source: str) -> bool:
    """Whether it is a source that ``reporter`` named."""
    return source.startswith(_REPORTER)


def check_source(name: str) -> None:
    """Raise ``UsageError`` if a source cannot be called so."""
    if not name.strip() or len(name) > 256 or not name.isprintable() or name == OWN_WRITER:
        raise UsageError(
            f"{name!r} cannot name a source. Valid: 1 to 256 printable characters, "
            f"but not {OWN_WRITER!r}. Next: give another --source"
        )


def trust_of(connection: sa.Connection, name: str) -> Trust | None:
    """How far a source is trusted; None if the bank does not know it."""
    statement = sa.select(SOURCES.c.trust).where(SOURCES.c.name == name)
    found: Trust | None = connection.execute(statement).scalar()
    return found


def bring(
    connection: sa.Connection, record_ids: Iterable[str], source: str, at: str, trust: Trust
) -> None:
    """Note that ``source`` brought these; a source that is new here is of that ``trust``."""
    if add_rows(connection, SOURCES, [{"name": source, "trust": trust}]):
        first = {"target": source, "value": trust, "actor": "bank", "reason": "first seen"}
        connection.execute(DECISIONS.insert(), [{**first, "at": at}])
    rows = [{"record_id": one, "source": source, "at": at} for one in record_ids]
    for batch in batches(rows):
        add_rows(connection, BROUGHT, batch)


def sources_of(connection: sa.Connection, record_ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Who brought each record, and how far each is trusted: id → source → trust."""
    statement = sa.select(BROUGHT, SOURCES.c.trust).join(
        SOURCES, SOURCES.c.name == BROUGHT.c.source
    )
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in select_in(connection, statement, BROUGHT.c.record_id, record_ids):
        found[row["record_id"]][row["source"]] = row["trust"]
    return found


def _brought(record: sa.ColumnElement[str], *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    """That a source for which ``conditions`` hold brought the record."""
    return sa.exists().where(
        BROUGHT.c.record_id == record, SOURCES.c.name == BROUGHT.c.source, *conditions
    )


def trusted(record: sa.ColumnElement[str]) -> sa.Exists:
    """SQL: a trusted source brought the record."""
    return _brought(record, SOURCES.c.trust == "trusted")


def _believed(record: sa.ColumnElement[str]) -> sa.Exists:
    return _brought(record, SOURCES.c.trust != "retracted")


def retracted_run(run: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """SQL: the run was retracted, or every source that brought it was."""
    return sa.or_(sa.exists().where(RETRACTED.c.id == run), ~_believed(run))


def retracted_contrast() -> sa.ColumnElement[bool]:
    """SQL over ``contrasts``: nothing may be learned from it any more."""
    return sa.or_(
        sa.exists().where(RETRACTED.c.id == CONTRASTS.c.id),
        retracted_run(CONTRASTS.c.preferred),
        retracted_run(CONTRASTS.c.other),
    )


def retracted_draft() -> sa.ColumnElement[bool]:
    """SQL over ``drafts_and_runs``: nothing of the draft may be learned from any more."""
    return sa.or_(
        retracted_contrast(),
        sa.exists().where(RETRACTED.c.id == DRAFTS.c.id),
        ~_believed(DRAFTS.c.id),
    )


def trusted_draft() -> sa.ColumnElement[bool]:
    """SQL over ``drafts_and_runs``: trusted sources brought the words and both runs."""
    runs = (CONTRASTS.c.preferred, CONTRASTS.c.other)
    return sa.and_(trusted(DRAFTS.c.id), *map(trusted, runs))


# ---- the rule


def standings(connection: sa.Connection, ids: Collection[str], needed: int) -> dict[str, Standing]:
    """What the rule says of each of these constraints."""
    direct = _direct(connection, ids)
    backings, vouched = _backings(connection, ids)
    found = {}
    for constraint_id in ids:
        said = set(direct.get(constraint_id, {}).values())
        if constraint_id in vouched or "trusted" in said:
            found[constraint_id] = Standing("active", "a trusted source stands behind it")
        elif constraint_id in backings or "untrusted" in said:
            found[constraint_id] = _untrusted(connection, backings.get(constraint_id, ()), needed)
        else:
            found[constraint_id] = Standing("retired", "nothing stands behind it any more")
    return found


def _direct(connection: sa.Connection, ids: Collection[str]) -> dict[str, dict[str, str]]:
    """The sources of constraints that came as a line of an import with no draft behind it."""
    without = set(ids) - known(connection, DRAFTS.c.constraint_id, ids)
    return sources_of(connection, without - known(connection, RETRACTED.c.id, without))


def _untrusted(connection: sa.Connection, backings: Sequence[Backing], needed: int) -> Standing:
    count = independent(backings, _alike_in(connection), needed)
    if count >= needed:
        return Standing("active", f"{count} independent sources stand behind it")
    return Standing("quarantined", f"untrusted sources only, {count} of {needed} independent ones")


def _backings(
    connection: sa.Connection, ids: Collection[str]
) -> tuple[dict[str, list[Backing]], set[str]]:
    """Counted drafts of untrusted origin by constraint, and constraints with a trusted one."""
    right, wrong = TRAJECTORIES.alias(), TRAJECTORIES.alias()
    statement = (
        sa.select(
            DRAFTS.c.id,
            DRAFTS.c.constraint_id,
            CONTRASTS.c.preferred,
            CONTRASTS.c.other,
            right.c.family.label("family_right"),
            wrong.c.family.label("family_wrong"),
            trusted_draft().label("trusted"),
        )
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .join(right, right.c.id == CONTRASTS.c.preferred)
        .join(wrong, wrong.c.id == CONTRASTS.c.other)
        .where(DRAFTS.c.counted)
    )
    rows = list(select_in(connection, statement, DRAFTS.c.constraint_id, ids))
    vouched = {row["constraint_id"] for row in rows if row["trusted"]}
    rest = [row for row in rows if row["constraint_id"] not in vouched]
    origins = sources_of(
        connection, {row[name] for row in rest for name in ("id", "preferred", "other")}
    )
    found: defaultdict[str, list[Backing]] = defaultdict(list)
    for row in rest:
        found[row["constraint_id"]].append(_backing(row, origins))
    return found, vouched


def _backing(
    row: sa.RowMapping | Mapping[str, str], origins: Mapping[str, Mapping[str, str]]
) -> Backing:
    doubtful = [
        name
        for name in ("preferred", "other", "id")
        if "trusted" not in origins.get(row[name], {}).values()
    ]
    sources = {
        "unnamed imports" if source.startswith(UNNAMED) else source
        for name in doubtful
        for source, trust in origins.get(row[name], {}).items()
        if trust != "retracted"
    }
    # Words of a stranger's about runs of others: all that is known of them are both runs.
    runs = [row[name] for name in doubtful if name != "id"] or [row["preferred"], row["other"]]
    # Who is on the wrong side matters only where the right side is believed.
    side = "family_wrong" if doubtful[:1] == ["other"] else "family_right"
    return Backing(frozenset(sources), row[side], tuple(dict.fromkeys(runs)))


def independent(backings: Iterable[Backing], alike: Callable[[str, str], bool], needed: int) -> int:
    """How many of ``backings``, counted up to ``needed``, are independent of each other (pure but
    for ``alike``, which says whether two runs are near-duplicates)."""
    groups: defaultdict[tuple[tuple[str, ...], str], list[Backing]] = defaultdict(list)
    for one in sorted(set(backings), key=lambda one: (sorted(one.sources), one.family, one.runs)):
        group = groups[tuple(sorted(one.sources)), one.family]
        if len(group) < _SAMPLES:
            group.append(one)
    kept = [one for group in groups.values() for one in group]

    def apart(one: Backing, two: Backing) -> bool:
        return (
            one.family != two.family
            and not one.sources & two.sources
            and not any(alike(mine, theirs) for mine in one.runs for theirs in two.runs)
        )

    def most(chosen: int, rest: Sequence[Backing]) -> int:
        best = chosen
        for position, one in enumerate(rest):
            if best >= needed:
                break
            further = [two for two in rest[position + 1 :] if apart(one, two)]
            best = max(best, most(chosen + 1, further))
        return best

    return most(0, kept)


def _alike_in(connection: sa.Connection) -> Callable[[str, str], bool]:
    """Whether two stored runs are near-duplicates, by what their agents said and did. A run that
    is here without its steps cannot be told from any other."""

    @cache
    def shingles(run: str) -> frozenset[tuple[str, ...]]:
        statement = sa.select(STEPS.c.content).where(STEPS.c.trajectory_id == run)
        content = connection.execute(statement).scalar()
        return frozenset() if content is None else _shingles(steps_from(content))

    def alike(one: str, two: str) -> bool:
        mine, theirs = shingles(one), shingles(two)
        shorter = min(len(mine), len(theirs))
        return one == two or not shorter or len(mine & theirs) >= _ALIKE * shorter

    return alike


def _shingles(steps: Iterable[Step]) -> frozenset[tuple[str, ...]]:
    """Every three words in a row that the agent wrote; fewer than three are one."""
    said = [step for step in steps if step.role == "assistant"]
    text = " ".join(
        part
        for step in said
        for part in (step.content, *(call.arguments for call in step.tool_calls))
    )
    words = _WORD.findall(text.casefold())
    if len(words) < _SHINGLE:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(*(words[start:] for start in range(_SHINGLE)), strict=False))


# ---- what waits


@dataclass(frozen=True)
class Waiting:
    """A quarantined constraint, who stands behind it (source → trust), the families whose runs
    do, and why it waits."""

    constraint: Constraint
    sources: Mapping[str, str]
    families: tuple[str, ...]
    why: str


def waiting(
    connection: sa.Connection,
    quarantined: Sequence[Constraint],
    decided: Collection[str],
    needed: int,
) -> list[Waiting]:
    """What each of these quarantined constraints waits for."""
    ids = [one.id for one in quarantined]
    standing, origins = standings(connection, ids, needed), _origins(connection, ids)
    return [
        Waiting(
            constraint=one,
            sources=dict(sorted(origins[one.id].items())),
            families=tuple(sorted({*one.support.families_right, *one.support.families_wrong})),
            why="set on purpose" if one.id in decided else standing[one.id].why,
        )
        for one in quarantined
    ]


def _origins(connection: sa.Connection, ids: Collection[str]) -> dict[str, dict[str, str]]:
    """Whoever brought anything that stands behind each constraint."""
    statement = (
        sa.select(DRAFTS.c.constraint_id, DRAFTS.c.id, CONTRASTS.c.preferred, CONTRASTS.c.other)
        .join(CONTRASTS, CONTRASTS.c.id == DRAFTS.c.contrast_id)
        .where(DRAFTS.c.counted)
    )
    behind: dict[str, set[str]] = {one: {one} for one in ids}
    for row in select_in(connection, statement, DRAFTS.c.constraint_id, ids):
        behind[row["constraint_id"]] |= {row["id"], row["preferred"], row["other"]}
    sources = sources_of(connection, set().union(*behind.values()))
    return {
        one: {
            name: trust
            for record in records
            for name, trust in sources.get(record, {}).items()
            if name != OWN_WRITER
        }
        for one, records in behind.items()
    }
