"""Language models by name: one method, ``ask``.

* ``LiveModel``      any model that pydantic-ai knows, or any OpenAI-compatible server by URL.
* ``RecordedModel``  answers recorded earlier: a batch's response file, the tests and the demo.
* ``ScriptedModel``  a function in place of a model; the public double for tests.
* ``model_named``    name → model, the only place where names are read.
* ``in_use``         holds what a model keeps open while it is asked many times.

A model answers text. Its structure is the asker's business (``distill.read_answer``), because
small models break JSON and an SDK that parses it first would turn ``\\times`` into a tab.
Covered: retries of rate limits and lost connections (by the provider's SDK), usage, known prices.
Not covered: streaming, tools.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import orjson

from memcollab.errors import ModelError, ModelUnavailable, UsageError
from memcollab.records import Rejected, Usage
from memcollab.spans import Chat

RECORDED = "recorded:"


@dataclass(frozen=True)
class Prompt:
    """One request to a model. ``id`` names it in batch files; ``schema`` is a JSON Schema that the
    answer should follow where the model's server can enforce one."""

    id: str
    system: str
    user: str
    schema: Mapping[str, Any] | None = None

    def messages(self) -> list[dict[str, str]]:
        """The request in the OpenAI chat form."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user},
        ]


@dataclass(frozen=True)
class Answer:
    """What a model answered: its text, the name it gave itself, what it cost."""

    text: str
    model: str
    usage: Usage = field(default_factory=Usage)


class LanguageModel(Protocol):
    """Whatever answers prompts. ``name`` is stored with everything it wrote."""

    name: str

    async def ask(self, prompt: Prompt) -> Answer:
        """Answer one prompt.

        Raises:
            ModelError: no answer to this prompt.
            ModelUnavailable: no answer to any prompt; asking on is pointless.
        """
        ...


class ScriptedModel:
    """A function in place of a model: the public double for tests and for one's own plumbing."""

    def __init__(self, script: Callable[[Prompt], str], name: str = "scripted") -> None:
        self.name = name
        self._script = script

    async def ask(self, prompt: Prompt) -> Answer:
        """What the function makes of ``prompt``; what it raises is not caught."""
        return Answer(text=self._script(prompt), model=self.name)


