"""How the screen reads text: one spelling for all disguises, words, numbers.

Nothing here decides; it only makes what the checks compare comparable.
"""

from __future__ import annotations

import base64
import contextlib
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from memcollab.patterns import Pattern
from memcollab.records import Draft

# Characters that are not seen: soft hyphen, fillers, joiners, direction marks, variation selectors,
# tags (Unicode Cf and what behaves like it). Ordinary control characters are the form's business.
HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)

# Letters of other alphabets that print like Latin ones: the part of Unicode's confusables
# (UTS #39) that people and attackers do use, in pairs. Compatibility forms fall to NFKC.
_PAIRS = (
    "аa вb еe ёe іi їi јj кk мm нh оo рp сc тt уy хx һh ԁd ԛq ԝw ѕs пn гr "
    "АA ВB ЕE ЁE ІI ЇI ЈJ КK МM НH ОO РP СC ТT УY ХX ЅS ԌG ԚQ ԜW "
    "αa βb γy εe ηn ιi κk νv οo ρp τt υu χx ωw ϲc "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX "
    "օo սu հh ոn ցg ՕO ՍU ıi ɡg ɑa ɩi ᴀa ᴄc ᴅd ᴇe ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz"
)
_LOOKALIKES = str.maketrans({pair[0]: pair[1] for pair in _PAIRS.split()})
_QUOTES = str.maketrans("‘’‚‛“”„‟′″‐‑‒–—−", "''''\"\"\"\"'\"------")
_SPACES = re.compile(r"\s+")


def either(*patterns: str, flags: re.RegexFlag = re.NOFLAG) -> Pattern:
    """One pattern that matches where any of these does."""
    return Pattern("|".join(f"(?:{pattern})" for pattern in patterns), flags)


def at_word(*patterns: str) -> Pattern:
    """The same for patterns that begin at a word: one look for its start instead of one each."""
    return Pattern(r"\b(?:" + "|".join(f"(?:{pattern})" for pattern in patterns) + ")")


def fold(text: str) -> str:
    """One spelling: NFKC, nothing hidden, ASCII digits, quotes and dashes, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", HIDDEN.sub("", text)).translate(_QUOTES)
        text = "".join(_ascii_digit(c) if c.isdecimal() else c for c in text)
    return _SPACES.sub(" ", text).strip()


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character))


def skeleton(text: str) -> str:
    """Folded, without case, look-alikes read as Latin: what a pattern is matched against."""
    folded = fold(text)
    return (folded if folded.isascii() else folded.translate(_LOOKALIKES)).casefold()


_NOT_WORD = re.compile(r"[\W_]+")


def words(text: str) -> str:
    """The words without case and punctuation, one space around each: ``" so that this is "``."""
    return f" {_NOT_WORD.sub(' ', fold(text).casefold()).strip()} "


# -- disguises -------------------------------------------------------------------------------------

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .,*_|/-]){4,}\w(?!\w)")
_LEET = re.compile(r"(?<!\w)(?=\w*[A-Za-z]\w*[A-Za-z])(?=\w*\d)\w{3,}")
_LEET_LETTERS = str.maketrans("0134578", "oieastb")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")


def decodings(text: str) -> list[str]:
    """What the text becomes when simple wrappings are undone: percent signs, HTML entities,
    backslash escapes, digits for letters, base64, hexadecimal, letters set apart."""
    found = []
    if "%" in text:
        found.append(unquote(text))
    if "&" in text:
        found.append(html.unescape(text))
    if "\\" in text:
        found.append(_ESCAPED.sub(lambda m: chr(int(m[1] or m[2], 16)), text))
    if _LEET.search(text):
        found.append(_LEET.sub(lambda m: m[0].translate(_LEET_LETTERS), text))
    found += [plain for token in _ENCODED.findall(text) for plain in _unwrapped(token)]
    if _SPACED.search(text):
        found.append(_SPACED.sub(lambda m: re.sub(r"[\W_]", "", m[0]), text))
    return [plain for plain in found if plain != text]


def _unwrapped(token: str) -> Iterator[str]:
    padded = token.rstrip("=").replace("-", "+").replace("_", "/")
    padded += "=" * (-len(padded) % 4)
    # What is not base64 or hexadecimal, or not of text, has nothing to be read in it.
    with contextlib.suppress(ValueError):
        yield base64.b64decode(padded, validate=True).decode("ascii")
    with contextlib.suppress(ValueError):
        yield bytes.fromhex(token).decode("ascii")


_LETTERS = re.compile(r"[^\W\d_]{2,}")


def mixed_scripts(text: str) -> str | None:
    """A word of letters from several alphabets, or one of look-alikes in a Latin sentence.

    Single Greek letters and Greek beside one Latin letter are mathematics ("Δx") and pass.
    """
    if text.isascii():
        return None
    found: list[str] = _LETTERS.findall(unicodedata.normalize("NFKC", HIDDEN.sub("", text)))
    for word in found:
        scripts = {_script(letter) for letter in word} - {"OTHER"}
        if "CYRILLIC" in scripts and len(scripts) > 1:
            return word
        if {"GREEK", "LATIN"} <= scripts and len(word) > 3:
            return word
        if scripts == {"CYRILLIC"} and word.translate(_LOOKALIKES).isascii() and _latin(text):
            return word
    return None


def _script(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "OTHER").split()[0]
    return name if name in {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN"} else "OTHER"


def _latin(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c.isascii() for c in letters) > len(letters)


# -- numbers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A number in a text: its value as canonical digits, as it stands there, spelled or not, and
    the word after it."""

    value: str
    text: str
    spelled: bool
    after: str


