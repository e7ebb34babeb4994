"""The OpenAPI document is what the server does: generated requests find no 5xx and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
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
def document(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[schemathesis.BaseSchema]:
    """The document of a running server over a bank that has learned."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
    with serving(service_over(folder / "team.db", writer=ScriptedModel(lesson_if_any))) as url:
        yield schemathesis.openapi.from_url(f"{url}/v1/openapi.json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_documented(
    document: schemathesis.BaseSchema, method: str, path: str
) -> None:
    """Whatever the document allows is answered as the document says."""
    operation = document[path][method]

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    check()


def test_the_document_is_of_openapi_3_1_and_names_every_refusal(
    document: schemathesis.BaseSchema,
) -> None:
    """Each operation says which problems it answers with."""
    raw = document.raw_schema
    assert raw["openapi"].startswith("3.1")
    for path, operations in raw["paths"].items():
        for method, operation in operations.items():
            assert {"401", "403", "422", "429"} <= set(operation["responses"]), (method, path)
