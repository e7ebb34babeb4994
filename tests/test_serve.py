"""The service: keys, tenants, limits, idempotency, what can be seen, and a graceful end."""

from __future__ import annotations

import asyncio
import getpass
import io
import itertools
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from tests.contracts.bank_world import pair
from tests.serving import LISTEN, LISTENS, cut_off, service_over, serving
from tests.test_collab import WRITER, lesson, write_runs

from memcollab import MemCollab, errors
from memcollab.bank import Bank
from memcollab.collab import remote
from memcollab.errors import AccessDenied, KeyNeeded, NotFound, ServerError, UsageError
from memcollab.models import Prompt, ScriptedModel
from memcollab.serve import http as door
from memcollab.serve import jobs, problems, replays, watch
from memcollab.serve.app import build_app
from memcollab.serve.gate import Rates
from memcollab.serve.http import learning
from memcollab.serve.ledger import ANSWERS, AUDIT, Ledger, ago
from memcollab.serve.opening import keyring
from memcollab.serve.replays import Replays
from memcollab.serve.run import check_bind, is_loopback
from memcollab.serve.service import Limits, Service

EVERYTHING = ["recall", "record", "curate", "admin"]


def bank_at(path: Path, runs: Path) -> None:
    with MemCollab(path) as memory:
        memory.learn(runs, writer=WRITER)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The export of a bank that has learned."""
    folder = tmp_path_factory.mktemp("learned")
    bank_at(folder / "team.db", write_runs(folder))
    stream = io.BytesIO()
    with Bank.open(folder / "team.db") as bank:
        bank.export(stream)
    return stream.getvalue()


@pytest.fixture
def team(tmp_path: Path, learned: bytes) -> Path:
    """The path of a bank that has learned."""
    path = tmp_path / "team.db"
    with MemCollab(path) as memory:
        memory.import_(io.BytesIO(learned), trusted=True)
    return path


@pytest.fixture
def url(team: Path) -> Iterator[str]:
    """The address of a server of that bank, for neighbours on loopback."""
    with serving(service_over(team)) as url:
        yield url


@pytest.fixture
def two(tmp_path: Path, learned: bytes) -> Iterator[tuple[str, Service]]:
    """A server of two banks, ``ours`` and ``theirs``, that asks for keys."""
    service = service_over(tmp_path, many=True, require_key=True)
    for name in ("ours", "theirs"):
        service.banks.create(name)
        service.banks.memory(name).import_(io.BytesIO(learned), trusted=True)
    with serving(service) as url:
        yield url, service


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem in an answer, which must be one."""
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


# ---- keys


def test_loopback_needs_no_key_and_any_other_address_does(team: Path) -> None:
    """Binding openly without a key is refused before anything is served."""
    service = service_over(team)
    check_bind(service, "127.0.0.1")
    check_bind(service, "::1")
    with pytest.raises(UsageError, match=r"'0\.0\.0\.0'.*Next: memcollab key create"):
        check_bind(service, "0.0.0.0")
    _, key = service.keyring.create("ada", ["recall"])
    check_bind(service, "0.0.0.0")
    assert service.require_key
    service.keyring.revoke(key.id)
    with pytest.raises(UsageError, match="no key"):
        check_bind(service, "192.0.2.1")
    service.close()


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *[("localhost", True), ("127.0.0.9", True), ("::1", True)],
        *[("0.0.0.0", False), ("::", False), ("memory.example", False), ("10.0.0.1", False)],
    ],
)
def test_what_loopback_is(host: str, alone: bool) -> None:
    """A name that is not known to be this machine is not."""
    assert is_loopback(host) is alone


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "203.0.113.5"},
        {"Forwarded": "for=203.0.113.5"},
        {"Via": "1.1 cache.example"},
        {"X-Real-IP": "203.0.113.5"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Prefix": "/memory"},
    ],
)
def test_a_web_page_or_a_proxy_is_no_neighbour(url: str, header: dict[str, str]) -> None:
    """Without a key, what a browser or a reverse proxy passes on is turned away."""
    assert httpx.get(f"{url}/v1/stats").status_code == 200
    refused = httpx.get(f"{url}/v1/stats", headers=header)
    assert refused.status_code == 401
    assert problem(refused)["type"].endswith(":KeyNeeded")


def test_what_a_silent_proxy_forwards_needs_a_key_where_keys_are_asked_for(team: Path) -> None:
    """A proxy that names its target as the host and adds no header looks like a neighbour:
    `--require-key` shuts it out, and whoever has a key is let through."""
    service = service_over(team, require_key=True)
    token, _ = service.keyring.create("ada", ["recall"])
    with serving(service) as url:
        host = {"Host": url.removeprefix("http://")}
        assert httpx.get(f"{url}/v1/stats", headers=host).status_code == 401
        assert httpx.get(f"{url}/pages/", headers=host).status_code == 303
        assert httpx.get(f"{url}/v1/stats", headers=host | bearer(token)).is_success


def test_a_key_is_shown_once_and_stored_hashed(team: Path) -> None:
    """Its secret is in no file and no listing."""
    service = service_over(team)
    token, key = service.keyring.create("ada", ["recall"])
    secret = token.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in repr(service.keyring.list()) + repr(key)
    service.close()
    for path in team.parent.iterdir():
        assert secret.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("name", ["NO SUCH/BANK", "../ours", "v1", "x" * 64, ""])
def test_a_key_is_made_for_a_bank_that_there_can_be(tmp_path: Path, name: str) -> None:
    """A name that no bank can have would open nothing, for ever; a bank may be made later."""
    with keyring(None, str(tmp_path)) as keys:
        with pytest.raises(UsageError, match=re.escape(f"{name!r} is no name of a bank")):
            keys.create("ada", ["recall"], name)
        assert keys.list() == []
        assert keys.create("ada", ["recall"], "later")[1].bank == "later"


def test_a_key_of_the_only_bank_is_made_for_that_name(team: Path) -> None:
    """Beside one bank there is no other that a key could open."""
    with keyring(str(team), None) as keys:
        with pytest.raises(NotFound, match="Valid: 'team'"):
            keys.create("ada", ["recall"], "other")
        assert keys.create("ada", ["recall"], "team")[1].bank == "team"