_DIGITS = re.compile(r"(?<![\w.])(?:\d+(?:\.\d+){2,}|\d[\d,]*(?:\.\d+)?|\.\d+)")
_NEXT = re.compile(r"[\s-]*([^\W\d_]*)")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SPELLED = {word: value for value, word in enumerate(_SMALL)}
_SPELLED |= {word: 10 * (place + 2) for place, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_NUMBER_WORD = "|".join([*_SPELLED, *_SCALES, "dozen"])
_SPELLED_OUT = re.compile(
    rf"\b(?:{_NUMBER_WORD})(?:(?:[\s-]+and)?[\s-]+(?:{_NUMBER_WORD}))*\b", re.I
)


def numbers(text: str) -> Iterator[Number]:
    """Every number of a folded text. Digits inside identifiers ("v2") are no numbers.

    "1,250" is one thousand two hundred and fifty; "(1,250)" in a list of values cannot be told from
    it, so the pieces between commas and those of dotted dates are given as well.
    """
    for match in _DIGITS.finditer(text):
        after = _NEXT.match(text, match.end())
        noun = after[1].casefold() if after else ""
        for value in _values(match[0]):
            yield Number(value, match[0].strip(","), False, noun)
    for match in _SPELLED_OUT.finditer(text):
        after = _NEXT.match(text, match.end())
        noun = after[1].casefold() if after else ""
        yield Number(str(_spelled(match[0])), match[0], True, noun)


def _values(digits: str) -> set[str]:
    whole = digits.strip(",")
    if whole.count(".") > 1:
        return {canonical(piece) for piece in whole.split(".")}
    pieces = {canonical(piece) for piece in whole.split(",") if piece}
    return {canonical(whole.replace(",", "")), canonical(whole.replace(",", ".", 1)), *pieces}


def canonical(digits: str) -> str:
    """ "007" → "7", "14.40" → "14.4", ".5" → "0.5"; what has two commas or dots stays."""
    whole, _, fraction = digits.partition(".")
    whole = whole.lstrip("0") or "0"
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _spelled(phrase: str) -> int:
    total = current = 0
    for word in re.split(r"[\s-]+", phrase.casefold()):
        if word == "dozen":
            current = (current or 1) * 12
        elif word in _SCALES and _SCALES[word] > 100:
            total, current = total + (current or 1) * _SCALES[word], 0
        elif word in _SCALES:
            current = (current or 1) * 100
        else:
            current += _SPELLED.get(word, 0)
    return total + current


# -- a draft, read ---------------------------------------------------------------------------------


class Reading:
    """A draft in the spellings that the checks ask for, each made once."""

    def __init__(self, draft: Draft) -> None:
        self.raw = (draft.when, draft.enforce, draft.avoid)
        self.harness = draft.scope == "harness"

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The three parts, folded, with case."""
        return tuple(fold(part) for part in self.raw)

    @cached_property
    def text(self) -> str:
        """All three, with case; " ; " between them, so that few patterns span two."""
        return " ; ".join(self.parts)

    @cached_property
    def lower(self) -> str:
        """The text as patterns read it: without case, look-alikes as Latin."""
        return skeleton(self.text)

    @cached_property
    def advice(self) -> str:
        """When and enforce alone, as ``lower``: what a reader is told to do."""
        return skeleton(" ; ".join(self.parts[:2]))

    @cached_property
    def folded(self) -> str:
        """The text without case, each letter in its own alphabet."""
        return self.text.casefold()

    @cached_property
    def disguised_as_written(self) -> tuple[str, ...]:
        """What the text says once unwrapped; usually nothing."""
        return tuple(decodings(" ; ".join(self.raw)))

    @cached_property
    def disguised(self) -> tuple[str, ...]:
        """The same as patterns read it."""
        return tuple(skeleton(plain) for plain in self.disguised_as_written)

    @cached_property
    def words(self) -> list[str]:
        """The words of all parts in order, without case and punctuation."""
        return words(self.text).split()

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The numbers of all parts, without those that name a standard ("ISO 8601", "64-bit")."""
        return tuple(numbers(_STANDARD.sub(" ", self.text)))


_STANDARD = re.compile(
    r"\b(?:iso|rfc|ieee|utf|sha|md|http|base|python|unicode|latin|cp|ascii|version|oauth|tls)[ -]?"
    r"\d+(?:[.:-]\d+)*\b|\b\d+-?bit\b",
    re.I,
)
