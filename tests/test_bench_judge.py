"""`memcollab.bench.judge`: verdicts by programs, and failures told apart."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from memcollab.bench.agent import Ending
from memcollab.bench.judge import Judgement, judge_ending, looks_behind
from memcollab.bench.sandbox import Bubblewrap, Confined, Unconfined
from memcollab.bench.tasks import BenchTask, State
from memcollab.errors import SandboxError


@pytest.fixture(scope="module")
def box_type() -> type[Confined]:
    """The real confinement where there is one."""
    from memcollab.bench import confine

    try:
        confine.check("bubblewrap")
    except SandboxError:
        return Unconfined
    return Bubblewrap


def verdict(
    box_type: type[Confined], checker: dict[str, Any], answer: str | None, how: str = "answered"
) -> Judgement:
    """Judge one ending in a fresh sandbox."""
    task = BenchTask.model_validate({"task_id": "t", "task": "Do it.", "checker": checker})
    box = box_type()
    box.files = {"state.json": b'{"open": true}'}
    return anyio.run(judge_ending, task, Ending(answer, how, 1, 1), box)


@pytest.mark.parametrize(
    ("gold", "answer", "failure"),
    [
        ("42", "42", None),
        ("42", "$42$.", None),
        (r"\frac{7}{2}", "3.5", None),
        (r"\frac{7}{2}", "x = 7/2", None),
        ("18", "18 dollars", None),
        ("1,000", "1000", None),
        ("x^2+2x", "x**2 + 2*x", None),
        (r"(3,\frac{\pi}{2})", r"\left( 3, \frac{\pi}{2} \right)", None),
        (r"\text{Tuesday}", "Tuesday", None),
        ("18", "19", "wrong"),
        (r"\frac{1}{2}", r"\frac{1}{3}", "wrong"),
    ],
)
def test_maths_is_compared_by_value(
    box_type: type[Confined], gold: str, answer: str, failure: str | None
) -> None:
    """Another form of the same value is right."""
    assert verdict(box_type, {"kind": "math", "answer": gold}, answer).failure == failure


def test_an_answer_made_to_exhaust_the_checker_is_not_right(box_type: type[Confined]) -> None:
    """It costs its limit, and the sample still gets a verdict."""
    judgement = verdict(box_type, {"kind": "math", "answer": "24"}, "9**9**9**9**9")
    assert judgement.failure in {"wrong", "unreadable"}


def test_an_exact_answer_is_text(box_type: type[Confined]) -> None:
    """Case, spaces and a closing full stop do not count; anything else does."""
    checker = {"kind": "exact", "answer": "New York"}
    assert verdict(box_type, checker, " new  york.").failure is None
    assert verdict(box_type, checker, "York").failure == "wrong"


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("def f(x):\n    return x + 1", None),
        ("def f(x):\n    return x + 1\nprint(f('a'))\nassert f(1) == 3", None),
        ("import nothing_like_it\ndef f(x):\n    return x + 1", None),
        ("f = lambda x: x + 1", None),
        ("def f(x):\n    return x", "wrong"),
        ("def f(x):\n    raise ValueError('no')", "crashed"),
        ("def f(x):\n    import sys; sys.exit(0)", "crashed"),
        ("def f(x):\n    import os; os._exit(0)", "crashed"),
        ("f = undefined", "crashed"),
        ("def f(x):\n    return f(x)", "crashed"),
    ],
)
def test_code_is_judged_by_its_tests(
    box_type: type[Confined], source: str, failure: str | None
) -> None:
    """An example below the function that raises takes nothing away; ending early gives nothing."""
    checker = {"kind": "code", "entry_point": "f", "tests": "assert f(1) == 2"}
    assert verdict(box_type, checker, source).failure == failure


def test_a_failed_assertion_inside_the_function_is_still_wrong(box_type: type[Confined]) -> None:
    """The detail names the error."""
    checker = {"kind": "code", "entry_point": "f", "tests": "assert f(1) == 2, f(1)"}
    assert verdict(box_type, checker, "def f(x): return 7").detail == "AssertionError: 7"


def test_a_state_is_what_is_left(box_type: type[Confined]) -> None:
    """The check sees the files, and the final answer by name."""
    check = "import json\nassert json.load(open('state.json'))['open'] and answer == 'done'"
    checker = {"kind": "state", "check": check}
    assert verdict(box_type, checker, "done").failure is None
    assert verdict(box_type, checker, "no").failure == "wrong"
    missing = {"kind": "state", "check": "open('absent.json')"}
    assert verdict(box_type, missing, "done").detail.startswith("FileNotFoundError")


def test_failures_of_unfinished_runs(box_type: type[Confined]) -> None:
    """What is right counts though the run did not finish; what is wrong was out of turns."""
    checker = {"kind": "math", "answer": "42"}
    assert verdict(box_type, checker, "42", "out of turns").failure is None
    assert verdict(box_type, checker, "41", "out of turns").failure == "out-of-turns"
    assert verdict(box_type, checker, None, "out of turns").failure == "never-finished"
    code = {"kind": "code", "entry_point": "f", "tests": "assert f(1) == 2"}
    assert verdict(box_type, code, None, "out of turns").failure == "unreadable"


@pytest.mark.parametrize(
    ("ending", "failure"),
    [
        (Ending("done", "answered", 3, 2), "wrong"),
        (Ending("done", "answered", 3, 2, failed=True), "crashed"),
        (Ending(None, "out of turns", 3, 3, failed=True), "crashed"),
        (Ending("42", "out of turns", 3, 3, failed=True), "crashed"),
        (Ending(None, "out of turns", 3, 3), "out-of-turns"),
        (Ending(None, "out of turns", 3, 0), "never-finished"),
        (Ending("done", "out of turns", 3, 0), "never-finished"),
        (Ending(None, "out of context", 0, 0), "never-finished"),
    ],
)
def test_failures_of_tasks_that_act(box_type: type[Confined], ending: Ending, failure: str) -> None:
    """What its programs did tells how a run failed: the last one raised, they ran, there was none.
    A state that is right is solved, however the run ended."""
    check = "import json\nassert json.load(open('state.json'))['open']"
    checker = {"kind": "state", "check": check}

    def judged(content: bytes) -> Judgement:
        task = BenchTask.model_validate({"task_id": "t", "task": "Do it.", "checker": checker})
        box = box_type()
        box.files = {"state.json": content}
        return anyio.run(judge_ending, task, ending, box)

    assert judged(b'{"open": false}').failure == failure
    assert judged(b'{"open": true}').failure is None


def test_who_looks_behind_a_tool_is_seen() -> None:
    """Naming the tool's file, or that of its state, in a program counts, and so does asking for
    source; calling the tool, files of one's own, and words about a file do not."""
    task = BenchTask(
        task_id="t",
        task="Use the Python module kiosk.",
        checker=State(kind="state", check="assert True"),
        files={"kiosk.json": "{}"},
        module="kiosk.py",
    )
    honest = [
        "import kiosk\nkiosk.refund('R32', 810)",
        "open('notes.txt', 'w').write('kiosk')",
        "There are 4 items in `kiosk.json`.",
    ]
    assert not looks_behind(task, honest)
    for behind in (
        "print(open('kiosk.py').read())",
        "json.dump({}, open('kiosk.json', 'w'))",
        "import inspect, kiosk\nprint(inspect.getsource(kiosk))",
        "print(open(kiosk.__file__).read())",
    ):
        assert looks_behind(task, [*honest, behind])


def test_a_check_that_cannot_be_carried_out_is_no_verdict(box_type: type[Confined]) -> None:
    """A check that ends its own process has told nothing, and nobody is wrong for it."""
    checker = {"kind": "state", "check": "import os; os._exit(3)"}
    with pytest.raises(SandboxError, match="exit code 3"):
        verdict(box_type, checker, "done")
    with pytest.raises(SandboxError, match="no gold"):
        verdict(box_type, {"kind": "math", "answer": " "}, "41")
