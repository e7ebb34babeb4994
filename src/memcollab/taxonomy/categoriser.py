"""Who decides where a task belongs, in this order:

1. ``label``       what the run brought, where the taxonomy knows it;
2. ``classifier``  a linear model over the labelled tasks of the bank and the seeds of the taxonomy;
   ``seed``        the same over the seeds alone, while no task is labelled;
3. ``model``       a language model, only if one is given and the classifier is unsure.

Which subcategory of a category is decided alike, by a small model for each category.

Two models are added for the categories: one learns from seeds and labelled tasks, one from seeds
alone, at ``SEED_SHARE`` of its weight. The second keeps a category that nobody has labelled yet
alive beside thousands of labelled tasks of others. Measured: design/categories.md.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from io import BytesIO
from string import Template
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np

from memcollab.embed import Embedder, Vectors
from memcollab.errors import TaxonomyError
from memcollab.records import Category, CategoryDecision, CategoryGuess, Task
from memcollab.taxonomy.softmax import Features, Reals, Rows, Whole, softmax, terms, train
from memcollab.taxonomy.topics import Taxonomy, Topic

# Changing what goes into the stored form, or the settings of the training, raises this.
_FORMAT = 1
SEED_SHARE = 0.35
# A category with a tenth of another's tasks counts as if it had 10 ** -(1 - BALANCE) of them.
BALANCE = 0.5
# Tasks of a category beyond these add time, not accuracy.
MOST_TASKS = 3000
# Candidates in a decision, and the margin below which a model is asked.
_GUESSES = 3
_UNSURE = 0.2

Labelled = Sequence[tuple[str, Category]]
Sparse = tuple[Whole, Reals]


@dataclass(frozen=True)
class _Leaves:
    """What was learned of the subcategories of one category: ``weights`` (terms + dimensions,
    subcategories) of the terms with these ids."""

    terms: Whole
    weights: Reals


@dataclass(frozen=True)
class _Model:
    """What was learned: ``top`` (terms + dimensions, categories), and leaves by category."""

    features: Features
    top: Reals
    leaves: Mapping[str, _Leaves]

    @cached_property
    def _joined(self) -> Reals:
        """All weights side by side, so that a text is scored for everything at one go."""
        known = len(self.features.vocabulary)
        blocks = [self.top]
        for leaves in self.leaves.values():
            block = np.zeros((len(self.top), leaves.weights.shape[1]), dtype=np.float32)
            block[leaves.terms] = leaves.weights[: len(leaves.terms)]
            block[known:] = leaves.weights[len(leaves.terms) :]
            blocks.append(block)
        return np.concatenate(blocks, axis=1)

    @cached_property
    def _places(self) -> Mapping[str, slice]:
        """Where the subcategories of each category stand among the joined weights."""
        ends = np.cumsum([self.top.shape[1], *(v.weights.shape[1] for v in self.leaves.values())])
        return {name: slice(*ends[n : n + 2].tolist()) for n, name in enumerate(self.leaves)}

    def scores(self, text: str, vector: Vectors) -> Reals:
        """Scores of the categories, and after them of all subcategories."""
        ids, values = self.features.weigh(terms(text))
        dense = self.features.place(vector)
        total: Reals = values @ self._joined.take(ids, axis=0)
        total += dense @ self._joined[-len(dense) :]
        return total

    def likeliest(self, name: str, scores: Reals) -> int | None:
        """Which subcategory of the category of that name has the best score; None without any."""
        place = self._places.get(name)
        return None if place is None else int(scores[place].argmax())


@dataclass(frozen=True)
class _Example:
    """A text that is known to belong somewhere; a seed comes from the taxonomy."""

    text: str
    name: str
    subcategory: str | None
    seed: bool


class Categoriser:
    """Files tasks. A value once built: equal labelled tasks, in any order, decide equally.

    Args:
        labelled: text and category of tasks; labels that the taxonomy does not know are not
            learned from (``Taxonomy.unknown`` counts them).
        ask: a language model as a function from prompt to answer, asked only when unsure. What it
            raises is not caught.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        embedder: Embedder,
        labelled: Labelled = (),
        *,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        known = _known(taxonomy, labelled)
        self._set_up(taxonomy, embedder, ask)
        self.key = self.key_of(taxonomy, embedder, labelled)
        self.tasks = len(known)
        self._model = _learn(taxonomy, embedder, known)

    def _set_up(
        self, taxonomy: Taxonomy, embedder: Embedder, ask: Callable[[str], str] | None
    ) -> None:
        self.taxonomy = taxonomy
        self._embedder = embedder
        self._ask = ask

    # ---- deciding

    def decide(self, task: Task, vector: Vectors | None = None) -> CategoryDecision:
        """Where ``task`` belongs: at most three candidates, each with its likeliest subcategory.

        Args:
            vector: the embedding of the task's text, shape ``(dim,)``, if it is at hand.

        Raises:
            ModelError: the embedder, or the model that was given, did not answer.
        """
        label = self.taxonomy.find(task.category) if task.category else None
        if label is not None and (label.subcategory or label.name not in self._model.leaves):
            return _certain(label)
        if vector is None:
            vector = self._embedder.embed([task.text])[0]
        scores = self._model.scores(task.text, vector)
        if label is not None:
            return _certain(self._category(label.name, scores))
        chances = softmax(scores[: len(self.taxonomy.names)])
        order = np.argsort(-chances, kind="stable")[:_GUESSES]
        decision = CategoryDecision(
            guesses=tuple(
                CategoryGuess(
                    category=self._category(self.taxonomy.names[number], scores),
                    probability=float(chances[number]),
                )
                for number in order
            ),
            method="classifier" if self.tasks else "seed",
        )
        return self._asked(task, decision) if self._ask else decision

    def _category(self, name: str, scores: Reals) -> Category:
        """The category of that name with its likeliest subcategory, if it has any."""
        likeliest = self._model.likeliest(name, scores)
        if likeliest is None:
            return Category(name=name)
        return Category(
            name=name, subcategory=self.taxonomy.topic(name).subcategory[likeliest].name
        )

    def _asked(self, task: Task, decision: CategoryDecision) -> CategoryDecision:
        """The decision after a model was asked; as it was if it is sure, or if the answer names
        none of the candidates."""
        if self._ask is None or decision.margin >= _UNSURE:
            return decision
        candidates = [guess.category.name for guess in decision.guesses]
        chosen = _read(self._ask(self._question(task, candidates)), candidates)
        if chosen is None:
            return decision
        # The chosen one goes first; how sure the classifier was stays visible.
        first = candidates.index(chosen)
        order = [first, *(number for number in range(len(candidates)) if number != first)]
        return CategoryDecision(
            guesses=tuple(
                CategoryGuess(
                    category=decision.guesses[number].category,
                    probability=decision.guesses[place].probability,
                )
                for place, number in enumerate(order)
            ),
            method="model",
        )

    def _question(self, task: Task, candidates: Iterable[str]) -> str:
        topics = [self.taxonomy.topic(name) for name in candidates]
        return _prompt().substitute(
            categories="\n".join(f"{topic.name}: {topic.description}" for topic in topics),
            task=task.text,
        )

    # ---- storing

    @staticmethod
    def key_of(taxonomy: Taxonomy, embedder: Embedder, labelled: Labelled) -> str:
        """A hash of everything that a categoriser is made from: equal keys, equal decisions."""
        digest = hashlib.sha256(f"{_FORMAT} {taxonomy.digest} {embedder.name}".encode())
        for text, category in _known(taxonomy, labelled):
            digest.update(f"\0{category}\0{text}".encode())
        return digest.hexdigest()[:40]

    def to_bytes(self) -> bytes:
        """The trained models (numpy's npz; no code in it), about 1 MB for 5,000 tasks."""
        model = self._model
        arrays: dict[str, Any] = {
            "key": np.array(self.key),
            "made_with": np.array(self._made_with()),
            "tasks": np.array(self.tasks),
            "vocabulary": np.frombuffer("\n".join(model.features.vocabulary).encode(), np.uint8),
            "idf": model.features.idf,
            "centre": model.features.centre,
            "top": model.top,
        }
        for name, leaves in model.leaves.items():
            arrays[f"terms.{name}"] = leaves.terms
            arrays[f"leaves.{name}"] = leaves.weights
        file = BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(
        cls,
        content: bytes,
        taxonomy: Taxonomy,
        embedder: Embedder,
        *,
        ask: Callable[[str], str] | None = None,
    ) -> Self:
        """What ``to_bytes`` stored, for the taxonomy and the embedder it was made with.

        Raises:
            TaxonomyError: the bytes are not that; train anew.
        """
        self = cls.__new__(cls)
        self._set_up(taxonomy, embedder, ask)
        try:
            with np.load(BytesIO(content), allow_pickle=False) as arrays:
                self._restore(arrays)
        except (BadZipFile, EOFError, OSError, ValueError, KeyError) as error:
            raise TaxonomyError(
                f"the stored categoriser cannot be used: {error!r}. Next: memcollab bank reindex"
            ) from error
        return self

    def _made_with(self) -> str:
        return f"{_FORMAT} {self.taxonomy.digest} {self._embedder.name}"

    def _restore(self, arrays: Mapping[str, Any]) -> None:
        if str(arrays["made_with"]) != self._made_with():
            raise ValueError(f"made with {str(arrays['made_with'])!r}, not {self._made_with()!r}")
        known = arrays["vocabulary"].tobytes().decode().split("\n")
        vocabulary = {term: number for number, term in enumerate(known)}
        self.key = str(arrays["key"])
        self.tasks = int(arrays["tasks"])
        self._model = _Model(
            features=Features(vocabulary, arrays["idf"], arrays["centre"]),
            top=arrays["top"],
            leaves={
                topic.name: _Leaves(arrays[f"terms.{topic.name}"], arrays[f"leaves.{topic.name}"])
                for topic in self.taxonomy.topics
                if topic.subcategory
            },
        )


