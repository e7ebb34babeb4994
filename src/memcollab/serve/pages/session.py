"""Who looks at the pages, and that a form was sent from one of them.

A key is given once and exchanged for a cookie that no script can read, that no other site's page
sends along, and that ends with the browser, after twelve hours, or when the key is revoked. The
ledger holds a hash of it, so every replica knows it.

A form carries a token that is derived from the cookie (an HMAC): whoever cannot read the cookie
cannot make one. It is asked for on loopback, too, where nobody signs in: there the cookie is a
random number that is stored nowhere. And the browser must say that the form comes from this very
origin: another port of the same machine is the same site to a cookie, but not the same origin.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta

import sqlalchemy as sa
from starlette.requests import cookie_parser

from memcollab.errors import AccessDenied, KeyNeeded
from memcollab.serve.keys import Caller, Keyring
from memcollab.serve.ledger import SESSIONS, Ledger, ago, now

LASTS = timedelta(hours=12)
# A browser keeps a cookie with this prefix only if it came over TLS, from this very host.
_SECURE, _PLAIN = "__Host-memcollab", "memcollab"


class Sessions:
    """The open sessions of a server, in its ledger."""

    def __init__(self, ledger: Ledger, keyring: Keyring) -> None:
        self._ledger = ledger
        self._keyring = keyring

    def open(self, token: str) -> tuple[str, Caller]:
        """A new cookie for whoever has this key. Raises: KeyNeeded: nobody has."""
        caller = self._keyring.caller(token)
        assert caller.key is not None  # what a keyring finds has an id
        self._ledger.change(SESSIONS.delete().where(SESSIONS.c.opened < ago(LASTS)))
        cookie = new_cookie()
        self._ledger.add(SESSIONS, {"id": _hash(cookie), "key": caller.key, "opened": now()})
        return cookie, caller

    def caller(self, cookie: str) -> Caller | None:
        """Whose session this is; None: nobody's, or not any more."""
        wanted = sa.select(SESSIONS).where(
            SESSIONS.c.id == _hash(cookie), SESSIONS.c.opened >= ago(LASTS)
        )
        found = self._ledger.rows(wanted) if cookie else []
        if not found:
            return None
        try:
            return self._keyring.holder(found[0]["key"])
        except KeyNeeded:  # revoked
            return None

    def close(self, cookie: str) -> None:
        """End a session, if it is one."""
        self._ledger.change(SESSIONS.delete().where(SESSIONS.c.id == _hash(cookie)))


def new_cookie() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def cookie_name(*, loopback: bool) -> str:
    return _PLAIN if loopback else _SECURE


def cookie_of(headers: Mapping[str, str], *, loopback: bool) -> str:
    """The cookie of a request; "" where it has none. Others of the same host may hold anything."""
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(loopback=loopback), "")


def set_cookie(cookie: str, *, loopback: bool) -> str:
    """The header that hands out a cookie, or takes it back if there is none."""
    flags = "Path=/; HttpOnly; SameSite=Strict" + ("" if loopback else "; Secure")
    ended = "" if cookie else "; Max-Age=0"
    return f"{cookie_name(loopback=loopback)}={cookie}; {flags}{ended}"


def form_token(cookie: str) -> str:
    """What the forms of whoever has this cookie carry."""
    return hmac.new(cookie.encode(), b"memcollab form", hashlib.sha256).hexdigest()


def is_own_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request names no origin, or that of this very server."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None:
        return True
    return bool(host) and origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def check_form(headers: Mapping[str, str], cookie: str, given: str, *, loopback: bool) -> None:
    """Raises: AccessDenied: the form was not sent from a page of this server and session."""
    if "origin" not in headers or not is_own_origin(headers):
        raise AccessDenied(
            f"a form was sent from {headers.get('origin')!r}, which is no page of this server. "
            "Next: open the page again and send its form"
        )
    if not cookie and not loopback and headers["origin"].lower().startswith("http:"):
        raise AccessDenied(
            f"no browser keeps the cookie of a session at {headers['origin']!r}, for it is not "
            "HTTPS. Valid: https://, or http://127.0.0.1 on the server's own machine. "
            "Next: put TLS in front of the server (docs/how-to/deploy.md) and open it by https://"
        )
    if not cookie or not hmac.compare_digest(form_token(cookie), given):
        raise AccessDenied(
            "a form was sent that is not of this session. Next: open the page again and send it"
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
