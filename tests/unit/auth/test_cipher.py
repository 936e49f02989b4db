import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.auth.cipher import Cipher, Unreadable

CIPHER = Cipher(b"k" * 32)


@given(text=st.text(), row=st.text())
def test_what_is_sealed_opens_again(text: str, row: str) -> None:
    assert CIPHER.decrypt(CIPHER.encrypt(text, row), row) == text


def test_sealing_twice_gives_different_texts() -> None:
    assert CIPHER.encrypt("secret", "row") != CIPHER.encrypt("secret", "row")


def test_a_sealed_text_opens_in_its_own_row_only() -> None:
    with pytest.raises(Unreadable, match="another row"):
        CIPHER.decrypt(CIPHER.encrypt("secret", "row-1"), "row-2")


@pytest.mark.parametrize("position", [-1, 20, 30])
def test_a_changed_text_is_noticed(position: int) -> None:
    sealed = CIPHER.encrypt("a secret of some length", "row")
    other = "A" if sealed[position] != "A" else "B"
    position %= len(sealed)
    with pytest.raises(Unreadable):
        CIPHER.decrypt(sealed[:position] + other + sealed[position + 1 :], "row")


@pytest.mark.parametrize("sealed", ["", "plain", "rev1.x.y.z", "rev1..", "rev9.00000000.AAAA"])
def test_other_formats_are_refused(sealed: str) -> None:
    with pytest.raises(Unreadable):
        CIPHER.decrypt(sealed, "row")


def test_a_cut_text_is_refused() -> None:
    with pytest.raises(Unreadable):
        CIPHER.decrypt(CIPHER.encrypt("secret", "row")[:20], "row")


def test_another_servers_key_is_named_in_the_refusal() -> None:
    sealed = Cipher(b"x" * 32).encrypt("secret", "row")
    with pytest.raises(Unreadable, match=sealed.split(".")[1]):
        CIPHER.decrypt(sealed, "row")


def test_earlier_keys_open_but_only_the_current_one_seals() -> None:
    earlier = Cipher(b"x" * 32).encrypt("secret", "row")
    both = Cipher(b"k" * 32, b"x" * 32)
    assert both.decrypt(earlier, "row") == "secret"
    assert Cipher(b"k" * 32).decrypt(both.encrypt("secret", "row"), "row") == "secret"