def test_a_revoked_key_is_shut_out_and_others_stay(two: tuple[str, Service]) -> None:
    """Revoking works on a running server, through another process' ledger too."""
    url, service = two
    token, key = service.keyring.create("ada", ["recall"])
    other, _ = service.keyring.create("bob", ["recall"])
    assert httpx.get(f"{url}/ours/v1/stats", headers=bearer(token)).status_code == 200
    from memcollab.serve.keys import Keyring

    Keyring(Ledger(service.banks.ledger), service.banks.place.check).revoke(key.id)
    deadline = time.monotonic() + 10
    while httpx.get(f"{url}/ours/v1/stats", headers=bearer(token)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert httpx.get(f"{url}/ours/v1/stats", headers=bearer(other)).status_code == 200
    with pytest.raises(NotFound, match="nobody"):
        service.keyring.revoke("nobody")


# Each route with what it needs; a route that is missing here fails the next test.
SCOPES = {
    ("POST", "/v1/recall"): "recall",
    ("GET", "/v1/recalls/{id}"): "recall",
    ("POST", "/v1/outcomes"): "record",
    ("POST", "/v1/trajectories"): "record",
    ("POST", "/v1/trajectories/files"): "record",
    ("GET", "/v1/trajectories/{id}"): "recall",
    ("POST", "/v1/learn"): "curate",
    ("GET", "/v1/learn/{id}"): "recall",
    ("GET", "/v1/learn/{id}/events"): "recall",
    ("GET", "/v1/constraints"): "recall",
    ("GET", "/v1/constraints/{id}"): "recall",
    ("POST", "/v1/constraints/{id}/status"): "curate",
    ("POST", "/v1/constraints/{id}/approve"): "curate",
    ("POST", "/v1/constraints/{id}/edit"): "curate",
    ("GET", "/v1/constraints/{id}/effects"): "recall",
    ("GET", "/v1/quarantine"): "curate",
    ("GET", "/v1/changes"): "recall",
    ("GET", "/v1/sources"): "curate",
    ("POST", "/v1/sources/trust"): "curate",
    ("POST", "/v1/retract"): "curate",
    ("GET", "/v1/decisions"): "curate",
    ("GET", "/v1/snapshots"): "recall",
    ("POST", "/v1/snapshots"): "curate",
    ("GET", "/v1/diff"): "recall",
    ("POST", "/v1/rollback"): "curate",
    ("GET", "/v1/log"): "curate",
    ("GET", "/v1/evidence"): "recall",
    ("GET", "/v1/stats"): "recall",
    ("GET", "/v1/refusals"): "curate",
    ("GET", "/v1/export"): "admin",
    ("POST", "/v1/import"): "admin",
    ("GET", "/v1/banks"): "recall",
    ("POST", "/v1/banks"): "admin",
    ("GET", "/v1/audit"): "admin",
}


def send(
    client: httpx.Client, method: str, path: str, id: str, headers: dict[str, str]
) -> httpx.Response:
    """A request that the route would take, about the thing of that id."""
    bodies: dict[str, Any] = {
        "/v1/recall": {"json": {"task": "Sort the pebbles"}},
        "/v1/outcomes": {"json": {"recall_id": id, "solved": True}},
        "/v1/trajectories": {"json": {"trajectories": []}},
        "/v1/trajectories/files": {"files": {"file": ("runs.jsonl", b"")}},
        "/v1/learn": {"json": {"dry_run": True}},
        "/v1/constraints/{id}/status": {"json": {"status": "retired"}},
        "/v1/constraints/{id}/approve": {"json": {"reason": "why"}},
        "/v1/constraints/{id}/edit": {"json": {"enforce": "other words"}},
        "/v1/sources/trust": {"json": {"source": id, "trust": "retracted"}},
        "/v1/retract": {"json": {"ids": [id]}},
        "/v1/snapshots": {"json": {"dry_run": True}},
        "/v1/rollback": {"json": {"to": id}},
        "/v1/import": {"content": b"{}"},
        "/v1/banks": {"json": {"name": "theirs"}},
    }
    given = bodies.get(path, {}) if method == "POST" else {}
    if path == "/v1/diff":
        given = {"params": {"first": id}}
    return client.request(method, path.replace("{id}", id), headers=headers, **given)


# Some of what the proxy passes on, which has routes of its own.
PASSED_ON = (("POST", "/proxy/v1/chat/completions"), ("GET", "/proxy/v1/models"))
# Routes without an id in the path that are asked for one.
ASKED_FOR = {"/v1/outcomes", "/v1/sources/trust", "/v1/retract", "/v1/rollback", "/v1/diff"}


def test_every_route_is_known_to_these_tests() -> None:
    """A new route must say here which scope it needs, and is tried with strangers' keys."""
    routes = {
        (method, route.path)
        for router in door.ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert routes == set(SCOPES)


@pytest.mark.parametrize(("route", "scope"), SCOPES.items(), ids=lambda value: str(value))
def test_a_key_opens_what_its_scopes_say(
    two: tuple[str, Service], route: tuple[str, str], scope: str
) -> None:
    """All other scopes together are refused with 403 and the scope that is missing."""
    url, service = two
    others = [each for each in EVERYTHING if each not in (scope, "admin")]
    token, _ = service.keyring.create("ada", others)
    with httpx.Client(base_url=f"{url}/ours") as client:
        refused = send(client, *route, "x", bearer(token))
        assert refused.status_code == 403
        assert repr(scope) in problem(refused)["detail"]
        assert send(client, *route, "x", {}).status_code == 401
        allowed, _ = service.keyring.create("bob", [scope])
        assert send(client, *route, "x", bearer(allowed)).status_code not in (401, 403)


def test_runs_of_a_key_that_may_not_curate_wait_until_somebody_trusts_it(
    tmp_path: Path,
) -> None:
    """Whoever may only record teaches nobody alone; trust, once given, lasts; a curator's runs are
    the operator's."""
    runs = write_runs(tmp_path)
    service = service_over(tmp_path / "new.db", require_key=True, writer=WRITER)
    agent, _ = service.keyring.create("ada", ["record"])
    curator, _ = service.keyring.create("carl", EVERYTHING)
    with (
        serving(service) as url,
        MemCollab(url, key=agent) as hers,
        MemCollab(url, key=curator) as his,
    ):
        hers.add_runs(runs)
        (source,) = his.bank.sources()
        assert his.learn().constraints > 0
        assert his.bank.constraints(status="active") == []
        assert {one.sources[source] for one in his.bank.quarantine()} == {"untrusted"}
        assert his.bank.set_trust(source, "trusted", reason="one of us").active
        hers.add_runs(runs)
        assert his.bank.sources() == {source: "trusted"}
        his.add_runs(runs)
        assert his.bank.sources() == {source: "trusted", "local": "trusted"}


# ---- tenants


def test_no_route_reaches_another_bank(two: tuple[str, Service]) -> None:
    """With a key of ``ours``, by path and by ids of ``theirs``, nothing is read or written."""
    url, service = two
    token, _ = service.keyring.create("ours", EVERYTHING, "ours")
    theirs, _ = service.keyring.create("theirs", EVERYTHING, "theirs")
    with MemCollab(f"{url}/theirs", key=theirs) as memory:
        recall = memory.recall("Sort the pebbles, secretly")
        job = httpx.post(
            f"{url}/theirs/v1/learn", json={"dry_run": True}, headers=bearer(theirs)
        ).json()
        before = io.BytesIO()
        memory.bank.export(before)

        with httpx.Client() as client:
            for method, path in SCOPES:
                for id in (recall.id, job["id"]):
                    refused = client_request(client, url, "theirs", method, path, id, token)
                    assert refused.status_code == 403, (method, path)
                    assert "secretly" not in refused.text
                    # Without a bank in the path the key's own is meant: the ids are not there.
                    at_home = client_request(client, url, None, method, path, id, token)
                    assert "secretly" not in at_home.text, (method, path)
                    if "{id}" in path or path in ASKED_FOR:
                        assert at_home.status_code == 404, (method, path)
            for method, path in PASSED_ON:
                key = {"X-MemCollab-Key": token}
                refused = client.request(method, f"{url}/theirs{path}", headers=key, json={})
                assert refused.status_code == 403, (method, path)
                assert refused.json()["error"]["code"] == "AccessDenied"
        after = io.BytesIO()
        memory.bank.export(after)
    assert after.getvalue() == before.getvalue()


def client_request(
    client: httpx.Client, url: str, bank: str | None, method: str, path: str, id: str, token: str
) -> httpx.Response:
    client.base_url = httpx.URL(f"{url}/{bank}" if bank else url)
    return send(client, method, path, id, bearer(token))


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2fours", "ours%00", ".server", "OURS", "a b", "ours.db", "%2fetc"]
)
def test_a_name_cannot_leave_the_folder(two: tuple[str, Service], name: str) -> None:
    """What is no name of a bank opens nothing, with a key of every bank."""
    url, service = two
    token, _ = service.keyring.create("root", EVERYTHING)
    with httpx.Client() as client:
        raw = client.build_request("GET", url, headers=bearer(token))
        raw.url = httpx.URL(url).copy_with(raw_path=f"/{name}/v1/stats".encode())
        answer = client.send(raw)
        assert answer.status_code in (404, 422), answer.text
        made = client.post(f"{url}/v1/banks", json={"name": f"../{name}"}, headers=bearer(token))
        assert made.status_code == 422
    assert service.banks.names() == ["ours", "theirs"]


def test_a_bank_that_is_not_there_is_told_only_to_who_may_know(two: tuple[str, Service]) -> None:
    """A key of one bank learns nothing about which others exist."""
    url, service = two
    token, _ = service.keyring.create("ours", EVERYTHING, "ours")
    said = [
        problem(httpx.get(f"{url}/{name}/v1/stats", headers=bearer(token)))
        for name in ("theirs", "nowhere")
    ]
    assert {each["status"] for each in said} == {403}
    everywhere, _ = service.keyring.create("root", EVERYTHING)
    with (
        MemCollab(f"{url}/nowhere", key=everywhere) as memory,
        pytest.raises(NotFound, match="no bank 'nowhere'"),
    ):
        memory.bank.stats()
    listed = httpx.get(f"{url}/v1/banks", headers=bearer(token)).json()
    assert listed == {"banks": ["ours"]}


def test_banks_can_be_made_and_used_at_once(two: tuple[str, Service]) -> None:
    """A new bank is one request away, for an admin of every bank."""
    url, service = two
    token, _ = service.keyring.create("root", EVERYTHING)
    made = httpx.post(f"{url}/v1/banks", json={"name": "new-one"}, headers=bearer(token))
    assert made.json() == {"banks": ["new-one"]}
    with MemCollab(f"{url}/new-one", key=token) as memory:
        assert memory.recall("Sort the pebbles").abstained


# ---- audit


def test_every_write_is_audited_and_no_reading_is(two: tuple[str, Service]) -> None:
    """Who, when and what; no secret; only of one's own bank."""
    url, service = two
    token, key = service.keyring.create("ada", EVERYTHING, "ours")
    with MemCollab(f"{url}/ours", key=token) as memory:
        recall = memory.recall("Sort the pebbles")
        memory.record_outcome(recall, solved=True)
        constraint = memory.bank.constraints()[0]
        memory.bank.set_status(constraint.id, "quarantined", reason="to be looked at")
        memory.bank.stats()
        assert memory.bank.history(constraint.id)[-1].actor == f"ada ({key.id})"
    made, *found = httpx.get(f"{url}/ours/v1/audit", headers=bearer(token)).json()
    assert made["action"] == "key create"
    assert [(row["who"], row["key"], row["action"]) for row in found] == [
        ("ada", key.id, "POST /v1/outcomes"),
        ("ada", key.id, "POST /v1/constraints/{id}/status"),
    ]
    assert found[1]["target"] == f"/v1/constraints/{constraint.id}/status"
    assert token not in json.dumps(found)
    later = httpx.get(
        f"{url}/v1/audit", params={"since": found[0]["number"]}, headers=bearer(token)
    )
    assert later.json() == found[1:]


def test_who_made_and_who_revoked_a_key_is_in_the_audit(two: tuple[str, Service]) -> None:
    """Each once, with the key's name and id and never its secret; a key of one bank in that bank's
    audit, one of every bank for who has one."""
    url, service = two
    root, first = service.keyring.create("root", ["admin"], by="grace")
    token, key = service.keyring.create("ada", ["recall"], "ours", by="grace")
    service.keyring.revoke(key.id, by="carl")
    service.keyring.revoke(key.id, by="eve")

    def audit(path: str) -> list[tuple[str, str, str, str | None]]:
        answer = httpx.get(f"{url}{path}/v1/audit", headers=bearer(root))
        assert token.split("_", 2)[2] not in answer.text
        return [(row["action"], row["target"], row["who"], row["key"]) for row in answer.json()]

    ours = [
        ("key create", f"ada ({key.id})", "grace", None),
        ("key revoke", f"ada ({key.id})", "carl", None),
    ]
    assert audit("/ours") == ours
    assert audit("/theirs") == []
    assert audit("") == [("key create", f"root ({first.id})", "grace", None), *ours]


def test_a_key_that_the_audit_cannot_take_down_is_not_made(team: Path) -> None:
    """Nor is one revoked: both are there, or neither."""
    service = service_over(team)
    _, key = service.keyring.create("ada", ["recall"])
    with service.ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit RENAME TO gone")
    with pytest.raises(errors.BankError, match="ledger"):
        service.keyring.create("bob", ["recall"])
    with pytest.raises(errors.BankError, match="ledger"):
        service.keyring.revoke(key.id)
    assert service.keyring.list() == [key]
    service.close()


@pytest.mark.parametrize("key", [None, "one"])
def test_a_write_that_the_audit_cannot_take_down_is_told_and_logged(
    team: Path, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    """503 says that it was done; numbers count what was answered, and the log has the lost row.
    Under its Idempotency-Key it can be sent again, and is then in the audit, done once."""
    service = service_over(team)
    headers = {"Idempotency-Key": key} if key else {}
    with serving(service) as url, httpx.Client(base_url=url, headers=headers) as client:
        with service.ledger._engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE audit RENAME TO gone")
        answer = client.post("/v1/snapshots", json={"name": "monday"})
        assert answer.status_code == 503
        said = problem(answer)
        assert "what was asked was done" in said["detail"]
        assert said["next"].startswith("do not send it again")
        assert [one["name"] for one in client.get("/v1/snapshots").json()] == ["monday"]
        numbers = client.get("/metrics").text
        assert 'method="POST",route="/v1/snapshots",status="503"} 1.0' in numbers
        assert 'status="201"' not in numbers
        (lost,) = [one for one in caplog.records if "not in the audit" in one.getMessage()]
        row = vars(lost)["fields"]
        assert (row["action"], row["who"], row["status"]) == ("POST /v1/snapshots", "loopback", 201)
        assert row["request"] == said["request_id"]
        with service.ledger._engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO audit")
        if key:
            again = client.post("/v1/snapshots", json={"name": "monday"})
            assert (again.status_code, again.json()["name"]) == (201, "monday")
            assert [row["target"] for row in client.get("/v1/audit").json()] == ["/v1/snapshots"]


def test_a_write_whose_answer_cannot_be_kept_is_answered_and_audited(
    team: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done is told; the log says that the same key will not get the same answer."""
    service = service_over(team)
    headers = {"Idempotency-Key": "one"}
    with serving(service) as url, httpx.Client(base_url=url, headers=headers) as client:
        with service.ledger._engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE UPDATE ON answers "
                "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        answer = client.post("/v1/snapshots", json={"name": "monday"})
        assert (answer.status_code, answer.json()["name"]) == (201, "monday")
        assert [row["target"] for row in client.get("/v1/audit").json()] == ["/v1/snapshots"]
        again = client.post("/v1/snapshots", json={"name": "monday"})
        assert again.status_code == 429
        assert "at work" in again.json()["detail"]
    (lost,) = [one for one in caplog.records if "not kept" in one.getMessage()]
    assert "the disk is full" in vars(lost)["fields"]["error"]


def test_a_page_says_that_the_audit_lacks_what_a_form_did(team: Path) -> None:
    """Whoever decides on a page reads it there."""
    service = service_over(team)
    with serving(service) as url, httpx.Client(base_url=url, headers={"Origin": url}) as browser:
        id = browser.get("/v1/constraints").json()["constraints"][0]["id"]
        shown = browser.get(f"/pages/constraints/{id}").text
        token = re.search(r'name="token" value="(\w+)"', shown)
        assert token is not None
        with service.ledger._engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE audit RENAME TO gone")
        form = {"token": token[1], "status": "retired"}
        answer = browser.post(f"/pages/constraints/{id}/status", data=form)
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/html")
        assert "asked was done" in answer.text
        assert browser.get(f"/v1/constraints/{id}").json()["constraint"]["status"] == "retired"


# ---- idempotency


def test_the_same_key_and_body_get_the_same_answer(url: str) -> None:
    """A second recall is none: the id is that of the first; another body is refused."""
    headers = {"Idempotency-Key": "one"}
    asked = {"task": "Sort the pebbles"}
    first = httpx.post(f"{url}/v1/recall", json=asked, headers=headers)
    again = httpx.post(f"{url}/v1/recall", json=asked, headers=headers)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert httpx.get(f"{url}/v1/stats").json()["recalls"] == 1

    other = httpx.post(f"{url}/v1/recall", json={"task": "Another"}, headers=headers)
    assert other.status_code == 409
    assert "another request" in problem(other)["detail"]
    assert httpx.post(f"{url}/v1/recall", json=asked).json()["id"] != first.json()["id"]


def test_refusals_are_replayed_and_replicas_agree(team: Path) -> None:
    """Two servers over one bank share what was answered, a refusal too."""
    headers = {"Idempotency-Key": "two"}
    asked = {"recall_id": "recall-x", "solved": True}
    with serving(service_over(team)) as first, serving(service_over(team)) as second:
        one = httpx.post(f"{first}/v1/outcomes", json=asked, headers=headers)
        two = httpx.post(f"{second}/v1/outcomes", json=asked, headers=headers)
    assert one.status_code == two.status_code == 404
    assert one.content == two.content
    assert two.headers["idempotency-replayed"] == "true"


def test_one_key_sent_many_times_at_once_is_one_write(url: str) -> None:
    """Concurrent copies wait their turn or get the answer; one recall is stored."""
    answers: list[httpx.Response] = []

    def once() -> None:
        answers.append(
            httpx.post(
                f"{url}/v1/recall",
                json={"task": "Sort the pebbles"},
                headers={"Idempotency-Key": "many"},
            )
        )

    threads = [threading.Thread(target=once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len({answer.json()["id"] for answer in answers if answer.is_success}) == 1
    assert all("retry-after" in answer.headers for answer in answers if not answer.is_success)
    assert httpx.get(f"{url}/v1/stats").json()["recalls"] == 1


def test_a_server_that_runs_on_forgets_answers(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day the key is free, and the ledger holds the answer no more."""
    monkeypatch.setattr(replays, "_FORGET_SECONDS", 0.0)
    service = service_over(team)
    with serving(service) as url:
        answers = []
        for task, hours in (("Sort the pebbles", 23), ("Sort the pebbles", 25), ("Another", 0)):
            sent = {"json": {"task": task}, "headers": {"Idempotency-Key": "day"}}
            answers.append(httpx.post(f"{url}/v1/recall", **sent).raise_for_status().json()["id"])
            then = ago(timedelta(hours=hours))
            service.ledger.change(ANSWERS.update().values(at=then))
        httpx.post(f"{url}/v1/recall", json={"task": "x"}, headers={"Idempotency-Key": "new"})
        assert answers[0] == answers[1] != answers[2]
        assert len(service.ledger.rows(sa.select(ANSWERS))) == 2


def test_a_request_that_waits_under_a_key_holds_up_no_other(team: Path) -> None:
    """A call of MCP that looks whether its caller is still there: others are answered meanwhile."""
    process, url = start("--bank", str(team), cwd=team.parent)
    drained(process)
    try:
        with suppress(httpx.ReadTimeout):
            headers = {**LISTENS, "Idempotency-Key": "wait"}
            httpx.post(f"{url}/mcp", json=LISTEN, headers=headers, timeout=1)
        assert httpx.get(f"{url}/healthz", timeout=5).is_success
    finally:
        process.kill()
        process.wait(30)


def test_an_application_hears_behind_the_body_that_its_caller_went(tmp_path: Path) -> None:
    """The body comes again whole, whatever its size, and then what the server says, once."""
    sizes = (0, 10, 2 * replays._CHUNK)
    told: list[list[Message]] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        told.append([await receive()])
        while told[-1][-1]["type"] != "http.disconnect" and len(told[-1]) < 10:
            told[-1].append(await receive())
        await Response()(scope, receive, send)

    async def send(message: Message) -> None:
        """To nobody."""

    ledger = Ledger(tmp_path / "ledger")
    for size in sizes:
        sent: Iterator[Message] = iter(
            [{"type": "http.request", "body": b"x" * size}, {"type": "http.disconnect"}]
        )

        async def receive(sent: Iterator[Message] = sent) -> Message:
            return next(sent)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/outcomes",
            "query_string": b"",
            "headers": [(b"idempotency-key", str(size).encode())],
            "state": {"request_id": "1"},
        }
        asyncio.run(Replays(waits, ledger)(scope, receive, send))
    ledger.close()
    assert [sum(len(each.get("body", b"")) for each in all_) for all_ in told] == list(sizes)
    assert all(each["more_body"] for all_ in told for each in all_[:-2])
    assert not any(all_[-2]["more_body"] for all_ in told)


def test_files_and_exports_whose_answer_is_lost_are_sent_once(
    tmp_path: Path, learned: bytes
) -> None:
    """The answer that was lost comes to the second sending: what is new is told as new."""
    with serving(service_over(tmp_path / "team.db")) as url:
        with (
            cut_off(url, b"/trajectories/files", [0]) as (between, cuts),
            MemCollab(between) as memory,
        ):
            sent = memory.add_runs(write_runs(tmp_path))
            assert (sent.judged, sent.known, len(cuts)) == (27, 0, 1)
        with cut_off(url, b"/import", [0]) as (between, cuts), MemCollab(between) as memory:
            came = memory.import_(io.BytesIO(learned))
            assert (came.new["constraint"], len(cuts)) == (3, 1)


# ---- limits


def test_a_body_that_is_too_large_is_refused_whole_or_in_pieces(team: Path) -> None:
    """413 by what the header says, and by what comes where it says nothing."""
    limits = Limits(body=1000, upload=3000)
    with serving(service_over(team, limits=limits)) as url:
        large = orjson.dumps({"task": "x" * 2000})
        kind = {"Content-Type": "application/json"}
        said = httpx.post(f"{url}/v1/recall", content=large, headers=kind)
        assert (said.status_code, "1000 bytes" in problem(said)["detail"]) == (413, True)
        pieces = httpx.post(f"{url}/v1/recall", content=iter([large]), headers=kind)
        assert problem(pieces)["status"] == 413
        kept = httpx.post(
            f"{url}/v1/recall", content=iter([large]), headers={**kind, "Idempotency-Key": "x"}
        )
        assert problem(kept)["status"] == 413
        upload = {"file": ("runs.jsonl", b"x" * 4000)}
        assert httpx.post(f"{url}/v1/trajectories/files", files=upload).status_code == 413
        assert httpx.post(f"{url}/v1/recall", json={"task": "Sort"}).status_code == 200


def test_asking_too_often_is_told_when_to_come_back(team: Path) -> None:
    """429 with Retry-After; the client waits and goes on by itself."""
    with serving(service_over(team, limits=Limits(rate=1))) as url:
        with ThreadPoolExecutor(8) as pool:  # at once, however slow the machine
            answers = list(pool.map(httpx.get, [f"{url}/v1/stats"] * 24))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert "requests a second" in problem(refused[0])["detail"]
        with MemCollab(url) as memory:
            assert memory.bank.stats().constraints == 3


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the rate in a burst, then the rate; callers do not share."""
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    rates = Rates(10)
    for _ in range(20):
        rates.take("ada")
    with pytest.raises(errors.TryLater) as refused:
        rates.take("ada")
    assert refused.value.retry_after == pytest.approx(0.1)
    rates.take("bob")
    at[0] += 0.2
    rates.take("ada")
    Rates(0).take("ada")


def lookups_of_keys(service: Service) -> list[str]:
    """Grows by a statement for each time that the ledger is asked for keys."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM keys" in statement:
            asked.append(statement)

    sa.event.listen(service.ledger._engine, "before_cursor_execute", note)
    return asked


@pytest.mark.parametrize(
    ("path", "guess"),
    [
        ("/v1/stats", "Authorization: Bearer mc_{}_x"),
        ("/v1/stats", "Accept: {}"),
        ("/proxy/v1/models", "X-MemCollab-Key: mc_{}_x"),
        ("/pages/", "Cookie: memcollab={}"),
    ],
)
def test_guessing_keys_is_slow_and_holds_up_no_valid_key(team: Path, path: str, guess: str) -> None:
    """Wrong keys and cookies, and missing ones, are counted by address: what is over the rate is
    refused before a key is looked up. A key that has opened something goes on."""
    service = service_over(team, require_key=True, limits=Limits(rate=1))
    token, _ = service.keyring.create("ada", ["recall"])
    name, _, value = guess.partition(": ")
    with serving(service) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v1/stats", headers=bearer(token)).is_success
        asked = lookups_of_keys(service)
        began = time.monotonic()
        told = [client.get(path, headers={name: value.format(n)}).status_code for n in range(20)]
        in_time = 2 + time.monotonic() - began
        assert told[0] in (303, 401)
        assert told.count(429) >= 20 - in_time
        assert len(asked) <= in_time
        assert client.get("/v1/stats", headers=bearer(token)).is_success


def test_a_revoked_key_is_counted_as_any_other_wrong_one(team: Path) -> None:
    """It was known to open something, and does not any more."""
    service = service_over(team, require_key=True, limits=Limits(rate=1))
    token, key = service.keyring.create("ada", ["recall"])
    with serving(service) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v1/stats", headers=bearer(token)).is_success
        service.keyring.revoke(key.id)
        told = [client.get("/v1/stats", headers=bearer(token)).status_code for _ in range(20)]
    assert told[0] == 401
    assert told[-1] == 429


def test_asking_whether_it_is_ready_costs_one_look_a_second(team: Path) -> None:
    """Whoever asks often is told what the last look found, a failure too, until the next."""
    service = service_over(team)
    with serving(service) as url, httpx.Client(base_url=url) as client:
        asked = lookups_of_keys(service)
        began = time.monotonic()

        def until(status: int) -> list[int]:
            told = [client.get("/readyz").status_code]
            while told[-1] != status:
                told.append(client.get("/readyz").status_code)
                assert time.monotonic() < began + 30
            return told

        with service.ledger._engine.begin() as connection:
            assert until(200) == [200]
            connection.exec_driver_sql("ALTER TABLE keys RENAME TO gone")
        asked_often = until(503)
        with service.ledger._engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO keys")
        asked_often += until(200)
        assert len(asked) <= 1 + time.monotonic() - began
    assert len(asked_often) > 10
    assert set(asked_often) == {200, 503}


# ---- answers


def test_every_error_has_one_status_and_comes_back_as_itself() -> None:
    """The table is whole, and a client raises the class that the server did."""
    from memcollab.collab.remote import raised

    kinds = [errors.MemCollabError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    for kind in kinds:
        if kind.__module__ != "memcollab.errors" or kind is errors.MissingExtra:
            continue
        answer = problems.answer(kind("what happened. Next: do this"), "r-1")
        sent = httpx.Response(
            answer.status_code, headers=dict(answer.headers), content=bytes(answer.body)
        )
        assert type(raised(sent)) is kind
        assert sent.json()["next"] == "do this"
        assert sent.json()["request_id"] == "r-1"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "no bank at '/srv/team.db'. Next: learn --bank /srv/team.db",
            "no bank at 'team.db'. Next: learn --bank team.db",
        ),
        ("'/srv/my banks/team.db' is locked", "'team.db' is locked"),
        ('"/srv/ada\'s banks/team.db" is locked', '"team.db" is locked'),
        (r"'C:\\srv\\my banks\\team.db' is locked", "'team.db' is locked"),
        ("'banks/team.db' and '/srv/banks/' are locked", "'team.db' and 'banks' are locked"),
        ("ada's key is 'new'. Next: GET /v1/banks", "ada's key is 'new'. Next: GET /v1/banks"),
        ("the task 'sort a/b lists' is 'odd'", "the task 'sort a/b lists' is 'odd'"),
        ("'/' is no path", "'/' is no path"),
    ],
)
def test_no_path_of_the_server_leaves_it(said: str, told: str) -> None:
    """However it is quoted, and where the next step repeats it; a caller's own words stay."""
    assert problems.told(UsageError(said)).detail == told


