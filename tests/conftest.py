"""Fixtures for every test: the shared data where it exists, and no network beyond loopback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
        if name.startswith("MEMCOLLAB_") and name not in {"MEMCOLLAB_SHARED", "MEMCOLLAB_LAB_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
