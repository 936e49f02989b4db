"""MCP servers: rows, their tools, and consents under way."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update
from sqlalchemy.exc import IntegrityError

from reverie.domain.agent import Agent
from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import McpServerId, OrganizationId, ToolId
from reverie.domain.mcp_server import McpServer, McpServerType, McpSession, McpToolLink
from reverie.domain.tool import Tool
from reverie.storage import tools as tool_rows
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import TUPLE, RowMap, loaded_by
from reverie.storage.schema import agent_tools, mcp_servers, mcp_sessions, mcp_tools, tools

_map = RowMap(mcp_servers, McpServer, {"server_type": loaded_by(McpServerType), "args": TUPLE})
_sessions = RowMap(mcp_sessions, McpSession, {})


def insert_server(c: Connection, server: McpServer) -> None:
    """Store a new server.

    Raises:
        Conflict: the organisation has a server of that name.
    """
    try:
        _map.insert(c, server)
    except IntegrityError as error:
        raise _name_taken(c, server, error) from error


def get(c: Connection, organization_id: OrganizationId, server_id: str, *, lock: bool = False) -> McpServer:
    """One server; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    return _one(c, organization_id, mcp_servers.c.id == server_id, server_id, lock)


def get_named(c: Connection, organization_id: OrganizationId, name: str) -> McpServer:
    """The server called `name`; `NotFound` as above."""
    return _one(c, organization_id, mcp_servers.c.server_name == name, name, lock=False)


def _one(c: Connection, organization_id: OrganizationId, condition: Any, shown: str, lock: bool) -> McpServer:
    query = select(mcp_servers).where(mcp_servers.c.organization_id == organization_id, condition)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("MCP server", shown)
    return _map.read(row)


def list_all(c: Connection, organization_id: OrganizationId) -> list[McpServer]:
    """The organisation's servers, by age."""
    query = select(mcp_servers).where(mcp_servers.c.organization_id == organization_id).order_by(mcp_servers.c.seq)
    return [_map.read(row) for row in c.execute(query).all()]


def list_of_agent(c: Connection, agent: Agent) -> list[McpServer]:
    """The servers whose tools the agent has, by age."""
    own = (
        select(mcp_tools.c.server_id)
        .join(agent_tools, agent_tools.c.tool_id == mcp_tools.c.tool_id)
        .where(agent_tools.c.agent_id == agent.id)
    )
    query = select(mcp_servers).where(mcp_servers.c.id.in_(own)).order_by(mcp_servers.c.seq)
    return [_map.read(row) for row in c.execute(query).all()]


def update_server(c: Connection, before: McpServer, after: McpServer) -> None:
    """Store what differs.

    Raises:
        Conflict: the organisation has another server of the new name.
    """
    try:
        _map.update(c, before, after)
    except IntegrityError as error:
        raise _name_taken(c, after, error) from error


def save_grant(c: Connection, server_id: McpServerId, server_url: str, sealed_grant: str | None) -> None:
    """Keep what an OAuth server granted, unless the server has moved elsewhere meanwhile."""
    c.execute(
        update(mcp_servers)
        .where(mcp_servers.c.id == server_id, mcp_servers.c.server_url == server_url)
        .values(sealed_grant=sealed_grant)
    )


def delete_server(c: Connection, server_id: McpServerId) -> None:
    """Remove a server and its tools, also from the agents that have them."""
    own = select(mcp_tools.c.tool_id).where(mcp_tools.c.server_id == server_id)
    c.execute(delete(tools).where(tools.c.id.in_(own)))
    _map.delete(c, server_id)


def tools_of(c: Connection, server: McpServer) -> list[tuple[Tool, McpToolLink]]:
    """The server's tools, by age."""
    links = {link.tool_id: link for link in _links(c, mcp_tools.c.server_id == server.id)}
    found = sorted(
        tool_rows.get_many(c, server.organization_id, list(links)), key=lambda tool: (tool.created_at, tool.name)
    )
    return [(tool, links[tool.id]) for tool in found]


def tool_of(c: Connection, server: McpServer, tool_id: str) -> tuple[Tool, McpToolLink]:
    """One tool of the server.

    Raises:
        NotFound: the server has no such tool.
    """
    links = _links(c, (mcp_tools.c.server_id == server.id) & (mcp_tools.c.tool_id == tool_id))
    if not links:
        raise NotFound("tool", tool_id, f"MCP server {server.server_name!r} has none of that id")
    return tool_rows.get(c, server.organization_id, tool_id), links[0]