def test_words_that_resemble_paths_are_read_in_time() -> None:
    """What a caller sends may stand in an error, megabytes of it."""
    began = time.process_time()
    for piece in ("'/a ", "'/\\\\", "'a/", "'/a' ", "\"'/"):
        problems.told(UsageError(piece * 200_000))
    assert time.process_time() - began < 20


def test_what_is_no_memcollab_server_is_said_so() -> None:
    """A proxy's error page and a closed port are errors with a next step, not stack traces."""
    from memcollab.collab.remote import raised

    request = httpx.Request("GET", "http://x/v1/stats")
    assert "not as memcollab" in str(raised(httpx.Response(502, text="<h1>", request=request)))
    with (
        MemCollab("http://127.0.0.1:9/team") as memory,
        pytest.raises(ServerError, match="cannot be reached"),
    ):
        memory.bank.stats()


def test_a_key_is_in_no_repr_and_no_error(two: tuple[str, Service]) -> None:
    """Neither a client's nor a server's words hold it."""
    url, _ = two
    with MemCollab(f"{url}/ours", key="mc_000000000000_verysecret") as memory:
        assert "verysecret" not in repr(memory)
        with pytest.raises(KeyNeeded) as refused:
            memory.recall("Sort it")
    assert "verysecret" not in str(refused.value)
    with pytest.raises(UsageError, match="a key was given"):
        MemCollab("team.db", key="mc_x")


