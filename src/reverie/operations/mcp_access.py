"""MCP servers as connections need them: secrets opened and sealed, tools kept in step. Shared by operations."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Connection

from reverie.auth.cipher import Cipher
from reverie.auth.keys import Caller
from reverie.domain.clock import Clock
from reverie.domain.errors import BadGateway, NotFound
from reverie.domain.ids import ToolId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import (
    McpOffer,
    McpSecrets,
    McpServer,
    McpServerDraft,
    McpSession,
    McpSync,
    McpToolLink,
    SchemaStatus,
)
from reverie.domain.tool import Tool, ToolType
from reverie.storage import mcp_servers
from reverie.storage.database import Database
from reverie.tools.mcp import McpRoute, McpTarget, request_headers
from reverie.tools.mcp_schema import plain_name

CONSENT_LIFE: Final = timedelta(minutes=15)
"""How long a consent may take, and how long its grant waits for a server to be stored."""
_POLL_S: Final = 0.25


def seal_secrets(cipher: Cipher, server_id: str, found: McpSecrets) -> str | None:
    """The sealed text of a server's secrets; None where it has none."""
    given = {"auth_token": found.auth_token, "custom_headers": found.custom_headers, "env": found.env}
    kept = {name: value if isinstance(value, str) else dict(value) for name, value in given.items() if value}
    return cipher.encrypt(json.dumps(kept), server_id) if kept else None


def open_secrets(cipher: Cipher, server: McpServer) -> McpSecrets:
    """The secrets of a server."""
    if server.sealed_secrets is None:
        return McpSecrets()
    return McpSecrets(**json.loads(cipher.decrypt(server.sealed_secrets, server.id)))


def target_of(cipher: Cipher, server: McpServer) -> McpTarget:
    """What a connection to a stored server needs."""
    found = open_secrets(cipher, server)
    grant = None if server.sealed_grant is None else json.loads(cipher.decrypt(server.sealed_grant, server.id))
    return McpTarget(
        server_id=server.id,
        organization_id=server.organization_id,
        name=server.server_name,
        server_type=server.server_type,
        url=server.server_url,
        headers=request_headers(server.auth_header, found.auth_token, found.custom_headers),
        command=server.command,
        args=server.args,
        env=found.env or {},
        grant=grant,
    )


def target_of_draft(caller: Caller, draft: McpServerDraft) -> McpTarget:
    """The same for a server that is not stored."""
    found = draft.secrets
    return McpTarget(
        server_id=None,
        organization_id=caller.organization_id,
        name=draft.server_name,
        server_type=draft.server_type,
        url=draft.server_url,
        headers=request_headers(draft.auth_header, found.auth_token, found.custom_headers),
        command=draft.command,
        args=draft.args,
        env=found.env or {},
    )


class StoredMcpServers:
    """Implements `McpDirectory` over the database."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def route(self, tool: Tool) -> McpRoute | None:
        """See `McpDirectory.route`."""
        found = await self._database.read(lambda c: mcp_servers.server_of(c, tool))
        if found is None:
            return None
        server, link = found
        return McpRoute(target=target_of(self._cipher, server), tool_name=link.tool_name, renamed=link.renamed)

    async def save_grant(self, target: McpTarget, grant: JsonObject) -> None:
        """See `McpDirectory.save_grant`."""
        server_id = target.server_id
        if server_id is None:
            return
        sealed = self._cipher.encrypt(json.dumps(grant), server_id)
        await self._database.write(lambda c: mcp_servers.save_grant(c, server_id, target.url or "", sealed))


class StoredConsent:
    """Implements `Consent` over the database, so that the answer may come in at another process."""

    def __init__(self, database: Database, cipher: Cipher, clock: Clock, caller: Caller, target: McpTarget, uri: str):
        self._database = database
        self._cipher = cipher
        self._clock = clock
        self._caller = caller
        self._target = target
        self._session: McpSession | None = None
        self.redirect_uri = uri
        self.asked: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        """The address the person is sent to, and the session's id, once they are known."""

    async def ask(self, url: str) -> None:
        """See `Consent.ask`."""
        now = self._clock()
        session = McpSession(
            id=make_id("mcp-oauth"),
            organization_id=self._caller.organization_id,
            user_id=self._caller.user_id,
            server_id=self._target.server_id,
            server_url=self._target.url or "",
            state=parse_qs(urlsplit(url).query)["state"][0],
            created_at=now,
            expires_at=now + CONSENT_LIFE,
        )
        await self._database.write(lambda c: mcp_servers.insert_session(c, session, now))
        self._session = session
        self.asked.set_result((url, session.id))

    async def answer(self) -> tuple[str, str, str | None]:
        """See `Consent.answer`."""
        session = self._session
        assert session is not None
        while True:
            found = await self._database.read(lambda c: mcp_servers.find_session(c, session.state, self._clock()))
            if found is None:
                raise BadGateway("the time for consent is over; connect again")
            if found.sealed_answer is not None:
                break
            await asyncio.sleep(_POLL_S)
        answer: Mapping[str, Any] = json.loads(self._cipher.decrypt(found.sealed_answer, found.id))
        if answer.get("error"):
            raise BadGateway(f"the authorisation server refuses: {answer['error']}")
        return answer["code"], session.state, answer.get("iss")

    async def granted(self, grant: JsonObject) -> None:
        """See `Consent.granted`."""
        text, session, target = json.dumps(grant), self._session, self._target
        server_id = target.server_id
        if server_id is not None:
            sealed = self._cipher.encrypt(text, server_id)
            await self._database.write(lambda c: mcp_servers.save_grant(c, server_id, target.url or "", sealed))
        elif session is not None:
            sealed = self._cipher.encrypt(text, session.id)
            await self._database.write(lambda c: mcp_servers.save_session_grant(c, session.state, sealed))


