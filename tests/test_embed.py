"""The bundled embedder against the library it comes from; the remote one against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.embed import bundled, remote, words
from memcollab.errors import ModelError, ModelUnavailable, UsageError

TEXTS = [
    "How many 5-card hands hold exactly two kings?",
    r"Evaluate $\frac{1}{2} + \sqrt{3}$.",
    "def f(x: int) -> int:\n    return x + 1",
    "Wie viele Wege führen nach Rom? 多少?",
    "long " * 700,
]
REFERENCE = """
import json, sys
from pathlib import Path
import numpy, wordllama
folder = Path(wordllama.__file__).parent
model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=256)
numpy.save(sys.argv[2], model.embed(json.loads(Path(sys.argv[1]).read_text("utf-8")), norm=True))
"""


# ---- bundled


def test_vectors_are_those_of_wordllama(tmp_path: Path) -> None:
    """Loading the weights directly gives what the library itself gives, to float32 rounding."""
    texts, vectors = tmp_path / "texts.json", tmp_path / "vectors.npy"
    texts.write_text(json.dumps(TEXTS), "utf-8")
    subprocess.run([sys.executable, "-c", REFERENCE, texts, vectors], check=True)
    np.testing.assert_allclose(bundled().embed(TEXTS), np.load(vectors), atol=2e-6)


def test_bundled_loads_offline_and_without_the_library() -> None:
    """The import of wordllama (0.3 s, logging set up for the process) and of HTTP clients is not
    paid."""
    code = (
        "import sys; from memcollab.embed import bundled; bundled().embed(['a']);"
        "print([m for m in ('wordllama', 'requests', 'httpx', 'openai') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8"
    )
    assert ran.stdout.strip() == "[]"


def test_bundled_is_loaded_once() -> None:
    """Asking again gives the same object."""
    assert bundled() is bundled()


def test_rows_are_float32_of_length_one() -> None:
    """A dot product is a cosine."""
    vectors = bundled().embed(TEXTS)
    assert vectors.shape == (len(TEXTS), bundled().dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_empty_text_is_zero_and_no_text_is_no_row() -> None:
    """Text without a token is similar to nothing, and is never NaN."""
    assert not bundled().embed([""]).any()
    assert bundled().embed([]).shape == (0, 256)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=6))
def test_a_text_has_one_vector_in_any_company(texts: list[str]) -> None:
    """Bit for bit: what is cached from a batch equals what is computed alone."""
    together = bundled().embed(texts)
    alone = [bundled().embed([text])[0] for text in texts]
    assert np.array_equal(together, np.array(alone))


@given(st.text(max_size=80) | st.text("ab \u2581\n<s>/", max_size=30))
def test_parts_give_the_tokens_of_the_whole(text: str) -> None:
    """Cutting a text at its blanks changes no token, whatever it holds."""
    embedder = bundled()
    whole = embedder._tokenizer.encode(text, add_special_tokens=False).ids
    assert (embedder.tokens(text) if text else []) == whole


def test_alike_texts_are_nearer_than_strangers() -> None:
    """The vectors mean something."""
    one, like, other = bundled().embed(
        [
            "What is the chance of drawing two red balls from the urn?",
            "Find the probability that both marbles taken from the bag are blue.",
            "Write a letter to the landlord about the broken heating.",
        ]
    )
    assert one @ like > one @ other + 0.2


# ---- words


def test_words_keep_what_marks_maths_and_code() -> None:
    """LaTeX commands keep their case, numbers their number of digits, signs count."""
    assert words(r"Find $\Delta x$ of 1234 + x_7") == (
        *("find", "$", "\\Delta", "x", "$", "of", "###", "+", "x", "_", "#"),
    )


def test_words_leave_out_the_source_of_a_drawing() -> None:
    """That there is a diagram counts; its coordinates do not."""
    assert words("See [asy]draw((0,0)--(1,1));\ndot(A);[/asy] now") == (
        "see",
        "[",
        "asy",
        "]",
        "now",
    )


@given(st.text(max_size=200))
def test_words_never_hold_a_blank(text: str) -> None:
    """Words can be joined by blanks and stored by lines."""
    assert all(word and not any(sign.isspace() for sign in word) for word in words(text))


# ---- remote

Reply = Callable[[list[str]], tuple[int, Any]]


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that speaks the embeddings protocol: its address, and the requests it got."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append({**body, "path": self.path, "key": self.headers["authorization"]})
            status, content = reply(body["input"])
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def vectors_of(texts: list[str], dim: int = 3) -> Any:
    """Answers in reverse order, as the protocol allows: the index says which is which."""
    items = [
        {"object": "embedding", "index": place, "embedding": [len(text), 1, 0][:dim]}
        for place, text in enumerate(texts)
    ]
    return {"object": "list", "model": "m", "data": items[::-1], "usage": {}}


def test_remote_embeds_in_order_and_normalises() -> None:
    """Any OpenAI-compatible endpoint, by name and key."""
    with serving(lambda texts: (200, vectors_of(texts))) as (url, seen):
        embedder = remote("tiny", url, "secret")
        vectors = embedder.embed(["abc", "a"])
    np.testing.assert_allclose(vectors, [[0.9486833, 0.31622777, 0], [0.7071068, 0.7071068, 0]])
    assert (embedder.name, embedder.dim) == ("tiny", 3)
    assert vectors.dtype == np.float32
    assert seen[-1]["path"] == "/v1/embeddings"
    assert (seen[-1]["model"], seen[-1]["key"]) == ("tiny", "Bearer secret")


def test_remote_sends_no_empty_text_and_splits_long_lists() -> None:
    """Servers refuse empty inputs and long lists; the rows still line up."""
    texts = ["", *("x" * (n % 7 + 1) for n in range(600)), "  "]
    with serving(lambda texts: (200, vectors_of(texts))) as (url, seen):
        vectors = remote("tiny", url).embed(texts)
    assert [len(request["input"]) for request in seen[1:]] == [256, 256, 88]
    assert not vectors[0].any()
    assert not vectors[-1].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[1:-1], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda texts: (200, vectors_of(texts[:-1])), "answered 2 texts with 1 vectors"),
        (lambda texts: (200, vectors_of(texts, 2 if len(texts) == 2 else 3)), "[2] dimensions"),
        (lambda texts: (400, {"error": {"message": "too long"}}), "too long"),
    ],
)
def test_remote_answers_that_cannot_be_used_are_named(reply: Reply, said: str) -> None:
    """One bad answer is an error of that call, with what was wrong."""

    def after_the_first(texts: list[str]) -> tuple[int, Any]:
        return (200, vectors_of(texts)) if texts == ["dimension"] else reply(texts)

    with (
        serving(after_the_first) as (url, _seen),
        pytest.raises(ModelError, match=said.replace("[", r"\[")),
    ):
        remote("tiny", url).embed(["a", "b"])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_remote_that_will_never_answer_is_unavailable(status: int) -> None:
    """A wrong key or a wrong address is told apart from one failed call."""
    with (
        serving(lambda _: (status, {"error": {"message": "no"}})) as (url, _seen),
        pytest.raises(ModelUnavailable, match="'tiny'"),
    ):
        remote("tiny", url).embed(["a"])


def test_remote_without_a_server_is_unavailable() -> None:
    """Nobody listens: the address is in the message."""
    with serving(lambda texts: (200, vectors_of(texts))) as (url, _seen):
        pass
    with pytest.raises(ModelUnavailable, match=url):
        remote("tiny", url).embed(["a"])


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host/v1", "http://"])
def test_remote_wants_an_http_address(url: str) -> None:
    """Refused when it is named, before anything is asked."""
    with pytest.raises(UsageError, match="is not one"):
        remote("tiny", url)
