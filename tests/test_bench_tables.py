"""Attempts → tables: what is counted, what is paired, and what half a run looks like."""

from __future__ import annotations

import math
import random
import runpy
from pathlib import Path
from typing import Any

import pytest

from memcollab.bench.attempts import Attempt
from memcollab.bench.statistics import macro_difference, paired, share
from memcollab.bench.tables import Ledger, Plan, tabulate

MADE = runpy.run_path(str(Path(__file__).with_name("synthetic_attempts.py")))
synthetic_attempts, LEDGERS = MADE["synthetic_attempts"], MADE["LEDGERS"]


def attempt(arm: str, task: str, solved: bool | None, **fields: Any) -> Attempt:
    given = {"suite": "maths", "agent": "a", "turns": 2, "key": "k"} | fields
    return Attempt(arm=arm, task_id=task, solved=solved, **given)


def test_a_cell_counts_verdicts_and_failures_apart() -> None:
    """Shares are over verdicts; a crash of the server is no wrong answer."""
    tables = tabulate(
        [
            attempt("none", "1", True),
            attempt("none", "2", False, failure="unreadable"),
            attempt("none", "3", False),
            attempt("none", "4", None, error="the server is gone", turns=90),
        ]
    )
    cell = tables.cell("none", "maths", "a")
    assert cell.accuracy == share(1, 3)
    assert (cell.attempts, cell.judged) == (4, 3)
    assert {name: n for name, n in cell.outcomes.items() if n} == {
        "solved": 1,
        "wrong": 1,
        "unreadable": 1,
        "no verdict": 1,
    }
    assert cell.costs["turns"].value == 2
    assert tables.errors == (("the server is gone", 1),)


def test_seconds_are_told_and_not_compared() -> None:
    """The median attempt of an agent, over all arms; no cell has a cost in seconds."""
    found = [
        attempt(arm, str(task), True, seconds=seconds)
        for arm, seconds in (("none", 10.0), ("default", 70.0))
        for task in range(3)
    ]
    tables = tabulate([*found, attempt("none", "9", None, seconds=900.0)])
    assert tables.seconds == {"a": 40.0}
    cell = tables.cell("default", "maths", "a")
    assert "seconds" not in {*cell.costs, *cell.changes}


def test_pairs_need_the_same_task_and_seed_and_two_verdicts() -> None:
    """What has no partner changes no difference."""
    tables = tabulate(
        [
            *(attempt("none", str(task), task > 5) for task in range(8)),
            attempt("none", "8", None),
            attempt("default", "8", True),
            attempt("default", "9", True),
            attempt("default", "7", None),
            attempt("default", "6", False, seed=1),
            *(attempt("default", str(task), task > 2, turns=1) for task in range(6)),
        ]
    )
    cell = tables.cell("default", "maths", "a")
    assert cell.against == paired([False] * 6, [False] * 3 + [True] * 3)
    assert (cell.against.won, cell.against.lost) == (3, 0)
    assert (cell.changes["turns"].value, cell.changes["turns"].n) == (-1, 6)
    assert tables.over("default").difference == macro_difference(
        {"maths": {"a": {str(task): (False, task > 2) for task in range(6)}}}
    )


def test_seeds_of_a_task_are_averaged_first() -> None:
    """Three seeds of four tasks are four tasks, each of a share; not twelve."""
    found = [
        attempt(arm, str(task), (task + seed + (arm == "default")) % 3 == 0, seed=seed)
        for arm in ("none", "default")
        for task in range(4)
        for seed in range(3)
    ]
    cell = tabulate(found).cell("default", "maths", "a")
    assert (cell.judged, cell.seeds, cell.accuracy.n) == (12, 3, 4)
    assert cell.accuracy.value == pytest.approx(1 / 3)
    assert (cell.against.won, cell.against.lost, cell.against.both) == (0, 0, 4)


