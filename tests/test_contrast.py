"""Which pairs of runs are contrasted."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.contrast import mixed_tasks, select_contrasts
from memcollab.recipe import DEFAULT, PAPER_V1, PAPER_V2, SINGLE
from memcollab.records import Agent, Contrast, RunSummary


def run(
    name: str,
    model: str,
    solved: bool | None,
    *,
    task: str = "t1",
    turns: int | None = 3,
    tokens: int | None = None,
    harness: str | None = "h",
    family: str = "",
) -> RunSummary:
    agent = Agent(model=model, harness=harness, family=family)
    return RunSummary(id=name, task_id=task, agent=agent, solved=solved, turns=turns, tokens=tokens)


def pairs(contrasts: list[Contrast]) -> list[tuple[str, str, str]]:
    return [(c.kind, c.preferred, c.other) for c in contrasts]


@st.composite
def many_runs(draw: st.DrawFn) -> list[RunSummary]:
    size = draw(st.integers(0, 40))
    return [
        run(
            f"r{number}",
            draw(st.sampled_from(["qwen-7b", "qwen-32b", "llama-8b", "gpt-4", "claude-2"])),
            draw(st.sampled_from([True, False, None])),
            task=draw(st.sampled_from(["t1", "t2", "t3"])),
            turns=draw(st.sampled_from([None, 0, 1, 2, 4, 9])),
            tokens=draw(st.sampled_from([None, 10, 90])),
            harness=draw(st.sampled_from(["h", "g", None])),
        )
        for number in range(size)
    ]


recipes = st.sampled_from(
    [
        DEFAULT,
        DEFAULT.model_copy(update={"max_contrasts_per_task": 1}),
        DEFAULT.model_copy(update={"max_contrasts_per_task": None}),
        DEFAULT.model_copy(update={"max_efficiency_per_task": 3}),
        PAPER_V1,
        PAPER_V2,
    ]
)


@given(many_runs(), recipes, st.randoms())
def test_order_and_repetition_decide_nothing(runs, recipe, chance: random.Random):
    """The contrasts depend on the set of runs, not on their order nor on doubles."""
    shuffled = runs + runs[:5]
    chance.shuffle(shuffled)
    assert select_contrasts(shuffled, recipe) == select_contrasts(runs, recipe)


@given(many_runs(), recipes)
def test_every_pair_is_two_judged_runs_of_one_task_and_harness(runs, recipe):
    """No pair mixes tasks or harnesses, repeats itself, or holds a run that nobody judged."""
    by_id = {r.id: r for r in runs}
    contrasts = select_contrasts(runs, recipe)
    assert len({c.id for c in contrasts}) == len(contrasts)
    for c in contrasts:
        preferred, other = by_id[c.preferred], by_id[c.other]
        assert preferred.task_id == other.task_id == c.task_id
        assert preferred.agent.harness == other.agent.harness
        assert preferred.solved is not None
        assert other.solved is not None
        assert (preferred.agent.model == other.agent.model) == (c.kind == "same_model")


@given(many_runs())
def test_default_keeps_its_promises_per_task(runs):
    """At most the set number of each kind; same-model only where nothing else exists."""
    by_id = {r.id: r for r in runs}
    by_task: dict[str, list[Contrast]] = {}
    for c in select_contrasts(runs, DEFAULT):
        by_task.setdefault(c.task_id, []).append(c)
        solved = (by_id[c.preferred].solved, by_id[c.other].solved)
        expected = {"efficiency": (True, True), "unsolved": (False, False)}
        assert solved == expected.get(c.kind, (True, False))
    for found in by_task.values():
        kinds = Counter(c.kind for c in found)
        assert kinds["discordant"] <= 4
        assert kinds["efficiency"] <= 1
        assert kinds["same_model"] <= (0 if kinds["discordant"] else 1)
        assert kinds["unsolved"] <= (0 if len(found) > kinds["unsolved"] else 1)
        assert not kinds["both_wrong"]


@given(many_runs())
def test_no_discordant_pair_is_lost_below_the_limit(runs):
    """A task with few pairs gives all of them; one with many fills the limit."""
    judged = {r.id: r for r in runs if r.solved is not None}
    possible: Counter[str] = Counter()
    for a, b in combinations(judged.values(), 2):
        same = (a.task_id, a.agent.harness) == (b.task_id, b.agent.harness)
        if same and a.solved != b.solved and a.agent.model != b.agent.model:
            possible[a.task_id] += 1
    found = Counter(c.task_id for c in select_contrasts(runs, DEFAULT) if c.kind == "discordant")
    assert found == {task: min(4, number) for task, number in possible.items()}


@given(many_runs())
def test_the_efficiency_pair_is_the_widest_by_turns(runs):
    """No both-solved pair of different models in a harness is wider than the one chosen."""
    solved = [r for r in runs if r.solved and r.turns]
    for task in {r.task_id for r in runs}:
        here = [r for r in solved if r.task_id == task]
        ratios = [
            max(a.turns, b.turns) / min(a.turns, b.turns)
            for a, b in combinations(here, 2)
            if a.agent.harness == b.agent.harness and a.agent.model != b.agent.model
        ]
        if not ratios or max(ratios) < 2:
            continue
        by_id = {r.id: r for r in here}
        (found,) = [
            c
            for c in select_contrasts(runs, DEFAULT)
            if c.task_id == task and c.kind == "efficiency"
        ]
        assert by_id[found.other].turns / by_id[found.preferred].turns == max(ratios)


def test_pairs_spread_over_families_on_both_sides():
    """No family comes twice on a side while another is available, and partners are unrelated."""
    right = [
        run(f"s{i}", f"{f}-{i}", True) for i, f in enumerate(["qwen", "qwen", "gpt", "claude"])
    ]
    wrong = [
        run(f"u{i}", f"{f}-w{i}", False) for i, f in enumerate(["llama", "llama", "qwen", "gpt"])
    ]
    family = {r.id: r.agent.family for r in right + wrong}
    found = select_contrasts(
        right + wrong, DEFAULT.model_copy(update={"max_contrasts_per_task": 3})
    )
    assert sorted(family[c.preferred] for c in found) == ["claude", "gpt", "qwen"]
    assert sorted(family[c.other] for c in found) == ["gpt", "llama", "qwen"]
    assert all(family[c.preferred] != family[c.other] for c in found)


def test_a_run_that_tried_and_a_short_success_come_first():
    """Among equals the unsolved run made turns and the solved run is the shortest."""
    runs = [
        run("long", "gpt-4", True, turns=9),
        run("short", "gpt-5", True, turns=2),
        run("a-silent", "llama-1", False, turns=0),
        run("tried", "llama-2", False, turns=4),
    ]
    one = DEFAULT.model_copy(update={"max_contrasts_per_task": 1, "efficiency_ratio": None})
    assert pairs(select_contrasts(runs, one)) == [("discordant", "short", "tried")]


def test_same_model_only_when_nothing_else_exists():
    """A single model's own two runs make one marked pair, and none beside a discordant pair."""
    own = [run("yes", "qwen-7b", True), run("no", "qwen-7b", False), run("no2", "qwen-7b", False)]
    assert pairs(select_contrasts(own, DEFAULT)) == [("same_model", "yes", "no")]
    with_other = [*own, run("gpt", "gpt-4", False)]
    assert pairs(select_contrasts(with_other, DEFAULT)) == [("discordant", "yes", "gpt")]


