"""SQLite: one writer thread, a few reader threads, and how a connection is made."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import SingletonThreadPool

from reverie.storage.drivers import load_vector_extension, sqlite_driver
from reverie.storage.nul import clean_parameters_of
from reverie.storage.runner import DatabaseOptions, finish_despite_cancel, json_text

T = TypeVar("T")


class SqliteRunner:
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

    async def write_one(self, fn: Callable[[Connection], T]) -> T:
        return await self.write(fn)

    async def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        """There is no other process that could ring."""

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._write_thread, self._writer.dispose)
        self._write_thread.shutdown(wait=True)
        self._read_threads.shutdown(wait=True)
        self._reader.dispose()


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
        json_serializer=json_text,
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

    def start(dbapi_connection: Any) -> None:
        dbapi_connection.cursor().execute(begin)

    # The driver is in autocommit mode, and SQLAlchemy's own does nothing here: a plain BEGIN would take the write
    # lock too late, where waiting for it is no longer possible. To listen for the event costs every transaction more.
    engine.dialect.do_begin = start  # type: ignore[method-assign]
    return engine