def server_of(c: Connection, tool: Tool) -> tuple[McpServer, McpToolLink] | None:
    """The server that a tool belongs to."""
    links = _links(c, mcp_tools.c.tool_id == tool.id)
    return (get(c, tool.organization_id, links[0].server_id), links[0]) if links else None


def insert_tool(c: Connection, tool: Tool, link: McpToolLink) -> None:
    """Store a new tool of a server.

    Raises:
        Conflict: the organisation has a tool of that name.
    """
    tool_rows.insert_tool(c, tool)
    c.execute(mcp_tools.insert().values(_link_values(link)))


def update_tool(c: Connection, before: Tool, after: Tool, link: McpToolLink) -> None:
    """Store what differs."""
    tool_rows.update_tool(c, before, after)
    c.execute(update(mcp_tools).where(mcp_tools.c.tool_id == link.tool_id).values(_link_values(link)))


def delete_tool(c: Connection, tool_id: ToolId) -> None:
    """Remove a tool that its server does not offer any more, also from agents."""
    tool_rows.delete_tool(c, tool_id)


def names_taken(c: Connection, organization_id: OrganizationId, names: Sequence[str]) -> set[str]:
    """Those of `names` that tools of the organisation have."""
    query = select(tools.c.name).where(tools.c.organization_id == organization_id, tools.c.name.in_(names))
    return set(c.execute(query).scalars())


def insert_session(c: Connection, session: McpSession, now: datetime) -> None:
    """Begin a consent; those that have expired are removed."""
    c.execute(delete(mcp_sessions).where(mcp_sessions.c.expires_at < now))
    _sessions.insert(c, session)


def find_session(c: Connection, state: str, now: datetime) -> McpSession | None:
    """The consent under way that `state` names, while it has not expired."""
    query = select(mcp_sessions).where(mcp_sessions.c.state == state, mcp_sessions.c.expires_at >= now)
    row = c.execute(query).one_or_none()
    return None if row is None else _sessions.read(row)


def newest_grant(
    c: Connection, organization_id: OrganizationId, user_id: str, server_url: str, now: datetime
) -> McpSession | None:
    """The last consent that a user gave to an address which was not stored as a server."""
    query: Select[Any] = (
        select(mcp_sessions)
        .where(
            mcp_sessions.c.organization_id == organization_id,
            mcp_sessions.c.user_id == user_id,
            mcp_sessions.c.server_url == server_url,
            mcp_sessions.c.sealed_grant.is_not(None),
            mcp_sessions.c.expires_at >= now,
        )
        .order_by(mcp_sessions.c.seq.desc())
        .limit(1)
    )
    row = c.execute(query).one_or_none()
    return None if row is None else _sessions.read(row)


def save_answer(c: Connection, session: McpSession, sealed_answer: str) -> bool:
    """Keep the authorisation server's answer; false when one was there already."""
    done = c.execute(
        update(mcp_sessions)
        .where(mcp_sessions.c.id == session.id, mcp_sessions.c.sealed_answer.is_(None))
        .values(sealed_answer=sealed_answer)
    )
    return bool(done.rowcount)


def save_session_grant(c: Connection, state: str, sealed_grant: str) -> None:
    """Keep what was granted until a server of that address is stored."""
    c.execute(update(mcp_sessions).where(mcp_sessions.c.state == state).values(sealed_grant=sealed_grant))


def _links(c: Connection, condition: Any) -> list[McpToolLink]:
    rows = c.execute(select(mcp_tools).where(condition)).mappings().all()
    return [
        McpToolLink(
            tool_id=ToolId(row["tool_id"]),
            server_id=McpServerId(row["server_id"]),
            tool_name=row["tool_name"],
            renamed=row["renamed"],
        )
        for row in rows
    ]


def _link_values(link: McpToolLink) -> Mapping[str, Any]:
    return {
        "tool_id": link.tool_id,
        "server_id": link.server_id,
        "tool_name": link.tool_name,
        "renamed": dict(link.renamed),
    }


def _name_taken(c: Connection, server: McpServer, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        return Conflict(f"an MCP server named {server.server_name!r} exists already; update it, or use another name")
    return error
