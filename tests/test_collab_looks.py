"""Recalls go by what was known while a thread looks at what new outcomes say."""

from __future__ import annotations

import gc
import math
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st
from tests.test_collab_evidence import (
    CROW,
    IDS,
    OWL,
    TASK,
    ended,
    fill,
    given,
    recalled,
    recipe,
    tell,
)

from memcollab import MemCollab
from memcollab.bank import Bank
from memcollab.collab.experience import Experience, Look
from memcollab.errors import BankError, UsageError
from memcollab.evidence import Evidence, Rules

MOMENT = 60  # seconds, after which something that should happen never will


class GatedBank(Bank):
    """A bank whose counts are read when the gate is opened; ``begun`` says that somebody waits."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.happened: list[str] = []

    def shut(self) -> None:
        self.begun.clear()
        self.gate.clear()

    def evidence(self) -> Evidence:
        self.happened.append("begun")
        self.begun.set()
        assert self.gate.wait(MOMENT)
        found = super().evidence()
        self.happened.append("looked")
        return found

    def close(self) -> None:
        self.happened.append("closed")
        super().close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "bank.db")
    return tmp_path / "bank.db"


@pytest.fixture
def bank(path: Path) -> Iterator[GatedBank]:
    with GatedBank.open(path) as bank:
        yield bank
        bank.gate.set()


def over(bank: Bank, patience: float = 0) -> MemCollab:
    """A memory of that bank. With a patience of 0 any look but the first is left to a thread."""
    memory = MemCollab(bank.path or "", recipe=recipe(), patience=patience)
    memory.bank = bank
    return memory


def looked(memory: MemCollab) -> None:
    """The look that is under way, if any, has ended."""
    memory._experience.wait()


def outcomes(path: Path, *told: tuple[object, ...]) -> None:
    """Somebody else reports what ``tell`` takes."""
    with MemCollab(path, recipe=recipe()) as other:
        for one in told:
            tell(other, *one)  # type: ignore[arg-type]


# What hurts the owl in a category that helps it all in all.
HELPS = (OWL, ["pairs"], 0.9, 0.4)
HURTS = (OWL, ["seats"], 0.2, 0.6)


def test_a_recall_answers_while_a_look_is_going_on(path: Path, bank: GatedBank) -> None:
    """By what was known; when the look has ended, the next recall goes by it."""
    outcomes(path, HELPS)
    with over(bank) as memory:
        before = recalled(memory, limit=4)
        assert IDS["seats"] in before.shown
        outcomes(path, HURTS)
        bank.shut()
        assert given(recalled(memory, limit=4)) == given(before)
        assert bank.begun.wait(MOMENT)
        assert given(recalled(memory, limit=4)) == given(before)
        assert bank.happened == ["begun", "looked", "begun"]
        bank.gate.set()
        looked(memory)
        after = recalled(memory, limit=4)
        assert after.left[IDS["seats"]].startswith("hurts 'owl-7b'")
        assert IDS["seats"] not in after.shown


def test_the_first_outcomes_and_short_looks_are_waited_for(path: Path, bank: GatedBank) -> None:
    """A bank without outcomes is no look yet: what the first ones say is in the next recall,
    however little patience there is. With patience each later one is, too, and no thread runs."""
    with over(bank, patience=0) as hasty, over(bank, patience=math.inf) as patient:
        for memory in (hasty, patient):
            assert IDS["seats"] in recalled(memory, limit=4).shown
        outcomes(path, HELPS, HURTS)
        assert given(recalled(hasty, limit=4)) == given(recalled(patient, limit=4))
        assert IDS["seats"] in recalled(patient, limit=4).left
        outcomes(path, (CROW, ["dice"], 0.2, 0.7))
        assert str(recalled(patient, CROW).abstained).startswith("memory hurts 'crow-7b'")
        assert recalled(hasty, CROW).shown
        looked(hasty)
        assert given(recalled(hasty, CROW)) == given(recalled(patient, CROW))
        assert patient._experience._ahead is None


def test_threads_that_come_at_once_start_one_look(path: Path, bank: GatedBank) -> None:
    """The first look is waited for by all, and all get it; a later one is left to one thread by
    all of them."""
    outcomes(path, HELPS)
    experience = Experience(bank, Rules(), patience=0)
    together = threading.Barrier(8)

    def ask(number: int) -> Look:
        together.wait(MOMENT)
        return experience.at(number)

    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(ask, [1000] * 8))
        assert all(look is first[0] for look in first)
        assert bank.happened == ["begun", "looked"]
        outcomes(path, HURTS)
        bank.shut()
        assert list(pool.map(ask, range(2000, 2008))) == first
        assert bank.begun.wait(MOMENT)
        bank.gate.set()
        experience.wait()
        (second, *others) = pool.map(ask, [2000] * 8)
    assert bank.happened == ["begun", "looked"] * 2
    assert all(look is second for look in others)
    assert second.evidence == bank.evidence()
    experience.close()


def test_whoever_makes_the_number_full_looks_at_once(path: Path, bank: GatedBank) -> None:
    """What it retires follows from its own outcome, also where recalls do not wait, and recalls
    that come after it go by the same look."""
    outcomes(path, HELPS)
    with over(bank) as memory:
        last = recalled(memory, CROW, limit=1)
        outcomes(path, *((agent, ["seats"], 0.2, 0.6) for agent in (OWL, CROW)))
        bank.add_outcomes(ended(last, CROW, ["pairs"], 0.5, withheld=False, n=49))
        assert bank.constraint(IDS["seats"]).status == "active"
        memory.record_outcome(last, solved=True)
        assert bank.constraint(IDS["seats"]).status == "retired"
        assert bank.happened == ["begun", "looked"] * 2
        recalled(memory)
        assert memory._experience._ahead is None


def test_a_look_that_fails_is_told_and_tried_again(path: Path) -> None:
    """By the recall after it, once; recalls go on by what was known, and by the new look when
    there is one again."""
    outcomes(path, HELPS)
    with MemCollab(path, recipe=recipe(), patience=0) as memory:
        before = recalled(memory, limit=4)
        outcomes(path, HURTS)
        rename(path, "evidence", "away")
        for _ in range(2):
            assert given(recalled(memory, limit=4)) == given(before)
            looked(memory)
            with pytest.raises(BankError, match="no such table: evidence"):
                recalled(memory, limit=4)
        rename(path, "away", "evidence")
        assert given(recalled(memory, limit=4)) == given(before)
        looked(memory)
        assert IDS["seats"] in recalled(memory, limit=4).left


def rename(path: Path, before: str, after: str) -> None:
    """Damage a bank, or mend it."""
    connection = sqlite3.connect(path)
    connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
    connection.commit()
    connection.close()


def test_close_waits_for_the_look(path: Path, bank: GatedBank) -> None:
    """The bank is closed when nobody reads it any more."""
    outcomes(path, HELPS)
    memory = over(bank)
    recalled(memory)
    outcomes(path, HURTS)
    bank.shut()
    recalled(memory)
    assert bank.begun.wait(MOMENT)
    closing = threading.Thread(target=memory.close)
    closing.start()
    bank.gate.set()
    closing.join(MOMENT)
    assert not closing.is_alive()
    assert bank.happened == ["begun", "looked", "begun", "looked", "closed"]


def test_what_nobody_recalls_by_any_more_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A look that failed with no recall after it does not keep a memory from being closed."""
    outcomes(path, HELPS)
    with MemCollab(path, recipe=recipe(), patience=0) as memory:
        recalled(memory)
        outcomes(path, HURTS)
        rename(path, "evidence", "away")
        recalled(memory)
        experience = memory._experience
    (record,) = caplog.records
    assert record.name == "memcollab.collab"
    assert "no such table: evidence" in caplog.text
    assert experience.at(10**6).outcomes == 1000  # and no look is begun after the end


