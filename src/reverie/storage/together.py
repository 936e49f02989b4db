"""Writes that belong together and do not look at one another, sent to the database as one statement where it can.

Each statement is a journey to PostgreSQL and back, which costs both sides more than most of what is
done there. SQLite is in the process, and gets them one after the other.

What several functions write `later` travels together with whatever is sent next, at the latest with the end of the
transaction. Where nothing was written before, that statement is the transaction: the database is not told that one
begins and ends, which is two journeys less. No two writes of a statement may touch the same row: PostgreSQL does them
all over one state.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    event,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import BindParameter

from reverie.storage.dialect import dialect_of

Write = Insert | Update | Delete


class Overtaken(Exception):
    """Another transaction changed what this one has read; it is undone, and begun again."""


Missing = Callable[[], Exception]
"""Makes what is raised where a write touched no row, which undoes the transaction."""


def later(c: Connection, write: Write, given: Mapping[str, Any], missing: Missing | None = None) -> None:
    """Write in this transaction, at once or together with what is sent next: whatever is read sees it.

    For statements built once, whose binds are all named. With `missing`, there must be a row to write to.
    """
    queue = _queues.get(c)
    if queue is not None:
        queue.add(c, write, given, missing)
    elif not c.execute(write, given).rowcount and missing is not None:
        raise missing()


@contextmanager
def travelling_together(c: Connection) -> Iterator[None]:
    """Let what is written `later` in this block wait for company."""
    queue = _queues[c] = _Queue()
    try:
        yield
        with _by_itself(c):
            queue.send(c)
    finally:
        del _queues[c]


@contextmanager
def aside(c: Connection) -> Iterator[None]:
    """Do in this block what has nothing to do with what was written `later`, which waits on for better company.

    What is written here is a transaction of its own, unless one has begun already.
    """
    queue = _queues.get(c)
    if queue is None:
        yield
        return
    waited, queue.waits = queue.waits, True
    try:
        with _by_itself(c):
            yield
    finally:
        queue.waits = waited


def send_before_others(engine: Engine) -> None:
    """See to it that any other statement finds written what was to be written before it."""

    @event.listens_for(engine, "do_execute")
    @event.listens_for(engine, "do_executemany")
    def send(_cursor: object, _statement: str, _parameters: object, context: Any) -> None:
        queue = _queues.get(context.root_connection)
        if queue is not None and not queue.waits:
            queue.send(context.root_connection)


class _Queue:
    """The writes of one transaction that have not been sent yet. No two are to the same table."""

    def __init__(self) -> None:
        self.waits = False
        """What is sent now passes by."""
        self._writes: list[Write] = []
        self._missing: dict[Write, Missing] = {}
        self._given: dict[str, Any] = {}

    def add(self, c: Connection, write: Write, given: Mapping[str, Any], missing: Missing | None) -> None:
        if any(write.table is other.table for other in self._writes) or not self._agrees(given):
            self.send(c)
        self._writes.append(write)
        self._given.update(given)
        if missing is not None:
            self._missing[write] = missing

    def send(self, c: Connection) -> None:
        writes, missing, given = self._writes, self._missing, self._given
        if not writes:
            return
        self._writes, self._missing, self._given = [], {}, {}
        if len(writes) == 1:
            found = c.execute(writes[0], given).rowcount
            if not found and missing:
                raise missing[writes[0]]()
            return
        try:
            c.execute(_all_of(tuple(writes), frozenset(missing)), given)
        except DBAPIError as error:
            if missing and dialect_of(c).is_missing_row(error):
                raise next(iter(missing.values()))() from error
            raise

    def _agrees(self, given: Mapping[str, Any]) -> bool:
        """Whether names that are bound already stand for the same."""
        return all(given[name] == self._given[name] for name in given.keys() & self._given.keys())


_queues: Final[dict[Connection, _Queue]] = {}
"""Of the transactions that are open in blocks of `travelling_together`."""


@contextmanager
def _by_itself(c: Connection) -> Iterator[None]:
    """Let what is sent in this block be its own transaction, unless one has begun already."""
    driver: Any = c.connection.dbapi_connection
    before, driver.autocommit = driver.autocommit, True
    try:
        yield
    finally:
        driver.autocommit = before


@lru_cache(maxsize=64)
def _all_of(writes: tuple[Write, ...], required: frozenset[Write]) -> Select[Any]:
    """One statement; few sets of writes ever meet. It fails as a whole where a required one touches no row."""
    told = []
    for number, write in enumerate(writes):
        name = f"write{number}"
        done = write.returning(literal_column("1").label("one")).cte(name)
        rows: ColumnElement[Any] = func.count()
        if write in required:  # there is no other way for a statement to refuse itself
            rows = literal_column("1").op("/")(rows)
        told.append(select(rows).select_from(done).scalar_subquery().label(name))
    return select(*told)


def named(table: Table, names: Mapping[str, str]) -> dict[str, BindParameter[Any]]:
    """Values of columns, each bound by the name that stands for it."""
    return {column: bindparam(name, type_=table.c[column].type) for column, name in names.items()}


def inserted(table: Table, prefix: str) -> Insert:
    """An INSERT of one row whose values are bound by `prefix` and the names of their columns."""
    names = {name: f"{prefix}{name}" for name in table.columns.keys() if name != "seq"}
    return insert(table).values(named(table, names))
