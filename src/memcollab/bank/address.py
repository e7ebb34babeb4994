"""Which database a path or URL means."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from memcollab.bank.database import Database
from memcollab.bank.sqlite import SQLite
from memcollab.errors import BankError

IN_MEMORY = ":memory:"
_POSTGRES = {"postgresql", "postgres", "postgresql+psycopg"}


def database_at(target: str | Path, *, create: bool, read_only: bool) -> Database:
    """The database of a bank, looked for but not yet opened.

    Raises:
        BankError: there is nothing, or the URL is of no database that a bank can be kept in.
        MissingExtra: it needs a driver that is not installed.
    """
    if str(target) == IN_MEMORY:
        temporary = TemporaryDirectory(prefix="memcollab-", ignore_cleanup_errors=True)
        path = Path(temporary.name) / "bank.db"
        return SQLite(path, create=create, read_only=read_only, temporary=temporary)
    if isinstance(target, Path) or "://" not in target:
        return SQLite(Path(target), create=create, read_only=read_only)
    url = _url(target)
    if url is not None and url.drivername in _POSTGRES and url.database:
        from memcollab.bank.postgres import PostgreSQL

        return PostgreSQL(url, create=create, read_only=read_only)
    if url is not None and url.get_backend_name() == "sqlite" and url.database:
        return SQLite(Path(url.database), create=create, read_only=read_only)
    raise BankError(
        f"{without_password(target)!r} is no bank this version can open. Valid: a path, "
        "sqlite:///PATH, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE. "
        "Next: give --bank one of these"
    )


def _url(target: str) -> sa.URL | None:
    try:
        return sa.make_url(target)
    except (sa.exc.ArgumentError, ValueError):
        return None


def without_password(target: str) -> str:
    """A path or URL as it may be shown: what could be a password is ``***``."""
    shown = re.sub(r"(?<=://)([^:/@]*):.*@", r"\1:***@", target, flags=re.DOTALL)
    return re.sub(r"((?:ssl)?password=)[^&]*", r"\1***", shown)
