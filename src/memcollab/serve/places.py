"""Where the banks of a server are, and its ledger beside them: files, or schemas of PostgreSQL.

A bank is one file, or one schema. So a tenant's connections see no other tenant's rows, whatever a
statement forgets; each has its own write lock and notifications; and one is moved, backed up or
dropped whole. The ledger is a file or schema of its own, so that no bank holds a key; in PostgreSQL
every replica shares it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from memcollab.errors import NotFound, UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# First parts of paths that are doors, so no bank can be called so.
DOORS = frozenset("v1 mcp proxy pages static healthz readyz metrics docs".split())
# Behind it is another server: its answers pass as they are.
PROXY = "/proxy/"
# Before the name of a bank in that of its schema; PostgreSQL bounds the whole by 63 bytes.
_PREFIX = "bank_"
_LONGEST_SCHEMA = 63


def check_name(name: str) -> str:
    """Raises: UsageError: it cannot be the name of a bank."""
    if not NAME.fullmatch(name) or name in DOORS:
        raise UsageError(
            f"{name!r} is no name of a bank. Valid: 1 to 63 of a-z, 0-9, - and _, a letter or "
            f"digit first; not {', '.join(sorted(DOORS))}. Next: choose another name"
        )
    return name


def single_name(text: str) -> str:
    """The name of the only bank of a server: ``text``, as far as that can be a name."""
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63]
    return name or "bank"


def place_at(target: str | Path, *, many: bool) -> Place:
    """The place that a path or URL means.

    Raises:
        UsageError: a folder of banks is none, or the URL is of nothing that banks are kept in.
        BankError: the database cannot be reached.
    """
    if isinstance(target, str) and "://" in target:
        return Schemas(target, many=many)
    if many and not Path(target).is_dir():
        raise UsageError(
            f"{str(target)!r} is no folder. Valid: a folder of banks, one NAME.db each, or "
            f"postgresql://USER@HOST/DATABASE. Next: mkdir -p {target}"
        )
    return Files(Path(target), many=many)


class Place(ABC):
    """Where the banks of a server are.

    Attributes:
        many: whether there is room for any number of banks.
        default: the bank of a request that names none: the only one there is.
        ledger: where the server's own records are kept; no bank has this place.
        shared: whether other processes are likely to change its banks.
    """

    many: bool
    default: str | None
    ledger: str | Path
    shared: bool

    @abstractmethod
    def names(self) -> list[str]:
        """Banks that exist, by name."""

    @abstractmethod
    def target(self, name: str) -> str | Path:
        """The path or URL of the bank of that name. Raises: UsageError: it cannot be one."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a bank of that name."""

    @abstractmethod
    def make(self, name: str) -> None:
        """Prepare the place of a new bank."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held."""

    def check(self, name: str) -> None:
        """Raises: UsageError, NotFound: no bank here can be called so."""
        if self.many:
            check_name(name)
        elif name != self.default:
            raise NotFound(
                f"there is no bank {name!r}. Valid: {self.default!r}. Next: use that name, or none"
            )


class Files(Place):
    """One file, or every ``NAME.db`` of a folder."""

    shared = False

    def __init__(self, path: Path, *, many: bool) -> None:
        self.many = many
        self._path = path
        self.default = None if many else single_name(path.stem)
        self.ledger = path / ".server.db" if many else Path(f"{path}.server")

    def names(self) -> list[str]:
        if self.default is not None:
            return [self.default]
        found = (path.stem for path in self._path.glob("*.db"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def target(self, name: str) -> Path:
        self.check(name)
        return self._path / f"{name}.db" if self.many else self._path

    def exists(self, name: str) -> bool:
        return self.target(name).exists()

    def make(self, name: str) -> None:
        """A file is made with what is stored in it."""

    def close(self) -> None:
        """Nothing is held."""


class Schemas(Place):
    """The schema that a URL of PostgreSQL names, or every schema ``bank_NAME`` of a database."""

    shared = True

    def __init__(self, url: str, *, many: bool) -> None:
        import sqlalchemy as sa

        from memcollab.bank.address import without_password

        self.many = many
        self._name = without_password(url)
        try:
            self._url = sa.make_url(url)
            known = self._url.get_backend_name() == "postgresql"
        except (sa.exc.ArgumentError, ValueError):
            known = False
        if not known or not self._url.database:
            raise UsageError(
                f"{self._name!r} cannot be served. Valid: a path, or "
                "postgresql://USER@HOST/DATABASE. Next: give --bank or --banks one of these"
            )
        self._url = self._url.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(self._url, pool_pre_ping=True, pool_size=1)
        with self._connected() as connection:
            statement = "SELECT current_schema(), current_database()"
            schema, database = connection.exec_driver_sql(statement).one()
            self.default = None if many else single_name(database if schema == "public" else schema)
            own = "memcollab_server" if many else f"{schema}_server"
            self._make_schema(connection, own)
        self.ledger = self._within(own)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        from memcollab.bank.postgres import explained

        with explained(self._name), self._engine.begin() as connection:
            yield connection

    def _make_schema(self, connection: sa.Connection, schema: str) -> None:
        if len(schema.encode()) > _LONGEST_SCHEMA:
            raise UsageError(
                f"{schema!r} is too long for a schema of PostgreSQL. Valid: {_LONGEST_SCHEMA} "
                "bytes. Next: choose a shorter name"
            )
        import sqlalchemy as sa

        # Two who make it at once would meet in PostgreSQL's catalogue.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('memcollab schemas'))")
        held = sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :schema")
        if connection.execute(held, {"schema": schema}).first() is None:
            connection.execute(sa.schema.CreateSchema(schema))

    def _within(self, schema: str) -> str:
        """The URL of a schema of this database."""
        given = str(self._url.query.get("options", ""))
        rest = re.sub(r"-c\s*search_path=\S+", "", given).strip()
        options = f'{rest} -csearch_path="{schema}"'.strip()
        found = self._url.set(drivername="postgresql").update_query_dict({"options": options})
        return found.render_as_string(hide_password=False)

    def names(self) -> list[str]:
        if self.default is not None:
            return [self.default]
        with self._connected() as connection:
            rows = connection.exec_driver_sql(_BANKS).scalars().all()
        found = (each.removeprefix(_PREFIX) for each in rows if each.startswith(_PREFIX))
        return sorted(name for name in found if NAME.fullmatch(name))

    def target(self, name: str) -> str:
        self.check(name)
        if not self.many:
            return self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return self._within(f"{_PREFIX}{name}")

    def exists(self, name: str) -> bool:
        return name in self.names()

    def make(self, name: str) -> None:
        self.check(name)
        if self.many:
            with self._connected() as connection:
                self._make_schema(connection, f"{_PREFIX}{name}")

    def close(self) -> None:
        self._engine.dispose()


# Schemas in which the tables of a bank were made.
_BANKS = (
    "SELECT nspname FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid "
    "WHERE relname = 'meta'"
)
