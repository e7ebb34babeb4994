"""The bank on PostgreSQL: what the contract of every bank leaves open.

Run as a script this file is a process of the tests that need several: see ``main``.
"""

from __future__ import annotations

import builtins
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contracts.bank_world import by_first_word, contrast_of, exported, pair, recall_of
from tests.test_bank import learn, texts, trajectories

from memcollab import MemCollab
from memcollab.bank import Bank, database
from memcollab.bank.text import escape, unescape
from memcollab.errors import BankCorrupt, BankError, MissingExtra, UsageError
from memcollab.records import Outcome, Task, Trajectory

psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")

LIFE = 120  # seconds that a process of a test may live
SECRET = "hunter2-hunter2"


@pytest.fixture
def url(new_schema: Callable[[], str]) -> str:
    return new_schema()


@pytest.fixture
def bank(url: str) -> Iterator[Bank]:
    with Bank.open(url) as opened:
        yield opened


@pytest.fixture
def other(url: str, bank: Bank) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else in the same schema."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


# ---- opening


def test_a_bank_is_there_again_after_it_was_closed(url: str) -> None:
    """What was saved is read by the next who opens the schema, by any name of the scheme."""
    with Bank.open(url) as bank:
        learn(bank, range(3))
        before = exported(bank)
    for scheme in ("postgres://", "postgresql+psycopg://"):
        with Bank.open(url.replace("postgresql://", scheme), create=False) as bank:
            assert exported(bank) == before
            assert bank.path is None


def test_schemas_are_banks_apart(new_schema: Callable[[], str]) -> None:
    """Two banks in one database share nothing, not even the lock of their writers."""
    with Bank.open(new_schema()) as one, Bank.open(new_schema()) as two:
        learn(one, range(2))
        with one._writing():
            learn(two, range(5))
        assert (len(list(one.tasks())), len(list(two.tasks()))) == (2, 5)


def test_no_bank_is_made_unless_asked_for(url: str) -> None:
    """Opening with create=False or for reading makes no table."""
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(BankError, match=r"is empty, not a bank.*memcollab learn"):
            Bank.open(url, **options)  # type: ignore[arg-type]
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('meta')").fetchone()
    assert found == (None,)


