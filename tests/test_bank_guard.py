"""Trust in sources, retracting, going back, signed exports: the bank under an operator's hand.

Run as a script this file is a process of the test that kills; see ``main``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contracts.bank_world import (
    answer_to,
    by_first_word,
    contrast_of,
    exported,
    pair,
    screened,
)

from memcollab.bank import Bank, Change, signing, trust
from memcollab.bank.trust import Backing, independent
from memcollab.errors import BankError, NotFound, UsageError
from memcollab.records import Agent, Contrast, Step, Support, Trajectory

HERE = Path(__file__).parent
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def told(number: int, right: str, wrong: str, words: str = "") -> tuple[Trajectory, Trajectory]:
    """The right and the wrong run of a task, by other models, each in words of its own."""
    found = []
    for run, model in zip(pair(number), (right, wrong), strict=True):
        said = words or f"{model} counts the seats of table {number} " + " ".join(
            f"{model[:3]}{number}{step}" for step in range(20)
        )
        steps = (*run.steps[:1], Step(role="assistant", content=said))
        found.append(run.model_copy(update={"agent": Agent(model=model), "steps": steps}))
    return found[0], found[1]


def learn(
    bank: Bank,
    number: int,
    *,
    source: str = "local",
    trusted: bool = True,
    right: str = "gpt-4",
    wrong: str = "qwen2.5-7b",
    words: str = "",
    lesson: str = "seats are in a ring",
) -> Contrast:
    """Learn one lesson from one pair of runs that a source brought."""
    good, bad = told(number, right, wrong, words)
    bank.add_trajectories([good, bad], source=source, trusted=trusted)
    contrast = Contrast(task_id=good.task.id, kind="discordant", preferred=good.id, other=bad.id)
    bank.save_contrasts([contrast])
    bank.save_answer(answer_to(contrast), [screened(contrast, lesson)])
    bank.merge(by_first_word)
    return contrast


def statuses(bank: Bank) -> list[str]:
    return sorted(one.status for one in bank.constraints())


def only(bank: Bank) -> str:
    (one,) = bank.constraints()
    return one.id


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank.open(":memory:") as opened:
        yield opened
        assert opened.verify().problems == []


# ---- trust


def test_what_the_operator_brings_is_active_at_once(bank: Bank) -> None:
    """Runs without a named source are the operator's own, and so is a source called trusted."""
    learn(bank, 1)
    learn(bank, 2, source="team", lesson="other")
    assert statuses(bank) == ["active", "active"]
    assert bank.sources() == {"local": "trusted", "team": "trusted"}


def test_what_only_one_untrusted_source_supports_waits(bank: Bank) -> None:
    """It is quarantined, whatever the source adds, and quarantine says why and from whom."""
    for number in range(4):
        learn(bank, number, source="eve", trusted=False, right=f"model{number}x", wrong="qwen")
    assert statuses(bank) == ["quarantined"]
    (waits,) = bank.quarantine()
    assert waits.sources == {"eve": "untrusted"}
    assert waits.why == "untrusted sources only, 1 of 2 independent ones"
    assert waits.constraint.support.tasks == 4


def test_a_second_independent_source_releases_it(bank: Bank) -> None:
    """Another uploader with another family and other texts; the log says why it moved."""
    learn(bank, 1, source="ann", trusted=False)
    learn(bank, 2, source="bob", trusted=False, right="claude-4")
    assert statuses(bank) == ["active"]
    last = bank.history()[-1]
    assert (last.action, last.reason) == ("released", "2 independent sources stand behind it")


@pytest.mark.parametrize(
    ("case", "right", "number", "words"),
    [
        ("the same agent", "gpt-4", 2, ""),
        ("the same text by another agent", "claude-4", 2, "the seats of a ring have no first one"),
    ],
)
def test_what_is_not_independent_releases_nothing(
    bank: Bank, case: str, right: str, number: int, words: str
) -> None:
    """Sybils with one agent, and copies of one text, count once however many sources bring them."""
    learn(bank, 1, source="ann", trusted=False, words=words)
    for source in ("bob", "cem", "dee"):
        learn(bank, number, source=source, trusted=False, right=right, words=words)
    assert statuses(bank) == ["quarantined"], case


def test_the_same_runs_from_another_source_are_one_support(bank: Bank) -> None:
    """A copy of a run is that run, whoever brings it."""
    learn(bank, 1, source="ann", trusted=False)
    learn(bank, 1, source="bob", trusted=False)
    assert statuses(bank) == ["quarantined"]


