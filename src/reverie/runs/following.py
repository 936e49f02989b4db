"""The events of runs that this process does not drive: told from what is stored."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from sqlalchemy import Connection

from reverie.domain.events import Event, RunEnded, RunFailure
from reverie.domain.ids import OrganizationId, RunId
from reverie.domain.run import Run
from reverie.domain.stop_reason import StopReason
from reverie.runs import workers
from reverie.storage import run_events, runs
from reverie.storage.database import Database

POLL_S: Final = 0.1
"""How often another process's run is looked at by those who wait for it."""


async def follow_stored(
    database: Database, organization_id: OrganizationId, run_id: RunId, after: int
) -> AsyncGenerator[tuple[int, Event], None]:
    """Numbered events above `after` as they are stored, up to the last one.

    Raises:
        NotFound: no such run.
    """
    place = after
    while True:
        run = await database.read(lambda c: runs.get(c, organization_id, run_id))
        stored = await database.read(lambda c, seen=place: run_events.read(c, run_id, seen))  # type: ignore[misc]
        for number, event in stored:
            place = number
            yield number, event
            if isinstance(event, RunEnded):
                return
        if run.status.is_final and not stored:
            for number, event in await database.read(lambda c, run=run: _rest(c, run)):  # type: ignore[misc]
                if number > place:
                    yield number, event
            return
        await asyncio.sleep(POLL_S)


def _rest(c: Connection, run: Run) -> list[tuple[int, Event]]:
    """The end of an ended run whose process died before its last events were stored."""
    first, saved = workers.unlogged(c, run)
    error: dict[str, Any] = dict(run.error or {})
    failure = RunFailure(**error) if error else None
    last = RunEnded(run_id=run.id, stop_reason=run.stop_reason or StopReason.ERROR, usage=run.usage, failure=failure)
    return list(enumerate([*saved, last], start=first))
