"""Secrets at rest: AES-256-GCM, bound to the row they stand in."""

import base64
import binascii
import hashlib
import importlib
import secrets
from typing import TYPE_CHECKING, Final

from reverie.domain.errors import ReverieError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MARK: Final = "rev1"
_NONCE_BYTES: Final = 12


class Unreadable(ReverieError):
    """A stored secret that cannot be opened: another key, another row, or damage."""


class Cipher:
    """Seals and opens short texts. Safe to use from many threads.

    A sealed text reads `rev1.<key id>.<nonce and ciphertext, base64url>`.
    """

    def __init__(self, current: bytes, *earlier: bytes) -> None:
        """Take 32-byte keys; `current` seals, all of them open."""
        self._keys = {key_id(key): key for key in (*reversed(earlier), current)}
        self._current = key_id(current)
        self._opened: dict[str, AESGCM] = {}

    def encrypt(self, text: str, bound_to: str) -> str:
        """Return `text` sealed; `bound_to` is the row's id, and must be given again to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._aes(self._current).encrypt(nonce, text.encode(), bound_to.encode())
        return f"{_MARK}.{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, sealed: str, bound_to: str) -> str:
        """Return the text that `encrypt` sealed for `bound_to`.

        Raises:
            Unreadable: sealed by a key this server does not have, for another row, or damaged.
        """
        parts = sealed.split(".")
        if len(parts) != 3 or parts[0] != _MARK:
            raise Unreadable(f"the secret of {bound_to!r} is not in this server's format; set it again")
        if parts[1] not in self._keys:
            raise Unreadable(
                f"the secret of {bound_to!r} was sealed with another key (id {parts[1]}); "
                "start the server with the data directory or REVERIE_ENCRYPTION_KEY it was stored with"
            )
        aes = self._aes(parts[1])
        try:
            blob = base64.urlsafe_b64decode(parts[2])
            return aes.decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], bound_to.encode()).decode()
        except (_invalid_tag(), binascii.Error, ValueError) as error:
            raise Unreadable(f"the secret of {bound_to!r} is damaged or was copied from another row") from error

    def _aes(self, name: str) -> "AESGCM":
        if name not in self._opened:
            # On first use: many servers never store a secret, and the library costs 5 MB.
            self._opened[name] = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM(
                self._keys[name]
            )
        return self._opened[name]


def key_id(key: bytes) -> str:
    """Eight hexadecimal characters that name a key and tell nothing about it."""
    return hashlib.sha256(b"reverie key id" + key).hexdigest()[:8]


def _invalid_tag() -> type[Exception]:
    error: type[Exception] = importlib.import_module("cryptography.exceptions").InvalidTag
    return error
