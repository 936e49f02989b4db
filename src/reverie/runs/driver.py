"""Drives one accepted run to its end, whatever happens on the way."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final, TypeAlias

import structlog

from reverie.domain.agent import Agent
from reverie.domain.errors import DatabaseUnavailable, Draining, NotFound, ReverieError, RunLost
from reverie.domain.events import RunEnded, RunFailure
from reverie.domain.run import Run
from reverie.domain.stop_reason import StopReason
from reverie.loop.deps import LoopDeps
from reverie.loop.turn import Turn, failure_of
from reverie.runs.bells import Bells
from reverie.runs.handover import Begun, put_back
from reverie.runs.left import LeftRun
from reverie.runs.live import LiveRun, LiveRuns
from reverie.runs.mirrors import Mirrors
from reverie.runs.scribe import Scribe
from reverie.storage import runs

log = structlog.get_logger(__name__)

CANCELLED_NOTE: Final = "This call was cancelled before it was finished."
DRAINED_NOTE: Final = "This call was not finished: the server was shutting down."

Listener: TypeAlias = Callable[[Run, Agent], None]
"""Hears of a run that has ended, and whose it was. Quick, and never raises."""


class Driver:
    """Drives the runs of this process."""

    def __init__(
        self,
        deps: LoopDeps,
        live: LiveRuns,
        bells: Bells,
        mirrors: Mirrors,
        status_of: Callable[[ReverieError], int],
        scribe: Scribe,
        hears: Callable[[], bool],
    ) -> None:
        """`hears`: whether bells of other processes, and so its own, reach this one."""
        self._deps = deps
        self._live = live
        self._bells = bells
        self._mirrors = mirrors
        self._status_of = status_of
        self._scribe = scribe
        self._hears = hears
        self._listeners: list[Listener] = []

    def tell(self, listener: Listener) -> None:
        """Let `listener` hear of every run that ends from now on."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Stop storing events; every run has ended before."""
        await self._scribe.close()

    def begin(self, begun: Begun) -> LiveRun:
        """Drive a run that was accepted, or put back, in tasks of its own.

        The turn has a task for itself, the only one that a cancel touches: what must be saved
        once it has been cancelled, or has failed, is saved out of reach of a further cancel.
        """
        run, turn = begun.state.run, Turn(begun.state, self._deps)
        live = LiveRun(run, self._mirrors.adopt(run.id))
        live.log.take_in(begun.told)
        stored = self._scribe.keep(run.id, live.log) if run.background else None
        live.turn = asyncio.create_task(self._forward(turn, live), name=f"turn of {run.id}")
        live.conductor = asyncio.create_task(self._see_through(turn, live, stored), name=f"run {run.id}")
        self._live.add(live)
        return live

    def announce(self, run: Run, agent: Agent, *, others_wait: bool = True) -> None:
        """Tell of a run that has ended, whether or not it was driven here, and the line where `others_wait` in it."""
        self._bells.ring("events", run.id)
        if others_wait:
            self._bells.ring("line", run.conversation_id)
        for listener in self._listeners:
            listener(run, agent)

    async def _see_through(self, turn: Turn, live: LiveRun, stored: "asyncio.Future[None] | None") -> None:
        """Bring a run to its end, whatever happens on the way."""
        try:
            await self._to_its_end(turn, live)
        except DatabaseUnavailable as error:
            await self._leave(live, error)
        finally:
            if not live.log.ended and not live.log.closed:  # nobody may wait for an end that never comes
                live.log.append(_broken_end(live.run))
            if stored is not None:
                await stored
            self._live.remove(live.run.id)
            if live.log.ended and live.run.id not in self._live.left:
                others_wait = turn.state.others_wait
                rings = not self._hears() if others_wait is None else others_wait
                self.announce(turn.state.run, turn.state.view.agent, others_wait=rings)

    async def _to_its_end(self, turn: Turn, live: LiveRun) -> None:
        assert live.turn is not None
        try:
            await live.turn
        except asyncio.CancelledError:
            if live.stopped is None:
                live.turn.cancel()
                raise
            await self._abandon_cancelled(turn, live)
        except RunLost:
            await self._lose(live)
        except ReverieError as error:
            if isinstance(error, DatabaseUnavailable) and live.run.background:
                raise  # it need not fail: it is gone on with
            await self._abandon_failed(turn, live, error)
        except Exception:  # the run driver's border: whatever breaks becomes a failed run
            log.exception("run_crashed", run_id=live.run.id, agent_id=live.run.agent_id)
            inside = ReverieError("an error inside the server ended the run; its log has the details")
            await self._abandon_failed(turn, live, inside)

    async def _forward(self, turn: Turn, live: LiveRun) -> None:
        async with aclosing(turn.drive()) as events:
            async for event in events:
                live.log.append(event)

    async def _abandon_cancelled(self, turn: Turn, live: LiveRun) -> None:
        if live.stopped == "cancel":
            await self._abandon(turn, live, StopReason.CANCELLED, CANCELLED_NOTE, None)
        else:
            await self._abandon_failed(turn, live, Draining("the server was shut down before the run was finished"))

    async def _abandon_failed(self, turn: Turn, live: LiveRun, error: ReverieError) -> None:
        if isinstance(error, Draining) and live.run.background:
            await self._hand_over(turn, live)
            return
        log.info("run_failed", run_id=live.run.id, agent_id=live.run.agent_id, error=str(error))
        stop, failure = failure_of(error, self._status_of(error))
        note = DRAINED_NOTE if isinstance(error, Draining) else f"This call was not finished: {failure.message}"
        await self._abandon(turn, live, stop, note, failure)

    async def _abandon(
        self, turn: Turn, live: LiveRun, stop: StopReason, note: str, failure: RunFailure | None
    ) -> None:
        try:
            for event in await turn.abandon(stop, note, failure):
                live.log.append(event)
        except RunLost:
            await self._lose(live)

    async def _hand_over(self, turn: Turn, live: LiveRun) -> None:
        """Leave a background run to another process, or to the next start; readers find it there."""
        await self._scribe.drop(live.run.id)
        live.log.close()
        try:
            await self._deps.database.write(lambda c: put_back(c, turn.state.run, self._deps.clock()))
        except RunLost:
            log.warning("run_lost", run_id=live.run.id)

    async def _leave(self, live: LiveRun, error: DatabaseUnavailable) -> None:
        """Drive a run no further; the lease settles it as soon as the database can be used."""
        log.warning("run_left", run_id=live.run.id, agent_id=live.run.agent_id)
        self._live.left.runs[live.run.id] = LeftRun(live.run.fence, cancelled=live.stopped == "cancel")
        if live.run.background:
            await self._scribe.drop(live.run.id)
            live.log.close()
        elif not live.log.ended:
            stop, failure = failure_of(error, self._status_of(error))
            live.log.append(RunEnded(run_id=live.run.id, stop_reason=stop, usage=live.run.usage, failure=failure))

    async def _lose(self, live: LiveRun) -> None:
        """Somebody else ended the run, or has it now."""
        log.warning("run_lost", run_id=live.run.id)
        if live.run.background:  # what is stored says how it goes on, or ended
            await self._scribe.drop(live.run.id)
            live.log.close()
        else:
            live.log.append(await self._end_of(live.run))

    async def _end_of(self, run: Run) -> RunEnded:
        """The last event of a run that somebody else ended."""
        try:
            now = await self._deps.database.read(lambda c: runs.get(c, run.organization_id, run.id))
        except NotFound:  # deleted with its agent
            return RunEnded(run_id=run.id, stop_reason=StopReason.CANCELLED, usage=run.usage)
        return RunEnded(run_id=run.id, stop_reason=now.stop_reason or StopReason.CANCELLED, usage=now.usage)


def _broken_end(run: Run) -> RunEnded:
    failure = RunFailure(
        error_type="internal_error", message="the run could not be ended properly; see the server's log"
    )
    return RunEnded(run_id=run.id, stop_reason=StopReason.ERROR, usage=run.usage, failure=failure)
