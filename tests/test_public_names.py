"""The public door: ``memcollab.__all__`` and nothing else, cheap to open."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import memcollab

PUBLIC = {
    "Agent",
    "Category",
    "Constraint",
    "LearnReport",
    "MemCollab",
    "MemCollabError",
    "Outcome",
    "Recall",
    "RecallEntry",
    "Recipe",
    "ScriptedModel",
    "Step",
    "Task",
    "ToolCall",
    "Trajectory",
    "Usage",
    "Verdict",
    "__version__",
}
HEAVY = ("torch", "ray", "inspect_ai", "litellm", "pydantic_ai", "sqlalchemy", "wordllama")


def in_a_new_python(code: str) -> str:
    """What ``code`` prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_door_lists_exactly_what_is_public() -> None:
    """A name is added or taken away here on purpose, never by accident."""
    assert set(memcollab.__all__) == PUBLIC
    assert len(memcollab.__all__) == len(PUBLIC)


def test_dir_offers_what_the_door_lists() -> None:
    """Completion in a shell knows the lazy names too."""
    assert set(dir(memcollab)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_had_and_says_what_it_is(name: str) -> None:
    """Each name is importable, and a class says in its docstring what it is for."""
    found = getattr(memcollab, name)
    if name == "__version__":
        assert found.count(".") == 2
        return
    assert found.__name__ == name
    assert found.__module__.startswith("memcollab.")
    assert inspect.getdoc(found), f"{name} has no docstring"
    assert not found.__doc__.startswith(f"{name}("), f"{name} has a generated docstring"


@pytest.mark.parametrize("name", ["MemCollab", "ScriptedModel"])
def test_every_public_method_says_what_it_does(name: str) -> None:
    """What users call is documented where they look first."""
    methods = inspect.getmembers(getattr(memcollab, name), inspect.isroutine)
    bare = [
        method
        for method, function in methods
        if not method.startswith("_") and not inspect.getdoc(function)
    ]
    assert bare == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy door fails as a module does, so that ``hasattr`` and typos work as ever."""
    with pytest.raises(AttributeError, match="Memcolab"):
        memcollab.Memcolab  # noqa: B018  looking the name up is the test


def test_importing_does_no_work() -> None:
    """No heavy library, no logging set-up, no thread, no file: only names."""
    code = (
        "import sys, threading, logging, memcollab\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(heavy, threading.active_count(), logging.getLogger().handlers)"
    )
    assert in_a_new_python(code) == "[] 1 []"


def test_importing_every_name_brings_no_heavy_library_that_only_some_need() -> None:
    """Whoever recalls pays for no model client and no evaluation harness."""
    code = (
        "import sys, memcollab\n"
        "[getattr(memcollab, name) for name in memcollab.__all__]\n"
        "print([n for n in ('torch', 'ray', 'inspect_ai', 'litellm', 'pydantic_ai', 'openai')"
        " if n in sys.modules])"
    )
    assert in_a_new_python(code) == "[]"