def test_runs_of_different_harnesses_are_not_compared():
    """A right run in one harness and a wrong one in another are no contrast."""
    runs = [run("a", "gpt-4", True, harness="x"), run("b", "qwen-7b", False, harness="y")]
    assert select_contrasts(runs, DEFAULT) == []


def test_tokens_decide_between_runs_of_equal_turns_only():
    """Turns come first; tokens speak only where turns are equal or uncounted."""
    equal = [run("a", "gpt-4", True, tokens=900), run("b", "qwen-7b", True, tokens=100)]
    assert pairs(select_contrasts(equal, DEFAULT)) == [("efficiency", "b", "a")]
    unequal = [equal[0], run("b", "qwen-7b", True, turns=2, tokens=100)]
    assert select_contrasts(unequal, DEFAULT) == []
    uncounted = [r.model_copy(update={"turns": None}) for r in equal]
    assert pairs(select_contrasts(uncounted, DEFAULT)) == [("efficiency", "b", "a")]


def test_a_task_that_nobody_solved_gives_the_pair_that_heard_most():
    """Where a recipe heeds what the environment told to failures, it takes one pair of different
    models, those with most turns, and none that made no turn; the default recipe takes none."""
    runs = [
        run("a", "gpt-4", False, turns=2),
        run("b", "qwen-7b", False, turns=3),
        run("c", "claude-2", None, turns=9),
        run("d", "qwen-7b", False, turns=4),
        run("e", "gpt-4", False, turns=0),
    ]
    heeding = DEFAULT.model_copy(update={"max_unsolved_per_task": 1})
    assert pairs(select_contrasts(runs, heeding)) == [("unsolved", "d", "a")]
    assert select_contrasts(runs[:1], heeding) == []
    assert select_contrasts(runs, DEFAULT) == []


