"""Stores the events of background runs: what all of them told within a moment, in one transaction."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import DatabaseUnavailable
from reverie.domain.ids import RunId
from reverie.runs.log import RunLog
from reverie.storage import run_events, runs
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

AWAY_S: Final = 0.5
"""How long is waited while the database cannot be used."""
FLUSH_S: Final = 0.02
"""How long events gather before they are stored together; the end of a run does not wait."""


@dataclass(slots=True)
class _Kept:
    log: RunLog
    stored: "asyncio.Future[None]"
    place: int = 0
    """Number of the last event that was stored."""


class Scribe:
    """Lets readers of a background run see what is stored, and nothing that is not.

    `alone`: no other process may have taken one of the runs meanwhile.
    """

    def __init__(self, database: Database, worker_id: str, *, alone: bool) -> None:
        self._database = database
        self._worker_id = worker_id
        self._alone = alone
        self._kept: dict[RunId, _Kept] = {}
        self._grown: set[RunId] = set()
        self._any = asyncio.Event()
        self._urgent = asyncio.Event()
        self._storing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def keep(self, run_id: RunId, run_log: RunLog) -> "asyncio.Future[None]":
        """Store what comes into the log from now on; the future is done when the last event is stored."""
        run_log.store_first(partial(self._note, run_id))
        kept = self._kept[run_id] = _Kept(run_log, asyncio.get_running_loop().create_future(), len(run_log))
        if self._task is None:
            self._task = asyncio.create_task(self._write(), name="events")
        return kept.stored

    async def drop(self, run_id: RunId) -> None:
        """Store nothing more of a run that is another driver's; what is being stored just now is when this returns."""
        async with self._storing:
            self._forget(run_id)

    async def close(self) -> None:
        """Stop; every run has ended before."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _note(self, run_id: RunId) -> None:
        kept = self._kept.get(run_id)
        if kept is None:
            return
        self._grown.add(run_id)
        self._any.set()
        if kept.log.ended:
            self._urgent.set()

    async def _write(self) -> None:
        while True:
            await self._any.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), FLUSH_S)
            self._any.clear()
            self._urgent.clear()
            try:
                await self._store_grown()
            except DatabaseUnavailable:
                self._any.set()
                await asyncio.sleep(AWAY_S)

    async def _store_grown(self) -> None:
        async with self._storing:
            grown, self._grown = self._grown, set()
            batches: list[run_events.Batch] = [
                (run_id, kept.place + 1, kept.log.since(kept.place))
                for run_id in grown
                if (kept := self._kept.get(run_id)) is not None and kept.place < len(kept.log)
            ]
            try:
                await self._store(batches)
            except DatabaseUnavailable:
                self._grown |= grown
                raise
            for run_id, first, batch in batches:
                self._show(run_id, first + len(batch) - 1)

    async def _store(self, batches: list[run_events.Batch]) -> None:
        def store(c: Connection) -> set[RunId]:
            mine = {run_id for run_id, *_ in batches}
            lost = set() if self._alone else mine - runs.held(c, mine, self._worker_id)
            run_events.append_all(c, [batch for batch in batches if batch[0] not in lost])
            return lost

        try:
            for run_id in await self._database.write(store):
                self._forget(run_id)
        except IntegrityError:  # one of the runs was deleted with its agent; the others must not suffer from it
            for batch in batches if len(batches) > 1 else []:
                await self._store([batch])
        except DatabaseUnavailable:
            raise
        except Exception:  # the log is a convenience of readers; the run itself is stored elsewhere
            log.exception("events_not_stored", run_ids=[run_id for run_id, *_ in batches])

    def _show(self, run_id: RunId, place: int) -> None:
        kept = self._kept.get(run_id)
        if kept is None:
            return
        kept.place = place
        kept.log.show(place)
        if kept.log.ended and place == len(kept.log):
            del self._kept[run_id]
            kept.stored.set_result(None)

    def _forget(self, run_id: RunId) -> None:
        kept = self._kept.pop(run_id, None)
        if kept is not None:
            kept.log.close()
            kept.stored.set_result(None)
