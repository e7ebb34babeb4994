"""Leafing through a bank, whatever it is kept in: pages, counts, who taught whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contracts.bank_world import (
    answer_to,
    by_first_word,
    contrast_of,
    pair,
    recall_of,
    screened,
)
from tests.serving import service_over, serving

from memcollab import MemCollab
from memcollab.bank import Bank
from memcollab.collab import remote
from memcollab.errors import NotFound
from memcollab.records import Outcome

WORDS = ["ring one", "row two", "stack three", "ring four", "line five"]


@pytest.fixture(params=["path", "postgres"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """A bank of each kind that holds five contrasts: four constraints, of which one stands on two,
    and three refused drafts."""
    postgres = request.param == "postgres"
    target = request.getfixturevalue("new_schema")() if postgres else tmp_path / "bank.db"
    with Bank.open(target) as opened:
        fill(opened)
        yield opened


def fill(bank: Bank) -> None:
    bank.add_trajectories(one for number in range(7) for one in pair(number))
    contrasts = [contrast_of(number) for number in range(7)]
    bank.save_contrasts(contrasts)
    for contrast, words in zip(contrasts, WORDS, strict=False):
        bank.save_answer(answer_to(contrast), [screened(contrast, words)])
    for number, reason in enumerate(["leak", "form", "form"]):
        draft = screened(contrasts[5], f"refused {number}", reason)
        bank.save_answer(answer_to(contrasts[5], request=f"again {number}"), [draft])
    bank.merge(by_first_word)


def paged(page: Callable[[Any], list[Any]], place: Callable[[Any], Any], limit: int) -> list[Any]:
    """All that pages of ``limit`` give, one behind the other."""
    met: list[Any] = []
    while found := page(place(met[-1]) if met else None):
        assert len(found) <= limit
        met += found
    return met


def test_contrasts_come_in_pages_each_once(bank: Bank) -> None:
    """With their task, both runs and the constraints that were drawn from them."""
    found = paged(
        lambda after: bank.paired(after=after, limit=2), lambda last: last.contrast.id, limit=2
    )
    assert [each.contrast for each in found] == bank.contrasts()
    for each in found:
        assert each.task == bank.task(each.contrast.task_id)
        assert each.preferred.id == each.contrast.preferred
        assert (each.preferred.solved, each.other.solved) == (True, False)
    drawn = {each.contrast.id: each.constraints for each in found}
    assert drawn[contrast_of(0).id] == drawn[contrast_of(3).id] != ()
    assert drawn[contrast_of(5).id] == drawn[contrast_of(6).id] == ()


def test_contrasts_can_be_chosen(bank: Bank) -> None:
    """By kind, and by whether anything was learned from them."""
    assert len(bank.paired(kind="discordant")) == 7
    assert bank.paired(kind="efficiency") == []
    assert {each.contrast.id for each in bank.paired(learned=True)} == {
        contrast_of(number).id for number in range(5)
    }


def test_one_contrast_is_found_by_the_beginning_of_its_id(bank: Bank) -> None:
    """As everything in a bank is; what is not there is said."""
    wanted = contrast_of(3)
    assert bank.contrast(wanted.id[:-3]).contrast == wanted
    with pytest.raises(NotFound, match="no contrast 'contrast-none'"):
        bank.contrast("contrast-none")


def test_refused_drafts_come_in_pages_each_once(bank: Bank) -> None:
    """By reason; those of one reason alone, too."""
    found = paged(
        lambda after: bank.refused(after=after, limit=1),
        lambda last: (last.screened.refusal.reason, last.id),
        limit=1,
    )
    assert [each.screened for each in found] == bank.refusals()
    assert [each.id for each in found] == [each.screened.draft.id for each in found]
    assert [each.screened for each in bank.refused("form")] == bank.refusals("form")


def test_whose_runs_taught_whom_is_counted_in_constraints(bank: Bank) -> None:
    """Two drafts of one constraint count once, retracted ones not at all."""
    right, wrong = pair(0)
    (found,) = bank.taught()
    assert (found.preferred, found.other) == (right.agent.model, wrong.agent.model)
    assert found.constraints == 4
    bank.retract(contrast_of(1).id, actor="ada")
    assert bank.taught()[0].constraints == 3
    for number in range(5):
        bank.retract(contrast_of(number).id, actor="ada")
    assert bank.taught() == []


def test_constraints_are_chosen_and_counted_by_support_and_agent(bank: Bank) -> None:
    """An agent's are those that its runs are behind, on either side, or its outcomes speak of."""
    right, wrong = pair(0)
    every = bank.constraints()
    assert bank.count_constraints() == len(every) == 4
    assert bank.constraints(support=2) == every[:1]
    assert bank.count_constraints(support=2, text="RING") == 1
    for agent in (right.agent.model, wrong.agent.model):
        assert bank.constraints(agent=agent) == every
    assert bank.count_constraints(agent="smollm2-135m") == 0
    bank.add_outcomes([(recall_of(1, every[1:3]), Outcome(recall_id=recall_of(1).id, solved=True))])
    assert bank.constraints(agent="smollm2-135m") == every[1:3]
    assert bank.count_constraints(agent="smollm2-135m", support=2) == 0
    assert bank.agents() == tuple(sorted({right.agent.model, wrong.agent.model, "smollm2-135m"}))


