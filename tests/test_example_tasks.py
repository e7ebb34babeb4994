"""The project's own tasks: each can be solved, its trap is caught, and nothing tells the trick."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import re
import runpy
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from memcollab.taxonomy import Taxonomy

HERE = Path(__file__).resolve().parent
TASKS = HERE.parent / "examples" / "tasks"
SOLUTIONS: dict[str, tuple[str, str]] = runpy.run_path(str(HERE / "example_solutions.py"))[
    "SOLUTIONS"
]
# What a world's task texts, signatures and docstrings must not say: it is found out by looking.
SECRETS = {
    "archive": r"twice|again|confirm|hand in",
    "kiln": r"before|first|after",
    "library": r"\b1\b|\bten\b|first|counted",
    "post": r"busy|again|retry|503",
    "rooms": r"\d\d\.\d\d\.|dots?\b|month|format",
    "till": r"\bcents\b|whole|int\b",
    "vans": r"VAN-|capital|upper|digits|NOR\b",
}


def _read(name: str) -> list[dict[str, Any]]:
    lines = (TASKS / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


BUILD, NEXT = _read("tasks.jsonl"), _read("next.jsonl")
EVERY = {task["task_id"]: task for task in [*BUILD, *NEXT]}
WORLDS = sorted({Path(task["module"]).stem for task in EVERY.values() if "module" in task})


@pytest.fixture(autouse=True)
def _sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fresh working folder, in which the worlds can be imported and leave no byte code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TASKS / "worlds"))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    yield
    for name in WORLDS:
        importlib.sys.modules.pop(name, None)  # type: ignore[attr-defined]


def passes(task: dict[str, Any], program: str) -> bool:
    """Whether the program solves the task, by the task's own checker."""
    checker = task["checker"]
    judge: Callable[[dict[str, str], str], None] = {
        "math": _maths,
        "code": _code,
        "state": _state,
    }[checker["kind"]]
    try:
        judge(checker, program)
    except AssertionError:
        return False
    return True