def test_a_mark_needs_the_interval_and_the_exact_test() -> None:
    """Five won of 60 and none lost are no mark (p 0.0625), six are; over its one suite an arm shows
    what its cell shows."""
    for won, marked in ((5, False), (6, True)):
        found = [
            attempt(arm, str(task), arm == "default" and task < won)
            for arm in ("none", "default")
            for task in range(60)
        ]
        tables = tabulate(found)
        cell = tables.cell("default", "maths", "a")
        assert (cell in tables.better) is marked
        assert tables.over("default", "a").difference == cell.against.difference
        assert tables.over("default").difference == cell.against.difference


def test_wins_of_one_group_are_one_observation() -> None:
    """Ten tools of six tasks, all the wins with two of them: resampled tool by tool the interval
    reaches 0, task by task it does not; tasks without groups have no such interval."""

    def made(**fields: Any) -> list[Attempt]:
        return [
            attempt(arm, f"{tool}-{n}", arm == "default" and tool < 2, **fields, **grouped(tool))
            for arm in ("none", "default")
            for tool in range(10)
            for n in range(6)
        ]

    def grouped(tool: int) -> dict[str, str]:
        return {"group": f"tool-{tool}"}

    tables = tabulate(made())
    cell = tables.cell("default", "maths", "a")
    assert cell.groups == 10
    assert cell.against.difference.above_zero
    assert cell.grouped.low <= 0 < cell.grouped.value == cell.against.difference.value
    assert tables.over("default").grouped == cell.grouped
    plain = [each.model_copy(update={"group": None}) for each in made()]
    assert not tabulate(plain).cell("default", "maths", "a").grouped.known


def test_the_order_of_attempts_decides_nothing() -> None:
    """Shuffled attempts give equal tables."""
    made = synthetic_attempts(tasks=4, arms=("none", "other", "default"))
    shuffled = random.Random(1).sample(made, len(made))
    assert repr(tabulate(shuffled, LEDGERS)) == repr(tabulate(made, LEDGERS))


def test_of_several_records_of_an_attempt_the_last_counts() -> None:
    """A repeat after a crash replaces it, and that is said."""
    tables = tabulate([attempt("none", "1", None), attempt("none", "1", True)])
    assert tables.cell("none", "maths", "a").accuracy.value == 1.0
    assert (tables.replaced, tables.records) == (1, 1)


def test_half_a_run_has_every_planned_cell() -> None:
    """Cells that were not run have n = 0 and know how much is expected of them."""
    plan = Plan(("none", "own", "default"), {"maths": 50, "code": 20}, ("a", "b"))
    tables = tabulate([attempt("none", "1", True), attempt("default", "1", True)], plan=plan)
    assert tables.labels == ("none", "own", "default")
    assert tables.suites == ("maths", "code")
    assert len(tables.cells) == 12
    cell = tables.cell("own", "code", "b")
    assert (cell.expected, cell.attempts, cell.accuracy.n) == (20, 0, 0)
    assert not cell.against.difference.known
    assert tables.over("default").cells == 1
    assert math.isnan(tables.over("own").difference.value)
    with pytest.raises(KeyError):
        tables.cell("random", "maths", "a")


@pytest.mark.parametrize("attempts", [[], [attempt("default", "1", True)]])
def test_nothing_to_compare_is_no_error(attempts: list[Attempt]) -> None:
    """No attempts, or none without memory, give tables without a difference."""
    tables = tabulate(attempts, LEDGERS, entries=[[("1", "default")]])
    assert tables.compared == tables.worse == tables.better == ()
    assert tables.labels[0] == "none"


def test_p_values_are_corrected_over_the_cells_of_an_arm() -> None:
    """Two cells: the smaller p is doubled."""
    found = [
        attempt(arm, str(task), arm == "default", suite=suite)
        for arm in ("none", "default")
        for suite, size in (("maths", 6), ("code", 9))
        for task in range(size)
    ]
    tables = tabulate(found)
    cells = [tables.cell("default", suite, "a") for suite in ("maths", "code")]
    assert [cell.against.p for cell in cells] == pytest.approx([2 / 2**6, 2 / 2**9])
    assert [cell.corrected for cell in cells] == pytest.approx([2 / 2**6, 4 / 2**9])
    assert len(tables.better) == 2


