"""Between rows and records: columns and fields share their names, so one map serves each noun."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, delete, insert, update

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Form:
    """How a value differs between a record and a row."""

    load: Callable[[Any], Any]
    dump: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


TUPLE: Final = Form(tuple, list)
"""A tuple of JSON values."""


def loaded_by(load: Callable[[Any], Any]) -> Form:
    """For values that are written as they are (the JSON serialiser knows dataclasses and enums)."""
    return Form(load, _same)


class RowMap(Generic[R]):
    """Maps the rows of `table` to records of one kind; `absent` fields are not columns."""

    def __init__(
        self, table: Table, record: type[R], forms: Mapping[str, Form], absent: frozenset[str] = frozenset()
    ) -> None:
        self.table = table
        self._record = record
        self._forms = forms
        self._insert = insert(table)
        columns = list(table.columns.keys())
        self._names = tuple(
            item.name
            for item in fields(record)  # type: ignore[arg-type]  # every record is a dataclass
            if item.name not in absent
        )
        self._places = itemgetter(*(columns.index(name) for name in self._names))

    def record(self, row: RowMapping, **absent: Any) -> R:
        """The record of `row` with its `absent` fields; columns that are no fields are passed over."""
        return self._build({name: row[name] for name in self._names}, absent)

    def read(self, row: Sequence[Any], **absent: Any) -> R:
        """The same from a row of `select(table)`, by place: for lists, where looking up names takes longest."""
        return self._build(dict(zip(self._names, self._places(row), strict=True)), absent)

    def _build(self, values: dict[str, Any], absent: Mapping[str, Any]) -> R:
        for name, form in self._forms.items():
            if values[name] is not None:
                values[name] = form.load(values[name])
        return self._record(**values, **absent)

    def values(self, record: R) -> dict[str, Any]:
        """The columns of `record`."""
        values = {name: getattr(record, name) for name in self._names}
        for name, form in self._forms.items():
            if values[name] is not None:
                values[name] = form.dump(values[name])
        return values

    def insert(self, c: Connection, *records: R) -> None:
        """Store new records, in order."""
        if records:
            c.execute(self._insert, [self.values(record) for record in records])

    def update(self, c: Connection, before: R, after: R) -> None:
        """Store what differs, and nothing else: another writer may have changed the rest meanwhile."""
        old, fresh = self.values(before), self.values(after)
        changed = {name: value for name, value in fresh.items() if value != old[name]}
        if changed:
            c.execute(update(self.table).where(self.table.c.id == fresh["id"]).values(changed))

    def delete(self, c: Connection, record_id: str) -> None:
        """Remove one row, and by the database's rules what hangs on it."""
        c.execute(delete(self.table).where(self.table.c.id == record_id))


def equals(*pairs: tuple[ColumnElement[Any], object]) -> list[ColumnElement[bool]]:
    """The conditions of those pairs whose wanted value is not None."""
    return [column == wanted for column, wanted in pairs if wanted is not None]


def within(column: ColumnElement[datetime], start: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    """The conditions of a stretch of time, both ends included; None: open."""
    conditions = []
    if start is not None:
        conditions.append(column >= start)
    if end is not None:
        conditions.append(column <= end)
    return conditions


def contains(*pairs: tuple[ColumnElement[Any], str | None]) -> list[ColumnElement[bool]]:
    """Likewise for parts of texts, without regard to case."""
    return [column.icontains(part, autoescape=True) for column, part in pairs if part]
