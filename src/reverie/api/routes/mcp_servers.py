"""MCP servers, their tools, and connecting to them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import Body, Request
from starlette.responses import Response

from reverie.api.context import FROM_OUTSIDE, AgentPath, AgentQuery, Ask, McpServerPath, ToolPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json, dumps
from reverie.api.encode.messages import content_of
from reverie.api.encode.sse import SentEvents
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState
from reverie.api.wire.mcp_servers import (
    McpServerCreate,
    McpServerState,
    McpServerUpdate,
    McpToolArguments,
    SyncState,
    connect_state,
    server_state,
    sync_state,
)
from reverie.api.wire.tools import ToolExecution, ToolState, tool_state
from reverie.domain.ids import AgentId, McpServerId, ToolId
from reverie.domain.mcp_server import ConnectEvent, McpServer
from reverie.operations import agent_tools, mcp_servers
from reverie.tools.base import ToolOutcome

routes = Routes("mcp-servers")

CALLBACK: Final = "/v1/tools/mcp/oauth/callback"
"""Where authorisation servers send people back to."""


def _state(call: Ask, server: McpServer) -> McpServerState:
    return server_state(server, mcp_servers.secrets_of(call.ops, call.caller, server))


@routes.post("/v1/mcp-servers")
async def create_mcp_server(body: McpServerCreate, call: Ask) -> Json[McpServerState]:
    """Make a server and store its tools; one that is down or asks for consent is stored without."""
    return Json(_state(call, await mcp_servers.create(call.ops, call.caller, body.to_domain())))


@routes.get("/v1/mcp-servers")
async def list_mcp_servers(call: Ask) -> Json[list[McpServerState]]:
    """List servers, by age."""
    found = await mcp_servers.list_servers(call.ops, call.caller)
    return Json([_state(call, server) for server in found])


@routes.get("/v1/agents/{agent_id}/mcp-servers")
async def list_agent_mcp_servers(agent_id: AgentPath, call: Ask) -> Json[list[McpServerState]]:
    """List the servers whose tools an agent has, by age."""
    found = await mcp_servers.list_of_agent(call.ops, call.caller, AgentId(agent_id))
    return Json([_state(call, server) for server in found])


@routes.patch("/v1/agents/{agent_id}/mcp-servers/attach/{mcp_server_id}")
async def attach_mcp_server(agent_id: AgentPath, mcp_server_id: McpServerPath, call: Ask) -> Json[AgentState]:
    """Give an agent all tools that a server offers now."""
    found = await agent_tools.attach_mcp_server(call.ops, call.caller, AgentId(agent_id), McpServerId(mcp_server_id))
    return await answer_agent(call, found)


@routes.patch("/v1/agents/{agent_id}/mcp-servers/detach/{mcp_server_id}")
async def detach_mcp_server(agent_id: AgentPath, mcp_server_id: McpServerPath, call: Ask) -> Json[AgentState]:
    """Take every tool of a server away from an agent."""
    found = await agent_tools.detach_mcp_server(call.ops, call.caller, AgentId(agent_id), McpServerId(mcp_server_id))
    return await answer_agent(call, found)


@routes.get("/v1/mcp-servers/connect/{mcp_server_id}", responses=FROM_OUTSIDE)
async def connect_mcp_server(mcp_server_id: McpServerPath, call: Ask, request: Request) -> SentEvents:
    """Connect to a server, as a stream of events that leads a person through consent where that is asked for."""
    events = await mcp_servers.connect(call.ops, call.caller, McpServerId(mcp_server_id), callback_uri(call, request))
    return event_stream(events)


@routes.get("/v1/mcp-servers/{mcp_server_id}")
async def retrieve_mcp_server(mcp_server_id: McpServerPath, call: Ask) -> Json[McpServerState]:
    """Retrieve a server."""
    return Json(_state(call, await mcp_servers.retrieve(call.ops, call.caller, McpServerId(mcp_server_id))))


@routes.patch("/v1/mcp-servers/{mcp_server_id}")
async def update_mcp_server(mcp_server_id: McpServerPath, body: McpServerUpdate, call: Ask) -> Json[McpServerState]:
    """Change what is given; refresh the server to list its tools anew."""
    changed = await mcp_servers.update(call.ops, call.caller, McpServerId(mcp_server_id), body.to_domain())
    return Json(_state(call, changed))


@routes.delete("/v1/mcp-servers/{mcp_server_id}", status_code=204)
async def delete_mcp_server(mcp_server_id: McpServerPath, call: Ask) -> Response:
    """Delete a server and its tools, also from the agents that have them."""
    await mcp_servers.delete(call.ops, call.caller, McpServerId(mcp_server_id))
    return Response(status_code=204)


@routes.patch("/v1/mcp-servers/{mcp_server_id}/refresh", responses=FROM_OUTSIDE)
async def refresh_mcp_server(mcp_server_id: McpServerPath, call: Ask, agent_id: AgentQuery = None) -> Json[SyncState]:
    """List the server's tools anew; those that stay keep their ids and agents."""
    agent = None if agent_id is None else AgentId(agent_id)
    return Json(sync_state(await mcp_servers.refresh(call.ops, call.caller, McpServerId(mcp_server_id), agent)))


@routes.get("/v1/mcp-servers/{mcp_server_id}/tools")
async def list_mcp_tools(mcp_server_id: McpServerPath, call: Ask) -> Json[list[ToolState]]:
    """List the stored tools of a server."""
    found = await mcp_servers.list_tools(call.ops, call.caller, McpServerId(mcp_server_id))
    return Json([tool_state(tool) for tool in found])


@routes.get("/v1/mcp-servers/{mcp_server_id}/tools/{tool_id}")
async def retrieve_mcp_tool(mcp_server_id: McpServerPath, tool_id: ToolPath, call: Ask) -> Json[ToolState]:
    """Retrieve a tool of a server."""
    found = await mcp_servers.retrieve_tool(call.ops, call.caller, McpServerId(mcp_server_id), ToolId(tool_id))
    return Json(tool_state(found))


@routes.post("/v1/mcp-servers/{mcp_server_id}/tools/{tool_id}/run", responses=FROM_OUTSIDE)
async def run_mcp_tool(
    mcp_server_id: McpServerPath, tool_id: ToolPath, call: Ask, body: Annotated[McpToolArguments | None, Body()] = None
) -> Json[ToolExecution]:
    """Call a tool of a server now, outside any conversation."""
    args = {} if body is None else body.args
    outcome = await mcp_servers.run_tool(call.ops, call.caller, McpServerId(mcp_server_id), ToolId(tool_id), args)
    return Json(
        {
            "status": outcome.status,
            "func_return": returned(outcome),
            "stdout": list(outcome.stdout),
            "stderr": list(outcome.stderr),
            "agent_state": None,
            "sandbox_config_fingerprint": None,
        }
    )


def returned(outcome: ToolOutcome) -> Any:
    """What a call gave: structured where the tool is, text otherwise, with images as blocks."""
    return outcome.value if isinstance(outcome.value, dict | list) else content_of(outcome.content)


def callback_uri(call: Ask, request: Request) -> str:
    """Where a person comes back to: this server, under the name by which the caller knows it."""
    return f"{call.options.public_url or str(request.base_url).rstrip('/')}{CALLBACK}"


def event_stream(events: AsyncGenerator[ConnectEvent, None]) -> SentEvents:
    """Unnamed `data:` lines; the last one says success or error."""
    return SentEvents(_lines(events))


async def _lines(events: AsyncGenerator[ConnectEvent, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events) as open_events:
        async for event in open_events:
            yield b"data: " + dumps(connect_state(event)) + b"\n\n"
