"""What callers can ask for about MCP servers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import BadGateway, Conflict, InvalidInput, NotFound, ReverieError, TimedOut, ToolError
from reverie.domain.ids import AgentId, McpServerId, ToolId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import (
    ConnectEvent,
    ConnectStep,
    McpOffer,
    McpSecrets,
    McpServer,
    McpServerChanges,
    McpServerDraft,
    McpServerType,
    McpSync,
    McpToolLink,
    SchemaStatus,
)
from reverie.domain.tool import Tool
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.operations.mcp_access import (
    StoredConsent,
    adopt_grant,
    open_secrets,
    seal_secrets,
    sync_tools,
    target_of,
    target_of_draft,
)
from reverie.storage import agents, mcp_servers
from reverie.tools.arguments import fit_arguments
from reverie.tools.base import ToolOutcome
from reverie.tools.mcp import AuthorizationNeeded, McpTarget, as_the_server_says

log = structlog.get_logger(__name__)

_SECRET: Final = frozenset({"auth_token", "custom_headers", "env"})
_SYNC_ATTEMPTS: Final = 3


async def create(ops: Operations, caller: Caller, draft: McpServerDraft) -> McpServer:
    """Store a server and its tools. A server that is down or asks for consent is stored without tools.

    Raises:
        Conflict: the organisation has a server of that name.
        InvalidInput: its address may not be opened, or processes may not be started here.
    """
    _require(caller, draft.server_type)
    target = target_of_draft(caller, draft)
    await ops.mcp.check(target)
    now = ops.clock()
    server_id = McpServerId(make_id("mcp_server"))
    server = McpServer(
        id=server_id,
        organization_id=caller.organization_id,
        server_name=draft.server_name,
        server_type=draft.server_type,
        server_url=draft.server_url,
        auth_header=draft.auth_header,
        command=draft.command,
        args=draft.args,
        sealed_secrets=seal_secrets(ops.cipher, server_id, draft.secrets),
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )

    def store(c: Connection) -> McpServer:
        whole = adopt_grant(c, ops.cipher, server, caller.user_id, now) if target.may_authorize else server
        mcp_servers.insert_server(c, whole)
        return whole

    stored = await ops.database.write(store)
    try:
        await _sync(ops, caller, stored, {})
    except (BadGateway, TimedOut) as error:
        log.warning("mcp_tools_not_listed", server=stored.server_name, error=str(error))
    return stored


async def retrieve(ops: Operations, caller: Caller, server_id: McpServerId) -> McpServer:
    """One server."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: mcp_servers.get(c, caller.organization_id, server_id))


async def find(ops: Operations, caller: Caller, name: str) -> McpServer:
    """The server called `name`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: mcp_servers.get_named(c, caller.organization_id, name))


async def list_servers(ops: Operations, caller: Caller) -> list[McpServer]:
    """All servers of the organisation, by age."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: mcp_servers.list_all(c, caller.organization_id))


def secrets_of(ops: Operations, caller: Caller, server: McpServer) -> McpSecrets:
    """What may be shown of a server's secrets: all to those who could change them, nothing to others."""
    return open_secrets(ops.cipher, server) if caller.holds(Scope.TOOLS) else McpSecrets()


