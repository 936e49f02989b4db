"""MCP servers: programs outside that offer tools, and what was found there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reverie.domain.ids import McpServerId, OrganizationId, ToolId
from reverie.domain.json import JsonObject
from reverie.domain.tool import Tool
from reverie.domain.unset import UNSET, Unset


class McpServerType(StrEnum):
    """How a server is spoken to. Source: `MCPServerType`, API description, read 2026-11."""

    STDIO = "stdio"
    SSE = "sse"
    STREAMABLE_HTTP = "streamable_http"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSecrets:
    """What of a server's configuration is stored sealed."""

    auth_token: str | None = None
    custom_headers: Mapping[str, str] | None = None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A configured server. Source: `StdioMcpServer` and its siblings in the client SDK, read 2026-11."""

    id: McpServerId
    organization_id: OrganizationId
    server_name: str
    """No two of one organisation share it."""
    server_type: McpServerType
    server_url: str | None = None
    auth_header: str | None = None
    """Header that carries the token; None with a token: `Authorization`."""
    command: str | None = None
    args: tuple[str, ...] = ()
    sealed_secrets: str | None = field(default=None, repr=False)
    """`McpSecrets` as JSON, sealed for the server's id."""
    sealed_grant: str | None = field(default=None, repr=False)
    """What an OAuth server granted, as JSON, sealed likewise."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerDraft:
    """A server to be made, or one that is only tried out."""

    server_name: str
    server_type: McpServerType
    server_url: str | None = None
    auth_header: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    secrets: McpSecrets = field(default_factory=McpSecrets, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerChanges:
    """A partial update of a server."""

    server_name: str | Unset = UNSET
    server_type: McpServerType | Unset = UNSET
    server_url: str | Unset = UNSET
    auth_header: str | Unset | None = UNSET
    auth_token: str | Unset | None = field(default=UNSET, repr=False)
    custom_headers: Mapping[str, str] | Unset | None = field(default=UNSET, repr=False)
    command: str | Unset = UNSET
    args: tuple[str, ...] | Unset = UNSET
    env: Mapping[str, str] | Unset | None = field(default=UNSET, repr=False)


class SchemaStatus(StrEnum):
    """How fit a schema is for models. Source: `MCPToolHealth`, API description, read 2026-11."""

    STRICT_COMPLIANT = "STRICT_COMPLIANT"
    NON_STRICT_ONLY = "NON_STRICT_ONLY"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpOffer:
    """A tool as its server offers it, and what becomes of it here."""

    name: str
    """As the server calls it."""
    description: str
    raw: JsonObject
    """All that the server says, in MCP's own words."""
    parameters: JsonObject
    """The argument schema in a form that all model providers take."""
    status: SchemaStatus
    reasons: tuple[str, ...] = ()
    """What keeps it from strict mode or, with `INVALID`, from being used at all."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Arguments whose names no provider takes: from the name models see to the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpToolLink:
    """Which tool of which server a tool is."""

    tool_id: ToolId
    server_id: McpServerId
    tool_name: str
    """As the server calls it; the tool's own name may differ, since names are unique here."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """See `McpOffer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSync:
    """What a refresh changed, by the names of tools."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tools that cannot be used, and why."""
    tools: tuple[Tool, ...] = ()
    """All of the server's tools afterwards."""


class ConnectStep(StrEnum):
    """What a connection that may need a person's consent goes through.

    Source: the events of the retired server's connect stream, observed 2026-11.
    """

    CONNECTION_ATTEMPT = "connection_attempt"
    OAUTH_REQUIRED = "oauth_required"
    AUTHORIZATION_URL = "authorization_url"
    WAITING_FOR_AUTH = "waiting_for_auth"
    SUCCESS = "success"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectEvent:
    """One step of a connection."""

    step: ConnectStep
    server_name: str | None = None
    message: str | None = None
    url: str | None = None
    """Where the person gives consent."""
    session_id: str | None = None
    offers: tuple[McpOffer, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSession:
    """A person's consent under way: from the address they are sent to, to what the server grants."""

    id: str
    """`mcp-oauth-<uuid>`"""
    organization_id: OrganizationId
    user_id: str
    server_id: McpServerId | None
    server_url: str
    state: str
    """The secret by which the answer finds back; unique."""
    sealed_answer: str | None = field(default=None, repr=False)
    """Code and issuer, or the error, as the authorisation server sent them; JSON, sealed for `id`."""
    sealed_grant: str | None = field(default=None, repr=False)
    """What was granted to a server that is not stored yet; sealed for `id`."""
    created_at: datetime
    expires_at: datetime
