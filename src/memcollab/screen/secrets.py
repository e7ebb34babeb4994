"""Secrets, personal addresses and links: what must be neither stored nor followed.

Secrets are looked for with the eyes of ``memcollab.scrub``, and beyond: a constraint is one
sentence, in which no long random token, no address and nothing like a telephone number has a place.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from memcollab.screen.lexicon import known_name
from memcollab.screen.reading import Reading, either
from memcollab.screen.source import SourceText
from memcollab.scrub import find, luhn

_NAMED = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)?|pwd|pin|secret|token|api[ _-]?key|access[ _-]?key|"
    r"client[ _-]?secret|credentials?)\b\s*(?:is|was|=|:|\bto\b)\s*[\"']?"
    r"((?=[^\s\"']*[\d!@#$%^&*])[^\s\"',;]{4,})",
    re.I,
)
_BEARER = re.compile(r"\b(?:bearer|basic|token)\s+(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}", re.I)
_PRIVATE = re.compile(r"-----\s?BEGIN [A-Z ]*PRIVATE KEY")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.])\+\d[\d ().-]{7,}\d|\b\d{3}[-. ]\d{2,3}[-. ]\d{4}\b")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?!\w)")
_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_WORTH_A_LOOK = re.compile(r"[\d@]|-----|[=:]")


def secret(reading: Reading, _source: SourceText) -> str | None:
    """A key, password, token, card or account number, or address of a person; masked."""
    for text in (reading.text, *reading.disguised_as_written):
        found = _found(text) if _WORTH_A_LOOK.search(text) else None
        if found:
            return mask(found)
    return None


def _found(text: str) -> str | None:
    for known in find(text):
        return text[known.start : known.end]
    for pattern in (_BEARER, _EMAIL, _PHONE, _PRIVATE):
        match = pattern.search(text)
        if match:
            return match[0]
    named = _NAMED.search(text)
    if named:
        return named[1]
    token = next((token for token in _TOKEN.findall(text) if _random(token)), None)
    return token or _account(text)


def _account(text: str) -> str | None:
    for match in _CARD.finditer(text):
        if luhn(re.sub(r"\D", "", match[0])):
            return match[0]
    return None


def _random(token: str) -> bool:
    """A long unbroken run of letters and digits that no language makes.

    Prose has no such token: its longest words have no digits, and what is hyphenated or an
    identifier falls into short pieces. 20 random hexadecimal digits reach 3.2 bits a character.
    """
    if not (any(c.isdigit() for c in token) and any(c.isalpha() for c in token)):
        return False
    if max(map(len, re.split(r"[-_/]", token))) < 12:
        return False
    counts = Counter(token)
    entropy = -sum(n / len(token) * math.log2(n / len(token)) for n in counts.values())
    return entropy >= 3.2


def mask(text: str) -> str:
    """Enough of a secret to find it again, not to use it."""
    return f"{text[:3]}… ({len(text)} characters)"


_DOMAIN = (
    "com|org|net|edu|gov|mil|info|biz|dev|app|xyz|site|online|shop|cloud|club|top|link|click|page|"
    "icu|eu|uk|de|fr|ru|cn|jp|br|nl|pl|es|it|ch|onion|ai|io|co"
)
_URL = either(
    r"\b(?:https?|hxxps?|ftps?|sftp|wss?|file|ssh|git)\s?:\s?//?\s?[^\s/]+[^\s]*",
    r"\b(?:javascript|mailto|tel):\S+|\bdata:[\w+.-]+/[\w+.-]+[;,]\S*",
    r"\bwww\d?\.[^\s]+",
    rf"\b(?:[a-z0-9-]+\.)+(?:{_DOMAIN})(?![\w(])(?:[:/][^\s]*)?",
    r"\b[a-z0-9-]+ ?[\[(]?(?:\.|dot)[\])]? ?(?:com|org|net|onion)\b",
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])",
    r"(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])",
    r"\]\([^)]*\)",
    flags=re.I,
)
_STOPS = str.maketrans("。｡．", "...")  # what resolvers take for a dot (RFC 3490)
_DOTTED = re.compile(r"[.:]\S|\bdot\b|\]\(|: ?/")


def url(reading: Reading, source: SourceText) -> str | None:
    """A link or address of the network, also a broken-up one. "members.page" is none where a draft
    calls it and the runs do too (or where no run is at hand, as on import).
    """
    for text in (reading.lower.translate(_STOPS), *reading.disguised):
        if not _DOTTED.search(text):
            continue
        for match in _URL.finditer(text):
            known = not source.run_texts or match[0] in source.tools
            called = known and f"{match[0]}(" in reading.lower
            if not (called or known_name(match[0])):
                return match[0]
    return None
