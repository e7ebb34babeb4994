"""How the screen reads text: one spelling for all disguises, words, numbers.

Nothing here decides; it only makes what the checks compare comparable.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
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


# Letters in boxes and circles that NFKC leaves as signs, from the first of each alphabet on.
_BOXED = {
    first + place: 65 + place
    for first in (0x1F1E6, 0x1F170, 0x1F150, 0x1F130)
    for place in range(26)
}
_UPSIDE_DOWN = str.maketrans("ɐqɔpǝɟƃɓɥᴉıɾʞlɯuodbɹsʇnʌʍxʎz", "abcdefgghiijklmnopqrstuvwxyz")


def fold(text: str) -> str:
    """One spelling: NFKC, nothing hidden, ASCII digits, quotes and dashes, single spaces."""
    if not text.isascii():
        text = HIDDEN.sub("", text).translate(_BOXED)
        text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
        text = "".join(_ascii_digit(c) if c.isdecimal() else c for c in text)
    return _SPACES.sub(" ", text).strip()


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character))


def skeleton(text: str) -> str:
    """Folded, without case, look-alikes read as Latin, letters without marks: what a pattern is
    matched against."""
    folded = fold(text)
    if folded.isascii():
        return folded.casefold()
    plain = _MARKS.sub("", unicodedata.normalize("NFD", folded.translate(_LOOKALIKES)))
    return unicodedata.normalize("NFC", plain).casefold()


_MARKS = re.compile("[\u0300-\u036f\u20d0-\u20ff]")  # of Latin letters; other scripts spell so


_NOT_WORD = re.compile(r"[\W_]+")


def words(text: str) -> str:
    """The words without case and punctuation, one space around each: ``" so that this is "``."""
    return f" {_NOT_WORD.sub(' ', fold(text).casefold()).strip()} "


# -- disguises -------------------------------------------------------------------------------------

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,6}")
_BITS = re.compile(r"(?:\b[01]{7,8}\b[\s,]*){4,}")
_CODES = re.compile(r"(?:\b(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])\b[\s,;]*){6,}")
_PAIRS_OF_HEX = re.compile(r"(?:\b(?:0x)?[2-7][0-9a-fA-F]\b[\s,:]*){6,}")
_MORSE = re.compile(r"(?:(?<![\w.-])[.\-–—•·]{1,5}(?:\s+|\s*/\s*|$)){5,}")
_MORSE_LETTERS = dict(
    zip(
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- "
        "...- .-- -..- -.-- --..".split(),
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)
_SPACED = re.compile(r"(?<!\w)(?:\w[ .,*_|/-]){4,}\w(?!\w)")
_SPACED_WORD = re.compile(r"(?<!\w)(?:[\w'’][ .,*_|/-])+\w(?!\w)")
_ALONE = re.compile(r"(?<!\w)\w(?!\w)")
_MANY = 12  # more letters alone than any formula in a sentence has
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
    found += [plain for token in _ENCODED.findall(text) for plain in _unwrapped(token, _DEPTH)]
    found += [_characters(run, 2) for run in _BITS.findall(text)]
    found += [_characters(run, 10) for run in _CODES.findall(text)]
    found += [_characters(run, 16) for run in _PAIRS_OF_HEX.findall(text)]
    found += [_morse(run) for run in _MORSE.findall(text)]
    if _SPACED.search(text):
        found.append(_SPACED.sub(lambda m: re.sub(r"[\W_]", "", m[0]), text))
    if len(_ALONE.findall(text)) >= _MANY:
        found.append(_SPACED_WORD.sub(lambda m: re.sub(r"[ .,*_|/-]", "", m[0]), text))
    return [plain for plain in found if plain != text]


_DEPTH = 3  # wrappings inside wrappings that are undone


def _unwrapped(token: str, depth: int) -> Iterator[str]:
    bare = token.rstrip("=")
    padded = bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4)
    decoders: tuple[Callable[[], bytes], ...] = (
        lambda: base64.b64decode(padded, validate=True),
        lambda: base64.b32decode(bare.upper() + "=" * (-len(bare) % 8)),
        lambda: bytes.fromhex(bare),
    )
    for decode in decoders:
        # What is no such code, or not of text, has nothing to be read in it.
        with contextlib.suppress(ValueError):
            plain = decode().decode("utf-8")
            yield plain
            for inner in _ENCODED.findall(plain) if depth > 1 else ():
                yield from _unwrapped(inner, depth - 1)


def _characters(run: str, base: int) -> str:
    codes = re.findall(r"\b(?:0x)?([0-9a-fA-F]+)\b", run)
    return "".join(chr(int(code, base)) for code in codes)


def _morse(run: str) -> str:
    signs = re.split(r"\s+", re.sub(r"[–—]", "-", re.sub(r"[•·]", ".", run)).strip())
    return "".join(" " if sign == "/" else _MORSE_LETTERS.get(sign, "?") for sign in signs)


def turned(text: str) -> Iterator[str]:
    """The text read backwards, upside down and with the alphabet turned by thirteen letters: what
    orders are looked for in, and nothing else, because any text can be turned."""
    yield text[::-1]
    yield codecs.encode(text, "rot13")
    if not text.isascii():
        for letters in (_UPSIDE_DOWN, {k: v for k, v in _UPSIDE_DOWN.items() if k > 127}):
            yield text.translate(letters)
            yield text.translate(letters)[::-1]


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
    def turned(self) -> tuple[str, ...]:
        """The text turned about, as patterns read it; for orders alone."""
        return tuple(skeleton(plain) for plain in turned(" ; ".join(self.raw)))

    @cached_property
    def run_on(self) -> tuple[str, ...]:
        """The parts read as if nothing stood between them, with a space and without: an order may
        be split over fields."""
        parts = [skeleton(part).strip(" .;:,!…-") for part in self.parts]
        return (" ".join(parts), "".join(parts))

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
