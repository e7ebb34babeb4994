"""A red team that reports outcomes: thousands of them, to promote a poison or to bury a helper.

The bank is a real one, the attacker has the doors that a client has: recall, and report how it
ended. An attack succeeds if a recall of somebody else shows what it would not have shown, or no
longer shows what it did. What is not covered stands in design/threats.md.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest

from memcollab import Agent, MemCollab, Outcome, Recall, Recipe
from memcollab.errors import UsageError
from memcollab.evidence import Rules
from memcollab.records import Category, Constraint, RecallEntry

FILED = "programming"
TASK = "Sort the kites of a list by length and name the first."
VICTIM, OTHER = Agent(model="owl-7b"), Agent(model="crow-7b")
LIMIT = 2
NUMBERS = count()


def constraint(name: str) -> Constraint:
    return Constraint(
        when="a list is sorted",
        enforce=f"the way of the {name}",
        avoid="any other way",
        category=Category(name=FILED),
    )


NAMES = ("helper", "poison", "bystander", "newcomer")
IDS = {name: constraint(name).id for name in NAMES}
# New constraints get their chances, and hardly a recall is withheld.
RULES = Rules(relevance_step=1.0, holdout=1e-9, holdout_start=1e-9)
RECIPE = Recipe(
    name="red-team",
    min_score=0,
    max_overlap=1,
    screen=False,
    limit=LIMIT,
    evidence=RULES,
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[MemCollab]:
    """A bank in which the owner's own outcomes have shown who helps and who does not."""
    with MemCollab(tmp_path / "bank.db", recipe=RECIPE) as opened:
        stream = io.BytesIO()
        opened.bank.export(stream)
        lines = [
            json.dumps({"type": "constraint", "id": each.id, **each.model_dump(mode="json")})
            for each in map(constraint, NAMES)
        ]
        opened.import_(io.BytesIO(stream.getvalue() + "\n".join(lines).encode()), trusted=True)
        for name, shown in (("helper", 0.7), ("poison", 0.3), ("bystander", 0.5)):
            report(opened, name, shown, 0.5, n=300)
        yield opened


def report(
    memory: MemCollab,
    name: str,
    shown: float,
    withheld: float,
    *,
    n: int,
    source: str = "",
    agents: Iterable[Agent] = (VICTIM,),
    holdout: float = 0.5,
) -> None:
    """``n`` outcomes on either side of a coin, reported by ``source``."""
    found = memory.recall(TASK, category=FILED, store=False)
    entry = RecallEntry(constraint=constraint(name), score=1.0, parts={}, reason="")
    for agent in agents:
        for side, share in ((False, shown), (True, withheld)):
            if side and not holdout:
                continue
            memory.bank.add_outcomes(
                ended(found, agent, entry, share, side, n, source, holdout),
            )


def ended(
    found: Recall,
    agent: Agent,
    entry: RecallEntry,
    share: float,
    side: bool,
    n: int,
    source: str,
    holdout: float,
) -> Iterator[tuple[Recall, Outcome]]:
    for number in range(n):
        recall = found.model_copy(
            update={
                "id": f"recall-{next(NUMBERS):020x}",
                "agent": agent,
                "entries": (entry,),
                "abstained": None,
                "withheld": side,
                "holdout": holdout,
            }
        )
        right = number < round(share * n)
        yield recall, Outcome(recall_id=recall.id, solved=right, source=source)


def shown(memory: MemCollab, agent: Agent = VICTIM) -> tuple[str, ...]:
    """What a new reader of the bank is shown; with room for all that the rules let through."""
    with MemCollab(memory.bank.path, recipe=RECIPE) as reader:
        recall = reader.recall(TASK, agent=agent, category=FILED, limit=4)
    return tuple(name for name in NAMES if IDS[name] in recall.shown)


def test_the_bank_knows_before_the_attack(memory: MemCollab) -> None:
    """The owner's outcomes show the helper, and keep the poison away."""
    assert "helper" in shown(memory)
    assert "poison" not in shown(memory)


