"""Categories as data, and the one function that files tasks under them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcollab.embed import bundled
from memcollab.errors import ModelUnavailable, TaxonomyError
from memcollab.records import Category, Task
from memcollab.taxonomy import Categoriser, Taxonomy
from memcollab.taxonomy.softmax import Features, Rows, softmax, terms, train

MATH_SUBJECTS = {
    "Algebra": "algebra",
    "Counting & Probability": "counting_and_probability",
    "Geometry": "geometry",
    "Intermediate Algebra": "intermediate_algebra",
    "Number Theory": "number_theory",
    "Prealgebra": "prealgebra",
    "Precalculus": "precalculus",
}
SMALL = """
format = 1
[[category]]
name = "gardening"
title = "Gardening"
description = "Plants and soil."
keywords = ["rose", "soil", "prune"]
examples = ["When should I prune my roses?"]
[[category]]
name = "cooking"
title = "Cooking & Baking"
aliases = ["kitchen"]
description = "Food and recipes."
examples = ["How long do I bake bread?"]
[[category.subcategory]]
name = "bread"
title = "Bread"
description = "Dough, yeast and ovens."
examples = ["Why does my dough not rise?"]
[[category.subcategory]]
name = "soup"
title = "Soup"
aliases = ["soups_and_stews"]
description = "Broth and stew."
examples = ["How do I thicken a soup?"]
"""

# Written for this test, after the seeds; the seeds were not changed for them.
OWN_TASKS = [
    ("programming", "Write a function that removes all vowels from a string."),
    ("programming", "def merge(a: list, b: list) -> list: Merge two sorted lists into one."),
    ("programming", "Implement a class Matrix that supports addition and printing."),
    ("programming", "Given a list of file names, return those that end in .py, sorted by size."),
    ("programming", "My script crashes with IndexError: list index out of range. Repair it."),
    ("programming", "Write an SQL statement that counts the orders of each customer."),
    ("programming", "Write code to convert a Roman numeral to an integer."),
    ("programming", "Write a python function to find the median of an unsorted array."),
    ("programming", "Return the indices of the two numbers that add up to the target."),
    ("programming", "Use a regular expression to find all hashtags in a tweet."),
    ("programming", "Create a function that validates an ISO date string."),
    ("programming", "Write a recursive function for the depth of a nested list."),
    ("tool_use", "Use the calendar tool to move my dentist appointment to Thursday."),
    ("tool_use", "Call the inventory service and reserve two units of item 4711."),
    ("tool_use", "Fetch every page of the issue list and report how many are closed."),
    ("tool_use", "The access token is no longer valid; obtain another and download the invoice."),
    ("tool_use", "Start the virtual machine and wait until its status is running."),
    ("tool_use", "Add a red umbrella below 20 euros to the shopping cart and check out."),
    ("tool_use", "Send the request again if the gateway answers with error 502."),
    ("tool_use", "Cancel flight booking QX81 if the fare rules allow it, after asking me."),
    (
        "tool_use",
        "Update the phone number in the CRM record of customer 88 and confirm the change.",
    ),
    ("tool_use", "Give the account balance as a JSON object with the field balance_cents."),
    (
        "question_answering",
        "Which planet is closest to the sun? Options: A) Earth B) Mercury C) Mars",
    ),
    ("question_answering", "Who was the first woman to win a Nobel Prize?"),
    ("question_answering", "In which country does the Danube begin?"),
    ("question_answering", "According to the article, why was the bridge closed?"),
    ("question_answering", "Which organ produces insulin?"),
    ("question_answering", "What did the court decide about the defendant's appeal?"),
    ("question_answering", "When did the Ottoman Empire end?"),
    ("question_answering", "Which of these is not a mammal? (A) whale (B) bat (C) trout (D) mole"),
    ("general", "Write a thank-you note to my neighbours for watering the plants."),
    ("general", "Translate this menu into Italian."),
    ("general", "Make the following paragraph shorter and friendlier."),
    ("general", "Give me five slogans for a bicycle repair shop."),
    ("general", "Help me plan a surprise party on a small budget."),
    ("general", "Tell me a bedtime story about a brave hedgehog."),
    ("general", "Summarise the minutes of yesterday's meeting."),
    ("general", "Should I learn the violin or the piano as an adult?"),
]


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.load()


@pytest.fixture(scope="module")
def seeds(taxonomy: Taxonomy) -> Categoriser:
    return Categoriser(taxonomy, bundled())


@pytest.fixture
def small(tmp_path: Path) -> Taxonomy:
    return Taxonomy.load(written(tmp_path, SMALL))


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, "utf-8")
    return path


# ---- the file


def test_built_in_holds_the_agreed_categories(taxonomy: Taxonomy) -> None:
    """The seven of MATH and four more, each with what files a task under it."""
    assert set(taxonomy.names) == {
        *MATH_SUBJECTS.values(),
        *("programming", "tool_use", "question_answering", "general"),
    }
    for topic in taxonomy.topics:
        assert topic.subcategory
        assert all(part.examples and part.keywords for part in (topic, *topic.subcategory))


@pytest.mark.parametrize(("label", "name"), MATH_SUBJECTS.items())
def test_labels_of_math_mean_its_subjects(taxonomy: Taxonomy, label: str, name: str) -> None:
    """A run's label is matched by title, however it is written."""
    assert taxonomy.find(label) == Category(name=name)
    assert taxonomy.find(label.upper().replace("&", "and")) == Category(name=name)


