"""Groups: agents that work together, and what is said in them."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends

from reverie.api.context import (
    AgentPath,
    Ask,
    BlockPath,
    Call,
    FromProject,
    GroupPath,
    IntoProject,
    MessagePath,
    Newest10,
    Newest100,
    Oldest50,
)
from reverie.api.declaring import Routes
from reverie.api.encode.fold import LettaResponse, fold
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import kinds_of
from reverie.api.encode.sse import EventStream, StreamView
from reverie.api.images import with_images
from reverie.api.routes.agent_messages import Types, answer_messages, answer_update, view_of_types
from reverie.api.wire.groups import GroupCreate, GroupMessages, GroupState, GroupUpdate, group_state
from reverie.api.wire.history import MessageUpdate
from reverie.domain.group import GroupFilter, ManagerType
from reverie.domain.ids import AgentId, BlockId, GroupId, MessageId
from reverie.domain.message import MessageFilter
from reverie.domain.unset import UNSET
from reverie.operations import groups

routes = Routes("groups")


async def _filter(
    project: FromProject, manager_type: ManagerType | None = None, project_id: str | None = None
) -> GroupFilter:
    return GroupFilter(manager_type=manager_type, project_id=project_id or project)


Where = Annotated[GroupFilter, Depends(_filter)]


@routes.post("/v1/groups")
async def create_group(body: GroupCreate, call: Ask, project: IntoProject) -> Json[GroupState]:
    """Make a group of agents."""
    return Json(group_state(await groups.create(call.ops, call.caller, body.to_domain(project))))


@routes.get("/v1/groups")
async def list_groups(call: Ask, where: Where, page: Oldest50) -> Json[list[GroupState]]:
    """List groups; every given condition must hold."""
    found = await groups.list_groups(call.ops, call.caller, where, page.page())
    return Json([group_state(group) for group in found])


@routes.get("/v1/groups/count")
async def count_groups(call: Ask, where: Where) -> Json[int]:
    """Count groups."""
    return Json(await groups.count(call.ops, call.caller, where))


@routes.get("/v1/groups/{group_id}")
async def retrieve_group(group_id: GroupPath, call: Ask) -> Json[GroupState]:
    """Retrieve a group."""
    return Json(group_state(await groups.retrieve(call.ops, call.caller, GroupId(group_id))))


@routes.patch("/v1/groups/{group_id}")
async def update_group(group_id: GroupPath, body: GroupUpdate, call: Ask, project: IntoProject) -> Json[GroupState]:
    """Change what is given; lists replace what is there, and the kind of group stays."""
    changes = body.to_domain()
    if project is not None and changes.project_id is UNSET:
        changes = replace(changes, project_id=project)
    return Json(group_state(await groups.update(call.ops, call.caller, GroupId(group_id), changes)))


@routes.delete("/v1/groups/{group_id}")
async def delete_group(group_id: GroupPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete a group; its agents and what they said stay."""
    await groups.delete(call.ops, call.caller, GroupId(group_id))
    return Json({"message": f"group {group_id} is deleted"})


@routes.patch("/v1/groups/{group_id}/blocks/attach/{block_id}")
async def attach_block(group_id: GroupPath, block_id: BlockPath, call: Ask) -> Json[GroupState]:
    """Share a block with every agent of the group."""
    return Json(group_state(await groups.attach_block(call.ops, call.caller, GroupId(group_id), BlockId(block_id))))


@routes.patch("/v1/groups/{group_id}/blocks/detach/{block_id}")
async def detach_block(group_id: GroupPath, block_id: BlockPath, call: Ask) -> Json[GroupState]:
    """Take a shared block away from the group and every agent of it."""
    return Json(group_state(await groups.detach_block(call.ops, call.caller, GroupId(group_id), BlockId(block_id))))


@routes.get("/v1/agents/{agent_id}/groups")
async def list_agent_groups(
    agent_id: AgentPath, call: Ask, page: Newest100, manager_type: ManagerType | None = None
) -> Json[list[GroupState]]:
    """List the groups that an agent is a member or the manager of."""
    where = GroupFilter(agent_id=AgentId(agent_id), manager_type=manager_type, include_hidden=True)
    found = await groups.list_groups(call.ops, call.caller, where, page.page())
    return Json([group_state(group) for group in found])


@routes.get("/v1/groups/{group_id}/messages")
async def list_group_messages(
    group_id: GroupPath,
    call: Ask,
    page: Newest10,
    use_assistant_message: bool = True,
    assistant_message_tool_name: str = "send_message",
    assistant_message_tool_kwarg: str = "message",
    include_return_message_types: Types = None,
) -> Json[list[WireMessage]]:
    """List what was said in a group; what one agent says and the others hear stands there once."""
    group = await groups.retrieve(call.ops, call.caller, GroupId(group_id))
    where = MessageFilter(group_id=group.id, kinds=kinds_of(include_return_message_types), once=True)
    view = replace(
        view_of_types(include_return_message_types),
        use_assistant_message=use_assistant_message,
        tool_name=assistant_message_tool_name,
        tool_kwarg=assistant_message_tool_kwarg,
    )
    return await answer_messages(call, where, page, view)


@routes.post("/v1/groups/{group_id}/messages")
async def send_group_message(group_id: GroupPath, body: GroupMessages, call: Ask) -> Json[LettaResponse] | EventStream:
    """Say something to a group and wait for what its agents answer; `streaming` sends it as it is made."""
    return await _answer(call, GroupId(group_id), body, streaming=bool(body.streaming))


@routes.post("/v1/groups/{group_id}/messages/stream")
async def stream_group_message(group_id: GroupPath, body: GroupMessages, call: Ask) -> EventStream:
    """Say something to a group and stream what its agents answer."""
    answer = await _answer(call, GroupId(group_id), body, streaming=True)
    assert isinstance(answer, EventStream)
    return answer


@routes.patch("/v1/groups/{group_id}/messages/{message_id}")
async def update_group_message(
    group_id: GroupPath, message_id: MessagePath, body: MessageUpdate, call: Ask
) -> Json[WireMessage]:
    """Put other words into a message of the group."""
    message = await groups.message_of(call.ops, call.caller, GroupId(group_id), MessageId(message_id))
    return await answer_update(call, message.agent_id, message.id, body)


@routes.patch("/v1/groups/{group_id}/reset-messages")
async def reset_group_messages(group_id: GroupPath, call: Ask) -> Json[dict[str, Any]]:
    """Forget what was said in the group, in the histories of all its agents."""
    await groups.reset_messages(call.ops, call.caller, GroupId(group_id))
    return Json({"message": f"the messages of group {group_id} are deleted"})


async def _answer(
    call: Call, group_id: GroupId, body: GroupMessages, *, streaming: bool
) -> Json[LettaResponse] | EventStream:
    body.checked(streaming)
    request = await with_images(body.to_domain(tokens=body.stream_tokens), call.options)
    handle = await groups.send(call.ops, call.caller, group_id, request)
    if not streaming:
        return Json(await fold(handle.events(), body.view()))
    reader = StreamView(
        view=body.view(),
        tokens=body.stream_tokens,
        pings=body.include_pings,
        ping_interval_s=call.options.ping_interval_s,
    )
    return EventStream(handle.events(), reader)
