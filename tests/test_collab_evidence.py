"""Outcomes at work through the public door: coins, what follows from them, and what they prove."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from memcollab import Agent, MemCollab, Recall, Recipe, Usage
from memcollab.bank import Bank
from memcollab.cli import main
from memcollab.collab import serving
from memcollab.errors import NotFound, UsageError
from memcollab.evidence import Rules
from memcollab.guide import write_guidance
from memcollab.records import Category, Constraint, Outcome, RecallEntry

REPOSITORY = Path(__file__).resolve().parent.parent
FILED = "counting_and_probability"
TASK = "In how many ways can seven guests sit around a round table?"
WORDS = {
    "seats": ("seats stand in a ring", "fixing one seat first", "counting turns as different"),
    "pairs": ("pairs are drawn without order", "dividing by two", "counting each pair twice"),
    "none": ("at least one is asked for", "counting the complement", "adding up every case"),
    "dice": ("several dice are thrown", "a table of all outcomes", "equal weights for sums"),
}
OWL, CROW = Agent(model="owl-7b"), Agent(model="crow-7b")


def constraint(name: str) -> Constraint:
    when, enforce, avoid = WORDS[name]
    return Constraint(when=when, enforce=enforce, avoid=avoid, category=Category(name=FILED))


IDS = {name: constraint(name).id for name in WORDS}


def recipe(rules: Rules | None = None, **changes: object) -> Recipe:
    """Finds every constraint of the category, as equally relevant."""
    rules = rules or Rules(relevance_step=1.0)
    return Recipe.model_validate(
        {"name": "test", "min_score": 0, "max_overlap": 1, "evidence": rules, **changes}
    )


def fill(path: Path, names: Iterable[str] = WORDS) -> None:
    """A bank of these constraints."""
    with MemCollab(path) as memory:
        stream = io.BytesIO()
        memory.bank.export(stream)
        made = [constraint(name) for name in names]
        lines = [
            json.dumps({"type": "constraint", "id": one.id, **one.model_dump(mode="json")})
            for one in made
        ]
        memory.import_(io.BytesIO(stream.getvalue() + "\n".join(lines).encode()), trusted=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "bank.db")
    return tmp_path / "bank.db"


NUMBERS = count()


def ended(
    found: Recall, agent: Agent, names: Sequence[str], solved: float, *, withheld: bool, n: int
) -> Iterator[tuple[Recall, Outcome]]:
    """``n`` recalls of those constraints whose coin of one half fell that way, so many solved."""
    entries = tuple(
        RecallEntry(constraint=constraint(name), score=1.0, parts={}, reason="") for name in names
    )
    for number in range(n):
        recall = found.model_copy(
            update={
                "id": f"recall-{next(NUMBERS):020x}",
                "agent": agent,
                "entries": entries,
                "withheld": withheld,
                "holdout": 0.5,
                "abstained": None,
            }
        )
        cost = 0.004 if withheld else 0.003
        usage = Usage(turns=2, input_tokens=100 if withheld else 80, cost_usd=cost)
        right = number < round(solved * n)
        yield recall, Outcome(recall_id=recall.id, solved=right, usage=usage)


def tell(
    memory: MemCollab,
    agent: Agent,
    names: Sequence[str],
    shown: float,
    withheld: float,
    n: int = 500,
) -> None:
    """Outcomes by which those constraints, found together, lead to these shares solved."""
    found = memory.recall(TASK, category=FILED, store=False)
    for side, solved in ((False, shown), (True, withheld)):
        memory.bank.add_outcomes(ended(found, agent, names, solved, withheld=side, n=n))


def given(recall: Recall) -> tuple[object, ...]:
    """What a recall gives, without its name and its timings."""
    return recall.entries, recall.guidance, recall.abstained, recall.withheld, recall.left


def recalled(memory: MemCollab, agent: Agent = OWL, **options: object) -> Recall:
    return memory.recall(TASK, agent=agent, category=FILED, **options)  # type: ignore[arg-type]


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints, its lines joined."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["memcollab", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as left:
            main()
    assert not left.value.code
    return " ".join(capsys.readouterr().out.split())


# ---- without evidence


def test_without_outcomes_recall_is_what_it_was(path: Path) -> None:
    """With no outcomes, and with outcomes that no coin makes comparable, recall gives what it
    gives where outcomes decide nothing."""
    method = recipe()
    with (
        MemCollab(path, recipe=method.model_copy(update={"evidence": None})) as without,
        MemCollab(path, recipe=method) as memory,
        MemCollab(path, recipe=method, holdout=0.1) as curious,
    ):
        before = recalled(without)
        assert len(before.entries) == 3
        assert given(recalled(memory)) == given(before)
        assert given(recalled(curious, store=False)) == given(before)
        for number in range(120):
            memory.record_outcome(recalled(memory), solved=number % 2 == 0)
        assert given(recalled(memory)) == given(before)
        assert memory.evidence().compared == 0
    with MemCollab(path, recipe=method) as fresh:
        assert given(recalled(fresh)) == given(before)


def test_the_recipes_of_the_paper_use_no_evidence(path: Path) -> None:
    """Whatever the outcomes say, they recall as the paper does; a holdout for them is refused."""
    with MemCollab(path, recipe="paper-v1") as paper:
        before = given(recalled(paper))
        tell(paper, OWL, ["seats"], 0.1, 0.9)
    for name in ("paper-v1", "paper-v2"):
        with MemCollab(path, recipe=name) as paper:
            assert given(recalled(paper)) == before
        with pytest.raises(UsageError, match=r"holdout is 0\.1, and outcomes decide nothing"):
            MemCollab(path, recipe=name, holdout=0.1)


# ---- coins


def test_coins_withhold_what_was_found(path: Path) -> None:
    """About half of the recalls, and of the entries of those shown, are withheld at first; the
    recall is stored with the coins, and gives the text of what is shown and of nothing else."""
    with MemCollab(path, recipe=recipe(), holdout=0.1) as memory:
        recalls = [recalled(memory) for _ in range(200)]
        assert [memory.bank.recall(each.id) for each in recalls[:20]] == recalls[:20]
    withheld = [each for each in recalls if each.withheld]
    shown = [each for each in recalls if not each.withheld]
    assert 60 < len(withheld) < 140
    assert all(
        (each.guidance, each.guidance_tokens, each.shown) == ("", 0, ()) for each in withheld
    )
    assert all(len(each.entries) == 3 and each.holdout == 0.5 for each in recalls)
    left_out = sum(len(each.entries) - len(each.shown) for each in shown)
    assert 0.35 < left_out / (3 * len(shown)) < 0.65
    for each in shown:
        of_shown = [entry.constraint for entry in each.entries if entry.shown]
        assert each.guidance == write_guidance(of_shown, 400).text
        assert all(entry.holdout == 0.5 for entry in each.entries)


def test_no_coin_is_thrown_where_no_outcome_can_follow(path: Path) -> None:
    """A recall that is not stored shows all it finds."""
    with MemCollab(path, recipe=recipe(), holdout=0.4, holdout_start=0.9) as memory:
        assert {len(recalled(memory, store=False).shown) for _ in range(40)} == {3}


def test_the_budget_is_spent_before_the_coins(path: Path) -> None:
    """What does not fit into the guidance was not found for evidence: a coin makes no room."""
    two = write_guidance([constraint("seats"), constraint("pairs")], 400).tokens + 5
    with MemCollab(path, recipe=recipe(guidance_tokens=two), holdout=0.1) as memory:
        fitting = {entry.constraint.id for entry in recalled(memory, store=False).entries}
        assert len(fitting) == 2
        for _ in range(40):
            assert {entry.constraint.id for entry in recalled(memory).entries} == fitting


def test_coins_grow_rarer_with_what_is_known(path: Path) -> None:
    """From holdout_start down to holdout, halved every so many outcomes."""
    with MemCollab(path, recipe=recipe(), holdout=0.1) as memory:
        tell(memory, OWL, ["seats", "pairs", "none"], 0.6, 0.5)
        assert recalled(memory).holdout == 0.1
        assert recalled(memory, CROW).holdout == 0.5


@pytest.mark.parametrize("holdout", [-0.1, 0.6, 1.0])
def test_a_holdout_that_cannot_be_is_refused(holdout: float) -> None:
    """Above where the coins start, below 0, or always."""
    with pytest.raises(UsageError, match=r"Next: holdout=0\.1"):
        MemCollab("absent.db", holdout=holdout)


# ---- what follows from it


def test_what_hurts_an_agent_is_left_out_for_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the numbers in the recall and in `bank show`; another agent still gets it,
    ranked by its uplift, with the reason."""
    with MemCollab(path, recipe=recipe()) as memory:
        # A category that helps all in all, and one constraint in it that does not.
        tell(memory, OWL, ["pairs"], 0.9, 0.4)
        tell(memory, OWL, ["seats"], 0.3, 0.6, n=400)
        tell(memory, CROW, ["seats"], 0.8, 0.4)
        mine, theirs = recalled(memory), recalled(memory, CROW)
    assert mine.abstained is None
    assert IDS["seats"] not in mine.shown
    assert mine.left[IDS["seats"]].startswith("hurts 'owl-7b': -30.0 points [")
    (reason,) = (each.reason for each in theirs.entries if each.constraint.id == IDS["seats"])
    assert "uplift for 'crow-7b': +" in reason
    said = printed(capsys, "bank", "show", IDS["seats"], "--bank", path)
    assert "owl-7b hurts -30.0 -" in said
    assert "crow-7b helps +40.0 +" in said
    assert "400 400 0" in said
    again = json.loads(printed(capsys, "bank", "show", IDS["seats"], "--bank", path, "--json"))
    assert {each["agent"]: each["says"] for each in again["evidence"]}["owl-7b"] == "hurts"
    task = "Seats stand in a ring for seven guests. In how many ways can they be taken?"
    where = ("--bank", path, "--agent", "owl-7b", "--category", FILED)
    told = printed(capsys, "recall", task, *where)
    assert f"not shown: {IDS['seats']}, hurts 'owl-7b': -30.0 points" in told


