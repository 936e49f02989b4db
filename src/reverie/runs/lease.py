"""This process's lease while it lives, and the end of what dead processes left."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from reverie.domain.clock import Clock
from reverie.domain.errors import DatabaseUnavailable
from reverie.domain.ids import RunId
from reverie.runs import workers
from reverie.runs.bells import Bells
from reverie.runs.left import LeftRun
from reverie.runs.live import LiveRuns
from reverie.runs.workers import Worker
from reverie.storage import runs, waiting
from reverie.storage.database import Database
from reverie.storage.workers import Other
from reverie.storage.workers import forget as forget_worker
from reverie.storage.workers import others as other_workers

log = structlog.get_logger(__name__)

HEAR_S: Final = 1.0
"""Longest time until a run hears that it was cancelled through another process."""


class Lease:
    """Says that this process lives, and ends the runs of those that do not. `alone`: there are no others."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        live: LiveRuns,
        bells: Bells,
        *,
        lease_s: float,
        attempts: int,
        alone: bool,
    ) -> None:
        self.worker = Worker.here()
        self._database = database
        self._clock = clock
        self._live = live
        self._bells = bells
        self._lease = timedelta(seconds=lease_s)
        self._attempts = attempts
        self._alone = alone
        self._next_beat: datetime | None = None
        self._others: list[Other] = []
        """Other processes, as they were last looked at."""
        self._look_at = clock()
        """When they are looked at again, unless one is seen to have died."""
        self._heard_until = clock()
        bells.on("workers", self._hear)
        self._pulse: asyncio.Task[None] | None = None

    @property
    def hears(self) -> bool:
        """Whether bells of other processes reach this one, as its own lately did: connections may be pooled, or cut."""
        return self._alone or self._clock() < self._heard_until

    async def start(self) -> None:
        """Take a lease, end what dead processes left, and keep the lease."""
        await self._database.write(self._begin)
        self._pulse = asyncio.create_task(self._keep(), name="lease")

    async def close(self) -> None:
        """Give the lease back; one that cannot be given back runs out."""
        if self._pulse is not None:
            self._pulse.cancel()
            with suppress(asyncio.CancelledError):
                await self._pulse
        if self._live.left:  # others settle what was left, when the lease has run out
            return
        try:
            await self._database.write(lambda c: forget_worker(c, self.worker.id))
        except DatabaseUnavailable as error:  # the disk is full or the database gone: the process ends all the same
            log.warning("lease_not_given_back", reason=str(error))

    def beat_if_due(self, c: Connection, now: datetime) -> None:
        """Renew the lease within somebody's transaction, when a third of it has passed."""
        if self._next_beat is None or now >= self._next_beat:
            workers.beat(c, self.worker, now, self._lease)
            self._next_beat = now + self._lease / 3

    async def bury_dead(self) -> list[RunId]:
        """Settle the runs of processes that died since anyone looked: they are ended, or put back into their lines."""
        now = self._clock()
        if now < self._look_at and not any(workers.is_dead(other, self.worker, now) for other in self._others):
            return []  # who was heard of lives, and who has come since would have been heard
        self._look_at = now + self._lease / 3 if self.hears else now
        self._others = await self._database.read(lambda c: other_workers(c, self.worker.id))
        dead = [other.id for other in self._others if self._alone or workers.is_dead(other, self.worker, now)]
        if not dead:
            return []
        settled = await self._database.write(lambda c: self._bury(c, dead, self._clock()))
        self._others = [other for other in self._others if other.id not in dead]
        return settled

    def _hear(self, name: str | None) -> None:
        if name == self.worker.id:
            self._heard_until = self._clock() + self._lease * 2 / 3
        elif name not in [other.id for other in self._others]:
            self._look_at = self._clock()

    async def bury_holder(self, run_id: RunId) -> bool:
        """Settle a run that holds a conversation if its process is dead; tells whether it was, or has ended."""
        if run_id in self._live:
            return False

        def look(c: Connection) -> bool:
            now = self._clock()
            run = runs.unended(c, run_id)
            if run is None:
                return True
            left = self._live.left.runs.get(run_id)
            if left is not None and self._settle_run(c, run_id, left):
                return True
            holder = run.worker_id
            if holder is None:
                if waiting.has(c, run_id):  # to be gone on with
                    return False
                workers.end_dead_run(c, self.worker, run, now)  # the database was copied or mended by hand
                return True
            known = {other.id for other in other_workers(c, self.worker.id)}
            dead = workers.dead_workers(c, self.worker, now, alone=self._alone)
            if holder in dead or (holder not in known and holder != self.worker.id):
                workers.settle_dead_run(c, self.worker, run, now, attempts=self._attempts)
                return True
            return False

        return await self._database.write(look)

    def _begin(self, c: Connection) -> None:
        now = self._clock()
        self._bury(c, workers.dead_workers(c, self.worker, now, alone=self._alone), now)
        if self._alone:
            waiting.forget_clients(c)
            # Runs of workers nobody remembers: the database was copied or mended by hand.
            for run in runs.live_runs(c):
                workers.settle_dead_run(c, self.worker, run, now, attempts=self._attempts)
        self.beat_if_due(c, now)

    def _bury(self, c: Connection, dead: list[str], now: datetime) -> list[RunId]:
        return workers.bury(c, self.worker, dead, now, attempts=self._attempts)

    async def _keep(self) -> None:
        """Renew the lease, and hear cancels from other processes."""
        while True:
            await asyncio.sleep(min(self._lease.total_seconds() / 3, HEAR_S))
            try:
                if self._live.left:
                    await self._settle_left()
                if not self._alone:
                    await self._tend_if_due()
            except DatabaseUnavailable:  # it said so itself; a missed beat is made up by the next one
                continue
            except Exception:
                log.exception("lease_not_renewed")

    async def _settle_left(self) -> None:
        """End the runs of this process that could not be ended, or put them back; give up places nobody waits in."""
        left = self._live.left.copy()

        def settle(c: Connection) -> None:
            for run_id, how in left.runs.items():
                self._settle_run(c, run_id, how)
            for place_id in left.places:
                waiting.give_up(c, place_id)

        await self._database.write(settle)
        self._live.left.drop(left)
        self._bells.ring("line", None)

    def _settle_run(self, c: Connection, run_id: RunId, left: LeftRun) -> bool:
        """Settle a run if it still is as it was left; tells whether it was."""
        run = runs.unended(c, run_id)
        if run is None or (run.worker_id, run.fence) != (self.worker.id, left.fence):
            return False
        if left.cancelled:
            runs.request_cancel(c, run_id)
        workers.settle_dead_run(c, self.worker, run, self._clock(), attempts=self._attempts)
        return True

    async def _tend_if_due(self) -> None:
        """Renew the lease, and while something runs hear of cancels whose bell was not heard."""
        now = self._clock()
        if self._next_beat is None or now >= self._next_beat:
            await self._database.write_one(lambda c: self.beat_if_due(c, now))
        if len(self._live):
            for run_id in await self._database.read(lambda c: runs.to_cancel(c, self.worker.id)):
                self._live.cancel(run_id)
