"""PostgreSQL behind the service: replicas over one database, tenants as schemas, one ledger."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from tests.contracts.bank_world import pair
from tests.serving import service_over, serving
from tests.test_collab import WRITER, write_runs
from tests.test_serve import drained, start

from memcollab import MemCollab
from memcollab.bank import Bank
from memcollab.errors import BankError, NotFound, UsageError
from memcollab.models import Prompt, ScriptedModel
from memcollab.serve.ledger import JOBS, Ledger
from memcollab.serve.opening import keyring
from memcollab.serve.places import Schemas
from memcollab.serve.service import Service

EVERYTHING = ["recall", "record", "curate", "admin"]
TASK = "Sort the pebbles"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bank that has learned, as a file of it."""
    folder = tmp_path_factory.mktemp("learned")
    stream = io.BytesIO()
    with MemCollab(folder / "team.db") as memory:
        memory.learn(write_runs(folder), writer=WRITER)
        memory.bank.export(stream)
    return stream.getvalue()


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The URL of a database of its own, gone afterwards."""
    name = f"memcollab_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield postgres_server.rpartition("/")[0] + f"/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def team(database: str, exported: bytes) -> str:
    """The URL of a bank that has learned."""
    with MemCollab(database) as memory:
        memory.import_(io.BytesIO(exported), trusted=True)
    return database


def started(stack: ExitStack, *arguments: str, cwd: Path) -> str:
    """The address of a server in a process of its own."""
    process, url = start(*arguments, cwd=cwd)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    drained(process)
    return url


def within_a_second(holds: Callable[[], bool]) -> None:
    """Fails unless that holds within a second, give or take what this machine is busy with."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- replicas


def test_replicas_in_two_processes_are_one_memory(team: str, tmp_path: Path) -> None:
    """What one learns, retires or is told is in the next recall of the other; both recall the
    same; keys, kept answers and the audit are shared."""
    with ExitStack() as stack:
        first, second = (started(stack, "--bank", team, cwd=tmp_path) for _ in range(2))
        one = stack.enter_context(MemCollab(first))
        two = stack.enter_context(MemCollab(second))

        here, there = one.recall(TASK, agent="owl"), two.recall(TASK, agent="owl")
        assert here.entries == there.entries
        assert here.guidance == there.guidance != ""
        two.record_outcome(here, solved=True)
        assert one.evidence().judged == 1

        shown = here.entries[0].constraint
        two.bank.set_status(shown.id, "retired", reason="misleads")
        assert shown.id not in [each.constraint.id for each in one.recall(TASK).entries]
        new = one.edit(two.recall(TASK).entries[0].constraint.id, avoid="hurry", actor="ada")
        assert new.id in [each.constraint.id for each in two.recall(TASK).entries]

        headers = {"Idempotency-Key": "run-17"}
        asked = {"task": TASK}
        answers = [
            httpx.post(f"{url}/v1/recall", json=asked, headers=headers) for url in (first, second)
        ]
        assert answers[0].content == answers[1].content
        assert answers[1].headers["idempotency-replayed"] == "true"
        actions = [row["action"] for row in httpx.get(f"{first}/v1/audit").json()]
        assert "POST /v1/outcomes" in actions
        assert "POST /v1/constraints/{id}/edit" in actions


def test_a_replica_takes_in_a_change_before_it_is_asked(team: str) -> None:
    """The watcher warms the index when another process writes, and ends with its server."""
    service = service_over(team)
    with serving(service) as url:
        httpx.get(f"{url}/v1/stats").raise_for_status()
        tenant = service.banks.tenant(service.banks.default or "")
        within_a_second(tenant._is_warm)
        with Bank.open(team) as other:
            changed = other.constraints()[0]
            other.set_status(changed.id, "retired", actor="ada")
            within_a_second(lambda: tenant._warm_at == other.versions())
    assert not any("watcher" in thread.name for thread in threading.enumerate())


def test_whoever_follows_a_bank_is_told_of_outcomes_too(team: str) -> None:
    """A verdict is news, as a change of a constraint is; silence is none."""
    with MemCollab(team) as memory, Bank.open(team) as other, other.following() as news:
        seen = other.versions()
        assert news(seen, 0.05) == seen
        recall = memory.recall(TASK, agent="owl")
        with ThreadPoolExecutor() as pool:
            told = pool.submit(news, seen, 30.0)
            memory.record_outcome(recall, solved=True)
            assert told.result().outcomes == seen.outcomes + 1


def test_one_learns_into_a_bank_at_a_time_on_whatever_replica(team: str, tmp_path: Path) -> None:
    """A second job is refused and pointed to the first, which any replica can follow; one whose
    server died holds up nobody."""
    waiting, go = threading.Event(), threading.Event()

    def slowly(_prompt: Prompt) -> str:
        waiting.set()
        assert go.wait(60)
        return '{"constraints": []}'

    one, two = service_over(team, writer=ScriptedModel(slowly)), service_over(team, writer=WRITER)
    with serving(one) as first, serving(two) as second:
        with MemCollab(first) as memory:
            memory.add_trajectories(pair(77))
        job = httpx.post(f"{first}/v1/learn", json={}).raise_for_status().json()
        assert waiting.wait(30)
        refused = httpx.post(f"{second}/v1/learn", json={})
        assert refused.status_code == 429
        assert job["id"] in refused.json()["detail"]
        assert httpx.get(f"{second}/v1/learn/{job['id']}").json()["state"] == "running"
        go.set()
        within_a_second(
            lambda: httpx.get(f"{second}/v1/learn/{job['id']}").json()["state"] != "running"
        )
        assert httpx.get(f"{second}/v1/learn/{job['id']}").json()["state"] == "done"
        two.ledger.add(JOBS, {**_dead_job(), "bank": two.banks.default})
        assert httpx.post(f"{first}/v1/learn", json={"dry_run": True}).status_code == 202


