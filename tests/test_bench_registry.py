"""`memcollab.bench.registry`: what an installed package offers to Inspect."""

from __future__ import annotations

import tomllib
from pathlib import Path

from inspect_ai import Task
from inspect_ai.dataset import Sample

from memcollab.bench import registry


def test_the_sandbox_is_known_by_name() -> None:
    """``sandbox="bubblewrap"`` in any task."""
    task = Task([Sample("x")], sandbox="bubblewrap")
    assert task.sandbox is not None
    assert task.sandbox.type == "bubblewrap"
    assert registry.Bubblewrap.kind == "bubblewrap"


def test_the_package_points_inspect_to_the_registry() -> None:
    """The entry point names a module that exists."""
    project = Path(__file__).parent.parent / "pyproject.toml"
    points = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["entry-points"]
    assert points["inspect_ai"] == {"memcollab": registry.__name__}
