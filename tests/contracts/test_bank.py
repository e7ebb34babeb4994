"""What every bank does, whatever it is kept in."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contracts.bank_world import (
    MATHS,
    answer_to,
    by_first_word,
    contrast_of,
    exported,
    pair,
    recall_of,
    run,
    screened,
)

from memcollab.bank import Added, Bank, Merge, OpenRun, Pending, Screened, trust
from memcollab.errors import BankError, NotFound, UsageError
from memcollab.evidence import Tally
from memcollab.records import (
    Category,
    Constraint,
    Contrast,
    Outcome,
    Recall,
    Step,
    Support,
    Task,
    Trajectory,
    Usage,
    Verdict,
)


@pytest.fixture(params=["path", "url", "memory", "postgres"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """An empty bank of each kind."""
    if request.param == "postgres":
        with Bank.open(request.getfixturevalue("new_schema")()) as opened:
            yield opened
        return
    targets = {
        "path": tmp_path / "bank.db",
        "url": f"sqlite:///{tmp_path / 'bank.db'}",
        "memory": ":memory:",
    }
    with Bank.open(targets[request.param]) as opened:
        yield opened


def save_drafts(bank: Bank, drafts: Iterable[Screened]) -> None:
    """Store drafts, each with an answer to its contrast."""
    for entry in drafts:
        contrast = next(one for one in bank.contrasts() if one.id == entry.draft.contrast_id)
        bank.save_answer(answer_to(contrast), [entry])


def learn(bank: Bank, numbers: Sequence[int], words: str = "seats are in a ring") -> list[Contrast]:
    """Learn from one pair of runs per number; every draft says ``words`` and its number."""
    bank.add_trajectories(one for number in numbers for one in pair(number))
    contrasts = [contrast_of(number) for number in numbers]
    bank.save_contrasts(contrasts)
    for contrast, number in zip(contrasts, numbers, strict=True):
        bank.save_answer(answer_to(contrast), [screened(contrast, f"{words} {number}")])
    bank.merge(by_first_word)
    return contrasts


# ---- tasks and runs


def test_a_run_comes_back_as_it_went_in(bank: Bank) -> None:
    """Steps, tool calls, verdict, usage and origin of a run survive storage."""
    given = run(1, "gpt-4", True, usage=Usage(turns=9, output_tokens=5, cost_usd=0.25))
    bank.add_trajectories([given])
    assert bank.trajectory(given.id) == given
    assert next(bank.summaries()) == given.summary


def test_turns_that_nobody_counted_are_counted_in_the_summary_only(bank: Bank) -> None:
    """A run without a number of turns keeps none, and its summary counts its assistant messages."""
    given = run(1, "gpt-4", None)
    bank.add_trajectories([given])
    assert bank.trajectory(given.id).usage.turns is None
    assert next(bank.summaries()).turns == 2


def test_adding_again_changes_nothing(bank: Bank) -> None:
    """The same runs in another order, twice in one call or again, are stored once."""
    runs = [run(number, "gpt-4", True) for number in range(3)]
    assert bank.add_trajectories([*runs, runs[0]]) == (3, 1)
    before = exported(bank)
    assert bank.add_trajectories(reversed(runs)) == (0, 3)
    assert exported(bank) == before


def test_more_runs_than_one_transaction_takes_all_arrive(bank: Bank) -> None:
    """A stream longer than a batch is stored whole."""
    runs = [run(number, "gpt-4", True) for number in range(1201)]
    assert bank.add_trajectories(iter(runs)) == (1201, 0)
    assert {one.id for one in bank.summaries()} == {one.id for one in runs}


def test_summaries_can_be_asked_for_by_task(bank: Bank) -> None:
    """Only the runs on the given tasks are listed."""
    wanted, _ = pair(1)
    bank.add_trajectories([*pair(1), *pair(2)])
    assert {one.task_id for one in bank.summaries([wanted.task.id])} == {wanted.task.id}
    assert list(bank.summaries([])) == []


def test_a_bank_can_be_written_while_it_is_being_read(bank: Bank) -> None:
    """Storing during iteration neither waits nor disturbs it."""
    bank.add_trajectories(pair(1))
    for number, _summary in enumerate(bank.summaries()):
        bank.add_trajectories(pair(10 + number))
    assert len(list(bank.summaries())) == 6


def test_a_reader_sees_one_moment(bank: Bank) -> None:
    """What is committed while somebody reads is not in what is read, in no statement of it."""
    learn(bank, [1])
    before = exported(bank)
    stream = _Interrupted(lambda: learn(bank, [2], words="row"))
    bank.export(stream)
    assert stream.getvalue() == before
    assert exported(bank) != before


class _Interrupted(io.BytesIO):
    """A stream at whose first task something else happens."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self._happens: Callable[[], object] | None = happens

    def write(self, content: Any) -> int:
        if self._happens and b'"type":"task"' in content:
            happens, self._happens = self._happens, None
            happens()
        return super().write(content)


