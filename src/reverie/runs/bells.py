"""Who is to hear what in this process: that a line moved, that events were stored, that a run is to stop."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import structlog

from reverie.storage import bells
from reverie.storage.bells import Bell
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

Hearer: TypeAlias = Callable[[str | None], None]
"""Hears a name; None: anything may have happened, look for yourself. Quick, and never raises."""


class Bells:
    """Passes on what this process rings itself, and what others ring through the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hearers: dict[Bell, list[Hearer]] = defaultdict(list)
        self._ear: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def on(self, bell: Bell, hearer: Hearer) -> None:
        """Let `hearer` hear a bell from now on."""
        self._hearers[bell].append(hearer)

    def ring(self, bell: Bell, name: str | None) -> None:
        """Ring in this process; others hear what was rung in the transaction before."""
        for hearer in self._hearers[bell]:
            hearer(name)

    def ring_elsewhere(self, bell: Bell, name: str) -> None:
        """Ring in all other processes, soon, for what was stored without a bell."""
        task = asyncio.create_task(self._ring(bell, name), name=f"bell {bell}")
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    def start(self) -> None:
        """Listen to other processes."""
        self._ear = asyncio.create_task(self._database.listen(self.ring, self._ring_all), name="bells")

    async def close(self) -> None:
        """Listen no more."""
        for task in (self._ear, *self._ringing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def _ring_all(self) -> None:
        for bell in list(self._hearers):
            self.ring(bell, None)

    async def _ring(self, bell: Bell, name: str) -> None:
        try:
            await self._database.write(lambda c: bells.ring(c, bell, [name]))
        except Exception:  # whoever should have heard it looks now and then
            log.exception("bell_not_rung", bell=bell, name=name)
