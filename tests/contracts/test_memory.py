"""What every memory does, at a path or behind a URL: the one object users hold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.bank_world import pair, run
from tests.serving import service_over, serving
from tests.test_collab import WRITER, write_runs

from memcollab import Agent, MemCollab, Task, Usage
from memcollab.bank.cursor import place_of
from memcollab.errors import BankError, NotFound, UsageError


@dataclass
class World:
    """A memory, and how learning names its writer: behind a URL it is the server's."""

    memory: MemCollab
    learns_with: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(params=["path", "postgres", "url"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty memory of each kind. A further kind is one more branch here."""
    path = tmp_path / "team.db"
    if request.param == "url":
        service = service_over(path, writer=WRITER)
        with serving(service) as url, MemCollab(f"{url}/team") as memory:
            yield World(memory)
        return
    place = path if request.param == "path" else request.getfixturevalue("new_schema")()
    with MemCollab(place) as memory:
        yield World(memory, {"writer": WRITER})


@pytest.fixture
def learned(world: World, tmp_path: Path) -> World:
    """A memory that has learned nine tasks."""
    report = world.memory.learn(write_runs(tmp_path), **world.learns_with)
    assert report.constraints > 0
    return world


def test_it_is_the_class_that_users_name(world: World) -> None:
    """Whoever holds one need not know which kind it is."""
    assert isinstance(world.memory, MemCollab)


def test_learning_reports_what_came_in_and_what_came_of_it(world: World, tmp_path: Path) -> None:
    """Runs, contrasts and constraints are counted, and a second time everything is known."""
    runs = write_runs(tmp_path)
    first = world.memory.learn(runs, **world.learns_with)
    assert (first.seen, first.judged, first.known) == (27, 27, 0)
    assert first.distilled == first.accepted == sum(first.contrasts.values())
    assert first.writer == "scribe"

    again = world.memory.learn(runs, **world.learns_with)
    assert (again.seen, again.known, again.asked) == (27, 27, 0)
    assert again.constraints == first.constraints


def test_runs_can_be_added_now_and_learned_from_later(world: World, tmp_path: Path) -> None:
    """Learning without paths is learning from what the bank holds."""
    added = world.memory.add_runs(write_runs(tmp_path))
    assert (added.seen, added.known, added.constraints) == (27, 0, 0)
    assert world.memory.bank.stats().constraints == 0

    report = world.memory.learn(**world.learns_with)
    assert report.constraints == world.memory.bank.stats().constraints > 0


def test_progress_is_told(world: World, tmp_path: Path) -> None:
    """Whoever waits sees that it goes on; the number of calls is the machine's."""
    told: list[tuple[str, int, int | None]] = []
    report = world.memory.learn(
        write_runs(tmp_path), progress=lambda *step: told.append(step), **world.learns_with
    )
    assert report.constraints > 0
    assert all(isinstance(stage, str) and done >= 0 for stage, done, _ in told)


def test_trajectories_come_back_as_they_went_in(world: World) -> None:
    """Runs may come as records; what the bank holds is the same record."""
    given = [*pair(1), run(2, "gpt-4", None)]
    report = world.memory.add_trajectories(given)
    assert (report.seen, report.judged, report.unjudged) == (3, 2, 1)
    assert world.memory.bank.trajectory(given[0].id) == given[0]
    assert world.memory.add_trajectories(given).known == 2


def test_a_recall_gives_guidance_and_its_outcome_is_counted(learned: World) -> None:
    """The whole round: recall, work, report."""
    recall = learned.memory.recall("Sort the pebbles by weight", agent="owl-7b", harness="loop")
    assert recall.entries
    assert "check for emptiness" in recall.guidance
    assert learned.memory.bank.recall(recall.id) == recall

    outcome = learned.memory.record_outcome(recall, solved=True, usage=Usage(turns=3), detail="ok")
    assert (outcome.recall_id, outcome.solved, outcome.usage.turns) == (recall.id, True, 3)
    stats = learned.memory.bank.stats()
    assert (stats.recalls, dict(stats.outcomes)) == (1, {"solved": 1})


def test_a_recall_may_leave_no_trace(learned: World) -> None:
    """``store=False`` writes nothing; an outcome cannot be tied to it."""
    recall = learned.memory.recall(
        Task(text="Sort the lanterns", key="1"), agent=Agent(model="owl"), store=False, limit=1
    )
    assert len(recall.entries) <= 1
    assert learned.memory.bank.stats().recalls == 0
    with pytest.raises(NotFound, match=recall.id):
        learned.memory.record_outcome(recall, solved=True)


def test_misuse_is_the_same_error_in_the_same_words(learned: World) -> None:
    """An empty task, an unknown category or id, a second verdict: class and message say it."""
    memory = learned.memory
    with pytest.raises(UsageError, match="the task is empty"):
        memory.recall("  ")
    with pytest.raises(UsageError, match="no_such_category"):
        memory.recall("Sort it", category="no_such_category")
    with pytest.raises(NotFound, match=r"no constraint 'c-nothing'"):
        memory.bank.constraint("c-nothing")
    with pytest.raises(UsageError, match="gone"):
        memory.bank.set_status(memory.bank.constraints()[0].id, "gone", actor="ada")  # type: ignore[arg-type]
    recall = memory.recall("Sort the pebbles")
    memory.record_outcome(recall, solved=True)
    with pytest.raises(UsageError, match="solved=True already"):
        memory.record_outcome(recall, solved=False)


def test_constraints_are_filtered_and_come_best_supported_first(learned: World) -> None:
    """Every filter; a limit takes the first of the same order."""
    bank = learned.memory.bank
    every = bank.constraints()
    assert len(every) == 3
    assert bank.constraints(limit=2) == every[:2]
    assert bank.constraints(limit=2, after=place_of(every[1])) == every[2:4]
    assert bank.constraints(after=place_of(every[-1])) == []
    assert bank.constraints(category="programming") == [
        each for each in every if each.category.name == "programming"
    ]
    assert [each.when for each in bank.constraints(text="MAY BE EMPTY")] == ["a list may be empty"]
    assert bank.constraints(status="retired") == []
    supports = [each.support.tasks for each in every]
    assert supports == sorted(supports, reverse=True)


def test_a_constraint_leads_to_its_runs_and_its_history(learned: World) -> None:
    """Provenance and change log, whole, by an abbreviated id too."""
    bank = learned.memory.bank
    constraint = bank.constraints()[0]
    behind = bank.provenance(constraint.id[:12])
    assert behind.constraint == constraint
    assert len(behind.sources) >= constraint.support.tasks
    assert {source.preferred.agent.model for source in behind.sources} == {"owl-7b"}
    assert bank.conflicts(constraint.id) == []
    changes = bank.history(constraint.id)
    assert changes[0].before is None
    assert changes[0].after["id"] == constraint.id
    assert bank.history(since=changes[0].sequence)[0].sequence == changes[0].sequence + 1


def test_a_retired_constraint_is_recalled_no_more(learned: World) -> None:
    """A change of status is seen by the very next recall, and the log keeps the reason."""
    memory = learned.memory
    shown = memory.recall("Sort the pebbles", agent="owl-7b").entries[0].constraint
    retired = memory.bank.set_status(shown.id, "retired", actor="ada", reason="misleads")
    assert retired.status == "retired"
    assert memory.bank.history(shown.id)[-1].reason == "misleads"
    ids = [entry.constraint.id for entry in memory.recall("Sort the pebbles").entries]
    assert shown.id not in ids


def test_an_export_is_imported_whole_and_again_for_nothing(learned: World, tmp_path: Path) -> None:
    """Export → another bank → the same bytes, but that the constraints wait there for somebody to
    believe them; importing into itself changes nothing."""
    exported = io.BytesIO()
    counts = learned.memory.bank.export(exported)
    assert counts["constraint"] == 3
    assert counts["run"] == 27

    with MemCollab(tmp_path / "other.db") as other:
        assert other.import_(io.BytesIO(exported.getvalue())).new["constraint"] == 3
        again = io.BytesIO()
        assert other.bank.export(again) == counts
        waiting = b'"status":"quarantined"'
    assert again.getvalue().count(waiting) == 3  # nobody said that the file is to be believed
    released = again.getvalue().replace(waiting, b'"status":"active"')
    assert released == exported.getvalue()
    report = learned.memory.import_(io.BytesIO(exported.getvalue()))
    assert not report.new
    assert report.known["constraint"] == 3

    light = io.BytesIO()
    assert "answer" not in learned.memory.bank.export(light, runs=False)


def test_refused_drafts_are_told_with_their_reason(world: World, tmp_path: Path) -> None:
    """Nothing is refused in this world, so the list is empty; the question is answered."""
    world.memory.learn(write_runs(tmp_path), **world.learns_with)
    assert world.memory.bank.refusals(limit=10) == []


def test_what_is_no_export_is_refused(world: World) -> None:
    """The same class of error, whichever side reads it."""
    with pytest.raises(BankError):
        world.memory.import_(io.BytesIO(b"not an export\n"))


def test_an_edit_supersedes_and_both_stay_to_be_read(learned: World) -> None:
    """The successor is recalled in place of the edited one; the way between them is known."""
    memory = learned.memory
    old = memory.recall("Sort the pebbles", agent="owl-7b").entries[0].constraint
    new = memory.edit(old.id, enforce="a look at whether it is empty", actor="ada", reason="why")
    assert (new.when, new.support, new.status) == (old.when, old.support, "active")
    assert memory.bank.constraint(old.id).status == "retired"
    assert memory.bank.lineage(old.id) == memory.bank.lineage(new.id) == [old.id, new.id]
    assert memory.bank.history(new.id)[0].reason == f"supersedes {old.id}: why"
    ids = [entry.constraint.id for entry in memory.recall("Sort the pebbles").entries]
    assert new.id in ids
    assert old.id not in ids
    with pytest.raises(UsageError, match="are refused: form"):
        memory.edit(new.id, enforce=" ", actor="ada")
    with pytest.raises(UsageError, match="is retired"):
        memory.edit(old.id, enforce="a look at it", actor="ada")


def test_evidence_is_the_same_report(learned: World) -> None:
    """Before any outcome and after one; of the bank, and of one constraint."""
    memory = learned.memory
    empty = memory.evidence()
    assert (empty.judged, empty.categories) == (0, ())
    assert "Next" not in empty.summary
    recall = memory.recall("Sort the pebbles", agent="owl-7b")
    assert memory.effects(recall.entries[0].constraint.id) == ()
    memory.record_outcome(recall, solved=True)
    report = memory.evidence()
    assert report.judged == 1
    assert {effect.agent for effect in report.categories} == {"owl-7b"}
    first, *_ = memory.effects(recall.entries[0].constraint.id[:12])
    assert (first.subject, first.says) == (recall.entries[0].constraint.id, "not known")
    with pytest.raises(NotFound):
        memory.effects("c-nothing")


def test_a_bad_hour_is_undone(learned: World) -> None:
    """Snapshot, change, difference, dry run, going back; the log says who did it and why."""
    bank = learned.memory.bank
    made = bank.snapshot("before")
    assert bank.snapshots() == [made]
    victim = bank.constraints()[0]
    bank.set_status(victim.id, "retired", actor="ada", reason="in a bad hour")
    (difference,) = bank.diff("before")
    assert difference.before is not None
    assert difference.after is not None
    assert (difference.before["status"], difference.after["status"]) == ("active", "retired")
    assert bank.diff("before", "before") == []

    would = bank.rollback("before", actor="ada", dry_run=True)
    assert would.restored == (victim.id,)
    assert bank.constraint(victim.id).status == "retired"
    assert bank.rollback("before", actor="ada", reason="undo").restored == (victim.id,)
    assert bank.constraint(victim.id) == victim
    assert bank.history(victim.id)[-1].action == "rolled back"
    with pytest.raises(NotFound, match="no point"):
        bank.rollback("nowhere", actor="ada")
    with pytest.raises(UsageError, match="already"):
        bank.snapshot("before")


def test_what_came_of_a_run_is_taken_back_and_restored(learned: World) -> None:
    """Nothing is deleted: a retraction is a decision, and so is its end."""
    bank = learned.memory.bank
    constraint = bank.constraints()[-1]
    runs = sorted({source.preferred.id for source in bank.provenance(constraint.id).sources})
    would = bank.retract(*runs, actor="ada", dry_run=True)
    assert constraint.id in would.retired
    assert bank.constraint(constraint.id).status == "active"
    done = bank.retract(*runs, actor="ada", reason="a broken judge")
    assert (done.retired, done.value) == (would.retired, "retracted")
    assert bank.constraint(constraint.id).status == "retired"
    assert bank.decisions(runs[0])[-1].reason == "a broken judge"
    assert constraint.id in bank.retract(*runs, actor="ada", restore=True).active
    assert bank.constraint(constraint.id) == constraint
    with pytest.raises(NotFound):
        bank.retract("run-nothing", actor="ada")


def test_sources_are_believed_as_somebody_decides(learned: World) -> None:
    """What came from one who is believed no more waits, until it is approved or he is again."""
    memory = learned.memory
    local = memory.bank.sources()
    assert local["local"] == "trusted"
    done = memory.bank.set_trust("local", "retracted", actor="ada", reason="a wrong folder")
    assert len(done.retired) == 3
    assert memory.bank.sources()["local"] == "retracted"
    assert memory.bank.constraints(status="active") == []
    assert len(memory.bank.set_trust("local", "untrusted", actor="ada").quarantined) == 3

    waiting = memory.bank.quarantine()
    assert len(waiting) == 3
    assert waiting[0].sources == {"local": "untrusted"}
    assert "untrusted sources only" in waiting[0].why
    first = waiting[0].constraint
    approved = memory.bank.approve(first.id, actor="ada", reason="looked at it")
    assert approved.status == "active"
    assert memory.bank.history(first.id)[-1].action == "approved"
    with pytest.raises(UsageError, match="only a quarantined one"):
        memory.bank.approve(first.id, actor="ada", reason="again")
    assert len(memory.bank.set_trust("local", "trusted", actor="ada").active) == 2
    assert memory.bank.quarantine() == []
    assert [one.value for one in memory.bank.decisions("local")][-3:] == [
        *("retracted", "untrusted", "trusted")
    ]
    with pytest.raises(NotFound, match="knows no source"):
        memory.bank.set_trust("nobody", "trusted", actor="ada")
