"""The OpenAPI document is what the server does: generated requests find no 5xx and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.serving import service_over, serving
from tests.test_collab import LESSONS, WRITER, lesson, write_runs

from memcollab import MemCollab
from memcollab.models import Prompt, ScriptedModel
from memcollab.serve import http as door

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    (method, route.path)
    for router in door.ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]


@schemathesis.serializer("application/x-ndjson")
def lines(_context: object, value: object) -> bytes:
    """A body of lines is sent as it is."""
    return str(value).encode("utf-8", "replace")


def lesson_if_any(prompt: Prompt) -> str:
    """The runs that were generated for one operation are learned from by a later one: their tasks
    are anything, and teach nothing."""
    task = prompt.user.split("<task>")[1].split("</task>")[0]
    known = task.split()[:1] and task.split()[0] in LESSONS
    return lesson(prompt) if known else '{"constraints": []}'


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that has learned."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
    return folder / "team.db"


@pytest.fixture(scope="module")
def document(bank: Path) -> Iterator[schemathesis.BaseSchema]:
    """The document of a running server that neighbours may ask without a key."""
    with serving(service_over(bank, writer=ScriptedModel(lesson_if_any))) as url:
        yield schemathesis.openapi.from_url(f"{url}/v1/openapi.json")


@dataclass(frozen=True)
class Guarded:
    """A server that wants keys, and one that may recall and nothing else."""

    document: schemathesis.BaseSchema
    token: str


@pytest.fixture(scope="module")
def guarded(bank: Path) -> Iterator[Guarded]:
    service = service_over(bank, require_key=True, writer=ScriptedModel(lesson_if_any))
    token, _ = service.keyring.create("reader", ["recall"], "team")
    with serving(service) as url:
        yield Guarded(schemathesis.openapi.from_url(f"{url}/v1/openapi.json"), token)


def answers_as_documented(
    operation: schemathesis.APIOperation, examples: int, headers: dict[str, str] | None = None
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers)

    check()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_documented(
    document: schemathesis.BaseSchema, method: str, path: str
) -> None:
    """Whatever the document allows is answered as the document says."""
    answers_as_documented(document[path][method], 25)


@pytest.mark.parametrize("key", ["weak", "wrong"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_refusal_is_documented(guarded: Guarded, method: str, path: str, key: str) -> None:
    """So it is for a key that may do little, and for one that opens nothing."""
    shown = guarded.token if key == "weak" else "mc_nobody"
    headers = {"Authorization": f"Bearer {shown}"}
    answers_as_documented(guarded.document[path][method], 4, headers)


def test_the_document_is_of_openapi_3_1_and_names_every_refusal(
    document: schemathesis.BaseSchema,
) -> None:
    """Each operation says which problems it answers with."""
    raw = document.raw_schema
    assert raw["openapi"].startswith("3.1")
    for path, operations in raw["paths"].items():
        for method, operation in operations.items():
            assert {"401", "403", "422", "429"} <= set(operation["responses"]), (method, path)
