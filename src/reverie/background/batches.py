"""Sends the requests of batches to their agents, some at a time, and ends the batches."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

import structlog
from sqlalchemy import Connection

from reverie.background.rounds import Rounds
from reverie.domain.clock import Clock
from reverie.domain.errors import Draining, ReverieError
from reverie.domain.ids import BatchId, ConversationId, OrganizationId
from reverie.domain.job import BatchItem
from reverie.domain.run import Run
from reverie.runs.engine import RunEngine
from reverie.storage import batches
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

AT_ONCE: Final = 16
"""Requests of all batches together that run at the same time in this process."""
INTERVAL_S: Final = 60.0
"""How often left-overs of other processes are looked for."""


class _TakenElsewhere(ReverieError):
    """Another process was first, or the batch was cancelled."""


class Batches:
    """Runs batches. What a killed process had not sent yet, the next one sends; what it was at, has failed."""

    def __init__(self, database: Database, engine: RunEngine, clock: Clock, *, on_end: Callable[[], None]) -> None:
        """`on_end` is called when a batch has ended, which may have left a callback to be made."""
        self._database = database
        self._engine = engine
        self._clock = clock
        self._on_end = on_end
        self._busy: dict[tuple[BatchId, int], asyncio.Task[None]] = {}
        self._rounds = Rounds("batches", self.round, INTERVAL_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Batches"]:
        """Work in the background. Requests that still wait in line on leaving are left to the next process."""
        async with self._rounds:
            self._rounds.ring()
            yield self
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ring(self) -> None:
        """There is a batch to be begun or ended."""
        self._rounds.ring()

    async def round(self) -> int:
        """Send what there is room for, and end the batches that are done."""
        room = AT_ONCE - len(self._busy)
        begun = 0
        if room > 0 and not self._engine.draining:
            busy = list(self._busy)
            for owner, item in await self._database.read(lambda c: batches.waiting_items(c, room, busy)):
                key = (item.batch_id, item.place)
                self._busy[key] = asyncio.create_task(self._serve(owner, item), name=f"item of {item.batch_id}")
                begun += 1
        ended = await self._database.write(lambda c: batches.settle(c, self._clock()))
        if ended:
            self._on_end()
        return begun + ended

    async def _serve(self, organization_id: OrganizationId, item: BatchItem) -> None:
        try:
            await self._send(organization_id, item)
        except Exception:  # the border around one request of a batch: the others go on
            log.exception("batch_request_failed", batch_id=item.batch_id, place=item.place)
            with suppress(Exception):
                why = "an error inside the server; its log has the details"
                await self._database.write(lambda c: batches.refuse_item(c, item, why))
        finally:
            del self._busy[item.batch_id, item.place]
            self._rounds.ring()

    async def _send(self, organization_id: OrganizationId, item: BatchItem) -> None:
        def take(c: Connection, run: Run) -> None:
            if not batches.claim_item(c, item, run.id):
                raise _TakenElsewhere

        try:
            handle = await self._engine.send(
                organization_id, ConversationId(item.agent_id), item.request, when_busy="enqueue", on_accept=take
            )
        except (_TakenElsewhere, Draining):
            return
        except ReverieError as error:
            refusal = str(error)
            await self._database.write(lambda c: batches.refuse_item(c, item, refusal))
            return
        async with aclosing(handle.events()) as events:
            async for _ in events:
                pass
