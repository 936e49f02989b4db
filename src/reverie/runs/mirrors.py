"""Runs that wait, are driven elsewhere or have ended, as readers of this process see them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from reverie.domain.errors import NotFound
from reverie.domain.events import Event, RunEnded, RunFailure
from reverie.domain.ids import OrganizationId, RunId
from reverie.domain.run import Run, Usage
from reverie.domain.stop_reason import StopReason
from reverie.runs.bells import Bells
from reverie.runs.log import RunLog
from reverie.runs.untold import untold
from reverie.storage import run_events, runs
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
"""How often runs are looked at without a bell."""
PATIENCE_S: Final = 0.8
"""How long the last events of a run that has ended are waited for."""


@dataclass(slots=True)
class _Mirror:
    organization_id: OrganizationId
    log: RunLog = field(default_factory=RunLog)
    readers: int = 0
    ended_at: float | None = None
    """When it was first seen to have ended though its last event was not stored."""


class Mirrors:
    """One log for each such run, however many read it, and one reader of the database for all logs together."""

    def __init__(self, database: Database, bells: Bells) -> None:
        self._database = database
        self._mirrors: dict[RunId, _Mirror] = {}
        self._rung: set[RunId] = set()
        self._any = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        bells.on("events", self._hear)

    async def follow(
        self, organization_id: OrganizationId, run_id: RunId, after: int
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Numbered events above `after` as they are stored, up to the last one."""
        mirror = self._mirrors.get(run_id)
        if mirror is None:
            mirror = self._mirrors[run_id] = _Mirror(organization_id)
        mirror.readers += 1
        if self._closed:
            mirror.log.close()
        self._hear(run_id)
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._feed(), name="mirrors")
        try:
            async with aclosing(mirror.log.follow(after)) as events:
                async for item in events:
                    yield item
        finally:
            mirror.readers -= 1
            if not mirror.readers and self._mirrors.get(run_id) is mirror:
                del self._mirrors[run_id]

    def adopt(self, run_id: RunId) -> RunLog:
        """The log of a run that is driven here from now on: the one that is read already, or a fresh one."""
        mirror = self._mirrors.pop(run_id, None)
        return RunLog() if mirror is None else mirror.log

    async def close(self) -> None:
        """Send all readers away; they find the rest at another process, or after the next start."""
        self._closed = True
        for mirror in self._mirrors.values():
            mirror.log.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _hear(self, name: str | None) -> None:
        if name is None:
            self._rung.update(self._mirrors)
        elif name in self._mirrors:
            self._rung.add(RunId(name))
        if self._rung:
            self._any.set()

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_S
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._any.wait(), max(0.0, look_at - loop.time()) if self._mirrors else None)
            self._any.clear()
            rung, self._rung = self._rung, set()
            if loop.time() >= look_at:
                rung.update(self._mirrors)
                look_at = loop.time() + LOOK_S
            try:
                await self._read(rung)
            except Exception:  # the database may be away for a while; the next look comes
                log.exception("events_not_read")

    async def _read(self, wanted: Iterable[RunId]) -> None:
        places = {run_id: len(mirror.log) for run_id in wanted if (mirror := self._mirrors.get(run_id)) is not None}
        if not places:
            return
        found = await self._database.read(lambda c: run_events.read_all(c, places))
        for run_id, events in found.items():
            self._show(run_id, [event for _, event in events])
        silent = [run_id for run_id in places if run_id not in found]
        if not silent:
            return
        for run_id, rest in (await self._database.read(lambda c: self._ends(c, silent))).items():
            self._show(run_id, rest)

    def _ends(self, c: Connection, run_ids: list[RunId]) -> dict[RunId, list[Event]]:
        """What is left to tell of those that have ended without it being stored as events."""
        found: dict[RunId, list[Event]] = {}
        now = time.monotonic()
        for run_id in run_ids:
            mirror = self._mirrors.get(run_id)
            if mirror is None:
                continue
            try:
                run = runs.get(c, mirror.organization_id, run_id)
            except NotFound:  # deleted with its agent
                found[run_id] = [RunEnded(run_id=run_id, stop_reason=StopReason.CANCELLED, usage=Usage())]
                continue
            if not run.status.is_final:
                continue
            mirror.ended_at = mirror.ended_at or now
            # The process that drove it may be about to store its last events; a dead one never will.
            if not run.background or now - mirror.ended_at > PATIENCE_S:
                found[run_id] = _rest(c, run, len(mirror.log))
        return found

    def _show(self, run_id: RunId, events: list[Event]) -> None:
        mirror = self._mirrors.get(run_id)
        if mirror is None or mirror.log.ended:
            return
        for event in events:
            mirror.log.append(event)


def _rest(c: Connection, run: Run, place: int) -> list[Event]:
    stored = [event for _, event in run_events.read(c, run.id, place)]
    if stored and isinstance(stored[-1], RunEnded):  # they came in between
        return stored
    _, saved = untold(c, run)
    error: dict[str, Any] = dict(run.error or {})
    failure = RunFailure(**error) if error else None
    last = RunEnded(run_id=run.id, stop_reason=run.stop_reason or StopReason.ERROR, usage=run.usage, failure=failure)
    return [*stored, *saved, last]
