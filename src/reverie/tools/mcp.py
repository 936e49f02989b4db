"""The contract for MCP servers: what a connection needs to know, and what it can do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from reverie.domain.errors import BadGateway, MalformedInput
from reverie.domain.ids import McpServerId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpOffer, McpServerType
from reverie.domain.tool import Tool
from reverie.tools.base import ToolOutcome

_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\|([^{}]*))?\}\}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class AuthorizationNeeded(BadGateway):
    """The server answers only to those whom a person let in; the text says how to get there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTarget:
    """A server as a connection needs it: secrets opened, variables filled in."""

    server_id: McpServerId | None
    """None: not stored, only tried out."""
    organization_id: OrganizationId
    name: str
    server_type: McpServerType
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    grant: JsonObject | None = field(default=None, repr=False)
    """What an OAuth server granted; the connection renews it."""

    @property
    def may_authorize(self) -> bool:
        """Whether a person can be asked: over HTTP, where no header speaks for them already."""
        return self.url is not None and not any(name.lower() == "authorization" for name in self.headers)

    def filled(self, environment: Mapping[str, str]) -> "McpTarget":
        """A copy with `{{ NAME }}` and `{{ NAME | default }}` in headers and variables taken from `environment`.

        Source: agent-scoped variables in the retired server's guide to MCP, read 2026-11.
        """
        return replace(
            self,
            headers={name: _fill(value, environment) for name, value in self.headers.items()},
            env={name: _fill(value, environment) for name, value in self.env.items()},
        )


def _fill(text: str, environment: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: environment.get(found[1], (found[2] or "").strip()), text)


def request_headers(
    auth_header: str | None, auth_token: str | None, custom_headers: Mapping[str, str] | None
) -> dict[str, str]:
    """The headers that each request to a server carries.

    A bare token in `Authorization` becomes a bearer token; one that names its scheme stays as it is.

    Raises:
        MalformedInput: a header that HTTP does not allow.
    """
    headers = dict(custom_headers or {})
    if auth_token:
        name = auth_header or "Authorization"
        bare = name.lower() == "authorization" and " " not in auth_token.strip()
        headers[name] = f"Bearer {auth_token.strip()}" if bare else auth_token
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise MalformedInput("custom_headers", f"{name!r} is not the name of an HTTP header")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise MalformedInput("custom_headers", f"the value of {name!r} holds a line break or another control sign")
    return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class McpOptions:
    """What connections to MCP servers are told."""

    allow_stdio: bool = False
    """Whether servers may be started as processes of this machine."""
    connect_timeout_s: float = 30.0
    list_timeout_s: float = 30.0
    call_timeout_s: float = 60.0
    consent_timeout_s: float = 600.0
    """For a person to give consent."""
    idle_s: float = 300.0
    """How long a connection stays open without use."""
    max_connections: int = 32
    """Open at once; beyond, the one that was idle longest is closed."""


class Consent(Protocol):
    """Where a person's consent is asked for and comes back."""

    @property
    def redirect_uri(self) -> str:
        """Where the authorisation server sends the person in the end."""
        ...

    async def ask(self, url: str) -> None:
        """Send the person to `url`, whose parameter `state` will name the answer."""
        ...

    async def answer(self) -> tuple[str, str, str | None]:
        """Code, state and issuer, as the authorisation server sent them.

        Raises:
            BadGateway: it sent an error instead; the text says which.
        """
        ...

    async def granted(self, grant: JsonObject) -> None:
        """Keep what was granted."""
        ...


class McpClient(Protocol):
    """Speaks to MCP servers.

    Every method raises `InvalidInput` for a target that is not allowed here, `TimedOut` and
    `BadGateway` for a server that is slow, gone or broken, `AuthorizationNeeded` where a person
    has to give consent first.
    """

    async def check(self, target: McpTarget) -> None:
        """Refuse targets that are not allowed, without connecting to any."""
        ...

    async def list_tools(self, target: McpTarget) -> list[McpOffer]:
        """Everything the server offers, fit for models or marked as not."""
        ...

    async def call_tool(
        self,
        target: McpTarget,
        name: str,
        arguments: JsonObject,
        *,
        user: str | None = None,
        timeout_s: float | None = None,
    ) -> ToolOutcome:
        """What one call gave; an error that the tool itself reports is an outcome."""
        ...

    async def authorize(self, target: McpTarget, consent: Consent) -> list[McpOffer]:
        """Let a person give consent, keep what is granted, and list the tools."""
        ...

    async def forget(self, server_id: McpServerId) -> None:
        """Close connections to a server that was changed or deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class McpRoute:
    """Where the calls of one tool go."""

    target: McpTarget
    tool_name: str
    """As the server calls it."""
    renamed: Mapping[str, str] = field(default_factory=dict)


class McpDirectory(Protocol):
    """Knows the stored servers."""

    async def route(self, tool: Tool) -> McpRoute | None:
        """Where calls of `tool` go; None: its server is gone."""
        ...

    async def save_grant(self, target: McpTarget, grant: JsonObject) -> None:
        """Keep a renewed grant."""
        ...


def as_the_server_says(arguments: JsonObject, renamed: Mapping[str, str]) -> JsonObject:
    """`arguments` under the server's own names."""
    return {renamed.get(name, name): value for name, value in arguments.items()}
