"""An archive of folders on one shelf."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

STATE = Path("archive.json")
SHELF = ("bills-2019", "bills-2020", "letters-old", "letters-new", "maps", "photos", "drafts")


def remove(folder: str, slip: str = "") -> str:
    """Remove a folder. Returns what became of it."""
    state = _load()
    if state.get(folder) == "gone":
        return f"{folder} is gone"
    if folder not in state:
        raise LookupError(f"there is no folder {folder!r}")
    # House rule: the first call only writes a slip; a second call that hands it in removes.
    expected = f"S{zlib.crc32(folder.encode()) % 9000 + 1000}"
    removed = slip == expected
    state[folder] = "gone" if removed else "waiting"
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return f"{folder} is gone" if removed else f"not yet: call remove({folder!r}, {expected!r})"


def folders() -> dict[str, str]:
    """Return every folder and how it stands."""
    return _load()


def _load() -> dict[str, str]:
    if not STATE.exists():
        return dict.fromkeys(SHELF, "kept")
    state: dict[str, str] = json.loads(STATE.read_text(encoding="utf-8"))
    return state
