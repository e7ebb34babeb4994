"""Secrets, personal addresses and links: what must be neither stored nor followed."""

from __future__ import annotations

import math
import re
from collections import Counter

from memcollab.screen.lexicon import known_name
from memcollab.screen.reading import Reading, either
from memcollab.screen.source import SourceText

# Key formats as their issuers document them. A library was weighed and left: design/screening.md.
_KEY = either(
    r"-----\s?BEGIN [A-Z ]*PRIVATE KEY",
    r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b",  # Amazon
    r"\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}",
    r"\bgl(?:pat|dt|rt|ptt|cbt|soat|ft)-[\w-]{16,}",  # GitLab
    r"\bxox[a-z]-[\w-]{10,}|\bxapp-\d-[\w-]{10,}",  # Slack
    r"\b(?:sk|rk|pk)[-_](?:live|test|proj|ant|svcacct|admin|lf|or|user)?[-_]?(?=\D*\d)[\w-]{16,}",
    r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",  # Google
    r"\bhf_[A-Za-z0-9]{20,}|\bgsk_[A-Za-z0-9]{20,}|\bxai-[\w-]{20,}|\br8_[A-Za-z0-9]{20,}",
    r"\bnpm_[A-Za-z0-9]{20,}|\bpypi-[\w-]{20,}|\bdop_v1_\w{20,}|\bdapi[0-9a-f]{20,}",
    r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\bPMAK-[\w-]{20,}|\bshp(?:at|ca|pa|ss)_\w{20,}",
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}",  # JSON Web Token, RFC 7519
    r"\b\d{8,10}:AA[\w-]{30,}",  # Telegram
    r"(?i:accountkey|sharedaccesskey)=[\w+/=]{20,}",  # Azure
    r"(?i:\bbearer|\bbasic|\btoken)\s+(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}",
)
_NAMED = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)?|pwd|pin|secret|token|api[ _-]?key|access[ _-]?key|"
    r"client[ _-]?secret|credentials?)\b\s*(?:is|was|=|:|\bto\b)\s*[\"']?"
    r"((?=[^\s\"']*[\d!@#$%^&*])[^\s\"',;]{4,})",
    re.I,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.])\+\d[\d ().-]{7,}\d|\b\d{3}[-. ]\d{2,3}[-. ]\d{4}\b")
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?!\w)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
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
    for pattern in (_KEY, _EMAIL, _PHONE):
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
        if _luhn(re.sub(r"\D", "", match[0])):
            return match[0]
    for match in _IBAN.finditer(text):
        if _iban(match[0].replace(" ", "")):
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


def _luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0 and len(set(digits)) > 1


def _iban(account: str) -> bool:
    """The check of account numbers (ISO 13616)."""
    turned = account[4:] + account[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


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
_DOTTED = re.compile(r"[.:]\S|\bdot\b|\]\(|: ?/")


def url(reading: Reading, _source: SourceText) -> str | None:
    """A link or address of the network, also a broken-up one."""
    for text in (reading.lower, *reading.disguised):
        if not _DOTTED.search(text):
            continue
        for match in _URL.finditer(text):
            if not known_name(match[0]):
                return match[0]
    return None
