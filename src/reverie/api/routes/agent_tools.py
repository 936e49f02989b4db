"""An agent's tools."""

from typing import Annotated, Any

from fastapi import Body

from reverie.api.context import AgentPath, Ask, Newest10, ToolPath
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.encode.messages import content_of
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState
from reverie.api.wire.tools import (
    ApprovalSetting,
    ToolExecution,
    ToolRunArguments,
    ToolState,
    tool_state,
)
from reverie.domain.content import ImagePart, join_text
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import AgentId, ToolId
from reverie.operations import agent_tools
from reverie.tools.base import ToolOutcome

routes = Routes("agents")


@routes.get("/v1/agents/{agent_id}/tools")
async def list_tools(agent_id: AgentPath, call: Ask, page: Newest10) -> Json[list[ToolState]]:
    """List the agent's tools."""
    found = await agent_tools.list_tools(call.ops, call.caller, AgentId(agent_id), page.page())
    return Json([tool_state(tool) for tool in found])


@routes.patch("/v1/agents/{agent_id}/tools/attach/{tool_id}")
async def attach_tool(agent_id: AgentPath, tool_id: ToolPath, call: Ask) -> Json[AgentState]:
    """Attach a tool."""
    return await answer_agent(
        call, await agent_tools.attach_tool(call.ops, call.caller, AgentId(agent_id), ToolId(tool_id))
    )


@routes.patch("/v1/agents/{agent_id}/tools/detach/{tool_id}")
async def detach_tool(agent_id: AgentPath, tool_id: ToolPath, call: Ask) -> Json[AgentState]:
    """Detach a tool; it goes on existing."""
    return await answer_agent(
        call, await agent_tools.detach_tool(call.ops, call.caller, AgentId(agent_id), ToolId(tool_id))
    )


@routes.patch("/v1/agents/{agent_id}/tools/approval/{tool_name}")
async def set_approval(
    agent_id: AgentPath,
    tool_name: str,
    call: Ask,
    body: Annotated[ApprovalSetting | None, Body()] = None,
    requires_approval: bool | None = None,
) -> Json[AgentState]:
    """Say whether the agent's calls of a tool must be approved; the query is the old place for it."""
    requires = requires_approval if body is None or body.requires_approval is None else body.requires_approval
    if requires is None:
        raise MalformedInput("requires_approval", "send true or false in the body")
    found = await agent_tools.set_approval(call.ops, call.caller, AgentId(agent_id), tool_name, requires)
    return await answer_agent(call, found)


@routes.post("/v1/agents/{agent_id}/tools/{tool_name}/run")
async def run_tool(
    agent_id: AgentPath, tool_name: str, call: Ask, body: Annotated[ToolRunArguments | None, Body()] = None
) -> Json[ToolExecution]:
    """Run one of the agent's tools now, outside any conversation."""
    args = {} if body is None else body.args
    outcome = await agent_tools.run_tool(call.ops, call.caller, AgentId(agent_id), tool_name, args)
    failed = outcome.status == "error"
    return Json(
        {
            "status": outcome.status,
            "func_return": None if failed else _returned(outcome),
            "stdout": list(outcome.stdout),
            "stderr": list(outcome.stderr) or ([join_text(outcome.content)] if failed else []),
            "agent_state": None,
            "sandbox_config_fingerprint": None,
        }
    )


def _returned(outcome: ToolOutcome) -> Any:
    """The value itself where there is one; pictures as the model is shown them."""
    has_pictures = any(isinstance(part, ImagePart) for part in outcome.content)
    return content_of(outcome.content) if has_pictures else outcome.value
