"""One database, two dialects: how a function over a connection is run.

Store functions are plain functions over a SQLAlchemy `Connection`. On SQLite they run in one
writer thread or a few reader threads; on PostgreSQL in the event loop through asyncpg. Either
way the caller writes `await database.write(lambda c: …)`, and that is one transaction.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, SingletonThreadPool

from reverie.domain.errors import Unavailable
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect
from reverie.storage.drivers import load_vector_extension, sqlite_driver
from reverie.storage.nul import clean_json, clean_parameters_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """What the storage room is told."""

    url: str
    """`sqlite:///path/to/file.db` or `postgresql://user:password@host:port/name`."""
    sqlite_synchronous: Literal["normal", "full"] = "normal"
    """`normal` survives a killed process, `full` a power cut as well, at about ten times the cost."""
    reader_threads: int = 3
    pool_size: int = 10
    """Connections to PostgreSQL, at most twice as many under load."""
    lock_timeout_s: float = 30.0


class Database:
    """Runs store functions. Open it once, in `wiring`; close it last."""

    def __init__(self, options: DatabaseOptions) -> None:
        self.options = options
        self.url = make_url(options.url)
        backend = self.url.get_backend_name()
        self.dialect: Dialect = SqliteDialect() if backend == "sqlite" else PostgresDialect()
        self._runner: _SqliteRunner | _PostgresRunner
        if backend == "sqlite":
            self._runner = _SqliteRunner(options, self.url)
        elif backend == "postgresql":
            self._runner = _PostgresRunner(options, self.url)
        else:
            raise Unavailable(f"database URL {options.url!r} is neither sqlite:/// nor postgresql://")

    @property
    def sqlite_path(self) -> Path | None:
        """The database file; None on PostgreSQL."""
        return Path(self.url.database) if self.dialect.name == "sqlite" and self.url.database else None

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction that sees one state of the database and changes nothing."""
        return await self._runner.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction of its own, committed when it returns, undone when it raises."""
        return await self._runner.write(fn)

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        await self._runner.close()


def _orjson_text(value: Any) -> str:
    return clean_json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())


class _SqliteRunner:
    """One writer thread: SQLite has one writer anyway, and a queue in order beats lock errors."""

    def __init__(self, options: DatabaseOptions, url: URL) -> None:
        self._writer = sqlite_engine(options, url, begin="BEGIN IMMEDIATE")
        self._reader = sqlite_engine(options, url, begin="BEGIN")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._read_threads = ThreadPoolExecutor(options.reader_threads, thread_name_prefix="sqlite-reader")

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, _in_transaction, self._reader, fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        job = asyncio.get_running_loop().run_in_executor(self._write_thread, _in_transaction, self._writer, fn)
        # A cancelled caller must not leave while its transaction is still being decided:
        # what it does next (end the run, release the conversation) depends on the outcome.
        return await finish_despite_cancel(job)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._write_thread, self._writer.dispose)
        self._write_thread.shutdown(wait=True)
        self._read_threads.shutdown(wait=True)
        self._reader.dispose()


async def finish_despite_cancel(job: "asyncio.Future[T]") -> T:
    """Await `job` to its end even when the awaiting task is cancelled, then let the cancellation through."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError as error:
            if job.cancelled():
                raise
            cancelled = error
        except BaseException:  # noqa: BLE001 - the job's own failure is raised below by `result`
            break
    if cancelled is not None:
        job.exception()
        raise cancelled
    return job.result()


def _in_transaction(engine: Engine, fn: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return fn(connection)


def sqlite_engine(options: DatabaseOptions, url: URL, *, begin: str) -> Engine:
    """An engine with one connection per thread, whose transactions start with `begin`."""
    driver: ModuleType = sqlite_driver()
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        module=driver,
        poolclass=SingletonThreadPool,
        connect_args={"isolation_level": None, "timeout": options.lock_timeout_s, "check_same_thread": False},
        json_serializer=_orjson_text,
        json_deserializer=orjson.loads,
    )

    clean_parameters_of(engine)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        load_vector_extension(connection)
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={options.sqlite_synchronous.upper()}",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16000",
            "mmap_size=268435456",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        # The driver is in autocommit mode; a plain BEGIN would take the write lock too late,
        # where waiting for it is no longer possible.
        connection.exec_driver_sql(begin)

    return engine


class _PostgresRunner:
    def __init__(self, options: DatabaseOptions, url: URL) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=options.pool_size,
            max_overflow=options.pool_size,
            pool_pre_ping=False,
            pool_recycle=1800,
            json_serializer=_orjson_text,
            json_deserializer=orjson.loads,
            connect_args={"server_settings": {"application_name": "reverie", "jit": "off"}},
        )
        clean_parameters_of(self._engine.sync_engine)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            return await connection.run_sync(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await finish_despite_cancel(asyncio.ensure_future(self._write(fn)))

    async def _write(self, fn: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(fn)

    async def close(self) -> None:
        await self._engine.dispose()


def migration_engine(options: DatabaseOptions) -> AsyncEngine:
    """An engine for PostgreSQL that keeps no connection; migrations run through its `run_sync`."""
    return create_async_engine(make_url(options.url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