def test_the_teachers_are_known_of_what_outcomes_speak_of(bank: Bank) -> None:
    """And of nothing else, however many constraints there are."""
    assert bank.teachers() == {}
    shown = bank.constraints()[:2]
    bank.add_outcomes([(recall_of(1, shown), Outcome(recall_id=recall_of(1).id, solved=False))])
    model = pair(0)[0].agent.model
    assert bank.teachers() == {each.id: frozenset({model}) for each in shown}


def test_the_quarantine_comes_in_pages(bank: Bank) -> None:
    """Each waiting constraint once, with why it waits."""
    for each in bank.constraints():
        bank.set_status(each.id, "quarantined", actor="ada")
    found = paged(
        lambda after: bank.quarantine(after=after, limit=3),
        lambda last: (
            last.constraint.support.tasks,
            last.constraint.support.contrasts,
            last.constraint.id,
        ),
        limit=3,
    )
    assert found == bank.quarantine()
    assert len(found) == 4


def test_a_served_bank_is_read_whole_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constraints, quarantine, refusals and both logs over a URL are those of the bank, however
    little a page holds; the last of a log are asked for alone."""
    monkeypatch.setattr(remote, "_PAGE", 1)
    with Bank.open(tmp_path / "bank.db") as bank:
        fill(bank)
        for each in bank.constraints()[1:]:
            bank.set_status(each.id, "quarantined", actor="ada")
        for trusted in ("untrusted", "trusted"):
            bank.set_trust("local", trusted, actor="ada")
        model = pair(0)[0].agent.model
        with serving(service_over(tmp_path / "bank.db")) as url, MemCollab(url) as memory:
            served = memory.bank
            assert served.constraints() == bank.constraints()
            assert served.constraints(agent=model, support=2) == bank.constraints()[:1]
            assert served.quarantine() == bank.quarantine()
            assert served.refusals() == bank.refusals()
            assert served.refusals("form", limit=1) == bank.refusals("form")[:1]
            assert served.history() == bank.history()
            assert served.history(since=3) == bank.history(since=3)
            assert served.decisions() == bank.decisions()
            assert served.decisions("local") == bank.decisions("local")
            assert len(served.history()) > 3
            assert len(served.decisions()) > 2
            log = httpx.get(f"{url}/v1/log", params={"limit": 2}).json()
        assert [each["sequence"] for each in log["changes"]] == [
            each.sequence for each in bank.history()[-2:]
        ]
        assert [each["value"] for each in log["decisions"]] == ["untrusted", "trusted"]
        assert bank.last_changes(1, since=2) == bank.history()[-1:]
        assert bank.last_decisions(1) == bank.decisions()[-1:]


def test_the_log_can_be_asked_for_what_one_did(bank: Bank) -> None:
    """The changes of one actor, in their order."""
    first, second = bank.constraints()[:2]
    bank.set_status(first.id, "retired", actor="ada")
    bank.set_status(second.id, "retired", actor="bob")
    assert [each.constraint_id for each in bank.history(actor="ada")] == [first.id]
    assert len(bank.history()) == 6
