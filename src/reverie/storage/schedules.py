"""Schedules: rows, and which of them are due. Who moves `next_at` on has claimed the due time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, update

from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, OrganizationId, RunId, ScheduleId
from reverie.domain.paging import Page
from reverie.domain.schedule import Schedule
from reverie.storage import bells
from reverie.storage.codec import load_said, load_timing
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import TUPLE, RowMap, loaded_by
from reverie.storage.schema import schedules

_map: Final = RowMap(
    schedules,
    Schedule,
    {
        "timing": loaded_by(load_timing),
        "inputs": loaded_by(load_said),
        "include_return_message_types": TUPLE,
    },
)


def insert_schedule(c: Connection, schedule: Schedule) -> None:
    """Store a new schedule, and let every process know."""
    _map.insert(c, schedule)
    bells.ring(c, "work", ["schedules"])


def get(c: Connection, organization_id: OrganizationId, agent_id: AgentId, schedule_id: ScheduleId) -> Schedule:
    """A schedule of an agent.

    Raises:
        NotFound: the agent has none of that id.
    """
    row = c.execute(
        select(schedules).where(
            schedules.c.organization_id == organization_id,
            schedules.c.agent_id == agent_id,
            schedules.c.id == schedule_id,
        )
    ).one_or_none()
    if row is None:
        raise NotFound("schedule", schedule_id)
    return _map.read(row)


def list_page(c: Connection, organization_id: OrganizationId, agent_id: AgentId, page: Page) -> list[Schedule]:
    """A page of an agent's schedules."""
    query = select(schedules).where(schedules.c.organization_id == organization_id, schedules.c.agent_id == agent_id)
    return [_map.read(row) for row in fetch_rows(c, query, schedules, page, organization_id, "schedule")]


def delete_schedule(c: Connection, schedule_id: ScheduleId) -> None:
    """Remove a schedule that was read; what it has started goes on."""
    c.execute(delete(schedules).where(schedules.c.id == schedule_id))


def due(c: Connection, now: datetime, besides: Sequence[ScheduleId], limit: int) -> list[Schedule]:
    """Schedules of all organisations whose time has come, the oldest time first, without `besides`."""
    query = select(schedules).where(schedules.c.next_at <= now)
    if besides:
        query = query.where(schedules.c.id.not_in(besides))
    rows = c.execute(query.order_by(schedules.c.next_at, schedules.c.seq).limit(limit)).all()
    return [_map.read(row) for row in rows]


def next_time(c: Connection, after: datetime) -> datetime | None:
    """When the next schedule of all organisations is due; None: no more comes."""
    query = select(schedules.c.next_at).where(schedules.c.next_at > after).order_by(schedules.c.next_at)
    found: datetime | None = c.execute(query.limit(1)).scalar()
    return found


def claim(
    c: Connection,
    seen: Schedule,
    *,
    due_at: datetime,
    next_at: datetime | None,
    run_id: RunId | None,
    error: str | None,
) -> bool:
    """Take the due time that `seen` shows, and say what came of it; False: somebody else took it, or it is gone."""
    claimed = c.execute(
        update(schedules)
        .where(schedules.c.id == seen.id, schedules.c.next_at == seen.next_at)
        .values(next_at=next_at, last_due_at=due_at, last_run_id=run_id, last_error=error)
    )
    return claimed.rowcount == 1
