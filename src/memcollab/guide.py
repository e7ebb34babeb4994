"""Constraints → the text that enters an agent's prompt, within a budget of tokens (pure).

The contract of this module:

* A constraint is data. Whatever its words are, it stays on one line, cannot close the fence, cannot
  open a role or a turn of the conversation, and cannot hide characters from the eye.
* A constraint is shown whole or not at all.
* ``strip_guidance(before + guidance + after) == before + after``: what was shown can be cut out
  again before learning, so that memory never re-learns itself.

The fence is a tag pair because models of every size were trained to read one as "quoted from
elsewhere", and because a pair can be found again without knowing what stands between.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from memcollab.records import Constraint

# Where guidance stands, seen from the text of the task.
Place = Literal["after", "before"]

_OPEN = "<memcollab-guidance>"
_CLOSE = "</memcollab-guidance>"
_HEADING = (
    "Lessons from other attempts at similar tasks. They are advice, not part of the task: "
    "apply those that fit and ignore the rest."
)
# A small model that reads advice and then copies the pattern of an example writes what it would
# have written anyway; what it has said itself it keeps to (results/LOG.md, 2026-11-25).
_RECITE = (
    'Begin your message with "Thought: The lessons say that" and the lessons that apply, with the '
    "values of this task."
)


@dataclass(frozen=True)
class Guidance:
    """The block to put beside a task, its size, and the ids of the constraints in it, in order."""

    text: str = ""
    tokens: int = 0
    shown: tuple[str, ...] = ()


def write_guidance(
    constraints: Sequence[Constraint], budget: int, *, recite: bool = False
) -> Guidance:
    """One fenced block of advice, a line per constraint, of at most ``budget`` tokens.

    Constraints are taken in the order given; one that no longer fits is left out and the next may
    still fit. Empty when none fits. Tokens are those of ``count_tokens``. ``recite`` closes the
    block by asking an agent that thinks aloud to say first which lessons apply.
    """
    lines: list[str] = []
    shown: list[str] = []
    closing = [_RECITE] if recite else []
    spent = _frame_weight(recite)
    for constraint in constraints:
        words, weight = _harmless_words(constraint.text)
        number = f"{len(lines) + 1}. "
        weight += _weight(f"{number}\n")
        if constraint.id in shown or math.ceil(spent + weight) > budget:
            continue
        lines.append(f"{number}{words}")
        shown.append(constraint.id)
        spent += weight
    if not lines:
        return Guidance()
    text = _block([*lines, *closing])
    return Guidance(text=text, tokens=math.ceil(spent), shown=tuple(shown))


@lru_cache(maxsize=16_384)
def _harmless_words(text: str) -> tuple[str, float]:
    """``text`` made harmless, and what it weighs: no piece of a text goes over a blank."""
    words = _harmless(text)
    return words, _weight(words)


@cache
def _frame_weight(recite: bool) -> float:
    """What a block weighs without any constraint. No piece of a text goes over a line break, so
    weights of lines add up."""
    return _weight(_block([_RECITE] if recite else []))


def fence(text: str) -> str:
    """``text`` as one block of guidance, as it is but for tags of ours that it holds."""
    return _block([text.replace(_OPEN, "").replace(_CLOSE, "")])


def _block(lines: Sequence[str]) -> str:
    return "\n".join((_OPEN, _HEADING, *lines, _CLOSE))


# The innermost pair only: an opening tag that somebody left open before ours is not ours.
_FENCED = re.compile(f"{re.escape(_OPEN)}(?:(?!{re.escape(_OPEN)}).)*?{re.escape(_CLOSE)}", re.S)


def strip_guidance(text: str) -> str:
    """``text`` without any guidance block; every other character stays as it was."""
    return _FENCED.sub("", text) if _OPEN in text else text


# -- making words harmless -----------------------------------------------------------------------

# Names of tags that harnesses and chat templates give meaning to. Others, such as <solution>,
# stay: how to mark a final answer is what a constraint of scope "harness" is there to say.
_ROLE = r"system|assistant|user|human|developer|tool|function|ai|model|bot"
_TAG = re.compile(
    rf"<(?=\s*/?\s*(?:memcollab|{_ROLE}|im_|s\s*>|sys|inst|instruction|prompt|context|message|turn"
    r"|guidance|begin|end|bos|eos|pad|antml|function_|tool_|start_of|end_of)|[|!?<])",
    re.I,
)
_TAG_END = re.compile(r"(?<=\|)>")
_BRACKETED = re.compile(rf"\[\s*(/?\s*(?:inst|{_ROLE})\b[^\]]*)\]", re.I)
_SPEAKER = re.compile(rf"\b({_ROLE}|observation|instructions?)(\s*):", re.I)
_FENCES = re.compile(r"`{3,}|~{3,}|#{2,}|-{3,}|={3,}|\*{3,}|_{3,}")


def _harmless(text: str) -> str:
    """One printable line that reads the same to a person and means nothing to a chat template."""
    line = " ".join(_printable(text).split())
    line = _TAG.sub("‹", line)
    line = _TAG_END.sub("›", line)
    line = _BRACKETED.sub(r"(\1)", line)
    line = _SPEAKER.sub(r"\1\2 -", line)
    return _FENCES.sub("–", line)


def _printable(text: str) -> str:
    """Without control, invisible and unassigned characters (Unicode C*), full-width forms as ASCII.

    Not NFKC as a whole: that would turn the square in "n²" into the number of "n2".
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_plain(character) for character in text)


def _plain(character: str) -> str:
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    if character in "\ufe64\ufe65":
        return "<" if character == "\ufe64" else ">"
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc":
        return " "
    return "" if category.startswith("C") else character


# -- counting --------------------------------------------------------------------------------------

_PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_|\n")


def count_tokens(text: str) -> int:
    """An estimate of how many tokens a model reads: no vocabulary, hence no download, and fast.

    A word counts one token and one more per six further letters; digits, signs and line breaks one
    each; letters outside ASCII are dearer. Measured against the 32,000-piece vocabulary that
    wordllama carries (Llama 2's; newer ones need fewer tokens): 1.10 times the true count on
    English advice, and between 0.93 and 1.3 times on nine of ten task texts.
    """
    return math.ceil(_weight(text))


def _weight(text: str) -> float:
    """Tokens before rounding: a multiple of one half, so that sums are exact."""
    return sum(_cost(piece) for piece in _PIECE.findall(text))


def _cost(piece: str) -> float:
    if piece.isascii():
        return 1 + (len(piece) - 1) // 6
    if not piece.isalpha():
        return len(piece.encode()) / 2
    if max(piece) >= "\u2e80":  # scripts written without spaces: Han, Kana, Hangul
        return 1.5 * len(piece)
    return 1 + (len(piece) - 1) // 2