def _certain(category: Category) -> CategoryDecision:
    return CategoryDecision(
        guesses=(CategoryGuess(category=category, probability=1.0),), method="label"
    )


@cache
def _prompt() -> Template:
    source = resources.files("memcollab").joinpath("prompts/categorise.md")
    return Template(source.read_text("utf-8"))


def _read(answer: str, candidates: Sequence[str]) -> str | None:
    """The one candidate that ``answer`` names; None if it names none, or several."""
    spoken = set(re.findall(r"[a-z0-9_]+", answer.lower()))
    named = [name for name in candidates if name in spoken]
    return named[0] if len(named) == 1 else None


# ---- learning


def _known(taxonomy: Taxonomy, labelled: Labelled) -> list[tuple[str, Category]]:
    """The labelled tasks to learn from, in an order that is not that of the caller: each once, the
    same ``MOST_TASKS`` of each category whatever else there is."""
    found = {(text, label) for text, given in labelled if (label := taxonomy.find(given))}
    ordered = sorted(found, key=lambda item: hashlib.sha256(item[0].encode()).digest())
    seen = Counter[str]()
    kept = []
    for text, label in ordered:
        seen[label.name] += 1
        if seen[label.name] <= MOST_TASKS:
            kept.append((text, label))
    return sorted(kept, key=lambda item: (item[0], str(item[1])))


