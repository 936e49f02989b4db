"""Processes that drive runs, and how others see that one has died."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from reverie.storage import bells
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect, dialect_of
from reverie.storage.schema import workers


def _beating(dialect: Dialect) -> Any:
    fresh = dialect.insert(workers).values({name: bindparam(name) for name in workers.columns.keys()})
    return fresh.on_conflict_do_update(index_elements=["id"], set_={"lease_until": fresh.excluded.lease_until})


# Built once: they are what a server does at rest.
_beat: Final = {dialect.name: _beating(dialect) for dialect in (SqliteDialect(), PostgresDialect())}
_others: Final = select(workers.c.id, workers.c.host, workers.c.pid, workers.c.lease_until).where(
    workers.c.id != bindparam("own")
)


class Other(NamedTuple):
    """A worker, as it was last heard of."""

    id: str
    host: str
    pid: int
    lease_until: datetime


def beat(c: Connection, worker_id: str, host: str, pid: int, lease_until: datetime) -> None:
    """Say that the worker lives, until `lease_until`; by one statement, which rings for it as well."""
    given = {"id": worker_id, "host": host, "pid": pid, "lease_until": lease_until}
    bells.ring_with(c, _beat[dialect_of(c).name], given, "workers", worker_id)


def others(c: Connection, worker_id: str) -> list[Other]:
    """Every other worker."""
    return [Other(*row) for row in c.execute(_others, {"own": worker_id})]


def forget(c: Connection, worker_id: str) -> None:
    """Remove a worker that has ended, or whose runs were all dealt with."""
    c.execute(delete(workers).where(workers.c.id == worker_id))
