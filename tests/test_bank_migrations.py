"""Banks of an older schema: brought forward whole, in both databases, or left as they were."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from tests.contracts.bank_world import (
    answer_to,
    by_first_word,
    contrast_of,
    exported,
    pair,
    recall_of,
    screened,
)

from memcollab.bank import Bank, OpenRun, migrations
from memcollab.bank.schema import METADATA
from memcollab.bank.text import portable
from memcollab.errors import BankError, BankVersionError
from memcollab.records import Outcome

BANKS = Path(__file__).parent / "banks"
Upgrade = Callable[[Operations], None]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a bank can be made."""
    if request.param == "postgres":
        made: str = request.getfixturevalue("new_schema")()
        return made
    return str(tmp_path / "bank.db")


@pytest.fixture
def use_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that makes the schema of this code so many steps newer, as modules would."""
    known = migrations.STEPS

    def use(*upgrades: Upgrade) -> None:
        names = [f"of_a_test_{number}" for number in range(len(upgrades))]
        for name, upgrade in zip(names, upgrades, strict=True):
            module = ModuleType(name)
            module.upgrade = upgrade  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, f"memcollab.bank.steps.{name}", module)
        monkeypatch.setattr(migrations, "STEPS", (*known, *names))

    return use


def notes(op: Operations) -> None:
    """A step with a table, and rows made of rows."""
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("words", portable(sa.Text()), nullable=False),
    )
    op.execute("INSERT INTO notes (id, words) SELECT 1, min(text) FROM tasks")


def stricter(op: Operations) -> None:
    """A step that SQLite can only do by making a table anew to which others refer."""
    with op.batch_alter_table("tasks", recreate="auto") as tasks:
        tasks.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="3"))
        tasks.create_check_constraint("priority_is_positive", sa.text("priority > 0"))


def fails(op: Operations) -> None:
    """A step that comes half-way."""
    op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("DROP TABLE absent")


def learn(bank: Bank) -> None:
    """A bank with something in every table that others refer to."""
    bank.add_trajectories(pair(1))
    contrast = contrast_of(1)
    bank.save_contrasts([contrast])
    bank.save_answer(answer_to(contrast), [screened(contrast, "seats are in a ring")])
    bank.merge(by_first_word)


def tables(bank: Bank) -> set[str]:
    with bank._reading() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_an_older_bank_is_brought_forward(place: str, use_steps: Callable[..., None]) -> None:
    """Each step runs once, in order, whatever refers to the tables it makes anew; all that was
    known is known after, and learning goes on."""
    with Bank.open(place) as bank:
        learn(bank)
        before = exported(bank)
    use_steps(notes, stricter)
    with pytest.raises(BankVersionError, match="open for reading only"):
        Bank.open(place, read_only=True)
    for _ in range(2):
        with Bank.open(place) as bank:
            assert exported(bank) == before
            with bank._reading() as connection:
                rows = connection.execute(sa.text("SELECT words FROM notes")).scalars().all()
                priorities = connection.execute(sa.text("SELECT priority FROM tasks")).scalars()
                assert (rows, set(priorities)) == ([pair(1)[0].task.text], {3})
            with pytest.raises(BankError, match="save tasks and runs before contrasts"):
                bank.save_contrasts([contrast_of(2)])


def test_a_step_that_fails_changes_nothing(place: str, use_steps: Callable[..., None]) -> None:
    """A step is all or nothing; those before it stay, and are not run again."""
    with Bank.open(place) as bank:
        learn(bank)
        before = exported(bank)
        known = tables(bank)
    use_steps(notes, fails)
    for _ in range(2):
        with pytest.raises(BankError, match="absent"):
            Bank.open(place)
    use_steps(notes)
    with Bank.open(place) as bank:
        assert exported(bank) == before
        assert tables(bank) == known | {"notes"}


def test_many_may_bring_the_same_bank_forward(place: str, use_steps: Callable[..., None]) -> None:
    """Whoever comes second to an older bank waits and finds it done."""
    with Bank.open(place) as bank:
        learn(bank)
    use_steps(notes)
    errors: list[Exception] = []

    def look() -> None:
        try:
            with Bank.open(place) as bank:
                assert "notes" in tables(bank)
        except Exception as error:  # noqa: BLE001 - an error in a thread is what is tested for
            errors.append(error)

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_file_is_kept_before_it_is_changed(
    tmp_path: Path, use_steps: Callable[..., None]
) -> None:
    """Beside a bank that was brought forward lies the bank as it was."""
    with Bank.open(tmp_path / "bank.db") as bank:
        learn(bank)
        before = exported(bank)
    old = migrations.newest()
    use_steps(notes)
    Bank.open(tmp_path / "bank.db").close()
    use_steps()
    with Bank.open(tmp_path / f"bank.db.schema{old}.backup") as backup:
        assert exported(backup) == before
        assert backup.verify().ok


@pytest.mark.parametrize("dump", sorted(BANKS.glob("*.sql")), ids=lambda file: file.stem)
def test_a_bank_of_each_older_schema_is_read(dump: Path, tmp_path: Path) -> None:
    """A bank as each schema wrote it becomes one of this, sound and with the same constraints, and
    with exactly the tables of a new one."""
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())
    with Bank.open(path) as bank:
        assert bank.verify().ok
        assert sorted(one.when for one in bank.constraints()) == [
            "group0 seats are in a ring",
            "group1 seats are in a ring",
            "only0 one seat is taken",
            "only1 one seat is taken",
        ]
        assert differences(bank) == []


def test_who_sent_a_run_before_schema_6_is_not_known(place: str) -> None:
    """A run that waited for its outcome while the bank was brought forward is not trusted by its
    verdict alone, in both databases."""
    given = recall_of(1)
    run = pair(1)[0].model_copy(update={"run": given.id})
    with Bank.open(place) as bank:
        bank.save_recall(given)
        bank.save_open_runs([OpenRun(run, "2026")])
        with bank._writing() as connection:
            connection.execute(sa.text("ALTER TABLE open_runs DROP COLUMN source"))
            connection.execute(sa.text("UPDATE meta SET value = '5' WHERE name = 'schema'"))
    with Bank.open(place) as bank:
        assert differences(bank) == []
        bank.save_outcome(Outcome(recall_id=given.id, solved=True))
        assert len(list(bank.summaries())) == 1
        assert bank.sources() == {"reporter:unknown": "untrusted"}
        assert bank.verify().ok


def test_a_new_bank_has_the_tables_of_the_schema(place: str) -> None:
    """What is made is what the code believes to be there, in the eyes of Alembic too."""
    with Bank.open(place) as bank:
        assert differences(bank) == []


def differences(bank: Bank) -> list[object]:
    with bank._reading() as connection:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), METADATA)
        return found


def test_opening_a_present_bank_imports_no_alembic(tmp_path: Path) -> None:
    """Recalling does not wait for what only an older bank needs, nor for the other database."""
    with Bank.open(tmp_path / "bank.db") as bank:
        learn(bank)
    code = (
        "import sys; from memcollab import MemCollab; memory = MemCollab(sys.argv[1]);"
        "assert memory.recall('In how many ways can 5 guests sit around a table?').id;"
        "print({'alembic', 'psycopg', 'sqlalchemy.dialects.postgresql'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "bank.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"
