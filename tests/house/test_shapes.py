"""The comparison that the house tests of the wire rest on: it finds what it is there to find."""

from datetime import datetime
from typing import Any, Literal, NotRequired

import pytest
from pydantic import BaseModel
from tests.support.shapes import Fit
from typing_extensions import TypedDict


class Cat(TypedDict):
    type: Literal["cat"]
    lives: int


class Dog(TypedDict):
    type: Literal["dog"]
    name: str | None


class ReadCat(BaseModel):
    type: Literal["cat"]
    lives: float


class ReadDog(BaseModel):
    type: Literal["dog"] | None = None
    name: str | None = None


Read = ReadCat | ReadDog


class House(TypedDict):
    animals: list[Cat | Dog]
    address: NotRequired[str]


class ReadHouse(BaseModel):
    animals: list[Read] | None = None
    address: str | None = None


def faults(sent: Any, read: Any, **options: bool) -> list[str]:
    fit = Fit(extra=options.get("extra", True), missing=options.get("missing", True), checked="checked" in options)
    return [f"{fault.at}: {fault.what}" for fault in fit.faults(sent, read, at="top")]


def test_what_fits_has_no_faults() -> None:
    assert faults(House, ReadHouse) == []
    assert faults(list[Cat], list[Read]) == []
    assert faults(dict[str, int], dict[str, float]) == []
    assert faults(Cat, dict[str, object]) == []
    assert faults(Literal["a"], str) == []
    assert faults(Any, object) == []


class Unknown(TypedDict):
    type: Literal["cat"]
    lives: int
    colour: str


class Silent(TypedDict):
    type: Literal["cat"]


class Unsure(TypedDict):
    type: Literal["cat"]
    lives: int | None


class Wordy(TypedDict):
    type: Literal["cat"]
    lives: str


class Loose(TypedDict):
    type: Literal["cat"]
    lives: NotRequired[int]


class Cow(TypedDict):
    type: Literal["cow"]


@pytest.mark.parametrize(
    ("sent", "read", "found"),
    [
        (Unknown, ReadCat, ["ReadCat.colour: is sent and not known"]),
        (Silent, ReadCat, ["ReadCat.lives: Silent never has it"]),
        (Unsure, ReadCat, ["ReadCat.lives: NoneType is sent, float is read"]),
        (Wordy, ReadCat, ["ReadCat.lives: str is sent, float is read"]),
        (Loose, ReadCat, ["ReadCat.lives: is insisted on, and Loose may leave it out"]),
        (Cow, Read, ["type=cow: is a kind that is not read"]),
        (list[Wordy], list[Read], ["ReadCat.lives: str is sent, float is read"]),
        (list[Cat], Read, ["top: list[tests.house.test_shapes.Cat] is sent, ReadCat or ReadDog is read"]),
        (Literal["a", "b"], Literal["a"], ["top: 'b' is sent, 'a' is read"]),
        (str, Literal["a"], ["top: str is sent, 'a' is read"]),
        (str, datetime, ["top: str is sent, datetime is read"]),
        (dict[str, Any], ReadCat, ["top: dict[str, typing.Any] is sent, ReadCat is read"]),
        (dict[str, str], dict[str, int], ["top[]: str is sent, int is read"]),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(sent: Any, read: Any, found: list[str]) -> None:
    assert faults(sent, read) == found


def test_a_server_checks_words_and_dates_itself() -> None:
    assert faults(str, Literal["a"], checked=True) == []
    assert faults(str, datetime, checked=True) == []
    assert faults(Literal["b"], Literal["a"], checked=True) != []
    assert faults(int, Literal["a"], checked=True) != []


def test_fields_that_one_side_lacks_may_be_let_through() -> None:
    assert faults(Unknown, ReadCat, extra=False) == []
    assert faults(Silent, ReadDog, missing=False) == ["ReadDog.type: 'cat' is sent, 'dog' is read"]
    assert faults(Silent, ReadCat, missing=False) == ["ReadCat.lives: Silent never has it"]