def test_what_hurts_in_general_is_retired(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By whoever reports the outcome that makes the number full; the log says why, other readers
    lose it at once, and it stays active once somebody has put it back."""
    with MemCollab(path, recipe=recipe()) as memory, MemCollab(path, recipe=recipe()) as reader:
        assert IDS["seats"] in {each.constraint.id for each in recalled(reader, limit=4).entries}
        for agent in (OWL, CROW):
            tell(memory, agent, ["seats"], 0.2, 0.6)
        report = memory.evidence()
        assert report.retired == {}
        while memory.bank.versions().outcomes % 50 != 49:
            memory.record_outcome(recalled(memory, CROW, limit=1), solved=True)
        assert memory.bank.constraint(IDS["seats"]).status == "active"
        memory.record_outcome(recalled(memory, CROW, limit=1), solved=True)
        assert memory.bank.constraint(IDS["seats"]).status == "retired"
        change = memory.bank.history(IDS["seats"])[-1]
        assert change.actor == "evidence"
        assert str(change.reason).startswith("hurts in general: -40.0 points [")
        assert memory.evidence().retired == {IDS["seats"]: change.reason}
        shown = recalled(reader, limit=4)
        assert IDS["seats"] not in {each.constraint.id for each in shown.entries}
        memory.bank.set_status(IDS["seats"], "active", actor="ada")
        for _ in range(50):
            memory.record_outcome(recalled(memory, CROW, limit=1), solved=True)
        assert memory.bank.constraint(IDS["seats"]).status == "active"
    assert "retired by evidence: hurts in general" in printed(
        capsys, "bank", "show", IDS["seats"], "--bank", path
    )


def test_recall_abstains_where_memory_hurts(path: Path) -> None:
    """For that agent in that category, with the numbers; others are served."""
    with MemCollab(path, recipe=recipe()) as memory:
        tell(memory, OWL, ["seats", "pairs", "none"], 0.3, 0.6)
        tell(memory, CROW, ["seats", "pairs", "none"], 0.6, 0.5)
        hurt, other = recalled(memory), recalled(memory, CROW)
    assert (hurt.entries, hurt.guidance) == ((), "")
    assert str(hurt.abstained).startswith(f"memory hurts 'owl-7b' in {FILED!r}: -30.0 points [")
    assert other.shown


def test_guidance_that_has_to_be_proven_waits_for_its_proof(path: Path) -> None:
    """Under ``proven`` nothing is shown before outcomes have proven that it helps, and then to that
    agent only; the abstention says what is missing."""
    with MemCollab(path, recipe=recipe(Rules(relevance_step=1.0, proven=True))) as memory:
        before = recalled(memory)
        tell(memory, OWL, ["seats", "pairs", "none"], 0.8, 0.4)
        tell(memory, CROW, ["seats", "pairs", "none"], 0.5, 0.5)
        helped, other = recalled(memory), recalled(memory, CROW)
    assert (before.entries, before.guidance) == ((), "")
    assert str(before.abstained).endswith("no outcomes with it and without were compared")
    assert helped.shown
    assert not other.shown
    assert str(other.abstained).startswith(f"memory is not proven to help {CROW.model!r}")


def test_what_is_unproven_is_tried_by_coins_that_are_stored(path: Path) -> None:
    """With a holdout, a recall that is stored may show it; one that is not stored shows nothing,
    because nobody would learn from it."""
    rules = Rules(relevance_step=1.0, proven=True, holdout=0.1)
    with MemCollab(path, recipe=recipe(rules)) as memory:
        stored = [recalled(memory) for _ in range(40)]
        looked = recalled(memory, store=False)
    assert {each.holdout for each in stored} == {0.5}
    assert {each.withheld for each in stored} == {True, False}
    assert looked.abstained
    assert not looked.shown


def test_new_constraints_get_a_first_chance(path: Path) -> None:
    """One that was never tried takes one place among known good ones, and the reason says so."""
    seldom = Rules(relevance_step=1.0, holdout=1e-9, holdout_start=1e-9)
    with MemCollab(path, recipe=recipe(seldom, limit=2)) as memory:
        for name in ("seats", "pairs", "none"):
            tell(memory, OWL, [name], 0.8, 0.5, n=300)
        recall = recalled(memory)
    assert IDS["dice"] in recall.shown
    assert len(recall.shown) == 2
    (reason,) = (each.reason for each in recall.entries if each.constraint.id == IDS["dice"])
    assert "new: 0 of 20 judged outcomes" in reason


def test_outcomes_of_other_processes_are_taken_in(path: Path) -> None:
    """A reader that recalled before sees them once enough have come."""
    with MemCollab(path, recipe=recipe()) as reader, MemCollab(path, recipe=recipe()) as other:
        assert IDS["seats"] in recalled(reader, limit=4).shown
        tell(other, OWL, ["pairs"], 0.9, 0.4)
        tell(other, OWL, ["seats"], 0.2, 0.6)
        assert IDS["seats"] not in recalled(reader, limit=4).shown


# ---- what it proves


def test_a_bank_that_knows_nothing_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without outcomes, and with outcomes but no coins, it says that nothing is known and what to
    do; unjudged outcomes stand apart."""
    with MemCollab(path, recipe=recipe()) as memory:
        first = memory.evidence()
        memory.record_outcome(recalled(memory), solved=True)
        memory.record_outcome(recalled(memory), solved=None)
        second = memory.evidence()
    assert first.summary.startswith("nothing is known yet")
    assert (second.judged, second.unjudged, second.compared) == (1, 1, 0)
    assert "none is of a recall with a coin" in second.summary
    for report in (first, second):
        assert "set holdout = 0.1" in report.following
        assert report.saving.tokens is None
    said = printed(capsys, "evidence", "--bank", path)
    assert "nothing is known yet: of 1 judged outcomes" in said
    assert "Next: set holdout = 0.1" in said
    with MemCollab(path) as memory, pytest.raises(NotFound):
        memory.effects("c-nobody")


def test_evidence_says_whom_memory_helps_and_what_it_saves(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Claims with intervals, by category and by constraint, and the tokens of a task shown less
    withheld."""
    with MemCollab(path, recipe=recipe()) as memory:
        tell(memory, OWL, ["seats"], 0.8, 0.4)
        tell(memory, CROW, ["pairs"], 0.3, 0.6)
        report = memory.evidence()
        (overall, *by_agent) = memory.effects(IDS["seats"][:8])
    assert f"memory helps 'owl-7b' in {FILED!r}" in report.summary
    assert f"memory hurts 'crow-7b' in {FILED!r}" in report.summary
    assert (report.judged, report.unjudged, report.compared) == (2000, 0, 2000)
    (helped,) = (each for each in report.categories if each.agent == "owl-7b")
    assert helped.uplift == pytest.approx(0.4)
    assert helped.low is not None
    assert 0 < helped.low < 0.4
    assert helped.confidence >= 0.95
    assert (helped.shown, helped.withheld) == (500, 500)
    assert (overall.agent, [each.agent for each in by_agent]) == (None, ["owl-7b"])
    assert by_agent[0].says == overall.says == "helps"
    assert report.saving.tokens == pytest.approx(-20)
    assert report.saving.turns == 0
    assert report.saving.cost_usd == pytest.approx(-0.001)
    assert report.break_even is None
    paid = report.model_copy(update={"spent": Usage(input_tokens=1010)})
    assert paid.break_even == 51
    said = json.loads(printed(capsys, "evidence", "--bank", path, "--json"))
    assert said["summary"] == report.summary
    assert said["break_even"] is None
    assert "-20.0 ± 0.0" in printed(capsys, "evidence", "--bank", path)


# ---- the whole loop


def world() -> ModuleType:
    """The script with the generated world."""
    spec = importlib.util.spec_from_file_location(
        "evidence_world_door", REPOSITORY / "benchmarks" / "evidence_world.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_world_is_learned_through_the_public_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six constraints of one category with effects of 30 points, two families, 1,500 outcomes on a
    real bank (seed 1), coins still near one half: of the last 500 recalls at most a twentieth
    choose one that hurts the asking agent, at least six in ten show one that helps it, ten points
    more of the tasks are solved than without memory, and the counts stand verification."""
    script = world()
    monkeypatch.setattr(script, "EFFECT", 0.3)
    numbers = count()
    # The coins fall by the names of recalls.
    monkeypatch.setattr(
        serving, "uuid4", lambda: SimpleNamespace(hex=f"{next(numbers):032x}"[::-1])
    )
    small = script.make_world(1, constraints=6, categories=1)
    rules = Rules(holdout=0.1)
    with MemCollab(tmp_path / "bank.db", recipe=script.ThroughBank.recipe(rules)) as memory:
        through = script.ThroughBank(small, memory)
        events = list(script.live(small, 1500, through.recall, through.listen, 1))
        assert memory.bank.verify().ok
        report = memory.evidence()
    last, first = script.shares(events[-500:]), script.shares(events[:200])
    assert first["harmful"] > 0.3
    assert last["harmful"] <= 0.05
    assert last["helpful"] >= 0.6
    nothing = script.Exposure((), withheld=False, holdout=0.0)
    alone = list(script.live(small, 1500, lambda *_: nothing, lambda _: None, 1))
    assert last["solved"] > script.shares(alone[-500:])["solved"] + 0.1
    assert report.judged == report.compared > 1000
    assert {each.says for each in report.categories} <= {"helps", "not known"}


def test_any_order_of_outcomes_gives_the_same_bank(path: Path, tmp_path: Path) -> None:
    """Two banks that learn the same outcomes, one by one and in another order, prove the same."""
    with MemCollab(path, recipe=recipe()) as memory:
        found = memory.recall(TASK, category=FILED, store=False)
    outcomes = [
        *ended(found, OWL, ["seats", "dice"], 0.7, withheld=False, n=40),
        *ended(found, OWL, ["seats", "dice"], 0.4, withheld=True, n=40),
    ]
    fill(tmp_path / "other.db")
    with Bank.open(path) as one, Bank.open(tmp_path / "other.db") as other:
        one.add_outcomes(outcomes)
        for recall, outcome in reversed(outcomes):
            other.save_recall(recall)
            other.save_outcome(outcome.model_copy(update={"solved": None}))
            other.save_outcome(outcome)
        assert one.evidence() == other.evidence()
        assert other.verify().ok
