"""When two texts put the same task. Measured on real data in design/recall.md."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache

# Of two tasks, the longer contains the shorter, of at least so many words, if no more than
# ``_MISSING`` of its words are new and ``_CONTAINED`` of its runs of ``_RUN`` words are there.
_LEAST_WORDS = 8
_MISSING = 0.05
_RUN = 5
_CONTAINED = 0.8
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


class _Print:
    """A text as ``same_task`` compares it. What few comparisons come to is made when needed."""

    def __init__(self, text: str) -> None:
        text = text.casefold()
        self.tokens = _TOKEN.findall(_THOUSANDS.sub("", text) if "," in text else text)
        self.known = frozenset(self.tokens)

    @cached_property
    def numbers(self) -> Counter[str]:
        return Counter(filter(str.isdigit, self.tokens))

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        shifted = (self.tokens[start:] for start in range(_RUN))
        return frozenset(zip(*shifted, strict=False))


@lru_cache(maxsize=8192)
def _print(text: str) -> _Print:
    return _Print(text)


def same_task(one: str, other: str) -> bool:
    """Whether two texts put the same task.

    They do if they are equal but for case, spacing and punctuation, or if the shorter (of eight
    words at least) is found in the longer: all of its numbers, 95 % of its words, four fifths of
    its runs of five words. So a task inside an agent's prompt is the same task, and so is a long
    one in which a name was changed. A task of the same template with other numbers is another one:
    what was learned from the first is meant to help with it.
    """
    first, second = _print(one), _print(other)
    if first.tokens == second.tokens:
        return True
    short, long = sorted((first, second), key=lambda print_: (len(print_.tokens), print_.tokens))
    return (
        len(short.tokens) >= _LEAST_WORDS
        and len(short.known - long.known) <= _MISSING * len(short.known)
        and short.numbers <= long.numbers
        and len(short.runs & long.runs) >= _CONTAINED * len(short.runs)
    )