def _learn(taxonomy: Taxonomy, embedder: Embedder, known: Labelled) -> _Model:
    examples = [*_seeds(taxonomy), *(_Example(t, c.name, c.subcategory, False) for t, c in known)]
    counted = [terms(example.text) for example in examples]
    vectors = embedder.embed([example.text for example in examples])
    features = Features.fit(counted, len(examples) - len(known), vectors)
    sparse = [features.weigh(text) for text in counted]
    dense = features.place(vectors)
    return _Model(
        features=features,
        top=_learn_top(taxonomy.names, examples, sparse, dense, len(features.vocabulary)),
        leaves={
            topic.name: _learn_leaves(topic, examples, sparse, dense)
            for topic in taxonomy.topics
            if topic.subcategory
        },
    )


def _seeds(taxonomy: Taxonomy) -> list[_Example]:
    return [
        _Example(text, topic.name, None if part is topic else part.name, True)
        for topic in taxonomy.topics
        for part in (topic, *topic.subcategory)
        for text in part.seeds
    ]


def _learn_top(
    names: tuple[str, ...],
    examples: Sequence[_Example],
    sparse: Sequence[Sparse],
    dense: Reals,
    columns: int,
) -> Reals:
    """The model over the categories; see the head of this file for why it is a sum of two."""
    classes = np.array([names.index(example.name) for example in examples])
    seeds = sum(example.seed for example in examples)
    only_seeds = Rows(sparse[:seeds], dense[:seeds], columns)
    weights = train(only_seeds, classes[:seeds], len(names), np.ones(seeds, np.float32))
    if len(examples) > seeds:
        sizes = np.bincount(classes, minlength=len(names))
        importance = ((sizes.max() / sizes) ** BALANCE)[classes].astype(np.float32)
        everything = Rows(sparse, dense, columns)
        weights = train(everything, classes, len(names), importance) + SEED_SHARE * weights
    return weights


def _learn_leaves(
    topic: Topic, examples: Sequence[_Example], sparse: Sequence[Sparse], dense: Reals
) -> _Leaves:
    """The model over the subcategories of one category, over the terms of its examples only."""
    names = [part.name for part in topic.subcategory]
    rows = [
        row
        for row, example in enumerate(examples)
        if example.name == topic.name and example.subcategory in names
    ]
    classes = np.array([names.index(str(examples[row].subcategory)) for row in rows])
    known = np.unique(np.concatenate([sparse[row][0] for row in rows]))
    local = [(np.searchsorted(known, sparse[row][0]), sparse[row][1]) for row in rows]
    importance = np.ones(len(rows), dtype=np.float32)
    weights = train(Rows(local, dense[rows], len(known)), classes, len(names), importance)
    return _Leaves(known, weights)