def _dead_job() -> dict[str, str]:
    long_ago = "2020-01-01T00:00:00.000000+00:00"
    return {"id": "job-dead", "state": "running", "started": long_ago, "beat": long_ago}


# ---- tenants


@pytest.fixture
def two(database: str, exported: bytes) -> Iterator[tuple[str, Service]]:
    """A server of two banks in one database, that asks for keys."""
    service = service_over(database, many=True, require_key=True)
    for name in ("ours", "the-irs_2"):
        assert service.banks.create(name)
        with service.banks.memory(name) as memory:
            memory.import_(io.BytesIO(exported), trusted=True)
    with serving(service) as url:
        yield url, service


def test_tenants_are_schemas_that_do_not_see_each_other(
    two: tuple[str, Service], database: str
) -> None:
    """Banks are made, listed and used by name; what is done in one is not in the other."""
    url, service = two
    assert service.banks.names() == ["ours", "the-irs_2"]
    assert not service.banks.create("ours")
    root, _ = service.keyring.create("root", EVERYTHING)
    key, _ = service.keyring.create("ada", EVERYTHING, "ours")
    with MemCollab(f"{url}/ours", key=key) as ours, MemCollab(f"{url}/the-irs_2", key=root) as hers:
        recall = ours.recall(TASK)
        with pytest.raises(NotFound):
            hers.record_outcome(recall, solved=True)
        before = hers.bank.stats()
        ours.bank.set_trust("file:import", "retracted", reason="a bad day")
        assert hers.bank.stats() == before
        assert hers.recall(TASK).entries
    with keyring(None, database) as keys:  # as the command line opens it, beside the server
        root, _ = keys.create("root", EVERYTHING)
    bearer = {"Authorization": f"Bearer {root}"}
    made = httpx.post(f"{url}/v1/banks", json={"name": "new-one"}, headers=bearer)
    assert made.json() == {"banks": ["new-one"]}
    assert httpx.get(f"{url}/new-one/v1/stats", headers=bearer).json()["constraints"] == 0
    assert httpx.get(f"{url}/nowhere/v1/stats", headers=bearer).status_code == 404
    refused = httpx.get(f"{url}/the-irs_2/v1/stats", headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == 403


@pytest.mark.parametrize("name", ["x" * 59, 'a"b', "../a", "A", ""])
def test_what_cannot_be_a_schema_is_no_bank(two: tuple[str, Service], name: str) -> None:
    """PostgreSQL would cut a longer name off, and two banks would be one."""
    _, service = two
    with pytest.raises(UsageError):
        service.banks.create(name)
    assert service.banks.names() == ["ours", "the-irs_2"]


def test_a_schema_of_something_else_is_no_bank(two: tuple[str, Service], database: str) -> None:
    """Only schemas ``bank_…`` with a bank's tables are listed; the ledger's is not among them."""
    _, service = two
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bank_empty")
        connection.execute("CREATE SCHEMA other")
        connection.execute("CREATE TABLE other.meta (name text)")
        schemas = "SELECT nspname FROM pg_namespace WHERE nspname = 'memcollab_server'"
        assert connection.execute(schemas).fetchone()
    assert service.banks.names() == ["ours", "the-irs_2"]
    with pytest.raises(NotFound):
        service.banks.memory("empty")


def test_the_bank_of_a_url_is_called_by_its_schema_or_database(database: str) -> None:
    """One bank: its name in paths is what its owner called it."""
    name = database.rpartition("/")[2]
    alone = Schemas(database, many=False)
    assert alone.names() == [alone.default] == [name]
    alone.close()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "Blue Team"')
    named = Schemas(f'{database}?options=-csearch_path%3D"Blue\\ Team"', many=False)
    assert named.default == "blue-team"
    assert "Blue%20Team_server" in named.ledger or "Blue+Team_server" in named.ledger
    named.close()


def test_what_cannot_be_served_is_said_without_the_password(database: str) -> None:
    """A database that is not there, a URL of something else."""
    with pytest.raises(UsageError, match="cannot be served"):
        Schemas("mysql://ada:geheim@host/db", many=True)
    nowhere = database.rpartition("/")[0] + "/nowhere"
    with pytest.raises(BankError, match="no such database") as caught:
        Schemas(nowhere, many=True)
    assert "horse" not in str(caught.value)


# ---- the ledger


def test_replicas_that_start_at_once_make_one_ledger(database: str) -> None:
    """Nobody fails because somebody else was faster, and what one adds the other reads."""
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: Schemas(database, many=True), range(8)))
        ledgers = list(pool.map(lambda place: Ledger(place.ledger), places))
    row = {**_dead_job(), "bank": "a\x00b"}
    assert ledgers[0].add(JOBS, row)
    assert not ledgers[1].add(JOBS, row)
    assert ledgers[2].rows(sa.select(JOBS))[0]["bank"] == "a\x00b"
    for each in (*places, *ledgers):
        each.close()


def test_a_caller_learns_nothing_of_where_the_database_is(team: str) -> None:
    """When the database goes away, the answer is 503 in words without its address."""
    service = service_over(team)
    with serving(service) as url:
        httpx.get(f"{url}/v1/stats").raise_for_status()
        with psycopg.connect(team.rpartition("/")[0] + "/postgres", autocommit=True) as admin:
            name = team.rpartition("/")[2]
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            gone = httpx.get(f"{url}/v1/stats")
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert gone.status_code == 503
        assert "127.0.0.1" not in gone.text
        assert "5432" not in gone.text
        assert httpx.get(f"{url}/v1/stats").status_code == 200
