"""Who calls, and what a key opens.

A key reads ``mc_<id>_<secret>``. The secret is 256 random bits, so its SHA-256 is stored and no
slow hash: slowness guards what can be guessed, and would cost every request 50 ms. The key is shown
once, when it is made; in logs, errors and the ledger it is only ever its id.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from memcollab.errors import AccessDenied, KeyNeeded, NotFound, UsageError
from memcollab.serve.ledger import AUDIT, KEYS, Ledger, now

SCOPES = {
    "recall": "recall, and read constraints and counts",
    "record": "report outcomes, add trajectories",
    "curate": "change constraints and whom to believe, take back, go back, start learning",
    "admin": "everything, and export, import, audit and new banks",
}
_REMEMBERED_SECONDS = 1.0
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Key:
    """A key as it is listed; its secret is nowhere. ``bank is None``: of every bank."""

    id: str
    name: str
    scopes: tuple[str, ...]
    bank: str | None
    created: str
    revoked: str | None


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the id and name of the key, what it opens, and in which bank."""

    key: str | None
    name: str
    scopes: frozenset[str]
    bank: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the key has that scope; "admin" has all."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def source(self) -> str:
        """Who is not to be believed alone, as ``MemCollab.record_outcome`` takes it; "" for who may
        curate, and so is."""
        return "" if self.key is None or self.may("curate") else self.name

    def needs(self, scope: str) -> None:
        """Raises: AccessDenied: the key has not got that scope."""
        if not self.may(scope):
            raise AccessDenied(
                f"the key {self.name!r} may not do this: it lacks the scope {scope!r}. It has: "
                f"{', '.join(sorted(self.scopes))}. Next: memcollab key create --scope {scope}"
            )

    def enters(self, bank: str) -> None:
        """Raises: AccessDenied: the key is of another bank, whether or not this one exists."""
        if self.bank is not None and self.bank != bank:
            raise AccessDenied(
                f"the key {self.name!r} does not open the bank {bank!r}. Valid: {self.bank!r}. "
                f"Next: memcollab key create --for {bank}"
            )


# On loopback nobody else can call, so nobody is asked for a key.
NEIGHBOUR = Caller(None, "loopback", frozenset(SCOPES))


class Keyring:
    """The keys of a server, in its ledger; the audit there says who made and who revoked each. What
    a key opens is remembered for a second, so a revoked one is shut out within that.

    Args:
        check: raises where no bank of the server can be called so.
        only: the name of the only bank there is; None: there are many.
    """

    def __init__(
        self, ledger: Ledger, check: Callable[[str], None], only: str | None = None
    ) -> None:
        self._ledger = ledger
        self._check = check
        self._only = only
        self._remembered: dict[str, tuple[float, Caller]] = {}

    def create(
        self, name: str, scopes: Iterable[str], bank: str | None = None, *, by: str = "operator"
    ) -> tuple[str, Key]:
        """A new key in the clear, and how it is listed.

        Args:
            bank: the only one that it opens; None: every bank.
            by: who makes it, for the audit.

        Raises:
            UsageError: there is no such scope, or nobody or no bank can be called so.
            NotFound: the server has one bank, and that is called otherwise.
        """
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise UsageError(
                f"{name!r} cannot name a key: it names the source of what is sent with it. "
                f"Valid: 1 to {_LONGEST_NAME} printable characters. Next: memcollab key create ada"
            )
        wanted = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise UsageError(
                f"{unknown or wanted!r} is no scope. Valid: {', '.join(SCOPES)}. "
                "Next: memcollab key create --scope recall --scope record"
            )
        if bank is not None:
            self._check(bank)
        id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = Key(id, name, wanted, bank, now(), None)
        row = {**vars(key), "scopes": " ".join(wanted), "hash": _hash(secret)}
        self._ledger.together(KEYS.insert().values(row), self._audited("key create", key, by))
        return f"mc_{id}_{secret}", key

    def list(self) -> list[Key]:
        """Every key, revoked ones too, oldest first."""
        return [_key(row) for row in self._ledger.rows(sa.select(KEYS).order_by(KEYS.c.created))]

    def revoke(self, id: str, *, by: str = "operator") -> Key:
        """Shut a key out for good; ``by`` whom, for the audit. Raises: NotFound: no key has that
        id."""
        found = self._listed(id)
        if found.revoked is None:
            open_ = sa.and_(KEYS.c.id == id, KEYS.c.revoked.is_(None))
            shut = KEYS.update().where(open_).values(revoked=now())
            self._ledger.together(shut, self._audited("key revoke", found, by))
        self._remembered.clear()
        return self._listed(id)

    def _listed(self, id: str) -> Key:
        found = self._ledger.rows(sa.select(KEYS).where(KEYS.c.id == id))
        if not found:
            raise NotFound(f"there is no key {id!r}. Next: memcollab key list")
        return _key(found[0])

    def _audited(self, action: str, key: Key, by: str) -> sa.Insert:
        """It came by no request, and with no key."""
        row = {
            "at": now(),
            "bank": key.bank or self._only,
            "key": None,
            "who": by,
            "action": action,
            "target": f"{key.name} ({key.id})",
            "status": 200,
            "request": "",
        }
        return AUDIT.insert().values(row)

    def caller(self, token: str) -> Caller:
        """Whose key this is. Raises: KeyNeeded: nobody's, or it was revoked."""
        held = self._remembered.get(_hash(token))
        if held and held[0] > time.monotonic():
            return held[1]
        caller = self._look_up(token)
        if len(self._remembered) > 10_000:
            self._remembered.clear()
        self._remembered[_hash(token)] = (time.monotonic() + _REMEMBERED_SECONDS, caller)
        return caller

    def holder(self, id: str) -> Caller:
        """Who has the key of that id, which a session was opened with. Raises: KeyNeeded: it was
        revoked."""
        found = self._ledger.rows(sa.select(KEYS).where(KEYS.c.id == id, KEYS.c.revoked.is_(None)))
        if not found:
            raise KeyNeeded("the key was revoked. Next: sign in with another one")
        return _caller(found[0])

    def _look_up(self, token: str) -> Caller:
        start, _, rest = token.partition("_")
        id, _, secret = rest.partition("_")
        found = self._ledger.rows(sa.select(KEYS).where(KEYS.c.id == id)) if start == "mc" else []
        # Compared even when there is no such id: the time taken tells nothing.
        stored = found[0]["hash"] if found else _hash("")
        if not hmac.compare_digest(stored, _hash(secret)) or not found or found[0]["revoked"]:
            raise KeyNeeded(
                "the key is unknown or was revoked. Valid: a key that `memcollab key create` "
                "printed, as `Authorization: Bearer KEY`. Next: memcollab key list"
            )
        return _caller(found[0])


def _key(row: dict[str, Any]) -> Key:
    fields = {name: row[name] for name in ("id", "name", "bank", "created", "revoked")}
    return Key(**fields, scopes=tuple(row["scopes"].split()))


def _caller(row: dict[str, Any]) -> Caller:
    key = _key(row)
    return Caller(key.id, key.name, frozenset(key.scopes), key.bank)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
