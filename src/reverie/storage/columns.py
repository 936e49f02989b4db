"""Column types shared by all tables."""

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    bindparam,
)
from sqlalchemy.dialects.postgresql import BIT, JSONB, BitString
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware UTC time, stored as microseconds since 1970 on both databases.

    Integers sort, compare and decode alike everywhere; SQLite has no time type of its own, and
    parsing text for every row cost more than the rest of the row.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return instant(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # What the base class makes of `process_result_value` calls it through two more functions.
        return instant


def instant(value: int | None) -> datetime | None:
    """The time that a number in the database stands for."""
    return None if value is None else moment(value)


def moment(value: int) -> datetime:
    """The same where there is one."""
    return _EPOCH + timedelta(microseconds=value)


class _Json(TypeDecorator[Any]):
    """JSON text on SQLite, JSONB on PostgreSQL; Python's None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True
    coerce_to_is_types = ()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # Both have the driver's reader; SQLite's is replaced below.
        return dialect.type_descriptor(JSONB(none_as_null=True) if dialect.name == "postgresql" else self.impl_instance)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # SQLAlchemy's own goes through three functions for each value, and a page of agents has hundreds.
        return _parsed if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


Json = _Json()

Serial = BigInteger().with_variant(Integer, "sqlite")
"""An automatic row number; SQLite gives one to `INTEGER PRIMARY KEY` only."""


class Vector(TypeDecorator[Sequence[float]]):
    """A vector of any length: 32-bit numbers in a row on SQLite, `real[]` on PostgreSQL.

    Both are what the distance functions of sqlite-vec and pgvector take, and both can be stored
    where those extensions are missing.
    """

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(REAL) if dialect.name == "postgresql" else LargeBinary())

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return array("f", value).tobytes()

    def process_result_value(self, value: Any, dialect: Dialect) -> Sequence[float] | None:
        return array("f", value) if isinstance(value, bytes) else value


class Signs(TypeDecorator[Sequence[float] | bytes]):
    """The signs of a vector, a bit for each number, filled up to whole bytes; `bit varying` on PostgreSQL.

    Given as the vector itself, or as the bytes that were read. How many bits of two of them differ tells
    roughly how far the vectors are apart, from a thirty-second part of the data.
    """

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BIT(varying=True) if dialect.name == "postgresql" else LargeBinary())

    def process_bind_param(self, value: Sequence[float] | bytes | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, bytes):
            return BitString.from_bytes(value) if dialect.name == "postgresql" else value
        digits = "".join(["1" if number > 0 else "0" for number in value])
        digits += "0" * (-len(digits) % 8)
        if dialect.name == "postgresql":
            return BitString(digits)
        return int(digits or "0", 2).to_bytes(len(digits) // 8)

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        return int(value, 2).to_bytes(len(value) // 8) if isinstance(value, str) else value


def member_of(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether `column` is one of the ids that the statement is given as its parameter `name`."""
    return column.in_(bindparam(name, expanding=True))