def test_a_key_without_the_scope_is_access_denied(two: tuple[str, Service]) -> None:
    """The client raises what the command line would exit with."""
    url, service = two
    token, _ = service.keyring.create("ada", ["recall"], "ours")
    with MemCollab(f"{url}/ours", key=token) as memory:
        recall = memory.recall("Sort it")
        with pytest.raises(AccessDenied, match="'record'"):
            memory.record_outcome(recall, solved=True)
    with (
        MemCollab(f"{url}/theirs", key=token) as memory,
        pytest.raises(AccessDenied, match="'theirs'"),
    ):
        memory.recall("Sort it")


def test_pages_of_constraints_are_whole_while_the_bank_changes(url: str) -> None:
    """A cursor's place does not move: nothing twice, nothing left out."""
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = httpx.get(f"{url}/v1/constraints", params={"limit": 1, **cursor}).json()
        seen += [each["id"] for each in page["constraints"]]
        assert all(each["text"].startswith("When ") for each in page["constraints"])
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 3
    wrong = httpx.get(f"{url}/v1/constraints", params={"cursor": "no-cursor"})
    assert "is no cursor" in problem(wrong)["detail"]


def test_a_learn_job_is_followed_by_events_to_its_end(tmp_path: Path) -> None:
    """The last event is named for how it ended and carries the report; replicas tell the same."""
    service = service_over(tmp_path / "team.db", writer=WRITER)
    with serving(service) as url, serving(service_over(tmp_path / "team.db")) as replica:
        files = {"file": ("runs.jsonl", write_runs(tmp_path).read_bytes())}
        assert httpx.post(f"{url}/v1/trajectories/files", files=files).json()["judged"] == 27
        job = httpx.post(f"{url}/v1/learn", json={})
        assert job.status_code == 202
        with httpx.stream("GET", f"{replica}/v1/learn/{job.json()['id']}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = answer.read().decode().strip().split("\n\n")
        assert events[-1].startswith("event: done\n")
        last = json.loads(events[-1].partition("data: ")[2])
        assert last["report"]["constraints"] == 3
        assert httpx.get(f"{url}/v1/learn/{job.json()['id']}").json() == last
        refused = httpx.post(f"{replica}/v1/learn", json={})
        assert "no writer" in problem(refused)["detail"]


def test_a_learn_goes_on_when_its_stream_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the head of an answer, then behind an event while nothing but comments came: the
    stream is asked for again, and the report is whole."""
    monkeypatch.setattr(learning, "_PING_SECONDS", 0.01)
    stages: list[str] = []

    def waits(prompt: Prompt) -> str:
        deadline = time.monotonic() + 60
        while len(cuts) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return lesson(prompt)

    def progress(stage: str, _done: int, _total: int | None) -> None:
        stages.append(stage)

    service = service_over(tmp_path / "team.db", writer=ScriptedModel(waits))
    with (
        serving(service) as url,
        cut_off(url, b"/events", (100, 700)) as (between, cuts),
        MemCollab(between) as memory,
    ):
        report = memory.learn(write_runs(tmp_path), progress=progress)
    assert report.constraints == 3
    assert len(cuts) == 2
    assert stages


def test_a_job_is_followed_for_a_while_when_its_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the error says that the job was not what failed."""
    monkeypatch.setattr(remote, "_PATIENCE", 0.5)
    running = {"id": "job-1", "state": "running"}
    with (
        MemCollab("http://127.0.0.1:9") as memory,
        pytest.raises(ServerError, match=r"'job-1' for 0.5 seconds: .* it goes on"),
    ):
        memory._follow(running, None)


@pytest.mark.parametrize(
    ("raises", "kind"),
    [
        (errors.MissingExtra("this writer", "bench"), ServerError),
        (errors.ModelUnavailable("no such model"), errors.ModelUnavailable),
    ],
)
def test_a_job_that_fails_raises_what_failed_there(
    tmp_path: Path, raises: errors.MemCollabError, kind: type[errors.MemCollabError]
) -> None:
    """Over the wire as over a path, but for an extra that only the server can install."""

    def fails(prompt: Prompt) -> str:
        raise raises

    service = service_over(tmp_path / "team.db", writer=ScriptedModel(fails))
    with (
        serving(service) as url,
        MemCollab(url) as memory,
        pytest.raises(kind, match=re.escape(str(raises))),
    ):
        memory.learn(write_runs(tmp_path))


def test_a_job_outlives_a_ledger_that_cannot_be_written_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its progress nor its beat ends with it, so nobody takes the job for lost; how it
    ended is noted when the ledger is back."""
    monkeypatch.setattr(jobs, "_BEAT_SECONDS", 0.05)
    ledger = sqlite3.connect(f"{tmp_path / 'team.db'}.server", check_same_thread=False)
    beats: list[str] = []
    asked = itertools.count(1)

    def away(*, away: bool) -> None:
        ledger.execute(
            f"ALTER TABLE {'jobs' if away else 'gone'} RENAME TO {'gone' if away else 'jobs'}"
        )

    def beat() -> str:
        return str(ledger.execute("SELECT beat FROM jobs").fetchone()[0])

    def slow(prompt: Prompt) -> str:
        number = next(asked)
        if number == 2:
            away(away=True)
            time.sleep(0.5)
        elif number == 4:
            away(away=False)
            before = beat()
            deadline = time.monotonic() + 10
            while (now := beat()) == before and time.monotonic() < deadline:
                time.sleep(0.05)
            beats.extend((before, now))
        elif number == 18:
            away(away=True)
            threading.Timer(1, away, kwargs={"away": False}).start()
        return lesson(prompt)

    service = service_over(tmp_path / "team.db", writer=ScriptedModel(slow))
    with serving(service) as url, MemCollab(url) as memory:
        assert memory.learn(write_runs(tmp_path)).constraints == 3
    ledger.close()
    assert next(asked) == 19
    assert beats[0] < beats[1]


def test_a_job_that_the_ledger_believes_silent_is_not_joined_by_another(tmp_path: Path) -> None:
    """The server that runs it knows better: a second one is refused for as long as it learns."""
    started, over = threading.Event(), threading.Event()

    def waits(prompt: Prompt) -> str:
        started.set()
        assert over.wait(60)
        return lesson(prompt)

    service = service_over(tmp_path / "team.db", writer=ScriptedModel(waits))
    with serving(service) as url, MemCollab(url) as memory:
        memory.add_runs(write_runs(tmp_path))
        first = httpx.post(f"{url}/v1/learn", json={}).json()["id"]
        assert started.wait(60)
        with sqlite3.connect(f"{tmp_path / 'team.db'}.server") as ledger:
            ledger.execute("UPDATE jobs SET state = 'lost'")
        refused = httpx.post(f"{url}/v1/learn", json={})
        over.set()
    assert refused.status_code == 429
    assert first in refused.json()["detail"]


def test_a_job_that_fails_tells_no_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may only recall reads the error of a job; where its files are stands in the log."""
    answers = tmp_path / "of the operator" / "answers.jsonl"
    service = service_over(tmp_path / "team.db", writer=f"recorded:{answers}")
    with (
        serving(service) as url,
        MemCollab(url) as memory,
        pytest.raises(UsageError, match=r"from 'answers\.jsonl'") as failed,
    ):
        memory.learn(write_runs(tmp_path))
    assert str(tmp_path) not in str(failed.value)
    [logged] = [one for one in caplog.records if one.getMessage() == "job failed"]
    assert str(answers) in logged.fields["error"]


def test_runs_of_a_key_that_may_not_curate_wait_for_trust(tmp_path: Path) -> None:
    """Whoever may only report brings runs in its own name: what they alone teach is quarantined,
    and released when somebody vouches for the key. A curator is believed at once."""
    service = service_over(tmp_path / "team.db", require_key=True, writer=WRITER)
    ada, _ = service.keyring.create("ada", ["recall", "record"])
    eve, _ = service.keyring.create("eve", EVERYTHING)
    runs = write_runs(tmp_path).read_text().splitlines()
    with serving(service) as url:
        for token, half in ((ada, runs[:9]), (eve, runs[9:])):
            files = {"file": ("runs.jsonl", "\n".join(half).encode())}
            sent = httpx.post(f"{url}/v1/trajectories/files", files=files, headers=bearer(token))
            assert sent.json()["judged"] == len(half), sent.text
        job = httpx.post(f"{url}/v1/learn", json={}, headers=bearer(eve)).json()
        with httpx.stream(
            "GET", f"{url}/v1/learn/{job['id']}/events", headers=bearer(eve)
        ) as answer:
            assert "event: done" in answer.read().decode()
    with MemCollab(tmp_path / "team.db") as memory:
        assert memory.bank.sources() == {"local": "trusted", "reporter:ada": "untrusted"}
        (waiting,) = memory.bank.quarantine()
        assert "reporter:ada" in waiting.sources
        assert len(memory.bank.constraints(status="active")) == 2
        memory.bank.set_trust("reporter:ada", "trusted", actor="eve")
        assert len(memory.bank.constraints(status="active")) == 3


def test_a_job_that_breaks_is_failed_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer that does what no writer may: the job says that it failed, the log says why, and the
    next job is taken."""

    def broken(prompt: Prompt) -> str:
        raise KeyError("no such lesson")

    service = service_over(tmp_path / "team.db", writer=ScriptedModel(broken))
    with serving(service) as url:
        files = {"file": ("runs.jsonl", write_runs(tmp_path).read_bytes())}
        httpx.post(f"{url}/v1/trajectories/files", files=files).raise_for_status()
        for _ in range(2):
            job = httpx.post(f"{url}/v1/learn", json={}).raise_for_status().json()
            with httpx.stream("GET", f"{url}/v1/learn/{job['id']}/events") as answer:
                last = answer.read().decode().strip().split("\n\n")[-1]
            assert last.startswith("event: failed\n")
            assert "find the job in its log" in json.loads(last.partition("data: ")[2])["error"]
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
        "job failed",
        "job failed",
    ]


def test_uploads_are_read_by_a_mapping_that_comes_with_them(url: str, tmp_path: Path) -> None:
    """Foreign JSON needs no file on the server."""
    line = {"q": "Sort the kites", "who": "owl-7b", "said": "done", "good": True}
    (tmp_path / "foreign.jsonl").write_text(json.dumps(line))
    (tmp_path / "map.toml").write_text(
        'files = ["*.jsonl"]\n[task]\ntext = "q"\n[agent]\nmodel = "who"\n'
        '[run]\ntext = "said"\n[verdict]\nsolved = "good"\n'
    )
    with MemCollab(url) as memory:
        report = memory.add_runs(tmp_path / "foreign.jsonl", mapping=tmp_path / "map.toml")
    assert (report.seen, report.judged) == (1, 1), report


# ---- what can be seen


def test_probes_need_no_key_and_metrics_do(two: tuple[str, Service]) -> None:
    """Health and readiness are open; numbers are for who has a key, and name no bank."""
    url, service = two
    assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}
    assert httpx.get(f"{url}/metrics").status_code == 401
    token, _ = service.keyring.create("prometheus", ["recall"])
    httpx.post(f"{url}/ours/v1/recall", json={"task": "Sort it"}, headers=bearer(token))
    text = httpx.get(f"{url}/metrics", headers=bearer(token)).text
    assert 'memcollab_requests_total{method="POST",route="/v1/recall",status="200"} 1.0' in text
    assert "ours" not in text
    service.closing = True
    assert httpx.get(f"{url}/readyz").status_code == 503


def test_answers_say_where_the_time_went(url: str) -> None:
    """Server-Timing has every stage of a recall, in the standard's form."""
    timing = httpx.post(f"{url}/v1/recall", json={"task": "Sort it"}).headers["server-timing"]
    stages = dict(re.findall(r"([\w-]+);dur=([\d.]+)", timing))
    assert {"embed", "categorise", "guidance", "total"} <= set(stages)


def test_a_log_that_nobody_reads_holds_up_nobody() -> None:
    """Neither lines nor warnings wait for a reader, what waits is bounded, and what was dropped is
    counted when somebody reads again."""
    reads, writes = os.pipe()
    with os.fdopen(writes, "w") as stream:
        handler = watch.Unhurried(stream)
        handler.setFormatter(watch.JsonLines())
        for number in range(30_000):
            level = logging.WARNING if number % 5_000 == 0 else logging.INFO
            handler.emit(logging.LogRecord("x", level, "", 0, "line %d", (number,), None))
        taken: list[str] = []
        with os.fdopen(reads) as reader:
            while "line 29999" not in (taken[-1] if taken else ""):
                taken.append(reader.readline())
    lines = [json.loads(line) for line in taken]
    (lost,) = [line for line in lines if "dropped" in line["event"]]
    assert lost["level"] == "warning"
    assert lost["count"] + len(lines) - 1 == 30_000


def test_the_log_is_json_without_secrets_or_tasks(two: tuple[str, Service]) -> None:
    """One object a request: who by id, what by route; no key, no words of a task."""
    url, service = two
    token, key = service.keyring.create("ada", EVERYTHING, "ours")
    stream = io.StringIO()
    kept = watch.LOG.handlers[:], watch.LOG.propagate, watch.LOG.level
    watch.log_to(stream)
    try:
        httpx.post(
            f"{url}/ours/v1/recall", json={"task": "a private matter"}, headers=bearer(token)
        )
        httpx.get(f"{url}/ours/v1/constraints?text=private", headers=bearer("mc_wrong_" + "s" * 43))
        deadline = time.monotonic() + 10  # a request is logged when its last byte has gone
        while stream.getvalue().count('"event":"request"') < 2:
            assert time.monotonic() < deadline
            watch.write_log()
            time.sleep(0.01)
    finally:
        watch.LOG.handlers[:], watch.LOG.propagate = kept[0], kept[1]
        watch.LOG.setLevel(kept[2])
        uvicorn_log = logging.getLogger("uvicorn.error")
        uvicorn_log.handlers[:] = []
        uvicorn_log.propagate = True
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    asked = [line for line in lines if line["event"] == "request"]
    assert (asked[0]["bank"], asked[0]["key"], asked[0]["status"]) == ("ours", key.id, 200)
    assert asked[0]["route"] == "/v1/recall"
    assert asked[1]["status"] == 401
    for secret in (token.split("_", 2)[2], "private", "sssss"):
        assert secret not in stream.getvalue()


def test_a_recall_is_a_span_of_the_memory_conventions(url: str) -> None:
    """Operation, store and number of records, in the trace of the caller; no text of the task."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    httpx.post(f"{url}/v1/recall", json={"task": "Sort a hidden heap"}, headers=headers)
    span = next(each for each in exporter.get_finished_spans() if each.name == "search_memory")
    assert span.attributes is not None
    assert span.attributes["gen_ai.operation.name"] == "search_memory"
    assert span.attributes["gen_ai.memory.store.id"] == "team"
    assert span.attributes["gen_ai.memory.record.count"] in (0, 1, 2, 3)
    assert f"{span.context.trace_id:032x}" == trace_id
    assert "hidden" not in span.to_json()


# ---- the end


def start(*arguments: str, cwd: Path) -> tuple[subprocess.Popen[str], str]:
    """``memcollab serve`` as a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "memcollab.cli", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"running on (http://[\d.:]+)", line)
        if found:
            return process, found[1]
    raise AssertionError("the server did not say where it runs")


