"""Signed exports: Ed25519 (RFC 8032) over the SHA-512 of every byte before the last line.

The last line of a signed export is ``{"type": "signature", "key": …, "signature": …}``, both
base64. A key is 32 bytes; private ones are stored as PKCS 8 PEM, unencrypted, for their owner only.
What a signature says: whoever holds the key wrote exactly these bytes. Not that they are true.

``cryptography`` (extra ``sign``) does the work, and is imported only here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import orjson

from memcollab.bank.rows import canonical
from memcollab.errors import BankError, MissingExtra, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

# Signed beside the hash, so that a signature made for anything else is none of an export.
_CONTEXT = b"memcollab export 1\n"
# A signature line has about 200 bytes; the end of a file that holds it whole.
_LONGEST_SIGNATURE = 4096


def new_key(path: Path) -> str:
    """Write a new private key to ``path``, and its public key beside it (``.pub``); the public key.

    Raises:
        UsageError: there is a file already, or it cannot be written.
    """
    with _needs_extra():
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = _text_of(key.public_key())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        Path(f"{path}.pub").write_text(f"{public}\n")
    except OSError as error:
        raise UsageError(
            f"cannot write a key to {str(path)!r}: {error.strerror}. Next: give a new file"
        ) from error
    return public


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file.

    Raises:
        UsageError: it cannot be read, or is no Ed25519 key.
    """
    with _needs_extra():
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(str(path), str(error)) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise _no_key(str(path), "it is of another kind")
    return found


def _no_key(given: str, why: str) -> UsageError:
    return UsageError(
        f"{given!r} is no key: {why}. Valid: an unencrypted Ed25519 key in PEM to sign, the base64 "
        "of one, or a file that holds it, to trust. Next: memcollab bank key new FILE"
    )


def public_keys(given: Collection[str]) -> set[str]:
    """Public keys as text, from text or from the files that hold them.

    Raises:
        UsageError: one is neither.
    """
    return {_public(one) for one in given}


def _public(given: str) -> str:
    text = given.strip()
    if not _is_key(text):
        try:
            text = Path(given).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise _no_key(
                given, "neither base64 of 32 bytes nor a file that can be read"
            ) from error
    if not _is_key(text):
        raise _no_key(given, "the file holds no base64 of 32 bytes")
    return text


def _is_key(text: str) -> bool:
    content = _decoded(text)
    return content is not None and len(content) == 32


def _decoded(text: object) -> bytes | None:
    """Bytes of canonical base64, so that one key has one name."""
    if not isinstance(text, str):
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


def _text_of(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


# ---- signing


class Signer:
    """A stream that passes on what is written, and can sign all of it at the end."""

    def __init__(self, stream: IO[bytes], key: Ed25519PrivateKey) -> None:
        self._stream = stream
        self._key = key
        self._hash = hashlib.sha512()

    def write(self, content: bytes) -> int:
        """Write and remember."""
        self._hash.update(content)
        return self._stream.write(content)

    def sign(self) -> None:
        """Write the signature of everything so far, as the last line."""
        line = {
            "type": "signature",
            "key": _text_of(self._key.public_key()),
            "signature": base64.b64encode(self._key.sign(_CONTEXT + self._hash.digest())).decode(),
        }
        self._stream.write(canonical(line) + b"\n")


# ---- checking


@contextmanager
def checked(stream: IO[bytes]) -> Iterator[tuple[IO[bytes], str | None]]:
    """The content of an export without its signature, and who signed it (None: nobody).

    It is copied first, to a file without a name, so that what is imported is what was checked.

    Raises:
        BankError: the signature is not that of these bytes.
        MissingExtra: it is signed, and the extra ``sign`` is not installed.
    """
    with TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        length, line = _last_line(copy)
        signer = None
        if line is not None:
            signer = _signer(line, _digest(copy, length))
            copy.truncate(length)
        copy.seek(0)
        yield copy, signer


def _last_line(copy: IO[bytes]) -> tuple[int, dict[str, object] | None]:
    """Where the last line begins, and what it says if it is a signature."""
    end = copy.seek(0, os.SEEK_END)
    start = max(0, end - _LONGEST_SIGNATURE)
    copy.seek(start)
    tail = copy.read()
    begin = tail.rstrip(b"\n").rfind(b"\n") + 1
    try:
        found = orjson.loads(tail[begin:])
    except orjson.JSONDecodeError:
        return end, None
    if not isinstance(found, dict) or found.get("type") != "signature":
        return end, None
    return start + begin, found


def _digest(copy: IO[bytes], length: int) -> bytes:
    digest = hashlib.sha512()
    copy.seek(0)
    while length > 0 and (part := copy.read(min(length, 2**20))):
        digest.update(part)
        length -= len(part)
    return digest.digest()


def _signer(line: dict[str, object], digest: bytes) -> str:
    with _needs_extra():
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    key, signature = _decoded(line.get("key")), _decoded(line.get("signature"))
    if key is None or len(key) != 32 or signature is None or set(line) != _FIELDS:
        raise _refused("its last line is no signature that can be read")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _CONTEXT + digest)
    except InvalidSignature as error:
        raise _refused(f"it is not what the key {line['key']!r} signed") from error
    return str(line["key"])


_FIELDS = {"type", "key", "signature"}


def _refused(why: str) -> BankError:
    return BankError(
        f"the export was changed after it was signed, or the signature forged: {why}. Nothing was "
        "imported. Next: get it from its signer again"
    )


@contextmanager
def _needs_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtra("signing", "sign") from error
