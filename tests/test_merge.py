"""Which drafts become one constraint, and which stay apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcollab.merge import Accepted, MergePlan, merge, support
from memcollab.recipe import DEFAULT, PAPER_V1
from memcollab.records import Category, Constraint, Draft, Scope

MATHS = Category(name="maths")
LOOSE = DEFAULT.model_copy(update={"merge_similarity": 0.7})


def accepted(
    when: str,
    enforce: str,
    avoid: str,
    *,
    contrast: str = "contrast-1",
    category: Category = MATHS,
    scope: Scope = "reasoning",
    harness: str | None = "h",
    task: str = "t1",
    right: str = "gpt",
    wrong: str = "qwen",
) -> Accepted:
    draft = Draft(contrast_id=contrast, when=when, enforce=enforce, avoid=avoid, scope=scope)
    return Accepted(draft, category, harness, task, right, wrong)


def bag_of_words(rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """Cosine of word counts: a real similarity, blind to order as an average of vectors is."""
    vocabulary = {
        word: i for i, word in enumerate(sorted({w for t in [*rows, *columns] for w in t.split()}))
    }

    def matrix(texts: Sequence[str]) -> np.ndarray:
        counts = np.zeros((len(texts), max(1, len(vocabulary))))
        for row, text in enumerate(texts):
            for word in text.split():
                counts[row, vocabulary[word]] += 1
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    return matrix(rows) @ matrix(columns).T


@pytest.fixture(scope="module")
def bundled():
    """The similarity of the static model that the base install carries."""
    import wordllama

    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def similarity(rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
        return model.embed(list(rows), norm=True) @ model.embed(list(columns), norm=True).T

    return similarity


phrases = st.sampled_from(
    [
        "checking the unit before sending",
        "checking the unit first before sending",
        "not checking the unit before sending",
        "checking the unit after sending",
        "rounding up",
        "rounding down",
        "pages of 20 items",
        "pages of 50 items",
        "reading all pages until none is left",
    ]
)
cases = st.sampled_from(["an amount is sent", "an amount or price is sent", "calling send_amount"])


@st.composite
def drafts(draw: st.DrawFn, limit: int = 12) -> list[Accepted]:
    return [
        accepted(
            draw(cases),
            draw(phrases),
            draw(phrases),
            contrast=f"contrast-{draw(st.integers(0, 9))}",
            category=draw(st.sampled_from([MATHS, Category(name="tools")])),
            scope=draw(st.sampled_from(["reasoning", "harness"])),
            harness=draw(st.sampled_from(["h", "g"])),
            task=draw(st.sampled_from(["t1", "t2", "t3"])),
            right=draw(st.sampled_from(["gpt", "claude"])),
        )
        for _ in range(draw(st.integers(0, limit)))
    ]


def without_support(constraints: Sequence[Constraint]) -> list[str]:
    return sorted(constraint.id for constraint in constraints)


@settings(max_examples=60)
@given(drafts(), drafts(6), st.randoms())
def test_order_decides_nothing(new, old, chance: random.Random):
    """Shuffled drafts and shuffled existing constraints give the same plan."""
    existing = [entry.constraint for entry in old]
    plan = merge(_one_per_id(new), existing, bag_of_words, LOOSE)
    shuffled, anchors = list(_one_per_id(new)), list(existing)
    chance.shuffle(shuffled)
    chance.shuffle(anchors)
    assert merge(shuffled, anchors, bag_of_words, LOOSE) == plan


@settings(max_examples=60)
@given(drafts(), drafts(6))
def test_merging_again_creates_and_moves_nothing(new, old):
    """Against its own result a merge opens no constraint, moves no draft and finds no conflict."""
    existing = [entry.constraint for entry in old]
    plan = merge(new, existing, bag_of_words, LOOSE)
    again = merge(new, [*existing, *plan.created], bag_of_words, LOOSE)
    assert again == MergePlan(belongs=plan.belongs, created=(), conflicts=())


@settings(max_examples=60)
@given(drafts(), drafts(6))
def test_support_adds_up(new, old):
    """Each draft belongs to exactly one constraint of its place; counts of the created add up."""
    entries = _one_per_id(new)
    existing = [entry.constraint for entry in old]
    plan = merge(entries, existing, bag_of_words, LOOSE)
    known = {c.id: c for c in [*existing, *plan.created]}
    assert plan.belongs.keys() == {entry.draft.id for entry in entries}
    for entry in entries:
        home, own = known[plan.belongs[entry.draft.id]], entry.constraint
        assert (home.category, home.scope, home.harness) == (own.category, own.scope, own.harness)
    for constraint in plan.created:
        members = [e for e in entries if plan.belongs[e.draft.id] == constraint.id]
        assert constraint.support == support(members)
        assert constraint.id in {entry.constraint.id for entry in members}
    assert plan.merged == len(entries) - len(plan.created)


def _one_per_id(entries: Sequence[Accepted]) -> list[Accepted]:
    """A draft has one source; hypothesis may invent the same draft with two."""
    return list({entry.draft.id: entry for entry in entries}.values())


def test_near_duplicates_become_one_with_support():
    """Two drafts that say the same join; the support counts tasks, contrasts and families."""
    one = accepted("an amount is sent", "checking the unit before sending", "guessing the unit")
    two = accepted(
        "an amount is sent",
        "checking the unit first before sending",
        "guessing the unit",
        contrast="contrast-2",
        task="t2",
        right="claude",
    )
    plan = merge([one, two], [], bag_of_words, LOOSE)
    (made,) = plan.created
    assert set(plan.belongs.values()) == {made.id}
    assert plan.merged == 1
    assert made.support.model_dump() == {
        "tasks": 2,
        "contrasts": 2,
        "families_right": ("claude", "gpt"),
        "families_wrong": ("qwen",),
    }


def test_an_existing_constraint_keeps_its_words_whatever_its_status():
    """A near-duplicate of a retired constraint joins it instead of coming back under a new id."""
    old = accepted("an amount is sent", "checking the unit first before sending", "guessing")
    retired = old.constraint.model_copy(update={"status": "retired"})
    new = accepted("an amount is sent", "checking the unit before sending", "guessing")
    plan = merge([new], [retired], bag_of_words, LOOSE)
    assert plan.belongs == {new.draft.id: retired.id}
    assert plan.created == ()


def test_a_draft_joins_the_most_similar_constraint():
    """Of two constraints near enough, the nearer one takes the draft."""
    far = accepted("an amount or price is sent", "checking the unit before sending", "guessing")
    near = accepted("an amount is sent", "checking the unit before sending it", "guessing")
    new = accepted("an amount is sent", "checking the unit before sending", "guessing")
    plan = merge([new], [far.constraint, near.constraint], bag_of_words, LOOSE)
    assert plan.belongs == {new.draft.id: near.constraint.id}


def test_the_draft_with_most_neighbours_leads():
    """Of a chain a–b–c the middle one stands for all three: each member is near its leader."""
    chain = [
        accepted("an amount is sent", f"{words}", "guessing")
        for words in (
            "alpha beta gamma delta",
            "beta gamma delta epsilon",
            "gamma delta epsilon zeta",
        )
    ]
    plan = merge(chain, [], bag_of_words, DEFAULT.model_copy(update={"merge_similarity": 0.85}))
    (made,) = plan.created
    assert made.enforce == "beta gamma delta epsilon"


OPPOSITES = [
    ("rounding up", "rounding down", "rounding down", "rounding up"),
    ("checking the unit first", "haste", "not checking the unit first", "haste"),
    ("sorting in ascending order", "haste", "sorting in descending order", "haste"),
    ("drawing with replacement", "haste", "drawing without replacement", "haste"),
    ("asking for pages of 20", "haste", "asking for pages of 50", "haste"),
    ("decimal amounts for the tool", "whole cents for the tool",
     "whole cents for the tool", "decimal amounts for the tool"),
]  # fmt: skip


@pytest.mark.parametrize(("enforce", "avoid", "other", "other_avoid"), OPPOSITES)
def test_opposites_stay_two_and_are_linked(bundled, enforce, avoid, other, other_avoid):
    """What one enforces and the other forbids is never one constraint, however alike it sounds."""
    case = "an amount of money is sent to the tool"
    one, two = accepted(case, enforce, avoid), accepted(case, other, other_avoid)
    ids = tuple(sorted([one.constraint.id, two.constraint.id]))
    together = merge([one, two], [], bundled, DEFAULT)
    assert len(together.created) == 2
    assert together.conflicts == (ids,)
    later = merge([two], [one.constraint], bundled, DEFAULT)
    assert later.created[0].id == two.constraint.id
    assert later.conflicts == (ids,)


DIFFERENT = [
    ("calling create_invoice", "calling create_order"),
    ("the number of terms is even", "the number of terms is odd"),
    ("the server answers 429", "the server answers 503"),
]


@pytest.mark.parametrize(("case", "other"), DIFFERENT)
def test_another_case_is_another_constraint_but_no_conflict(bundled, case, other):
    """Same advice in two cases stays two constraints, and nobody is told that they disagree."""
    advice = ("amounts in whole cents and dates with the day first", "decimal amounts")
    plan = merge([accepted(case, *advice), accepted(other, *advice)], [], bundled, DEFAULT)
    assert len(plan.created) == 2
    assert plan.conflicts == ()


def test_a_negation_before_other_words_is_no_conflict():
    """Never rounding early and keeping full precision agree: they are not linked as opposed."""
    one = accepted("a value is rounded", "never rounding before the end", "early rounding")
    two = accepted("a value is rounded", "keeping full precision", "early rounding")
    assert merge([one, two], [], bag_of_words, LOOSE).conflicts == ()


def test_paraphrases_join_under_the_bundled_model(bundled):
    """Two wordings of one lesson are one constraint at the default threshold."""
    one = accepted(
        "arrangements hold identical objects",
        "dividing by the permutations among the identical objects",
        "treating identical objects as distinct",
    )
    two = accepted(
        "arrangements hold some identical objects",
        "dividing by the permutations among identical objects",
        "treating the identical objects as distinct ones",
    )
    assert len(merge([one, two], [], bundled, DEFAULT).created) == 1


def test_scope_harness_and_category_separate():
    """The same words in another scope, harness or category are another constraint."""
    words = ("an amount is sent", "checking the unit", "guessing")
    entries = [
        accepted(*words),
        accepted(*words, scope="harness", contrast="c2"),
        accepted(*words, scope="harness", harness="g", contrast="c3"),
        accepted(*words, category=Category(name="geometry"), contrast="c4"),
    ]
    plan = merge(entries, [], bag_of_words, LOOSE)
    assert len(plan.created) == 4
    assert sorted(str(c.harness) for c in plan.created) == ["None", "None", "g", "h"]


def test_the_paper_joins_only_equal_words():
    """With merging off the bank is a union: equal words join, near ones do not."""
    one = accepted("an amount is sent", "checking the unit", "guessing")
    same = accepted("an amount is sent", "checking the unit", "guessing", contrast="contrast-2")
    near = accepted("an amount is sent", "checking the unit first", "guessing")

    def refuse(_rows: Sequence[str], _columns: Sequence[str]) -> np.ndarray:
        raise AssertionError("no similarity is needed")

    plan = merge([one, same, near], [], refuse, PAPER_V1)
    assert without_support(plan.created) == sorted([one.constraint.id, near.constraint.id])
    assert plan.merged == 1


def test_nothing_new_asks_for_no_similarity():
    """Drafts that the bank knows word for word are placed without embedding anything."""
    one = accepted("an amount is sent", "checking the unit", "guessing")

    def refuse(_rows: Sequence[str], _columns: Sequence[str]) -> np.ndarray:
        raise AssertionError("no similarity is needed")

    assert merge([one], [one.constraint], refuse, DEFAULT).created == ()