def _transfers(arm: str, agent: str, source: str | None, solved: bool) -> list[Attempt]:
    return [attempt(arm, str(t), solved, agent=agent, source=source) for t in range(5)]


def test_transfer_names_whose_memory_was_read() -> None:
    """Own and other memory share a row by their source; shared memories have rows of their own."""
    tables = tabulate(
        [
            *(x for agent in "abc" for x in _transfers("none", agent, None, False)),
            *_transfers("own", "a", "a", True),
            *_transfers("other", "b", "a", False),
            *_transfers("other", "c", "a", True),
            *_transfers("other", "c", "b", False),
            *_transfers("default", "a", "a+b", True),
        ]
    )
    found = {(x.row, x.agent): x.difference.value for x in tables.transfer if x.difference.known}
    assert found == {
        ("a", "a"): 1.0,
        ("a", "b"): 0.0,
        ("a", "c"): 1.0,
        ("b", "c"): 0.0,
        ("default · a+b", "a"): 1.0,
    }
    assert [x.row for x in tables.transfer][::3] == ["a", "b", "default · a+b"]


def test_an_arm_of_several_sources_has_a_label_for_each() -> None:
    """A reader of two foreign memories has two rows, and their records are not confused."""
    tables = tabulate(
        [
            *_transfers("none", "c", None, False),
            *_transfers("other", "c", "a", True),
            *_transfers("other", "c", "b", False),
        ]
    )
    assert tables.labels == ("none", "other ← a", "other ← b")
    assert tables.cell("other ← a", "maths", "c").against.won == 5
    assert tables.cell("other ← b", "maths", "c").against.won == 0
    assert [each.arm for each in tables.balances] == ["other"]
    assert tables.replaced == 0


def test_entries_keep_their_order_and_every_memory_is_in_the_transfer() -> None:
    """Points come in the order given, on suites where at least two of the arms were run; no arm is
    left out of the transfer matrix."""
    arms = ("none", "default", "default-k1", "default-k5")
    made = synthetic_attempts(tasks=6, arms=arms)
    made = [x for x in made if "-k" not in x.arm or x.suite == "mbpp"]
    order = [("1", "default-k1"), ("3", "default"), ("5", "default-k5")]
    tables = tabulate(made, entries=[order])
    assert {point.suite for point in tables.entries} == {"mbpp"}
    assert [point.label for point in tables.entries] == ["1", "3", "5"] * 2
    assert {point.series for point in tables.entries} == {"default-k1 to default-k5"}
    assert {each.row.partition(" ")[0] for each in tables.transfer} == {*arms} - {"none"}


def test_balance_breaks_even_where_tokens_are_saved() -> None:
    """Spent tokens divided by what an attempt saves, rounded up; never where it costs more."""
    found = [
        attempt(arm, str(task), True, input_tokens=tokens, output_tokens=10, turns=turns)
        for arm, tokens, turns in (("none", 500, 3), ("default", 470, 2), ("random", 600, 3))
        for task in range(8)
    ]
    ledgers = [Ledger("default", input_tokens=900, output_tokens=110, requests=4, constraints=7)]
    default, control = tabulate(found, ledgers).balances
    assert (default.tokens.value, default.turns.value) == (30, 1)
    assert (default.break_even, default.best, default.worst) == (34, 34, 34)
    assert (control.break_even, control.spent) == (None, None)
    assert control.tokens.value == -100


def test_worse_holds_cells_beyond_their_interval_only() -> None:
    """Ten lost of ten is worse; one lost of ten is not."""
    found = [
        attempt(arm, str(task), arm == "none" or (suite == "code" and task > 0), suite=suite)
        for arm in ("none", "other")
        for suite in ("maths", "code")
        for task in range(10)
    ]
    assert [cell.suite for cell in tabulate(found).worse] == ["maths"]
