"""The stored part of event logs: background runs, some events to a row."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import orjson
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select

from reverie.domain.events import Event
from reverie.domain.ids import RunId
from reverie.storage import bells
from reverie.storage.codec import load_event
from reverie.storage.schema import run_events

Batch: TypeAlias = tuple[RunId, int, Sequence[Event]]
"""A run, the number of the first event, and the events."""

_append = insert(run_events)
_read = (
    select(run_events.c.first_seq, run_events.c.events)
    .where(run_events.c.run_id == bindparam("run"), run_events.c.last_seq > bindparam("seen"))
    .order_by(run_events.c.first_seq)
)
_last = select(func.max(run_events.c.last_seq)).where(run_events.c.run_id == bindparam("run"))


def append(c: Connection, run_id: RunId, first_seq: int, batch: Sequence[Event]) -> None:
    """Store `batch`, whose first event has number `first_seq`."""
    append_all(c, [(run_id, first_seq, batch)])


def append_all(c: Connection, batches: Sequence[Batch]) -> None:
    """Store events of several runs. Followers elsewhere are told."""
    if not batches:
        return
    c.execute(
        _append,
        [
            {
                "run_id": run_id,
                "first_seq": first_seq,
                "last_seq": first_seq + len(batch) - 1,
                "events": orjson.dumps([(type(item).__name__, item) for item in batch]).decode(),
            }
            for run_id, first_seq, batch in batches
        ],
    )
    bells.ring(c, "events", [run_id for run_id, *_ in batches])


def read(c: Connection, run_id: RunId, after: int) -> list[tuple[int, Event]]:
    """Stored events with a number above `after`, in order."""
    return _events(c.execute(_read, {"run": run_id, "seen": after}), after)


def count(c: Connection, run_id: RunId) -> int:
    """How many events are stored, which is the number of the last one."""
    return c.execute(_last, {"run": run_id}).scalar() or 0


def read_all(c: Connection, places: Mapping[RunId, int]) -> dict[RunId, list[tuple[int, Event]]]:
    """The same for several runs, each above its own number; those without fresh events are left out."""
    found: dict[RunId, list[tuple[int, Event]]] = {}
    query = select(run_events.c.run_id, run_events.c.first_seq, run_events.c.events).where(
        or_(*(and_(run_events.c.run_id == run_id, run_events.c.last_seq > after) for run_id, after in places.items()))
    )
    for run_id, rows in groupby(c.execute(query.order_by(run_events.c.run_id, run_events.c.first_seq)), itemgetter(0)):
        found[run_id] = _events([row[1:] for row in rows], places[run_id])
    return found


def _events(rows: Iterable[Any], after: int) -> list[tuple[int, Event]]:
    found: list[tuple[int, Event]] = []
    for first_seq, text in rows:
        for number, (kind, item) in enumerate(orjson.loads(text), start=first_seq):
            if number > after:
                found.append((number, load_event[kind](item)))
    return found