class RecordedModel:
    """Answers recorded earlier, by request id: the response file of an OpenAI batch (JSONL).

    A line is ``{"custom_id", "response": {"status_code", "body": {"model", "choices", "usage"}}}``,
    or, for answers made by any other means, ``{"custom_id", "content", "model"}``, with ``usage``
    where it was counted. Lines that cannot be used are kept in ``rejected`` with their number and
    reason.

    Raises:
        UsageError: the file cannot be read, or holds no usable answer.
    """

    def __init__(self, path: str | Path) -> None:
        self.rejected: list[Rejected] = []
        self._answers: dict[str, Answer] = {}
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise UsageError(
                f"cannot read recorded answers from {str(path)!r}: {error.strerror}. Valid: the "
                "response file of a batch. Next: memcollab learn RUNS --batch-out requests.jsonl"
            ) from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._read(f"{Path(path).name}:{number}", line)
        if not self._answers:
            raise UsageError(
                f"no line of {str(path)!r} holds a usable answer ({len(self.rejected)} rejected: "
                f"{'; '.join(map(str, self.rejected[:3])) or 'the file is empty'}). "
                "Valid: one object a line with custom_id and response.body.choices"
            )
        names = {answer.model for answer in self._answers.values()}
        self.name = names.pop() if len(names) == 1 else "recorded-mixed"

    def __len__(self) -> int:
        return len(self._answers)

    async def ask(self, prompt: Prompt) -> Answer:
        """The answer recorded for the prompt's id; ``ModelError`` if none was."""
        try:
            return self._answers[prompt.id]
        except KeyError:
            raise ModelError(f"no recorded answer for request {prompt.id!r}") from None

    def __contains__(self, prompt_id: str) -> bool:
        return prompt_id in self._answers

    def _read(self, origin: str, line: bytes) -> None:
        try:
            custom_id, answer = _batch_line(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            self.rejected.append(Rejected(origin=origin, reason="not-json", detail=str(error)))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            self.rejected.append(
                Rejected(
                    origin=origin, reason="no-answer", detail=f"{type(error).__name__}: {error}"
                )
            )
        else:
            self._answers[custom_id] = answer


def _batch_line(line: Mapping[str, Any]) -> tuple[str, Answer]:
    """One response line → (request id, answer); raises what indexing raises when it is not one."""
    if "content" in line:
        text, model = line["content"], line.get("model", "recorded")
        usage: Mapping[str, Any] = line.get("usage") or {}
    else:
        response = line["response"]
        if response.get("status_code", 200) != 200:
            raise ValueError(f"status {response['status_code']!r}")
        body = response["body"]
        text, model = body["choices"][0]["message"]["content"], body.get("model", "recorded")
        usage = body.get("usage") or {}
    if not isinstance(text, str) or not isinstance(line["custom_id"], str):
        raise TypeError("custom_id and content must be strings")
    return line["custom_id"], Answer(
        text=text,
        model=str(model),
        usage=Usage(
            turns=1,
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        ),
    )


def in_use(model: LanguageModel) -> AbstractAsyncContextManager[object]:
    """For a block in which ``model`` is asked many times: a model that is an async context manager
    is entered, and closes at the end what it keeps open; any other is left as it is."""
    return model if isinstance(model, AbstractAsyncContextManager) else nullcontext()


class LiveModel:
    """A model behind a server, through pydantic-ai.

    Connections are shared by all that is asked within ``async with model:`` and closed at its end;
    what is asked outside such a block closes its own.

    Args:
        name: ``provider:model`` as pydantic-ai names it (``openai:gpt-5-mini``).
        url: an OpenAI-compatible server in place of the provider's own; the provider is then only
            a word.
        max_tokens: the longest answer, in tokens.
    """

    def __init__(
        self, name: str, *, url: str | None = None, key: str | None = None, max_tokens: int = 1024
    ) -> None:
        self.name = name
        self._max_tokens = max_tokens
        self._model = self._at_url(url, key) if url else self._known()

    def _at_url(self, url: str, key: str | None) -> Any:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        key = key or os.environ.get("OPENAI_API_KEY")
        if not key and not on_loopback(url):
            raise ModelUnavailable(
                f"the server {url!r} of model {self.name!r} is not on this machine and no key was "
                "given. Next: set MEMCOLLAB_API_KEY"
            )
        provider = OpenAIProvider(base_url=url, api_key=key or "no-key-on-loopback")
        return OpenAIChatModel(self.name.rsplit(":", 1)[-1], provider=provider)

    def _known(self) -> Any:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model

        try:
            return infer_model(self.name)
        except (UserError, ValueError, ImportError) as error:
            raise ModelUnavailable(
                f"cannot use the model {self.name!r}: {error}. Valid: provider:model, such as "
                "'openai:gpt-5-mini' with OPENAI_API_KEY set, or any OpenAI-compatible server: "
                "--writer openai:NAME --writer-url http://127.0.0.1:8080/v1"
            ) from error

    async def __aenter__(self) -> Self:
        await self._model.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._model.__aexit__(kind, error, trace)

    async def ask(self, prompt: Prompt) -> Answer:
        """Ask the server; errors as in ``LanguageModel.ask``."""
        chat = Chat(self._model.model_name, self._model.system, self._model.base_url)
        try:
            answer = await self._answer(prompt)
        except BaseException as error:
            chat.end(type(error).__name__)
            raise
        spent = answer.usage
        chat.end(input_tokens=spent.input_tokens, output_tokens=spent.output_tokens)
        return answer

    async def _answer(self, prompt: Prompt) -> Answer:
        from pydantic_ai import exceptions as failed
        from pydantic_ai.direct import model_request

        try:
            async with self:
                response = await model_request(
                    self._model,
                    _messages(prompt),
                    model_settings={"temperature": 0.0, "max_tokens": self._max_tokens},
                    model_request_parameters=_parameters(prompt),
                )
        except (
            failed.ModelAuthenticationError,
            failed.ModelConnectionError,
            failed.ModelNotFoundError,
            failed.ModelQuotaExceededError,
        ) as error:
            raise ModelUnavailable(
                f"the model {self.name!r} answers nothing: {error}. "
                "Next: memcollab doctor; what was answered is kept, learn again to go on"
            ) from error
        except (failed.ModelAPIError, failed.UnexpectedModelBehavior) as error:
            raise ModelError(
                f"the model {self.name!r} refused request {prompt.id}: {error}"
            ) from error
        return Answer(text=response.text or "", model=self.name, usage=_usage(response))


def _messages(prompt: Prompt) -> list[Any]:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    return [ModelRequest(parts=[SystemPromptPart(prompt.system), UserPromptPart(prompt.user)])]


def _parameters(prompt: Prompt) -> Any:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition

    if prompt.schema is None:
        return ModelRequestParameters()
    schema = OutputObjectDefinition(json_schema=dict(prompt.schema), name="answer", strict=True)
    return ModelRequestParameters(output_mode="native", output_object=schema)


def _usage(response: Any) -> Usage:
    try:
        cost = float(response.cost().total_price)
    except LookupError:  # a model without a published price: its cost is unknown, not zero
        cost = None
    return Usage(
        turns=1,
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        cost_usd=cost,
    )


def on_loopback(url: str) -> bool:
    """Whether ``url`` points at this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def model_named(name: str, *, url: str | None = None, key: str | None = None) -> LanguageModel:
    """The model of that name: ``provider:model`` (``provider/model`` is read alike), any
    OpenAI-compatible server with ``url``, or ``recorded:FILE``.

    Raises:
        ModelUnavailable: the provider is unknown or has no key.
        UsageError: the recorded file cannot be used.
    """
    if name.startswith(RECORDED):
        return RecordedModel(name.removeprefix(RECORDED))
    if ":" not in name and "/" in name:
        name = name.replace("/", ":", 1)
    if ":" not in name and url:
        name = f"openai:{name}"
    return LiveModel(name, url=url, key=key)
