"""Fires schedules whose time has come, each due time at most once, whichever process is first.

A due time is taken in the transaction that stores its run: both are there or neither, also when
the server dies between. See `docs/schedules.md` for what becomes of times that were missed.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, assert_never

import structlog
from sqlalchemy import Connection

from reverie.background.rounds import TRY_AGAIN_S, Rounds
from reverie.domain.clock import Clock
from reverie.domain.errors import Draining, ReverieError
from reverie.domain.ids import ConversationId, ScheduleId
from reverie.domain.inputs import Request, TurnOptions
from reverie.domain.run import Run
from reverie.domain.schedule import Once, Recurring, Schedule
from reverie.runs.cron import latest_until, next_after
from reverie.runs.engine import RunEngine
from reverie.storage import schedules
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

_MANY: Final = 100
"""How many schedules a round looks at together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """What the room is told about schedules."""

    grace_s: float = 86_400.0
    """How late a message that was to be sent once may still be sent."""
    interval_s: float = 60.0
    """Longest time between looks; what is due earlier is sent on time."""


@dataclass(frozen=True, slots=True)
class _Firing:
    """What becomes of one due time."""

    due_at: datetime
    next_at: datetime | None
    refusal: str | None = None
    """Why nothing is sent."""


class _TakenElsewhere(ReverieError):
    """Another process was faster; undoes the run that was to be stored."""


class Schedules:
    """Looks for schedules that are due, between entering and leaving."""

    def __init__(self, database: Database, engine: RunEngine, clock: Clock, options: ScheduleOptions) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._grace = timedelta(seconds=options.grace_s)
        self._rounds = Rounds("schedules", self.fire_due, options.interval_s)
        self._sending: dict[ScheduleId, asyncio.Task[None]] = {}
        """Those that wait in line for their agent: looked at again when they are through."""

    async def __aenter__(self) -> "Schedules":
        self.ring()
        await self._rounds.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._rounds.__aexit__(kind, error, trace)
        for task in self._sending.values():
            task.cancel()
        await self.settle()

    def ring(self) -> None:
        """There may be a time that was not known yet."""
        self._rounds.ring()

    async def fire_due(self) -> int:
        """One round: send what is due, each in a task of its own; returns how many there were."""
        if self._engine.draining:
            return 0
        now, seen, found = self._clock(), set(self._sending), 0
        while True:
            due = await self._database.read(lambda c: schedules.due(c, now, sorted(seen), _MANY))
            for schedule in due:
                seen.add(schedule.id)
                self._sending[schedule.id] = asyncio.create_task(self._fire(schedule), name=f"fire {schedule.id}")
            found += len(due)
            if len(due) < _MANY:
                break
        coming = await self._database.read(lambda c: schedules.next_time(c, now))
        if coming is not None:
            self._rounds.ring_in((coming - self._clock()).total_seconds())
        return found

    async def settle(self) -> None:
        """Wait until nothing is being sent."""
        while self._sending:
            await asyncio.wait(self._sending.values())
            # A task takes itself out at its very end, which may come after the wait.
            await asyncio.sleep(0)

    async def _fire(self, schedule: Schedule) -> None:
        try:
            await self._fire_or_record(schedule)
            self.ring()  # for its next time
        except _TakenElsewhere:
            log.debug("schedule_taken_elsewhere", schedule_id=schedule.id)
        except Draining:  # still due: sent after the next start
            log.info("schedule_waits_for_the_next_start", schedule_id=schedule.id)
        except Exception:  # the database may be away; the schedule is still due and comes round again
            log.exception("schedule_failed", schedule_id=schedule.id, agent_id=schedule.agent_id)
            self._rounds.ring_in(TRY_AGAIN_S)
        finally:
            self._sending.pop(schedule.id, None)

    async def _fire_or_record(self, schedule: Schedule) -> None:
        firing = _firing_of(schedule, self._clock(), self._grace)
        if firing.refusal is None:
            try:
                await self._send(schedule)
                return
            except (_TakenElsewhere, Draining):
                raise
            except ReverieError as error:
                firing = replace(_firing_of(schedule, self._clock(), self._grace), refusal=str(error))
        log.warning("schedule_not_sent", schedule_id=schedule.id, agent_id=schedule.agent_id, why=firing.refusal)
        await self._database.write(
            lambda c: schedules.claim(
                c, schedule, due_at=firing.due_at, next_at=firing.next_at, run_id=None, error=firing.refusal
            )
        )

    async def _send(self, schedule: Schedule) -> None:
        def take(c: Connection, run: Run) -> None:
            # Looked at anew: it may have waited long for its agent, and later times have come meanwhile.
            firing = _firing_of(schedule, self._clock(), self._grace)
            if not schedules.claim(
                c, schedule, due_at=firing.due_at, next_at=firing.next_at, run_id=run.id, error=None
            ):
                raise _TakenElsewhere

        handle = await self._engine.send(
            schedule.organization_id,
            ConversationId(schedule.agent_id),
            _request_of(schedule),
            when_busy="enqueue",
            on_accept=take,
        )
        log.info("schedule_fired", schedule_id=schedule.id, agent_id=schedule.agent_id, run_id=handle.run.id)


def _firing_of(schedule: Schedule, now: datetime, grace: timedelta) -> _Firing:
    """What `now` makes of a schedule that is due."""
    due_at = schedule.next_at or now
    match schedule.timing:
        case Once():
            late = now - due_at
            refusal = f"missed: it was due {late} ago, and is sent at most {grace} late" if late > grace else None
            return _Firing(due_at, None, refusal)
        case Recurring(cron_expression=expression):
            try:
                latest = latest_until(expression, schedule.timezone, now) or due_at
                following = next_after(expression, schedule.timezone, now)
            except ReverieError as error:  # a zone that this machine no longer knows, or the end of its calendar
                return _Firing(due_at, None, str(error))
            return _Firing(max(latest, due_at), following)
        case impossible:
            assert_never(impossible)


def _request_of(schedule: Schedule) -> Request:
    types = schedule.include_return_message_types
    once = isinstance(schedule.timing, Once)
    return Request(
        # The same otid says that a message is the same one, sent again; each time of a recurring one is another.
        inputs=schedule.inputs if once else tuple(replace(item, otid=None) for item in schedule.inputs),
        options=TurnOptions() if schedule.max_steps is None else TurnOptions(max_steps=schedule.max_steps),
        background=True,
        callback_url=schedule.callback_url,
        reader={} if types is None else {"include_return_message_types": list(types)},
    )