@pytest.mark.parametrize(
    ("weak", "strong", "expected"),
    [
        (True, False, ("discordant", "weak", "strong")),
        (True, True, ("both_right", "weak", "strong")),
        (False, True, ("discordant", "strong", "weak")),
        (False, False, ("both_wrong", "strong", "weak")),
    ],
)
def test_paper_v1_prefers_the_weak_agent_where_it_solved(weak, strong, expected):
    """All four outcomes enter: the weak run if it solved, else the strong one (section 3.2)."""
    runs = [run("weak", "qwen-7b", weak), run("strong", "qwen-32b", strong)]
    found = select_contrasts(runs, PAPER_V1, strongest_first=["qwen-32b", "qwen-7b"])
    assert pairs(found) == [expected]


def test_paper_v1_takes_the_strongest_and_the_weakest_of_many():
    """Without names, accuracy over all judged runs says who is strong; the middle is left out."""
    runs = [
        run(f"{model}-{i}", model, i < solved, task=f"t{i}")
        for model, solved in (("low", 1), ("middle", 2), ("high", 3))
        for i in range(4)
    ]
    found = select_contrasts(runs, PAPER_V1)
    assert pairs(found) == [
        ("both_right", "low-0", "high-0"),
        ("discordant", "high-1", "low-1"),
        ("discordant", "high-2", "low-2"),
        ("both_wrong", "high-3", "low-3"),
    ]
    named = select_contrasts(runs, PAPER_V1, strongest_first=["middle", "low"])
    assert {c.other.split("-")[0] for c in named[1:]} == {"low"}


def test_paper_v1_needs_both_agents():
    """One model alone, or a task that only one of the two ran, gives nothing."""
    assert select_contrasts([run("a", "gpt-4", True)], PAPER_V1) == []
    runs = [run("a", "gpt-4", True), run("b", "qwen-7b", True, task="t2")]
    assert select_contrasts(runs, PAPER_V1) == []


def test_paper_v2_contrasts_the_strongest_correct_run_with_each_other():
    """The correct run of the strongest solver is preferred, else the strongest model's."""
    runs = [run("a", "strong", False), run("b", "fair", True), run("c", "weak", True)]
    order = ["strong", "fair", "weak"]
    assert pairs(select_contrasts(runs, PAPER_V2, strongest_first=order)) == [
        ("discordant", "b", "a"),
        ("both_right", "b", "c"),
    ]
    lost = [r.model_copy(update={"solved": False}) for r in runs]
    assert pairs(select_contrasts(lost, PAPER_V2, strongest_first=order)) == [
        ("both_wrong", "a", "b"),
        ("both_wrong", "a", "c"),
    ]


@given(many_runs())
def test_single_puts_every_judged_run_alone(runs):
    """Each judged run stands on both sides of its own contrast, at most so many of a task."""
    limit = SINGLE.max_contrasts_per_task
    judged = {run.id: run.task_id for run in runs if run.solved is not None}
    found = select_contrasts(runs, SINGLE)
    assert all(each.kind == "single" and each.preferred == each.other for each in found)
    per_task = Counter(judged.values())
    assert Counter(each.task_id for each in found) == {
        task: min(limit, count) for task, count in per_task.items()
    }


@given(many_runs())
def test_mixed_tasks_counts_tasks_that_somebody_solved_and_somebody_did_not(runs):
    """A task is mixed when it has a right and a wrong run, whoever made them."""
    right = {r.task_id for r in runs if r.solved}
    wrong = {r.task_id for r in runs if r.solved is False}
    assert mixed_tasks(runs) == len(right & wrong)
