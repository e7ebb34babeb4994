"""JSON in parts: the same values as a parser that reads it whole, however the bytes arrive."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.sources.jsontext import elements, parse
from memcollab.sources.rejections import Unfit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Trickle:
    """A stream that hands out a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = data, step

    def read(self, _size: int, /) -> bytes:
        data, self._data = self._data[: self._step], self._data[self._step :]
        return data


def parts(
    data: bytes, step: int = 1 << 20, into: str | None = None
) -> list[tuple[str | None, Any]]:
    """The parts of a document, parsed."""
    found = elements(Trickle(data, step), into)
    return [(key, part if isinstance(part, Unfit) else parse(part)) for key, part in found]


@given(st.lists(JSON), st.integers(1, 30), st.sampled_from([None, 1]), st.booleans())
def test_an_array_comes_out_element_by_element(
    values: list[Any], step: int, indent: int | None, ascii_only: bool
) -> None:
    """Elements of an array are those that a whole parse gives, however it is written and cut."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert [part for _, part in parts(text, step)] == values


@given(st.dictionaries(st.text(), JSON), st.lists(JSON), st.integers(1, 30))
def test_an_object_comes_out_member_by_member(
    members: dict[str, Any], samples: list[Any], step: int
) -> None:
    """Members of an object come whole, but the one that is asked for in its elements."""
    members.pop("samples", None)
    text = json.dumps({**members, "samples": samples}).encode()
    expected = [*members.items(), *(("samples", sample) for sample in samples)]
    assert parts(text, step, into="samples") == expected


@given(JSON, st.data())
def test_a_cut_document_is_truncated_behind_its_whole_parts(
    value: Any, data: st.DataObject
) -> None:
    """A document that ends too early gives its whole elements and then says so."""
    text = json.dumps([value, value]).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    stream = elements(Trickle(text[:cut], 7))
    seen = []
    with pytest.raises(Unfit, match="truncated"):
        seen.extend(part for _, part in iter(lambda: next(stream), None))
    assert all(not isinstance(part, Unfit) and parse(part) == value for part in seen)


def test_a_value_above_the_limit_is_passed_over_and_the_next_is_read() -> None:
    """A part above 64 MB is handed out as too-large; what follows it is good."""
    text = b'["' + b"x" * (65 * 1024 * 1024) + b'", 2]'
    first, second = parts(text)
    assert isinstance(first[1], Unfit)
    assert (first[1].reason, second[1]) == ("too-large", 2)


@pytest.mark.parametrize("text", ["{]", "[1 2]", "3", "[,]", '{"a" 1}', "[" + "1" * 5000])
def test_what_is_no_json_is_named(text: str) -> None:
    """A document that breaks the grammar is rejected as such."""
    with pytest.raises(Unfit, match="not-json"):
        parts(text.encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\\ud800x"', "\ufffdx"),
        (b'{"\\udfff": ["\\ud800"]}', {"\ufffd": ["\ufffd"]}),
        (b"[Infinity]", [float("inf")]),
    ],
)
def test_what_pythons_own_writer_emits_is_read(text: bytes, value: Any) -> None:
    """NaN, Infinity and halves of surrogate pairs, which the standard forbids, come in storable."""
    assert parse(text) == value
    assert str(parse(b"[NaN]")) == "[nan]"


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_named(data: bytes) -> None:
    """No bytes raise anything but the named fault."""
    with contextlib.suppress(Unfit):
        parse(data)
