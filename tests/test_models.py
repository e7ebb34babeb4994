"""Language models by name: live ones behind a real HTTP server on loopback, and recorded ones."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from memcollab.errors import ModelError, ModelUnavailable, UsageError
from memcollab.models import (
    LiveModel,
    Prompt,
    RecordedModel,
    ScriptedModel,
    in_use,
    model_named,
    on_loopback,
)

PROMPT = Prompt("request-1", "Be brief.", "Say yes.")


def body(text: str, model: str = "frontier") -> dict[str, object]:
    return {
        "model": model,
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def recorded(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "responses.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_a_batch_response_file_answers_by_request_id(tmp_path: Path) -> None:
    """A line of a provider's response file gives its text, its model's name and its usage."""
    line = {"custom_id": "request-1", "response": {"status_code": 200, "body": body("yes")}}
    model = RecordedModel(recorded(tmp_path, line))

    answer = asyncio.run(model.ask(PROMPT))

    assert (answer.text, answer.model, model.name) == ("yes", "frontier", "frontier")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)


def test_answers_made_by_any_other_means_have_a_short_form(tmp_path: Path) -> None:
    """custom_id, content and model on a line are enough."""
    model = RecordedModel(
        recorded(tmp_path, {"custom_id": "request-1", "content": "yes", "model": "a person"})
    )

    assert asyncio.run(model.ask(PROMPT)).text == "yes"
    assert model.name == "a person"


def test_unusable_lines_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    """Half a line, a failed request and a line of the wrong type are each rejected by number."""
    model = RecordedModel(
        recorded(
            tmp_path,
            '{"custom_id": "request-',
            {"custom_id": "a", "response": {"status_code": 500, "body": {}}},
            {"custom_id": 3, "content": "x"},
            ["no", "object"],
            {"custom_id": "request-1", "content": "yes"},
        )
    )

    assert [(r.origin, r.reason) for r in model.rejected] == [
        ("responses.jsonl:1", "not-json"),
        ("responses.jsonl:2", "no-answer"),
        ("responses.jsonl:3", "no-answer"),
        ("responses.jsonl:4", "no-answer"),
    ]
    assert "request-1" in model


def test_a_file_without_answers_is_an_error_that_says_so(tmp_path: Path) -> None:
    """An empty or missing response file is unusable input, not an empty result."""
    with pytest.raises(UsageError, match="the file is empty"):
        RecordedModel(recorded(tmp_path))
    with pytest.raises(UsageError, match="cannot read"):
        RecordedModel(tmp_path / "absent.jsonl")


def test_a_request_nobody_recorded_is_an_error_of_its_own(tmp_path: Path) -> None:
    """Replay never invents: an unknown request is a ModelError with its id."""
    model = RecordedModel(recorded(tmp_path, {"custom_id": "other", "content": "yes"}))

    with pytest.raises(ModelError, match="request-1"):
        asyncio.run(model.ask(PROMPT))


class Server(BaseHTTPRequestHandler):
    """A chat server that answers what its class says, and keeps what it was asked and over how many
    connections; like any server of models it leaves them open for the next request."""

    protocol_version = "HTTP/1.1"
    status = 200
    asked: ClassVar[list[dict[str, object]]] = []
    connections: ClassVar[set[object]] = set()

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).connections.add(self.client_address)
        type(self).asked.append(json.loads(self.rfile.read(length)))
        sent = {**body("yes", "served"), "id": "1", "object": "chat.completion", "created": 1}
        sent["choices"] = [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "\\times"},
            }
        ]
        reply = json.dumps(sent if self.status == 200 else {"error": {"message": "no"}}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"asked": [], "connections": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", handler
        http.shutdown()
        thread.join()


def test_a_live_model_is_asked_with_the_schema_and_answers_raw_text(
    server: tuple[str, type[Server]],
) -> None:
    """The schema reaches the server; the text comes back as it was, backslashes and all."""
    url, handler = server
    model = model_named("openai:some-model", url=url)

    answer = asyncio.run(model.ask(Prompt("r", "s", "u", {"type": "object"})))

    assert answer.text == "\\times"
    assert answer.model == "openai:some-model"
    assert handler.asked[0]["model"] == "some-model"
    assert "json_schema" in json.dumps(handler.asked[0]["response_format"])


def test_a_wrong_key_makes_the_model_unavailable(server: tuple[str, type[Server]]) -> None:
    """401 is not the fault of one request: asking on is pointless."""
    url, handler = server
    handler.status = 401

    with pytest.raises(ModelUnavailable, match="memcollab doctor"):
        asyncio.run(LiveModel("openai:m", url=url).ask(PROMPT))


def test_a_refused_request_is_an_error_of_that_request_only(
    server: tuple[str, type[Server]],
) -> None:
    """400 concerns one request; the next one may succeed."""
    url, handler = server
    handler.status = 400

    with pytest.raises(ModelError) as raised:
        asyncio.run(LiveModel("openai:m", url=url).ask(PROMPT))
    assert not isinstance(raised.value, ModelUnavailable)


def test_no_server_makes_the_model_unavailable() -> None:
    """A closed port is said as such, with the next command."""
    with pytest.raises(ModelUnavailable, match="memcollab doctor"):
        asyncio.run(LiveModel("openai:m", url="http://127.0.0.1:9/v1").ask(PROMPT))


def test_a_model_asked_once_or_often_leaves_no_connection_open(
    server: tuple[str, type[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block shares its connection and closes it; a request outside one closes its own. A model
    can be asked from one event loop after another."""
    url, handler = server
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    async def often(model: LiveModel) -> None:
        async with model:
            for _ in range(3):
                await model.ask(PROMPT)

    def use(model: LiveModel) -> None:
        asyncio.run(model.ask(PROMPT))
        asyncio.run(often(model))
        asyncio.run(model.ask(PROMPT))

    use(LiveModel("openai:m", url=url))
    gc.collect()

    assert len(handler.asked) == 5
    assert len(handler.connections) == 3
    assert complaints == []


