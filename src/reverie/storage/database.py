"""One database, two dialects: how a function over a connection is run.

Store functions are plain functions over a SQLAlchemy `Connection`. On SQLite they run in one
writer thread or a few reader threads; on PostgreSQL in the event loop through asyncpg. Either
way the caller writes `await database.write(lambda c: …)`, and that is one transaction.
"""

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from reverie.domain.errors import DatabaseUnavailable, Unavailable
from reverie.storage.bells import Heard, hear
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect
from reverie.storage.outage import is_full, is_outage, reason_of
from reverie.storage.runner import DatabaseOptions, Runner

log = structlog.get_logger(__name__)

T = TypeVar("T")

_RUNNERS: Final[Mapping[str, str]] = {
    "sqlite": "reverie.storage.sqlite:SqliteRunner",
    "postgresql": "reverie.storage.postgres:PostgresRunner",
}
"""By name, so that a server loads only the one it uses."""


class Database:
    """Runs store functions. Open it once, in `wiring`; close it last."""

    def __init__(self, options: DatabaseOptions) -> None:
        self.options = options
        self.url = make_url(options.url)
        backend = self.url.get_backend_name()
        self.dialect: Dialect = SqliteDialect() if backend == "sqlite" else PostgresDialect()
        if backend not in _RUNNERS:
            raise Unavailable(f"database URL {options.url!r} is neither sqlite:/// nor postgresql://")
        self._runner: Runner = pkgutil.resolve_name(_RUNNERS[backend])(options, self.url)

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None on PostgreSQL."""
        return Path(self.url.database) if self.dialect.name == "sqlite" and self.url.database else None

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction that sees one state of the database and changes nothing.

        Raises:
            DatabaseUnavailable: it cannot be used now.
        """
        with _outages_told():
            return await self._runner.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction of its own, committed when it returns, undone when it raises.

        Raises:
            DatabaseUnavailable: it cannot be used now; where it broke off in the commit, both may have come true.
        """
        with _outages_told():
            return await self._runner.write(fn)

    async def write_one(self, fn: Callable[[Connection], T]) -> T:
        """The same for a function that executes one statement: where each is a journey, that is the only one.

        Raises:
            DatabaseUnavailable: it cannot be used now; what broke off may have come true.
        """
        with _outages_told():
            return await self._runner.write_one(fn)

    async def listen(self, heard: Heard, missed: Callable[[], None]) -> None:
        """Hand over the bells that any process rings, until cancelled; `missed` says that some may have been lost."""
        await self._runner.listen(partial(hear, heard=heard), missed)

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        await self._runner.close()


@contextmanager
def _outages_told() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, OSError) as error:
        if not is_outage(error):
            raise
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailable:
    """What callers are told; where the database is, only the log says."""
    log.warning("database_unavailable", reason=reason_of(error))
    if is_full(error):
        return DatabaseUnavailable("nothing can be stored: the database's disk is full; free some space there")
    return DatabaseUnavailable("the database cannot be used at the moment; try again, the server's log says why")


__all__ = ["Database", "DatabaseOptions"]
