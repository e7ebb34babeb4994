"""Which constraint superseded which, as the drafts of edits tell it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from memcollab.bank.memory import all_constraints
from memcollab.bank.schema import DRAFTS
from memcollab.records import Constraint

# The recipe of a draft that is an edit; its ``prompt_hash`` is the constraint that was edited.
EDIT = "edit"
_EDITS = (
    sa.select(DRAFTS.c.prompt_hash, DRAFTS.c.constraint_id)
    .where(DRAFTS.c.recipe == EDIT, DRAFTS.c.constraint_id.is_not(None))
    .distinct()
)
Edges = Collection[tuple[str, str]]


def lineage(connection: sa.Connection, constraint_id: str) -> list[str]:
    """The constraints that edits lead to ``constraint_id`` from, itself, and those that they lead
    to from it; where nothing was edited, only itself."""
    edges: Edges = connection.execute(_EDITS).all()
    back = _reached([(after, before) for before, after in edges], constraint_id)
    return [*reversed(back), constraint_id, *_reached(edges, constraint_id)]


def heirs(connection: sa.Connection, constraints: Iterable[Constraint]) -> dict[str, Constraint]:
    """The successor of each that is retired and has one that is not."""
    gone = [one.id for one in constraints if one.status == "retired"]
    edges: Edges = connection.execute(_EDITS).all() if gone else []
    reached = {id: _reached(edges, id) for id in gone}
    after = {id for line in reached.values() for id in line}
    held = {one.id: one for one in all_constraints(connection, after) if one.status != "retired"}
    nearest = {id: next((one for one in line if one in held), None) for id, line in reached.items()}
    return {id: held[one] for id, one in nearest.items() if one is not None}


def _reached(edges: Edges, start: str) -> list[str]:
    """What edges lead to from ``start``, the nearest first."""
    found, seen = [start], {start}
    for place in found:
        for one in sorted(after for before, after in edges if before == place):
            if one not in seen:
                seen.add(one)
                found.append(one)
    return found[1:]