def test_tables_of_something_else_are_left_alone(url: str) -> None:
    """A schema that holds other tables is refused."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE recipes (cake text)")
    with pytest.raises(BankError, match=r"a database of something else.*recipes"):
        Bank.open(url)


def test_a_bank_open_for_reading_cannot_be_changed(bank: Bank, url: str) -> None:
    """Reading works beside a writer, every kind of write is refused with the reason."""
    with Bank.open(url, read_only=True) as reader:
        learn(bank, range(2))
        assert exported(reader) == exported(bank)
        for write in (
            lambda: reader.save_recall(recall_of(2)),
            lambda: reader.add_trajectories(pair(9)),
        ):
            with pytest.raises(BankError, match="open for reading only"):
                write()


def test_many_may_make_the_same_bank_at_once(url: str) -> None:
    """Whoever comes second to an empty place waits and finds the bank made."""
    assert in_threads(4, lambda _: Bank.open(url).close()) == []


def in_threads(number: int, work: Callable[[int], object]) -> list[Exception]:
    errors: list[Exception] = []

    def run(index: int) -> None:
        try:
            work(index)
        except Exception as error:  # noqa: BLE001 - an error in a thread is what is tested for
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


# ---- what can go wrong, and what is said


def with_parts(url: str, **parts: Any) -> str:
    return sa.make_url(url).set(**parts).render_as_string(hide_password=False)


WRONG = [
    ({"password": SECRET}, "user or the password is wrong"),
    ({"username": "nobody_of_that_name", "password": SECRET}, "password is wrong|no such user"),
    ({"database": "no_such_database"}, "createdb"),
    ({"port": 1, "password": SECRET}, "cannot be reached"),
    ({"host": "no-such-host.invalid", "password": SECRET}, "cannot be reached|could not be used"),
]


@pytest.mark.parametrize(("parts", "said"), WRONG)
def test_a_server_that_does_not_open_says_why(url: str, parts: dict[str, Any], said: str) -> None:
    """Wrong password, user, database, port and host each name the next step, and no password is in
    any part of the report."""
    wrong = with_parts(url, **parts)
    with pytest.raises(BankError, match=said) as caught:
        Bank.open(wrong)
    report = "".join(traceback.format_exception(caught.value))
    password = sa.make_url(wrong).password
    assert isinstance(password, str)
    assert password not in report
    assert "Next: " in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        f"mysql://me:{SECRET}@host/bank",
        f"postgresql://me:{SECRET}@host",
        f"postgresql://me:{SECRET}@host:port/bank",
        f"postgresql://host?password={SECRET}",
        f"://me:a@{SECRET}@host",
    ],
)
def test_a_url_that_cannot_be_used_is_shown_without_its_password(target: str) -> None:
    """What is no URL of a bank is named, but for what could be a password."""
    with pytest.raises(BankError, match=r"is no bank this version can open.*Valid: ") as caught:
        Bank.open(target)
    assert SECRET not in str(caught.value)


def test_a_bank_shows_itself_without_its_password(bank: Bank, url: str) -> None:
    """Neither repr nor name has it; nor has one that is given as a parameter."""
    password = sa.make_url(url).password
    assert isinstance(password, str)
    bare = with_parts(url, password=None)
    with Bank.open(f"{bare}&password={password.replace(' ', '%20')}") as same:
        assert same.sequence() == 0
        for shown in (repr(bank), bank.name, repr(same), same.name):
            assert password not in shown
            assert password.replace(" ", "%20") not in shown


def test_a_missing_schema_is_named(url: str) -> None:
    """A search path that leads nowhere says what to make."""
    with pytest.raises(BankError, match=r"schema that does not exist.*CREATE SCHEMA"):
        Bank.open(url.replace("memcollab_test_", "nowhere_"))


def test_a_locked_bank_says_who_waits_for_whom(
    bank: Bank, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that waited in vain is told so; readers and recalls do not wait at all."""
    learn(bank, [1])
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with Bank.open(url) as holder, holder._writing():
        with pytest.raises(BankError, match=r"locked by another process for 0\.05 seconds"):
            bank.save_contrasts([contrast_of(1)])
        assert bank.sequence() > 0
        bank.save_recall(recall_of(1))
    assert bank.save_contrasts([contrast_of(1)]) == (0, 1)


def test_a_statement_that_takes_too_long_is_ended_and_says_so(bank: Bank, url: str) -> None:
    """The server's own limit is respected, and named."""
    with Bank.open(f"{url}%20-cstatement_timeout%3D50") as hurried:
        with pytest.raises(BankError, match="statement_timeout"), hurried._reading() as connection:
            connection.execute(sa.text("SELECT pg_sleep(5)"))
        assert hurried.sequence() == 0


def test_a_full_disk_is_named(bank: Bank) -> None:
    """What the server says when no page can be added, said by the server itself."""
    with pytest.raises(BankError, match="the disk of the server is full"), bank._writing() as held:
        held.execute(
            sa.text("DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$")
        )


def test_connections_that_were_cut_are_made_anew(
    bank: Bank, other: psycopg.Connection[Any]
) -> None:
    """A server that was started again while nobody asked is no error of the next who asks; one that
    goes in the middle of a transaction is, and nothing of it stays."""
    learn(bank, [1])
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'memcollab'"
    )
    other.execute(cut)
    before = exported(bank)

    def write_until_cut() -> None:
        with bank._writing() as connection:
            connection.execute(sa.text("DELETE FROM changes"))
            other.execute(cut)
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(BankError, match=r"shut down|cannot be reached"):
        write_until_cut()
    assert exported(bank) == before


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of PostgreSQL without its driver says what to install."""
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "psycopg":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "memcollab.bank.postgres", raising=False)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'memcollab\[postgres\]'"):
        Bank.open("postgresql://host/bank")
    monkeypatch.undo()
    importlib.import_module("memcollab.bank.postgres")


TAMPERING = [
    ("UPDATE tasks SET text = text || '!' WHERE id = (SELECT min(id) FROM tasks)", "tasks"),
    ("UPDATE steps SET content = '\\x00'", "trajectories"),
    ("UPDATE constraints SET support_tasks = 99", "constraints"),
    ("UPDATE changes SET before = after WHERE sequence = 1", "changes"),
    ("UPDATE recalls SET content = '{}'", "recalls"),
]


@pytest.mark.parametrize(("statement", "table"), TAMPERING)
def test_tampering_is_found(
    bank: Bank, other: psycopg.Connection[Any], statement: str, table: str
) -> None:
    """Whatever is changed behind the bank's back, verify names the table."""
    learn(bank, range(3))
    bank.save_recall(recall_of(1))
    assert bank.verify().ok
    other.execute(statement)
    assert table in {problem.table for problem in bank.verify().problems}


