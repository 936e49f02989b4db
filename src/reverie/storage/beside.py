"""A row with the lists that belong to it, read by one statement where each statement is a journey.

PostgreSQL gathers each list into one JSON value; SQLite is in the process, and is asked list by list.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, func
from sqlalchemy.dialects.postgresql import aggregate_order_by

from reverie.storage.columns import Instant, Json, instant
from reverie.storage.dialect import dialect_of

Lists = Mapping[str, Sequence[Sequence[Any]]]
"""By name, the rows of each list, their values by place."""


class Listed:
    """The rows of a query of a whole table, in the order of a column."""

    def __init__(self, rows: Select[Any], by: ColumnElement[Any]) -> None:
        columns = rows.selected_columns
        values: Any = func.json_build_array(*columns)
        self.rows: Final = rows.order_by(by)
        self.gathered: Final = rows.with_only_columns(func.json_agg(aggregate_order_by(values, by), type_=Json))
        self._instants: Final = [place for place, one in enumerate(columns) if isinstance(one.type, Instant)]

    def told(self, gathered: Sequence[list[Any]] | None) -> Sequence[Sequence[Any]]:
        """The rows of a `gathered` value, which is NULL where there are none."""
        for row in gathered or ():
            for place in self._instants:
                row[place] = instant(row[place])
        return gathered or ()


class Beside:
    """A query of one row, and lists that go by the same parameters."""

    def __init__(self, one: Select[Any], **lists: Listed) -> None:
        self._one: Final = one
        self._lists: Final = lists
        gathered = [listed.gathered.scalar_subquery().label(name) for name, listed in lists.items()]
        self._whole: Final = one.add_columns(*gathered)

    def read(self, c: Connection, given: Mapping[str, Any]) -> tuple[Row[Any], Lists] | None:
        """The row, which may have more columns at its end, and the lists; None where there is no such row."""
        together = dialect_of(c).writes_together()
        row = c.execute(self._whole if together else self._one, given).one_or_none()
        if row is None:
            return None
        if not together:
            return row, {name: c.execute(listed.rows, given).all() for name, listed in self._lists.items()}
        return row, {name: listed.told(getattr(row, name)) for name, listed in self._lists.items()}