def test_a_task_takes_a_label_once(bank: Bank) -> None:
    """A task without a category takes the first one that comes, and keeps it."""
    bank.add_trajectories([run(2, "gpt-4", True, category=None)])
    (task,) = bank.tasks()
    assert list(bank.tasks(labelled=True)) == []
    assert bank.add_labelled_tasks([task.model_copy(update={"category": MATHS})]) == (0, 1)
    other = Category(name="programming")
    bank.add_labelled_tasks([task.model_copy(update={"category": other})])
    assert [one.category for one in bank.tasks(labelled=True)] == [MATHS]
    assert bank.task(task.id).category == MATHS


def test_a_known_run_may_bring_the_label_of_its_task(bank: Bank) -> None:
    """Reading the same runs again with a better mapping labels their tasks."""
    bare = run(2, "gpt-4", True, category=None)
    bank.add_trajectories([bare])
    labelled = bare.task.model_copy(update={"category": MATHS})
    assert bank.add_trajectories([bare.model_copy(update={"task": labelled})]) == (0, 1)
    assert bank.task(bare.task.id).category == MATHS


def test_tasks_can_be_asked_for_by_id(bank: Bank) -> None:
    """Ids that are not there are left out."""
    bank.add_labelled_tasks([Task(text="a"), Task(text="b")])
    wanted = Task(text="b").id
    assert [task.text for task in bank.tasks([wanted, "task-0"])] == ["b"]


def test_contrasts_are_asked_for_by_who_has_not_answered(bank: Bank) -> None:
    """An answer counts for its writer and prompt only."""
    bank.add_trajectories([*pair(1), *pair(2)])
    first, second = contrast_of(1), contrast_of(2)
    assert bank.save_contrasts([first, second, first]) == (2, 1)
    bank.save_answer(answer_to(first))
    assert bank.contrasts(unanswered=("gpt-5", {"prompt-1"})) == [second]
    assert len(bank.contrasts(unanswered=("gpt-5", {"prompt-2"}))) == 2
    assert len(bank.contrasts(unanswered=("claude", {"prompt-1"}))) == 2
    assert {one.id for one in bank.contrasts()} == {first.id, second.id}


def test_the_first_answer_of_a_writer_stays(bank: Bank) -> None:
    """A second answer to the same request by the same writer is not kept; another writer's is."""
    (contrast,) = learn(bank, [1])
    (learned,) = bank.answers()
    for writer, text in (("gpt-5", "first"), ("gpt-5", "second"), ("claude", "third")):
        bank.save_answer(answer_to(contrast, request="request-1", writer=writer, text=text))
    assert {one.text for one in bank.answers(writer="gpt-5")} == {"first", learned.text}
    assert {one.text for one in bank.answers(request_ids=["request-1"])} == {"first", "third"}
    assert bank.answers(writer="gpt-5", request_ids=["request-2"]) == []


def test_a_contrast_of_unknown_runs_is_refused(bank: Bank) -> None:
    """What refers to nothing is not stored, and the message says what to save first."""
    with pytest.raises(BankError, match="save tasks and runs before contrasts"):
        bank.save_contrasts([contrast_of(1)])
    assert bank.contrasts() == []


