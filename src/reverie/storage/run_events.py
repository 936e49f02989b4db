"""The stored part of event logs: background runs, some events to a row."""

from collections.abc import Sequence

import orjson
from sqlalchemy import Connection, insert, select

from reverie.domain.events import Event
from reverie.domain.ids import RunId
from reverie.storage.codec import event_adapters
from reverie.storage.schema import run_events


def append(c: Connection, run_id: RunId, first_seq: int, batch: Sequence[Event]) -> None:
    """Store `batch`, whose first event has number `first_seq`."""
    c.execute(
        insert(run_events).values(
            run_id=run_id,
            first_seq=first_seq,
            last_seq=first_seq + len(batch) - 1,
            events=orjson.dumps([(type(item).__name__, item) for item in batch]).decode(),
        )
    )


def read(c: Connection, run_id: RunId, after: int) -> list[tuple[int, Event]]:
    """Stored events with a number above `after`, in order."""
    query = (
        select(run_events.c.first_seq, run_events.c.events)
        .where(run_events.c.run_id == run_id, run_events.c.last_seq > after)
        .order_by(run_events.c.first_seq)
    )
    found: list[tuple[int, Event]] = []
    for first_seq, text in c.execute(query):
        for number, (kind, item) in enumerate(orjson.loads(text), start=first_seq):
            if number > after:
                found.append((number, event_adapters[kind].validate_python(item)))
    return found