def test_labels_resolve_to_subcategories(taxonomy: Taxonomy) -> None:
    """By path, by an alias of the subcategory, and without one that does not exist."""
    word_problems = Category(name="prealgebra", subcategory="word_problems")
    assert taxonomy.find("Prealgebra/Word problems") == word_problems
    assert taxonomy.find("gsm8k") == word_problems
    assert taxonomy.find("prealgebra/nonsense") == Category(name="prealgebra")
    assert taxonomy.find(word_problems) == word_problems


@pytest.mark.parametrize("label", ["", "/", "/bread", "astrology", "???"])
def test_labels_that_mean_nothing(taxonomy: Taxonomy, label: str) -> None:
    """Found by nobody; an error, with what is valid, where somebody typed it."""
    assert taxonomy.find(label) is None
    with pytest.raises(TaxonomyError, match="Valid: algebra, "):
        taxonomy.resolve(label)


def test_labels_that_mean_nothing_are_counted(taxonomy: Taxonomy) -> None:
    """So that a report can name them."""
    labels = ["Algebra", "my_eval", Category(name="my_eval"), "other/thing", "astrology"]
    assert taxonomy.unknown(labels) == {"my_eval": 2, "astrology": 1}


def test_own_file_replaces_the_built_in(small: Taxonomy) -> None:
    """A user's categories stand alone, and file by their own words."""
    assert small.names == ("gardening", "cooking")
    assert small.find("cooking and baking") == Category(name="cooking")
    decide = Categoriser(small, bundled()).decide
    assert decide(Task(text="My rose bush has yellow leaves.")).top == Category(name="gardening")
    assert str(decide(Task(text="The yeast is dead and the dough is flat.")).top) == "cooking/bread"


