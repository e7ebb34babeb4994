"""Who attempts tasks: a model by name, and the server that serves it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from memcollab.errors import ModelUnavailable, UsageError

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_KEY = "MEMCOLLAB_API_KEY"
_NAME_IN_INSPECT = "openai-api/memcollab"


@dataclass(frozen=True)
class AgentSpec:
    """A model that attempts tasks: ``name`` as runs will know it, ``model`` as Inspect names it,
    ``url`` of an OpenAI-compatible server where there is one."""

    name: str
    model: str
    url: str | None = None

    @classmethod
    def parse(cls, text: str) -> AgentSpec:
        """Read ``MODEL@URL`` (an OpenAI-compatible server) or a name that Inspect knows, as
        ``openai/gpt-5-mini``. The runs are known by the part after the last slash.

        Raises:
            UsageError: it is neither.
        """
        name, at, url = text.rpartition("@")
        if at and name and urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname:
            return cls(_bare(name), f"{_NAME_IN_INSPECT}/{name}", url.rstrip("/"))
        if "/" in text.strip("/") and not at:
            return cls(_bare(text), text)
        raise UsageError(
            f"the agent {text!r} names no model. Valid: MODEL@http://HOST:PORT/v1 (any "
            "OpenAI-compatible server), or a name that Inspect knows, as openai/gpt-5-mini"
        )

    @property
    def key(self) -> str | None:
        """The key for the server at ``url``. One on this machine needs none.

        Raises:
            UsageError: another machine's server needs one, and there is none.
        """
        if self.url is None:
            return None
        key = os.environ.get(_KEY)
        if not key and urlsplit(self.url).hostname not in _LOOPBACK:
            raise UsageError(f"the server {self.url!r} needs a key. Next: export {_KEY}=…")
        return key or "none"


def check_agents(specs: Sequence[AgentSpec]) -> None:
    """See that there is an agent, that none comes twice, and that each has its key.

    Raises:
        UsageError: otherwise.
    """
    names = Counter(spec.name for spec in specs)
    twice = [name for name, count in names.items() if count > 1]
    if not specs or twice:
        raise UsageError(
            f"the agents {twice!r} are given twice"
            if twice
            else "no agent was given. Next: --agent MODEL@http://HOST:PORT/v1"
        )
    for spec in specs:
        _ = spec.key


def ping(spec: AgentSpec) -> None:
    """Ask the server which models it serves. Some answer to any name, and the runs would go under
    the name of a model that never made them.

    Raises:
        ModelUnavailable: it does not answer, refuses the key, or serves other models.
    """
    if spec.url is None:
        return
    request = urllib.request.Request(  # noqa: S310 - http or https, AgentSpec.parse saw to it
        f"{spec.url}/models", headers={"Authorization": f"Bearer {spec.key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            served = _served(answer.read())
    except urllib.error.HTTPError as error:
        # A server without that route still answers; one that refuses the key refuses all.
        if error.code in {401, 403}:
            raise ModelUnavailable(f"{spec.url!r} refuses the key in {_KEY}") from None
        return
    except OSError as error:
        raise ModelUnavailable(
            f"the server of {spec.name!r} at {spec.url!r} does not answer: {error}. "
            "Next: start it, or correct the URL after the @"
        ) from None
    if served and spec.name not in {_bare(name) for name in served}:
        raise ModelUnavailable(
            f"the server at {spec.url!r} serves {', '.join(map(repr, served[:5]))}, "
            f"not {spec.name!r}. Next: name one of these before the @, or start the right server"
        )


def _served(content: bytes) -> list[str]:
    """The ids in the answer of ``/models``; none where it has another form."""
    try:
        listed = orjson.loads(content)["data"]
        return [model["id"] for model in listed if isinstance(model["id"], str)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _bare(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1]
