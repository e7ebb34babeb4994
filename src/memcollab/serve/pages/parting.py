"""Two runs of one task side by side, from where they part (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest

from memcollab.records import Step, Trajectory

# A step of more characters is shown by its beginning and end.
LONGEST = 6000
# Texts of more characters are not compared word by word: that takes time with their product.
_COMPARED = 4000
# Below this share of common words, marks all over a text would say nothing.
_ALIKE = 0.5
_NAMES = {"assistant": "agent", "tool": "result", "user": "environment", "system": "system"}


@dataclass(frozen=True)
class Piece:
    """A part of a text, and whether it is marked: the step beside it says something else here."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class Shown:
    """A step as it is shown: its number in the run (from 1), who speaks, its words in pieces, the
    tools that it calls with which arguments."""

    number: int
    speaker: str
    pieces: tuple[Piece, ...]
    calls: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Its words."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Row:
    """Steps that stand beside each other; None where one run has ended or does something else."""

    preferred: Shown | None
    other: Shown | None


@dataclass(frozen=True)
class Parted:
    """Two runs: the steps that they share at the beginning, and what follows, row by row."""

    shared: tuple[Shown, ...]
    rows: tuple[Row, ...]


def part(preferred: Trajectory, other: Trajectory) -> Parted:
    """Align two runs: first what is alike in both, word for word; then turn by turn, so that an
    agent's message stands beside the other's and a result beside a result."""
    first, second = preferred.steps, other.steps
    shared = 0
    while shared < min(len(first), len(second)) and _same(first[shared], second[shared]):
        shared += 1
    rows = [
        _row(one, two) for one, two in _beside(_numbered(first, shared), _numbered(second, shared))
    ]
    return Parted(
        tuple(_shown(number, step) for number, step in _numbered(first, 0)[:shared]), tuple(rows)
    )


_Numbered = tuple[int, Step]


def _numbered(steps: Sequence[Step], start: int) -> list[_Numbered]:
    return [(number, step) for number, step in enumerate(steps, 1) if number > start]


def _same(one: Step, two: Step) -> bool:
    """Whether two steps say and call the same; the ids of calls are a source's own."""
    calls = [[(call.name, call.arguments) for call in step.tool_calls] for step in (one, two)]
    return (one.role, one.content, calls[0]) == (two.role, two.content, calls[1])


def _beside(
    first: Sequence[_Numbered], second: Sequence[_Numbered]
) -> list[tuple[_Numbered | None, _Numbered | None]]:
    """Turns beside turns, and within a turn what the agent says beside what the other says, and
    what came back beside what came back."""
    found: list[tuple[_Numbered | None, _Numbered | None]] = []
    for one, two in zip_longest(_turns(first), _turns(second), fillvalue=()):
        found += zip_longest(_said(one), _said(two))
        found += zip_longest(_came_back(one), _came_back(two))
    return found


def _turns(steps: Sequence[_Numbered]) -> list[list[_Numbered]]:
    turns: list[list[_Numbered]] = []
    for number, step in steps:
        if step.role == "assistant" or not turns:
            turns.append([])
        turns[-1].append((number, step))
    return turns


def _said(turn: Sequence[_Numbered]) -> list[_Numbered]:
    return [each for each in turn if each[1].role == "assistant"]


def _came_back(turn: Sequence[_Numbered]) -> list[_Numbered]:
    return [each for each in turn if each[1].role != "assistant"]


def _row(one: _Numbered | None, two: _Numbered | None) -> Row:
    if one is None or two is None:
        return Row(_shown(*one) if one else None, _shown(*two) if two else None)
    first, second = _shown(*one), _shown(*two)
    pieces = _compared(first.text, second.text)
    return Row(replace(first, pieces=pieces[0]), replace(second, pieces=pieces[1]))


def _shown(number: int, step: Step) -> Shown:
    text, left_out = step.content, max(0, len(step.content) - LONGEST)
    if left_out:
        head, tail = text[: LONGEST * 2 // 3], text[-(LONGEST // 3) :]
        text = f"{head}\n[… {left_out:,} characters left out …]\n{tail}"
    calls = tuple((call.name, call.arguments) for call in step.tool_calls)
    return Shown(number, _NAMES[step.role], (Piece(text),), calls)


_Pieces = tuple[Piece, ...]


def _compared(first: str, second: str) -> tuple[_Pieces, _Pieces]:
    """Both texts in pieces; what only one of them says is marked, if they have enough in common."""
    words, others = _words(first), _words(second)
    whole = (Piece(first),), (Piece(second),)
    if max(len(first), len(second)) > _COMPARED:
        return whole
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return whole
    ours, theirs = list[Piece](), list[Piece]()
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        marked = kind != "equal"
        ours.append(Piece("".join(words[start:end]), marked))
        theirs.append(Piece("".join(others[other_start:other_end]), marked))
    return tuple(each for each in ours if each.text), tuple(each for each in theirs if each.text)


def _words(text: str) -> list[str]:
    """Words, each with the space behind it, so that joined they are the text again."""
    words, start = list[str](), 0
    for place in range(1, len(text)):
        if not text[place].isspace() and text[place - 1].isspace():
            words.append(text[start:place])
            start = place
    return [*words, text[start:]]
