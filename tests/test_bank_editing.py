"""Editing: a successor in other words, and nothing lost of what it supersedes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.contracts.bank_world import (
    answer_to,
    by_first_word,
    contrast_of,
    exported,
    pair,
    screened,
)

from memcollab.bank import Bank
from memcollab.errors import UsageError
from memcollab.records import Constraint


def learn(
    bank: Bank, number: int, words: str = "alpha seats", *, trusted: bool = True
) -> Constraint:
    """The constraint that a task's contrast is in after learning from it."""
    source = "local" if trusted else f"stranger-{number}"
    bank.add_trajectories(pair(number), source=source, trusted=trusted)
    contrast = contrast_of(number)
    bank.save_contrasts([contrast])
    bank.save_answer(answer_to(contrast), [screened(contrast, words)])
    bank.merge(by_first_word)
    (behind,) = [into for _, into in bank.drafts([contrast.id]) if into]
    return bank.constraint(behind)


@pytest.fixture
def bank(tmp_path: Path):
    with Bank.open(tmp_path / "team.db") as opened:
        yield opened


def test_an_edit_supersedes_and_takes_over_what_stands_behind(bank: Bank) -> None:
    """The successor has the support and the runs; the old one is retired, whole, and named."""
    learn(bank, 1)
    old = learn(bank, 2)
    assert old.support.tasks == 2
    new = bank.edit(old.id[:12], enforce="counting twice", actor="ada", reason="clearer")
    assert (new.when, new.enforce, new.avoid) == (old.when, "counting twice", old.avoid)
    assert (new.status, new.support) == ("active", old.support)
    gone = bank.constraint(old.id)
    assert (gone.status, gone.enforce, gone.support) == ("retired", old.enforce, old.support)

    before, after = bank.provenance(old.id), bank.provenance(new.id)
    assert {s.contrast.id for s in after.sources} == {s.contrast.id for s in before.sources}
    assert {s.screened.writer for s in after.sources} == {"ada"}
    last = bank.history(old.id)[-1]
    assert (last.action, last.actor, last.reason) == ("superseded", "ada", f"by {new.id}: clearer")
    first = bank.history(new.id)[0]
    assert (first.action, first.reason) == ("edited", f"supersedes {old.id}: clearer")
    assert bank.lineage(new.id) == bank.lineage(old.id) == [old.id, new.id]
    assert bank.verify().ok


def test_a_chain_of_edits_is_its_lineage(bank: Bank) -> None:
    """From any link the whole way is seen."""
    first = learn(bank, 1)
    second = bank.edit(first.id, avoid="guessing", actor="ada")
    third = bank.edit(second.id, when="seats are counted", actor="bob")
    chain = [first.id, second.id, third.id]
    assert [bank.lineage(id) for id in chain] == [chain] * 3
    assert [one.id for one in bank.constraints(status="active")] == [third.id]
    assert bank.verify().ok


def test_later_lessons_of_the_old_words_join_the_successor(bank: Bank) -> None:
    """The old words do not swallow what is learned after an edit."""
    old = learn(bank, 1)
    new = bank.edit(old.id, when="zeta seats", actor="ada")
    joined = learn(bank, 2)
    assert joined.id == new.id
    assert joined.support.tasks == 2
    bank.set_status(old.id, "active", actor="ada")
    assert learn(bank, 3).id == old.id  # somebody wants the old words again
    assert bank.verify().ok


def test_status_and_trust_pass_on(bank: Bank) -> None:
    """What waits for trust waits in other words too, and what was approved stays approved."""
    waits = learn(bank, 1, trusted=False)
    assert waits.status == "quarantined"
    waits = bank.edit(waits.id, enforce="counting twice", actor="ada")
    assert waits.status == "quarantined"
    bank.approve(waits.id, actor="ada", reason="looked at")
    approved = bank.edit(waits.id, enforce="counting thrice", actor="ada")
    assert approved.status == "active"
    bank.set_trust("stranger-1", "retracted", actor="ada")
    assert bank.constraint(approved.id).status == "retired"  # nothing stands behind it
    assert bank.verify().ok


def test_an_edit_is_undone_by_a_rollback_and_survives_an_export(bank: Bank, tmp_path: Path) -> None:
    """Going back brings the old words back; another bank knows the way from old to new."""
    old = learn(bank, 1)
    end = bank.sequence()
    new = bank.edit(old.id, when="zeta seats", actor="ada")
    content = exported(bank)
    with Bank.open(tmp_path / "other.db") as other:
        other.import_(io.BytesIO(content), trusted=True, source="team")
        assert other.lineage(new.id) == [old.id, new.id]
        assert other.constraint(old.id).status == "retired"
        assert exported(other) == content
        assert other.verify().ok

    bank.rollback(str(end), actor="ada")
    assert bank.constraint(old.id) == old
    assert bank.constraint(new.id).status == "retired"
    assert learn(bank, 2).id == old.id
    assert bank.verify().ok


def test_words_that_another_says_are_a_merge_by_hand(bank: Bank) -> None:
    """The other one gets the support of both."""
    one, other = learn(bank, 1), learn(bank, 2, "beta rows")
    words = {"when": other.when, "enforce": other.enforce, "avoid": other.avoid}
    both = bank.edit(one.id, **words, actor="ada")
    assert both.id == other.id
    assert both.support.tasks == 2
    assert bank.history(other.id)[-1].reason == f"supersedes {one.id}"
    assert bank.verify().ok


def test_what_cannot_be_edited_is_said(bank: Bank) -> None:
    """No change, a retired one; nothing is written."""
    old = learn(bank, 1)
    end = bank.sequence()
    with pytest.raises(UsageError, match="changes nothing"):
        bank.edit(old.id, when=old.when, actor="ada")
    assert bank.sequence() == end
    bank.edit(old.id, enforce="counting twice", actor="ada")
    with pytest.raises(UsageError, match="retired"):
        bank.edit(old.id, enforce="counting thrice", actor="ada")
