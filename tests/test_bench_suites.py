"""`memcollab.bench.suites`: the tasks of each suite, and that build and test stay apart."""

from __future__ import annotations

import gzip
import json
import random
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from memcollab.bench import confine
from memcollab.bench.agent import Ending
from memcollab.bench.judge import judge_ending
from memcollab.bench.replies import defines
from memcollab.bench.sandbox import Bubblewrap, Confined, Unconfined
from memcollab.bench.suites import SUITES, Choice, choose, gives_away, is_among, own, shuffled
from memcollab.bench.suites.rows import Source, read_rows
from memcollab.bench.tasks import BenchTask, Code, Maths, State
from memcollab.errors import SandboxError, UsageError

SIZES = {
    "gsm8k": (7473, 1319),
    "math500": (4500, 500),
    "mbpp": (474, 500),
    "humaneval": (0, 164),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_suite_holds_what_was_published(name: str, shared_data: Path) -> None:
    """The sizes of both parts are those of the published splits, and every task has its own id."""
    build, test = SUITES[name](shared_data)
    assert (len(build), len(test)) == SIZES[name]
    ids = [task.task_id for task in (*build, *test)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", [*SIZES, "house-rules"])
def test_no_chosen_build_task_is_a_test_task(name: str, shared_data: Path) -> None:
    """No chosen build task, near-duplicates included, is among all the test tasks of its suite."""
    _, test = SUITES[name](shared_data)
    wanted = 0 if name == "humaneval" else 24
    (suite,) = choose([Choice(name, wanted, 10)], shared_data)
    asked = [task.task for task in test]
    assert not [task.task_id for task in suite.build if is_among(task.task, asked)]


def test_a_near_duplicate_across_suites_is_left_out(tmp_path: Path) -> None:
    """A build task of one suite that is a test task of another, but for a name, is not chosen."""
    text = "Mara buys 12 pens for 3 crowns each and pays with a note of 50. How much is her change?"
    twin = text.replace("Mara", "Nina").upper()
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    _write(first, [("a", twin, "build"), ("b", "How many legs have 7 cats?", "build")])
    _write(second, [("c", text, "test")])
    suites = choose([Choice("one", 1, 0, first), Choice("two", 0, 1, second)], None)
    assert [task.task_id for task in suites[0].build] == ["b"]


def test_an_mbpp_task_with_another_example_is_left_out(shared_data: Path) -> None:
    """Build tasks that say what a chosen test task says, and show another example, are not chosen;
    with few test tasks the choice is what it would be without looking at descriptions."""
    build, test = SUITES["mbpp"](shared_data)
    by_id = {task.task_id: task.task for task in (*build, *test)}
    for learned, asked in (("mbpp-704", "mbpp-248"), ("mbpp-872", "mbpp-216")):
        assert not is_among(by_id[learned], [by_id[asked]])
        assert gives_away(by_id[learned], by_id[asked])
    (whole,) = choose([Choice("mbpp", 459, 500)], shared_data)
    ids = [task.task_id for task in whole.build]
    assert not {"mbpp-704", "mbpp-872"} & set(ids)
    assert not [
        task.task_id
        for task in whole.build
        if any(gives_away(task.task, each.task) for each in whole.test)
    ]
    with pytest.raises(UsageError, match="only 459 build tasks of 'mbpp'"):
        choose([Choice("mbpp", 460, 500)], shared_data)
    (few,) = choose([Choice("mbpp", 80, 50)], shared_data)
    asked = [task.task for task in test]
    apart = [task for task in shuffled(build, 0) if not is_among(task.task, asked)]
    assert list(few.build) == apart[:80]


def test_the_choice_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """The order of a file decides nothing, fewer tasks are the first of more, seeds differ."""
    tasks = [(f"t{n}", f"What is {n} plus {n * n}?", "test") for n in range(40)]
    shuffled = random.Random(1).sample(tasks, len(tasks))
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    _write(one, tasks)
    _write(other, shuffled)

    def ids(path: Path, number: int, seed: int = 0) -> list[str]:
        (suite,) = choose([Choice("own", 0, number, path)], None, seed=seed)
        return [task.task_id for task in suite.test]

    assert ids(one, 10) == ids(other, 10) == ids(one, 30)[:10]
    assert ids(one, 10) != ids(one, 10, seed=1)


def test_too_few_tasks_and_unknown_suites_are_said(tmp_path: Path) -> None:
    """Asking for more than there is, or for a suite that is not there, names what is valid."""
    path = tmp_path / "tasks.jsonl"
    _write(path, [("a", "What is 1 plus 1?", None)])
    with pytest.raises(UsageError, match="only 1 test tasks of 'own', and 2 were asked for"):
        choose([Choice("own", 0, 2, path)], None)
    with pytest.raises(UsageError, match="for 'house-rules' only"):
        choose([Choice("gsm8k", test=1, test_seed=1)], None)
    with pytest.raises(UsageError, match=r"no suite 'gsm9k'. Valid: gsm8k, math500"):
        choose([Choice("gsm9k", 0, 2)], None)


def test_a_line_without_a_part_is_a_test_task(tmp_path: Path) -> None:
    """A user's task file serves as it is; build tasks are marked."""
    path = tmp_path / "tasks.jsonl"
    _write(path, [("a", "What is 1 plus 1?", None), ("b", "What is 1 plus 2?", "build")])
    build, test = own.load(path)
    assert ([task.task_id for task in build], [task.task_id for task in test]) == (["b"], ["a"])


def test_code_suites_show_one_example_and_judge_by_all(shared_data: Path) -> None:
    """An MBPP task shows its first assertion alone; its tests hold more than what is shown."""
    build, test = SUITES["mbpp"](shared_data)
    for task in (*build, *test):
        assert isinstance(task.checker, Code)
        asserted = [line for line in task.checker.tests.splitlines() if line.startswith("assert")]
        assert len(asserted) >= 3
        assert task.task.count("\nassert ") == 1
        assert asserted[0].split("(")[0] in task.task


def test_the_function_that_is_asked_for_is_the_one_tested(shared_data: Path) -> None:
    """MBPP's and HumanEval's reference solutions define what the checker looks for."""
    rows = {row["task_id"]: row for row in read_rows(_source("mbpp/mbpp.jsonl"), shared_data)}
    for task in SUITES["mbpp"](shared_data)[1][:200]:
        assert task.function is not None
        assert defines(rows[int(task.task_id.split("-")[1])]["code"], task.function)
    for task in SUITES["humaneval"](shared_data)[1]:
        assert isinstance(task.checker, Code)
        assert task.function is not None
        assert defines(task.checker.setup, task.function)


def test_test_tasks_of_maths_carry_no_label(shared_data: Path) -> None:
    """An agent with a new task has no subject either; build tasks keep theirs for filing."""
    build, test = SUITES["math500"](shared_data)
    assert all(task.category for task in build)
    assert not any(task.category for task in test)
    assert all(isinstance(task.checker, Maths) for task in (*build, *test))


def test_house_rules_are_judged_by_what_is_left() -> None:
    """Every task of our own world has a checker of the state."""
    build, test = SUITES["house-rules"](None)
    assert all(isinstance(task.checker, State) for task in (*build, *test))


def test_a_damaged_benchmark_file_is_named(tmp_path: Path) -> None:
    """A missing or damaged file is an error that names it and says what to do."""
    with pytest.raises(UsageError, match=r"train.jsonl.*--data"):
        read_rows(_source("train.jsonl"), tmp_path)
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\nnot json\n'))
    with pytest.raises(UsageError, match=r"train.jsonl"):
        read_rows(_source("train.jsonl"), tmp_path)


def test_without_data_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the loader's package the error names the package and the other way."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install datasets; or --data FOLDER"):
        read_rows(_source("train.jsonl"), None)


def test_maths_from_the_hub_has_a_build_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the hub's rows, in the form that each data set there has, those of MATH's whole test split
    that MATH500 lacks are built from: with the subject, and the answer that the solution boxes."""
    hub = {
        ("DigitalLearningGmbH/MATH-lighteval", None, "test"): [
            {
                "problem": f"What is ${n}+{n}$?",
                "level": "Level 1",
                "type": "Counting & Probability",
                "solution": f"It is $\\boxed{{{2 * n}}}$.",
            }
            for n in range(5)
        ],
        ("HuggingFaceH4/MATH-500", None, "test"): [
            {
                "problem": "What is  $3+3$?\n",
                "solution": "It is $\\boxed{6}$.",
                "answer": "6",
                "subject": "Counting & Probability",
                "level": 1,
                "unique_id": "test/counting_and_probability/3.json",
            }
        ],
    }
    asked = types.ModuleType("datasets")
    monkeypatch.setattr(
        asked, "load_dataset", lambda name, config, split: hub[name, config, split], raising=False
    )
    monkeypatch.setitem(sys.modules, "datasets", asked)
    build, test = SUITES["math500"](None)
    assert [task.task for task in build] == [f"What is ${n}+{n}$?" for n in (0, 1, 2, 4)]
    assert {task.category for task in build} == {"counting_and_probability"}
    assert [task.checker for task in build] == [
        Maths(kind="math", answer=str(2 * n)) for n in (0, 1, 2, 4)
    ]
    assert [(task.checker, task.category) for task in test] == [
        (Maths(kind="math", answer="6"), None)
    ]


def _source(file: str) -> Source:
    return Source(file, "owner/name", "train")


def _write(path: Path, tasks: Sequence[tuple[str, str, str | None]]) -> None:
    lines = [
        {
            "task_id": task_id,
            "task": text,
            "part": part,
            "checker": {"kind": "exact", "answer": "x"},
        }
        for task_id, text, part in tasks
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


@pytest.mark.parametrize("name", ["mbpp", "humaneval"])
def test_published_solutions_pass_and_empty_functions_do_not(name: str, shared_data: Path) -> None:
    """The reference solution of a task is judged solved, imports that its task gives left out; a
    function that does nothing is not."""
    tasks = {task.task_id: task for task in SUITES[name](shared_data)[1]}
    for row in _solutions(name, shared_data)[::40]:
        task_id, solution, function = row
        assert _failure(tasks[task_id], solution) is None
        assert _failure(tasks[task_id], f"def {function}(*given):\n    pass\n") is not None


def _solutions(name: str, data: Path) -> list[tuple[str, str, str]]:
    if name == "mbpp":
        rows = read_rows(_source("mbpp/mbpp.jsonl"), data)
        tasks = {task.task_id: task for task in SUITES["mbpp"](data)[1]}
        return [
            (task_id, row["code"], str(tasks[task_id].function))
            for row in rows
            if (task_id := f"mbpp-{row['task_id']}") in tasks
        ]
    return [
        (
            row["task_id"].replace("/", "-").lower(),
            row["prompt"][row["prompt"].rindex("def ") :] + row["canonical_solution"],
            row["entry_point"],
        )
        for row in read_rows(_source("humaneval/HumanEval.jsonl"), data)
    ]


def _failure(task: BenchTask, answer: str) -> str | None:
    try:
        confine.check("bubblewrap")
        box: Confined = Bubblewrap()
    except SandboxError:
        box = Unconfined()
    ending = Ending(answer, "answered", turns=1, programs=1)
    return anyio.run(judge_ending, task, ending, box).failure
