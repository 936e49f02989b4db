"""MCP servers on the wire.

Source: `StdioMcpServer` and its siblings in the client SDK, and the API description's older
`StdioServerConfig`, `SSEServerConfig`, `StreamableHTTPServerConfig` and `MCPTool`, read 2026-11.
"""

from typing import Any, Literal, Self, TypeAlias, assert_never

from pydantic import AliasChoices, Field, model_validator
from typing_extensions import TypedDict

from reverie.api.wire.base import Body, changes_of
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import (
    ConnectEvent,
    McpOffer,
    McpSecrets,
    McpServer,
    McpServerChanges,
    McpServerDraft,
    McpServerType,
    McpSync,
)

ServerKind: TypeAlias = Literal["stdio", "sse", "streamable_http"]


class StdioServerState(TypedDict):
    """A server that is started as a process."""

    id: str
    server_name: str
    mcp_server_type: Literal["stdio"]
    command: str
    args: list[str]
    env: dict[str, str] | None


class SseServerState(TypedDict):
    """A server over HTTP with Server-Sent Events, the older way."""

    id: str
    server_name: str
    mcp_server_type: Literal["sse"]
    server_url: str
    auth_header: str | None
    auth_token: str | None
    custom_headers: dict[str, str] | None


class StreamableHttpServerState(TypedDict):
    """A server over streamable HTTP."""

    id: str
    server_name: str
    mcp_server_type: Literal["streamable_http"]
    server_url: str
    auth_header: str | None
    auth_token: str | None
    custom_headers: dict[str, str] | None


McpServerState: TypeAlias = StdioServerState | SseServerState | StreamableHttpServerState


def server_state(server: McpServer, secrets: McpSecrets) -> McpServerState:
    """`server` as clients read it, with as much of its secrets as the caller may see."""
    match server.server_type:
        case McpServerType.STDIO:
            return {
                "id": server.id,
                "server_name": server.server_name,
                "mcp_server_type": "stdio",
                "command": server.command or "",
                "args": list(server.args),
                "env": _plain(secrets.env),
            }
        case McpServerType.SSE:
            return {
                "id": server.id,
                "server_name": server.server_name,
                "mcp_server_type": "sse",
                **_http(server, secrets),
            }
        case McpServerType.STREAMABLE_HTTP:
            return {
                "id": server.id,
                "server_name": server.server_name,
                "mcp_server_type": "streamable_http",
                **_http(server, secrets),
            }
        case impossible:
            assert_never(impossible)


class _HttpPart(TypedDict):
    server_url: str
    auth_header: str | None
    auth_token: str | None
    custom_headers: dict[str, str] | None


def _http(server: McpServer, secrets: McpSecrets) -> _HttpPart:
    return {
        "server_url": server.server_url or "",
        "auth_header": server.auth_header,
        "auth_token": secrets.auth_token,
        "custom_headers": _plain(secrets.custom_headers),
    }


def _plain(items: Any) -> dict[str, str] | None:
    return dict(items) if items else None


def old_state(server: McpServer, secrets: McpSecrets) -> JsonObject:
    """The form of `/v1/tools/mcp/servers`: the kind is called `type`, and there is no id."""
    state: JsonObject = dict(server_state(server, secrets))
    del state["id"]
    return {"server_name": state.pop("server_name"), "type": state.pop("mcp_server_type"), **state}


class ToolHealth(TypedDict):
    """How fit a tool's schema is for models, and why it is no fitter."""

    status: str
    reasons: list[str]


def offer_state(offer: McpOffer) -> JsonObject:
    """A tool in MCP's own words, and its health."""
    health: ToolHealth = {"status": offer.status.value, "reasons": list(offer.reasons)}
    return {**offer.raw, "name": offer.name, "inputSchema": offer.raw.get("inputSchema") or {}, "health": health}


class SyncState(TypedDict):
    """What a refresh changed, by the names of tools."""

    added: list[str]
    updated: list[str]
    deleted: list[str]
    refused: dict[str, list[str]]


def sync_state(sync: McpSync) -> SyncState:
    """`sync` as clients read it."""
    return {
        "added": list(sync.added),
        "updated": list(sync.updated),
        "deleted": list(sync.deleted),
        "refused": {name: list(reasons) for name, reasons in sync.refused.items()},
    }