def test_a_trusted_source_releases_what_waits(bank: Bank) -> None:
    """One trusted pair of runs with the same lesson is enough; one trusted run of two is not."""
    learn(bank, 1, source="eve", trusted=False)
    good, bad = told(5, "gpt-4", "qwen2.5-7b")
    bank.add_trajectories([good])
    bank.add_trajectories([bad], source="eve", trusted=False)
    learn(bank, 5, source="eve", trusted=False)
    assert statuses(bank) == ["quarantined"]
    learn(bank, 6)
    assert statuses(bank) == ["active"]


def test_a_person_approves_and_is_not_overruled(bank: Bank) -> None:
    """Approval is logged with its reason, stays when more untrusted support comes, and only what
    waits can be approved."""
    learn(bank, 1, source="eve", trusted=False)
    bank.approve(only(bank), actor="ann", reason="I tried it")
    learn(bank, 2, source="eve", trusted=False)
    assert statuses(bank) == ["active"]
    approval = bank.history()[1]
    assert (approval.actor, approval.action, approval.reason) == ("ann", "approved", "I tried it")
    with pytest.raises(UsageError, match="only a quarantined one"):
        bank.approve(only(bank), actor="ann", reason="again")


def test_what_a_person_quarantined_is_not_released_by_support(bank: Bank) -> None:
    """A status that was set on purpose stays, whoever supports the constraint afterwards."""
    learn(bank, 1)
    bank.set_status(only(bank), "quarantined", actor="ann", reason="odd")
    learn(bank, 2)
    assert statuses(bank) == ["quarantined"]
    assert bank.quarantine()[0].why == "set on purpose"


def test_trust_that_is_lost_and_won_moves_what_it_supports(bank: Bank) -> None:
    """Distrusting a source quarantines what only it supports; trusting it again releases that."""
    learn(bank, 1, source="team")
    done = bank.set_trust("team", "untrusted", actor="ann", reason="stolen key")
    assert done.quarantined == (only(bank),)
    assert bank.history()[-1].action == "distrusted"
    assert bank.set_trust("team", "trusted", actor="ann").active == (only(bank),)
    assert [one.value for one in bank.decisions("team")] == ["trusted", "untrusted", "trusted"]
    with pytest.raises(NotFound, match="knows no source 'nobody'"):
        bank.set_trust("nobody", "trusted", actor="ann")


def test_a_source_called_untrusted_once_stays_so(bank: Bank) -> None:
    """Leaving --untrusted out later does not raise trust; giving it later lowers it."""
    learn(bank, 1, source="eve", trusted=False)
    learn(bank, 2, source="eve", trusted=True)
    assert statuses(bank) == ["quarantined"]
    learn(bank, 3, source="team", lesson="other")
    learn(bank, 4, source="team", trusted=False, lesson="other")
    assert statuses(bank) == ["quarantined", "quarantined"]
    with pytest.raises(UsageError, match="--source NAME --untrusted"):
        bank.add_trajectories([], trusted=False)
    with pytest.raises(UsageError, match="cannot name a source"):
        bank.add_trajectories([], source=trust.OWN_WRITER)


@given(
    st.lists(
        st.builds(
            Backing,
            st.frozensets(st.sampled_from("abc"), min_size=1, max_size=2),
            st.sampled_from(["gpt", "qwen", "claude"]),
            st.tuples(st.integers(0, 4).map(str)),
        ),
        max_size=7,
    ),
    st.integers(1, 3),
)
def test_independence_is_what_its_definition_says(backings: list[Backing], needed: int) -> None:
    """The count is the size of the largest set of which no two share a source, a family or a text,
    up to what is needed; order and repetition make no difference."""

    def apart(one: Backing, two: Backing) -> bool:
        return one.family != two.family and not one.sources & two.sources and one.runs != two.runs

    def largest(rest: list[Backing], chosen: list[Backing]) -> int:
        if not rest:
            return len(chosen)
        without = largest(rest[1:], chosen)
        if all(apart(rest[0], one) for one in chosen):
            return max(without, largest(rest[1:], [*chosen, rest[0]]))
        return without

    expected = min(needed, largest(backings, []))
    same = str.__eq__
    assert independent(backings, same, needed) == expected
    assert independent([*reversed(backings), *backings], same, needed) == expected


# ---- retracting