async def list_of_agent(ops: Operations, caller: Caller, agent_id: AgentId) -> list[McpServer]:
    """The servers whose tools the agent has, by age."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: mcp_servers.list_of_agent(c, agents.get(c, caller.organization_id, agent_id))
    )


async def update(ops: Operations, caller: Caller, server_id: McpServerId, changes: McpServerChanges) -> McpServer:
    """Change what `changes` names; a refresh then lists the tools anew. A grant ends with the address it was for.

    Raises:
        Conflict: another server has the new name.
        InvalidInput: what the server needs is missing, or may not be opened.
    """
    caller.require(Scope.TOOLS)
    known = await ops.database.read(lambda c: mcp_servers.get(c, caller.organization_id, server_id))
    await ops.mcp.check(target_of(ops.cipher, _changed(ops, caller, known, changes)))

    def store(c: Connection) -> McpServer:
        before = mcp_servers.get(c, caller.organization_id, server_id, lock=True)
        after = replace(
            _changed(ops, caller, before, changes), updated_at=ops.clock(), last_updated_by_id=caller.user_id
        )
        mcp_servers.update_server(c, before, after)
        return after

    stored = await ops.database.write(store)
    await ops.mcp.forget(server_id)
    return stored


def _changed(ops: Operations, caller: Caller, before: McpServer, changes: McpServerChanges) -> McpServer:
    given: dict[str, Any] = {
        item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET
    }
    found = replace(open_secrets(ops.cipher, before), **{name: given[name] for name in _SECRET & given.keys()})
    after = replace(
        before,
        **{name: value for name, value in given.items() if name not in _SECRET},
        sealed_secrets=seal_secrets(ops.cipher, before.id, found),
    )
    if after.server_type is McpServerType.STDIO:
        if not after.command:
            raise InvalidInput("config.command: a server of type stdio needs a command")
        after = replace(after, server_url=None, auth_header=None)
    else:
        if not after.server_url:
            raise InvalidInput(f"config.server_url: a server of type {after.server_type} needs an address")
        after = replace(after, command=None, args=())
    if McpServerType.STDIO in (before.server_type, after.server_type):
        _require(caller, McpServerType.STDIO)
    return after if after.server_url == before.server_url else replace(after, sealed_grant=None)


async def delete(ops: Operations, caller: Caller, server_id: McpServerId) -> None:
    """Remove a server and its tools, also from the agents that have them."""
    caller.require(Scope.TOOLS)

    def remove(c: Connection) -> None:
        mcp_servers.delete_server(c, mcp_servers.get(c, caller.organization_id, server_id, lock=True).id)

    await ops.database.write(remove)
    await ops.mcp.forget(server_id)


async def refresh(ops: Operations, caller: Caller, server_id: McpServerId, agent_id: AgentId | None = None) -> McpSync:
    """List the server's tools anew; `agent_id` lends its secrets to variables in headers.

    Raises:
        TimedOut, BadGateway: the server is slow, gone, or asks for consent; nothing has changed.
    """
    caller.require(Scope.TOOLS)
    server = await ops.database.read(lambda c: mcp_servers.get(c, caller.organization_id, server_id))
    return await _sync(ops, caller, server, await _environment(ops, caller, agent_id))


async def list_tools(ops: Operations, caller: Caller, server_id: McpServerId) -> list[Tool]:
    """The stored tools of a server, by age."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Tool]:
        server = mcp_servers.get(c, caller.organization_id, server_id)
        return [tool for tool, _ in mcp_servers.tools_of(c, server)]

    return await ops.database.read(read)


async def retrieve_tool(ops: Operations, caller: Caller, server_id: McpServerId, tool_id: ToolId) -> Tool:
    """One stored tool of a server."""
    caller.require(Scope.READ)
    _, tool, _ = await _find_tool(ops, caller, server_id, tool_id)
    return tool


async def run_tool(
    ops: Operations, caller: Caller, server_id: McpServerId, tool_id: ToolId, args: JsonObject
) -> ToolOutcome:
    """Call a tool of a server now, outside any conversation. Wrong arguments and the tool's own errors are outcomes.

    Raises:
        TimedOut, BadGateway: the server is slow, gone, or asks for consent.
    """
    caller.require(Scope.TOOLS)
    server, tool, link = await _find_tool(ops, caller, server_id, tool_id)
    try:
        checked = fit_arguments(args, tool.spec)
    except ToolError as error:
        return ToolOutcome.error(str(error))
    target = target_of(ops.cipher, server).filled({})
    return await ops.mcp.call_tool(target, link.tool_name, as_the_server_says(checked, link.renamed))


