"""Settings: argument over environment over project file over default; keys stay masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from memcollab import settings
from memcollab.errors import BankError, UsageError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_argument_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source overrides the one below it."""
    assert settings.load().bank == "memcollab.db"
    (tmp_path / "memcollab.toml").write_text('bank = "file.db"\nagent = "owl"\n')
    assert settings.load().bank == "file.db"
    monkeypatch.setenv("MEMCOLLAB_BANK", "environment.db")
    assert settings.load(agent=None).bank == "environment.db"
    assert settings.load(bank="argument.db").bank == "argument.db"
    assert settings.load().agent == "owl"


def test_a_holdout_reaches_what_recalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the project file or the environment into the rules of the recipe; none by default; one
    that cannot be is refused with its value."""
    rules = settings.load().collab().recipe.evidence
    assert rules is not None
    assert rules.holdout == 0
    (tmp_path / "memcollab.toml").write_text("holdout = 0.2\nholdout_start = 0.4\n")
    rules = settings.load().collab().recipe.evidence
    assert rules is not None
    assert (rules.holdout, rules.holdout_start) == (0.2, 0.4)
    monkeypatch.setenv("MEMCOLLAB_HOLDOUT", "0.45")
    with pytest.raises(UsageError, match=r"holdout 0\.45 with holdout_start 0\.4 cannot be"):
        settings.load().collab()
    monkeypatch.setenv("MEMCOLLAB_HOLDOUT", "1.5")
    with pytest.raises(UsageError, match=r"holdout: .*'1\.5'"):
        settings.load()


def test_an_unknown_setting_names_the_valid_ones(tmp_path: Path) -> None:
    """A misspelt name in the project file is an error that lists what there is."""
    (tmp_path / "memcollab.toml").write_text('wirter = "openai:gpt-5-mini"\n')

    with pytest.raises(UsageError, match=r"wirter.*Valid: .*writer"):
        settings.load()


def test_a_broken_project_file_is_named(tmp_path: Path) -> None:
    """TOML that cannot be read is said as such."""
    (tmp_path / "memcollab.toml").write_text("bank = ")

    with pytest.raises(UsageError, match=r"memcollab.toml"):
        settings.load()


def test_a_wrong_value_is_shown_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error carries the setting and the value."""
    monkeypatch.setenv("MEMCOLLAB_PARALLEL", "many")

    with pytest.raises(UsageError, match=r"parallel.*'many'"):
        settings.load()


def test_keys_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """repr shows that there is a key and not which."""
    monkeypatch.setenv("MEMCOLLAB_API_KEY", "sk-very-secret")

    assert "very-secret" not in repr(settings.load())
    assert settings.load().key == "sk-very-secret"


def test_a_named_embedder_needs_its_server() -> None:
    """An embedder by name without a URL is an error that names the setting."""
    with pytest.raises(UsageError, match="MEMCOLLAB_EMBEDDER_URL"):
        settings.load(embedder="text-embedding-3-small").collab()


def test_reading_a_bank_that_is_not_there_makes_none(tmp_path: Path) -> None:
    """``create=False`` reaches the bank."""
    with settings.load().collab(create=False) as memory, pytest.raises(BankError):
        memory.recall("anything")
    assert not (tmp_path / "memcollab.db").exists()


def test_the_password_of_a_bank_is_masked() -> None:
    """Settings show the URL of a bank without its password, and use it with."""
    url = "postgresql://me:hunter2@host/team?sslpassword=hunter2"
    chosen = settings.load(bank=url)
    assert "hunter2" not in repr(chosen)
    assert "postgresql://me:***@host/team" in repr(chosen)
    assert chosen.bank == url
