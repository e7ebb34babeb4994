"""Rows of a benchmark: from a folder of files, else from the hub that Inspect's loaders use."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from memcollab.errors import UsageError

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Where rows lie: ``file`` below the data folder (JSON lines, ``.gz`` too); on the hub the
    ``dataset``, its ``config`` and its ``split``."""

    file: str
    dataset: str
    split: str
    config: str | None = None


def read_rows(source: Source, data: Path | None) -> list[Row]:
    """The rows, in order.

    Raises:
        UsageError: the file is missing or damaged; the hub does not answer, or the ``datasets``
            package that asks it is not installed.
    """
    return list(_from_file(data / source.file) if data else _from_hub(source))


def _from_file(path: Path) -> Iterator[Row]:
    packed = path if path.exists() else path.with_name(f"{path.name}.gz")
    try:
        content = packed.read_bytes()
        lines = gzip.decompress(content) if packed.suffix == ".gz" else content
        for line in lines.splitlines():
            if line.strip():
                yield orjson.loads(line)
    except (OSError, EOFError, orjson.JSONDecodeError) as error:
        raise UsageError(
            f"the benchmark file {str(path)!r} (or .gz) cannot be read: {error}. "
            "Next: --data with the folder that holds it, or without --data from the hub"
        ) from None


def _from_hub(source: Source) -> Iterator[Row]:
    try:
        from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UsageError(
            f"loading {source.dataset!r} from the hub needs the datasets package. "
            "Next: pip install datasets; or --data FOLDER with the files"
        ) from None
    try:
        yield from load_dataset(source.dataset, source.config, split=source.split)
    except (OSError, ValueError, ConnectionError) as error:
        raise UsageError(
            f"{source.dataset!r} cannot be loaded from the hub: {error}. "
            "Next: --data FOLDER with the files"
        ) from error
