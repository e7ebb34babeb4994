"""`memcollab.bench.launcher`: files as records, read by a host that believes nothing."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from memcollab.bench import launcher

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@given(st.dictionaries(NAMES, st.none() | st.binary(max_size=100)))
def test_files_are_read_back_as_written(files: dict[str, bytes | None]) -> None:
    """Files and folders, whatever their names; zeros behind them, as in a memory file, end them."""
    stream = io.BytesIO()
    for name, content in files.items():
        launcher.write_record(stream, name, content)
    padded = io.BytesIO(stream.getvalue() + bytes(100))
    assert dict(launcher.read_records(padded, 10**6)) == files


@given(st.binary(max_size=400), st.integers(0, 200))
def test_hostile_records_are_bounded(data: bytes, most: int) -> None:
    """Whatever the bytes, reading ends, and no more content is taken than was allowed."""
    found = list(launcher.read_records(io.BytesIO(data), most))
    assert sum(len(content or b"") for _, content in found) <= most


def test_a_length_that_is_a_lie_takes_no_memory() -> None:
    """A record that claims more than is allowed ends the reading before anything is read."""
    claim = launcher.HEAD.pack(1, 2**60) + b"x"
    assert list(launcher.read_records(io.BytesIO(claim), 10**6)) == []


def test_it_needs_nothing_but_the_standard_library() -> None:
    """It runs where this package is not."""
    tree = ast.parse(Path(launcher.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
