"""One server for each SQLite file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reverie.domain.errors import Unavailable

try:
    import fcntl
except ImportError:  # not on this platform: SQLite's own locks still keep the file whole
    fcntl = None  # type: ignore[assignment]


@contextmanager
def hold_file(database: Path) -> Iterator[None]:
    """Hold the database file for this process; the lock goes with the process, however it ends.

    Raises:
        Unavailable: another server holds it.
    """
    lock = os.open(database.with_name(database.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Unavailable(
                    f"another server has the database {str(database)!r} open; stop it, give this one a data directory "
                    "of its own with --data-dir, or use PostgreSQL for several servers"
                ) from error
        yield
    finally:
        os.close(lock)