def test_drafts_wait_until_they_are_merged(bank: Bank) -> None:
    """Accepted drafts are pending with their task and families; refused ones are kept apart."""
    bank.add_trajectories(pair(1))
    contrast = contrast_of(1)
    bank.save_contrasts([contrast])
    good = screened(contrast, "seats are in a ring")
    bad = screened(contrast, "there are 7 guests", refusal="specifics")
    assert bank.save_answer(answer_to(contrast), [good, bad, good]) == (2, 1)
    (waiting,) = bank.pending()
    assert (waiting.draft, waiting.task_id) == (good.draft, contrast.task_id)
    assert (waiting.family_right, waiting.family_wrong) == ("gpt", "qwen")
    assert bank.refusals() == [bad]
    assert bank.refusals("too_long") == []
    assert bank.refusals(limit=0) == []


def test_drafts_say_what_became_of_them(bank: Bank) -> None:
    """Drafts come with the constraint they are in, by contrast and by writer."""
    first, second = learn(bank, [1, 2])
    bad = screened(second, "there are 7 guests", refusal="specifics")
    bank.save_answer(answer_to(second), [bad])
    (constraint,) = bank.constraints()
    drafts = bank.drafts([first.id], writer="gpt-5")
    assert drafts == [(screened(first, "seats are in a ring 1"), constraint.id)]
    assert (bad, None) in bank.drafts([second.id])
    assert len(bank.drafts()) == 3
    assert bank.drafts(writer="claude") == []


def test_merging_derives_support_and_logs_it(bank: Bank) -> None:
    """Drafts that join one constraint count as its tasks and contrasts; each change is a row."""
    learn(bank, [1, 2])
    (constraint,) = bank.constraints()
    expected = Support(tasks=2, contrasts=2, families_right=("gpt",), families_wrong=("qwen",))
    assert constraint.support == expected
    learn(bank, [3])
    (constraint,) = bank.constraints()
    assert constraint.support.tasks == 3
    history = bank.history(constraint.id)
    assert [(one.actor, one.action) for one in history] == [
        ("learn", "learned"),
        ("learn", "supported"),
    ]
    assert history[0].before is None
    assert history[1].before == history[0].after
    assert bank.verify().ok


def test_merging_says_what_it_did(bank: Bank) -> None:
    """New constraints, joined drafts and conflicts are counted."""
    bank.add_trajectories([*pair(1), *pair(2), *pair(3)])
    contrasts = [contrast_of(number) for number in (1, 2, 3)]
    bank.save_contrasts(contrasts)
    words = ("first a", "first b", "second c")
    save_drafts(bank, map(screened, contrasts, words))

    def plan(pending: Sequence[Pending], existing: Sequence[Constraint]) -> Merge:
        assigned = by_first_word(pending, existing).assigned
        first, second = sorted({constraint.id for constraint in assigned.values()})
        return Merge(assigned, [(second, first), (first, second)])

    merged = bank.merge(plan)
    assert (len(merged.new), merged.drafts, merged.joined, merged.conflicts) == (2, 3, 1, 1)
    assert bank.conflicts() == [tuple(sorted(merged.new))]
    assert bank.conflicts(merged.new[0]) == bank.conflicts()
    assert bank.pending() == []


def test_merging_nothing_asks_nobody(bank: Bank) -> None:
    """Without pending drafts the plan is not asked for and nothing changes."""
    learn(bank, [1])
    before = bank.sequence()

    def never(_pending: Sequence[Pending], _existing: Sequence[Constraint]) -> Merge:
        raise AssertionError("nothing was pending")

    assert bank.merge(never).drafts == 0
    assert bank.sequence() == before