async def offers(ops: Operations, caller: Caller, name: str) -> list[McpOffer]:
    """What the server called `name` offers right now, unusable tools among it.

    Raises:
        TimedOut, BadGateway: the server is slow, gone, or asks for consent.
    """
    caller.require(Scope.READ)
    server = await ops.database.read(lambda c: mcp_servers.get_named(c, caller.organization_id, name))
    return await ops.mcp.list_tools(target_of(ops.cipher, server).filled({}))


async def add_tool(ops: Operations, caller: Caller, name: str, tool_name: str) -> Tool:
    """The tool of a server by their names, listed anew where it is not stored yet.

    Raises:
        NotFound: the server offers no such tool.
        InvalidInput: the tool cannot be used; the text says why.
    """
    caller.require(Scope.TOOLS)

    def read(c: Connection) -> tuple[McpServer, Tool | None]:
        server = mcp_servers.get_named(c, caller.organization_id, name)
        known = {link.tool_name: tool for tool, link in mcp_servers.tools_of(c, server)}
        return server, known.get(tool_name)

    server, tool = await ops.database.read(read)
    if tool is not None:
        return tool
    found = await _sync(ops, caller, server, {})
    if tool_name in found.refused:
        reasons = "; ".join(found.refused[tool_name])
        raise InvalidInput(f"tool {tool_name!r} of MCP server {name!r} cannot be used: {reasons}")
    _, tool = await ops.database.read(read)
    if tool is None:
        raise NotFound("tool", tool_name, f"MCP server {name!r} offers none of that name")
    return tool


async def execute(ops: Operations, caller: Caller, name: str, tool_name: str, args: JsonObject) -> ToolOutcome:
    """Call a tool by the names of server and tool, as the server itself calls it."""
    caller.require(Scope.TOOLS)
    server = await ops.database.read(lambda c: mcp_servers.get_named(c, caller.organization_id, name))
    return await ops.mcp.call_tool(target_of(ops.cipher, server).filled({}), tool_name, args)


async def try_out(ops: Operations, caller: Caller, draft: McpServerDraft) -> list[McpOffer]:
    """Connect to a server without storing it, and list what it offers.

    Raises:
        TimedOut, BadGateway: the server is slow, gone, or asks for consent.
    """
    _require(caller, draft.server_type)
    return await ops.mcp.list_tools(target_of_draft(caller, draft).filled({}))


async def connect(
    ops: Operations, caller: Caller, server_id: McpServerId, redirect_uri: str
) -> AsyncGenerator[ConnectEvent, None]:
    """Connect to a stored server, with a person's consent where it asks for that, and keep its tools.

    Raises:
        NotFound: there is no such server.
    """
    caller.require(Scope.TOOLS)
    server = await ops.database.read(lambda c: mcp_servers.get(c, caller.organization_id, server_id))
    return _connecting(ops, caller, target_of(ops.cipher, server), redirect_uri, server)


async def connect_draft(
    ops: Operations, caller: Caller, draft: McpServerDraft, redirect_uri: str
) -> AsyncGenerator[ConnectEvent, None]:
    """The same for a server that is not stored: what it grants waits until one of its address is."""
    _require(caller, draft.server_type)
    return _connecting(ops, caller, target_of_draft(caller, draft), redirect_uri, None)


async def take_answer(ops: Operations, state: str, answer: Mapping[str, str | None]) -> str | None:
    """Keep what an authorisation server sent back with a person; return the address consent was for.

    Nobody's key comes with it: `state` alone, which only the two servers know, says whose it is.
    None: no consent of that state is under way.
    """
    now = ops.clock()

    def store(c: Connection) -> str | None:
        session = mcp_servers.find_session(c, state, now)
        if session is None:
            return None
        sealed = ops.cipher.encrypt(json.dumps({k: v for k, v in answer.items() if v}), session.id)
        return session.server_url if mcp_servers.save_answer(c, session, sealed) else None

    return await ops.database.write(store)