def test_a_model_with_nothing_to_close_is_used_as_it_is() -> None:
    """Whatever has a name and answers is a model; it need not be a context manager."""
    model = ScriptedModel(lambda prompt: prompt.user)

    async def ask() -> str:
        async with in_use(model):
            return (await model.ask(PROMPT)).text

    assert asyncio.run(ask()) == PROMPT.user


def test_another_machine_needs_a_key() -> None:
    """Only loopback works without a key."""
    with pytest.raises(ModelUnavailable, match="MEMCOLLAB_API_KEY"):
        model_named("openai:m", url="https://models.example/v1")


@pytest.mark.parametrize("name", ["nobody:model", "openai:gpt-5-mini"])
def test_an_unknown_provider_or_a_missing_key_names_what_is_valid(name: str) -> None:
    """The error shows the form of a name and how to point at a server."""
    with pytest.raises(ModelUnavailable, match="--writer-url"):
        model_named(name)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8101/v1", True),
        ("http://[::1]/v1", True),
        ("http://localhost:1", True),
        ("https://127.0.0.1.example.com", False),
        ("https://10.0.0.1/v1", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_told_from_look_alikes(url: str, local: bool) -> None:
    """A name that begins like an address of this machine is not on this machine."""
    assert on_loopback(url) is local


@pytest.mark.lab
def test_a_real_local_model_follows_the_schema() -> None:
    """A 0.5B model behind a real server answers in the form of the schema."""
    url = os.environ.get("MEMCOLLAB_LAB_URL")
    if not url:
        pytest.skip("no local model: set MEMCOLLAB_LAB_URL to an OpenAI-compatible server")
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    model = model_named("openai:coder-0.5b", url=url)

    answer = asyncio.run(
        model.ask(Prompt("r", "Answer in JSON.", "Which colour is a sky?", schema))
    )

    assert json.loads(answer.text)["colour"] in {"red", "blue"}
    assert answer.usage.output_tokens
