"""Starts runs that wait in line, as long as this process has room for them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from sqlalchemy import Connection

from reverie.domain.errors import DatabaseUnavailable, ReverieError
from reverie.loop.deps import LoopDeps
from reverie.loop.turn import failure_of
from reverie.runs.acceptance import NotStarted, begin_waiting, end_waiting
from reverie.runs.bells import Bells
from reverie.runs.driver import Driver
from reverie.runs.handover import Begun
from reverie.runs.left import Left
from reverie.storage import runs, waiting

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
"""How often is looked without a bell while somebody waits: another process may die that was about to start it."""
LOOK_QUIET_S: Final = 5.0
"""The same while nobody waits and bells are heard: whoever comes rings in the transaction that lets him wait."""
LOOK_ALONE_S: Final = 10.0
"""The same where no other process is."""


class Dispatcher:
    """Any number of processes may have one: each run is started, or gone on with, by one of them."""

    def __init__(
        self,
        deps: LoopDeps,
        bells: Bells,
        driver: Driver,
        left: Left,
        *,
        worker_id: str,
        has_room: Callable[[], bool],
        status_of: Callable[[ReverieError], int],
        hears: Callable[[], bool],
        alone: bool,
    ) -> None:
        """`hears`: whether bells of other processes reach this one."""
        self._deps = deps
        self._bells = bells
        self._driver = driver
        self._left = left
        self._worker_id = worker_id
        self._has_room = has_room
        self._status_of = status_of
        self._hears = hears
        self._look_s, self._quiet_s = (LOOK_ALONE_S, LOOK_ALONE_S) if alone else (LOOK_S, LOOK_QUIET_S)
        self._rung = asyncio.Event()
        self._lacked_room = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        bells.on("line", lambda _: self._rung.set())
        driver.tell(lambda _run, _agent: self._hear_end())

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._work(), name="dispatch")

    async def close(self) -> None:
        """Start nothing more. What is being claimed just now is driven."""
        self._closed = True
        self._rung.set()
        if self._task is not None:
            await self._task
            self._task = None

    def _hear_end(self) -> None:
        """A run has ended here. Whether its line moves a bell says; what waited for room may be in any line."""
        if self._lacked_room:
            self._rung.set()

    async def _work(self) -> None:
        while not self._closed:
            self._rung.clear()
            try:
                pause_s = self._look_s if await self._start_all() or not self._hears() else self._quiet_s
            except DatabaseUnavailable:  # it said so itself
                self._rung.clear()
                pause_s = LOOK_S
            except Exception:  # whatever it was, those who wait are looked at again
                log.exception("waiting_runs_not_started")
                self._rung.clear()
                pause_s = LOOK_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), pause_s)

    async def _start_all(self) -> bool:
        """Start what can be started here; tells whether somebody still waits, as far as is known."""
        while not self._closed and self._may_start():
            if not await self._deps.database.read(waiting.any_stored):
                return False
            if not await self._start_next():
                break
        return True

    def _may_start(self) -> bool:
        self._lacked_room = not self._has_room()
        return not self._lacked_room

    async def _start_next(self) -> bool:
        """Start one; False when there is none."""
        try:
            begun = await self._take()
        except NotStarted as error:
            await self._refuse(error)
            return True
        if begun is None:
            return False
        self._deps.fault("run_taken")
        self._driver.begin(begun)
        return True

    async def _take(self) -> Begun | None:
        now = self._deps.clock()
        with self._left.unless_heard() as noted:

            def work(c: Connection) -> Begun | None:
                begun = begin_waiting(c, self._worker_id, now)
                if begun is not None:
                    noted.note(begun.state.run)
                return begun

            return await self._deps.database.write(work)

    async def _refuse(self, refused: NotStarted) -> None:
        """End a run whose inputs cannot be let in, such as a message to an agent that waits for an approval."""
        stop, failure = failure_of(refused.why, self._status_of(refused.why))
        now = self._deps.clock()
        log.info("waiting_run_refused", run_id=refused.run_id, error=str(refused))
        ended = await self._deps.database.write(
            lambda c: end_waiting(c, runs.get_any(c, refused.run_id), stop, failure, now)
        )
        if ended is not None:
            self._driver.announce(*ended)
