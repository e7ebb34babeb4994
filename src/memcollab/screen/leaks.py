"""What belongs to the source task and its runs, and must not travel with the lesson: its answers,
its numbers, its names. Two scopes, two measures (design/screening.md gives the reasons):

* ``reasoning`` travels to any task and harness. Numbers, names and identifiers of the source task
  are refused, and of its runs whatever is specific.
* ``harness`` says how the tools and the finish of one harness work. The names of its tools and the
  numbers of its rules ("100 per unit", "pages of 20") are the very point and pass, although the
  runs show them; the values of the task (its customers, amounts, dates) are refused all the same.

Functions return the part that gives offence, or None.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from memcollab.screen.lexicon import FUNCTION, TRADE, WELL_KNOWN, known_name, known_type
from memcollab.screen.reading import Number, Reading, words
from memcollab.screen.source import SourceText

# -- numbers and answers ---------------------------------------------------------------------------

_NO_CONTENT = {"0", "1", "2"}  # every text has them; none is told by them
_FACTORS = _NO_CONTENT | {"10", "100", "1000"}
# The same in every task: bases, angles, the clock and the calendar.
_CONSTANTS = _FACTORS | set("24 30 60 90 180 270 360 365 1024 3600".split())
_SMALL = 12
_STATUS = re.compile(r"\b(?:status|code|http|error|response|answer|return|reject|repl)\w*\b", re.I)
_STATUSES = {str(int(status)) for status in HTTPStatus}
_PERCENT = re.compile(r"percent|per cent|hundredth", re.I)
_COUNTING = re.compile(
    r"\b(?:at least|at most|up to|more than|fewer than|less than|first|last|every|other|next|any|"
    r"or|few) $"
)
_COUNTED = frozenset(
    (
        "case cases step steps way ways part parts side sides term terms test tests example "
        "examples possibilities options methods approaches times attempts conditions groups small "
        "different independent separate distinct or and of quantities values inputs calls"
    ).split()
)


def answer(reading: Reading, source: SourceText) -> str | None:
    """What a run answered, right or wrong: a number, an expression, a name, a phrase."""
    for number in reading.numbers:
        if number.value in _FACTORS or _structural(number, reading):
            continue
        if number.value in source.answer_values:
            return number.text
    for found in source.answers:
        if _says(found, reading, source):
            return found
    return None


def _says(found: str, reading: Reading, source: SourceText) -> bool:
    """Whether a draft spells out an answer that is not a mere number.

    A plain word that the task itself offers ("odd or even?") is a topic, not a leak; for a harness
    so is any plain word ("committed"), since states and field names are what its rules speak of.
    """
    folded = words(found)
    plain = folded.strip()
    if len(plain) < 3 or plain.replace(" ", "").isdigit():
        return False
    if plain.isalpha() and found.islower():
        known = reading.harness or folded in source.task_words or len(plain) < 4
        if known or plain in _TRUTHS:
            return False
    if plain.casefold() in _TRUTHS or all(
        word in FUNCTION or word in TRADE for word in plain.split()
    ):
        return False
    return folded in f" {' '.join(reading.words)} " and _distinct(found, reading)


_TRUTHS = frozenset("true false yes no none null valid invalid unknown ok error".split())


def _distinct(found: str, reading: Reading) -> bool:
    """Not just words: "x - 1" is the answer only if the signs stand there too."""
    signs = re.sub(r"[\w\s.,;$\\{}()-]", "", found)
    return all(sign in reading.text for sign in signs)


def number_of_task(reading: Reading, source: SourceText) -> str | None:
    """Numbers of the task, as digits or spelled out, that would not stand in any other task."""
    for number in reading.numbers:
        if number.value in _NO_CONTENT or _structural(number, reading):
            continue
        if _in_task(number, reading, source) or _in_runs(number, reading, source):
            return number.text
    return None


def _in_task(number: Number, reading: Reading, source: SourceText) -> bool:
    if number.value not in source.task_values:
        return False
    if number.value in _FACTORS and (reading.harness or _PERCENT.search(reading.text)):
        return False
    if number.value in _STATUSES and _STATUS.search(reading.text):
        return False
    if number.spelled and _is_small(number.value):
        return any(n.value == number.value and n.after == number.after for n in source.task_numbers)
    return True


def _in_runs(number: Number, reading: Reading, source: SourceText) -> bool:
    """Specific numbers that only the runs show: their intermediate results, not a rule's."""
    if reading.harness or number.spelled or number.value in _CONSTANTS:
        return False
    if _is_small(number.value) or (number.value in _STATUSES and _STATUS.search(reading.text)):
        return False
    return number.value in source.run_values