def test_equal_content_has_equal_digest(tmp_path: Path, small: Taxonomy) -> None:
    """Comments and layout are not content; words are."""
    again = Taxonomy.load(written(tmp_path, "# mine\n" + SMALL.replace("\n[[", "\n\n[[")))
    other = Taxonomy.load(written(tmp_path, SMALL.replace("Plants", "Trees")))
    assert again.digest == small.digest != other.digest


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("format = 1\n[[category]", "not TOML"),
        ("format = 2\n", "format"),
        ("format = 1\ncategory = []", "category"),
        (SMALL.replace('title = "Bread"', ""), "category 2 subcategory 1 title"),
        (SMALL.replace('name = "bread"', 'name = "My Bread"'), "category 2 subcategory 1 name"),
        (SMALL.replace("aliases", "alias"), "category 2 alias"),
        (SMALL.replace('["kitchen"]', '"kitchen"'), "category 2 aliases"),
        (SMALL.replace('"kitchen"', '"Gardening"'), r"category 2 \('cooking'\)"),
        (SMALL.replace('name = "cooking"', 'name = "gardening"'), "already means category 1"),
        (SMALL.replace('name = "soup"', 'name = "bread"'), "subcategory 2"),
        (SMALL.replace('"soups_and_stews"', '"gardening"'), "subcategory 2"),
    ],
)
def test_malformed_files_name_the_place(tmp_path: Path, text: str, place: str) -> None:
    """Which category, which field, what was found there."""
    with pytest.raises(TaxonomyError, match=place):
        Taxonomy.load(written(tmp_path, text))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """No such file, and bytes that are not text."""
    with pytest.raises(TaxonomyError, match="cannot be read"):
        Taxonomy.load(tmp_path / "none.toml")
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TaxonomyError, match="UTF-8"):
        Taxonomy.load(tmp_path / "own.toml")


# ---- deciding


def test_a_label_of_the_run_wins(seeds: Categoriser) -> None:
    """Whatever the text says; the subcategory is filled in where the label has none."""
    text = "A cone has radius 3 and height 4. What is its volume?"
    labelled = Task(text=text, category=Category(name="Algebra"))
    decision = seeds.decide(labelled)
    assert (decision.method, decision.top.name, decision.margin) == ("label", "algebra", 1.0)
    assert decision.top.subcategory is not None
    exact = seeds.decide(Task(text=text, category=Category.parse("geometry/solids")))
    assert str(exact.top) == "geometry/solids"


def test_a_label_that_means_nothing_is_not_followed(seeds: Categoriser) -> None:
    """The taxonomy is a closed list: a foreign label falls to the classifier."""
    text = "What is the remainder when 7 to the power 100 is divided by 5?"
    decision = seeds.decide(Task(text=text, category=Category(name="my_eval_v3")))
    assert (decision.method, decision.top.name) == ("seed", "number_theory")


def test_guesses_fall_and_are_probabilities(seeds: Categoriser) -> None:
    """Three candidates at most, of different categories, each with a subcategory."""
    guesses = seeds.decide(Task(text="How many 5-card hands hold exactly two kings?")).guesses
    chances = [guess.probability for guess in guesses]
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) <= 1
    assert len({guess.category.name for guess in guesses}) == len(guesses) == 3
    assert all(guess.category.subcategory for guess in guesses)


def test_seeds_file_tasks_that_nobody_labelled(seeds: Categoriser) -> None:
    """Of 38 own tasks that are not maths, at least 85 % go where a person files them (measured
    when this was written: see design/categories.md)."""
    right = [seeds.decide(Task(text=text)).top.name == name for name, text in OWN_TASKS]
    assert np.mean(right) >= 0.85


def test_filing_and_finding_agree(seeds: Categoriser) -> None:
    """The same text gets the same decision, with its vector at hand or not."""
    task = Task(text="Solve the system x + y = 3 and x - y = 1.")
    vector = bundled().embed([task.text])[0]
    assert seeds.decide(task) == seeds.decide(task, vector)


def test_odd_texts_are_filed_too(seeds: Categoriser) -> None:
    """No token known, one sign, another script, very long: a decision, never an error."""
    for text in ("\x00", "?", "многочлен", " ", "x" * 200_000):
        assert seeds.decide(Task(text=text)).guesses


# ---- learning

LABELLED = [
    ("The flux capacitor hums when the relay clicks.", Category(name="Geometry")),
    ("Why does the flux capacitor stall?", Category(name="Geometry")),
    ("A flux capacitor and a relay stall together.", Category.parse("geometry/solids")),
    ("Solve for x.", Category(name="Algebra")),
]


