"""Stage 1: runs from outside → ``Trajectory`` records, as a stream.

The contract of this package:

* ``read_runs`` yields one ``Trajectory`` or ``Rejected`` for every run it comes upon, in an order
  that depends on the names of the files only. It holds one record at a time.
* A bad record is a ``Rejected`` with its place (``file:record``) and one of the names in
  ``REASONS``. It never raises for one, whatever the bytes, unless reading is strict.
* A run without a verdict is no bad record: its ``Verdict`` has ``solved=None`` and says why. A
  crash is no wrong answer.
* A file that no source claims is named to ``on_skip``. What is given but not there is a
  ``UsageError``, before anything is read.
* What is read is data. Nothing in it is executed, followed or written to disk by its name.

A source is a class with a ``name``, ``claims(file)`` and ``read(file)``, registered under the
entry-point group ``memcollab.sources``, the built-in ones (``inspect``, ``chat``) as well as a
stranger's. With a mapping, the mapping alone says which files are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from memcollab.errors import RunRejected, UsageError
from memcollab.records import Rejected, Trajectory
from memcollab.sources.chat import chat_line, chat_schema
from memcollab.sources.files import Aside, RunFile, roots, walk
from memcollab.sources.mapped import Mapped, contexts, evaluated, mapped_run
from memcollab.sources.mapping import Mapping, load_mapping, parse_mapping
from memcollab.sources.rejections import REASONS, Unfit, rejected

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "REASONS",
    "Mapping",
    "Preview",
    "RunFile",
    "Source",
    "Unfit",
    "chat_line",
    "chat_schema",
    "load_mapping",
    "parse_mapping",
    "preview",
    "read_runs",
    "sources",
]

GROUP = "memcollab.sources"


@runtime_checkable
class Source(Protocol):
    """One format of runs.

    ``claims`` looks at the name and may ``peek``; ``read`` yields the file's runs and rejects what
    is none. Both may let an ``Unfit`` of the file's stream pass: the caller reports it.
    """

    name: str

    def claims(self, file: RunFile, /) -> bool: ...

    def read(self, file: RunFile, /) -> Iterator[Trajectory | Rejected]: ...


def sources() -> list[Source]:
    """The registered sources, strangers' before the built-in ones, each group by name.

    Raises:
        UsageError: a registered source cannot be loaded.
    """
    from importlib.metadata import entry_points  # 30 ms that a recall does not need

    found = sorted(entry_points(group=GROUP), key=lambda point: (_built_in(point), point.name))
    return [_loaded(point) for point in found]


def _built_in(point: EntryPoint) -> bool:
    return point.value.startswith(f"{__name__}.")


def _loaded(point: EntryPoint) -> Source:
    try:
        source = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(
            f"the source {point.name!r} ({point.value}) cannot be loaded: {error}. "
            "Next: mend or uninstall the package that brings it"
        ) from error
    if not isinstance(source, Source):
        raise UsageError(
            f"the source {point.name!r} ({point.value}) is none. Valid: a class with name, claims "
            "and read. Next: mend or uninstall the package that brings it"
        )
    return source


def read_runs(
    paths: Iterable[str | Path],
    *,
    mapping: Mapping | None = None,
    strict: bool = False,
    on_skip: Callable[[str], None] | None = None,
) -> Iterator[Trajectory | Rejected]:
    """Every run below ``paths`` (files, archives, folders), as it is read.

    Args:
        paths: what to read.
        mapping: how to read a foreign format; without it the registered sources are asked.
        strict: stop at the first run that is rejected.
        on_skip: told the name of every file that nothing claims.

    Raises:
        UsageError: a path is not there or may not be opened; a source cannot be loaded. At once.
        RunRejected: the first rejected run, when reading is strict. While reading.
    """
    given = roots([paths] if isinstance(paths, str | Path) else paths)
    readers: Sequence[Source] = [Mapped(mapping)] if mapping is not None else sources()
    runs = _distinct(_runs(given, readers, on_skip or _not_told))
    return _strict(runs) if strict else runs


def _not_told(_name: str) -> None:
    """Nobody asked which files were left aside."""


def _runs(
    given: list[tuple[str, Path]], readers: Sequence[Source], on_skip: Callable[[str], None]
) -> Iterator[Trajectory | Rejected]:
    for file in walk(given):
        if isinstance(file, Rejected):
            yield file
        elif isinstance(file, Aside):
            on_skip(file.name)
        else:
            try:
                reader = next((reader for reader in readers if reader.claims(file)), None)
                if reader is not None:
                    yield from reader.read(file)
                elif file.problem is not None:  # too little of it is left to tell what it was
                    yield rejected(file.name, file.problem)
                else:
                    on_skip(file.name)
            except Unfit as problem:
                yield rejected(file.name, problem)


def _distinct(runs: Iterable[Trajectory | Rejected]) -> Iterator[Trajectory | Rejected]:
    """Reject a run that was read before. The ids are held as numbers: some 70 bytes each."""
    seen: set[int] = set()
    for run in runs:
        if isinstance(run, Trajectory):
            number = int(run.id.rpartition("-")[2], 16)
            if number in seen:
                yield Rejected(origin=run.origin, reason="duplicate", detail=run.id)
                continue
            seen.add(number)
        yield run


def _strict(runs: Iterable[Trajectory | Rejected]) -> Iterator[Trajectory]:
    for run in runs:
        if isinstance(run, Rejected):
            raise RunRejected(
                f"{run}. Reading is strict, so nothing behind it was read. "
                "Next: mend or remove that record, or read without --strict"
            )
        yield run


@dataclass(frozen=True)
class Preview:
    """What became of one record: each key of the mapping with its expression and value, and the
    run, or why it is none."""

    origin: str
    result: Trajectory | Rejected
    fields: dict[str, tuple[str, Any]] = field(default_factory=dict)


def preview(path: str | Path, mapping: Mapping | None = None, n: int = 1) -> list[Preview]:
    """The first ``n`` runs of ``path`` as they are read; ``fields`` is empty without a mapping.

    Raises:
        UsageError: the path is not there.
    """
    if mapping is None:
        return [Preview(run.origin, run) for run in islice(read_runs([path]), n)]
    return list(islice(_previews(path, mapping), n))


def _previews(path: str | Path, mapping: Mapping) -> Iterator[Preview]:
    for file in walk(roots([path])):
        if isinstance(file, Rejected):
            yield Preview(file.origin, file)
        elif isinstance(file, RunFile) and mapping.reads(file.path):
            for origin, context in contexts(file, mapping):
                result = mapped_run(origin, context, mapping)
                yield Preview(origin, result, evaluated(context, mapping))
