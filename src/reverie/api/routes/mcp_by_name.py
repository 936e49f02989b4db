"""MCP servers by name: the older form of the API."""

from typing import Annotated, Any

from fastapi import Body, Query, Request

from reverie.api.context import FROM_OUTSIDE, AgentQuery, Ask, Call
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.sse import SentEvents
from reverie.api.routes.mcp_servers import CALLBACK, callback_uri, event_stream, returned
from reverie.api.wire.mcp_servers import (
    McpToolArguments,
    OldServerConfig,
    OldServerUpdate,
    OldToolResult,
    SyncState,
    offer_state,
    old_state,
    sync_state,
)
from reverie.api.wire.tools import ToolState, tool_state
from reverie.domain.ids import AgentId
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpServer
from reverie.operations import mcp_servers

routes = Routes("tools")


def _state(call: Call, server: McpServer) -> JsonObject:
    return old_state(server, mcp_servers.secrets_of(call.ops, call.caller, server))


async def _all(call: Call) -> list[JsonObject]:
    return [_state(call, server) for server in await mcp_servers.list_servers(call.ops, call.caller)]


@routes.get("/v1/tools/mcp/servers")
async def list_servers(call: Ask) -> Json[dict[str, JsonObject]]:
    """All servers, by their names."""
    return Json({state["server_name"]: state for state in await _all(call)})


@routes.put("/v1/tools/mcp/servers")
async def add_server(body: OldServerConfig, call: Ask) -> Json[list[JsonObject]]:
    """Make a server; answer with all there are."""
    await mcp_servers.create(call.ops, call.caller, body.to_domain())
    return Json(await _all(call))


@routes.post("/v1/tools/mcp/servers/test", responses=FROM_OUTSIDE)
async def test_server(body: OldServerConfig, call: Ask) -> Json[dict[str, Any]]:
    """Connect to a server without storing it, and list its tools."""
    found = await mcp_servers.try_out(call.ops, call.caller, body.to_domain())
    return Json({"status": "success", "tools": [offer_state(offer) for offer in found]})


@routes.post("/v1/tools/mcp/servers/connect", responses=FROM_OUTSIDE)
async def connect_server(body: OldServerConfig, call: Ask, request: Request) -> SentEvents:
    """Connect to a server without storing it, as a stream of events, with a person's consent where asked for."""
    events = await mcp_servers.connect_draft(call.ops, call.caller, body.to_domain(), callback_uri(call, request))
    return event_stream(events)


def _refused(why: str) -> Json[dict[str, str]]:
    """In the form of a success, which browsers show, and in that of every error."""
    return Json({"status": "error", "message": why, "detail": why}, 400)


@routes.get(CALLBACK)
async def take_consent(
    call: Ask,
    code: Annotated[str | None, Query(description="What the authorisation server lets us have tokens for")] = None,
    state: Annotated[str | None, Query(description="Whose consent it is")] = None,
    error: Annotated[str | None, Query(description="Why there is no code")] = None,
    error_description: Annotated[str | None, Query(description="The same in words")] = None,
    iss: Annotated[str | None, Query(description="The authorisation server that answers")] = None,
) -> Json[dict[str, str]]:
    """Take what an authorisation server sends back with a person. Called by browsers, without a key."""
    if not state:
        return _refused("the address lacks its parameter 'state'")
    refused = None if code and not error else ": ".join(filter(None, (error, error_description))) or "it sent no code"
    url = await mcp_servers.take_answer(call.ops, state, {"code": code, "iss": iss, "error": refused})
    if url is None:
        return _refused("this consent is unknown, used or out of time; connect again")
    if refused:
        return _refused(f"the authorisation server refuses: {refused}")
    return Json({"status": "success", "message": "consent given; this page can be closed", "server_url": url})


@routes.patch("/v1/tools/mcp/servers/{mcp_server_name}")
async def update_server(mcp_server_name: str, body: OldServerUpdate, call: Ask) -> Json[JsonObject]:
    """Change what is given."""
    server = await mcp_servers.find(call.ops, call.caller, mcp_server_name)
    return Json(_state(call, await mcp_servers.update(call.ops, call.caller, server.id, body.to_domain())))


@routes.delete("/v1/tools/mcp/servers/{mcp_server_name}")
async def delete_server(mcp_server_name: str, call: Ask) -> Json[list[JsonObject]]:
    """Delete a server and its tools; answer with those that are left."""
    server = await mcp_servers.find(call.ops, call.caller, mcp_server_name)
    await mcp_servers.delete(call.ops, call.caller, server.id)
    return Json(await _all(call))


@routes.get("/v1/tools/mcp/servers/{mcp_server_name}/tools", responses=FROM_OUTSIDE)
async def list_offers(mcp_server_name: str, call: Ask) -> Json[list[JsonObject]]:
    """What a server offers right now, with each tool's health."""
    found = await mcp_servers.offers(call.ops, call.caller, mcp_server_name)
    return Json([offer_state(offer) for offer in found])


@routes.post("/v1/tools/mcp/servers/{mcp_server_name}/resync", responses=FROM_OUTSIDE)
async def resync_server(mcp_server_name: str, call: Ask, agent_id: AgentQuery = None) -> Json[SyncState]:
    """List a server's tools anew; those that stay keep their ids and agents."""
    server = await mcp_servers.find(call.ops, call.caller, mcp_server_name)
    agent = None if agent_id is None else AgentId(agent_id)
    return Json(sync_state(await mcp_servers.refresh(call.ops, call.caller, server.id, agent)))


@routes.post("/v1/tools/mcp/servers/{mcp_server_name}/{mcp_tool_name}", responses=FROM_OUTSIDE)
async def add_tool(mcp_server_name: str, mcp_tool_name: str, call: Ask) -> Json[ToolState]:
    """The stored tool of a server, by their names."""
    return Json(tool_state(await mcp_servers.add_tool(call.ops, call.caller, mcp_server_name, mcp_tool_name)))


@routes.post("/v1/tools/mcp/servers/{mcp_server_name}/tools/{tool_name}/execute", responses=FROM_OUTSIDE)
async def execute_tool(
    mcp_server_name: str, tool_name: str, call: Ask, body: Annotated[McpToolArguments | None, Body()] = None
) -> Json[OldToolResult]:
    """Call a tool by the names of server and tool."""
    args = {} if body is None else body.args
    outcome = await mcp_servers.execute(call.ops, call.caller, mcp_server_name, tool_name, args)
    return Json({"result": returned(outcome), "success": outcome.status == "success"})
