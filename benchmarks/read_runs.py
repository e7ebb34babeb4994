"""How fast runs come in: reading, ids and summaries of every run, on one core.

    python benchmarks/read_runs.py PATH [--map FILE.toml]

Prints one JSON object: runs, rejected, unpacked megabytes (10^6 bytes) of the files that were
read, seconds, megabytes a second, and the peak resident memory of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from memcollab.records import Rejected, RunSummary
from memcollab.sources import Mapping, RunFile, load_mapping, read_runs, sources
from memcollab.sources.files import roots, walk
from memcollab.sources.mapped import Mapped


def unpacked(path: Path, mapping: Mapping | None) -> int:
    """Bytes of all files that will be read; a pass of its own, so that it is not timed."""
    readers = [Mapped(mapping)] if mapping else sources()
    size = 0
    for file in walk(roots([path])):
        if isinstance(file, RunFile) and any(reader.claims(file) for reader in readers):
            while data := file.read(1 << 18):
                size += len(data)
    return size


def measure(path: Path, mapping: Mapping | None) -> dict[str, float]:
    """Read everything once and compute what contrasting needs."""
    size = unpacked(path, mapping)
    rejected, summaries = 0, list[RunSummary]()
    begin = time.perf_counter()
    for run in read_runs([path], mapping=mapping):
        if isinstance(run, Rejected):
            rejected += 1
        else:
            summaries.append(run.summary)
    seconds = time.perf_counter() - begin
    return {
        "runs": len(summaries),
        "rejected": rejected,
        "megabytes": round(size / 1e6, 1),
        "seconds": round(seconds, 2),
        "megabytes_per_second": round(size / 1e6 / seconds, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--map", type=Path)
    given = parser.parse_args()
    mapping = load_mapping(given.map) if given.map else None
    print(json.dumps(measure(given.path, mapping)))


if __name__ == "__main__":
    main()
