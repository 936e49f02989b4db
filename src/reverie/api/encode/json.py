"""Python values to JSON bytes."""

import json
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import orjson
from starlette.responses import Response

T = TypeVar("T")


def dumps(value: Any) -> bytes:
    """`value` as JSON: dates as ISO 8601 with offset, enums as their values, tuples as lists."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Numbers beyond 64 bits and halves of surrogate pairs are JSON too, and clients may have stored them.
        return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def written(value: T) -> T:
    """`value` in bytes already, for what stands in an answer many times; nothing can be read of it any more."""
    return cast(T, orjson.Fragment(dumps(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, orjson.Fragment):
        return json.loads(value.contents)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


class Json(Response, Generic[T]):
    """An answer of ready bytes. `T` is what they hold; the OpenAPI page is made from it."""

    media_type = "application/json"

    def __init__(self, content: T, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(dumps(content), status_code, headers)
