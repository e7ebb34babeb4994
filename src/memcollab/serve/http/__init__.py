"""The door ``/v1``: what a request may hold, and which method of the product answers it.

Answers are the records themselves as JSON, written by pydantic once and not validated again.

``requests``     what every route takes from a request, and how it answers
``views``        a constraint with its id and sentence
``recalling``    recall, outcomes, evidence
``learning``     runs as they come in, and jobs
``constraints``  listed, shown, approved, quarantined, retired, edited
``guarding``     sources and trust, retractions, snapshots, differences, going back, the log
``whole``        counts, refused drafts, export, import
``server``       banks and audit
"""

from __future__ import annotations

from memcollab.serve.http import constraints, guarding, learning, recalling, server, whole
from memcollab.serve.http.requests import (
    actor_of,
    asked_of,
    bank_name_of,
    caller_of,
    changed_of,
    count_recall,
    service_of,
    tenant_of,
)
from memcollab.serve.http.views import view

__all__ = [
    "ROUTERS",
    "actor_of",
    "asked_of",
    "bank_name_of",
    "caller_of",
    "changed_of",
    "count_recall",
    "service_of",
    "tenant_of",
    "view",
]

ROUTERS = tuple(part.router for part in (recalling, learning, constraints, guarding, whole, server))
