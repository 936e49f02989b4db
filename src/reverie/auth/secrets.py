"""The server's own key material: made once in the data directory, or given as a passphrase."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reverie.auth.cipher import Cipher
from reverie.auth.keys import TokenHasher
from reverie.auth.signing import Signer
from reverie.domain.errors import ReverieError

KEY_FILE: Final = "secret.key"
_KEY_BYTES: Final = 32
_SCRYPT_SALT: Final = b"reverie passphrase"
"""Fixed, so that several servers given one passphrase agree without sharing a disk."""


class KeyFileProblem(ReverieError):
    """The key file cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSecrets:
    """What seals secrets and hashes tokens."""

    cipher: Cipher
    hasher: TokenHasher
    signer: Signer


def load_secrets(data_dir: Path, passphrase: str | None = None) -> ServerSecrets:
    """Return the server's secrets, making the key file when neither it nor a passphrase is there.

    With a passphrase the key file is not made; where there is one already, its key goes on
    opening what it sealed.

    Raises:
        KeyFileProblem: the file cannot be read or written, or does not hold a key.
    """
    path = data_dir / KEY_FILE
    stored = _read(path)
    if stored is None and passphrase is None:
        stored = _create(path, secrets.token_bytes(_KEY_BYTES))
    roots = [root for root in (_stretch(passphrase) if passphrase else None, stored) if root is not None]
    return ServerSecrets(
        cipher=Cipher(*(_derive(root, b"reverie cipher") for root in roots)),
        hasher=TokenHasher(*(_derive(root, b"reverie api keys") for root in roots)),
        signer=Signer(_derive(roots[0], b"reverie callbacks")),
    )


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_text("ascii").strip()
        root = base64.b64decode(text, validate=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileProblem(f"cannot read the key file {str(path)!r}: {error.strerror}; check its owner") from error
    except (UnicodeDecodeError, binascii.Error) as error:
        raise _damaged(path) from error
    if len(root) != _KEY_BYTES:
        raise _damaged(path)
    return root


def _damaged(path: Path) -> KeyFileProblem:
    return KeyFileProblem(
        f"the key file {str(path)!r} does not hold a key; put it back from a backup. "
        "Deleting it makes a fresh one, but stored secrets and API keys are lost then"
    )


def _create(path: Path, root: bytes) -> bytes:
    # Written beside and linked into place: a crash leaves no half file, and of two servers
    # that start at once one wins and the other reads the winner's key.
    draft = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(root) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            root = _read(path) or root
        except PermissionError:  # some mounted volumes know no links
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise KeyFileProblem(
            f"cannot write the key file {str(path)!r}: {error.strerror}; "
            "make the data directory writable or choose another with --data-dir"
        ) from error
    return root


def _stretch(passphrase: str) -> bytes:
    # 2^14 rounds: about 50 ms once per start, enough for a phrase that a person made up.
    return hashlib.scrypt(passphrase.encode(), salt=_SCRYPT_SALT, n=2**14, r=8, p=1, dklen=_KEY_BYTES)


def _derive(root: bytes, purpose: bytes) -> bytes:
    """One key per purpose (HKDF-SHA256 of a single block, RFC 5869)."""
    extracted = hmac.new(b"reverie", root, hashlib.sha256).digest()
    return hmac.new(extracted, purpose + b"\x01", hashlib.sha256).digest()