def test_verifying_goes_on_after_an_error_of_the_database(
    bank: Bank, other: psycopg.Connection[Any]
) -> None:
    """A table that cannot be read ends the checks of that table, not the others."""
    learn(bank, range(3))
    other.execute("DROP TABLE outcomes")
    report = bank.verify()
    assert "outcomes" in {problem.table for problem in report.problems}
    assert report.checked["trajectories"] == 6


# ---- any text


@settings(max_examples=300)
@given(st.lists(st.text(alphabet=st.sampled_from("\x00\x01\x02ab\U0001f600")) | st.text()))
def test_any_text_has_a_form_without_nul(given_texts: list[str]) -> None:
    """Escaping loses nothing and keeps the order."""
    stored = [escape(text) for text in given_texts]
    assert [unescape(text) for text in stored] == given_texts
    assert not any("\x00" in text for text in stored)
    assert [unescape(text) for text in sorted(stored)] == sorted(given_texts)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(trajectories, min_size=1, max_size=4, unique_by=lambda run: run.id), words=texts
)
def test_any_run_survives_both_databases(
    new_schema: Callable[[], str], runs: list[Trajectory], words: str
) -> None:
    """Whatever text, NUL and number a run is made of: the same run, and the same export from a
    file, from PostgreSQL, and from a file to PostgreSQL to a file."""
    with (
        Bank.open(":memory:") as file,
        Bank.open(new_schema()) as server,
        Bank.open(new_schema()) as copied,
        Bank.open(":memory:") as back,
    ):
        for bank in (file, server):
            bank.add_trajectories(runs)
            bank.save_recall(recall_of(1))
            bank.save_outcome(Outcome(recall_id=recall_of(1).id, solved=None, detail=words))
        for run in runs:
            stored = server.trajectory(run.id)
            assert stored.model_copy(update={"task": run.task}) == run
        assert exported(server, runs=False) == exported(file, runs=False)
        file.copy_to(copied)
        copied.copy_to(back)
        assert exported(file) == exported(copied) == exported(back)


@pytest.mark.parametrize("kind", ["file", "server"])
def test_half_a_surrogate_pair_is_refused_by_name(
    kind: str, tmp_path: Path, new_schema: Callable[[], str]
) -> None:
    """What no database can hold is refused with the place, and nothing is stored."""
    with Bank.open(tmp_path / "bank.db" if kind == "file" else new_schema()) as bank:
        learn(bank, [1])
        (constraint, *_) = bank.constraints()
        before = bank.sequence()
        with pytest.raises(UsageError, match="half of a surrogate pair at character 3"):
            bank.set_status(constraint.id, "retired", actor="ada", reason="it \ud800 is")
        assert bank.sequence() == before


def test_words_are_found_alike_in_both(tmp_path: Path, bank: Bank) -> None:
    """ASCII letters are found in either case, other letters as they are, whatever the locale."""
    task = Task(text="Café ÉCLAIR")
    with Bank.open(tmp_path / "bank.db") as file:
        for each in (file, bank):
            each.add_labelled_tasks([task])
            learn(each, range(3))
            assert len(each.constraints(text="SEATS")) == len(each.constraints(text="seats")) > 0
            assert each.constraints(text="SÉATS") == []
        assert bank.constraints() == file.constraints()


# ---- copying