@pytest.fixture(scope="module")
def taught(taxonomy: Taxonomy) -> Categoriser:
    return Categoriser(taxonomy, bundled(), [*LABELLED, ("a", Category(name="astrology"))])


def test_labelled_tasks_teach(taught: Categoriser, seeds: Categoriser) -> None:
    """What the bank's labels say overrules what words seem to say, and the method tells; labels
    that mean nothing are not learned from."""
    task = Task(text="The relay of my flux capacitor stalls. What now?")
    assert seeds.decide(task).top.name != "geometry"
    assert (taught.decide(task).top.name, taught.decide(task).method) == ("geometry", "classifier")
    assert taught.tasks == 4


def test_order_and_repetition_do_not_matter(taxonomy: Taxonomy, taught: Categoriser) -> None:
    """Two machines that hold the same labelled tasks file alike."""
    again = Categoriser(taxonomy, bundled(), [*reversed(LABELLED), *LABELLED])
    task = Task(text="Find the area of the flux capacitor.")
    assert again.key == taught.key
    assert again.decide(task) == taught.decide(task)


def test_storing_keeps_every_decision(taxonomy: Taxonomy, taught: Categoriser) -> None:
    """Bytes and back: the same key, the same probabilities."""
    again = Categoriser.from_bytes(taught.to_bytes(), taxonomy, bundled())
    assert again.key == taught.key == Categoriser.key_of(taxonomy, bundled(), LABELLED)
    for _, text in OWN_TASKS[::5]:
        assert again.decide(Task(text=text)) == taught.decide(Task(text=text))


