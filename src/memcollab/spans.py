"""Spans of OpenTelemetry for whoever has set it up, through ``opentelemetry-api`` where that is
installed. Where nobody receives them none is made.

They follow its conventions for generative AI (``gen_ai.*``, status "development"). None holds a
text: no task, no message, no constraint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

INSTALLED = find_spec("opentelemetry") is not None


def is_traced() -> bool:
    """Whether somebody is there to receive spans: making one for nobody is not free either."""
    if not INSTALLED:
        return False
    from opentelemetry import trace

    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def memory_span(operation: str, bank: str, **attributes: Any) -> Iterator[dict[str, Any]]:
    """A span around one operation on a bank; what is put into the yielded dict becomes attributes.

    ``operation`` is one of the conventions' names: ``search_memory``, ``create_memory``,
    ``update_memory``, ``upsert_memory``.
    """
    found: dict[str, Any] = {}
    if not is_traced():
        yield found
        return
    from opentelemetry import trace

    given = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "memcollab",
        "gen_ai.memory.store.id": bank,
        **attributes,
    }
    tracer = trace.get_tracer("memcollab.serve")
    kind = trace.SpanKind.INTERNAL
    with tracer.start_as_current_span(operation, kind=kind, attributes=given) as span:
        try:
            yield found
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.set_attributes(found)


class Chat:
    """The span of one call of a model, from now until ``end``: ``chat MODEL``, of a client.

    Args:
        model: as it is asked for; "" where that is not known.
        provider: as the conventions name it; ``openai`` for whoever speaks as OpenAI does.
        url: of the server, if it is known.
    """

    def __init__(self, model: str, provider: str, url: str | None) -> None:
        self._span: Any = None
        self._stopped: int | None = None
        self._error: str | None = None
        if not is_traced():
            return
        from opentelemetry import trace

        server = urlsplit(url or "")
        given = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model or None,
            "server.address": server.hostname,
            "server.port": server.port,
        }
        self._span = trace.get_tracer("memcollab").start_span(
            f"chat {model}".strip(), kind=trace.SpanKind.CLIENT, attributes=_known(given)
        )

    def stop(self, error: str | None = None) -> None:
        """The call is over now, and ``end`` follows when its answer was read.

        Args:
            error: the class of an exception, or the status of an answer that is a refusal.
        """
        self._stopped, self._error = time.time_ns(), error

    def end(self, error: str | None = None, **counted: int | None) -> None:
        """The span ends: now, or when the call was stopped. Again changes nothing.

        Args:
            error: as in ``stop``.
            counted: ``input_tokens`` and ``output_tokens``, as far as they are known.
        """
        if self._span is None:
            return
        error = error or self._error
        usage = {f"gen_ai.usage.{name}": count for name, count in counted.items()}
        self._span.set_attributes(_known({**usage, "error.type": error}))
        if error is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR)
        self._span.end(self._stopped)
        self._span = None


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