def test_a_bank_is_copied_whole_and_goes_on(tmp_path: Path, bank: Bank) -> None:
    """From a file to PostgreSQL: its history and numbers too; learning goes on there as here."""
    with Bank.open(tmp_path / "bank.db") as file:
        learn(file, range(6))
        file.save_recall(recall_of(1))
        file.save_outcome(Outcome(recall_id=recall_of(1).id, solved=True))
        copied = file.copy_to(bank)
        assert copied["trajectories"] == 12
        assert bank.history() == file.history()
        assert list(bank.outcomes()) == list(file.outcomes())
        for each in (file, bank):
            learn(each, range(6, 9))
        assert exported(bank) == exported(file)
        assert bank.sequence() == file.sequence()
        assert bank.verify().ok


def test_a_bank_that_holds_something_is_no_target(tmp_path: Path, bank: Bank) -> None:
    """A copy never mixes with what is there."""
    learn(bank, [1])
    before = exported(bank)
    with Bank.open(tmp_path / "bank.db") as file:
        learn(file, [2])
        with pytest.raises(UsageError, match="is not empty: it has constraints"):
            file.copy_to(bank)
    assert exported(bank) == before


def test_a_copy_of_a_damaged_bank_is_not_made(
    tmp_path: Path, bank: Bank, other: psycopg.Connection[Any]
) -> None:
    """What would not verify does not arrive, nor does any other part."""
    learn(bank, range(3))
    other.execute("UPDATE drafts SET avoid = 'nothing'")
    with Bank.open(tmp_path / "bank.db") as file:
        with pytest.raises(BankCorrupt, match="nothing was copied"):
            bank.copy_to(file)
        assert exported(file).count(b"\n") == 1


def test_the_command_copies_in_both_directions(
    tmp_path: Path, new_schema: Callable[[], str]
) -> None:
    """``memcollab bank copy`` takes paths and URLs on either side."""
    first, last = tmp_path / "bank.db", tmp_path / "back.db"
    middle = new_schema()
    with Bank.open(first) as bank:
        learn(bank, range(3))
        before = exported(bank)
    for source, target in ((first, middle), (middle, last)):
        command = [sys.executable, "-m", "memcollab.cli", "bank", "copy", str(source), str(target)]
        done = subprocess.run([*command, "--json"], capture_output=True, timeout=LIFE, check=True)
        assert json.loads(done.stdout)["trajectories"] == 6
    with Bank.open(last) as bank:
        assert exported(bank) == before


# ---- many at once


def test_processes_share_a_bank_without_loss(url: str) -> None:
    """Four writers and two readers at once, on a bank that none of them found: no error, and all
    that was written is there, in the order of its numbers."""
    processes = [start("write", url, str(number)) for number in range(4)]
    processes += [start("read", url, "0") for _ in range(2)]
    for process in processes:
        assert finish(process) == "done"
    with Bank.open(url) as bank:
        assert len(list(bank.summaries())) == 2 * 4 * 10
        assert len(list(bank.outcomes())) == 4 * 10
        assert bank.pending() == []
        assert bank.verify().ok


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_learn_killed_anywhere_ends_in_the_same_bank(url: str, tmp_path: Path) -> None:
    """Killed before a statement, the bank is sound at once, and a second learn ends in the export
    that a file has of the same."""
    with Bank.open(tmp_path / "bank.db") as file:
        learn(file, range(6))
        (tmp_path / "expected").write_bytes(exported(file))
    process = start("kill", url, str(tmp_path / "expected"))
    report = process_line(process)
    assert report["killed"] >= 8
    assert (report["unsound"], report["different"]) == (0, 0)
    assert finish(process) == "done"


def test_two_replicas_see_each_others_changes_and_recall_alike(url: str) -> None:
    """A replica in another process is told of a change within a second, and gives the same recall
    as the one that made it."""
    question = "In how many ways can 5 guests sit around a table?"
    with MemCollab(url) as here:
        learn(here.bank, range(3))
        replica = start("follow", url, question)
        assert process_line(replica)["sequence"] == here.bank.sequence()
        for change in ("retired", "active"):
            constraint = here.bank.constraints()[0]
            before = time.time()
            here.bank.set_status(constraint.id, change, actor="ada")  # type: ignore[arg-type]
            seen = process_line(replica)
            assert seen["sequence"] == here.bank.sequence()
            assert seen["at"] - before < 1
            recalled = here.recall(question, store=False)
            assert seen["guidance"] == recalled.guidance
            assert seen["ids"] == [entry.constraint.id for entry in recalled.entries]
        assert finish(replica) == "done"