def _is_small(value: str) -> bool:
    return value.isdigit() and int(value) <= _SMALL


def _structural(number: Number, reading: Reading) -> bool:
    """A spelled small number that counts what any task has: "at least three cases"."""
    if not (number.spelled and _is_small(number.value)):
        return False
    before = reading.text[: reading.text.find(number.text)].casefold()
    return number.after in _COUNTED or _COUNTING.search(before) is not None


# -- names -----------------------------------------------------------------------------------------

_NAME_LIKE = re.compile(r"[^\W_](?:[\w]|[-./:](?=\w))*|_\w+")
_ODDLY_WRITTEN = re.compile(r"[_\d]|[a-z][A-Z]|\w\.\w")
_STANDARD_NAME = re.compile(
    r"(?:utf|sha|md|base|oauth|http|int|float|uint|x)-?\d+|\d+-(?:bit|byte|digit|hour)", re.I
)
_VERSION = re.compile(r"(?<![^\W_])v\d{1,2}(?![^\W_])", re.I)
_QUOTED = re.compile(r"[\"`]([^\"`]{2,80})[\"`]|(?<!\w)'([^']{2,80})'(?!\w)")


def name_of_task(reading: Reading, source: SourceText) -> str | None:
    """Identifiers, proper names and quoted words that are the task's own."""
    for part in reading.parts:
        found = _identifier(part, reading.harness, source) or _quoted(part, reading, source)
        if found:
            return found
    return _proper_name(reading, source)


def _identifier(part: str, harness: bool, source: SourceText) -> str | None:
    if not _ODDLY_WRITTEN.search(part):
        return None
    for match in _NAME_LIKE.finditer(part):
        token = match[0].rstrip(".:/-")
        if not _is_identifier(token) or known_name(token) or _STANDARD_NAME.fullmatch(token):
            continue
        if _belongs(token, harness, source):
            return token
    return None


def _is_identifier(token: str) -> bool:
    """Written as no word is: snake_case, camelCase, a.b, letters mixed with digits."""
    if "_" in token.strip("_") or re.search(r"[a-z][A-Z]", token):
        return token.casefold() not in WELL_KNOWN
    if re.search(r"[^\W\d_]", token) is None or re.fullmatch(
        r"\d+(?:st|nd|rd|th|[a-z]|d)?", token, re.I
    ):
        return False
    digits = any(character.isdigit() for character in token)
    return digits or re.search(r"\w\.\w\w", token) is not None


def _belongs(token: str, harness: bool, source: SourceText) -> bool:
    """Whether an identifier is the task's, and not the language's or the harness's."""
    in_task = _mentions(source.task, token)
    if not harness:
        return in_task or _mentions(source.runs, token)
    if token in source.tools:
        return False
    if re.search(r"\d", _VERSION.sub("", token)):
        # Two characters are a convention ("line E2"); a record among many has a longer name.
        return in_task or (len(token) > 2 and _mentions(source.runs, token))
    called_here = f"{token}(".casefold() in source.task.casefold()
    called_there = f"{token}(".casefold() in source.runs.casefold()
    return in_task and (called_here or not called_there)


def _mentions(text: str, token: str) -> bool:
    pattern = rf"(?<![\w]){re.escape(token)}(?!\w)"
    return token in text and re.search(pattern, text) is not None


def _quoted(part: str, reading: Reading, source: SourceText) -> str | None:
    """Quoted words of the task; for a harness only what is no plain single word of it."""
    for match in _QUOTED.finditer(part):
        inner = (match[1] or match[2]).strip()
        plain = inner.isalpha() and inner.islower()
        if known_name(inner) or inner in source.tools or (plain and reading.harness):
            continue
        if len(inner) > 1 and words(inner) in source.task_words and words(inner).strip():
            return inner
    return None


def _proper_name(reading: Reading, source: SourceText) -> str | None:
    """Names with their capital; sure names in small letters too; never a word that merely opens a
    sentence in both texts."""
    names = source.names
    for part in reading.parts:
        found: list[str] = _LETTERED.findall(part)
        for position, (whole, following) in enumerate(zip(found, [*found[1:], ""], strict=True)):
            word = whole.removesuffix("'s")
            if word in names.inside and not known_type(word):
                return word
            if word.capitalize() in names.sure and not known_name(word):
                return word
            # At the start of a part a capital says nothing; two words of the task do.
            opens = position == 0 and words(f"{word} {following}") not in source.task_words
            if word in names.opening and not opens and not known_type(word):
                return word
    return None


_LETTERED = re.compile(r"[^\W\d_][\w']*")