def connect_state(event: ConnectEvent) -> JsonObject:
    """One event of a connect stream."""
    state: JsonObject = {"event": event.step.value}
    for name in ("server_name", "message", "url", "session_id"):
        value = getattr(event, name)
        if value is not None:
            state[name] = value
    if event.offers is not None:
        state["tools"] = [offer_state(offer) for offer in event.offers]
    return state


class McpConfigBody(Body):
    """How a server is reached. Without its kind, a command means `stdio` and an address `streamable_http`."""

    mcp_server_type: ServerKind | None = Field(default=None, validation_alias=AliasChoices("mcp_server_type", "type"))
    server_url: str | None = Field(default=None, max_length=4000)
    auth_header: str | None = Field(default=None, max_length=200)
    auth_token: str | None = Field(
        default=None, max_length=20_000, validation_alias=AliasChoices("auth_token", "token")
    )
    custom_headers: dict[str, str] | None = None
    command: str | None = Field(default=None, max_length=4000)
    args: list[str] | None = None
    env: dict[str, str] | None = None

    def kind(self) -> McpServerType | None:
        """What was said or can be told; None: neither."""
        if self.mcp_server_type is not None:
            return McpServerType(self.mcp_server_type)
        if self.command is not None:
            return McpServerType.STDIO
        return None if self.server_url is None else McpServerType.STREAMABLE_HTTP

    def draft(self, name: str) -> McpServerDraft:
        """The server as operations take it; `complete` has been seen to."""
        kind = self.kind() or McpServerType.STREAMABLE_HTTP
        stdio = kind is McpServerType.STDIO
        return McpServerDraft(
            server_name=name,
            server_type=kind,
            server_url=None if stdio else self.server_url,
            auth_header=None if stdio else self.auth_header,
            command=self.command if stdio else None,
            args=tuple(self.args or ()) if stdio else (),
            secrets=McpSecrets(
                auth_token=None if stdio else self.auth_token,
                custom_headers=None if stdio else self.custom_headers,
                env=self.env if stdio else None,
            ),
        )

    def changes(self, name: str | None) -> McpServerChanges:
        """The changes that operations apply; null clears what may be empty and leaves the rest."""
        given = self.given()
        kind = given.pop("mcp_server_type", None)
        if kind is not None:
            given["server_type"] = McpServerType(kind)
        if name is not None:
            given["server_name"] = name
        return changes_of(McpServerChanges, given)


class McpConfigCreate(McpConfigBody):
    """A whole configuration."""

    @model_validator(mode="after")
    def complete(self) -> Self:
        """See that the server can be reached."""
        kind = self.kind()
        if kind is None:
            raise ValueError("give server_url for a server over HTTP, or command and args for one over stdio")
        if kind is McpServerType.STDIO and not self.command:
            raise ValueError("command is missing: a server of type stdio is started with one")
        if kind is not McpServerType.STDIO and not self.server_url:
            raise ValueError(f"server_url is missing: a server of type {kind.value} has one")
        return self


class McpServerCreate(Body):
    """A server to be made."""

    server_name: str = Field(min_length=1, max_length=255)
    config: McpConfigCreate

    def to_domain(self) -> McpServerDraft:
        """The draft that operations store."""
        return self.config.draft(self.server_name)


class McpServerUpdate(Body):
    """A partial update of a server."""

    config: McpConfigBody
    server_name: str | None = Field(default=None, min_length=1, max_length=255)

    def to_domain(self) -> McpServerChanges:
        """The changes that operations apply."""
        return self.config.changes(self.server_name)


class OldServerConfig(McpConfigCreate):
    """A server in the form of `/v1/tools/mcp/servers`."""

    server_name: str = Field(min_length=1, max_length=255)

    def to_domain(self) -> McpServerDraft:
        """The draft that operations store or try out."""
        return self.draft(self.server_name)


class OldServerUpdate(McpConfigBody):
    """A partial update in the older form; a process is described in `stdio_config`."""

    server_name: str | None = Field(default=None, min_length=1, max_length=255)
    stdio_config: McpConfigBody | None = None

    def to_domain(self) -> McpServerChanges:
        """The changes that operations apply."""
        if self.stdio_config is not None:
            return self.stdio_config.changes(self.server_name)
        return self.changes(self.server_name)


class McpToolArguments(Body):
    """Arguments of one call."""

    args: dict[str, Any] = Field(default_factory=dict)


class OldToolResult(TypedDict):
    """What a call gave, in the older form."""

    result: Any
    success: bool
