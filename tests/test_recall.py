"""Recall: what is given, what is held back, and what is said when there is nothing to give."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcollab.embed import Vectors, bundled
from memcollab.errors import BankCorrupt
from memcollab.recall import WEIGHTS, Found, Index, IndexRow, same_task, search
from memcollab.recipe import DEFAULT, PAPER_V1, Recipe
from memcollab.records import (
    Agent,
    Category,
    CategoryDecision,
    CategoryGuess,
    Constraint,
    Support,
    Task,
)

ANY = Agent(model="any")
HANDS = "How many 5-card hands from a standard deck hold exactly two kings?"
SOCKS = "A drawer holds 5 black and 7 grey socks. Two are taken in the dark. Do they match?"
LADDER = "A ladder of 25 feet leans on a wall with its foot 7 feet away. How high does it reach?"
STORY = (
    "Amira knits scarves for the winter market. Each scarf needs 3 balls of wool, which cost 4 "
    "dollars each, and takes two evenings. She sells every scarf for 30 dollars after paying 5 "
    "dollars for the stand. What is left after the first week?"
)
CHAIRS = "In how many ways can six friends sit in a row of six chairs if two insist to be apart?"


def entry(
    when: str, enforce: str, *sources: str, category: str = "counting_and_probability", **more: str
) -> tuple[IndexRow, dict[str, str]]:
    """A row with its source tasks."""
    tasks = [Task(text=text) for text in sources]
    constraint = Constraint(
        when=when,
        enforce=enforce,
        avoid="the opposite",
        category=Category.parse(category),
        support=Support(tasks=len(tasks)),
        **more,  # type: ignore[arg-type]
    )
    return IndexRow(constraint, tuple(t.id for t in tasks)), {t.id: t.text for t in tasks}


def index_of(*entries: tuple[IndexRow, dict[str, str]]) -> Index:
    index = Index(bundled().embed)
    for row, tasks in entries:
        index.update([row], tasks)
    return index


def decided(*guesses: tuple[str, float]) -> CategoryDecision:
    return CategoryDecision(
        guesses=tuple(CategoryGuess(category=Category.parse(c), probability=p) for c, p in guesses),
        method="classifier",
    )


COUNTING = decided(("counting_and_probability", 0.9), ("geometry", 0.05))


def ask(
    index: Index,
    text: str,
    decision: CategoryDecision = COUNTING,
    recipe: Recipe = DEFAULT,
    agent: Agent = ANY,
) -> Found:
    vector = bundled().embed([text])[0]
    return search(Task(text=text), agent, decision, index, recipe, vector)


def whens(found: Found) -> list[str]:
    return [entry.constraint.when for entry in found.entries]


REPLACE = entry("cards are drawn without replacement", "shrink both counts", SOCKS, HANDS)
ORDER = entry("objects stand in a row", "count orders inside a block", CHAIRS)
RIGHT = entry("a triangle has a right angle", "use Pythagoras", LADDER, category="geometry")


# ---- what is given


def test_the_nearest_comes_first_with_its_parts_and_reason() -> None:
    """The score is the weighted sum of named parts, each 0 to 1, and is explained in words."""
    found = ask(index_of(REPLACE, ORDER), "How many 7-card hands hold exactly three queens?")
    first = found.entries[0]
    assert first.constraint == REPLACE[0].constraint
    assert set(first.parts) == set(WEIGHTS)
    assert all(0 <= part <= 1 for part in first.parts.values())
    total = sum(WEIGHTS[name] * part for name, part in first.parts.items())
    assert first.score == pytest.approx(total)
    assert "learned from 2 tasks" in first.reason
    assert "0.90 likely by classifier" in first.reason
    assert found.abstained is None
    assert set(found.timings) == {"partitions", "search"}


def test_weights_sum_to_one() -> None:
    """So that a score is 0 to 1 too, and a threshold has a meaning."""
    assert sum(WEIGHTS.values()) == pytest.approx(1)


def test_at_most_the_limit_is_given() -> None:
    """Few entries, the best of them."""
    many = [entry(f"case {word}", f"check {word}", SOCKS) for word in "abcdefgh"]
    apart = DEFAULT.model_copy(update={"max_overlap": 1.0, "min_score": 0.0})
    found = ask(index_of(*many), HANDS, recipe=apart)
    scores = [entry.score for entry in found.entries]
    assert len(scores) == DEFAULT.limit
    assert scores == sorted(scores, reverse=True)


def test_what_says_the_same_is_given_once() -> None:
    """Two constraints of nearly equal words take one place."""
    twin = entry("cards are drawn without any replacement", "shrink both counts", SOCKS)
    found = ask(index_of(REPLACE, twin, ORDER), "Two cards are drawn. Are both aces?")
    assert len({"cards are drawn" in when for when in whens(found)}) == len(found.entries)


def test_only_active_constraints_are_given() -> None:
    """Quarantined and retired ones are not searched."""
    for status in ("quarantined", "retired"):
        index = index_of(entry("cards are drawn", "shrink counts", SOCKS, status=status))
        assert "no active constraint" in str(ask(index, HANDS).abstained)


def test_harness_constraints_stay_in_their_harness() -> None:
    """Tool habits of one harness are shown to agents of that one only."""
    index = index_of(entry("a tool fails", "call again", SOCKS, scope="harness", harness="mint"))
    mine = Agent(model="m", harness="mint")
    assert ask(index, "Two socks are taken. Do they match?", agent=mine).entries
    for other in (ANY, Agent(model="m", harness="apiflow")):
        found = ask(index, "Two socks are taken. Do they match?", agent=other)
        assert "belongs to one harness" in str(found.abstained)


def test_ties_are_broken_the_same_way_every_time() -> None:
    """Rows put in in another order give the same entries."""
    rows = [entry(f"{word} are chosen", "count once", SOCKS) for word in ("red", "blue", "green")]
    loose = DEFAULT.model_copy(update={"max_overlap": 1.0})
    assert whens(ask(index_of(*rows), HANDS, recipe=loose)) == whens(
        ask(index_of(*rows[::-1]), HANDS, recipe=loose)
    )


# ---- which categories are searched


def test_a_clear_category_is_searched_alone() -> None:
    """A wide margin keeps other categories out, however alike their tasks are."""
    text = LADDER.replace("25", "13").replace("7", "5")
    assert RIGHT[0].constraint.when not in whens(ask(index_of(REPLACE, RIGHT), text))


def test_a_doubtful_category_is_searched_with_the_second() -> None:
    """A small margin lets the second in; recipe ``hard`` does not; ``none`` searches all."""
    index = index_of(REPLACE, RIGHT)
    doubtful = decided(("counting_and_probability", 0.4), ("geometry", 0.35))
    text = LADDER.replace("25", "13").replace("7", "5")
    assert whens(ask(index, text, doubtful))[0] == RIGHT[0].constraint.when
    hard = DEFAULT.model_copy(update={"categories": "hard"})
    assert RIGHT[0].constraint.when not in whens(ask(index, text, doubtful, hard))
    everything = DEFAULT.model_copy(update={"categories": "none"})
    assert RIGHT[0].constraint.when in whens(
        ask(index, text, decided(("algebra", 1.0)), everything)
    )


def test_an_empty_first_category_lets_the_second_in() -> None:
    """A sure decision for a category that holds nothing is no reason for silence."""
    sure = decided(("geometry", 0.9), ("counting_and_probability", 0.1))
    assert ask(index_of(REPLACE), HANDS.replace("5", "7"), sure).entries


def test_the_subcategory_lifts_what_shares_it() -> None:
    """Between equals, the one of the guessed subcategory comes first."""
    rows = [
        entry(f"{part} at hand", "count", SOCKS, category=f"counting_and_probability/{part}")
        for part in ("probability", "expected_value")
    ]
    for part in ("probability", "expected_value"):
        found = ask(index_of(*rows), HANDS, decided((f"counting_and_probability/{part}", 1.0)))
        assert found.entries[0].constraint.category.subcategory == part


# ---- silence


def test_an_empty_bank_says_so() -> None:
    """With the next command."""
    found = ask(Index(bundled().embed), HANDS)
    assert found.entries == ()
    assert "memcollab learn" in str(found.abstained)


def test_a_category_without_constraints_says_what_there_is() -> None:
    """Where the task was filed, and where the bank has something."""
    found = ask(index_of(RIGHT), HANDS, decided(("counting_and_probability", 1.0)))
    assert "'counting_and_probability'" in str(found.abstained)
    assert "geometry (1)" in str(found.abstained)


def test_what_is_too_far_is_not_given() -> None:
    """The best score and the threshold are named."""
    strict = DEFAULT.model_copy(update={"min_score": 0.9})
    found = ask(index_of(REPLACE), "Which coin is heavier?", recipe=strict)
    assert found.entries == ()
    assert "below 0.90" in str(found.abstained)


def test_a_constraint_can_be_asked_to_speak_of_the_task_itself() -> None:
    """A task like those that it was learned from is not enough where ``min_anchor`` says so."""
    shell = entry("a program stops with an import error", "install the module first", HANDS)
    text = "How many 7-card hands hold exactly three queens?"
    asked = DEFAULT.model_copy(update={"min_anchor": 0.3})
    assert whens(ask(index_of(REPLACE, shell), text)) == [
        REPLACE[0].constraint.when,
        shell[0].constraint.when,
    ]
    assert whens(ask(index_of(REPLACE, shell), text, recipe=asked)) == []
    hands = entry("exact hands of cards are counted", "multiply the choices of cards", SOCKS)
    assert whens(ask(index_of(hands, shell), text, recipe=asked)) == [hands[0].constraint.when]
    alone = ask(index_of(shell), text, recipe=asked)
    assert "less than 0.30 alike in meaning by their own words" in str(alone.abstained)


def test_strangers_get_nothing() -> None:
    """A task that shares nothing with what was learned, even in the right category."""
    text = "Write a letter to the landlord about the broken heating in the hall."
    assert ask(index_of(ORDER), text, decided(("counting_and_probability", 0.3))).abstained


# ---- never the task itself


@pytest.mark.parametrize(
    "asked",
    [
        HANDS,
        HANDS.upper() + "  ",
        f"You may use Python. Think step by step.\n\nTask: {HANDS}\n\nFinish with <solution>.",
        f"Please answer exactly: {HANDS}",
    ],
)
def test_a_constraint_is_not_given_to_its_own_task(asked: str) -> None:
    """By content, by words, inside a prompt, with words before it: the only source is the task."""
    alone = entry("cards are drawn without replacement", "shrink both counts", HANDS)
    found = ask(index_of(alone), asked)
    assert found.entries == ()
    assert "come from this very task alone" in str(found.abstained)


def test_with_another_source_it_is_given_by_that_one() -> None:
    """The score rests on the other source: being the task itself earns nothing."""
    found = ask(index_of(REPLACE), HANDS)
    parts = found.entries[0].parts
    assert parts["task_vector"] < 0.9
    assert parts["task_words"] < 0.9
    stranger = ask(
        index_of(entry("cards are drawn without replacement", "shrink both counts", SOCKS)), HANDS
    )
    assert parts["task_vector"] == stranger.entries[0].parts["task_vector"]


def test_what_falls_behind_without_its_own_task_gives_way() -> None:
    """Order follows the scores that count, not those with the task itself."""
    own = entry("socks match", "look in the drawer", CHAIRS, HANDS)
    other = entry(
        "a hand of cards is counted",
        "choose ranks, then suits",
        "How many 6-card hands from a standard deck hold exactly four aces?",
    )
    found = ask(index_of(own, other), HANDS)
    assert whens(found)[0] == "a hand of cards is counted"
    scores = [entry.score for entry in found.entries]
    assert scores == sorted(scores, reverse=True)


def test_other_numbers_make_another_task() -> None:
    """What was learned from a template helps with its other instances."""
    alone = entry("cards are drawn without replacement", "shrink both counts", HANDS)
    assert ask(index_of(alone), HANDS.replace("5", "7")).entries


def test_a_constraint_without_a_source_is_judged_by_its_own_words() -> None:
    """Imported by hand: nothing to hold against it, and no task to compare."""
    index = index_of(entry("hands of cards are counted", "choose the ranks first"), ORDER)
    parts = ask(index, HANDS).entries[0].parts
    assert parts["task_vector"] == parts["anchor_vector"] > 0
    assert parts["support"] == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Find x.", "find X", True),
        ("Find x.", "Find y.", False),
        ("Add 1,000 and 2.", "add 1000 and 2", True),
        ("Find the volume of a sphere.", "Find the volume of a cube.", False),
        ("Solve it.", "You must solve it. Solve it now, and say how you did it.", False),
        ("", "", True),
        (LADDER, "Tool: python\n" + LADDER + "\nAnswer in feet.", True),
        (LADDER, LADDER.replace("ladder", "plank"), False),
        (STORY, STORY.replace("Amira", "Bo"), True),
        (STORY, STORY.replace("every scarf", "every single scarf"), True),
        (STORY, STORY.replace("Amira", "Bo").replace("wool", "silk"), False),
        (LADDER, LADDER.replace("25", "26"), False),
        (LADDER, LADDER + " The wall is 30 feet high.", True),
        (HANDS, CHAIRS, False),
    ],
)
def test_same_task(one: str, other: str, same: bool) -> None:
    """Which differences make another task, and which do not."""
    assert same_task(one, other) is same
    assert same_task(other, one) is same


@given(st.text(max_size=60), st.text(max_size=60))
def test_same_task_is_reflexive_and_symmetric(one: str, other: str) -> None:
    """For any texts."""
    assert same_task(one, one)
    assert same_task(one, other) == same_task(other, one)


# ---- the paper's way

PLACES = ("counting_and_probability/probability", "counting_and_probability/expected_value")
PAPER = decided((PLACES[0], 0.6), ("geometry", 0.4))


def paper_rows() -> list[tuple[IndexRow, dict[str, str]]]:
    """Five tasks of four entries each, in the class that is asked."""
    tasks = [
        "Two red balls are drawn from an urn of ten balls.",
        "Three red balls are drawn from an urn of twelve balls.",
        "A coin is flipped until it shows heads.",
        "A die is rolled and a coin is flipped.",
        "Two dice are rolled on a table.",
    ]
    return [
        entry(f"task {number} entry {letter}", "check", text, category=PLACES[0])
        for number, text in enumerate(tasks)
        for letter in "abcd"
    ]


def test_paper_gives_three_entries_of_each_of_the_three_nearest_tasks() -> None:
    """p = 3 counts tasks; nine entries; scored by TF-IDF between tasks alone."""
    found = ask(index_of(*paper_rows()), "Four red balls are drawn from an urn.", PAPER, PAPER_V1)
    assert len(found.entries) == 9
    first = [entry.constraint.when.split()[1] for entry in found.entries]
    assert set(first[:6]) == {"0", "1"}
    assert all(set(entry.parts) == {"task_words"} for entry in found.entries)
    assert found.entries[0].score == found.entries[0].parts["task_words"]


def test_paper_filters_hard_on_class_and_subclass() -> None:
    """Nothing of another subcategory, no second category, no fallback: it says so."""
    solid = entry("a solid is cut", "list the faces", LADDER, category="geometry/solids")
    index = index_of(*paper_rows(), solid)
    elsewhere = decided((PLACES[1], 0.9))
    found = ask(index, "Four red balls are drawn from an urn.", elsewhere, PAPER_V1)
    assert found.entries == ()
    assert f"'{PLACES[1]}'" in str(found.abstained)
    doubtful = decided(("geometry", 0.4), (PLACES[0], 0.39))
    assert ask(index, "Four red balls are drawn from an urn.", doubtful, PAPER_V1).entries == ()


def test_paper_knows_no_threshold() -> None:
    """The nearest tasks are used however far they are."""
    found = ask(index_of(*paper_rows()), "Zebras gallop past.", PAPER, PAPER_V1)
    assert len(found.entries) == 9


def test_paper_leaves_the_task_itself_out() -> None:
    """The one thing this project adds to it."""
    rows = paper_rows()[:4]
    text = "Two red balls are drawn from an urn of ten balls."
    found = ask(index_of(*rows), text, PAPER, PAPER_V1)
    assert "this very task alone" in str(found.abstained)
    assert len(ask(index_of(*paper_rows()), text, PAPER, PAPER_V1).entries) == 9
    assert not any(
        w.startswith("task 0") for w in whens(ask(index_of(*paper_rows()), text, PAPER, PAPER_V1))
    )


# ---- the index


class Counting:
    """The bundled embedder, and how many texts it was given."""

    def __init__(self) -> None:
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        return bundled().embed(texts)


def test_only_what_changed_is_built_again() -> None:
    """A partition is built when first searched, and again only when a row of it changed."""
    embedder = Counting()
    index = Index(embedder.embed)
    for row, tasks in (REPLACE, RIGHT):
        index.update([row], tasks)
    assert embedder.texts == 0
    ask(index, HANDS)
    built = embedder.texts
    assert index.update([REPLACE[0]], {}) == frozenset()
    ask(index, HANDS)
    assert embedder.texts == built
    assert index.update([ORDER[0]], ORDER[1]) == {"counting_and_probability"}
    ask(index, LADDER, decided(("geometry", 1.0)))
    assert embedder.texts == built + 2


def test_retiring_takes_a_constraint_out_and_bringing_back_puts_it_in() -> None:
    """The status of the newest row holds."""
    index = index_of(REPLACE, ORDER)
    row = REPLACE[0]
    for status, size in (("retired", 1), ("active", 2)):
        changed = row.constraint.model_copy(update={"status": status})
        index.update([IndexRow(changed, row.source_task_ids)], {})
        assert len(index) == index.sizes["counting_and_probability"] == size
        assert (row.constraint.when in whens(ask(index, HANDS.replace("5", "7")))) == (size == 2)


def test_a_source_without_text_is_a_corrupt_bank() -> None:
    """Silence about a source could give a task its own constraint."""
    with pytest.raises(BankCorrupt, match="memcollab bank verify"):
        Index(bundled().embed).update([REPLACE[0]], {})


def test_readers_and_a_writer_at_once() -> None:
    """A search sees one state or the next, never a half."""
    index = index_of(REPLACE, ORDER, RIGHT)

    def read() -> int:
        return sum(bool(ask(index, HANDS.replace("5", "7")).entries) for _ in range(100))

    pool = ThreadPoolExecutor(3)
    readers = [pool.submit(read) for _ in range(3)]
    for number in range(60):
        row, tasks = entry(f"case {number}", "look twice", f"Task number {number}, seen once.")
        index.update([row], tasks)
    assert [reader.result(timeout=60) for reader in readers] == [100, 100, 100]
    pool.shutdown()


WORDS = st.lists(
    st.sampled_from("ball urn card die coin row red two draw sum face odd".split()),
    min_size=1,
    max_size=8,
).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3)), min_size=1, max_size=12),
    asked=WORDS,
    least=st.floats(0, 0.6),
    overlap=st.floats(0.3, 1),
    fit=st.sampled_from([0, 0.3]),
)
def test_every_answer_keeps_the_rules(
    rows: list[tuple[str, list[str]]], asked: str, least: float, overlap: float, fit: float
) -> None:
    """For any bank: sorted, within the limits, over the threshold, none from the task alone, and no
    score that rests on it."""
    entries = [entry(when, "check", *dict.fromkeys(sources)) for when, sources in rows]
    texts = {key: text for _, tasks in entries for key, text in tasks.items()}
    recipe = DEFAULT.model_copy(
        update={"min_score": least, "max_overlap": overlap, "min_anchor": fit}
    )
    found = ask(index_of(*entries), asked, recipe=recipe)
    assert all(entry.parts["anchor_vector"] >= fit for entry in found.entries)
    scores = [entry.score for entry in found.entries]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) <= recipe.limit
    assert all(score >= least for score in scores)
    assert (found.abstained is None) == bool(scores)
    sources = {row.constraint.id: row.source_task_ids for row, _ in entries}
    for given_ in found.entries:
        tasks = [texts[key] for key in sources[given_.constraint.id]]
        others = [text for text in tasks if not same_task(asked, text)]
        assert others or not tasks
        vectors = bundled().embed([asked, *(others or [given_.constraint.anchor])])
        best = max(vectors[1:] @ vectors[0])
        assert given_.parts["task_vector"] <= np.clip(best, 0, 1) + 1e-6
