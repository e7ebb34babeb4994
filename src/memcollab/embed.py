"""Text → numbers: dense vectors from an embedder, and words for what is matched as written.

* ``bundled()``  the static model that comes inside the ``wordllama`` wheel (256 dimensions): no
  network, no key, about 0.1 ms a text on one core.
* ``remote()``   any OpenAI-compatible ``/embeddings`` endpoint, by name.
* ``words()``    the tokens that lexical matching counts; LaTeX and code keep what marks them.

Rows are float32 and of length 1, so that a dot product is the cosine. A text in which the model
knows no token (the empty text is one) is the zero vector: it is similar to nothing.
A text has the same vector, bit for bit, alone and in any batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memcollab.errors import ModelError, ModelUnavailable, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

# Where the wordllama wheel keeps its model, and what it calls the matrix.
_WEIGHTS = Path("weights", "l2_supercat_256.safetensors")
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_MATRIX = "embedding.weight"
# The tokenizer writes a blank as this sign. No token holds it behind another sign, so that a text
# can be cut before every run of blanks and its parts, most of them known words, tokenised alone.
_BLANK = "\u2581"
_PART = re.compile(" +[^ ]*")
# Parts up to so many characters are kept; longer ones are not words.
_WORD_LENGTH = 40
_WORDS_KEPT = 65_536
# Texts in one request to a server (OpenAI takes 2,048 at most).
_REQUEST = 256
_TIMEOUT = 60.0  # seconds


class Embedder(Protocol):
    """Whatever turns texts into vectors. ``name`` is stored beside every vector it made."""

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape ``(len(texts), dim)``, of length 1 or zero.

        Raises:
            ModelError: this call gave no vectors.
            ModelUnavailable: no call will.
        """
        ...


class StaticEmbedder:
    """The mean of the vectors of a text's tokens, brought to length 1.

    The vectors equal those of ``wordllama.WordLlama.load().embed(texts, norm=True)`` to rounding
    (a test holds them against each other). The library itself is not imported: that takes 0.3 s
    and sets up logging for the whole process. The stored matrix is float16; a row is turned into
    float32 when a text first needs it, because turning all costs every command line 50 ms, and
    turning them for each text anew costs each 0.05 ms.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, matrix: NDArray[np.float16]) -> None:
        self.name = name
        self.dim: int = matrix.shape[1]
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._marks = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._blank = tokenizer.token_to_id(_BLANK) or 0
        self._word = lru_cache(maxsize=_WORDS_KEPT)(self._tokens)
        self._stored = matrix
        # Memory that is not written to is not used: these are as large as the tokens seen.
        self._rows = np.empty(matrix.shape, dtype=np.float32)
        self._ready = np.zeros(len(matrix), dtype=np.bool_)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``; raises nothing."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                self._mean(self.tokens(text), vectors[row])
        return vectors

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text that is not empty: those that the tokenizer gives for all of it,
        in a quarter of the time."""
        if any(mark in text for mark in self._marks):
            # Its own marks (<s>) cut a text in another way.
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        found: list[int] = []
        for part in _PART.findall(" " + text.replace(_BLANK, " ")):
            found += self._word(part) if len(part) <= _WORD_LENGTH else self._tokens(part)
        return found

    def _tokens(self, part: str) -> list[int]:
        # The tokenizer puts a blank before what it is given, but for nothing.
        if part == " ":
            return [self._blank]
        return list(self._tokenizer.encode(part[1:], add_special_tokens=False).ids)

    def _mean(self, tokens: list[int], out: Vectors) -> None:
        ids = np.array(tokens)
        new = ids[~self._ready[ids]]
        if len(new):
            # Two threads that meet here write the same numbers; the flags go up after them.
            self._rows[new] = self._stored[new]
            self._ready[new] = True
        # The sum points where the mean does, and only the direction is kept.
        np.add.reduce(self._rows.take(ids, axis=0), axis=0, out=out)
        length = np.sqrt(np.vecdot(out, out))
        if length:
            out /= length


@cache
def bundled() -> StaticEmbedder:
    """The model inside the ``wordllama`` wheel; loaded once, from disk only (80 ms).

    Raises:
        ModelUnavailable: the installed wheel does not hold it.
    """
    from safetensors import SafetensorError, safe_open
    from tokenizers import Tokenizer

    folder = _wheel()
    try:
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        with safe_open(folder / _WEIGHTS, framework="np") as weights:
            matrix = weights.get_tensor(_MATRIX)
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(
            f"the bundled embedder cannot be read from the installed wordllama: {error}. "
            "Next: pip install --force-reinstall 'wordllama>=0.4'"
        ) from error
    return StaticEmbedder("wordllama-l2-supercat-256", tokenizer, matrix)


