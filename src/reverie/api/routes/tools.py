"""Tools by themselves."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends

from reverie.api.context import Ask, Call, ListQuery, Newest50, ToolPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import wire_messages
from reverie.api.encode.views import LIST_VIEW
from reverie.api.wire.tools import (
    ToolCreate,
    ToolRunFromSource,
    ToolSearch,
    ToolSearchHit,
    ToolState,
    ToolUpdate,
    tool_state,
)
from reverie.domain.content import ToolReturn
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import AgentId, ConversationId, MessageId, ToolId, check_id, make_id
from reverie.domain.message import Message, ToolReturnBody
from reverie.domain.tool import ToolFilter, ToolType
from reverie.operations import tools
from reverie.tools.base import ToolOutcome

routes = Routes("tools")


async def _filter(
    name: str | None = None,
    names: ListQuery = None,
    tool_ids: ListQuery = None,
    search: str | None = None,
    tool_types: ListQuery = None,
    exclude_tool_types: ListQuery = None,
    return_only_letta_tools: bool | None = False,
    exclude_letta_tools: bool | None = False,
) -> ToolFilter:
    return ToolFilter(
        name=name,
        names=None if names is None else tuple(names),
        tool_ids=None
        if tool_ids is None
        else tuple(ToolId(check_id(item, "tool", "tool_ids")) for item in _items(tool_ids)),
        tool_types=None if tool_types is None else _tool_types("tool_types", _items(tool_types)),
        exclude_tool_types=_tool_types("exclude_tool_types", _items(exclude_tool_types or ())),
        search=search,
        only_builtin=bool(return_only_letta_tools),
        exclude_builtin=bool(exclude_letta_tools),
    )


def _items(given: Sequence[str]) -> list[str]:
    """The parts of a list that comes as repeated parameters, with commas, or both."""
    return [item.strip() for one in given for item in one.split(",") if item.strip()]


def _tool_types(field: str, names: Sequence[str]) -> tuple[ToolType, ...]:
    unknown = [name for name in names if name not in set(ToolType)]
    if unknown:
        raise MalformedInput(field, f"{unknown[0]!r} is none of {', '.join(ToolType)}")
    return tuple(ToolType(name) for name in names)


Where = Annotated[ToolFilter, Depends(_filter)]


@routes.post("/v1/tools")
async def create_tool(body: ToolCreate, call: Ask) -> Json[ToolState]:
    """Make a tool from source code; its schema is read from signature and docstring unless given."""
    return Json(tool_state(await tools.create(call.ops, call.caller, body.to_domain())))


@routes.put("/v1/tools")
async def upsert_tool(body: ToolCreate, call: Ask) -> Json[ToolState]:
    """Make a tool, or change the one of the same name."""
    return Json(tool_state(await tools.upsert(call.ops, call.caller, body.to_domain())))


@routes.get("/v1/tools")
async def list_tools(call: Ask, where: Where, page: Newest50) -> Json[list[ToolState]]:
    """List tools; every given condition must hold."""
    found = await tools.list_tools(call.ops, call.caller, where, page.page())
    return Json([tool_state(tool) for tool in found])


@routes.get("/v1/tools/count")
async def count_tools(call: Ask, where: Where) -> Json[int]:
    """Count tools; every given condition must hold."""
    return Json(await tools.count(call.ops, call.caller, where))


@routes.post("/v1/tools/add-base-tools")
async def add_base_tools(call: Ask) -> Json[list[ToolState]]:
    """Answer with the tools that are built in; they are always there."""
    return Json([tool_state(tool) for tool in await tools.add_base_tools(call.ops, call.caller)])


@routes.post("/v1/tools/search")
async def search_tools(body: ToolSearch, call: Ask) -> Json[list[ToolSearchHit]]:
    """Find tools by words of their names and descriptions, by meaning, or both."""
    types = None if body.tool_types is None else _tool_types("tool_types", body.tool_types)
    found = await tools.search(call.ops, call.caller, body.to_domain(), tool_types=types)
    return Json(
        [
            {
                "tool": tool_state(tool),
                "embedded_text": None if hit.vector_rank is None else f"{tool.name} {tool.description}",
                "fts_rank": hit.text_rank,
                "vector_rank": hit.vector_rank,
                "combined_score": hit.score,
            }
            for tool, hit in found
        ]
    )


@routes.post("/v1/tools/run")
async def run_tool_from_source(body: ToolRunFromSource, call: Ask) -> Json[WireMessage]:
    """Run source code once, in the sandbox, without storing it; or a stored tool, by its `tool_id`."""
    stored, variables = body.stored(), body.env_vars or {}
    if stored is None:
        outcome = await tools.run(call.ops, call.caller, body.to_domain(), body.args, variables, body.name)
    else:
        outcome = await tools.run_stored(call.ops, call.caller, stored, body.args, variables)
    return Json(wire_messages(_as_message(call, body.name or "", outcome), LIST_VIEW)[0])


def _as_message(call: Call, name: str, outcome: ToolOutcome) -> Message:
    """The outcome in the form in which a conversation would hold it."""
    result = ToolReturn(
        tool_call_id=make_id("call"),
        name=name,
        status=outcome.status,
        content=outcome.content,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
    )
    return Message(
        id=MessageId(make_id("message")),
        organization_id=call.caller.organization_id,
        agent_id=AgentId(""),
        conversation_id=ConversationId(""),
        body=ToolReturnBody(returns=(result,)),
        created_at=call.clock(),
    )


@routes.get("/v1/tools/{tool_id}")
async def retrieve_tool(tool_id: ToolPath, call: Ask) -> Json[ToolState]:
    """Retrieve a tool."""
    return Json(tool_state(await tools.retrieve(call.ops, call.caller, ToolId(tool_id))))


@routes.patch("/v1/tools/{tool_id}")
async def update_tool(tool_id: ToolPath, body: ToolUpdate, call: Ask) -> Json[ToolState]:
    """Change what is given; source without a schema has its schema derived anew."""
    return Json(tool_state(await tools.update(call.ops, call.caller, ToolId(tool_id), body.to_domain())))


@routes.delete("/v1/tools/{tool_id}")
async def delete_tool(tool_id: ToolPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete a tool, also from the agents that have it."""
    await tools.delete(call.ops, call.caller, ToolId(tool_id))
    return Json({"message": f"tool {tool_id} is deleted"})