def test_a_merge_that_fails_leaves_everything_pending(bank: Bank) -> None:
    """An error in the plan, or a plan for other drafts, changes nothing."""
    (contrast,) = learn(bank, [1])
    save_drafts(bank, [screened(contrast, "other words")])
    before = exported(bank)
    constraint = bank.constraints()[0]
    with pytest.raises(ValueError, match="not pending"):
        bank.merge(lambda _pending, _existing: Merge({"draft-0": constraint}))
    with pytest.raises(ZeroDivisionError):
        bank.merge(lambda _pending, _existing: 1 // 0)  # type: ignore[arg-type, return-value]
    assert exported(bank) == before


def test_a_merge_is_planned_again_if_the_bank_changed_meanwhile(bank: Bank) -> None:
    """Drafts that arrive while a merge is being planned are in the plan that is applied."""
    bank.add_trajectories([*pair(1), *pair(2)])
    contrasts = [contrast_of(number) for number in (1, 2)]
    bank.save_contrasts(contrasts)
    save_drafts(bank, [screened(contrasts[0], "first a")])
    asked = []

    def plan(pending: Sequence[Pending], existing: Sequence[Constraint]) -> Merge:
        asked.append(len(pending))
        if len(asked) == 1:
            save_drafts(bank, [screened(contrasts[1], "second b")])
        return by_first_word(pending, existing)

    assert bank.merge(plan).drafts == 2
    assert asked == [1, 2]


# ---- constraints


def test_constraints_are_filtered_and_paged(bank: Bank) -> None:
    """Every filter narrows; the best supported come first; pages do not overlap."""
    learn(bank, [1, 2, 3], words="ring")
    learn(bank, [4], words="50%_row")
    ring, row = bank.constraints()
    assert (ring.support.tasks, row.support.tasks) == (3, 1)
    assert bank.constraints(category="mathematics") == [ring, row]
    assert bank.constraints(category=MATHS, limit=1, offset=1) == [row]
    assert bank.constraints(category="mathematics/algebra") == []
    assert bank.constraints(text="RING") == [ring]
    assert bank.constraints(text="%_") == [row]
    assert bank.constraints(scope="harness") == bank.constraints(harness="table") == []
    assert bank.constraints(status="retired") == []
    with pytest.raises(UsageError, match="active, quarantined, retired"):
        bank.constraints(status="gone")
    with pytest.raises(UsageError, match="NAME or NAME/SUBCATEGORY"):
        bank.constraints(category="/counting")


def test_an_id_may_be_abbreviated(bank: Bank) -> None:
    """An unambiguous beginning of an id is enough; an ambiguous one is refused with candidates."""
    learn(bank, [1], words="ring")
    learn(bank, [2], words="row")
    first, _ = bank.constraints()
    assert bank.constraint(first.id[:12]) == bank.constraint(first.id) == first
    with pytest.raises(UsageError, match="more than one constraint: c-"):
        bank.constraint("c-")
    with pytest.raises(NotFound, match=r"no constraint 'c-%'.*memcollab bank list"):
        bank.constraint("c-%")
    with pytest.raises(NotFound, match="no trajectory"):
        bank.trajectory("run-zz")
    with pytest.raises(NotFound, match="no task"):
        bank.task("task-zz")


def test_a_constraint_leads_to_the_runs_it_came_from(bank: Bank) -> None:
    """Provenance gives draft, writer, contrast, task and both runs."""
    (contrast,) = learn(bank, [1])
    preferred, other = pair(1)
    (constraint,) = bank.constraints()
    provenance = bank.provenance(constraint.id)
    (source,) = provenance.sources
    assert provenance.constraint == constraint
    assert source.screened == screened(contrast, "seats are in a ring 1")
    assert (source.contrast, source.task) == (contrast, preferred.task)
    assert (source.preferred, source.other) == (preferred.summary, other.summary)


def test_a_status_changes_with_a_reason_and_stays(bank: Bank) -> None:
    """Who changed a status and why is logged; learning more does not undo it."""
    learn(bank, [1])
    (constraint,) = bank.constraints()
    changed = bank.set_status(constraint.id, "retired", actor="ada", reason="it is wrong")
    assert changed.status == "retired"
    again = bank.set_status(constraint.id, "retired", actor="bob")
    assert again == changed
    last = bank.history(constraint.id)[-1]
    assert (last.actor, last.action, last.reason) == ("ada", "retired", "it is wrong")
    learn(bank, [2])
    assert bank.constraint(constraint.id).status == "retired"
    assert bank.verify().ok
    with pytest.raises(UsageError, match="active, quarantined, retired"):
        bank.set_status(constraint.id, "deleted", actor="ada")  # type: ignore[arg-type]


def test_readers_refresh_by_sequence_number(bank: Bank) -> None:
    """Rows for the index carry their source tasks, and since a number only what changed after."""
    assert bank.index_rows() == (0, [])
    learn(bank, [1, 3], words="ring")
    learn(bank, [2], words="row")
    sequence, rows = bank.index_rows()
    assert sequence == bank.sequence() > 0
    by_word = {row.constraint.when.split()[0]: row for row in rows}
    tasks = [pair(number)[0].task.id for number in (1, 3)]
    assert by_word["ring"].task_ids == tuple(sorted(tasks))
    assert bank.index_rows(since=sequence).rows == []
    bank.set_status(by_word["row"].constraint.id, "retired", actor="ada")
    later = bank.index_rows(since=sequence)
    assert [row.constraint.status for row in later.rows] == ["retired"]
    assert len(later.rows[0].task_ids) == 1
    assert later.sequence == sequence + 1
    assert [change.action for change in bank.history(since=sequence)] == ["retired"]


# ---- recalls and outcomes


def test_a_recall_stays_as_it_was_given(bank: Bank) -> None:
    """A stored recall shows the constraints as they were then, whatever becomes of them."""
    learn(bank, [1])
    given = recall_of(1, bank.constraints())
    bank.save_recall(given)
    bank.set_status(given.entries[0].constraint.id, "retired", actor="ada")
    assert bank.recall(given.id) == given
    with pytest.raises(NotFound, match="no recall"):
        bank.recall("recall-f")
    with pytest.raises(BankError, match="already holds"):
        bank.save_recall(given)


def test_an_outcome_is_reported_once(bank: Bank) -> None:
    """A verdict follows an unjudged outcome, reporting it again is harmless, changing it is not."""
    given = recall_of(1, bank.constraints())
    bank.save_recall(given)
    unjudged = Outcome(recall_id=given.id, solved=None, detail="time-out")
    solved = Outcome(recall_id=given.id, solved=True, usage=Usage(turns=2))
    assert bank.save_outcome(unjudged)
    assert bank.save_outcome(solved)
    assert not bank.save_outcome(solved)
    with pytest.raises(UsageError, match="solved=True already"):
        bank.save_outcome(Outcome(recall_id=given.id, solved=False))
    (judged,) = bank.outcomes()
    assert (judged.recall, judged.outcome) == (given, solved)


def test_an_outcome_without_a_recall_is_refused(bank: Bank) -> None:
    """The error names the recall that is missing."""
    with pytest.raises(NotFound, match="recall-x"):
        bank.save_outcome(Outcome(recall_id="recall-x", solved=True))


# ---- runs that go on


def turn_of(
    recall: Recall, *said: str, asked_at: str, tokens: int = 1, source: str = ""
) -> OpenRun:
    """The run of ``recall`` when the agent had said so much."""
    return OpenRun(
        Trajectory(
            task=recall.task,
            agent=recall.agent,
            steps=tuple(Step(role="assistant", content=text) for text in said),
            verdict=Verdict(solved=None),
            usage=Usage(input_tokens=tokens),
            run=recall.id,
        ),
        asked_at,
        source,
    )


def test_a_run_that_goes_on_becomes_one_trajectory_with_its_verdict(bank: Bank) -> None:
    """The turn that was asked last stays, whichever is stored first; costs add up; what the
    reporter knows of the cost counts more; what comes after the verdict is left aside."""
    given = recall_of(1, bank.constraints())
    bank.save_recall(given)
    first = turn_of(given, "a", asked_at="2026-01-01T00:00:01")
    last = turn_of(given, "a", "b", asked_at="2026-01-01T00:00:02", tokens=2)
    assert bank.save_open_runs([last]) == {given.id}
    assert bank.save_open_runs([first]) == set()
    held = bank.open_run(given.id)
    assert held is not None
    assert (held.steps, held.usage.input_tokens) == (last.run.steps, 3)
    assert not list(bank.summaries())
    bank.save_outcome(Outcome(recall_id=given.id, solved=None))
    assert bank.stats().open_runs == 1
    for _ in range(2):
        bank.save_outcome(Outcome(recall_id=given.id, solved=True, usage=Usage(output_tokens=9)))
    late = turn_of(given, "a", "b", "c", asked_at="2026-01-01T00:00:03")
    assert bank.save_open_runs([late]) == set()
    (ended,) = bank.summaries()
    run = bank.trajectory(ended.id)
    assert (run.steps, run.verdict.solved, run.run) == (last.run.steps, True, given.id)
    assert (run.usage.input_tokens, run.usage.output_tokens) == (3, 9)
    assert bank.open_run(given.id) is None
    assert bank.verify().ok


def test_a_verdict_may_be_faster_than_the_run(bank: Bank) -> None:
    """The run becomes a trajectory when it comes; one whose recall is unknown is refused."""
    given = recall_of(1, bank.constraints())
    with pytest.raises(BankError):
        bank.save_open_runs([turn_of(given, "a", asked_at="2026")])
    bank.save_recall(given)
    bank.save_outcome(Outcome(recall_id=given.id, solved=False))
    bank.save_open_runs([turn_of(given, "a", asked_at="2026")])
    assert [run.solved for run in bank.summaries()] == [False]


def test_a_run_is_believed_as_far_as_its_verdict(bank: Bank) -> None:
    """A reporter who is not trusted alone is the source of the run; one that was retracted brings
    nothing."""
    first, second = (recall_of(number, bank.constraints()) for number in (1, 2))
    bank.save_recalls([first, second])
    bank.save_open_runs([turn_of(each, "a", asked_at="2026") for each in (first, second)])
    bank.save_outcome(Outcome(recall_id=first.id, solved=True, source="ada"))
    assert bank.sources() == {"reporter:ada": "untrusted"}
    bank.set_trust("reporter:ada", "retracted", actor="bo")
    bank.save_outcome(Outcome(recall_id=second.id, solved=True, source="ada"))
    assert len(list(bank.summaries())) == 1
    assert bank.stats().open_runs == 1


def brought_by(bank: Bank, run: str) -> set[str]:
    with bank._reading() as connection:
        return set(trust.sources_of(connection, [run])[run])


@pytest.mark.parametrize(
    ("sender", "reporter", "source"),
    [
        *[("", "", "local"), ("", "bob", "reporter:bob"), ("ada", "", "reporter:ada")],
        *[("ada", "bob", "reporter:ada"), ("eve", "bob", "reporter:bob")],
        *[("eve", "", "reporter:eve"), ("ada", "mallory", None), ("mallory", "", None)],
    ],
)
def test_a_run_is_believed_as_far_as_who_sent_it_and_who_judged_it(
    bank: Bank, sender: str, reporter: str, source: str | None
) -> None:
    """Whoever of the two is trusted less has brought it: eve is trusted, of mallory nothing is
    taken. A later turn brings its own sender with it."""
    for name, value in (("eve", "trusted"), ("mallory", "retracted")):
        bank.add_trajectories(pair(9), source=f"reporter:{name}", trusted=False)
        bank.set_trust(f"reporter:{name}", value, actor="bo")  # type: ignore[arg-type]
    known = {run.id for run in bank.summaries()}
    given = recall_of(1, bank.constraints())
    bank.save_recall(given)
    bank.save_open_runs([turn_of(given, "a", asked_at="2026", source="somebody")])
    bank.save_open_runs([turn_of(given, "a", "b", asked_at="2027", source=sender)])
    bank.save_outcome(Outcome(recall_id=given.id, solved=True, source=reporter))
    made = [run.id for run in bank.summaries() if run.id not in known]
    assert [brought_by(bank, run) for run in made] == ([{source}] if source else [])
    assert bank.verify().ok


# ---- evidence


def held_out(number: int, shown: Sequence[Constraint], *, withheld: bool = False) -> Recall:
    """A recall whose coin of one half fell that way."""
    return Recall.model_validate(
        {**dict(recall_of(number, shown)), "withheld": withheld, "holdout": 0.5}
    )


def end(bank: Bank, recall: Recall, solved: bool | None, source: str = "") -> int:
    bank.save_recall(recall)
    return bank.save_outcome(Outcome(recall_id=recall.id, solved=solved, source=source))


def test_outcomes_are_counted_as_they_come(bank: Bank) -> None:
    """Shown and withheld, solved and failed, per category and per constraint; the number of
    outcomes is what readers refresh by."""
    learn(bank, [1])
    found = bank.constraints()
    assert bank.versions().outcomes == 0
    assert end(bank, held_out(1, found), True) == 1
    assert end(bank, held_out(2, found, withheld=True), False) == 2
    assert end(bank, recall_of(3), True) == 3
    cell, agent = found[0].id, "smollm2-135m"
    for cells, subject in (
        (bank.evidence().categories, "mathematics"),
        (bank.evidence().constraints, cell),
    ):
        ((stratum, tally),) = cells[subject, agent].items()
        assert (stratum.coin, stratum.holdout) == ("recall", 0.5)
        assert tally == Tally(shown_solved=1, withheld_failed=1)
    assert bank.versions() == (bank.sequence(), 3)
    assert bank.verify().ok


def test_a_verdict_takes_the_place_of_unjudged(bank: Bank) -> None:
    """What was counted as unjudged moves, also when somebody else brings the verdict."""
    learn(bank, [1])
    recall = held_out(1, bank.constraints())
    end(bank, recall, None, source="a client")
    assert bank.save_outcome(Outcome(recall_id=recall.id, solved=True)) == 2
    assert bank.save_outcome(Outcome(recall_id=recall.id, solved=True)) == 0
    tallies = [
        tally
        for cells in (bank.evidence().categories, bank.evidence().constraints)
        for strata in cells.values()
        for tally in strata.values()
    ]
    assert tallies == [Tally(shown_solved=1)] * 2
    assert bank.verify().ok


def test_evidence_is_derived_again_by_reindex_and_travels_with_outcomes(
    bank: Bank, tmp_path: Path
) -> None:
    """It is in an export only through recalls and outcomes, and another bank counts the same."""
    learn(bank, [1])
    for number, solved in enumerate((True, False, None, True)):
        end(bank, held_out(number, bank.constraints(), withheld=number > 1), solved)
    counted, content = bank.evidence(), exported(bank)
    assert b'"evidence"' not in content
    bank.reindex()
    assert bank.evidence() == counted
    with Bank.open(tmp_path / "other.db") as other:
        for _ in range(2):
            other.import_(io.BytesIO(content))
            assert other.evidence() == counted
        assert other.verify().ok


def test_runs_of_an_experiment_are_added_once(bank: Bank) -> None:
    """Recalls with outcomes that are here already are known, and count once."""
    learn(bank, [1])
    ended = [
        (held_out(number, bank.constraints()), Outcome(recall_id=recall_of(number).id, solved=True))
        for number in range(3)
    ]
    assert bank.add_outcomes(ended) == Added(3, 0)
    counted = bank.evidence()
    assert bank.add_outcomes(ended) == Added(0, 3)
    assert bank.evidence() == counted
    assert bank.verify().ok


def test_what_was_put_back_is_not_retired_again(bank: Bank) -> None:
    """Evidence retires a constraint once, with the reason in the log; who makes it active again
    has the last word."""
    learn(bank, [1])
    (found,) = bank.constraints()
    reasons = {found.id: "hurts in general: -20 points"}
    assert bank.retire(reasons, actor="evidence") == [found.id]
    change = bank.history(found.id)[-1]
    assert (change.actor, change.action, change.reason) == (
        "evidence",
        "retired",
        reasons[found.id],
    )
    assert bank.retire(reasons, actor="evidence") == []
    bank.set_status(found.id, "active", actor="ada")
    assert bank.retire(reasons, actor="evidence") == []
    assert bank.constraint(found.id).status == "active"
    assert bank.verify().ok


# ---- caches


def test_vectors_are_cached_by_text_and_embedder(bank: Bank) -> None:
    """A vector comes back for the same text and embedder, and is replaced by a later one."""
    texts = [f"text {number}" for number in range(700)]
    vectors = {text: np.full(4, number, np.float32) for number, text in enumerate(texts)}
    bank.save_vectors("wordllama", vectors)
    bank.save_vectors("wordllama", {"text 0": np.ones(4, np.float32)})
    found = bank.vectors("wordllama", [*texts, "unseen"])
    assert set(found) == set(texts)
    assert found["text 699"].dtype == np.float32
    assert found["text 699"].tolist() == [699.0] * 4
    assert found["text 0"].tolist() == [1.0] * 4
    assert bank.vectors("another", texts) == {}


def test_derived_data_is_kept_under_its_key_only(bank: Bank) -> None:
    """A cache of another key is not given out, and a new one takes its place."""
    bank.save_cache("classifier", "key-1", b"one")
    assert bank.cached("classifier", "key-1") == b"one"
    bank.save_cache("classifier", "key-2", b"two")
    assert bank.cached("classifier", "key-1") is None
    assert bank.cached("classifier", "key-2") == b"two"


def test_reindexing_drops_what_can_be_derived_and_nothing_else(bank: Bank) -> None:
    """Vectors and caches go; the export stays the same."""
    learn(bank, [1])
    before = exported(bank)
    bank.save_vectors("wordllama", {"a": np.ones(4, np.float32)})
    bank.save_cache("classifier", "key", b"one")
    assert bank.reindex() == 2
    assert bank.vectors("wordllama", ["a"]) == {}
    assert bank.cached("classifier", "key") is None
    assert exported(bank) == before


# ---- the bank as a whole


def test_statistics_count_what_is_there(bank: Bank) -> None:
    """Every count is by value, and the cost of distilling is added up."""
    (contrast, *_) = learn(bank, [1, 2])
    bank.add_trajectories([run(3, "gpt-4", None, category=None)])
    save_drafts(bank, [screened(contrast, "7 guests", refusal="specifics")])
    given = recall_of(1, bank.constraints())
    bank.save_recall(given)
    bank.save_outcome(Outcome(recall_id=given.id, solved=None))
    stats = bank.stats()
    assert (stats.tasks, stats.labelled_tasks, stats.trajectories) == (3, 2, 5)
    assert stats.by_verdict == {"unjudged": 1, "solved": 2, "not solved": 2}
    assert stats.by_family == {"gpt": 3, "qwen": 2}
    assert stats.contrasts == {"discordant": 2}
    assert (stats.answers_by_writer, stats.answers_by_tier) == ({"gpt-5": 2}, {"json": 2})
    assert (stats.drafts, stats.refused, stats.pending) == (3, {"specifics": 1}, 0)
    assert stats.by_category == {"mathematics/counting": 1}
    assert (stats.by_status, stats.by_scope) == ({"active": 1}, {"reasoning": 1})
    assert (stats.by_harness, stats.by_support) == ({"-": 1}, {"2": 1})
    assert (stats.recalls, stats.outcomes) == (1, {"unjudged": 1})
    assert stats.spent == Usage(output_tokens=20, cost_usd=1.0)
    assert stats.bytes_on_disk > 10_000


def test_an_empty_bank_is_sound_and_says_so(bank: Bank) -> None:
    """Counting, verifying and exporting need nothing to be there."""
    assert bank.verify().ok
    assert bank.stats().constraints == 0
    assert exported(bank).count(b"\n") == 1


def test_a_closed_bank_says_so(bank: Bank) -> None:
    """Using a bank after closing it is an error, closing it again is not."""
    bank.close()
    bank.close()
    with pytest.raises(BankError, match=r"is closed. Next: Bank.open"):
        bank.sequence()
    assert "closed" in repr(bank)


def test_however_many_writers_wait_readers_do_not(bank: Bank) -> None:
    """Threads that wait for their turn to write hold no connection, so who reads is answered."""
    learn(bank, range(2))
    given = [recall_of(number) for number in range(24)]
    bank.save_recalls(given)
    with ThreadPoolExecutor(len(given) + 1) as threads:
        with bank._writing():
            ended = [Outcome(recall_id=recall.id, solved=True) for recall in given]
            waiting = [threads.submit(bank.save_outcome, outcome) for outcome in ended]
            _, late = wait(waiting, timeout=0.3)
            assert len(late) == len(given)
            for ask in (bank.stats, bank.sequence, bank.versions, bank.index_rows):
                threads.submit(ask).result(timeout=10)
            assert not any(one.done() for one in waiting)
        assert sorted(one.result() for one in waiting) == list(range(1, len(given) + 1))