def test_retracting_a_run_takes_its_lesson_with_it(bank: Bank) -> None:
    """The constraint that only it supported is retired, another loses that support, and both are
    logged with the reason."""
    bad = learn(bank, 1, lesson="poison is good")
    learn(bank, 2, lesson="seats are in a ring")
    shared = learn(bank, 3, lesson="seats are in a row")
    done = bank.retract(bad.preferred, shared.other, actor="ann", reason="forged")
    kept = {one.when.split()[0]: one for one in bank.constraints()}
    assert done.retired == (kept["poison"].id,)
    assert (kept["poison"].status, kept["poison"].support) == ("retired", Support())
    assert (kept["seats"].status, kept["seats"].support.contrasts) == ("active", 1)
    assert all("forged" in (one.reason or "") for one in bank.history()[-2:])


def test_learning_again_does_not_bring_back_what_was_retracted(bank: Bank) -> None:
    """Neither the same runs, nor another writer on them, nor an export made before."""
    before = learn(bank, 1)
    file = exported(bank)
    bank.retract(before.preferred, actor="ann")
    learn(bank, 1)
    contrast = before
    bank.save_answer(answer_to(contrast, writer="other"), [screened(contrast, "seats are round")])
    bank.merge(by_first_word)
    bank.import_(io.BytesIO(file), trusted=True, source="old export")
    assert statuses(bank) == ["retired"]
    assert before.preferred not in {run.id for run in bank.summaries(retracted=False)}
    assert before.preferred in {run.id for run in bank.summaries()}


def test_retracting_a_source_spares_what_others_brought_too(bank: Bank) -> None:
    """Only what nobody else brought goes, nothing more is taken from the source, and trusting it
    again undoes it."""
    learn(bank, 1, source="team", lesson="shared")
    learn(bank, 1, lesson="shared")
    learn(bank, 2, source="team", lesson="alone")
    done = bank.set_trust("team", "retracted", actor="ann")
    assert len(done.retired) == 1
    assert statuses(bank) == ["active", "retired"]
    with pytest.raises(UsageError, match="was retracted"):
        learn(bank, 3, source="team")
    bank.set_trust("team", "trusted", actor="ann")
    assert statuses(bank) == ["active", "active"]


def test_retracting_a_contrast_can_be_taken_back(bank: Bank) -> None:
    """A dry run changes nothing, a retraction what it said, restoring undoes it."""
    contrast = learn(bank, 1)
    state = exported(bank)
    foreseen = bank.retract(contrast.id[:14], actor="ann", dry_run=True)
    assert (exported(bank), bank.decisions(contrast.id)) == (state, [])
    assert bank.retract(contrast.id, actor="ann") == foreseen
    assert b'"constraint"' not in exported(bank)
    bank.retract(contrast.id, actor="ann", restore=True)
    assert exported(bank) == state


def test_an_approved_constraint_goes_when_nothing_is_left_behind_it(bank: Bank) -> None:
    """Approval is about words from a run; with the run retracted it has no ground."""
    contrast = learn(bank, 1, source="eve", trusted=False)
    bank.approve(only(bank), actor="ann", reason="fine")
    bank.retract(contrast.other, actor="ann")
    assert statuses(bank) == ["retired"]
    bank.retract(contrast.other, actor="ann", restore=True)
    assert statuses(bank) == ["quarantined"]


# ---- going back


def states(changes: list[Change]) -> dict[str, dict[str, Any]]:
    """The state of every constraint that a log ends in."""
    return {one.constraint_id: dict(one.after) for one in changes}


def act(bank: Bank, what: tuple[str, int, int]) -> None:
    """One change of an operator's or a learner's."""
    kind, one, two = what
    ids = [each.id for each in bank.constraints()]
    runs = [run.id for run in bank.summaries()]
    names = [name for name, value in bank.sources().items() if value != "retracted"]
    if kind == "learn" or not ids:
        source, family = ("local", "ann", "bob")[one % 3], ("gpt-4", "claude-4", "kimi")[two % 3]
        if bank.sources().get(source) != "retracted":
            lesson = f"{'abc'[(one + two) % 3]} seats"
            learn(bank, two, source=source, trusted=one % 3 == 0, right=family, lesson=lesson)
    elif kind == "status":
        status = ("active", "quarantined", "retired")[two % 3]
        bank.set_status(ids[one % len(ids)], status, actor="ann")
    elif kind == "retract":
        bank.retract(runs[one % len(runs)], actor="ann", restore=two % 2 == 1)
    elif kind == "trust" and names:
        value = ("trusted", "untrusted", "retracted")[two % 3]
        bank.set_trust(names[one % len(names)], value, actor="ann")
    elif kind == "rollback":
        bank.rollback(str(one % (bank.sequence() + 1)), actor="ann")


