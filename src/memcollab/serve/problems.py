"""The one table from our errors to HTTP: as problem details (RFC 9457), or in OpenAI's form where
its clients call.

In a problem ``type`` names the class of ``memcollab.errors``, so that a client raises the same one
again; ``detail`` is its message, ``next`` the step at the end of it. Nothing of a request's body or
key is repeated beyond what the message says, and no path of this machine leaves it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from memcollab import errors
from memcollab.errors import MemCollabError
from memcollab.serve.places import PROXY

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:memcollab:error:"
# The first class that fits.
STATUS: tuple[tuple[type[MemCollabError], int], ...] = (
    (errors.KeyNeeded, 401),
    (errors.AccessDenied, 403),
    (errors.NotFound, 404),
    (errors.NothingLearned, 409),
    (errors.TryLater, 429),
    (errors.MissingExtra, 501),
    (errors.UsageError, 422),
    (errors.RunRejected, 422),
    (errors.NotAnExport, 422),
    (errors.BankCorrupt, 500),
    (errors.BankError, 503),
    (errors.ModelUnavailable, 503),
    (errors.ModelError, 502),
    (errors.MemCollabError, 500),
)

# In quotes: words with a slash, or whatever begins as an address or as a path from the root.
_PATH = re.compile(
    r"""(?<!\w)(['"])((?:/|[A-Za-z]:\\|\w+://)(?:\\.|(?!\1)[^\\])*"""
    r"""|(?:(?!\1)[^ ])*/(?:(?!\1)[^/])*)\1"""
)
# So many of a text's paths are looked for again without quotes; more are data of a caller's.
_REPEATED = 8
# At the end of an error of a database: its own words, which may tell where it is.
_SAID = re.compile(r"(?<=\.) \(.*\)$", re.DOTALL)


class Problem(BaseModel):
    """What every answer that is no success holds (RFC 9457)."""

    type: str = Field(description=f"`{TYPE}` and the name of the error's class")
    title: str = Field(description="the class, or the status, in words")
    status: int
    detail: str = Field(description="what happened, the value, what is valid, the next step")
    next: str | None = Field(default=None, description="the next step alone")
    request_id: str | None = Field(default=None, description="as in the server's log")


class Conflict(errors.UsageError):
    """The same idempotency key came with another request."""


def status_of(error: MemCollabError) -> int:
    if isinstance(error, Conflict):
        return 409
    return next(status for kind, status in STATUS if isinstance(error, kind))


def refusal(error: Exception, scope: Scope) -> Response:
    """The answer to an error, in the form that the clients of its door read."""
    if scope["path"].startswith(PROXY):
        return openai_answer(told(error))
    return answer(error, scope["state"]["request_id"])


def answer(error: Exception, request_id: str | None = None) -> Response:
    """The problem that an error is: ours, FastAPI's own, or one that nobody foresaw."""
    found = told(error)
    problem = Problem(
        type=TYPE + found.kind,
        title=found.title,
        status=found.status,
        detail=found.detail,
        next=found.detail.rpartition("Next: ")[2] if "Next: " in found.detail else None,
        request_id=request_id,
    )
    body = orjson.dumps(problem.model_dump())
    return Response(body, found.status, _headers(found), media_type=MEDIA_TYPE)


def openai_answer(found: Told, kind: str | None = None) -> Response:
    """What OpenAI's clients read as an error: ``{"error": {"message", "type", "param", "code"}}``.

    Args:
        kind: the ``type``; by default what OpenAI says of such a status. ``code`` names the class
            of our error, as a problem's ``type`` does.
    """
    error = {
        "message": found.detail,
        "type": kind or ("invalid_request_error" if found.status < 500 else "server_error"),
        "param": None,
        "code": found.kind or None,
    }
    body = orjson.dumps({"error": error})
    return Response(body, found.status, _headers(found), media_type="application/json")


def _headers(found: Told) -> dict[str, str]:
    headers = dict(found.headers)
    if found.retry_after:
        headers["Retry-After"] = str(found.retry_after)
    if found.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


@dataclass(frozen=True)
class Told:
    """What callers are told of an error, whatever form the answer takes.

    Attributes:
        kind: the name of a class of ``memcollab.errors``; "" where it is an error of none.
        retry_after: seconds; 0 where it does not apply.
    """

    status: int
    kind: str
    detail: str
    retry_after: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase


def told(error: Exception) -> Told:
    """The status of an error, and what of it may leave the server."""
    if isinstance(error, MemCollabError):
        detail = _without_paths(str(error))
        if isinstance(error, errors.BankError):  # what its server said is in the log
            detail = _SAID.sub("", detail)
        wait = math.ceil(error.retry_after) if isinstance(error, errors.TryLater) else 0
        return Told(status_of(error), _public(type(error)), detail, wait)
    if isinstance(error, RequestValidationError):
        return Told(422, "UsageError", _faults(error))
    if isinstance(error, HTTPException):
        status, kind = error.status_code, "UsageError" if error.status_code < 500 else "ServerError"
        kind = "NotFound" if status == 404 else kind
        detail = f"{error.detail}. Next: see the paths and methods in /v1/openapi.json"
        return Told(status, kind, detail, headers=error.headers or {})
    said = "the server failed. Next: find the request id in its log, and report it"
    return Told(500, "ServerError", said)


def _without_paths(text: str) -> str:
    """Of each path its last part: in quotes, and where the next step repeats it without."""
    found = {path: _last_part(path) for _, path in _PATH.findall(text)}
    text = _PATH.sub(lambda quoted: f"{quoted[1]}{found[quoted[2]]}{quoted[1]}", text)
    for path, last in islice(found.items(), _REPEATED):
        bare = re.compile(rf"(?<![\w/]){re.escape(path)}(?![\w/-])")
        text = bare.sub(last.replace("\\", r"\\"), text)
    return text


def _last_part(path: str) -> str:
    parts = path.replace("\\", "/") if path[1:3] == ":\\" else path
    return parts.rstrip("/").rpartition("/")[2] or path


def _public(kind: type[MemCollabError]) -> str:
    """The name of the class, or of the nearest one that a client knows."""
    return next(each.__name__ for each in kind.__mro__ if hasattr(errors, each.__name__))


def _faults(error: RequestValidationError) -> str:
    faults = "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {_short(fault.get('input'))}"
        for fault in error.errors()[:5]
    )
    return f"the request cannot be used: {faults}. Next: see /v1/openapi.json for what is valid"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
