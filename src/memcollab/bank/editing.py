"""Other words for a constraint. What is edited is superseded, never overwritten.

An edit is a draft by an editor: for each contrast that stands behind the constraint it stores a
draft in the new words, ``recipe`` "edit" and as ``prompt_hash`` the id of what was edited. So
support, trust, provenance, retracting, going back and exports mean for edited words what they mean
for a writer's, and the way from one wording to the next is in the bank and in its exports.

The superseded constraint is retired on purpose and keeps all it had. What a later merge would give
to it goes to its successor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from memcollab.bank import memory, trust
from memcollab.bank.decisions import Who
from memcollab.bank.learning import save_conflicts
from memcollab.bank.lookup import add_rows
from memcollab.bank.rows import Row, Stored, category_columns
from memcollab.bank.schema import CONFLICTS, DRAFTS
from memcollab.bank.succession import EDIT
from memcollab.errors import UsageError
from memcollab.records import Constraint, Draft, Support

WORDS = ("when", "enforce", "avoid")


def edit(
    connection: sa.Connection, before: Constraint, words: Mapping[str, str], who: Who
) -> Constraint:
    """Supersede ``before`` by what it says with ``words`` in place of its own; the successor.

    Raises:
        UsageError: nothing changes, it is retired, or a retired one says the same already.
    """
    after = before.model_copy(update={**words, "support": Support(), "status": "active"})
    held = next(iter(memory.all_constraints(connection, [after.id])), None)
    _check(before, after, held)
    decided = before.id in memory.decided_ids(connection, [before.id])
    founded = memory.new_constraints(connection, [after])
    _back(connection, before, after, who)
    why = f"supersedes {before.id}" + (f": {who.reason}" if who.reason else "")
    memory.settle(
        connection,
        [after.id],
        founded,
        actor=who.actor,
        action="edited",
        at=who.at,
        needed=who.needed,
        reason=why,
    )
    if founded and decided:
        _keep_status(connection, before, after.id, who)
    by = f"by {after.id}" + (f": {who.reason}" if who.reason else "")
    memory.set_status(
        connection,
        before.id,
        "retired",
        actor=who.actor,
        action="superseded",
        reason=by,
        at=who.at,
    )
    _inherit_conflicts(connection, before.id, after.id)
    (made,) = memory.all_constraints(connection, [after.id])
    if made.status == "retired":
        raise UsageError(
            f"nothing that counts stands behind {before.id!r}, so nothing would stand behind other "
            f"words for it. Next: memcollab bank show {before.id}"
        )
    return made


def _keep_status(connection: sa.Connection, before: Constraint, after_id: str, who: Who) -> None:
    """What was decided of the old words holds for the new ones."""
    (made,) = memory.all_constraints(connection, [after_id])
    kept = made.model_copy(update={"status": before.status})
    step = memory.Step(made, kept, "kept", f"as {before.id} had it", decided=True)
    memory.write(connection, [step], actor=who.actor, at=who.at)


def _check(before: Constraint, after: Constraint, held: Constraint | None) -> None:
    if after.id == before.id:
        raise UsageError(
            f"the edit of {before.id!r} changes nothing. Valid: other words for one of "
            f"{', '.join(WORDS)}. Next: memcollab bank show {before.id}"
        )
    for one in (before, held):
        if one is not None and one.status == "retired":
            raise UsageError(
                f"constraint {one.id!r} is retired; it is neither edited nor edited into. Valid: "
                "an active or quarantined one. Next: set its status to active first"
            )


def _back(connection: sa.Connection, before: Constraint, after: Constraint, who: Who) -> None:
    """Let what stands behind ``before`` stand behind ``after``."""
    mine = DRAFTS.c.constraint_id == before.id
    statement = sa.select(DRAFTS).where(mine, DRAFTS.c.counted).order_by(DRAFTS.c.id)
    rows = [
        _draft(row, before, after, who) for row in connection.execute(statement).mappings().all()
    ]
    if rows:
        add_rows(connection, DRAFTS, rows)
        trust.bring(connection, [row["id"] for row in rows], trust.OWN_WRITER, who.at, "trusted")
        return
    # It came as a line of an import with no draft behind it: so does what supersedes it.
    for source in trust.sources_of(connection, [before.id])[before.id]:
        trust.bring(connection, [after.id], source, who.at, "untrusted")  # it is known already


def _draft(row: Stored, before: Constraint, after: Constraint, who: Who) -> Row:
    draft = Draft(
        contrast_id=row["contrast_id"],
        when=after.when,
        enforce=after.enforce,
        avoid=after.avoid,
        scope=after.scope,
    )
    return {
        "id": draft.id,
        **dict(draft),
        "writer": who.actor[:256],
        "prompt_hash": before.id,
        "recipe": EDIT,
        **category_columns(after.category),
        "harness": row["harness"],
        "refused": None,
        "refused_detail": None,
        "constraint_id": after.id,
    }


def _inherit_conflicts(connection: sa.Connection, before: str, after: str) -> None:
    """Whoever contradicts the old words is to be looked at beside the new ones."""
    either = sa.or_(CONFLICTS.c.first == before, CONFLICTS.c.second == before)
    pairs = connection.execute(sa.select(CONFLICTS.c.first, CONFLICTS.c.second).where(either)).all()
    others: Collection[str] = {id for pair in pairs for id in pair} - {before, after}
    save_conflicts(connection, [(after, other) for other in others])
