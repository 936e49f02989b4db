"""Python values to JSON bytes."""

from typing import Any, Generic, TypeVar

import orjson
from starlette.responses import Response

T = TypeVar("T")


def dumps(value: Any) -> bytes:
    """`value` as JSON: dates as ISO 8601 with offset, enums as their values, tuples as lists."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """What orjson does not take: a stored setting may hold anything that once was JSON."""
    if isinstance(value, int):
        return float(value)  # beyond 64 bits
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


class Json(Response, Generic[T]):
    """An answer of ready bytes. `T` is what they hold; the OpenAPI page is made from it."""

    media_type = "application/json"

    def __init__(self, content: T, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(dumps(content), status_code, headers)
