"""Schedules: messages that are sent to an agent by themselves."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Body

from reverie.api.context import AgentPath, Ask, CursorQuery, LimitQuery, SchedulePath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.images import with_images
from reverie.api.wire.schedules import (
    Deleted,
    ScheduleCreate,
    ScheduleList,
    ScheduleMade,
    ScheduleState,
    made_state,
    schedule_list,
    schedule_state,
)
from reverie.domain.ids import AgentId, ScheduleId
from reverie.domain.inputs import Request, SayInput
from reverie.domain.paging import Page
from reverie.operations import schedules

routes = Routes("schedules")


@routes.post("/v1/agents/{agent_id}/schedule", status_code=201)
async def create_schedule(agent_id: AgentPath, body: ScheduleCreate, call: Ask) -> Json[ScheduleMade]:
    """Send messages to the agent later: once at a time, or at all times that fit an expression of cron."""
    draft = body.to_domain()
    whole = await with_images(Request(inputs=draft.inputs), call.options)
    said = tuple(item for item in whole.inputs if isinstance(item, SayInput))
    made = await schedules.create(call.ops, call.caller, AgentId(agent_id), replace(draft, inputs=said))
    return Json(made_state(made), 201)


@routes.get("/v1/agents/{agent_id}/schedule")
async def list_schedules(
    agent_id: AgentPath, call: Ask, limit: LimitQuery = 50, after: CursorQuery = None
) -> Json[ScheduleList]:
    """List the agent's schedules, newest first, those that are over included."""
    wanted = limit or 50
    page = Page(limit=wanted + 1, after=after, order="desc")
    return Json(schedule_list(await schedules.list_schedules(call.ops, call.caller, AgentId(agent_id), page), wanted))


@routes.get("/v1/agents/{agent_id}/schedule/{scheduled_message_id}")
async def retrieve_schedule(agent_id: AgentPath, scheduled_message_id: SchedulePath, call: Ask) -> Json[ScheduleState]:
    """Retrieve a schedule."""
    found = await schedules.retrieve(call.ops, call.caller, AgentId(agent_id), ScheduleId(scheduled_message_id))
    return Json(schedule_state(found))


@routes.delete("/v1/agents/{agent_id}/schedule/{scheduled_message_id}")
async def delete_schedule(
    agent_id: AgentPath,
    scheduled_message_id: SchedulePath,
    call: Ask,
    body: Annotated[dict[str, Any] | None, Body()] = None,
) -> Json[Deleted]:
    """Delete a schedule; what it has started goes on."""
    await schedules.delete(call.ops, call.caller, AgentId(agent_id), ScheduleId(scheduled_message_id))
    return Json({"success": True})
