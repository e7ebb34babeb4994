"""The mounted proxy, asked by the real ``openai`` client over loopback sockets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import openai
from starlette.testclient import TestClient
from tests.serving import service_over
from tests.test_collab import WRITER, write_runs

from memcollab import MemCollab
from memcollab.serve.app import build_app

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
STREAM = "".join(
    f"data: {json.dumps({**CHUNK, 'choices': [{'index': 0, 'delta': {'content': t}}]})}\n\n"
    for t in ("h", "é")
)


class Upstream(BaseHTTPRequestHandler):
    keys: list[str | None] = []  # noqa: RUF012 - one test reads it

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["authorization"])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write((STREAM + "data: [DONE]\n\n").encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_openai_client_streams_through_and_its_key_goes_upstream(tmp_path: Path) -> None:
    """Text arrives whole, and the outcome can be reported by the id in the header."""
    with MemCollab(tmp_path / "team.db") as memory:
        memory.learn(write_runs(tmp_path), writer=WRITER)
    upstream = HTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    service = service_over(tmp_path / "team.db", require_key=False)
    service.upstream = f"http://127.0.0.1:{upstream.server_port}/v1"
    with TestClient(build_app(service), base_url="http://localhost") as http:
        client = openai.OpenAI(
            api_key="up", base_url="http://localhost/proxy/v1", http_client=http, max_retries=0
        )
        said = client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "Two kings?"}], stream=True
        )
        text = "".join(c.choices[0].delta.content or "" for c in said.parse())
        outcome = {"recall_id": said.headers["memcollab-recall"], "solved": True}
        assert http.post("/v1/outcomes", json=outcome).status_code == 200
    upstream.shutdown()
    upstream.server_close()
    assert text == "hé"
    assert Upstream.keys == ["Bearer up"]
