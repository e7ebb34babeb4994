"""The bank on SQLite: opening, damage, migrations, export and import, many processes, kills.

Run as a script this file is a process of the tests that need several: see ``main``.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contracts.bank_world import (
    MATHS,
    answer_to,
    by_first_word,
    contrast_of,
    exported,
    pair,
    recall_of,
    screened,
)

from memcollab.bank import Bank, Imported, Merge, Pending, Screened, database, sqlite
from memcollab.errors import BankCorrupt, BankError, BankVersionError, NotFound
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Contrast,
    Draft,
    Outcome,
    Refusal,
    Step,
    Task,
    ToolCall,
    Trajectory,
    Usage,
    Verdict,
)

HERE = Path(__file__).parent
LIFE = 120  # seconds that a process of a test may live
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


# ---- a small world to learn


def drafts_of(contrast: Contrast, number: int) -> list[Screened]:
    """Two accepted drafts, of which one is near to those of other tasks, and a refused one."""
    return [
        screened(contrast, f"group{number % 7} seats are in a ring"),
        screened(contrast, f"only{number} one seat is taken"),
        screened(contrast, f"there are {number} guests", refusal="specifics"),
    ]


def in_conflict(pending: Sequence[Pending], existing: Sequence[Constraint]) -> Merge:
    """The plan ``by_first_word``, in which neighbours contradict each other."""
    assigned = by_first_word(pending, existing).assigned
    ids = sorted({constraint.id for constraint in assigned.values()})
    return Merge(assigned, list(pairwise(ids[:4])))


def learn(bank: Bank, numbers: Sequence[int], *, seconds: float = 1.0) -> None:
    """Every step of a learn, each as resumable as the real one."""
    bank.add_trajectories(run for number in numbers for run in pair(number))
    contrasts = [contrast_of(number) for number in numbers]
    bank.save_contrasts(contrasts)
    for number, contrast in zip(numbers, contrasts, strict=True):
        bank.save_answer(answer_to(contrast, seconds=seconds), drafts_of(contrast, number))
    bank.merge(in_conflict)


def imported(bank: Bank, content: bytes, **options: Any) -> Imported:
    return bank.import_(io.BytesIO(content), **{"trusted": True, **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.db"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with everything in it, made once."""
    path = tmp_path_factory.mktemp("template") / "bank.db"
    with Bank.open(path) as bank:
        learn(bank, range(9))
        bank.save_recall(recall_of(1, bank.constraints()[:2]))
        bank.save_outcome(Outcome(recall_id=recall_of(1).id, solved=True))
    return path


@pytest.fixture
def learned(path: Path, template: Path) -> Iterator[Bank]:
    """A copy of it, open."""
    shutil.copy(template, path)
    with Bank.open(path) as bank:
        yield bank


# ---- opening


def test_a_bank_is_there_again_after_it_was_closed(path: Path) -> None:
    """What was saved is read by the next who opens the file."""
    with Bank.open(path) as bank:
        learn(bank, range(3))
        before = exported(bank)
    assert path.exists()
    with Bank.open(str(path), create=False) as bank:
        assert exported(bank) == before


def test_no_bank_is_made_unless_asked_for(path: Path) -> None:
    """Opening with create=False or for reading leaves no file behind."""
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(BankError, match=r"there is no bank at .*memcollab learn"):
            Bank.open(path, **options)  # type: ignore[arg-type]
    assert not path.exists()