def _maths(checker: dict[str, str], program: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    said, gold = Fraction(printed.getvalue().strip()), Fraction(checker["answer"])
    assert abs(said - gold) < Fraction(1, 10**9)


def _code(checker: dict[str, str], program: str) -> None:
    space: dict[str, Any] = {}
    exec(program, space)
    assert checker["entry_point"] in space
    with _crash_is_wrong():
        exec(checker["tests"], space)


def _state(checker: dict[str, str], program: str) -> None:
    # A careless program that is refused has still left what it did before.
    with contextlib.suppress(Exception):
        exec(program, {})
    with _crash_is_wrong():
        exec(checker["check"], {"answer": "done"})


@contextlib.contextmanager
def _crash_is_wrong() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise AssertionError(repr(error)) from error


@pytest.mark.parametrize("task_id", EVERY)
def test_a_correct_program_solves_the_task(task_id: str) -> None:
    """The reference solution satisfies the checker."""
    assert passes(EVERY[task_id], SOLUTIONS[task_id][0])


@pytest.mark.parametrize("task_id", EVERY)
def test_the_trap_is_caught(task_id: str) -> None:
    """The plausible mistake the task is made for does not satisfy the checker."""
    assert not passes(EVERY[task_id], SOLUTIONS[task_id][1])


@pytest.mark.parametrize("task_id", [key for key, task in EVERY.items() if "module" in task])
def test_doing_a_tool_task_twice_does_not_spoil_it(task_id: str) -> None:
    """An agent that runs its correct program in two turns has still solved the task."""
    task, program = EVERY[task_id], SOLUTIONS[task_id][0]
    assert passes(task, f"{program}\n{program}")


@pytest.mark.parametrize("task_id", [key for key, task in EVERY.items() if "module" in task])
def test_saying_it_is_done_solves_no_tool_task(task_id: str) -> None:
    """The checker looks at the state that is left; words and idleness do not satisfy it."""
    assert not passes(EVERY[task_id], "print('ANSWER: done')")


def test_every_solution_belongs_to_a_task() -> None:
    """Tasks and reference solutions are the same set, and each id names one task."""
    assert set(SOLUTIONS) == set(EVERY)
    assert len(EVERY) == len(BUILD) + len(NEXT)


def test_the_next_tasks_are_none_of_the_build_tasks() -> None:
    """No text of a task to be solved later is among those that are learned from."""
    texts = Counter(" ".join(task["task"].casefold().split()) for task in EVERY.values())
    assert max(texts.values()) == 1


def test_there_are_enough_tasks_of_each_kind() -> None:
    """At least sixteen of maths, Python and tools each, maths over five categories or more."""
    kinds = Counter(task["checker"]["kind"] for task in BUILD)
    assert all(kinds[kind] >= 16 for kind in ("math", "code", "state"))
    maths = {t["category"].split("/")[0] for t in BUILD if t["checker"]["kind"] == "math"}
    assert len(maths) >= 5
    assert 6 <= len(NEXT) <= 8


@pytest.mark.parametrize("name", ["tasks.jsonl", "next.jsonl"])
def test_the_files_are_task_files_of_bench_collect(name: str) -> None:
    """``bench collect`` reads both files, modules included."""
    bench_tasks = pytest.importorskip("memcollab.bench.tasks", reason="needs the extra 'bench'")
    loaded = bench_tasks.load_tasks(TASKS / name)
    assert [task.task_id for task in loaded] == [task["task_id"] for task in _read(name)]


def test_every_category_is_in_the_default_taxonomy() -> None:
    """The labels are categories and subcategories that the product knows."""
    taxonomy = Taxonomy.load()
    labels = {task["category"] for task in EVERY.values()}
    assert {label for label in labels if str(taxonomy.find(label)) != label} == set()


def _world(name: str) -> ModuleType:
    return importlib.import_module(name)


def _public(world: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: function
        for name, function in inspect.getmembers(world, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == world.__name__
    }


@pytest.mark.parametrize("name", WORLDS)
def test_a_task_names_every_function_of_its_world(name: str) -> None:
    """Text and module agree about the functions and the names of their parameters."""
    expected = {
        f"{name}.{key}({', '.join(inspect.signature(function).parameters)})"
        for key, function in _public(_world(name)).items()
    }
    for task in EVERY.values():
        if task.get("module") == f"worlds/{name}.py":
            assert set(re.findall(rf"^- ({name}\.\w+\(.*?\)):", task["task"], re.M)) == expected


@pytest.mark.parametrize("name", WORLDS)
def test_a_house_rule_is_told_by_no_signature_or_docstring(name: str) -> None:
    """What an agent is given to read does not hold the rule that it has to find out."""
    world = _world(name)
    told = [world.__doc__ or "", *(f.__doc__ or "" for f in _public(world).values())]
    told += [task["task"] for task in EVERY.values() if task.get("module") == f"worlds/{name}.py"]
    assert [text for text in told if re.search(SECRETS[name], text)] == []


def test_the_till_believes_whole_numbers_and_shows_what_it_believed() -> None:
    """A fraction is refused; five euros given as 5 stand as five cents in the list."""
    till = _world("till")
    with pytest.raises(ValueError, match="whole cents"):
        till.set_price("bun", 0.5)
    till.set_price("bun", 5)
    assert till.price_list()["bun"] == "0.05 euros"


def test_the_calendar_refuses_days_in_other_forms() -> None:
    """Neither ISO days nor missing zeros pass, and the refusal tells the form."""
    rooms = _world("rooms")
    for day in ("2026-03-14", "1.3.2026", "14 March 2026", "31.02.2026"):
        with pytest.raises(ValueError, match=r"DD\.MM\.YYYY"):
            rooms.book("blue", day)


def test_the_kiln_tells_the_missing_step() -> None:
    """Pieces go in through an open door and are fired behind a shut one."""
    kiln = _world("kiln")
    with pytest.raises(RuntimeError, match="call door\\('open'\\) first"):
        kiln.put_in("cup")
    kiln.door("open")
    kiln.put_in("cup")
    with pytest.raises(RuntimeError, match="call door\\('shut'\\) first"):
        kiln.fire()
    assert kiln.look()["firings"] == []


def test_the_library_counts_pages_from_one() -> None:
    """Ten rows a page, the first is number one; a page beyond either end is refused."""
    library = _world("library")
    assert [len(library.loans(page)) for page in range(1, library.pages() + 1)] == [10, 10, 10, 4]
    for page in (0, library.pages() + 1):
        with pytest.raises(LookupError, match="the first is 1, the last is 4"):
            library.loans(page)


def test_the_post_is_busy_at_first() -> None:
    """The first try sends nothing, the second arrives, a third changes nothing."""
    post = _world("post")
    answers = [post.send("card", "Elm")[:3] for _ in range(3)]
    assert answers == ["503", "200", "200"]
    assert post.delivered() == {"card": "Elm"}
    assert post.send("card", "Nowhere").startswith("404")


def test_the_archive_removes_only_for_the_folder_s_own_slip() -> None:
    """The first call asks for a slip; another folder's slip does not serve."""
    archive = _world("archive")
    slip = archive.remove("maps")[-7:-2]
    archive.remove("photos", slip)
    assert archive.folders()["photos"] == "waiting"
    archive.remove("maps", slip)
    assert archive.folders()["maps"] == "gone"


def test_the_yard_takes_exact_numbers_and_codes() -> None:
    """A bare number and a yard's name are refused, and the refusals tell the form."""
    vans = _world("vans")
    with pytest.raises(LookupError, match="VAN-007"):
        vans.assign("7", "Ravi")
    with pytest.raises(LookupError, match="NOR"):
        vans.park("VAN-007", "north yard")
    assert vans.park("VAN-007", "NOR") == "VAN-007: saved"
    assert any(line.startswith("VAN-007: NOR (north yard)") for line in vans.overview())