KINDS = ("learn", "learn", "status", "retract", "trust", "rollback")
ACTIONS = st.tuples(st.sampled_from(KINDS), st.integers(0, 40), st.integers(0, 6))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(st.lists(ACTIONS, min_size=2, max_size=9), st.integers(0, 1000))
def test_a_rollback_gives_the_state_as_of_then_and_the_log_only_grows(
    actions: list[tuple[str, int, int]], pick: int
) -> None:
    """Whatever was done: constraints of then are as they were, later ones are retired without
    support, no line of any log is gone, the bank verifies, and a rollback can be rolled back."""
    with Bank.open(":memory:") as bank:
        for action in actions:
            act(bank, action)
        log, decisions = bank.history(), bank.decisions()
        goal = pick % (len(log) + 1)
        then, before = states(log[:goal]), states(log)

        done = bank.rollback(str(goal), actor="ann")
        now = {one.id: one for one in bank.constraints()}
        assert {id: one.model_dump(mode="json") for id, one in now.items() if id in then} == {
            id: {name: part for name, part in state.items() if name != "id"}
            for id, state in then.items()
        }
        later = [one for id, one in now.items() if id not in then]
        assert all((one.status, one.support) == ("retired", Support()) for one in later)
        assert bank.history()[: len(log)] == log
        assert bank.decisions()[: len(decisions)] == decisions
        assert bank.verify().problems == []

        bank.rollback(str(done.sequence), actor="ann")
        assert states(bank.history()) == before
        assert bank.verify().problems == []


def test_a_poisoned_hour_does_not_come_back(bank: Bank) -> None:
    """After a rollback to a snapshot the runs of that hour teach nothing, not even when they are
    learned again, and the lesson comes back when honest runs teach it."""
    learn(bank, 1)
    named = bank.snapshot("before")
    learn(bank, 2, lesson="poison")
    done = bank.rollback("before", actor="ann", reason="poisoned")
    assert (done.set_aside, len(done.retired)) == (3, 1)  # two runs and a draft
    learn(bank, 2, lesson="poison")
    assert statuses(bank) == ["active", "retired"]
    learn(bank, 3, lesson="poison")
    assert statuses(bank) == ["active", "active"]
    assert bank.snapshots() == [named]


def test_points_are_names_numbers_and_times(bank: Bank) -> None:
    """The difference of two points is the same by name, number, time and now; what is no point is
    refused with what is."""
    learn(bank, 1)
    bank.snapshot("one")
    learn(bank, 2, lesson="another")
    at = bank.history()[0].at
    found = bank.diff("one")
    assert [one.before for one in found] == [None]
    assert bank.diff("1", "2") == bank.diff(at, "now") == found
    assert bank.diff("one", "1") == []
    for wrong in ("nowhere", "99", "-1"):
        with pytest.raises(NotFound, match="is no point of this bank"):
            bank.rollback(wrong, actor="ann")
    for wrong in ("now", "12", "2026-01-01", "one", "a\nb"):
        with pytest.raises(UsageError):
            bank.snapshot(wrong)


def test_a_dry_run_says_what_a_rollback_does(bank: Bank) -> None:
    """The same report, and nothing changes."""
    bank.snapshot("empty")
    learn(bank, 1)
    log = bank.history()
    foreseen = bank.rollback("empty", actor="ann", dry_run=True)
    assert (bank.history(), statuses(bank)) == (log, ["active"])
    assert bank.rollback("empty", actor="ann") == foreseen
    assert statuses(bank) == ["retired"]


# ---- older banks


def test_a_bank_of_schema_1_is_brought_forward(tmp_path: Path) -> None:
    """Made by the first release: all of it counts as the operator's own, a status that somebody set
    stays, and going back begins with the migration."""
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((HERE / "banks" / "schema-1.sql").read_text("utf-8"))
    with Bank.open(path) as bank:
        assert bank.verify().problems == []
        assert statuses(bank) == ["active", "active", "active", "retired"]
        assert bank.sources() == {"local": "trusted"}
        end = bank.sequence()
        with pytest.raises(UsageError, match=f"Valid: {end} and later"):
            bank.rollback(str(end - 1), actor="ann")
        before = {one.id: one for one in bank.constraints()}
        bank.snapshot("upgraded")
        learn(bank, 7, lesson="all else is new")
        bank.retract(contrast_of(0).id, actor="ann")
        bank.rollback("upgraded", actor="ann")
        after = {one.id: one for one in bank.constraints()}
        assert {id: one for id, one in after.items() if id in before} == before
        assert bank.verify().problems == []
        assert bank.rollback(str(end), actor="ann").set_aside == 0