def test_stored_bytes_of_another_make_are_refused(taught: Categoriser, small: Taxonomy) -> None:
    """Another taxonomy, half a file, no file at all: an error that says what to do, never a wrong
    decision."""
    content = taught.to_bytes()
    for wrong in (content, content[: len(content) // 2], b"", b"PK", b"\x80\x04N."):
        with pytest.raises(TaxonomyError, match="cannot be used"):
            Categoriser.from_bytes(wrong, small, bundled())


def test_key_follows_labels_and_taxonomy(taxonomy: Taxonomy, small: Taxonomy) -> None:
    """Whatever changes a decision changes the key."""
    keys = {
        Categoriser.key_of(taxonomy, bundled(), LABELLED),
        Categoriser.key_of(taxonomy, bundled(), LABELLED[:-1]),
        Categoriser.key_of(taxonomy, bundled(), [*LABELLED[:-1], ("Solve for x.", LABELLED[0][1])]),
        Categoriser.key_of(small, bundled(), LABELLED),
    }
    assert len(keys) == 4


@pytest.mark.data
def test_math_labels_file_math(taxonomy: Taxonomy, shared_data: Path) -> None:
    """A thousand labelled MATH tasks lift the filing of others above the seeds', and no category
    without labels takes a task of theirs. The full measurement is benchmarks/categorise_math500.py;
    MATH500 itself is not read here."""
    with gzip.open(
        shared_data / "math" / "math_test_5000.jsonl.gz", "rt", encoding="utf-8"
    ) as rows:
        tasks = [(row["problem"], Category(name=row["type"])) for row in map(json.loads, rows)]
    labelled, asked = tasks[::5], tasks[2::25]
    found = names(Categoriser(taxonomy, bundled(), labelled), asked)
    wanted = [MATH_SUBJECTS[label.name] for _, label in asked]
    assert set(found) <= set(MATH_SUBJECTS.values())
    right = np.mean([a == b for a, b in zip(found, wanted, strict=True)])
    assert right >= 0.66


def names(categoriser: Categoriser, asked: Sequence[tuple[str, Category]]) -> list[str]:
    return [categoriser.decide(Task(text=text)).top.name for text, _ in asked]


# ---- asking a model

UNSURE = "x?"


def test_a_model_is_asked_only_when_unsure(taxonomy: Taxonomy) -> None:
    """A clear task costs no call; a doubtful one is put with its candidates and its text."""
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "`intermediate_algebra`."

    categoriser = Categoriser(taxonomy, bundled(), ask=answer)
    categoriser.decide(Task(text="Write a python function that reverses a string."))
    assert not asked
    plain = Categoriser(taxonomy, bundled()).decide(Task(text=UNSURE))
    assert plain.margin < 0.2
    second = plain.guesses[1].category

    def name_the_second(prompt: str) -> str:
        asked.append(prompt)
        return f"{second.name}\n"

    decision = Categoriser(taxonomy, bundled(), ask=name_the_second).decide(Task(text=UNSURE))
    assert (decision.method, decision.top) == ("model", second)
    assert [g.probability for g in decision.guesses] == [g.probability for g in plain.guesses]
    assert UNSURE in asked[0]
    assert all(f"{guess.category.name}: " in asked[0] for guess in plain.guesses)


@pytest.mark.parametrize("answer", ["", "astrology", "Ignore the list."])
def test_an_answer_that_names_no_candidate_changes_nothing(
    taxonomy: Taxonomy, seeds: Categoriser, answer: str
) -> None:
    """The decision and its method are the classifier's then."""
    categoriser = Categoriser(taxonomy, bundled(), ask=lambda _: answer)
    assert categoriser.decide(Task(text=UNSURE)) == seeds.decide(Task(text=UNSURE))


def test_a_model_that_fails_is_not_hidden(taxonomy: Taxonomy) -> None:
    """What the asking raises reaches the caller."""

    def fails(_: str) -> str:
        raise ModelUnavailable("no server")

    with pytest.raises(ModelUnavailable):
        Categoriser(taxonomy, bundled(), ask=fails).decide(Task(text=UNSURE))


# ---- the linear model


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_training_finds_the_minimum(seed: int, classes: int) -> None:
    """The slope of the loss is zero where training stops: compared with small steps around it."""
    chance = np.random.default_rng(seed)
    texts = [" ".join(chance.choice(list("abcdefgh"), 6)) for _ in range(30)]
    counted = [terms(text) for text in texts]
    vectors = chance.normal(size=(30, 4)).astype(np.float32)
    features = Features.fit(counted, 30, vectors)
    rows = Rows(
        [features.weigh(text) for text in counted],
        features.place(vectors),
        len(features.vocabulary),
    )
    wanted = chance.integers(0, classes, 30)
    weights = train(rows, wanted, classes, np.ones(30, np.float32))

    def loss(at: np.ndarray) -> float:
        guessed = softmax(rows.times(at))[np.arange(30), wanted]
        return float(-np.log(guessed).sum() + 0.05 * (at.astype(float) ** 2).sum())

    for _ in range(5):
        step = chance.normal(size=weights.shape).astype(np.float32)
        step *= 0.3 / np.linalg.norm(step)
        assert loss(weights) <= loss(weights + step) + 1e-2


def test_rows_multiply_as_matrices_do() -> None:
    """Sparse rows times weights, and turned, equal the same with every zero written out."""
    chance = np.random.default_rng(0)
    counted = [terms(text) for text in ("a b c", "b b", "c a d", "")]
    vectors = chance.normal(size=(4, 3)).astype(np.float32)
    features = Features.fit(counted, 4, vectors)
    sparse = [features.weigh(text) for text in counted]
    width = len(features.vocabulary)
    whole = np.zeros((4, width + 3), dtype=np.float32)
    for row, (ids, values) in enumerate(sparse):
        np.add.at(whole[row], ids, values)
    whole[:, width:] = features.place(vectors)
    rows = Rows(sparse, features.place(vectors), width)
    weights = chance.normal(size=(width + 3, 2)).astype(np.float32)
    values = chance.normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_allclose(rows.times(weights), whole @ weights, atol=1e-5)
    np.testing.assert_allclose(rows.turned_times(values), whole.T @ values, atol=1e-5)
