"""Encryption of the private parts of records at rest: AES-256-GCM, bound to their place.

A sealed text is `<key id>.<url-safe base64 of nonce, ciphertext and tag>`. The etcd key that it
belongs under is authenticated with it, so that a value that was moved to another key is refused.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # what NIST SP 800-38D recommends for random nonces
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SealError(Exception):
    """A key cannot be used, or a sealed text cannot be opened."""


class Sealer:
    """Seals with the current key and opens with any of the known ones.

    Args:
        keys: secret keys of 32 bytes, by key id.
        current: id of the key that new texts are sealed with.

    Raises:
        SealError: there is no such current key, or a key or an id has the wrong form.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise SealError(f"{key_id!r} is no key id: letters, digits, '_' and '-' are")
            if len(key) != KEY_BYTES:
                raise SealError(f"key {key_id!r} has {len(key)} bytes; it must have {KEY_BYTES}")
        if current not in keys:
            raise SealError(f"the current key {current!r} is not among the given ones")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    def __repr__(self) -> str:
        """Name the key ids, never the keys."""
        return f"Sealer(keys={sorted(self._ciphers)}, current={self._current!r})"

    def seal(self, plaintext: bytes, context: str) -> str:
        """Encrypt; `context` is the etcd key that the text will lie under."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[self._current]
        sealed = cipher.encrypt(nonce, plaintext, _bound(self._current, context))
        return f"{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def is_current(self, sealed: str) -> bool:
        """Whether a text was sealed with the current key; an empty one needs no sealing."""
        return not sealed or sealed.startswith(f"{self._current}.")

    def open(self, sealed: str, context: str) -> bytes:
        """Decrypt what was sealed for the same context.

        Raises:
            SealError: the key is unknown or another one, or the text was changed or moved.
        """
        key_id, dot, encoded = sealed.partition(".")
        if not dot:
            raise SealError(f"what lies under {context!r} is not a sealed text")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealError(
                f"{context!r} is sealed with the key {key_id!r}, which this broker was not given"
            )
        try:
            raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(key_id, context))
        except (InvalidTag, ValueError):
            raise SealError(
                f"what is sealed under {context!r} cannot be opened: it was changed or moved, "
                f"or the key {key_id!r} is not the one that it was sealed with"
            ) from None


def load_key(value: str | Path) -> bytes:
    """Return a secret key from a setting or from a file that holds the same text.

    Args:
        value: base64 of 32 bytes, or the path of a file.

    Raises:
        SealError: the file cannot be read, or the text is not base64 of 32 bytes.
    """
    origin = "the given text"
    text = value
    if isinstance(text, Path):
        origin = str(value)
        try:
            text = text.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            # The error of a decoder quotes what it read.
            reason = error.strerror if isinstance(error, OSError) else "it is not a text"
            raise SealError(f"the sealing key in {origin} cannot be read: {reason}") from None
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(
            f"{origin} is no sealing key: base64 of {KEY_BYTES} bytes is expected, "
            f"as `openssl rand -base64 {KEY_BYTES}` prints"
        ) from None
    return key


def create_key_file(path: Path) -> bytes:
    """Write a new random key to a file that only its owner can read, and return the key.

    Raises:
        FileExistsError: the file exists; it is left alone.
        OSError: the file cannot be written.
    """
    key = os.urandom(KEY_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - the mode is given at creation
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        # Without this the name may be gone after a power failure, and with it all secrets.
        os.fsync(directory)
    finally:
        os.close(directory)
    return key


def _bound(key_id: str, context: str) -> bytes:
    return f"{key_id}\0{context}".encode()
