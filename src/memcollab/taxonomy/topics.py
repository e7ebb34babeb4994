"""The categories as data: a TOML file, the built-in one or the user's own in its place."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memcollab.errors import TaxonomyError
from memcollab.records import Category

_NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"


class Subtopic(BaseModel):
    """One subcategory of the file. What it says of itself files tasks where no label does."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=_NAME)
    title: str = Field(min_length=1)
    aliases: list[str] = []
    description: str = Field(min_length=1)
    keywords: list[str] = []
    examples: list[str] = []

    @property
    def seeds(self) -> list[str]:
        """The texts that speak for it: its description, its keywords, each of its examples."""
        keywords = [", ".join(self.keywords)] if self.keywords else []
        return [f"{self.title}. {self.description}", *keywords, *self.examples]


class Topic(Subtopic):
    """One category of the file."""

    subcategory: list[Subtopic] = []


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: int = Field(ge=1, le=1)
    category: list[Topic] = Field(min_length=1)


@dataclass(frozen=True)
class Taxonomy:
    """The categories that tasks are filed under: a closed list.

    ``digest`` is a hash of the content of the file: two files that say the same have the same.
    """

    topics: tuple[Topic, ...]
    digest: str
    _by_label: Mapping[str, Category] = field(repr=False)
    _by_name: Mapping[str, Topic] = field(repr=False)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The taxonomy in the file at ``path``, or the built-in one.

        Raises:
            TaxonomyError: the file cannot be read or used; the message names the place in it.
        """
        if path is None:
            source = resources.files("memcollab.taxonomy").joinpath("default.toml")
            return cls._parse(source.read_text("utf-8"), "default.toml")
        try:
            return cls._parse(Path(path).read_text("utf-8"), str(path))
        except OSError as error:
            raise _unusable(str(path), f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise _unusable(str(path), f"is not UTF-8: {error.reason}") from error

    @classmethod
    def _parse(cls, text: str, path: str) -> Self:
        try:
            content = _File.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise _unusable(path, f"is not TOML: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{_place(fault['loc'])}: {fault['msg']}, got {fault['input']!r:.80}"
                for fault in error.errors()[:5]
            )
            raise _unusable(path, f"is malformed at {faults}") from error
        return cls(
            topics=tuple(content.category),
            digest=hashlib.sha256(content.model_dump_json().encode()).hexdigest()[:20],
            _by_label=_labels(content.category, path),
            _by_name={topic.name: topic for topic in content.category},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the categories, in the order of the file."""
        return tuple(self._by_name)

    def topic(self, name: str) -> Topic:
        """The category of that name; KeyError where there is none."""
        return self._by_name[name]

    def find(self, label: str | Category) -> Category | None:
        """The category that a label means, by name, title or alias; None if it means none.

        ``Counting & Probability`` is ``counting_and_probability``, and an alias of a subcategory
        means both. A subcategory that is not of the category is left out.
        """
        name, _, subcategory = str(label).partition("/")
        found = self._by_label.get(_slug(name))
        if found is None or not subcategory:
            return found
        return self._by_label.get(f"{found.name}/{_slug(subcategory)}", found)

    def unknown(self, labels: Iterable[str | Category]) -> dict[str, int]:
        """How often each label comes that means no category here."""
        return dict(Counter(str(label) for label in labels if self.find(label) is None))

    def resolve(self, label: str | Category) -> Category:
        """``find``, for a label that somebody typed.

        Raises:
            TaxonomyError: it means no category.
        """
        found = self.find(label)
        if found is None:
            raise TaxonomyError(
                f"there is no category {str(label)!r}. Valid: {', '.join(self.names)}. "
                "Next: choose one, or set MEMCOLLAB_TAXONOMY=FILE.toml"
            )
        return found


def _slug(label: str) -> str:
    """A label as it is compared: ``Counting & Probability`` → ``counting_and_probability``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower().replace("&", " and ")).strip("_")


def _labels(topics: list[Topic], path: str) -> dict[str, Category]:
    """Every label of a category, and ``category/label`` for every one of a subcategory."""
    found: dict[str, tuple[Category, str]] = {}
    for label, category, place in _claims(topics):
        first = found.setdefault(label, (category, place))
        if first[1] != place:
            raise _unusable(path, f"is ambiguous at {place}: {label!r} already means {first[1]}")
    return {label: category for label, (category, _where) in found.items()}


def _claims(topics: list[Topic]) -> Iterator[tuple[str, Category, str]]:
    for number, topic in enumerate(topics, 1):
        place = f"category {number} ({topic.name!r})"
        whole = Category(name=topic.name)
        for label in (topic.name, topic.title, *topic.aliases):
            yield _slug(label), whole, place
        for index, part in enumerate(topic.subcategory, 1):
            where = f"{place}, subcategory {index} ({part.name!r})"
            leaf = Category(name=topic.name, subcategory=part.name)
            for label in (part.name, part.title, *part.aliases):
                yield f"{topic.name}/{_slug(label)}", leaf, where
            for label in part.aliases:
                yield _slug(label), leaf, where


def _place(location: tuple[int | str, ...]) -> str:
    """Where in the file: ``("category", 0, "name")`` → ``category 1 name``."""
    return " ".join(str(part + 1 if isinstance(part, int) else part) for part in location)


def _unusable(path: str, what: str) -> TaxonomyError:
    return TaxonomyError(
        f"the taxonomy {path!r} {what}. Valid: format = 1 and [[category]] tables with name, title "
        "and description. Next: start from a copy of the built-in memcollab/taxonomy/default.toml"
    )
