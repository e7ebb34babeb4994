"""JMESPath expressions of a mapping: compiled once, checked when loaded, bounded when evaluated.

A mapping is data, perhaps a stranger's. An expression can read the record that it is given and
nothing else; it cannot call Python, and its cost is bounded: its length, how far a multi-select can
multiply what it reads, the size of every text that a function makes, and the time of every regular
expression (1 second).

Functions beyond those of JMESPath 1.0 (https://jmespath.org/specification.html#functions):

    items(object)                  [[key, value], …]
    lines(list)                    its texts, one a line; what is null or empty is passed over
    zip(list, list)                [[a, b], …]
    parse_json(text)               the value of a JSON text, or null
    number(value)                  "1,234" → 1234, "$5.50" → 5.5, "12%" → 12, "no" → null
    same_number(a, b)              whether both are numbers, equal within 1e-6 of their size
    add(a, b) subtract(a, b) multiply(a, b) divide(a, b)    null where one is null
    capture(text, pattern)         first group (or all) of the first match, or null
    capture_all(text, pattern)     the same of every match
    matches(text, pattern)         whether the pattern is found
    replace(text, old, new)        plain text, not a pattern
    split(text, separator)  trim(text)  lower(text)  upper(text)

The functions of text give null for null, so that an absent field stays absent.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jmespath
import jmespath.exceptions
import jmespath.functions
import jmespath.visitor

from memcollab.sources.files import MAX_RECORD
from memcollab.sources.jsontext import parse
from memcollab.sources.messages import json_text
from memcollab.sources.rejections import Unfit, shown

if TYPE_CHECKING:
    import regex

MAX_LENGTH = 2000
"""Characters of an expression."""
MAX_WIDTH = 1000
"""Product of the widths of all multi-selects of an expression."""
_MOST = 1e300
_SECONDS = 1.0
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
_signature = jmespath.functions.signature
_TEXT: Any = {"types": ["string", "null"]}
_ANY: Any = {"types": []}


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> regex.Pattern[str]:
    """A pattern compiled. Raises: ValueError."""
    import regex  # 20 ms that only mappings with patterns need; it has time limits, `re` has none

    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError) as error:
        raise ValueError(f"{shown(pattern)} is no regular expression: {error}") from error


def _search(pattern: str, text: str) -> Iterator[str]:
    """The first group (or all) of every match."""
    try:
        for found in _pattern(pattern).finditer(text, timeout=_SECONDS):
            yield found.group(1 if found.re.groups else 0) or ""
    except TimeoutError:
        raise Unfit(
            "wrong-type", f"the pattern {shown(pattern)} takes above {_SECONDS} s"
        ) from None
    except ValueError as error:
        raise Unfit("wrong-type", str(error)) from None


def _check_size(size: int) -> None:
    if size > MAX_RECORD:
        raise Unfit("too-large", f"an expression makes more than {MAX_RECORD} characters")


def _check_weight(value: Any) -> None:
    """Raise where the texts and items of ``value``, written out, are more than one record."""
    weight, rest = 0, [value]
    while rest:
        item = rest.pop()
        weight += len(item) if isinstance(item, str) else 1
        _check_size(weight)
        if isinstance(item, dict):
            rest += item.values()
        elif isinstance(item, list):
            rest += item


def to_number(value: object) -> int | float | None:
    """The number that ``value`` is or spells (with thousands, currency or percent signs)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        text = value.strip().strip("$€£%").replace(",", "").replace("_", "").strip()
        if len(text) > 400 or not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    if not isinstance(value, int | float) or not -_MOST < value < _MOST:
        return None  # also what is not finite
    return int(value) if abs(value) < 2**53 and value == int(value) else value


def _arithmetic(
    apply: Callable[[float, float], float], left: object, right: object
) -> float | None:
    one, other = to_number(left), to_number(right)
    if one is None or other is None or (apply is operator.truediv and not other):
        return None
    return to_number(apply(one, other))