def test_a_process_ends_while_a_look_is_going_on(path: Path) -> None:
    """With its exit code and without a word, also where nobody closed the memory."""
    program = """
        import sys, threading, time
        from memcollab import MemCollab
        from memcollab.bank import Bank

        class Slow(Bank):
            begun = threading.Event()

            def evidence(self):
                self.begun.set()
                time.sleep(0.5)
                return super().evidence()

        memory = MemCollab(sys.argv[1], patience=0)
        memory.bank = Slow.open(sys.argv[1])
        memory.recall(sys.argv[2], category="counting_and_probability", store=False)
        memory.bank.begun.clear()
        memory._experience.at(memory.bank.versions().outcomes + 50)
        assert memory.bank.begun.wait(60)
        sys.exit(3)
    """
    outcomes(path, HELPS)
    command = [sys.executable, "-c", textwrap.dedent(program), str(path), TASK]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=MOMENT, check=False)
    assert (ended.returncode, ended.stderr) == (3, "")


@settings(max_examples=8, deadline=None)
@generated(
    st.lists(
        st.tuples(
            st.sampled_from([OWL, CROW]),
            st.sets(st.sampled_from(sorted(IDS)), min_size=1).map(sorted),
            st.floats(0, 1),
            st.floats(0, 1),
            st.integers(1, 60),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_look_in_the_thread_is_the_look_that_is_waited_for(
    told: list[tuple[object, ...]],
) -> None:
    """Whatever outcomes come, when the thread has looked, recalls are those of a memory that waits
    for each look."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "bank.db")
        fill(path)
        with (
            MemCollab(path, recipe=recipe(), patience=math.inf) as waits,
            MemCollab(path, recipe=recipe(), patience=0) as goes_on,
        ):
            # Both begin at the same number: from there on it decides when one looks.
            assert given(recalled(goes_on)) == given(recalled(waits))
            for batch in told:
                tell(waits, *batch)  # type: ignore[arg-type]
                recalled(goes_on, store=False)
                looked(goes_on)
                for agent in (OWL, CROW):
                    expected = recalled(waits, agent, limit=4, store=False)
                    assert given(recalled(goes_on, agent, limit=4, store=False)) == given(expected)


@pytest.mark.parametrize("patience", [-1.0, math.nan])
def test_a_patience_that_cannot_be_is_refused(patience: float) -> None:
    """Below 0, or no number."""
    with pytest.raises(UsageError, match=r"patience cannot be .* Next: leave it out"):
        MemCollab("absent.db", patience=patience)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_look_leaves_the_garbage_collector_as_it_was(path: Path, *, enabled: bool) -> None:
    """Whether it was on or off, and whether or not the look fails."""
    outcomes(path, HELPS)
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with MemCollab(path, recipe=recipe()) as memory:
            rename(path, "evidence", "away")
            with pytest.raises(BankError, match="no such table: evidence"):
                recalled(memory)
            assert gc.isenabled() is enabled
            rename(path, "away", "evidence")
            recalled(memory)
            assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()