def drained(process: subprocess.Popen[str]) -> None:
    """Nobody reading its log must not stop a server."""
    stream = process.stderr
    assert stream is not None

    def read() -> None:
        with stream:
            stream.read()

    threading.Thread(target=read, daemon=True).start()


class Client:
    """Works at a server until it goes, and remembers what was answered."""

    def __init__(self, url: str, number: int) -> None:
        self.url = url
        self.number = number
        self.recalls: list[str] = []
        self.ended: dict[str, bool] = {}
        self.runs: list[str] = []
        self.refused: list[str] = []

    def work(self, turn: Callable[[httpx.Client, int], object]) -> None:
        with httpx.Client(base_url=self.url) as client, suppress(httpx.HTTPError):
            for count in itertools.count():
                turn(client, count)

    def read(self, client: httpx.Client, _count: int) -> str:
        id: str = self._post(client, "/v1/recall", {"task": "Sort the pebbles"})["id"]
        self.recalls.append(id)
        return id

    def write(self, client: httpx.Client, count: int) -> None:
        recall, solved = self.read(client, count), count % 3 > 0
        self._post(client, "/v1/outcomes", {"recall_id": recall, "solved": solved})
        self.ended[recall] = solved
        runs = pair(self.number * 100_000 + count)
        asked = {"trajectories": [run.model_dump(mode="json") for run in runs]}
        self._post(client, "/v1/trajectories", asked, {"Idempotency-Key": f"{self.number} {count}"})
        self.runs += [run.id for run in runs]

    def _post(
        self, client: httpx.Client, path: str, asked: Any, headers: dict[str, str] | None = None
    ) -> Any:
        answer = client.post(path, json=asked, headers=headers)
        if not answer.is_success:
            self.refused.append(answer.text)
        return answer.raise_for_status().json()