# ---- signed exports


@pytest.fixture
def signed(bank: Bank, tmp_path: Path) -> tuple[bytes, str]:
    """A signed export, and the public key of its signer."""
    learn(bank, 1)
    key = signing.new_key(tmp_path / "key")
    stream = io.BytesIO()
    bank.export(stream, sign=tmp_path / "key")
    return stream.getvalue(), key


def test_a_signed_export_names_its_signer(signed: tuple[bytes, str], bank: Bank) -> None:
    """What is checked is the export without its signature."""
    content, key = signed
    with signing.checked(io.BytesIO(content)) as (stream, signer):
        assert (stream.read(), signer) == (exported(bank), key)


def signer_of(content: bytes) -> str | None:
    with signing.checked(io.BytesIO(content)) as (_, signer):
        return signer


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_is_refused(signed: tuple[bytes, str], data: st.DataObject) -> None:
    """A change anywhere is refused, or is no signed export any more, never the signer's."""
    content, key = signed
    place = data.draw(st.integers(0, len(content) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda found: found != content[place]))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    if place < content.rstrip(b"\n").rfind(b"\n"):
        with pytest.raises(BankError, match="changed after it was signed"):
            signer_of(changed)
        return
    # The line of the signature itself: refused, or a line that is no signature any more.
    with contextlib.suppress(BankError):
        assert signer_of(changed) is None
    assert signer_of(content) == key


def test_a_key_is_its_owners_and_is_never_overwritten(tmp_path: Path) -> None:
    """The private half can be read by its owner only; what is no key is named as such."""
    key = signing.new_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert signing.public_keys([key, str(tmp_path / "key.pub")]) == {key}
    with pytest.raises(UsageError, match="cannot write a key"):
        signing.new_key(tmp_path / "key")
    for wrong in ("short", str(tmp_path / "key")):
        with pytest.raises(UsageError, match="is no key"):
            signing.public_keys([wrong])
    with pytest.raises(UsageError, match="is no key"):
        signing.private_key(tmp_path / "key.pub")


# ---- kills


@needs_fork
@pytest.mark.parametrize("what", ["rollback", "retract"])
def test_killed_in_the_middle_it_is_done_or_not(tmp_path: Path, what: str) -> None:
    """Killed before any statement or at its commit, the bank is sound and in the state before or
    in the state after, nothing between."""
    command = [sys.executable, "-m", "tests.test_bank_guard", what, str(tmp_path)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["killed"] >= 10
    assert (report["unsound"], report["between"]) == (0, 0)


WORK: dict[str, Callable[[Bank], object]] = {
    "rollback": lambda bank: bank.rollback("start", actor="ann"),
    "retract": lambda bank: bank.retract(*(run.id for run in bank.summaries()), actor="ann"),
}


def main(what: str, folder: Path) -> None:
    """The process: kills a child at every statement, and prints what came of it as JSON."""
    source, whole = folder / "bank.db", folder / "whole.db"
    with Bank.open(source) as bank:
        learn(bank, 1)
        bank.snapshot("start")
        for number in range(2, 6):
            learn(bank, number, lesson=f"{'ab'[number % 2]} seat")
        before = exported(bank)
    shutil.copy(source, whole)
    with Bank.open(whole) as bank:
        WORK[what](bank)
        after = exported(bank)
    report = {"killed": 0, "unsound": 0, "between": 0}
    for moment in range(1, 1000):
        target = folder / f"killed-{moment}.db"
        shutil.copy(source, target)
        pid = os.fork()
        if not pid:
            _work_until(moment, what, target)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
            break
        report["killed"] += 1
        with Bank.open(target) as bank:
            report["unsound"] += not bank.verify().ok
            report["between"] += exported(bank) not in (before, after)
    print(json.dumps(report))


def _work_until(moment: int, what: str, target: Path) -> None:
    left = moment

    def tick(*_: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with Bank.open(target) as bank:
            sa.event.listen(sa.Engine, "before_cursor_execute", tick)
            sa.event.listen(sa.Engine, "commit", tick)
            WORK[what](bank)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
