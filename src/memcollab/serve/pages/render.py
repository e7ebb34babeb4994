"""Templates, the headers of every page, and errors as pages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from memcollab import __version__
from memcollab.errors import KeyNeeded, NotFound
from memcollab.serve import problems
from memcollab.serve.keys import Caller
from memcollab.serve.pages.session import form_token, new_cookie, set_cookie

SIGN_IN = "/pages/sign-in"
# No script, style, picture, font or frame but our own files; forms go to this server alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # The origin is sent to ourselves alone: forms are checked by it.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
MEDIA_TYPES = {
    "pages.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
# Controls, what formats (directions, widths of nothing, tags), and what no character is; but for
# line breaks and tabs, and the two joiners that Indic and Arabic writing and emoji need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_LOCAL = re.compile(r"(/[a-z0-9][a-z0-9_-]{0,62})?/pages/[!-~]*")


def is_page(path: str) -> bool:
    """Whether a path (without its bank) is one of these pages."""
    return path == "/pages" or path.startswith("/pages/")


def local_target(wanted: str) -> str:
    """Where to go after signing in: a page of this server, whatever was asked for."""
    return wanted if _LOCAL.fullmatch(wanted) and "//" not in wanted else "/pages/"


# ---- files


@cache
def asset(name: str) -> bytes:
    """The content of one of ``MEDIA_TYPES``."""
    return files(__package__).joinpath("assets", name).read_bytes()


@cache
def asset_path(name: str) -> str:
    """Where it is served: the path changes with the content."""
    return f"/static/{hashlib.sha256(asset(name)).hexdigest()[:12]}/{name}"


# ---- pages


@cache
def templates() -> Environment:
    """The templates: they escape every text, and name what nobody sees in it."""
    made = Environment(
        loader=PackageLoader("memcollab.serve.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "counted": counted,
        "points": points,
        "words": words,
        "when": when,
        "query": query,
    }
    made.globals |= {"asset_path": asset_path, "version": __version__}
    return made


def page(
    template: str,
    scope: Scope,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **shown: Any,
) -> Response:
    """A page: the template with what it shows and what every page needs to know."""
    state, given = scope["state"], dict[str, str]()
    if not state["cookie"]:
        state["cookie"] = new_cookie()
        given = {"Set-Cookie": set_cookie(state["cookie"], loopback=state["loopback"])}
    content = templates().get_template(template).render(**around(scope), **shown)
    return HTMLResponse(content, status, {**HEADERS, **(headers or {}), **given})


def around(scope: Scope) -> dict[str, Any]:
    """What the frame of a page needs: the bank, the caller, the token of its forms."""
    state = scope["state"]
    name, caller = state.get("bank_name"), state.get("caller")
    return {
        "bank": name,
        "base": f"/{name}/pages" if name else "/pages",
        "caller": caller,
        "may_curate": isinstance(caller, Caller) and caller.may("curate"),
        "token": form_token(state["cookie"]),
        "path": scope["path"],
    }


def refusal(error: Exception, scope: Scope) -> Response:
    """An error as an answer: a page for those who look at pages, for programs what they read."""
    if not is_page(scope["path"]):
        return problems.refusal(error, scope)
    needs_key = isinstance(error, KeyNeeded)
    if any(name == b"hx-request" for name, _ in scope["headers"]):
        # A part of a page: it stays as it is, or the page is opened again and leads to sign in.
        headers = {"HX-Refresh": "true"} if needs_key else {"HX-Reswap": "none"}
        return Response(None, problems.told(error).status, {**HEADERS, **headers})
    if needs_key and scope["method"] in ("GET", "HEAD"):
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': _asked(scope)})}", 303, HEADERS)
    if isinstance(error, HTTPException) and error.status_code == 404:
        error = NotFound(f"there is no page {scope['path']!r}. Next: go to the overview")
    found = problems.told(error)
    said, _, following = found.detail.rpartition(" Next: ")
    shown = {"said": said or following, "following": following if said else ""}
    headers = {"Retry-After": str(found.retry_after)} if found.retry_after else {}
    return page(
        "refusal.html",
        scope,
        status=found.status,
        headers=headers,
        title=found.title,
        request_id=scope["state"]["request_id"],
        **shown,
    )


def _asked(scope: Scope) -> str:
    name = scope["state"].get("bank_name")
    path = f"/{name}{scope['path']}" if name else scope["path"]
    asked = scope.get("query_string", b"").decode("latin-1")
    return quote(path) + (f"?{asked}" if asked else "")


# ---- how values read


def visible(value: Any) -> Any:
    """Text without characters that cannot be seen or that turn the line around: each is named.

    Whoever reads a constraint before approving it must see what a model would.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)


def number(value: float | None) -> str:
    """1234 → 1,234; unknown → –."""
    if value is None:
        return "–"
    said = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return said.replace("-", "−")


def counted(value: int | None, noun: str) -> str:
    """1 → 1 task; 2 → 2 tasks."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def points(value: float | None) -> str:
    """0.123 → +12.3; unknown → –."""
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def words(value: object) -> str:
    """A name of the code as words: ``tool_use/units`` → tool use / units."""
    return str(value).replace("_", " ").replace("/", " / ")


def when(moment: str) -> str:
    """ISO 8601 → 2026-11-25 17:48."""
    return moment[:16].replace("T", " ")


def query(values: Mapping[str, Any]) -> str:
    """The query of a link; what is empty is left out."""
    return urlencode({name: value for name, value in values.items() if value not in (None, "")})
