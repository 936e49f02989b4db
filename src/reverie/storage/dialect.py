"""All that differs between SQLite and PostgreSQL. Every other query is written once."""

from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    Integer,
    Select,
    Table,
    Text,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError


class Dialect(ABC):
    """The handful of hooks that store functions need."""

    name: str

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""

    @abstractmethod
    def json_list_holds(self, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        """Whether the JSON list in `column` holds `text`."""

    @abstractmethod
    def json_integer(self, column: ColumnElement[Any], key: str) -> ColumnElement[int]:
        """The number that the JSON object in `column` holds under `key`."""

    @abstractmethod
    def is_unique_violation(self, error: IntegrityError) -> bool:
        """Whether a unique constraint refused the row."""

    @abstractmethod
    def is_missing_row(self, error: DBAPIError) -> bool:
        """Whether a write needs a row that is not there: one that it is to touch, or that it refers to."""

    @abstractmethod
    def rings(self) -> bool:
        """Whether other processes can be told of something (`storage.bells`)."""

    @abstractmethod
    def writes_together(self) -> bool:
        """Whether one statement can hold several writes (`storage.together`), and is worth it."""

    @abstractmethod
    def version(self, table: Table) -> ColumnElement[str]:
        """Something that differs after each change of a row by another transaction; constant where there are none."""

    @abstractmethod
    def skip_locked(self, query: Select[Any], table: Table) -> Select[Any]:
        """`query` that holds the rows of `table` it finds, and passes over what another transaction holds."""


class SqliteDialect(Dialect):
    """SQLite 3.35 or later."""

    name = "sqlite"

    def insert(self, table: Table) -> Insert:
        return sqlite.insert(table)

    def json_list_holds(self, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        items = func.json_each(column).table_valued("value")
        return exists(select(literal(1)).select_from(items).where(items.c.value == text))

    def json_integer(self, column: ColumnElement[Any], key: str) -> ColumnElement[int]:
        return func.json_extract(column, f"$.{key}", type_=Integer)

    def is_unique_violation(self, error: IntegrityError) -> bool:
        return "UNIQUE constraint failed" in str(error.orig)

    def is_missing_row(self, error: DBAPIError) -> bool:
        return "FOREIGN KEY constraint failed" in str(error.orig)

    def rings(self) -> bool:
        return False

    def writes_together(self) -> bool:
        return False

    def version(self, table: Table) -> ColumnElement[str]:
        return literal("")  # there is one writer

    def skip_locked(self, query: Select[Any], table: Table) -> Select[Any]:
        return query  # likewise


class PostgresDialect(Dialect):
    """PostgreSQL 14 or later, with pgvector where vectors are wanted."""

    name = "postgresql"

    def insert(self, table: Table) -> Insert:
        return postgresql.insert(table)

    def json_list_holds(self, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return type_coerce(column, postgresql.JSONB).contains([text])

    def json_integer(self, column: ColumnElement[Any], key: str) -> ColumnElement[int]:
        return cast(type_coerce(column, postgresql.JSONB)[key].astext, Integer)

    def is_unique_violation(self, error: IntegrityError) -> bool:
        return getattr(error.orig, "sqlstate", None) == "23505"

    def is_missing_row(self, error: DBAPIError) -> bool:
        # Broken references, and the division by no rows of `storage.together`.
        return getattr(error.orig, "sqlstate", None) in ("23503", "22012")

    def rings(self) -> bool:
        return True

    def writes_together(self) -> bool:
        return True

    def version(self, table: Table) -> ColumnElement[str]:
        return cast(literal_column(f"{table.name}.xmin"), Text)

    def skip_locked(self, query: Select[Any], table: Table) -> Select[Any]:
        return query.with_for_update(of=table, skip_locked=True)


def dialect_of(connection: Any) -> Dialect:
    """The dialect that `connection` speaks."""
    return SqliteDialect() if connection.dialect.name == "sqlite" else PostgresDialect()
