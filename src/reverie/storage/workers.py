"""Processes that drive runs, and how others see that one has died."""

from datetime import datetime

from sqlalchemy import Connection, delete, select

from reverie.storage.dialect import dialect_of
from reverie.storage.schema import workers


def beat(c: Connection, worker_id: str, host: str, pid: int, lease_until: datetime) -> None:
    """Say that the worker lives, until `lease_until`."""
    values = {"id": worker_id, "host": host, "pid": pid, "lease_until": lease_until}
    query = dialect_of(c).insert(workers).values(values)
    c.execute(query.on_conflict_do_update(index_elements=["id"], set_={"lease_until": lease_until}))


def others(c: Connection, worker_id: str) -> list[tuple[str, str, int, datetime]]:
    """Id, host, pid and lease of every other worker."""
    query = select(workers.c.id, workers.c.host, workers.c.pid, workers.c.lease_until)
    return [tuple(row) for row in c.execute(query.where(workers.c.id != worker_id))]


def forget(c: Connection, worker_id: str) -> None:
    """Remove a worker that has ended, or whose runs were all dealt with."""
    c.execute(delete(workers).where(workers.c.id == worker_id))
