import hashlib
import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from reverie.auth.cipher import Unreadable
from reverie.auth.secrets import KEY_FILE, KeyFileProblem, load_secrets


def test_the_first_start_makes_a_key_file_only_the_owner_can_read(tmp_path: Path) -> None:
    load_secrets(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_the_next_start_opens_what_the_first_sealed(tmp_path: Path) -> None:
    first = load_secrets(tmp_path)
    second = load_secrets(tmp_path)
    assert second.cipher.decrypt(first.cipher.encrypt("secret", "row"), "row") == "secret"
    assert second.hasher.digest("token") == first.hasher.digest("token")


def test_two_servers_given_one_passphrase_agree_and_keep_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (load_secrets(tmp_path / name, "any phrase at all") for name in "ab")
    assert two.cipher.decrypt(one.cipher.encrypt("secret", "row"), "row") == "secret"
    assert two.hasher.digest("token") == one.hasher.digest("token")
    assert not (tmp_path / "a" / KEY_FILE).exists()


def test_a_passphrase_given_later_still_opens_what_the_file_sealed(tmp_path: Path) -> None:
    before = load_secrets(tmp_path)
    after = load_secrets(tmp_path, "phrase")
    assert after.cipher.decrypt(before.cipher.encrypt("secret", "row"), "row") == "secret"
    assert before.hasher.digest("token") in after.hasher.candidates("token")
    assert after.hasher.digest("token") != before.hasher.digest("token")


def test_another_passphrase_opens_nothing(tmp_path: Path) -> None:
    sealed = load_secrets(tmp_path, "one").cipher.encrypt("secret", "row")
    with pytest.raises(Unreadable):
        load_secrets(tmp_path, "two").cipher.decrypt(sealed, "row")


def derived(root: bytes) -> str:
    secret = HKDF(algorithm=SHA256(), length=32, salt=b"reverie", info=b"reverie api keys").derive(root)
    return hmac.new(secret, b"token", hashlib.sha256).hexdigest()


def test_secrets_are_derived_as_the_standards_say_so_that_stored_keys_stay_valid(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("A" * 43 + "=")
    assert load_secrets(tmp_path).hasher.digest("token") == derived(bytes(32))
    stretched = Scrypt(salt=b"reverie passphrase", length=32, n=2**14, r=8, p=1).derive(b"phrase")
    assert load_secrets(tmp_path / "x", "phrase").hasher.digest("token") == derived(stretched)


@pytest.mark.parametrize("content", [b"", b"not a key", b"c2hvcnQ=", b"\xff\xfe"])
def test_a_damaged_key_file_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(KeyFileProblem, match=KEY_FILE):
        load_secrets(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_directory_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(KeyFileProblem, match="--data-dir"):
        load_secrets(tmp_path / "missing")