def adopt_grant(c: Connection, cipher: Cipher, server: McpServer, user_id: str, now: datetime) -> McpServer:
    """`server` with what its address granted to the same user just before it was stored."""
    found = mcp_servers.newest_grant(c, server.organization_id, user_id, server.server_url or "", now)
    if found is None or found.sealed_grant is None:
        return server
    grant = cipher.decrypt(found.sealed_grant, found.id)
    return replace(server, sealed_grant=cipher.encrypt(grant, server.id))


def sync_tools(c: Connection, server: McpServer, offers: Sequence[McpOffer], user_id: str, now: datetime) -> McpSync:
    """Bring the server's rows of tools in line with what it offers. Tools that stay keep id and attachments."""
    before = {link.tool_name: (tool, link) for tool, link in mcp_servers.tools_of(c, server)}
    usable = {offer.name: offer for offer in offers if offer.status is not SchemaStatus.INVALID}
    added: list[str] = []
    updated: list[str] = []
    tools: list[Tool] = []
    for name, offer in usable.items():
        if name in before:
            tool, link = before[name]
            after = _renewed(tool, offer)
            if after != tool or link.renamed != dict(offer.renamed):
                after = replace(after, updated_at=now, last_updated_by_id=user_id)
                mcp_servers.update_tool(c, tool, after, replace(link, renamed=dict(offer.renamed)))
                updated.append(tool.name)
            tools.append(after)
            continue
        tool = _make_tool(server, offer, _free_name(c, server, name), user_id, now)
        link = McpToolLink(tool_id=tool.id, server_id=server.id, tool_name=name, renamed=dict(offer.renamed))
        mcp_servers.insert_tool(c, tool, link)
        added.append(tool.name)
        tools.append(tool)
    gone = [tool for name, (tool, _) in before.items() if name not in usable]
    for tool in gone:
        mcp_servers.delete_tool(c, tool.id)
    return McpSync(
        added=tuple(added),
        updated=tuple(updated),
        deleted=tuple(tool.name for tool in gone),
        refused={offer.name: offer.reasons for offer in offers if offer.status is SchemaStatus.INVALID},
        tools=tuple(tools),
    )


def _schema(name: str, offer: McpOffer) -> JsonObject:
    return {"name": name, "description": offer.description, "parameters": offer.parameters}


def _renewed(tool: Tool, offer: McpOffer) -> Tool:
    return replace(tool, description=offer.description, json_schema=_schema(tool.name, offer))


def _make_tool(server: McpServer, offer: McpOffer, name: str, user_id: str, now: datetime) -> Tool:
    about = {"server_name": server.server_name, "server_id": server.id, "tool_name": offer.name}
    return Tool(
        id=ToolId(make_id("tool")),
        organization_id=server.organization_id,
        name=name,
        tool_type=ToolType.EXTERNAL_MCP,
        description=offer.description,
        json_schema=_schema(name, offer),
        source_type="json",
        tags=(f"mcp:{server.server_name}",),
        metadata={"mcp": about},
        created_at=now,
        updated_at=now,
        created_by_id=user_id,
        last_updated_by_id=user_id,
    )


def _free_name(c: Connection, server: McpServer, name: str) -> str:
    """The tool's own name or, where another tool has it, one with the server's before it."""
    first = plain_name(name)
    second = plain_name(f"{server.server_name}_{name}")
    candidates = [first, second, *(f"{second[:60]}_{number}" for number in range(2, 100))]
    taken = mcp_servers.names_taken(c, server.organization_id, candidates)
    for candidate in candidates:
        if candidate not in taken:
            return candidate
    raise NotFound("free name for tool", name, "a hundred tools are called that")
