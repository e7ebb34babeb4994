"""From contrasts to constraints: what was asked, what was answered, what came of it.

Everything here is keyed by content, so saving twice is saving once. ``merge`` is the one step whose
result depends on what else is there; it sees the waiting drafts and the existing constraints in the
order of their ids and commits all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from memcollab.bank import succession, trust
from memcollab.bank.lookup import add_rows, select_in
from memcollab.bank.memory import all_constraints, drafts_and_runs, new_constraints, settle
from memcollab.bank.rows import (
    Row,
    Stored,
    StoredAnswer,
    answer_from,
    answer_row,
    category_columns,
    category_from,
    contrast_from,
    contrast_row,
    reads,
)
from memcollab.bank.runs import Added
from memcollab.bank.schema import ANSWERS, CONFLICTS, CONTRASTS, DRAFTS
from memcollab.records import Category, Constraint, Contrast, Draft, Record, Refusal


class Screened(Record):
    """A draft with its verdict and where it belongs; ``refusal is None`` means accepted.

    ``harness`` is that of the runs; it counts for drafts of scope "harness" only.
    """

    draft: Draft
    category: Category
    harness: str | None = None
    refusal: Refusal | None = None
    writer: str
    prompt_hash: str
    recipe: str


@dataclass(frozen=True)
class Pending:
    """An accepted draft that is in no constraint yet, with what merging asks about it.

    Families are those of the preferred and of the other run of its contrast. ``trusted``: trusted
    sources brought both runs and the words.
    """

    draft: Draft
    task_id: str
    category: Category
    harness: str | None
    family_right: str
    family_wrong: str
    trusted: bool = True


@dataclass(frozen=True)
class Merge:
    """What is to become of pending drafts: ``assigned`` gives each draft id its constraint, an
    existing one or a new one; drafts left out stay pending. ``conflicts`` are pairs of constraint
    ids that contradict each other. ``reason``: what the change log says of the new ones."""

    assigned: Mapping[str, Constraint]
    conflicts: Collection[tuple[str, str]] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Merged:
    """What a merge did: ids of constraints that are new, and of others whose support changed;
    drafts placed, and how many of those joined a constraint that another draft had founded."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    drafts: int = 0
    joined: int = 0
    conflicts: int = 0


Plan = Callable[[Sequence[Pending], Sequence[Constraint]], Merge]


@dataclass(frozen=True)
class Situation:
    """What a merge was planned for."""

    pending: tuple[Pending, ...] = ()
    existing: tuple[Constraint, ...] = field(default=(), repr=False)


def save_contrasts(connection: sa.Connection, contrasts: Sequence[Contrast]) -> Added:
    new = add_rows(connection, CONTRASTS, [contrast_row(contrast) for contrast in contrasts])
    return Added(new, len(contrasts) - new)


def contrasts(
    connection: sa.Connection, unanswered: tuple[str, Collection[str]] | None
) -> Iterator[Contrast]:
    statement = sa.select(CONTRASTS).order_by(CONTRASTS.c.id)
    if unanswered is not None:
        writer, prompt_hashes = unanswered
        answered = (
            sa.exists()
            .where(ANSWERS.c.contrast_id == CONTRASTS.c.id)
            .where(ANSWERS.c.writer == writer)
            .where(ANSWERS.c.prompt_hash.in_(sorted(prompt_hashes)))
        )
        statement = statement.where(~answered)
    for row in connection.execute(statement).mappings():
        yield contrast_from(row)


def save_answer(
    connection: sa.Connection, answer: StoredAnswer, screened: Sequence[Screened], at: str
) -> Added:
    add_rows(connection, ANSWERS, [answer_row(answer)])
    new = add_rows(connection, DRAFTS, [draft_row(entry) for entry in screened])
    ids = [entry.draft.id for entry in screened]
    trust.bring(connection, ids, trust.OWN_WRITER, at, "trusted")
    return Added(new, len(screened) - new)


def answers(
    connection: sa.Connection, writer: str | None, request_ids: Collection[str] | None
) -> Iterator[StoredAnswer]:
    statement = sa.select(ANSWERS)
    if writer is not None:
        statement = statement.where(ANSWERS.c.writer == writer)
    for row in select_in(connection, statement, ANSWERS.c.request_id, request_ids):
        yield answer_from(row)


# ---- drafts


def draft_row(entry: Screened, constraint_id: str | None = None) -> Row:
    refusal = entry.refusal
    return {
        "id": entry.draft.id,
        **dict(entry.draft),
        "writer": entry.writer,
        "prompt_hash": entry.prompt_hash,
        "recipe": entry.recipe,
        **category_columns(entry.category),
        "harness": entry.harness,
        "refused": refusal.reason if refusal else None,
        "refused_detail": refusal.detail if refusal else None,
        "constraint_id": constraint_id,
    }


