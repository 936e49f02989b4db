"""Pages of a list, cut by the place of a row and never by counting rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, func, select, tuple_

from reverie.domain.errors import NotFound
from reverie.domain.paging import Page


def fetch_page(
    c: Connection,
    query: Select[Any],
    table: Table,
    page: Page,
    organization_id: str,
    what: str,
    *,
    by_time: bool = False,
) -> Sequence[RowMapping]:
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
    query = query.order_by(*(key.asc() if rising != backwards else key.desc() for key in keys))
    if page.limit is not None:
        query = query.limit(page.limit)
    rows = c.execute(query).mappings().all()
    return rows[::-1] if backwards else rows


def _keys(table: Table, order_by: str, *, by_time: bool) -> tuple[ColumnElement[Any], ...]:
    if order_by == "created_at":
        return (table.c.created_at, table.c.seq) if by_time else (table.c.seq,)
    column = table.c[order_by]
    # The databases disagree on where NULL sorts; here it is before everything.
    return (func.coalesce(column, _BEGINNING, type_=column.type) if column.nullable else column, table.c.seq)


_BEGINNING = 0


def _beyond(
    c: Connection,
    table: Table,
    keys: tuple[ColumnElement[Any], ...],
    cursor: str,
    organization_id: str,
    what: str,
    *,
    rising: bool,
) -> ColumnElement[bool]:
    place = c.execute(
        select(*keys).where(table.c.id == cursor, table.c.organization_id == organization_id)
    ).one_or_none()
    if place is None:
        raise NotFound(what, cursor, "page cursors are ids from an earlier page")
    here = tuple_(*keys)
    there = tuple_(*place, types=[key.type for key in keys])
    return here > there if rising else here < there
