"""PostgreSQL through asyncpg.

Loaded when a URL says so: SQLAlchemy's asyncio part brings its whole ORM along (60 ms, 8 MB).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

import orjson
import structlog
from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from reverie.storage.bells import CHANNEL
from reverie.storage.nul import clean_parameters_of
from reverie.storage.outage import reason_of
from reverie.storage.runner import DatabaseOptions, finish_despite_cancel, json_text
from reverie.storage.together import Overtaken, send_before_others, travelling_together

log = structlog.get_logger(__name__)

T = TypeVar("T")

DEADLOCK: Final = "40P01"
WRITE_ATTEMPTS: Final = 4
_SETTINGS: Final = {
    "application_name": "reverie",
    # Both cost more than our statements, which read a few hundred rows: a search of 2 ms waited for two processes.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
LISTEN_AGAIN_S: Final = 0.5
LISTEN_CHECK_S: Final = 15.0
"""How often a connection that only listens is tried."""


class PostgresRunner:
    """A pool of connections in the event loop."""

    def __init__(self, options: DatabaseOptions, url: URL) -> None:
        self._url = url
        self._engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=options.pool_size,
            max_overflow=options.pool_size,
            pool_pre_ping=False,
            # The connection used last has the statements prepared and planned that the next transaction wants.
            pool_use_lifo=True,
            pool_recycle=1800,
            json_serializer=json_text,
            json_deserializer=orjson.loads,
            connect_args={"server_settings": _SETTINGS},
        )
        send_before_others(self._engine.sync_engine)
        clean_parameters_of(self._engine.sync_engine)
        # Each statement sees what is committed when it begins, within a transaction or not; without one a read, or
        # a write of one statement, does not go to the database twice more to say that it begins and ends.
        self._by_statements = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await greenlet_spawn(_on_connection, self._by_statements.sync_engine, fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await self._write(partial(_in_transaction, self._engine.sync_engine, fn))

    async def write_one(self, fn: Callable[[Connection], T]) -> T:
        return await self._write(partial(_on_connection, self._by_statements.sync_engine, fn))

    async def _write(self, job: Callable[[], T]) -> T:
        return await finish_despite_cancel(asyncio.ensure_future(self._write_in_turn(job)))

    async def _write_in_turn(self, job: Callable[[], T]) -> T:
        """Write, and once more where two writers held each other up: one of them was undone whole."""
        for attempt in count(1):
            try:
                return await greenlet_spawn(job)
            except Overtaken:  # by one that got on, so this cannot go on for ever
                continue
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != DEADLOCK or attempt >= WRITE_ATTEMPTS:
                    raise
        raise AssertionError("an attempt returns or raises")

    async def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        engine = _engine_without_pool(self._url)
        while True:
            try:
                async with engine.connect() as connection:
                    await _listen(connection, heard, missed)
            except (DBAPIError, OSError, PostgresError, InterfaceError) as error:
                log.warning("bells_not_heard", error=str(error).partition("\n")[0])
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def close(self) -> None:
        await self._engine.dispose()


# Each runs in a greenlet that the driver's waiting suspends: one for all steps of a transaction, since to make
# one for each step, as the asynchronous face of an engine does, costs more than a statement.


def _in_transaction(engine: Engine, fn: Callable[[Connection], T]) -> T:
    with _connected(engine) as connection, connection.begin(), travelling_together(connection):
        return fn(connection)


def _on_connection(engine: Engine, fn: Callable[[Connection], T]) -> T:
    with _connected(engine) as connection:
        return fn(connection)


def _connected(engine: Engine) -> Connection:
    """A connection of the pool.

    Raises:
        ConnectionError: the database lets nobody in, as while it starts.
    """
    try:
        return engine.connect()
    except (DBAPIError, PostgresError, InterfaceError) as error:
        raise ConnectionError(reason_of(error)) from error


async def _listen(connection: AsyncConnection, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
    """Listen on a connection of its own until it breaks."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    broken = asyncio.Event()
    driver.add_termination_listener(lambda _: broken.set())
    await driver.add_listener(CHANNEL, lambda _connection, _pid, _channel, text: heard(text))
    missed()  # whatever was rung before now
    while not broken.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(broken.wait(), LISTEN_CHECK_S)
        await driver.execute("SELECT 1")  # a line that was cut without a word is found out


def migration_engine(options: DatabaseOptions) -> AsyncEngine:
    """An engine for PostgreSQL that keeps no connection; migrations run through its `run_sync`."""
    return _engine_without_pool(make_url(options.url))


def _engine_without_pool(url: URL) -> AsyncEngine:
    return create_async_engine(url.set(drivername="postgresql+asyncpg"), poolclass=NullPool)
