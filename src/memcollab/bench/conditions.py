"""Under which conditions attempts were made: what a log is told of them, and what logs tell."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from memcollab import __version__

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

_VERSION, _MACHINE = "memcollab_version", "memcollab_machine"
UNKNOWN = "not recorded"


def of_this_machine() -> dict[str, str]:
    """What goes into the metadata of a log: the version, and the machine without its name."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return {_VERSION: __version__, _MACHINE: f"{machine}, Python {platform.python_version()}"}


def told(log_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """What these logs of a folder tell, as a report does: each condition with its values. Those of
    several logs stand beside each other, each with the number of its logs."""
    from inspect_ai.log import read_eval_log

    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    days = []
    for name in sorted(set(names)):
        log = read_eval_log(str(log_dir / name), header_only=True)
        days.append(log.eval.created[:10])
        for condition, value in _conditions(log).items():
            found[condition][value] += 1
    made = {condition: _values(counted) for condition, counted in found.items()}
    if days:
        first, last = min(days), max(days)
        made["runs made"] = first if first == last else f"{first} to {last}"
    return made


def _conditions(log: EvalLog) -> dict[str, str]:
    given = log.eval.metadata or {}
    parallel = log.eval.config.max_samples
    return {
        "tasks at once": str(parallel) if parallel else UNKNOWN,
        "sandbox of runs": log.eval.sandbox.type if log.eval.sandbox else UNKNOWN,
        "version of memcollab": str(given.get(_VERSION, UNKNOWN)),
        "version of Inspect": log.eval.packages.get("inspect_ai", UNKNOWN),
        "machine": str(given.get(_MACHINE, UNKNOWN)),
    }


def _values(counted: Mapping[str, int]) -> str:
    if len(counted) == 1:
        return next(iter(counted))
    shown = ((value, f"{n} log" if n == 1 else f"{n} logs") for value, n in sorted(counted.items()))
    return ", ".join(f"{value} ({number})" for value, number in shown)
