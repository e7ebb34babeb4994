"""Bounds of cosines: never below them, close to them, and no change to what a search finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memcollab.embed import Vectors
from memcollab.recall import Index, IndexRow, cosines, search
from memcollab.recall.cosines import Asked, Cosines, Whole
from memcollab.recipe import DEFAULT
from memcollab.records import Agent, Category, CategoryDecision, CategoryGuess, Constraint, Task

_DIM = 16
_NUMBERS = st.floats(-1, 1, width=32)


def unit(vectors: Vectors) -> Vectors:
    """Of length 1, but for zeros."""
    lengths = np.sqrt(np.vecdot(vectors, vectors))[..., np.newaxis]
    scaled: Vectors = (vectors / np.where(lengths > 1e-6, lengths, np.inf)).astype(np.float32)
    return scaled


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 30), st.just(_DIM)), elements=_NUMBERS),
    arrays.arrays(np.float32, _DIM, elements=_NUMBERS),
)
def test_no_bound_is_below_its_cosine(vectors: Vectors, query: Vectors) -> None:
    """Else a search would pass by what belongs first; and none is far above, else it would read
    everything."""
    pytest.importorskip("simsimd", reason="the extra serve is not installed")
    vectors, query = unit(vectors), unit(query)
    above = Whole(vectors).bounds(Asked(query).whole) - np.vecdot(vectors, query)
    assert above.min() >= 0
    assert above.max() < 0.05


def test_a_cosine_is_the_same_in_any_company() -> None:
    """Read alone, with some or with all, to the last bit: so two processes rank alike."""
    drawn = np.random.default_rng(0).standard_normal((700, _DIM)).astype(np.float32)
    compared = Cosines(unit(drawn))
    query = unit(drawn[3])
    whole = compared.exact(query)
    some = np.array([5, 699, 0])
    assert np.array_equal(compared.exact(query, some), whole[some])
    assert compared.exact(query, some[:1])[0] == whole[5]


def test_a_search_finds_the_same_with_and_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds spare reading and decide nothing: same constraints, same scores, same order."""
    pytest.importorskip("simsimd", reason="the extra serve is not installed")
    queries = [words(number) for number in range(100_000, 100_040)]
    bounded = answers(index(), queries)
    monkeypatch.setattr(cosines, "_FEW", 1_000_000)
    read = answers(index(), queries)
    assert bounded == read
    assert any(entries for entries, _ in read)
    assert any(abstained for _, abstained in read)


def embed(texts: Sequence[str]) -> Vectors:
    """A vector for each text that is near those of texts with the same number modulo 97."""
    made = np.empty((len(texts), _DIM), np.float32)
    for row, text in enumerate(texts):
        number = sum(map(ord, text))
        shared = np.random.default_rng(number % 97).standard_normal(_DIM)
        made[row] = shared + np.random.default_rng(number).standard_normal(_DIM)
    return unit(made)


def words(number: int) -> str:
    return " ".join(f"word{number * step % 1009}" for step in (3, 5, 7, 11, 13, 17))


def index() -> Index:
    """Each third constraint without a source, the others with one or two."""
    filled = Index(embed)
    for number in range(1_500):
        tasks = [Task(text=words(number + 2_000 * turn)) for turn in range(number % 3)]
        constraint = Constraint(
            when=words(number),
            enforce=f"enforce {number}",
            avoid="the opposite",
            category=Category(name="geometry"),
        )
        row = IndexRow(constraint, tuple(task.id for task in tasks))
        filled.update([row], {task.id: task.text for task in tasks})
    return filled


def answers(index: Index, texts: Sequence[str]) -> list[tuple[list[tuple[str, float]], str | None]]:
    """Ids and scores, and why there are none."""
    guess = CategoryGuess(category=Category(name="geometry"), probability=0.5)
    decision = CategoryDecision(guesses=(guess,), method="classifier")
    recipe = DEFAULT.model_copy(update={"min_score": 0.4})
    found = [
        search(Task(text=text), Agent(model="any"), decision, index, recipe, embed([text])[0])
        for text in texts
    ]
    return [([(e.constraint.id, e.score) for e in one.entries], one.abstained) for one in found]