def test_stopping_in_the_middle_of_writes_loses_none_that_was_acknowledged(team: Path) -> None:
    """SIGTERM while eight clients recall, report and bring runs and four recall: nothing was
    refused, and whatever was answered is in the bank."""
    process, url = start("--bank", str(team), "--rate", "0", cwd=team.parent)
    drained(process)
    clients = [Client(url, number) for number in range(12)]
    turns = [each.write if each.number < 8 else each.read for each in clients]
    threads = [
        threading.Thread(target=each.work, args=(turn,))
        for each, turn in zip(clients, turns, strict=True)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while sum(len(each.runs) for each in clients) < 80 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    assert sum(len(each.runs) for each in clients) >= 80
    assert [each.refused for each in clients] == [[]] * 12
    with Bank.open(team, create=False) as bank:
        stored = {judged.recall.id: judged.outcome.solved for judged in bank.outcomes()}
        for each in clients:
            assert each.recalls
            assert each.ended.items() <= stored.items()
            for id in each.recalls:
                bank.recall(id)
            for id in each.runs:
                bank.trajectory(id)
        assert bank.versions().outcomes == len(stored)
        assert bank.verify().ok


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere connections are not dealt out")
def test_processes_share_a_port_and_one_goes_on_when_another_ends(team: Path) -> None:
    """`--reuse-port`: connections are dealt out, each sees what the others stored, and those that
    are left serve on when one ends."""
    first, url = start("--bank", str(team), "--reuse-port", cwd=team.parent)
    port = url.rpartition(":")[2]
    second, again = start("--bank", str(team), "--reuse-port", "--port", port, cwd=team.parent)
    assert url == again
    drained(first), drained(second)
    for _ in range(40):
        assert httpx.get(f"{url}/healthz").is_success
    recalls = [httpx.post(f"{url}/v1/recall", json={"task": "Sort"}).json() for _ in range(8)]
    first.send_signal(signal.SIGTERM)
    first.wait(60)
    for recall in recalls:
        ended = {"recall_id": recall["id"], "solved": True}
        assert httpx.post(f"{url}/v1/outcomes", json=ended).is_success
    counted = re.search(
        r'memcollab_requests_total{[^}]*"/healthz"[^}]*} ([\d.]+)', httpx.get(f"{url}/metrics").text
    )
    assert counted is not None
    assert 0 < float(counted[1]) < 40
    second.send_signal(signal.SIGTERM)
    second.wait(60)


def test_a_port_that_is_not_shared_is_said_so(team: Path) -> None:
    """A server beside one that was started without `--reuse-port` ends with the way out."""
    process, url = start("--bank", str(team), cwd=team.parent)
    drained(process)
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(team), "--reuse-port"]
    beside = subprocess.run(
        [*command, "--port", url.rpartition(":")[2]], capture_output=True, text=True, timeout=60
    )
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert beside.returncode == 2
    assert "cannot be shared" in beside.stderr
    assert "choose another --port" in beside.stderr


