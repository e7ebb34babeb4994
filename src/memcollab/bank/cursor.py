"""Where a page ended, as a text that callers hand back and need not understand.

It is the place in the order of ``Bank.constraints``, or of ``Bank.refused``, and not a number of
rows, so what changes before it moves nothing behind it. HTTP, MCP and a bank behind a URL share it.
"""

from __future__ import annotations

import base64
from typing import Annotated, TypeVar

import orjson
from pydantic import Field, TypeAdapter

from memcollab.errors import UsageError
from memcollab.records import Constraint

_Count = Annotated[int, Field(ge=0, lt=2**31)]
# Support in tasks and in contrasts, and the id.
Place = tuple[int, int, str]
# The reason, and the id of the draft.
RefusedPlace = tuple[str, str]
_PLACE: TypeAdapter[Place] = TypeAdapter(tuple[_Count, _Count, str])
_REFUSED: TypeAdapter[RefusedPlace] = TypeAdapter(RefusedPlace)
_Some = TypeVar("_Some")


def place_of(one: Constraint) -> Place:
    """Where it stands, as ``after`` of ``Bank.constraints`` takes it."""
    return one.support.tasks, one.support.contrasts, one.id


def cursor_of(place: Place | RefusedPlace) -> str:
    """The cursor that means that place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_in(cursor: str | None) -> Place | None:
    """The place among constraints that a cursor means; None before the first page.

    Raises:
        UsageError: it is no cursor of ours.
    """
    return _read(cursor, _PLACE)


def refused_place_in(cursor: str | None) -> RefusedPlace | None:
    """The same among refused drafts."""
    return _read(cursor, _REFUSED)


def _read(cursor: str | None, form: TypeAdapter[_Some]) -> _Some | None:
    if cursor is None:
        return None
    try:
        return form.validate_json(base64.urlsafe_b64decode(cursor.encode() + b"=="))
    except ValueError:
        raise UsageError(
            f"{cursor[:80]!r} is no cursor. Valid: the one that the page before gave for the next. "
            "Next: leave it out, to begin with the first page"
        ) from None
