"""Is this a constraint at all: three parts, sentences, of a size to be read?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from memcollab.screen.reading import HIDDEN, Reading, mixed_scripts

MAX_PART = 350
MAX_WHOLE = 700

_LEAST_WORDS = 5
_NAMES = ("when", "enforce", "avoid")
_LIST = re.compile(r"^\s*(?:[-*•‣◦]\s|\d+[.)]\s|#{1,6}\s|\|)")
_WORD = re.compile(r"[^\W\d_]+")
_NOTHING = re.compile(
    r"\W*(?:n/?a|none|null|nil|nothing|unknown|tbd|todo|string|text|empty|not applicable|"
    r"condition|situation|when|enforce|avoid|\.\.\.|…)?\W*",
    re.I,
)
_BLANK = re.compile(r"(?:\.\.\.|…|\[[^\]]{0,40}\]|<[^>]{0,40}>|\{[^}]{0,40}\}|_{2,})")
_ODD = {"Cc", "Cn", "Co", "Cs"}
_WITHOUT_SPACES = 0x2E80  # from here on: Han, Kana, Hangul and the like


def too_long(reading: Reading) -> str | None:
    """A constraint is read together with others by small models: it must be short."""
    for name, part in zip(_NAMES, reading.raw, strict=True):
        if len(part) > MAX_PART:
            return f"{name} has {len(part)} characters, at most {MAX_PART} are allowed"
    whole = sum(map(len, reading.raw))
    if whole > MAX_WHOLE:
        return f"{whole} characters in all, at most {MAX_WHOLE} are allowed"
    return None


def misshapen(reading: Reading) -> str | None:
    """Parts that are missing, no sentences, several lines, or unreadable."""
    for name, raw, part in zip(_NAMES, reading.raw, reading.parts, strict=True):
        if _NOTHING.fullmatch(part) or _BLANK.fullmatch(part.strip()):
            return f"{name} is missing"
        if "\n" in raw.strip() or "\r" in raw.strip() or _LIST.match(raw):
            return f"{name} holds line breaks or a list"
        fault = _unreadable(raw, part)
        if fault:
            return f"{name}: {fault}"
    if not _words_enough(reading.text, _LEAST_WORDS):
        return f"fewer than {_LEAST_WORDS} words in all"
    distinct = {part.casefold() for part in reading.parts}
    return None if len(distinct) == len(reading.parts) else "two parts say the same"


def _unreadable(raw: str, part: str) -> str | None:
    odd = not raw.isprintable() and any(unicodedata.category(c) in _ODD for c in raw)
    if odd or "\ufffd" in raw:
        return "control or undefined characters"
    letters = sum(character.isalpha() for character in part)
    if 2 * letters < len(part.replace(" ", "")):
        return "hardly any letters"
    found = [word.casefold() for word in _WORD.findall(part)]
    if len(found) >= 12 and len(set(found)) < len(found) / 3:
        return "the same words again and again"
    most = Counter(found).most_common(1)
    if len(found) >= 6 and most[0][1] > len(found) / 2:
        return "the same word again and again"
    return None if _words_enough(part, 1) else "no word"


def _words_enough(part: str, least: int) -> bool:
    """Words by spaces; in scripts without spaces two characters count as one word."""
    found = _WORD.findall(part)
    dense = sum(1 for word in found for character in word if ord(character) >= _WITHOUT_SPACES)
    return len(found) >= least or dense >= 2 * least


_JOINERS = "\u200c\u200d"


def hidden(reading: Reading) -> str | None:
    """Characters that a person does not see; joiners belong to the spelling of some scripts."""
    for part in reading.raw:
        if part.isascii():
            continue
        for match in HIDDEN.finditer(part):
            around = part[max(0, match.start() - 1) : match.end() + 1].replace(match[0], "")
            spelling = match[0] in _JOINERS and around and all(ord(c) >= 0x0590 for c in around)
            if not spelling:
                return f"U+{ord(match[0]):04X} {unicodedata.name(match[0], 'unnamed')}"
    return None


def mixed(reading: Reading) -> str | None:
    """Words whose letters come from several alphabets."""
    for part in reading.raw:
        word = mixed_scripts(part)
        if word is not None:
            return word
    return None
