"""What a server refuses before upstream is asked, as the real ``openai`` client tells it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import httpx2
import openai
import pytest
from starlette.types import Receive, Scope, Send
from tests.serving import service_over, serving
from tests.upstream import Upstream, upstream

from memcollab.serve.gate import Gate
from memcollab.serve.service import Limits, Service


def client(url: str, key: str | None = None, bank: str = "") -> openai.OpenAI:
    """As a user of the proxy makes it."""
    headers = {"X-MemCollab-Key": key} if key else {}
    base = f"{url}{bank}/proxy/v1"
    return openai.OpenAI(api_key="up", base_url=base, default_headers=headers, max_retries=0)


def refused(asked: openai.OpenAI, kind: type[openai.APIStatusError]) -> openai.APIStatusError:
    """The exception that a chat meets."""
    with asked, pytest.raises(kind) as raised:
        asked.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 500}])
    error = raised.value
    assert error.response.headers["content-type"] == "application/json"
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert "Next: " in error.body["message"]
    assert error.body["message"] in str(error).replace("\\'", "'")  # what a traceback shows
    return error


@pytest.fixture
def behind() -> Iterator[Upstream]:
    with upstream() as server:
        yield server
    # A body in pieces is on its way before it is too large; it never comes to its end.
    assert not any(message.whole for message in server.seen)


@pytest.fixture
def closed(tmp_path: Path, behind: Upstream) -> Service:
    """A server that asks for keys."""
    return service_over(tmp_path / "team.db", require_key=True, upstream=behind.url)


def test_who_has_no_key_or_the_wrong_one_is_told_in_openais_form(
    tmp_path: Path, behind: Upstream
) -> None:
    """No key, an unknown one, one without the scope, one of another bank: each its exception, with
    the header that a key goes in here, and the command that makes one."""
    closed = service_over(tmp_path, many=True, require_key=True, upstream=behind.url)
    for name in ("team", "theirs"):
        closed.banks.create(name)
    recorder, _ = closed.keyring.create("bob", ["record"])
    stranger, _ = closed.keyring.create("eve", ["recall"], "theirs")
    with serving(closed) as url:
        without = refused(client(url, bank="/team"), openai.AuthenticationError)
        assert "`X-MemCollab-Key: KEY`" in without.message
        assert "memcollab key create" in without.message
        assert (without.code, without.type) == ("KeyNeeded", "invalid_request_error")
        assert without.response.headers["www-authenticate"] == "Bearer"
        assert without.response.headers["memcollab-request-id"]
        assert (
            refused(client(url, "mc_x_y", "/team"), openai.AuthenticationError).code == "KeyNeeded"
        )
        scopeless = refused(client(url, recorder, "/team"), openai.PermissionDeniedError)
        assert "lacks the scope 'recall'" in str(scopeless.body)
        other = refused(client(url, stranger, "/team"), openai.PermissionDeniedError)
        assert "does not open the bank 'team'" in str(other.body)
        # The other doors keep their own form.
        problem = httpx.post(f"{url}/team/v1/recall", json={"task": "x"})
        assert problem.headers["content-type"] == "application/problem+json"
        assert "`Authorization: Bearer KEY`" in problem.json()["detail"]


def test_what_there_is_not_is_told_in_openais_form(tmp_path: Path, behind: Upstream) -> None:
    """A bank that cannot be, and a path beside ``/proxy/v1``."""
    with serving(service_over(tmp_path / "team.db", upstream=behind.url)) as url:
        bank = refused(client(url, bank="/No!"), openai.NotFoundError)
        assert "there is no bank 'No!'" in bank.message
        assert bank.code == "NotFound"
        aside = openai.OpenAI(api_key="up", base_url=f"{url}/proxy/v2", max_retries=0)
        assert refused(aside, openai.NotFoundError).code == "NotFound"


def test_a_bank_that_there_is_not_is_no_reason_to_go_unguided(
    tmp_path: Path, behind: Upstream
) -> None:
    """Among many banks a name that none of them has is a slip, and is told before upstream is
    asked."""
    service = service_over(tmp_path, many=True, upstream=behind.url)
    service.banks.create("team")
    with serving(service) as url:
        slip = refused(client(url, bank="/taem"), openai.NotFoundError)
        assert "there is no bank 'taem'" in slip.message


def test_a_server_without_upstream_says_how_to_name_one(tmp_path: Path) -> None:
    """In place of a path that is not there."""
    with serving(service_over(tmp_path / "team.db")) as url:
        error = refused(client(url), openai.NotFoundError)
        assert "memcollab serve --upstream" in error.message


def test_a_body_that_is_too_large_is_told_in_openais_form(tmp_path: Path, behind: Upstream) -> None:
    """413 by what the header says, and by what comes in pieces, of a chat and of anything else."""
    service = service_over(tmp_path / "team.db", upstream=behind.url, limits=Limits(proxied=400))
    with serving(service) as url:
        large = refused(client(url), openai.APIStatusError)
        assert large.status_code == 413
        assert "Valid: up to that" in large.message
        for path in ("chat/completions", "files"):
            pieces = iter([b"x" * 300, b"x" * 300])
            got = httpx.post(f"{url}/proxy/v1/{path}", content=pieces)
            assert (got.status_code, path) == (413, path)
            assert "larger than 400 bytes" in got.json()["error"]["message"]


def test_asking_too_often_says_when_to_come_back(tmp_path: Path, behind: Upstream) -> None:
    """429 with Retry-After, which the client waits for by itself."""
    service = service_over(tmp_path / "team.db", upstream=behind.url, limits=Limits(rate=0.01))
    with serving(service) as url:
        error = refused(client(url), openai.RateLimitError)
        assert "requests a second of one caller" in error.message
        assert int(error.response.headers["retry-after"]) >= 50
        assert error.code == "TryLater"


def test_a_ledger_that_is_away_is_told_in_openais_form(closed: Service) -> None:
    """503: no key can be looked up."""
    key, _ = closed.keyring.create("ada", ["recall"])
    with serving(closed) as url:
        with closing(sqlite3.connect(closed.banks.ledger)) as ledger, ledger:
            ledger.execute("ALTER TABLE keys RENAME TO away")
        error = refused(client(url, key), openai.InternalServerError)
        assert error.status_code == 503
        assert "ledger cannot be used" in error.message
        assert (error.code, error.type) == ("BankError", "server_error")


def test_what_nobody_foresaw_is_told_in_openais_form(tmp_path: Path) -> None:
    """500 by the gate itself, when whatever is behind it breaks; of why, nothing is said."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a secret")

    gate = Gate(broken, service_over(tmp_path / "team.db"))

    async def ask() -> openai.InternalServerError:
        transport = httpx2.ASGITransport(app=gate)
        async with httpx2.AsyncClient(transport=transport) as http:
            asked = openai.AsyncOpenAI(
                api_key="up", base_url="http://127.0.0.1/proxy/v1", http_client=http, max_retries=0
            )
            with pytest.raises(openai.InternalServerError) as raised:
                await asked.models.list()
        return raised.value

    error = asyncio.run(ask())
    assert error.status_code == 500
    assert json.loads(error.response.content)["error"]["code"] == "ServerError"
    assert "Next: find the request id in its log" in error.message
    assert "secret" not in error.response.text