async def _connecting(
    ops: Operations, caller: Caller, target: McpTarget, redirect_uri: str, server: McpServer | None
) -> AsyncGenerator[ConnectEvent, None]:
    yield ConnectEvent(step=ConnectStep.CONNECTION_ATTEMPT, server_name=target.name)
    try:
        found = await ops.mcp.list_tools(target.filled({}))
    except AuthorizationNeeded:
        found = None
    except ReverieError as error:
        yield ConnectEvent(step=ConnectStep.ERROR, message=f"connection failed: {error}")
        return
    if found is None:
        yield ConnectEvent(step=ConnectStep.OAUTH_REQUIRED, message="a person has to give consent")
        consent = StoredConsent(ops.database, ops.cipher, ops.clock, caller, target, redirect_uri)
        task = asyncio.create_task(ops.mcp.authorize(target.filled({}), consent), name=f"mcp-consent-{target.name}")
        try:
            waiting: set[asyncio.Future[Any]] = {task, consent.asked}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if consent.asked.done():
                url, session_id = consent.asked.result()
                yield ConnectEvent(step=ConnectStep.AUTHORIZATION_URL, url=url, session_id=session_id)
                yield ConnectEvent(step=ConnectStep.WAITING_FOR_AUTH, message="open the address and give consent")
            found = await task
        except ReverieError as error:
            yield ConnectEvent(step=ConnectStep.ERROR, message=str(error))
            return
        finally:
            task.cancel()  # whoever followed hung up
    if server is not None:
        await _store_offers(ops, caller, server, found)
    yield ConnectEvent(step=ConnectStep.SUCCESS, offers=tuple(found))


async def _find_tool(
    ops: Operations, caller: Caller, server_id: McpServerId, tool_id: ToolId
) -> tuple[McpServer, Tool, McpToolLink]:
    def read(c: Connection) -> tuple[McpServer, Tool, McpToolLink]:
        server = mcp_servers.get(c, caller.organization_id, server_id)
        return (server, *mcp_servers.tool_of(c, server, tool_id))

    return await ops.database.read(read)


async def _sync(ops: Operations, caller: Caller, server: McpServer, environment: Mapping[str, str]) -> McpSync:
    found = await ops.mcp.list_tools(target_of(ops.cipher, server).filled(environment))
    return await _store_offers(ops, caller, server, found)


async def _store_offers(ops: Operations, caller: Caller, server: McpServer, found: Sequence[McpOffer]) -> McpSync:
    await ensure_builtin(ops, caller.organization_id)  # so that their names are taken

    def store(c: Connection) -> McpSync:
        held = mcp_servers.get(c, caller.organization_id, server.id, lock=True)
        return sync_tools(c, held, found, caller.user_id, ops.clock())

    for attempt in range(_SYNC_ATTEMPTS):
        try:
            done = await ops.database.write(store)
            break
        except Conflict:  # somebody took a name between our look and our insert
            if attempt == _SYNC_ATTEMPTS - 1:
                raise
    for offer in found:
        if offer.status is SchemaStatus.INVALID:
            log.warning("mcp_tool_refused", server=server.server_name, tool=offer.name, reasons=list(offer.reasons))
    return done


async def _environment(ops: Operations, caller: Caller, agent_id: AgentId | None) -> dict[str, str]:
    if agent_id is None:
        return {}
    agent = await ops.database.read(lambda c: agents.get(c, caller.organization_id, agent_id))
    return {name: ops.cipher.decrypt(sealed, agent.id) for name, sealed in agent.sealed_secrets.items()}


def _require(caller: Caller, server_type: McpServerType) -> None:
    """Tools over HTTP run elsewhere; a process of this machine can do what the server itself can."""
    caller.require(Scope.ADMIN if server_type is McpServerType.STDIO else Scope.TOOLS)
