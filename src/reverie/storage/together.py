"""Writes that belong together and do not look at one another, sent to the database as one statement where it can.

Each statement is a journey to PostgreSQL and back, which costs both sides more than most of what is
done there. SQLite is in the process, and gets them one after the other.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.visitors import iterate

from reverie.storage.dialect import dialect_of

Write = Insert | Update | Delete


class Together:
    """Statements built once, by names; what they bind has names of its own in each.

    A look (a query of one value) sees what was there before the writes, whatever its place among them, and no two
    writes may touch the same row: PostgreSQL does them all over one state.
    """

    def __init__(self, **parts: Write | Select[Any]) -> None:
        self._parts: Final = parts
        self._binds: Final = {name: _names_in(part) for name, part in parts.items()}
        self._order: Final = sorted(parts, key=lambda name: isinstance(parts[name], Write))
        self._whole: Final = _joined(parts)

    def run(self, c: Connection, given: Mapping[str, Any]) -> dict[str, Any]:
        """The number of rows that each write touched, and the value of each look."""
        if dialect_of(c).writes_together():
            return dict(c.execute(self._whole, given).mappings().one())
        return {name: self._alone(c, name, given) for name in self._order}

    def _alone(self, c: Connection, name: str, given: Mapping[str, Any]) -> Any:
        part = self._parts[name]
        result = c.execute(part, {key: given[key] for key in self._binds[name]})
        return result.rowcount if isinstance(part, Write) else result.scalar()


def named(table: Table, names: Mapping[str, str]) -> dict[str, BindParameter[Any]]:
    """Values of columns, each bound by the name that stands for it."""
    return {column: bindparam(name, type_=table.c[column].type) for column, name in names.items()}


def inserted(table: Table, prefix: str) -> Insert:
    """An INSERT of one row whose values are bound by `prefix` and the names of their columns."""
    names = {name: f"{prefix}{name}" for name in table.columns.keys() if name != "seq"}
    return insert(table).values(named(table, names))


def _names_in(part: Write | Select[Any]) -> tuple[str, ...]:
    """The names that must be given; constants are bound too, under names of no meaning."""
    binds = [item for item in iterate(part) if isinstance(item, BindParameter)]
    return tuple(dict.fromkeys(item.key for item in binds if item.required))


def _joined(parts: Mapping[str, Write | Select[Any]]) -> Select[Any]:
    told = []
    for name, part in parts.items():
        if isinstance(part, Write):
            done = part.returning(literal_column("1").label("one")).cte(name)
            told.append(select(func.count()).select_from(done).scalar_subquery().label(name))
        else:
            told.append(part.scalar_subquery().label(name))
    return select(*told)
