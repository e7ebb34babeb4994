"""The README does what it says: its Python runs, its commands exist, its numbers name a script."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
# A number with a unit of measurement, or a share: what somebody must have measured.
MEASURED = re.compile(
    r"\d[\d,.]*\s?(?:%|ms\b|s\b|seconds?\b|minutes?\b|MB\b|MB/s|GB\b|points\b|×|x faster\b)"
)
SCRIPT = re.compile(r"(?:benchmarks|tests|runs|results|examples|docs|design)/[\w./-]+|make [a-z]+")


def executor() -> ModuleType:
    """docs/execute.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_execute", REPOSITORY / "docs/execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


execute = executor()
BLOCKS = execute.blocks(README)
PYTHON = [block for block in BLOCKS if block.language == "python"]


def shown_lines() -> list[str]:
    """Command lines of the README, without prompt and comment."""
    shells = ("console", "sh", "bash", "shell")
    lines = [
        line.removeprefix("$ ").partition("  #")[0].strip()
        for block in BLOCKS
        if block.language in shells
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
    ]
    return [line for line in lines if line]


def test_the_python_of_the_readme_is_short() -> None:
    """What a stranger reads first fits into a dozen lines."""
    assert PYTHON, "the README shows no Python"
    lines = [
        line for line in PYTHON[0].text.splitlines() if line and not line.startswith(execute.SAYS)
    ]
    assert len(lines) <= 12


def test_the_python_of_the_readme_runs_as_printed(tmp_path: Path) -> None:
    """Copied into a file beside the examples, it runs and prints what the README says."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")

    execute.run_blocks(PYTHON, tmp_path)


def test_the_commands_of_the_readme_exist() -> None:
    """Each memcollab line parses with its options; each make target is in the Makefile."""
    lines = shown_lines()
    assert {"make demo", "make test"} <= set(lines)
    for line in lines:
        if " | " in line:  # a list of commands, not a pipe
            _, *words, first = line.split(" | ")[0].split()
            for name in (first, *line.split(" | ")[1:]):
                execute.find([*words, name])
        else:
            execute.check(execute.Command(line, ()))
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.M)
    asked = {line.split()[1] for line in lines if line.startswith("make ")}
    assert asked <= set(targets)


def paragraphs() -> list[str]:
    """The README's prose: paragraphs, list items and table rows, code blocks left out.

    A table belongs together with the paragraph before it, where its source is said.
    """
    text = re.sub(r"^```.*?^```$", "", README.read_text("utf-8"), flags=re.S | re.M)
    text = re.sub(r"\n\n(?=\|)", "\n", text)
    return [part for part in re.split(r"\n\s*\n|\n(?=[-*] )", text) if part.strip()]


@pytest.mark.parametrize(
    "claim", [part for part in paragraphs() if MEASURED.search(part)], ids=lambda part: part[:40]
)
def test_a_claim_with_a_number_names_its_script(claim: str) -> None:
    """Whoever doubts a number finds what made it, in the same paragraph."""
    named = SCRIPT.findall(claim)
    assert named, f"no script is named: {claim!r}"
    for name in named:
        assert name.startswith("make ") or (REPOSITORY / name.rstrip("./")).exists(), name


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """Relative links name files of the repository."""
    for target in re.findall(r"\]\(([^)\s#]+)", README.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (REPOSITORY / target).exists(), target


def test_the_readme_names_no_file_that_git_does_not_have() -> None:
    """A link to a file that was never committed is dead for everybody else."""
    ignored = subprocess.run(
        ["git", "check-ignore", *re.findall(r"\]\(([^)\s#:]+)\)", README.read_text("utf-8"))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""