def test_serve_and_key_work_from_the_command_line(tmp_path: Path) -> None:
    """A key from `key create` opens a server that asks for one; `bank stats` takes its URL."""

    def memcollab(*arguments: str, **environment: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "memcollab.cli", *arguments, "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )
        try:
            return json.loads(done.stdout or done.stderr)
        except json.JSONDecodeError:
            raise AssertionError(f"{arguments!r}: {done.stdout}{done.stderr}") from None

    banks = ("--banks", str(tmp_path))
    made = memcollab("key", "create", "ada", "--scope", "admin", *banks)
    process, url = start("--require-key", *banks, cwd=tmp_path)
    drained(process)
    try:
        httpx.post(f"{url}/v1/banks", json={"name": "team"}, headers=bearer(made["key"]))
        target = ("--bank", f"{url}/team")
        stats = memcollab("bank", "stats", *target, MEMCOLLAB_BANK_KEY=made["key"])
        assert stats["constraints"] == 0
        assert memcollab("bank", "stats", *target)["error"]["kind"] == "KeyNeeded"
        memcollab("key", "revoke", made["id"], *banks)
        assert memcollab("key", "list", *banks)["keys"][0]["revoked"]
        rows = Ledger(tmp_path / ".server.db").rows(sa.select(AUDIT).order_by(AUDIT.c.number))
        assert [(row["action"], row["who"]) for row in rows if row["key"] is None] == [
            ("key create", getpass.getuser()),
            ("key revoke", getpass.getuser()),
        ]
    finally:
        process.terminate()
        process.wait(30)


def test_building_an_application_sets_up_no_logging(team: Path) -> None:
    """Whoever puts it into a server of their own keeps their log as it is."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    root.handlers[:] = []
    try:
        service = service_over(team)
        build_app(service)
        assert root.handlers == []
        service.close()
    finally:
        root.handlers[:], level = before
        root.setLevel(level)


def test_a_served_bank_is_curated_from_the_command_line(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that guards a bank takes a URL: edit, snapshot, distrust, approve, go back."""
    from memcollab.cli import app

    def bank(*arguments: str) -> Any:
        capsys.readouterr()
        app(["bank", *arguments, "--bank", url, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    (old, *_) = bank("list")["constraints"]
    (new,) = bank("edit", old["id"], "--avoid", "haste", "--reason", "clearer")["constraints"]
    assert (new["avoid"], new["status"]) == ("haste", "active")
    assert bank("snapshot", "monday")["name"] == "monday"
    decided = bank("distrust", *bank("sources"), "--dry-run")
    assert decided["dry_run"]
    bank("distrust", *bank("sources"))
    (waiting, *_) = bank("quarantine")["waiting"]
    bank("approve", waiting["id"], "--reason", "looked at")
    changed = {one["constraint_id"] for one in bank("diff", "monday")["differences"]}
    assert waiting["id"] not in changed
    assert changed
    assert set(bank("rollback", "--to", "monday")["restored"]) >= changed
    with MemCollab(url) as memory:
        (run, *_) = memory.bank.provenance(new["id"]).sources
    assert bank("retract", "--trajectory", run.preferred.id)["value"] == "retracted"
    assert bank("log")["decisions"]


def test_an_application_can_be_built_twice(team: Path) -> None:
    """Metrics and routes belong to one application, not to the process."""
    service = service_over(team)
    assert build_app(service) is not build_app(service)
    service.close()


def test_the_log_is_whole_when_a_signal_ends_the_server(tmp_path: Path) -> None:
    """Lines wait a moment to be written together; none waits beyond the end."""
    command = [sys.executable, "-m", "memcollab.cli", "serve", "--bank", str(tmp_path / "team.db")]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        port = next(
            int(found[1])
            for line in server.stderr
            if (found := re.search(r"running on http://127.0.0.1:(\d+)", line))
        )
        for _ in range(20):
            httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
        server.send_signal(signal.SIGTERM)
        said = server.stderr.read()
        assert server.wait(30) == -signal.SIGTERM
    lines = [json.loads(line) for line in said.splitlines()]
    assert sum(line["event"] == "request" for line in lines) == 20
    assert lines[-1]["event"].startswith("Finished server process")
