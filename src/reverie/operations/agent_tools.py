"""What callers can ask for about the tools of an agent."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.errors import InvalidInput, ToolError
from reverie.domain.ids import AgentId, ConversationId, McpServerId, ToolId
from reverie.domain.json import JsonObject
from reverie.domain.paging import Page
from reverie.domain.tool import Tool, ToolType
from reverie.domain.tool_rule import RequiresApprovalToolRule
from reverie.loop.handed import handed
from reverie.loop.state import View, read_view
from reverie.loop.toolbox import Toolbox
from reverie.operations.attaching import change_agent
from reverie.operations.base import Operations
from reverie.storage import agents, mcp_servers, tools
from reverie.tools.arguments import fit_arguments
from reverie.tools.base import AGENT_ID, StateTool, ToolOutcome, ToolRun
from reverie.tools.builtin import BUILTIN
from reverie.tools.limits import cut_whole
from reverie.tools.rules import with_default_approvals


async def list_tools(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Tool]:
    """A page of the agent's tools."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: tools.page_of_agent(c, agents.get(c, caller.organization_id, agent_id), page)
    )


async def attach_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_id: ToolId) -> AgentDetails:
    """Give the agent a tool."""

    def change(c: Connection, agent: Agent) -> None:
        _give_tools(c, agent, [tools.get(c, caller.organization_id, tool_id)])

    return await change_agent(ops, caller, agent_id, change)


async def detach_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_id: ToolId) -> AgentDetails:
    """Take a tool away from the agent; the tool stays."""
    return await change_agent(ops, caller, agent_id, lambda c, agent: tools.detach(c, agent, tool_id))


async def attach_mcp_server(ops: Operations, caller: Caller, agent_id: AgentId, server_id: McpServerId) -> AgentDetails:
    """Give the agent all tools that an MCP server offers now; those that it offers later are attached one by one."""

    def change(c: Connection, agent: Agent) -> None:
        server = mcp_servers.get(c, caller.organization_id, server_id)
        _give_tools(c, agent, [tool for tool, _ in mcp_servers.tools_of(c, server)])

    return await change_agent(ops, caller, agent_id, change)


async def detach_mcp_server(ops: Operations, caller: Caller, agent_id: AgentId, server_id: McpServerId) -> AgentDetails:
    """Take every tool of an MCP server away from the agent; nothing happens when it has none."""

    def change(c: Connection, agent: Agent) -> None:
        own = {tool.id for tool, _ in mcp_servers.tools_of(c, mcp_servers.get(c, caller.organization_id, server_id))}
        for tool in tools.of_agent(c, agent.id):
            if tool.id in own:
                tools.detach(c, agent, tool.id)

    return await change_agent(ops, caller, agent_id, change)


async def set_approval(
    ops: Operations, caller: Caller, agent_id: AgentId, tool_name: str, requires: bool | None
) -> AgentDetails:
    """Say whether a person must approve the agent's calls of a tool; None: the tool's own default holds.

    What is required stands among the agent's rules, where clients look for it.
    """
    rule = RequiresApprovalToolRule(tool_name=tool_name)

    def change(c: Connection, agent: Agent) -> None:
        tools.named_of_agent(c, agent, tool_name)
        approvals = {name: value for name, value in agent.approvals.items() if name != tool_name}
        rules = [item for item in agent.tool_rules if (item.type, item.tool_name) != (rule.type, tool_name)]
        if requires:
            rules.append(rule)
        elif requires is not None:
            approvals[tool_name] = False
        agents.update_agent(c, agent, replace(agent, approvals=approvals, tool_rules=tuple(rules)))

    return await change_agent(ops, caller, agent_id, change)


async def run_tool(ops: Operations, caller: Caller, agent_id: AgentId, tool_name: str, args: JsonObject) -> ToolOutcome:
    """Run one of the agent's tools with its secrets, outside any turn; its memory tools change its own thread's memory.

    Raises:
        NotFound: the agent has no tool of that name.
        InvalidInput: the tool talks to other agents, which happens in turns only.
    """
    caller.require(Scope.TOOLS)
    now = ops.clock()

    def read(c: Connection) -> tuple[View, Tool]:
        agent = agents.get(c, caller.organization_id, agent_id)
        tool = tools.named_of_agent(c, agent, tool_name)
        return read_view(c, caller.organization_id, ConversationId(agent.id), now), tool

    view, tool = await ops.database.read(read)
    agent = view.agent
    try:
        arguments = fit_arguments(args, tool.spec)
    except ToolError as error:
        return ToolOutcome.error(str(error))
    own = BUILTIN.get(tool.name) if tool.is_builtin else None
    if isinstance(own, StateTool):
        caller.require(Scope.WRITE)
        return cut_whole(await _toolbox(ops).by_hand(view, own, arguments, now), tool.return_char_limit)
    if tool.is_builtin and tool.tool_type is not ToolType.BUILTIN:
        raise InvalidInput(f"tool {tool_name!r} talks to other agents and runs in turns only; send them messages")
    state = handed(tool, view.details)
    if state is not None:
        caller.require(Scope.WRITE)
    environment = {name: ops.cipher.decrypt(sealed, agent.id) for name, sealed in agent.sealed_secrets.items()}
    environment[AGENT_ID] = agent.id
    outcome = await ops.executor.run(
        ToolRun(
            tool=tool,
            arguments=arguments,
            environment=environment,
            agent_id=agent.id,
            agent_state=state,
            user_id=caller.user_id,
            scopes=frozenset(caller.scopes),
        )
    )
    return cut_whole(await _toolbox(ops).keep(view, tool, outcome, now), tool.return_char_limit)


def _toolbox(ops: Operations) -> Toolbox:
    return Toolbox(
        builtin=BUILTIN,
        executor=ops.executor,
        catalogs=ops.catalogs,
        meaning=ops.meaning,
        cipher=ops.cipher,
        database=ops.database,
    )


def _give_tools(c: Connection, agent: Agent, added: Sequence[Tool]) -> None:
    tools.attach(c, agent.id, added)
    rules = with_default_approvals(agent.tool_rules, added, agent.approvals)
    agents.update_agent(c, agent, replace(agent, tool_rules=rules))
