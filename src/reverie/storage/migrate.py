"""Brings the schema up to date at start: a look at the version, and Alembic only when it is behind."""

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from reverie.domain.errors import Unavailable
from reverie.storage.migrations import known_revisions
from reverie.storage.outage import is_full, reason_of
from reverie.storage.runner import DatabaseOptions
from reverie.storage.sqlite import sqlite_engine

Progress = Callable[[str], None]
_LOCK: Final = 0x72657665  # "reve"; any number will do as long as it never changes


def _silent(_: str) -> None:
    """Report nothing."""


async def bring_up_to_date(options: DatabaseOptions, progress: Progress = _silent) -> None:
    """Bring the database's schema to the newest revision this program knows.

    Everything happens in one transaction under a lock: of several servers that start at once one
    migrates and the others wait and find it done. A SQLite file that holds data is copied first.

    Raises:
        Unavailable: the database is newer than this program, or out of reach.
    """
    try:
        if make_url(options.url).get_backend_name() == "sqlite":
            await asyncio.to_thread(_sqlite, options, progress)
        else:
            await _postgresql(options, progress)
    except (DBAPIError, OSError) as error:
        raise Unavailable(_cannot_open(options, error)) from error


async def schema_version(options: DatabaseOptions) -> str | None:
    """The revision of the database's schema; None: it has none yet."""
    if make_url(options.url).get_backend_name() == "sqlite":
        return await asyncio.to_thread(_sqlite_version, options)
    engine = _postgresql_engine(options)
    try:
        async with engine.connect() as connection:
            version: str | None = await connection.run_sync(_version)
            return version
    finally:
        await engine.dispose()


def _sqlite(options: DatabaseOptions, progress: Progress) -> None:
    path = make_url(options.url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    if _is_current(_sqlite_version(options), options):
        return
    engine = sqlite_engine(options, make_url(options.url), begin="BEGIN IMMEDIATE")

    @event.listens_for(engine, "connect")
    def allow_rebuilding(connection: Any, _record: object) -> None:
        # Altering a table may mean building it anew and dropping the old one, which would
        # cascade into everything that refers to it. Has no effect inside a transaction.
        connection.execute("PRAGMA foreign_keys=OFF")
        # Views over such a table would be errors for as long as it is away.
        connection.execute("PRAGMA legacy_alter_table=ON")

    try:
        with engine.begin() as connection:  # the write lock: another server that starts waits here
            version = _version(connection)
            if _is_current(version, options):
                return
            if version is not None and path:
                _copy(options, Path(path), version, progress)
            _upgrade(connection, version, progress)
            if broken := connection.execute(text("PRAGMA foreign_key_check")).first():
                raise Unavailable(f"the migration would leave rows without what they refer to ({broken}); undone")
    finally:
        engine.dispose()


def _copy(options: DatabaseOptions, path: Path, version: str, progress: Progress) -> None:
    """Copy the file as it was committed last; a reader may do so while the writer holds its lock."""
    target = path.with_name(f"{path.name}.before-{known_revisions()[-1]}")
    progress(f"database schema: {version} is older than this program; copying the database to {target}")
    source = _file_engine(options, path)
    copy = _file_engine(options, target)
    target.unlink(missing_ok=True)
    try:
        with source.connect() as from_, copy.connect() as to:
            from_.connection.driver_connection.backup(to.connection.driver_connection)  # type: ignore[union-attr]
    finally:
        source.dispose()
        copy.dispose()


def _file_engine(options: DatabaseOptions, path: Path) -> Engine:
    return sqlite_engine(options, make_url("sqlite://").set(database=str(path)), begin="BEGIN")


def _sqlite_version(options: DatabaseOptions) -> str | None:
    engine = sqlite_engine(options, make_url(options.url), begin="BEGIN")
    try:
        with engine.connect() as connection:
            return _version(connection)
    finally:
        engine.dispose()


async def _postgresql(options: DatabaseOptions, progress: Progress) -> None:
    engine = _postgresql_engine(options)
    try:
        async with engine.connect() as connection:
            version = await connection.run_sync(_version)
        if _is_current(version, options):
            return
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            version = await connection.run_sync(_version)
            if not _is_current(version, options):
                await connection.run_sync(_upgrade, version, progress)
    finally:
        await engine.dispose()


def _postgresql_engine(options: DatabaseOptions) -> Any:
    # Not imported above: SQLite has no use for SQLAlchemy's asyncio part.
    return importlib.import_module("reverie.storage.postgres").migration_engine(options)


def _upgrade(c: Connection, version: str | None, progress: Progress) -> None:
    if version is None:  # whoever starts for the first time has no use for the steps by which the schema grew
        progress(f"database schema: making it, as of {known_revisions()[-1]}")
    # Alembic takes 80 ms and 15 MB to import, and hardly any start needs it.
    history = importlib.import_module("reverie.storage.migrations.history")
    history.upgrade(c, _silent if version is None else progress)


def _version(c: Connection) -> str | None:
    if c.dialect.name == "sqlite":
        there = c.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")).first()
    else:
        there = c.execute(text("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL")).first()
    if there is None:
        return None
    found = c.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def _is_current(version: str | None, options: DatabaseOptions) -> bool:
    known = known_revisions()
    if version is not None and version not in known:
        raise Unavailable(
            f"the database {_shown(options)} was written by a newer version of this program (schema {version}, "
            f"known here up to {known[-1]}); install that version or a later one"
        )
    return version == known[-1]


def _shown(options: DatabaseOptions) -> str:
    return repr(make_url(options.url).render_as_string(hide_password=True))


def _cannot_open(options: DatabaseOptions, error: Exception) -> str:
    """What the driver said, in one line, and what to look at."""
    if is_full(error):
        remedy = "free some space on its disk, or choose another data directory"
    elif make_url(options.url).get_backend_name() == "sqlite":
        remedy = "check who owns it and that it is a database of this server, or choose another data directory"
    else:
        remedy = "check that PostgreSQL runs there and that the address, user and password are right"
    return f"cannot open the database {_shown(options)}: {reason_of(error)}; {remedy}"
