"""What callers can ask for about schedules. They are fired by `background.schedules`."""

from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.domain.ids import AgentId, ScheduleId, make_id
from reverie.domain.paging import Page
from reverie.domain.schedule import Once, Recurring, Schedule, ScheduleDraft
from reverie.operations.base import Operations
from reverie.runs.cron import next_after, split_zone
from reverie.storage import agents, schedules

_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_SLACK: Final = timedelta(minutes=1)
"""How far in the past a time may lie that is meant as "now": clocks differ, and requests take time."""
_SECONDS_BELOW: Final = 1e11
"""As seconds that is the year 5138, as milliseconds March 1973: below it, seconds are meant."""


async def create(ops: Operations, caller: Caller, agent_id: AgentId, draft: ScheduleDraft) -> Schedule:
    """Store messages that will be sent to an agent.

    Raises:
        InvalidInput: the time has passed, or never comes.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Schedule:
        agent = agents.get(c, caller.organization_id, agent_id)
        zone, next_at = _first_time(draft, agent.timezone, now)
        schedule = Schedule(
            id=ScheduleId(make_id("schedule")),
            organization_id=caller.organization_id,
            agent_id=agent.id,
            timing=draft.timing,
            timezone=zone,
            inputs=draft.inputs,
            max_steps=draft.max_steps,
            callback_url=draft.callback_url,
            include_return_message_types=draft.include_return_message_types,
            next_at=next_at,
            created_at=now,
            created_by_id=caller.user_id,
        )
        schedules.insert_schedule(c, schedule)
        return schedule

    stored = await ops.database.write(store)
    ops.ring("schedules")
    return stored


async def retrieve(ops: Operations, caller: Caller, agent_id: AgentId, schedule_id: ScheduleId) -> Schedule:
    """One schedule of an agent."""
    caller.require(Scope.READ)

    def read(c: Connection) -> Schedule:
        agents.get(c, caller.organization_id, agent_id)
        return schedules.get(c, caller.organization_id, agent_id, schedule_id)

    return await ops.database.read(read)


async def list_schedules(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Schedule]:
    """A page of an agent's schedules, those that are over included."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Schedule]:
        agents.get(c, caller.organization_id, agent_id)
        return schedules.list_page(c, caller.organization_id, agent_id, page)

    return await ops.database.read(read)


async def delete(ops: Operations, caller: Caller, agent_id: AgentId, schedule_id: ScheduleId) -> None:
    """Fire no more; runs that were started go on."""
    caller.require(Scope.WRITE)

    def remove(c: Connection) -> None:
        agents.get(c, caller.organization_id, agent_id)
        schedules.delete_schedule(c, schedules.get(c, caller.organization_id, agent_id, schedule_id).id)

    await ops.database.write(remove)


def _first_time(draft: ScheduleDraft, agent_zone: str, now: datetime) -> tuple[str, datetime]:
    match draft.timing:
        case Once(scheduled_at=number):
            return agent_zone, _moment(number, now)
        case Recurring(cron_expression=expression):
            zone, _ = split_zone(expression, agent_zone)
            return zone, next_after(expression, zone, now)
        case impossible:
            assert_never(impossible)


def _moment(number: float, now: datetime) -> datetime:
    seconds = number if abs(number) < _SECONDS_BELOW else number / 1000
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment > _LATEST:
        raise MalformedInput("schedule.scheduled_at", f"{number!r} is no time; give milliseconds since 1970")
    if moment < now - _SLACK:
        raise InvalidInput(
            f"schedule.scheduled_at is {moment:%Y-%m-%d %H:%M:%S} UTC, which has passed; give a time to come, in "
            "milliseconds since 1970"
        )
    return moment
