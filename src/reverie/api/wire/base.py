"""What all wire models share.

Requests are Pydantic models: they check what a client sends. Answers are `TypedDict`s: the
type checker holds the mapping functions to them, and they cost nothing at run time, where
orjson turns the plain dicts into bytes. A house test compares both with the client SDK.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from reverie.domain.clock import aware

Order: TypeAlias = Literal["asc", "desc"]
Metadata: TypeAlias = dict[str, Any]
MOST: Final = 2**31 - 1
"""The largest number that every column takes."""
Moment: TypeAlias = Annotated[datetime, AfterValidator(aware)]
"""A time in UTC; what names no offset is UTC already."""
Whole: TypeAlias = Annotated[int, Field(ge=-MOST, le=MOST)]

T = TypeVar("T")


class Done(TypedDict):
    """Something was done."""

    success: bool


class Success(Done):
    """Something was done, and what."""

    message: str


class Body(BaseModel):
    """A request body. Unknown fields are ignored, as the API does."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, protected_namespaces=(), defer_build=True)

    def given(self) -> dict[str, Any]:
        """The fields the client sent, by their names here, nested models left as they are."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def changes_of(record: type[T], given: Mapping[str, Any]) -> T:
    """Make a partial update from `given`.

    Both SDKs send null for "leave it" on fields that cannot be empty, by their types in `record`; those nulls are
    dropped.
    """
    can_be_empty = _can_be_empty(record)  # type: ignore[arg-type]  # classes are hashable
    kept = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in can_be_empty and (value is not None or can_be_empty[name])
    }
    return record(**kept)


@cache
def _can_be_empty(record: type) -> Mapping[str, bool]:
    """The fields of `record`, and whether None is among what each may be."""
    return {name: NoneType in get_args(kind) for name, kind in get_type_hints(record).items()}