def test_outcomes_without_a_coin_promote_nothing(memory: MemCollab) -> None:
    """3,000 successes after the poison was shown, where nothing was ever withheld: no evidence."""
    before = shown(memory)
    report(memory, "poison", 1.0, 0.0, n=3000, holdout=0.0)
    assert shown(memory) == before


def test_a_recall_has_one_verdict(memory: MemCollab) -> None:
    """Reporting one recall a thousand times counts once, and its verdict cannot be turned."""
    recall = memory.recall(TASK, agent=VICTIM, category=FILED)
    memory.record_outcome(recall, solved=None)
    memory.record_outcome(recall, solved=False, source="client")
    counted, outcomes = memory.bank.evidence(), memory.bank.versions().outcomes
    for _ in range(1000):
        memory.record_outcome(recall, solved=False, source="client")
    with pytest.raises(UsageError, match="already"):
        memory.record_outcome(recall, solved=True, source="client")
    assert memory.bank.evidence() == counted
    assert memory.bank.versions().outcomes == outcomes


@pytest.mark.parametrize("n", [50, 3000])
def test_one_source_cannot_promote_a_poison(memory: MemCollab, n: int) -> None:
    """A client that always succeeds with the poison and fails without moves nothing, however often
    it reports, beside the owner's word and for an agent of whom nobody else has spoken."""
    before = {agent.model: shown(memory, agent) for agent in (VICTIM, OTHER)}
    report(memory, "poison", 1.0, 0.0, n=n, source="mallory", agents=(VICTIM, OTHER))
    assert shown(memory) == before[VICTIM.model]
    assert memory.effects(IDS["poison"])[0].says != "helps"
    known = {each.agent: each.says for each in memory.effects(IDS["poison"])}
    assert known[OTHER.model] == "not known"


@pytest.mark.parametrize("n", [50, 3000])
def test_one_source_cannot_bury_a_helper(memory: MemCollab, n: int) -> None:
    """A client that always fails with the helper does not get it left out, retired, or the category
    silenced."""
    report(memory, "helper", 0.0, 1.0, n=n, source="mallory", agents=(VICTIM, OTHER))
    while memory.bank.versions().outcomes % 50:
        recall = memory.recall(TASK, agent=OTHER, category=FILED)
        memory.record_outcome(recall, solved=True, source="mallory")
    assert "helper" in shown(memory)
    assert memory.evidence().retired == {}
    assert memory.bank.constraint(IDS["helper"]).status == "active"
    for agent in (VICTIM, OTHER):
        assert memory.recall(TASK, agent=agent, category=FILED, store=False).abstained is None


def test_one_source_cannot_use_up_a_first_chance(memory: MemCollab) -> None:
    """3,000 outcomes that show no effect leave a new constraint as new as it was."""
    assert "newcomer" in shown(memory)
    report(memory, "newcomer", 0.5, 0.5, n=3000, source="mallory")
    assert "newcomer" in shown(memory)
    assert memory.effects(IDS["newcomer"])[0].shown == 0


def test_many_sources_are_believed(memory: MemCollab) -> None:
    """The measure is not deaf: three clients that agree are heard. So are three names of one
    attacker: names must be given out, not chosen (design/threats.md)."""
    for name in ("ada", "bob", "eve"):
        report(memory, "newcomer", 0.9, 0.3, n=400, source=name)
    known = {each.agent: each.says for each in memory.effects(IDS["newcomer"])}
    assert known[VICTIM.model] == "helps"


def test_one_source_against_another_leaves_nothing_known(memory: MemCollab) -> None:
    """Where the owner has said nothing, an attacker cannot turn what one honest client found out
    into its opposite. It can make it unknown: the constraint is as good as new."""
    report(memory, "newcomer", 0.9, 0.3, n=400, source="ada")
    report(memory, "newcomer", 0.0, 1.0, n=3000, source="mallory")
    assert {each.says for each in memory.effects(IDS["newcomer"])} == {"not known"}
    assert "newcomer" in shown(memory)
