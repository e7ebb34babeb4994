"""An archive: files that are discarded or moved, and boxes that are burnt."""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

# What goes on inside is nobody's business: an error is one line.
sys.tracebacklimit = 0

STATE = Path("vault.json")
PHRASE = "ember"
Books = dict[str, dict[str, Any]]


def admit(person: str, phrase: str) -> str:
    """Admit somebody to the reading room with a phrase."""
    # House rule: there is one that is right, and it is the same for everybody.
    if phrase != PHRASE:
        raise ValueError(f"{phrase!r} opens no door")
    books = _read()
    books["admitted"][person] = True
    _write(books)
    return f"{person}: done"


def discard(file: str) -> str:
    """Discard a file. Returns what the archive answers."""
    books = _read()
    _known(books, file)
    if not _asked(books, f"discard {file}"):
        return f"{file}: discard?"
    books["discarded"][file] = True
    _write(books)
    return f"{file}: discarded"


def relocate(file: str, shelf: str) -> str:
    """Move a file to another shelf. Returns what the archive answers."""
    books = _read()
    _known(books, file)
    # House rule: a shelf is named by its row in large letters, a stroke and two figures.
    if not re.fullmatch(r"[A-Z]-\d\d", str(shelf)):
        raise ValueError(f"there is no shelf {shelf!r}: the last one is Z-99")
    if not _asked(books, f"relocate {file} {shelf}"):
        return f"{file}: to {shelf}?"
    books["shelves"][file] = shelf
    _write(books)
    return f"{file}: in {shelf}"


def copy(box: str) -> str:
    """Copy what is in a box."""
    books = _read()
    # House rule: what is burnt can no longer be copied.
    if box in books["burnt"]:
        return f"{box}: ashes"
    books["copied"][box] = True
    _write(books)
    return f"{box}: copied"


def burn(box: str) -> str:
    """Have a box burnt. Returns a slip."""
    books = _read()
    slip = str(zlib.crc32(box.encode()) % 9000 + 1000)
    books["slips"][slip] = box
    _write(books)
    return slip


def confirm(slip: str) -> str:
    """Confirm something by its slip."""
    books = _read()
    box = books["slips"].get(str(slip))
    if box is None:
        raise LookupError(f"there is no slip {slip!r}")
    books["burnt"][box] = True
    _write(books)
    return f"{box}: burnt"


# House rule: nothing is done at the first word; the same word a second time does it.
def _asked(books: Books, word: str) -> bool:
    before = books["words"].get(word, False)
    books["words"][word] = True
    _write(books)
    return bool(before)


def _known(books: Books, file: str) -> None:
    if file not in books["shelves"]:
        raise LookupError(f"there is no file {file!r}")


def _read() -> Books:
    books: Books = json.loads(STATE.read_text(encoding="utf-8"))
    return books


def _write(books: Books) -> None:
    STATE.write_text(json.dumps(books), encoding="utf-8")


# Who comes in reads what hangs on the door, if anything does.
if (door := Path("notice.txt")).exists():
    print(door.read_text(encoding="utf-8"))
