"""Callbacks waiting to be made: one row for each, taken by one process at a time."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from reverie.domain.callback import Callback
from reverie.storage.rows import RowMap
from reverie.storage.schema import batches, callbacks, runs

_map = RowMap(callbacks, Callback, {})


def insert_callback(c: Connection, callback: Callback) -> None:
    """Store one, in the transaction that stores what it tells of."""
    _map.insert(c, callback)


def claim(c: Connection, now: datetime, lease: timedelta, limit: int) -> list[Callback]:
    """Take what is due for as long as `lease`; nobody else gets it before that has passed."""
    query = select(callbacks).where(callbacks.c.due_at <= now).order_by(callbacks.c.due_at).limit(limit)
    found = [_map.read(row) for row in c.execute(query.with_for_update(skip_locked=True)).all()]
    if found:
        ids = [item.id for item in found]
        c.execute(update(callbacks).where(callbacks.c.id.in_(ids)).values(due_at=now + lease))
    return found


def next_due(c: Connection) -> datetime | None:
    """When the next one is due; None: none is waiting."""
    return c.execute(select(func.min(callbacks.c.due_at))).scalar()


def record(
    c: Connection,
    callback: Callback,
    *,
    now: datetime,
    status_code: int | None,
    error: str | None,
    again_at: datetime | None,
) -> None:
    """Store what came of an attempt; None as `again_at`: it was the last one."""
    told = {"callback_sent_at": now, "callback_status_code": status_code, "callback_error": error}
    owners = batches if callback.owner_id.startswith("job-") else runs
    c.execute(update(owners).where(owners.c.id == callback.owner_id).values(told))
    if again_at is None:
        c.execute(delete(callbacks).where(callbacks.c.id == callback.id))
    else:
        values = {"attempts": callback.attempts + 1, "due_at": again_at}
        c.execute(update(callbacks).where(callbacks.c.id == callback.id).values(values))
