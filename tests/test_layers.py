"""The shape of the house: layers, names of files, a word of introduction in each."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "memcollab"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "manager", "base", "core", "misc", "types"}


def test_no_layer_reaches_upwards() -> None:
    """import-linter's contract of pyproject.toml holds, for every module."""
    # In a process of its own: it sets up logging so that every logger there is falls silent, and
    # the tests of logs after it would find none.
    script = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(module: Path) -> None:
    """A module opens with a docstring."""
    assert ast.get_docstring(ast.parse(module.read_text("utf-8")))


def test_no_file_has_a_name_that_says_nothing() -> None:
    """A drawer for odds and ends fills up; a file is named for its idea."""
    folders = [folder for folder in PACKAGE.rglob("*") if folder.is_dir()]
    names = {path.stem.strip("_") for path in [*MODULES, *folders]}
    assert names & FORBIDDEN == set()


def test_the_map_of_the_house_names_every_part() -> None:
    """The docstring of the package is the map: each module and package beside it stands on it."""
    plan = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))) or ""
    parts = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.name.startswith("_")
    }
    assert {part for part in parts if part not in plan} == set()
