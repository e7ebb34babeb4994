"""JSON text to values, as Python and JavaScript programs really write it, one part at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from memcollab.sources.files import MAX_RECORD, RunFile
from memcollab.sources.rejections import Unfit
from memcollab.sources.streams import CHUNK, Readable

_SPACE = b" \t\r\n"
_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
_STRING_STOP = re.compile(rb'["\\]')
_NESTING = re.compile(rb'["{}\[\]]')
_SCALAR_END = re.compile(rb"[,\]} \t\r\n]")


def parse(data: bytes) -> Any:
    """The value of a JSON text.

    Accepts beyond the standard what Python's own writer emits: ``NaN`` and ``Infinity``, and half
    of a surrogate pair, which becomes U+FFFD because it cannot be stored as UTF-8.

    Raises:
        Unfit: ``not-json``.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    try:
        return _without_surrogates(json.loads(data))
    except UnicodeDecodeError as error:
        raise Unfit("not-json", f"no UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise Unfit("not-json", reason) from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(value[key]) for key in value}
    return value


def json_lines(file: RunFile) -> Iterator[tuple[int, Any | Unfit]]:
    """Each line's number and value, or what is wrong with it. Never raises.

    A last line that is no JSON and has no line end is ``truncated``: the writer was stopped.
    """
    for line in file.lines():
        if line.problem is not None:
            yield line.number, line.problem
            continue
        try:
            yield line.number, parse(line.data)
        except Unfit as problem:
            cut = not line.ended and line.number > 1
            yield line.number, Unfit("truncated", "half a line") if cut else problem


def elements(
    stream: Readable, into: str | None = None
) -> Iterator[tuple[str | None, bytes | Unfit]]:
    """The parts of one JSON document, as text, while it is read.

    Of an array: ``(None, element)`` each. Of an object: ``(key, value)`` each, but for the key
    ``into``, whose array is handed out element by element. A part above 64 MB is passed over and
    handed out as ``Unfit`` ``too-large``.

    Raises:
        Unfit: ``truncated`` or ``not-json`` where the document breaks; what came before was given.
    """
    cursor = _Cursor(stream)
    opening = cursor.next_char()
    if opening == b"[":
        for part in cursor.array():
            yield None, part
    elif opening == b"{":
        yield from cursor.members(into)
    else:
        raise Unfit("not-json", "neither an object nor an array")


class _Cursor:
    """A place in a JSON text that is read piece by piece."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._text, self._at = stream, b"", 0

    def _more(self) -> None:
        """Read on, in pieces that grow with what is held, so that long values stay linear."""
        data = self._stream.read(max(CHUNK, len(self._text) - self._at))
        if not data:
            raise Unfit("truncated", "the JSON document ends in the middle")
        self._text = self._text[self._at :] + data
        self._at = 0

    def next_char(self, *, take: bool = False) -> bytes:
        """The next byte that is no space; with ``take`` it is passed."""
        while (found := _NOT_SPACE.search(self._text, self._at)) is None:
            self._at = len(self._text)
            self._more()
        self._at = found.start()
        if self._at == 0 and found.group() == b"\xef":  # a byte order mark
            self._at = 3
            return self.next_char(take=take)
        self._at += take
        return found.group()

    def array(self) -> Iterator[bytes | Unfit]:
        """The elements of the array that begins here."""
        self._expect(b"[")
        if self.next_char() == b"]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._expect(b",]") == b"]":
                return

    def members(self, into: str | None) -> Iterator[tuple[str | None, bytes | Unfit]]:
        """The members of the object that begins here."""
        self._expect(b"{")
        if self.next_char() == b"}":
            return
        while True:
            name = self._value()
            if isinstance(name, Unfit):
                raise name
            key = str(parse(name))
            self._expect(b":")
            if key == into and self.next_char() == b"[":
                for part in self.array():
                    yield key, part
            else:
                yield key, self._value()
            if self._expect(b",}") == b"}":
                return

    def _expect(self, allowed: bytes) -> bytes:
        found = self.next_char(take=True)
        if found not in allowed:
            raise Unfit("not-json", f"{found!r} where one of {allowed!r} belongs")
        return found

    def _value(self) -> bytes | Unfit:
        """The text of the value that begins here; the cursor ends behind it."""
        first = self.next_char()
        if first not in b'"{[':
            return self._scalar()
        passed, depth, end, text = 0, 0, self._at, False
        while True:
            found = (_STRING_STOP if text else _NESTING).search(self._text, end)
            if found is None:
                end, passed = self._onwards(passed)
                continue
            end, char = found.end(), found.group()
            if char == b"\\":
                if end == len(self._text):
                    end = self._keep()
                end += 1
            elif char == b'"':
                text = not text
            else:
                depth += 1 if char in b"{[" else -1
            if depth <= 0 and not text:
                return self._take(end, passed)

    def _keep(self) -> int:
        """Read on with the place in the text unchanged; gives the new end of the old text."""
        held = len(self._text) - self._at
        self._more()
        return held

    def _onwards(self, passed: int) -> tuple[int, int]:
        """Read on inside a value; one above the limit is let go as it passes."""
        held = len(self._text) - self._at
        if passed or held > MAX_RECORD:
            passed += held
            self._at = len(self._text)
            held = 0
        self._more()
        return held, passed

    def _take(self, end: int, passed: int) -> bytes | Unfit:
        text, self._at = self._text[self._at : end], end
        if passed or len(text) > MAX_RECORD:
            return Unfit("too-large", f"{passed + len(text)} bytes")
        return text

    def _scalar(self) -> bytes:
        while (found := _SCALAR_END.search(self._text, self._at)) is None:
            if len(self._text) - self._at > 4096:
                raise Unfit("not-json", "a number or word of more than 4096 bytes")
            self._more()
        text, self._at = self._text[self._at : found.start()], found.start()
        if not text:
            raise Unfit("not-json", f"{found.group()!r} where a value belongs")
        return text