@pytest.mark.parametrize("kind", ["file", "notified", "polled"])
def test_waiting_ends_with_the_change(
    kind: str, tmp_path: Path, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file, with notifications and where none arrive: a change ends the wait, no change leaves
    it to the time that was given."""
    target = tmp_path / "bank.db" if kind == "file" else new_schema()
    with Bank.open(target) as bank, Bank.open(target) as writer:
        if kind == "polled":
            with writer._writing() as connection:
                connection.execute(sa.text("DROP TRIGGER memcollab_notify ON changes"))
        elif kind == "notified":
            monkeypatch.setattr("memcollab.bank.postgres.POLL_SECONDS", LIFE)
        learn(writer, [1])
        before = writer.sequence()
        assert bank.wait_for_change(before, timeout=0.3) == before
        (constraint, *_) = writer.constraints()
        later = threading.Timer(
            0.5, lambda: writer.set_status(constraint.id, "retired", actor="ada")
        )
        later.start()
        assert bank.wait_for_change(before, timeout=LIFE) == before + 1
        later.join()


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.test_bank_postgres", *arguments]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    guard = threading.Timer(LIFE, process.kill)
    guard.daemon = True
    guard.start()
    return process


def process_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    found: dict[str, Any] = json.loads(line)
    return found


def finish(process: subprocess.Popen[str]) -> str:
    # Not communicate(): it would miss what readline has read ahead.
    with process:
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0
    return output.strip()


def main(command: str, url: str, argument: str) -> None:
    """A process that shares the bank at ``url``; prints "done" if nothing went wrong."""
    commands = {"write": _write, "read": _read, "follow": _follow, "kill": _kill}
    commands[command](url, argument)
    print("done", flush=True)


def _write(url: str, writer: str) -> None:
    with Bank.open(url) as bank:
        for number in range(int(writer) * 10, int(writer) * 10 + 10):
            learn(bank, [number])
            bank.merge(by_first_word)
            bank.save_recall(recall_of(number))
            bank.save_outcome(Outcome(recall_id=recall_of(number).id, solved=True))


def _read(url: str, _argument: str) -> None:
    seen = 0
    with Bank.open(url) as bank:
        for _ in range(10):
            found = bank.index_rows(seen)
            assert found.sequence >= seen
            seen = found.sequence
            assert bank.verify().ok
            bank.export(io.BytesIO())


def _follow(url: str, question: str) -> None:
    with MemCollab(url) as memory:
        sequence = memory.bank.sequence()
        print(json.dumps({"sequence": sequence}), flush=True)
        for _ in range(2):
            sequence = memory.bank.wait_for_change(sequence, timeout=LIFE)
            at = time.time()
            recall = memory.recall(question, store=False)
            ids = [entry.constraint.id for entry in recall.entries]
            seen = {"sequence": sequence, "at": at, "guidance": recall.guidance, "ids": ids}
            print(json.dumps(seen), flush=True)


def _kill(url: str, expected: str) -> None:
    """Forks its children, because that is a hundred times faster than starting each anew."""
    report = {"killed": 0, "unsound": 0, "different": 0}
    for statements in range(1, 1000, 7):
        Bank.open(url).close()
        pid = os.fork()
        if not pid:
            _die(url, statements)
        killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        report["killed"] += killed
        with Bank.open(url) as bank:
            report["unsound"] += not bank.verify().ok
            learn(bank, range(6))
            report["different"] += exported(bank) != Path(expected).read_bytes()
        with psycopg.connect(url, autocommit=True) as connection:
            for (name,) in connection.execute("SELECT current_schema()").fetchall():
                connection.execute(f'DROP SCHEMA "{name}" CASCADE')
                connection.execute(f'CREATE SCHEMA "{name}"')
        if not killed:
            break
    print(json.dumps(report), flush=True)


def _die(url: str, statements: int) -> NoReturn:
    """Learn until so many statements were sent, then be killed."""
    left = statements

    def tick(*_: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        sa.event.listen(sa.Engine, "before_cursor_execute", tick)
        sa.event.listen(sa.Engine, "commit", tick)
        with Bank.open(url) as bank:
            learn(bank, range(6))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