def _wheel() -> Path:
    """The folder of the installed wordllama, found without importing it."""
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            "the bundled embedder is not installed. Next: pip install 'wordllama>=0.4'"
        )
    return Path(spec.submodule_search_locations[0])


class RemoteEmbedder:
    """An embedding model behind an OpenAI-compatible server. ``dim`` asks the server once."""

    def __init__(self, name: str, url: str, key: str | None = None) -> None:
        self.name = name
        self._url = url
        self._key = key
        self._client: Any = None
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        if self._dim is None:
            self._dim = len(self._ask(["dimension"])[0])
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.embed``. Empty texts are not sent: servers differ in how they refuse."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        filled = [row for row, text in enumerate(texts) if text.strip()]
        for start in range(0, len(filled), _REQUEST):
            rows = filled[start : start + _REQUEST]
            vectors[rows] = self._checked(self._ask([texts[row] for row in rows]), len(rows))
        return vectors

    def _ask(self, texts: list[str]) -> list[list[float]]:
        import openai

        try:
            # "float" because not every server that speaks this protocol knows the default, base64.
            answer = self._open().embeddings.create(
                model=self.name, input=texts, encoding_format="float"
            )
        except (
            openai.APIConnectionError,
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
        ) as error:
            raise ModelUnavailable(
                f"the embedder {self.name!r} at {self._url!r} answers nothing: {error}. Valid: the "
                "address of an OpenAI-compatible server, up to /v1. Next: memcollab doctor"
            ) from error
        except (openai.APIError, ValueError) as error:
            raise ModelError(
                f"the embedder {self.name!r} at {self._url!r} refused {len(texts)} texts: {error}"
            ) from error
        return [item.embedding for item in sorted(answer.data or (), key=lambda item: item.index)]

    def _open(self) -> Any:
        if self._client is None:
            import openai

            # The client insists on some key; a server on this machine asks for none. Its own
            # time-out, ten minutes, is made for chat.
            self._client = openai.OpenAI(
                base_url=self._url, api_key=self._key or "none-given", timeout=_TIMEOUT
            )
        return self._client

    def _checked(self, answer: list[list[float]], count: int) -> Vectors:
        """The answer as rows of length 1, or a ModelError that says what is wrong with it."""
        lengths = {len(vector) for vector in answer}
        if len(answer) != count or lengths != {self.dim}:
            raise ModelError(
                f"the embedder {self.name!r} answered {count} texts with {len(answer)} vectors of "
                f"{sorted(lengths)!r} dimensions. Valid: {count} of {self.dim}"
            )
        vectors = np.array(answer, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise ModelError(f"the embedder {self.name!r} answered with NaN or infinity")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(norms > 0, norms, 1)
        return vectors


def remote(name: str, url: str, key: str | None = None) -> RemoteEmbedder:
    """The embedding model ``name`` at an OpenAI-compatible server; nothing is asked yet.

    Args:
        url: the server's base address, up to ``/v1``.
        key: what it wants as a bearer token, if anything.

    Raises:
        UsageError: ``url`` is not an HTTP address.
    """
    if not re.match(r"https?://[^/\s]+", url):
        raise UsageError(
            f"the embedder's address {url!r} is not one. "
            "Valid: http:// or https://, a host, usually /v1. Next: MEMCOLLAB_EMBEDDER_URL=http://HOST/v1"
        )
    return RemoteEmbedder(name, url, key)


# ---- words

# A drawing's source says that there is a drawing; its coordinates are noise.
_DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
_WORD = re.compile(r"\\[A-Za-z]+|[^\W\d_]+|\d+|[^\w\s]|_")


# A recall files a task and then searches for it: the second time its words are at hand.
@lru_cache(maxsize=16)
def words(text: str) -> tuple[str, ...]:
    r"""The tokens of ``text`` in order, for lexical matching.

    Words are lower-cased. Single letters and LaTeX commands stay as they are (``\Delta`` is not
    ``\delta``, a variable is not an article), every sign counts, and a number becomes ``#``, ``##``
    or ``###`` by its digits: tasks that differ only in their numbers are alike.
    """
    if "[asy]" in text:
        text = _DRAWING.sub(" [asy] ", text)
    return tuple(map(_as_counted, _WORD.findall(text)))


@lru_cache(maxsize=65_536)
def _as_counted(word: str) -> str:
    if word.isdigit():
        return "#" * min(len(word), 3)
    return word if len(word) == 1 or word[0] == "\\" else word.lower()
