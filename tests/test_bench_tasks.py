"""`memcollab.bench.tasks`: the task file, and what is said when it is not one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memcollab.bench.tasks import Code, Maths, load_tasks
from memcollab.errors import UsageError

MATHS = {"task_id": "m", "task": "1 + 1?", "checker": {"kind": "math", "answer": "2"}}


def write(folder: Path, *tasks: dict[str, Any] | str) -> Path:
    """A task file of these lines."""
    path = folder / "tasks.jsonl"
    lines = [task if isinstance(task, str) else json.dumps(task) for task in tasks]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_tasks_are_read_in_order(tmp_path: Path) -> None:
    """All kinds of checkers, files and modules; blank lines do not count."""
    (tmp_path / "world.py").write_text("x = 1\n", encoding="utf-8")
    code = {"kind": "code", "entry_point": "f", "tests": "assert f() == 1"}
    state = {"kind": "state", "check": "assert open('a').read()"}
    tasks = load_tasks(
        write(
            tmp_path,
            MATHS | {"category": "maths/sums"},
            "",
            {"task_id": "c", "task": "Write f.", "checker": code},
            {
                "task_id": "s",
                "task": "Act.",
                "checker": state,
                "files": {"data/a.json": "{}"},
                "module": "world.py",
            },
            {"task_id": "e", "task": "Say hi.", "checker": {"kind": "exact", "answer": "hi"}},
        )
    )
    assert [task.task_id for task in tasks] == ["m", "c", "s", "e"]
    assert isinstance(tasks[0].checker, Maths)
    assert isinstance(tasks[1].checker, Code)
    assert tasks[1].function == "f"
    assert (tasks[2].module_name, tasks[2].module_text) == ("world", "x = 1\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "tasks.jsonl:2: not JSON"),
        ("[1]", "tasks.jsonl:2: not a task"),
        (MATHS, "tasks.jsonl:2: the task_id 'm' is that of line 1 too"),
        (MATHS | {"task_id": "n", "task": ""}, "task: "),
        (MATHS | {"task_id": "n", "answer": "2"}, "answer: "),
        (MATHS | {"task_id": "n", "checker": {"kind": "vibes"}}, "checker: "),
        (MATHS | {"task_id": "n", "files": {"../x": ""}}, "not a path inside"),
        (MATHS | {"task_id": "n", "files": {"/x": ""}}, "not a path inside"),
        (MATHS | {"task_id": "n", "module": "absent.py"}, "No such file"),
        (MATHS | {"task_id": "n", "module": "not-a-name.py"}, "cannot be imported"),
        (
            MATHS | {"task_id": "n", "checker": {"kind": "state", "check": "assert ("}},
            "does not compile",
        ),
        (
            MATHS
            | {"task_id": "n", "checker": {"kind": "code", "entry_point": "f()", "tests": "1"}},
            "entry_point",
        ),
    ],
)
def test_a_line_that_is_no_task_is_named(
    tmp_path: Path, line: dict[str, Any] | str, reason: str
) -> None:
    """File, line and reason are in the message."""
    with pytest.raises(UsageError, match=r"tasks\.jsonl:2") as raised:
        load_tasks(write(tmp_path, MATHS, line))
    assert reason in str(raised.value)


def test_a_file_without_tasks_is_said(tmp_path: Path) -> None:
    """An empty or a missing file is not a collection of nothing."""
    with pytest.raises(UsageError, match="holds no task"):
        load_tasks(write(tmp_path, ""))
    with pytest.raises(UsageError, match="cannot be read"):
        load_tasks(tmp_path / "absent.jsonl")


def test_the_digest_covers_what_the_task_is(tmp_path: Path) -> None:
    """Another text, checker or module is another task for a collection that goes on."""
    module = tmp_path / "world.py"
    module.write_text("x = 1\n", encoding="utf-8")
    task = MATHS | {"module": "world.py"}
    before = load_tasks(write(tmp_path, task))[0].digest
    assert load_tasks(write(tmp_path, task))[0].digest == before
    assert load_tasks(write(tmp_path, task | {"task": "1 + 2?"}))[0].digest != before
    module.write_text("x = 2\n", encoding="utf-8")
    assert load_tasks(write(tmp_path, task))[0].digest != before