class Functions(jmespath.functions.Functions):
    """The functions of JMESPath, those that make texts bounded, and ours."""

    @_signature({"types": ["object", "null"]})
    def _func_items(self, value: dict[str, Any] | None) -> list[list[Any]]:
        return [[key, item] for key, item in (value or {}).items()]

    @_signature({"types": ["array", "null"]})
    def _func_lines(self, parts: list[Any] | None) -> str:
        texts = [part if isinstance(part, str) else json_text(part) for part in parts or () if part]
        _check_size(sum(map(len, texts)))
        return "\n".join(texts)

    @_signature({"types": ["array"]}, {"types": ["array"]})
    def _func_zip(self, left: list[Any], right: list[Any]) -> list[list[Any]]:
        return [list(pair) for pair in zip(left, right, strict=False)]

    @_signature(_TEXT)
    def _func_parse_json(self, text: str | None) -> Any:
        try:
            return None if text is None else parse(text.encode())
        except Unfit:
            return None

    @_signature(_ANY)
    def _func_number(self, value: Any) -> int | float | None:
        return to_number(value)

    @_signature(_ANY, _ANY)
    def _func_same_number(self, left: Any, right: Any) -> bool:
        one, other = to_number(left), to_number(right)
        if one is None or other is None:
            return False
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)

    @_signature(_ANY, _ANY)
    def _func_add(self, left: Any, right: Any) -> float | None:
        return _arithmetic(operator.add, left, right)

    @_signature(_ANY, _ANY)
    def _func_subtract(self, left: Any, right: Any) -> float | None:
        return _arithmetic(operator.sub, left, right)

    @_signature(_ANY, _ANY)
    def _func_multiply(self, left: Any, right: Any) -> float | None:
        return _arithmetic(operator.mul, left, right)

    @_signature(_ANY, _ANY)
    def _func_divide(self, left: Any, right: Any) -> float | None:
        return _arithmetic(operator.truediv, left, right)

    @_signature(_TEXT, {"types": ["string"]})
    def _func_capture(self, text: str | None, pattern: str) -> str | None:
        return next(_search(pattern, text), None) if text is not None else None

    @_signature(_TEXT, {"types": ["string"]})
    def _func_capture_all(self, text: str | None, pattern: str) -> list[str] | None:
        return list(_search(pattern, text)) if text is not None else None

    @_signature(_TEXT, {"types": ["string"]})
    def _func_matches(self, text: str | None, pattern: str) -> bool | None:
        return any(True for _ in _search(pattern, text)) if text is not None else None

    @_signature(_TEXT, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: str | None, old: str, new: str) -> str | None:
        if text is None or not old:
            return text
        _check_size(len(text) + text.count(old) * (len(new) - len(old)))
        return text.replace(old, new)

    @_signature(_TEXT, {"types": ["string"]})
    def _func_split(self, text: str | None, separator: str) -> list[str] | None:
        if text is None:
            return None
        return text.split(separator) if separator else list(text)

    @_signature(_TEXT)
    def _func_trim(self, text: str | None) -> str | None:
        return None if text is None else text.strip()

    @_signature(_TEXT)
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @_signature(_TEXT)
    def _func_upper(self, text: str | None) -> str | None:
        return None if text is None else text.upper()

    @_signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, parts: list[str]) -> str:
        _check_size(sum(map(len, parts)) + len(separator) * len(parts))
        return separator.join(parts)

    @_signature(_ANY)
    def _func_to_string(self, value: Any) -> str:
        _check_weight(value)
        return value if isinstance(value, str) else json_text(value)


@lru_cache(maxsize=1)
def _interpreter() -> jmespath.visitor.TreeInterpreter:
    return jmespath.visitor.TreeInterpreter(jmespath.Options(custom_functions=Functions()))


@dataclass(frozen=True)
class Expression:
    """One compiled expression. ``width`` above 1: it makes new structure out of what it reads."""

    text: str
    tree: Any
    width: int

    @classmethod
    def compiled(cls, text: object) -> Expression:
        """Compile and check. Raises: ValueError, in words for the person who wrote it."""
        if not isinstance(text, str):
            raise ValueError(f"{shown(text)} is no text; an expression is text in quotes")
        if len(text) > MAX_LENGTH:
            raise ValueError(f"{shown(text)} is longer than {MAX_LENGTH} characters")
        try:
            tree = jmespath.compile(text).parsed
        except jmespath.exceptions.JMESPathError as error:
            why = str(error).partition(", for expression")[0].partition("\n")[0]
            raise ValueError(f"{text!r} is no JMESPath expression: {why}") from error
        except RecursionError as error:
            raise ValueError(f"{shown(text)} is nested too deep") from error
        return cls(text, tree, _checked_width(text, tree))

    def of(self, context: Mapping[str, Any]) -> Any:
        """The value for one record; None where there is nothing. Raises: Unfit."""
        try:
            value = _interpreter().visit(self.tree, context)
        except (
            jmespath.exceptions.JMESPathError,  # a function was given what it cannot take
            ArithmeticError,
            TypeError,
            ValueError,
            RecursionError,
        ) as error:
            raise Unfit("wrong-type", f"{self.text!r}: {_why(error)}") from error
        if self.width > 1:
            _check_weight(value)
        return value


def _why(error: Exception) -> str:
    try:
        return str(error).partition("\n")[0][:200]
    except RecursionError:  # the message holds the value, which may be nested deep
        return type(error).__name__


def _checked_width(text: str, tree: Mapping[str, Any]) -> int:
    width, rest = 1, [tree]
    while rest:
        node = rest.pop()
        rest += node["children"] if node["type"] != "slice" else ()
        if node["type"] in ("multi_select_list", "multi_select_dict"):
            width *= max(2, len(node["children"]))
        elif node["type"] == "function_expression":
            _check_call(text, node)
    if width > MAX_WIDTH:
        raise ValueError(f"{shown(text)} multiplies what it reads by more than {MAX_WIDTH}")
    return width


def _check_call(text: str, node: Mapping[str, Any]) -> None:
    """The function must exist, have as many arguments, and its pattern must be one."""
    table = Functions.FUNCTION_TABLE
    name, arguments = node["value"], node["children"]
    if name not in table:
        raise ValueError(
            f"{text!r} calls {name}(), which does not exist. Valid: {', '.join(sorted(table))}"
        )
    wanted = table[name]["signature"]
    variadic = bool(wanted) and bool(wanted[-1].get("variadic"))
    if len(arguments) < len(wanted) or (len(arguments) > len(wanted) and not variadic):
        raise ValueError(f"{text!r}: {name}() takes {len(wanted)} arguments, not {len(arguments)}")
    if name in _PATTERNED and arguments[1]["type"] == "literal":
        _check_pattern(text, arguments[1]["value"])


_PATTERNED = ("capture", "capture_all", "matches")


def _check_pattern(text: str, pattern: object) -> None:
    try:
        _pattern(str(pattern))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
