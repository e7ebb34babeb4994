"""A model server that answers from a script: OpenAI-compatible, on loopback, in a thread.

It is for trials of a set-up (does every part fit together, what will it write?) without a model,
and it is what the tests talk to: real HTTP, real Inspect, a script in place of weights.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """What the server sends back: a completion, or, with another ``status``, a refusal."""

    text: str = ""
    status: int = 200
    finish: str = "stop"


class ScriptedServer:
    """Serve ``script`` (messages → text or `Answer`) for as long as the block runs.

        with ScriptedServer(lambda messages: "ANSWER: 42") as server:
            collect(tasks, [f"scripted@{server.url}"], log_dir)

    ``requests`` holds the body of every request, in order of arrival. ``names`` are the models that
    it says it serves; without any it does not say.
    """

    def __init__(
        self, script: Callable[[Messages], str | Answer], names: Sequence[str] = ()
    ) -> None:
        self.names = names
        self.requests: list[dict[str, Any]] = []
        self._script = script
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The base URL, as an OpenAI client takes it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": [{"id": name} for name in served.names]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                served.requests.append(body)
                self._send(*served._answer(body))

            def _send(self, status: int, content: Mapping[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """A server inside a program has no console of its own."""

        return Handler

    def _answer(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        said = self._script(body["messages"])
        answer = said if isinstance(said, Answer) else Answer(said)
        if answer.status != 200:
            return answer.status, {"error": {"message": answer.text or "refused", "code": None}}
        words = sum(len(str(message["content"]).split()) for message in body["messages"])
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish}
        produced = len(answer.text.split())
        usage = {
            "prompt_tokens": words,
            "completion_tokens": produced,
            "total_tokens": words + produced,
        }
        return 200, {
            "id": "scripted",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }
