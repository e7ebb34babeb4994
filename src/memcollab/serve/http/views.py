"""How a constraint looks as JSON: with its id and its sentence, which a Python client derives and
others cannot."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from memcollab.records import Constraint

ConstraintView = create_model(
    "ConstraintView",
    __doc__="A constraint with its id and the sentence that an agent reads.",
    id=(str, ...),
    text=(str, ...),
    **{name: (field.annotation, field) for name, field in Constraint.model_fields.items()},  # type: ignore[call-overload]
)


def view(constraint: Constraint) -> dict[str, Any]:
    """The JSON of a constraint."""
    return {"id": constraint.id, "text": constraint.text, **constraint.model_dump(mode="json")}