@reads
def draft_from(row: Stored) -> Draft:
    return Draft(**{name: row[name] for name in Draft.model_fields})


@reads
def screened_from(row: Stored) -> Screened:
    refusal = None
    if row["refused"] is not None:
        refusal = Refusal(reason=row["refused"], detail=row["refused_detail"])
    category = category_from(row)
    assert category is not None  # the column is NOT NULL
    return Screened(
        draft=draft_from(row),
        category=category,
        harness=row["harness"],
        refusal=refusal,
        writer=row["writer"],
        prompt_hash=row["prompt_hash"],
        recipe=row["recipe"],
    )


def drafts(
    connection: sa.Connection, contrast_ids: Collection[str] | None, writer: str | None
) -> Iterator[tuple[Screened, str | None]]:
    statement = sa.select(DRAFTS)
    if writer is not None:
        statement = statement.where(DRAFTS.c.writer == writer)
    for row in select_in(connection, statement, DRAFTS.c.contrast_id, contrast_ids):
        yield screened_from(row), row["constraint_id"]


def refusals(connection: sa.Connection, reason: str | None, limit: int | None) -> list[Screened]:
    statement = sa.select(DRAFTS).where(DRAFTS.c.refused.is_not(None))
    if reason is not None:
        statement = statement.where(DRAFTS.c.refused == reason)
    statement = statement.order_by(DRAFTS.c.refused, DRAFTS.c.id).limit(limit)
    return [screened_from(row) for row in connection.execute(statement).mappings()]


def pending(connection: sa.Connection) -> tuple[Pending, ...]:
    """Accepted drafts that are in no constraint, by draft id; without those that were retracted."""
    waiting = (
        DRAFTS.c.refused.is_(None),
        DRAFTS.c.constraint_id.is_(None),
        ~trust.retracted_draft(),
    )
    statement = drafts_and_runs().add_columns(trust.trusted_draft().label("trusted"))
    statement = statement.where(*waiting).order_by(DRAFTS.c.id)
    return tuple(_pending_from(row) for row in connection.execute(statement).mappings())


def _pending_from(row: Stored) -> Pending:
    entry = screened_from(row)
    return Pending(
        draft=entry.draft,
        task_id=row["task_id"],
        category=entry.category,
        harness=entry.harness,
        family_right=row["family_right"],
        family_wrong=row["family_wrong"],
        trusted=row["trusted"],
    )


# ---- merging


def situation(connection: sa.Connection) -> Situation:
    """What there is to merge, and into what; constraints only if there is anything to merge."""
    waiting = pending(connection)
    return Situation(waiting, tuple(all_constraints(connection)) if waiting else ())


def apply(
    connection: sa.Connection, found: Situation, plan: Merge, *, actor: str, at: str, needed: int
) -> Merged:
    """Write what was planned for ``found``, which must be what is there under this lock."""
    waiting = {entry.draft.id for entry in found.pending}
    if strange := sorted(set(plan.assigned) - waiting):
        raise ValueError(f"the merge assigns drafts that are not pending: {strange[:3]}")
    heirs = succession.heirs(connection, {one.id: one for one in plan.assigned.values()}.values())
    assigned = {draft: heirs.get(into.id, into) for draft, into in plan.assigned.items()}
    founded = new_constraints(connection, assigned.values())
    place_drafts(connection, {draft: into.id for draft, into in assigned.items()})
    touched = {constraint.id for constraint in assigned.values()}
    changed = settle(
        connection,
        touched,
        founded,
        actor=actor,
        action="learned",
        at=at,
        needed=needed,
        founding=plan.reason,
    )
    return Merged(
        new=tuple(sorted(founded)),
        changed=tuple(sorted(changed - founded)),
        drafts=len(plan.assigned),
        joined=len(plan.assigned) - len(founded),
        conflicts=save_conflicts(connection, plan.conflicts),
    )


_PLACE = (
    DRAFTS.update()
    .where(DRAFTS.c.id == sa.bindparam("key"))
    .where(DRAFTS.c.refused.is_(None), DRAFTS.c.constraint_id.is_(None))
)


def place_drafts(connection: sa.Connection, places: Mapping[str, str]) -> None:
    """Put accepted drafts that are in no constraint into the one given: draft id → its id."""
    if places:
        rows = [{"key": draft, "constraint_id": into} for draft, into in sorted(places.items())]
        connection.execute(_PLACE, rows)


def save_conflicts(connection: sa.Connection, pairs: Iterable[tuple[str, str]]) -> int:
    """Insert pairs of constraint ids, the smaller first; how many were new."""
    ordered = sorted({(min(pair), max(pair)) for pair in pairs})
    rows = [{"first": first, "second": second} for first, second in ordered]
    return add_rows(connection, CONFLICTS, rows)
