"""Every error that MemCollab raises, in one tree.

    MemCollabError                 exit code 1
    ├── UsageError                 2   what was given cannot be used: a path, an option, a file
    │   ├── MappingError           2   a mapping file does not say how to read runs
    │   ├── TaxonomyError          2   a taxonomy file is malformed
    │   └── MissingExtra           2   an optional dependency is not installed
    ├── RunRejected                1   one run cannot be read (raised only under --strict)
    ├── NothingLearned             3   a learn stored nothing; the message says why
    ├── BankError                  4   the bank cannot be opened, read or written
    │   ├── BankVersionError       4   it was written by another schema version
    │   ├── BankCorrupt            4   what is stored no longer matches its content id
    │   └── NotAnExport            4   what should be imported is no export of a bank
    ├── NotFound                   5   no constraint, recall or trajectory has that id
    ├── ModelError                 6   a language model gave no answer to one request
    │   └── ModelUnavailable       6   it will answer none: wrong key, no server, no such model
    ├── SandboxError               7   model-written code cannot be run safely here
    ├── AccessDenied               8   a key does not open this
    │   └── KeyNeeded              8   there is no key, or none that is known
    └── ServerError                9   a memcollab server cannot be reached, or failed
        └── TryLater               9   it is busy or was asked too often: ``retry_after`` seconds

A message says what happened, the value (``!r``), what is valid, and the next command.
"""

from __future__ import annotations


class MemCollabError(Exception):
    """The root. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class UsageError(MemCollabError):
    """What the caller gave cannot be used."""

    exit_code = 2


class MappingError(UsageError):
    """A mapping file does not say how to read runs."""


class TaxonomyError(UsageError):
    """A taxonomy file is malformed, or a category is not in it."""


class MissingExtra(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra {extra!r}, which is not installed. "
            f"Next: pip install 'memcollab[{extra}]'"
        )


class RunRejected(MemCollabError):
    """One run cannot be read; raised only when reading is strict."""


class NothingLearned(MemCollabError):
    """A learn stored nothing; the message says why."""

    exit_code = 3


class BankError(MemCollabError):
    """The bank cannot be opened, read or written."""

    exit_code = 4


class BankVersionError(BankError):
    """The bank was written by another schema version."""


class BankCorrupt(BankError):
    """What is stored no longer matches its content id."""


class NotAnExport(BankError):
    """What should be imported is no export of a bank."""


class NotFound(MemCollabError):
    """Nothing stored has that id."""

    exit_code = 5


class ModelError(MemCollabError):
    """A language model gave no answer to one request; the next one may succeed."""

    exit_code = 6


class ModelUnavailable(ModelError):
    """A language model will answer no request: wrong key, no server, no such model, no quota."""


class SandboxError(MemCollabError):
    """Model-written code cannot be run safely here."""

    exit_code = 7


class AccessDenied(MemCollabError):
    """A key does not open this: another bank's, or without the scope."""

    exit_code = 8


class KeyNeeded(AccessDenied):
    """There is no key, or none that is known."""


class ServerError(MemCollabError):
    """A memcollab server cannot be reached, or failed."""

    exit_code = 9


class TryLater(ServerError):
    """A server is busy with the same request, or was asked too often; ``retry_after`` is in
    seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