def test_a_place_that_cannot_hold_a_bank_is_named(tmp_path: Path) -> None:
    """A missing folder, a folder and a foreign URL are told apart."""
    with pytest.raises(BankError, match="mkdir -p"):
        Bank.open(tmp_path / "no" / "bank.db")
    with pytest.raises(BankError, match="is a folder"):
        Bank.open(tmp_path)
    for url in ("mysql://host/bank", "postgresql://host", "sqlite://", "://"):
        with pytest.raises(BankError, match="no bank this version can open"):
            Bank.open(url)


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    """Text and foreign databases are refused and stay byte for byte."""
    path.write_text("When in doubt, enforce nothing. " * 99)
    before = path.read_bytes()
    with pytest.raises(BankError, match="is not a database"):
        Bank.open(path)
    assert path.read_bytes() == before
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (cake TEXT)")
    before = path.read_bytes()
    with pytest.raises(BankError, match=r"a database of something else.*recipes"):
        Bank.open(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_bank(path: Path) -> None:
    """A bank whose making was killed before its first write is made by the next."""
    path.touch()
    with pytest.raises(BankError, match="is empty"):
        Bank.open(path, read_only=True)
    with Bank.open(path) as bank:
        assert bank.verify().ok


def test_a_bank_in_memory_vanishes() -> None:
    """The folder of a bank in memory is gone when it is closed."""
    with Bank.open(":memory:") as bank:
        folder = bank.path.parent
        assert folder.is_dir()
    assert not folder.exists()


def test_a_bank_open_for_reading_cannot_be_changed(learned: Bank) -> None:
    """Reading works beside a writer, writing is refused with the reason."""
    with Bank.open(learned.path, read_only=True) as reader:
        assert exported(reader) == exported(learned)
        with pytest.raises(BankError, match="open for reading only"):
            reader.save_recall(recall_of(2))
        learned.save_recall(recall_of(2))
        assert reader.recall(recall_of(2).id) == recall_of(2)


def test_a_bank_in_a_protected_folder_can_be_read(
    learned: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file can be made beside the bank it is read as one that does not change."""
    before = exported(learned)
    learned.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Bank.open(learned.path, read_only=True) as bank:
        assert exported(bank) == before
    assert [file.name for file in learned.path.parent.iterdir()] == [learned.path.name]


# ---- what can go wrong while it is open


def test_a_locked_bank_says_who_waits_for_whom(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waited in vain is told so; readers do not wait at all."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with Bank.open(path) as bank, closing(sqlite3.connect(path, isolation_level=None)) as other:
        learn(bank, [1])
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BankError, match="locked by another process"):
            bank.save_recall(recall_of(1))
        assert bank.sequence() > 0
        other.execute("COMMIT")
        bank.save_recall(recall_of(1))


def test_a_writer_that_never_gets_its_turn_is_told_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of one process wait for each other as long as for another process, not for ever."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with Bank.open(path) as bank:
        with ThreadPoolExecutor(1) as threads, bank._writing():
            late = threads.submit(bank.save_recall, recall_of(1))
            with pytest.raises(BankError, match=r"other threads of this process.*nothing is lost"):
                late.result()
        bank.save_recall(recall_of(1))


def test_a_full_disk_loses_nothing_that_was_saved(path: Path) -> None:
    """A write that finds no room is an error that says so; what was there stays sound."""

    def small(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA max_page_count=80")

    sa.event.listen(sa.pool.Pool, "connect", small)
    try:
        with Bank.open(path) as bank:
            learn(bank, [1])
            before = exported(bank)
            with pytest.raises(BankError, match="the disk is full"):
                bank.add_labelled_tasks([Task(text="long " * 100_000)])
            assert exported(bank) == before
            assert bank.verify().ok
    finally:
        sa.event.remove(sa.pool.Pool, "connect", small)


def test_threads_share_a_bank(path: Path) -> None:
    """Threads write and read through one object at once."""
    errors: list[Exception] = []
    with Bank.open(path) as bank:

        def work(first: int) -> None:
            try:
                for number in range(first, first + 5):
                    bank.add_trajectories(pair(number))
                    list(bank.summaries())
            except Exception as error:  # noqa: BLE001 - an error in a thread is what is tested for
                errors.append(error)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 30, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(list(bank.summaries())) == 60


# ---- verify


TAMPERING = [
    ("UPDATE tasks SET text = text || '!' WHERE id = (SELECT min(id) FROM tasks)", "tasks"),
    ("UPDATE trajectories SET solved = 1 - solved", "trajectories"),
    ("UPDATE steps SET content = x'00'", "trajectories"),
    ("UPDATE contrasts SET preferred = other, other = preferred", "contrasts"),
    ("UPDATE contrasts SET task_id = (SELECT min(id) FROM tasks)", "contrasts"),
    ("UPDATE drafts SET avoid = 'nothing'", "drafts"),
    ("UPDATE constraints SET enforce = 'mischief'", "constraints"),
    ("UPDATE constraints SET support_tasks = 99", "constraints"),
    ("UPDATE constraints SET status = 'retired'", "constraints"),
    ("UPDATE constraints SET category = ''", "constraints"),
    ("UPDATE changes SET before = after WHERE before IS NOT NULL OR sequence = 1", "changes"),
    ("DELETE FROM changes", "constraints"),
    ("DELETE FROM tasks", "trajectories"),
    ("DELETE FROM recalls", "outcomes"),
    ("UPDATE recalls SET content = '{}'", "recalls"),
    ("UPDATE outcomes SET content = replace(content, 'recall-', 'recoil-')", "outcomes"),
    ("UPDATE evidence SET shown_solved = shown_solved + 1", "evidence"),
    ("UPDATE evidence SET withheld_failed = 500", "evidence"),
    ("DELETE FROM evidence", "evidence"),
    ("UPDATE outcomes SET content = replace(content, 'true', 'false')", "evidence"),
]


@pytest.mark.parametrize(("statement", "table"), TAMPERING)
def test_tampering_is_found(learned: Bank, statement: str, table: str) -> None:
    """Whatever is changed behind the bank's back, verify names the table."""
    assert learned.verify().ok
    with closing(sqlite3.connect(learned.path, isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys=OFF")
        other.execute(statement)
    report = learned.verify()
    assert table in {problem.table for problem in report.problems}
    assert all(str(problem) for problem in report.problems)


def test_verifying_counts_what_it_looked_at(learned: Bank) -> None:
    """A sound bank is reported with the number of rows that say so."""
    report = learned.verify()
    assert (report.ok, report.light) == (True, 0)
    assert report.checked["trajectories"] == 18
    assert report.checked["drafts"] == 27
    assert report.checked["evidence"] == 3


def test_a_tampered_run_is_not_given_out(learned: Bank) -> None:
    """Reading one run checks its content against its id."""
    run = pair(1)[0]
    with closing(sqlite3.connect(learned.path, isolation_level=None)) as other:
        other.execute("UPDATE trajectories SET model = 'another'")
    with pytest.raises(BankCorrupt, match="memcollab bank verify"):
        learned.trajectory(run.id)


def test_a_damaged_file_is_reported(learned: Bank) -> None:
    """Broken pages are an error with the way out when they are met, and findings of verify."""
    learned.close()
    with closing(sqlite3.connect(learned.path)) as other:
        statement = "SELECT rootpage FROM sqlite_master WHERE name = 'drafts'"
        (page,) = other.execute(statement).fetchone()
    content = bytearray(learned.path.read_bytes())
    content[(page - 1) * 4096 : (page - 1) * 4096 + 64] = b"\xff" * 64
    learned.path.write_bytes(content)
    with Bank.open(learned.path) as bank:
        assert not bank.verify().ok
        with pytest.raises(BankCorrupt, match="import the last export"):
            exported(bank)


# ---- schema


def test_a_newer_bank_is_refused(learned: Bank) -> None:
    """A bank of a newer schema or record format says to upgrade, and is not touched."""
    for name in ("schema", "records"):
        with closing(sqlite3.connect(learned.path, isolation_level=None)) as other:
            other.execute("UPDATE meta SET value = value + 1 WHERE name = ?", (name,))
        with pytest.raises(BankVersionError, match="pip install --upgrade"):
            Bank.open(learned.path)
        with closing(sqlite3.connect(learned.path, isolation_level=None)) as other:
            other.execute("UPDATE meta SET value = value - 1 WHERE name = ?", (name,))


def test_a_bank_of_the_first_schema_becomes_one_of_this(path: Path) -> None:
    """What schema 1 wrote is read, its outcomes are counted as the evidence they are, and its
    tables are those of a new bank."""
    with closing(sqlite3.connect(path)) as first:
        first.executescript((HERE / "banks" / "schema-1.sql").read_text("utf-8"))
    with Bank.open(path) as bank:
        assert bank.verify().ok
        assert bank.stats().outcomes == {"unjudged": 1, "not solved": 1, "solved": 2}
        found = bank.evidence()
        (tally,) = found.categories["mathematics", "smollm2-135m"].values()
        assert (tally.shown_solved, tally.shown_failed, tally.unjudged) == (1, 1, 1)
        assert len(found.constraints) == 2
        assert not found.compares
        assert bank.versions().outcomes > 0
        bank.save_outcome(Outcome(recall_id=recall_of(9).id, solved=True))
        assert bank.verify().ok
    with Bank.open(path.with_name("new.db")):
        pass
    assert shape(path) == shape(path.with_name("new.db"))


def shape(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Tables with their columns, as the database describes them."""
    with closing(sqlite3.connect(path)) as bank:
        names = bank.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: bank.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in names}


# ---- export and import


def test_an_export_comes_back_byte_for_byte(learned: Bank) -> None:
    """Exported, imported into an empty bank and exported again: the same bytes, and all sound."""
    before = exported(learned)
    with Bank.open(":memory:") as other:
        report = imported(other, before)
        assert (report.refused, report.known.total(), report.kept.total()) == ([], 0, 0)
        assert report.new.total() == before.count(b"\n") - 1
        assert exported(other) == before
        assert other.verify().ok
        assert other.constraints() == learned.constraints()


def test_an_export_tells_nothing_of_when_it_was_learned(path: Path, tmp_path: Path) -> None:
    """Learned in another order, in pieces and at another speed: the same bytes."""
    with Bank.open(path) as one, Bank.open(tmp_path / "other.db") as other:
        learn(one, range(6), seconds=1.0)
        for number in reversed(range(6)):
            other.add_trajectories(pair(number))
        learn(other, range(6), seconds=99.0)
        learn(other, range(6), seconds=0.0)
        assert exported(one) == exported(other)
        assert b'"seconds":1.0' not in exported(one)


def test_a_light_share_holds_no_words_of_any_run(learned: Bank) -> None:
    """Without runs an export has constraints and provenance, and nothing that was not screened."""
    light = exported(learned, runs=False)
    kinds = [json.loads(line)["type"] for line in light.splitlines()]
    assert set(kinds) == {"header", "task", "run", "contrast", "constraint", "draft", "conflict"}
    assert b"an answer about" not in light
    assert b"specifics" not in light
    assert b"runs.jsonl" not in light
    with Bank.open(":memory:") as other:
        assert imported(other, light).refused == []
        report = other.verify()
        assert (report.ok, report.light) == (True, 18)
        assert other.constraints() == learned.constraints()
        assert exported(other, runs=False) == light
        assert exported(other) != light
        with pytest.raises(NotFound, match="came by a light share"):
            other.trajectory(pair(1)[0].id)


def test_a_light_share_is_completed_by_the_runs(learned: Bank) -> None:
    """Runs that came without steps take them when they are learned or imported."""
    light, whole = exported(learned, runs=False), exported(learned)
    for complete in (
        lambda bank: imported(bank, whole),
        lambda bank: bank.add_trajectories(run for n in range(9) for run in pair(n)),
    ):
        with Bank.open(":memory:") as other:
            imported(other, light)
            complete(other)
            assert other.trajectory(pair(1)[0].id) == pair(1)[0]
            assert other.verify().light == 0
            imported(other, whole)
            assert exported(other) == whole


def test_importing_again_changes_nothing(learned: Bank) -> None:
    """What is here already is counted as known."""
    before, sequence = exported(learned), learned.sequence()
    report = imported(learned, before)
    assert (report.new.total(), report.refused, report.kept.total()) == (0, [], 0)
    assert report.known.total() == before.count(b"\n") - 1
    assert (exported(learned), learned.sequence()) == (before, sequence)


def test_two_banks_grow_together(path: Path, tmp_path: Path) -> None:
    """An import adds what is missing, and support counts what both learned."""
    with Bank.open(path) as one, Bank.open(tmp_path / "other.db") as other:
        learn(one, [0, 1])
        learn(other, [0, 7])
        report = imported(one, exported(other))
        assert (report.refused, report.new["run"]) == ([], 2)
        assert one.verify().ok
        (shared,) = one.constraints(text="group0")
        assert shared.support.tasks == 2
        assert [change.action for change in one.history(shared.id)] == ["learned", "supported"]


def test_what_is_here_stays_as_it_is(learned: Bank) -> None:
    """A status, a label and a verdict in the file do not replace those of the bank."""
    with Bank.open(":memory:") as other:
        imported(other, exported(learned))
        constraint = other.constraints()[0]
        other.set_status(constraint.id, "retired", actor="ada")
        content = exported(other).replace(b'"mathematics"', b'"cookery"')
        task_lines = [line for line in content.splitlines() if b'"type":"task"' in line]
        header = content.splitlines()[0]
        report = imported(learned, b"\n".join([header, *task_lines]) + b"\n")
        assert report.kept == {"task": 9}
        report = imported(learned, exported(other))
        assert (report.kept, report.new.total()) == ({"constraint": 1}, 0)
    assert learned.constraint(constraint.id).status == "active"
    assert {task.category for task in learned.tasks()} == {MATHS}


def test_a_stranger_cannot_claim_support(learned: Bank) -> None:
    """The support in a file is not believed: it is derived from what came with it."""
    lines = exported(learned).splitlines()
    alone = [line for line in lines if b'"type":"constraint"' in line]
    content = b"\n".join([lines[0], *alone]).replace(b'"tasks":2', b'"tasks":2000')
    with Bank.open(":memory:") as other:
        assert imported(other, content).new == {"constraint": len(alone)}
        assert {one.support.tasks for one in other.constraints()} == {0}
        assert other.verify().ok


FORGERIES = [
    ("task", {"text": "another"}, "its content 'task-"),
    ("task", {"text": ""}, "task.text: "),
    ("task", {"surprise": 1}, "surprise: Extra inputs"),
    ("run", {"run": "another"}, "its content 'run-"),
    ("run", {"task_id": "task-0"}, "refers to task 'task-0'"),
    ("run", {"task_id": ["task"]}, "refers to task"),
    ("run", {"steps": None, "id": "run-short"}, "a run without steps needs"),
    ("run", {"usage": {"input_tokens": -1}}, "input_tokens"),
    ("contrast", {"kind": "both_wrong"}, "its content 'contrast-"),
    ("contrast", {"other": "run-0"}, "its content 'contrast-"),
    ("answer", {"contrast_id": "contrast-0"}, "refers to contrasts 'contrast-0'"),
    ("constraint", {"enforce": "mischief"}, "its content 'c-"),
    ("constraint", {"status": "blessed"}, "status: "),
    ("draft", {"constraint_id": ["c"]}, "its constraint ['c'] is no id"),
    ("draft", {"constraint_id": f"c-{0:020}"}, "refers to constraints 'c-0000"),
    ("draft", {"refusal": {"reason": "x"}}, "stands behind no constraint"),
    ("conflict", {"second": "c-0"}, "a conflict names two constraints"),
    ("recall", {"at": "yesterday"}, "at is 'yesterday'"),
    ("recall", {"id": "recall-1"}, "the id is not that of the recall"),
    ("outcome", {"at": None}, "at is None"),
]


@pytest.mark.parametrize(("kind", "change", "reason"), FORGERIES)
def test_a_forged_line_stays_out_and_is_named(
    learned: Bank, kind: str, change: dict[str, Any], reason: str
) -> None:
    """A line whose content is not what its id says, or that refers to nothing, is refused."""
    lines = exported(learned).splitlines()
    number = next(
        n
        for n, line in enumerate(lines)
        if json.loads(line)["type"] == kind and (kind != "draft" or b'"refusal":null' in line)
    )
    lines[number] = json.dumps({**json.loads(lines[number]), **change}).encode()
    with Bank.open(":memory:") as other:
        report = imported(other, b"\n".join(lines))
        first = report.refused[0]
        assert (first.line, first.kind) == (number + 1, kind)
        assert reason in first.reason
        assert other.verify().ok


RUBBISH = [
    (b"{half a line", "not JSON"),
    (b"[1, 2]", "type None is none of task, run"),
    (b'{"type": "secret"}', "type 'secret' is none of"),
    (b'{"type": ["task"]}', "is none of"),
    (b'{"type": "task"}', "no field 'id'"),
    (b'{"type": "task", "id": 1, "text": "\\ud800"}', "not JSON"),
    (b'{"type": "conflict", "first": 1, "second": 2}', "a conflict names"),
    (b'{"type": "recall", "id": 1, "recall": 1, "at": 1}', "recall"),
    (b'{"type": "run", "id": 1, "task_id": null, "steps": {}}', "refers to task None"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), RUBBISH)
def test_rubbish_in_an_import_is_counted(learned: Bank, line: bytes, reason: str) -> None:
    """A line that is no record is refused by number; those around it come in."""
    header, *rest = exported(learned).splitlines(keepends=True)
    with Bank.open(":memory:") as other:
        report = imported(other, b"".join([header, line + b"\n", *rest]))
        assert [(one.line, report.refused_count) for one in report.refused] == [(2, 1)]
        assert reason in report.refused[0].reason
        assert exported(other) == exported(learned)


def test_a_line_too_long_to_hold_is_skipped(learned: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit is refused without being read whole; the next one comes in."""
    monkeypatch.setattr("memcollab.bank.importing.LONGEST_LINE", 10_000)
    header, *rest = exported(learned).splitlines(keepends=True)
    with Bank.open(":memory:") as other:
        report = imported(other, b"".join([header, b'"' + b"x" * 50_000 + b'"\n', *rest]))
        assert [one.reason for one in report.refused] == ["longer than 10000 bytes"]
        assert exported(other) == exported(learned)


def test_what_is_no_export_is_refused_whole(learned: Bank) -> None:
    """Without the header of an export nothing is read; a newer one says to upgrade."""
    for content in (b"", b"{}\n", b"not an export", b"[]"):
        with pytest.raises(BankError, match="not an export"):
            imported(learned, content)
    newer = exported(learned).replace(b'"version":1', b'"version":2', 1)
    with pytest.raises(BankVersionError, match="pip install --upgrade"):
        imported(learned, newer)


def test_what_is_not_admitted_stays_out_with_all_that_refers_to_it(learned: Bank) -> None:
    """The caller's gate sees the words of constraints and accepted drafts."""

    def admit(words: Constraint | Draft) -> Refusal | None:
        return Refusal(reason="instruction") if words.when.startswith("group1") else None

    with Bank.open(":memory:") as other:
        report = imported(other, exported(learned), admit=admit)
        why = "not admitted: instruction"
        reasons = {(one.kind, one.reason) for one in report.refused}
        assert {("constraint", why), ("draft", why)} <= reasons
        assert other.constraints(text="group1") == []
        assert len(other.constraints()) == len(learned.constraints()) - 1
        assert other.verify().ok


# ---- any record at all


texts = st.text(max_size=40)
counts = st.none() | st.integers(0, 2**63 - 1)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
amounts = st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
usages = st.builds(
    Usage,
    turns=counts,
    input_tokens=counts,
    output_tokens=counts,
    seconds=amounts,
    cost_usd=amounts,
)
calls = st.builds(ToolCall, name=texts, arguments=texts, id=st.none() | texts)
steps = st.builds(
    Step,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=st.none() | texts,
)
trajectories = st.builds(
    Trajectory,
    task=st.builds(
        Task,
        text=st.text(min_size=1, max_size=40),
        key=st.none() | texts,
        category=st.none()
        | st.builds(Category, name=st.text(min_size=1, max_size=9), subcategory=st.none() | texts),
    ),
    agent=st.builds(Agent, model=st.text(min_size=1, max_size=20), harness=st.none() | texts),
    steps=st.lists(steps, max_size=4).map(tuple),
    verdict=st.builds(
        Verdict,
        solved=st.none() | st.booleans(),
        score=numbers,
        judge=st.none() | texts,
        reason=st.none() | texts,
    ),
    usage=usages,
    run=st.none() | texts,
    shown=st.lists(texts, max_size=2).map(tuple),
    origin=texts,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(trajectories, min_size=1, max_size=5, unique_by=lambda run: run.id))
def test_any_run_survives_storage_and_exchange(runs: list[Trajectory]) -> None:
    """Whatever text, NUL and number a run is made of: the same run, the same id, the same bytes."""
    with Bank.open(":memory:") as one, Bank.open(":memory:") as other:
        assert one.add_trajectories(runs).new == len(runs)
        for run in runs:
            stored = one.trajectory(run.id)
            assert stored.model_copy(update={"task": run.task}) == run
            assert stored.task.id == run.task.id
        before = exported(one)
        assert imported(other, before).refused == []
        assert exported(other) == before
        assert one.verify().ok
        assert other.verify().ok


@settings(max_examples=15, deadline=None)
@given(texts, texts, texts, st.none() | texts)
def test_any_words_survive_merging_and_exchange(
    when: str, enforce: str, avoid: str, harness: str | None
) -> None:
    """A constraint of any words keeps its id through merging, export and import."""
    contrast = contrast_of(1)
    draft = Draft(contrast_id=contrast.id, when=when, enforce=enforce, avoid=avoid)
    wanted = Constraint(
        when=when, enforce=enforce, avoid=avoid, category=MATHS, scope="harness", harness=harness
    )
    entry = Screened(
        draft=draft, category=MATHS, harness=harness, writer="w", prompt_hash="p", recipe="r"
    )
    with Bank.open(":memory:") as one, Bank.open(":memory:") as other:
        one.add_trajectories(pair(1))
        one.save_contrasts([contrast])
        one.save_answer(answer_to(contrast), [entry])
        one.merge(lambda pending, _existing: Merge({pending[0].draft.id: wanted}))
        assert one.constraint(wanted.id).text == wanted.text
        assert imported(other, exported(one)).refused == []
        assert exported(other) == exported(one)
        assert other.verify().ok


# ---- processes


@needs_fork
def test_processes_share_a_bank_without_loss(path: Path) -> None:
    """Four writers and two readers at once, on a bank that none of them found: no error, and all
    that was written is there."""
    report = _process("share", path)
    assert report == {"failed": 0}
    with Bank.open(path) as bank:
        assert len(list(bank.summaries())) == 2 * 4 * 25
        assert len({change.sequence for change in bank.history()}) == bank.sequence()
        assert len(list(bank.outcomes())) == 4 * 25
        assert bank.pending() == []
        assert bank.verify().ok


@needs_fork
def test_processes_may_make_the_same_bank_at_once(path: Path) -> None:
    """Whoever comes second to an empty place waits and finds the bank made."""
    assert _process("race", path) == {"failed": 0}


@needs_fork
@pytest.mark.parametrize("kind", ["statement", "instruction"])
def test_a_learn_killed_anywhere_ends_in_the_same_bank(path: Path, kind: str) -> None:
    """Killed before any statement or within it, the bank is sound at once, and a second learn ends
    in the same export, byte for byte."""
    report = _process("kill", path, kind)
    assert report["killed"] >= 20
    assert (report["unsound"], report["different"]) == (0, 0)


def _process(*arguments: object) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.test_bank", *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, timeout=LIFE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main(command: str, path: Path, kind: str = "") -> None:
    """The process: forks its children, because that is a hundred times faster than starting each
    anew, and prints what came of them as JSON."""
    commands = {"share": _share, "race": _race, "kill": partial(_kill, kind=kind)}
    print(json.dumps(commands[command](path)))


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _share(path: Path) -> dict[str, int]:
    def write(writer: int) -> None:
        with Bank.open(path) as bank:
            for number in range(writer * 25, writer * 25 + 25):
                learn(bank, [number])
                bank.save_recall(recall_of(number))
                bank.save_outcome(Outcome(recall_id=recall_of(number).id, solved=True))

    def read() -> None:
        with Bank.open(path) as bank:
            for _ in range(20):
                sequence, rows = bank.index_rows()
                assert bank.verify().ok
                assert len(rows) <= sequence
                exported(bank)

    pids = [_fork(partial(write, writer)) for writer in range(4)]
    pids += [_fork(read) for _ in range(2)]
    return {"failed": sum(_wait(pid) != 0 for pid in pids)}


def _race(path: Path) -> dict[str, int]:
    failed = 0
    for number in range(8):
        target = path.with_name(f"race-{number}.db")

        def make(target: Path = target) -> None:
            with Bank.open(target) as bank:
                assert bank.sequence() == 0

        failed += sum(_wait(pid) != 0 for pid in [_fork(make) for _ in range(4)])
    return {"failed": failed}


def _kill(path: Path, kind: str) -> dict[str, int]:
    numbers = range(6)
    whole = path.with_name("whole.db")
    with Bank.open(whole) as bank:
        learn(bank, numbers)
        expected = exported(bank)
    report = {"killed": 0, "unsound": 0, "different": 0}
    for moment in _moments(kind):
        target = path.with_name(f"killed-{moment}.db")
        pid = _fork(
            lambda moment=moment, target=target: _learn_until(kind, moment, target, numbers)
        )
        if _wait(pid) != -signal.SIGKILL:
            break
        report["killed"] += 1
        with Bank.open(target) as bank:
            report["unsound"] += not bank.verify().ok
            learn(bank, numbers)
            report["different"] += exported(bank) != expected
    return report


def _moments(kind: str) -> Iterator[int]:
    """How many statements, or thousands of instructions of the database, to live for."""
    step = {"statement": 4, "instruction": 1}[kind]
    return iter(range(1, 100_000, step))


def _learn_until(kind: str, moment: int, target: Path, numbers: Sequence[int]) -> None:
    left = moment

    def tick(*_: object) -> int:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def watch(connection: Any, _record: Any) -> None:
        connection.set_progress_handler(tick, 250)

    if kind == "statement":
        sa.event.listen(sa.Engine, "before_cursor_execute", tick)
        sa.event.listen(sa.Engine, "commit", tick)
    else:
        sa.event.listen(sa.pool.Pool, "connect", watch)
    with Bank.open(target) as bank:
        learn(bank, numbers)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
