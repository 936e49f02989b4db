"""Pages of a list, cut by the place of a row and never by counting rows."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Row, RowMapping, Select, Table, func, literal, select, tuple_

from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.paging import Page
from reverie.storage.columns import Instant

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What a time that never came is compared as."""
_NOT_YET: Final = -1
"""What a number that is not known yet is compared as."""


class _Passed:
    """Where the ends of the last pages stood, so that who deletes what a page listed can go on behind it."""

    _MOST: Final = 10_000

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, ...], tuple[Any, ...]] = OrderedDict()
        self._lock = Lock()

    def keep(self, table: Table, keys: Sequence[Column[Any]], organization_id: str, row: Row[Any]) -> None:
        """Remember the place of `row`, where the query has read it."""
        found = row._mapping
        if table.c.id not in found or any(key not in found for key in keys):
            return
        name = (table.name, *(key.name for key in keys), organization_id, found[table.c.id])
        with self._lock:
            self._places[name] = tuple(found[key] for key in keys)
            self._places.move_to_end(name)
            if len(self._places) > self._MOST:
                self._places.popitem(last=False)

    def find(
        self, table: Table, keys: Sequence[Column[Any]], organization_id: str, cursor: str
    ) -> tuple[Any, ...] | None:
        """Where a row stood that is gone."""
        with self._lock:
            return self._places.get((table.name, *(key.name for key in keys), organization_id, cursor))


_passed: Final = _Passed()


def fetch_page(
    c: Connection, query: Select[Any], table: Table, page: Page, organization_id: str, what: str
) -> Sequence[RowMapping]:
    """`fetch_rows`, with each row by the names of its columns."""
    return [row._mapping for row in fetch_rows(c, query, table, page, organization_id, what)]


def fetch_rows(
    c: Connection,
    query: Select[Any],
    table: Table,
    page: Page,
    organization_id: str,
    what: str,
    *,
    by_time: bool = False,
) -> Sequence[Row[Any]]:
    """Return the rows of `query` that stand on `page`, in the requested order.

    `table` is the one whose order counts; `what` names its things in errors. With `by_time` the
    order is that of `created_at`, for things whose time a client may set; else insertion.

    Raises:
        NotFound: `after` or `before` is not a thing of the organisation.
    """
    keys = _keys(table, page.order_by, by_time=by_time)
    rising = page.order == "asc"
    if page.after is not None:
        query = query.where(_beyond(c, table, keys, page.after, organization_id, what, rising=rising))
    if page.before is not None:
        query = query.where(_beyond(c, table, keys, page.before, organization_id, what, rising=not rising))
    # The rows nearest to `before` are wanted, so the cut is made from there.
    backwards = page.before is not None and page.after is None
    query = query.order_by(*(_ordered(key, rising=rising != backwards) for key in keys))
    if page.limit is not None:
        query = query.limit(page.limit)
    rows = c.execute(query).all()
    for row in (rows[0], rows[-1]) if rows else ():
        _passed.keep(table, keys, organization_id, row)
    return rows[::-1] if backwards else rows


def _keys(table: Table, order_by: str, *, by_time: bool) -> tuple[Column[Any], ...]:
    if order_by == "created_at":
        return (table.c.created_at, table.c.seq) if by_time else (table.c.seq,)
    if order_by not in table.c:
        raise InvalidInput(f"lists of {table.name} cannot be ordered by {order_by!r}; use 'created_at'")
    return (table.c[order_by], table.c.seq)


def _ordered(key: Column[Any], *, rising: bool) -> ColumnElement[Any]:
    if not key.nullable:  # said of such a column too, the rest would keep PostgreSQL from using its index
        return key.asc() if rising else key.desc()
    # The databases disagree on where NULL stands; here it is before everything, as SQLite's indexes have it.
    return key.asc().nulls_first() if rising else key.desc().nulls_last()


def _beyond(
    c: Connection,
    table: Table,
    keys: tuple[Column[Any], ...],
    cursor: str,
    organization_id: str,
    what: str,
    *,
    rising: bool,
) -> ColumnElement[bool]:
    stored = select(*keys).where(table.c.id == cursor, table.c.organization_id == organization_id)
    place: Sequence[Any] | None = c.execute(stored).one_or_none() or _passed.find(table, keys, organization_id, cursor)
    if place is None:
        raise NotFound(what, cursor, "page cursors are ids from an earlier page")
    here = tuple_(*(func.coalesce(key, literal(_least(key), key.type)) if key.nullable else key for key in keys))
    there = tuple_(
        *(_least(key) if value is None else value for key, value in zip(keys, place, strict=True)),
        types=[key.type for key in keys],
    )
    return here > there if rising else here < there


def _least(key: Column[Any]) -> datetime | int:
    return _NEVER if isinstance(key.type, Instant) else _NOT_YET
