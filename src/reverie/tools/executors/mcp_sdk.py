"""The border to the MCP SDK: opening connections, and its errors and results in our words.

Loaded on first use and in a thread: the SDK takes almost a second to import.
"""

import asyncio
import contextlib
import json
import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, OAuthFlowError
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthMetadata, OAuthToken
from pydantic import AnyUrl

from reverie import __version__
from reverie.domain.content import ImagePart, Part, TextPart
from reverie.domain.errors import BadGateway, ReverieError, TimedOut
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpServerType
from reverie.tools.base import ToolOutcome
from reverie.tools.mcp import AuthorizationNeeded, Consent, McpOptions, McpTarget
from reverie.web.addresses import WebOptions
from reverie.web.transport import guarded_client

_MOST_PAGES: Final = 100
_MOST_TOOLS: Final = 2_000
_STDERR_TAIL: Final = 2_000
_LARGEST_IMAGE: Final = 10_000_000
"""Characters of base64 that one image may have."""
_LARGEST_EVENT: Final = 20_000_000

# The SDK logs whole tracebacks for every server that hangs up; what matters comes back as our error.
for _name in ("mcp", "client", "httpx2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass
class Opened:
    """A live connection, and what its transport saw."""

    client: Client
    seen: "Seen"


@dataclass
class Seen:
    """What a transport noticed that the SDK does not tell."""

    status: int | None = None
    """Of the last HTTP answer that was an error."""
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    ended: bool = False
    """The server hung up."""
    raw_tools: dict[str, JsonObject] = field(default_factory=dict)
    """Tools as the server described them, before the SDK judged the description."""


GrantSaver = Callable[[JsonObject], Awaitable[None]]


@asynccontextmanager
async def open_connection(
    target: McpTarget,
    options: McpOptions,
    web: WebOptions,
    save_grant: GrantSaver,
    seen: Seen,
    consent: Consent | None = None,
    *,
    renew: bool = False,
) -> AsyncGenerator[Opened, None]:
    """Connect and shake hands; the connection lives as long as the context, in the task that opened it.

    `renew` treats the access token as expired. Errors are the SDK's; `failure_of` reads them.
    """
    async with contextlib.AsyncExitStack() as stack:
        if target.server_type is McpServerType.STDIO:
            errlog = stack.enter_context(_tail_of_stderr(seen))
            transport: Any = stdio_client(_process(target), errlog=errlog)
        else:
            auth = _authorization(target, save_grant, consent, renew)
            transport = _http(target, options, web, auth, seen)
        client = Client(
            _watched(transport, seen),
            mode="auto",
            client_info=types.Implementation(name="reverie", version=__version__),
            cache=None,
        )
        yield Opened(await stack.enter_async_context(client), seen)


def _process(target: McpTarget) -> StdioServerParameters:
    # Of the server's own environment the SDK hands down HOME, PATH and the like, and nothing else.
    return StdioServerParameters(
        command=target.command or "", args=list(target.args), env=dict(target.env), cwd=tempfile.gettempdir()
    )


@contextlib.contextmanager
def _tail_of_stderr(seen: Seen) -> Any:
    """A file for a process's complaints, of which the last are kept; they say why it did not start."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(reading, 65_536)
        except BlockingIOError:
            return
        if not data:
            loop.remove_reader(reading)
        seen.stderr.extend(data.decode("utf-8", "replace").splitlines())

    loop.add_reader(reading, read)
    try:
        with os.fdopen(writing, "w") as errlog:
            yield errlog
    finally:
        read()
        loop.remove_reader(reading)
        os.close(reading)


@asynccontextmanager
async def _http(
    target: McpTarget, options: McpOptions, web: WebOptions, auth: httpx2.Auth | None, seen: Seen
) -> AsyncGenerator[Any, None]:
    async def note(response: httpx2.Response) -> None:
        if str(response.request.url) == target.url:
            seen.status = response.status_code if response.status_code >= 400 else None

    def client(
        headers: dict[str, str] | None = None, timeout: httpx2.Timeout | None = None, auth: httpx2.Auth | None = auth
    ) -> httpx2.AsyncClient:
        made = guarded_client(web, headers={**target.headers, **(headers or {})}, timeout=timeout, auth=auth)
        made.event_hooks["response"].append(note)
        return made

    # A stream may be silent for as long as a connection may be idle; calls have limits of their own.
    silence_s = max(options.idle_s, options.call_timeout_s) + 60.0
    url = target.url or ""
    if target.server_type is McpServerType.SSE:
        async with sse_client(
            url, timeout=options.connect_timeout_s, sse_read_timeout=silence_s, httpx_client_factory=client, auth=auth
        ) as streams:
            yield streams
        return
    timeout = httpx2.Timeout(options.connect_timeout_s, read=silence_s)
    async with (
        client(timeout=timeout) as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=_LARGEST_EVENT) as streams,
    ):
        yield streams


@asynccontextmanager
async def _watched(transport: Any, seen: Seen) -> AsyncGenerator[Any, None]:
    async with transport as (reading, writing):
        yield _Watched(reading, seen), writing


class _Watched:
    """What the server sends, on its way to the SDK.

    The SDK throws a whole list of tools away for one schema it finds wrong, and a result for
    breaking the tool's own output schema. We judge schemas ourselves, tool by tool.
    """

    def __init__(self, inner: Any, seen: Seen) -> None:
        self._inner = inner
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        try:
            return self._noted(await self._inner.__anext__())
        except StopAsyncIteration:
            self._seen.ended = True
            raise

    async def receive(self) -> Any:
        return self._noted(await self._inner.receive())

    async def __aenter__(self) -> "_Watched":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)

    def _noted(self, item: Any) -> Any:
        result = getattr(getattr(item, "message", None), "result", None)
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            result["tools"] = [
                self._plain(tool) for tool in result["tools"] if isinstance(tool, dict) and tool.get("name")
            ]
        return item

    def _plain(self, tool: JsonObject) -> JsonObject:
        name = str(tool["name"])
        self._seen.raw_tools[name] = tool
        plain: JsonObject = {"name": name, "inputSchema": tool.get("inputSchema")}
        if not isinstance(plain["inputSchema"], dict) or plain["inputSchema"].get("type") != "object":
            plain["inputSchema"] = {"type": "object"}
        return plain


class _Storage:
    """An OAuth grant between the SDK, which uses and renews it, and whoever keeps it."""

    def __init__(self, grant: JsonObject | None, save: GrantSaver, *, renew: bool) -> None:
        self.grant: JsonObject = dict(grant or {})
        self._save = save
        self._renew = renew
        self.context: Any = None

    async def get_tokens(self) -> OAuthToken | None:
        tokens = self.grant.get("tokens")
        if tokens is None:
            return None
        # The SDK forgets these between processes; without them it would ask a person again
        # where a refresh token is enough, or send it to the wrong place.
        if self.grant.get("metadata"):
            self.context.oauth_metadata = OAuthMetadata.model_validate(self.grant["metadata"])
        self.context.auth_server_url = self.grant.get("auth_server_url")
        expires = self.grant.get("expires_at")
        self.context.token_expiry_time = 1.0 if self._renew else expires
        return OAuthToken.model_validate(tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        context = self.context
        self.grant["tokens"] = tokens.model_dump(mode="json", exclude_none=True)
        self.grant["expires_at"] = None if tokens.expires_in is None else time.time() + tokens.expires_in
        self.grant["auth_server_url"] = context.auth_server_url
        if context.oauth_metadata is not None:
            self.grant["metadata"] = context.oauth_metadata.model_dump(mode="json", exclude_none=True)
        await self._save(self.grant)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        info = self.grant.get("client")
        return None if info is None else OAuthClientInformationFull.model_validate(info)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.grant["client"] = client_info.model_dump(mode="json", exclude_none=True)


def _authorization(
    target: McpTarget, save: GrantSaver, consent: Consent | None, renew: bool
) -> OAuthClientProvider | None:
    if consent is None and target.grant is None:
        return None
    storage = _Storage(None if consent else target.grant, consent.granted if consent else save, renew=renew)

    async def redirect(url: str) -> None:
        if consent is None:
            raise AuthorizationNeeded(_consent_needed(target))
        await consent.ask(url)

    async def callback() -> AuthorizationCodeResult:
        if consent is None:
            raise AuthorizationNeeded(_consent_needed(target))
        code, state, issuer = await consent.answer()
        return AuthorizationCodeResult(code=code, state=state, iss=issuer)

    redirect_uri = consent.redirect_uri if consent else "http://localhost/unused"
    local = urlsplit(redirect_uri).hostname in ("localhost", "127.0.0.1", "::1")
    provider = OAuthClientProvider(
        server_url=target.url or "",
        client_metadata=OAuthClientMetadata(
            client_name="Reverie",
            redirect_uris=[AnyUrl(redirect_uri)],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            application_type="native" if local else "web",
        ),
        storage=storage,
        redirect_handler=redirect,
        callback_handler=callback,
    )
    storage.context = provider.context
    return provider


def _consent_needed(target: McpTarget) -> str:
    where = f"/v1/mcp-servers/connect/{target.server_id}" if target.server_id else "/v1/tools/mcp/servers/connect"
    return (
        f"MCP server {target.name!r} asks for authorisation; give it a token or headers, "
        f"or let a person give consent with {where}"
    )


async def list_tools(opened: Opened) -> list[JsonObject]:
    """Every tool as the server describes it, page by page."""
    opened.seen.raw_tools.clear()
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await opened.client.list_tools(cursor=cursor)
        cursor = page.next_cursor
        if not cursor or len(opened.seen.raw_tools) >= _MOST_TOOLS:
            break
    return list(opened.seen.raw_tools.values())[:_MOST_TOOLS]


async def call_tool(opened: Opened, name: str, arguments: JsonObject) -> ToolOutcome:
    """One call, and its result in our form."""
    return outcome_of(await opened.client.call_tool(name, arguments))


def outcome_of(result: types.CallToolResult) -> ToolOutcome:
    """Blocks of content as parts; structured content where there is no text."""
    parts: list[Part] = [_part(block) for block in result.content]
    structured = result.structured_content
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    if structured is not None and not text:
        parts.append(TextPart(text=json.dumps(structured, ensure_ascii=False)))
    value = structured if structured is not None else text
    return ToolOutcome(
        status="error" if result.is_error else "success",
        content=tuple(parts) or (TextPart(text="the tool reports an error" if result.is_error else "None"),),
        value=value,
    )


def _part(block: Any) -> Part:
    match block:
        case types.TextContent():
            return TextPart(text=block.text)
        case types.ImageContent():
            return _image(block.mime_type, block.data)
        case types.AudioContent():
            return TextPart(text=f"[audio of type {block.mime_type}, which cannot be shown]")
        case types.ResourceLink():
            return TextPart(text=" ".join(filter(None, (f"[{block.name}]({block.uri})", block.description))))
        case types.EmbeddedResource():
            return _resource(block.resource)
        case _:
            return TextPart(text=f"[content of type {getattr(block, 'type', 'unknown')}, which cannot be shown]")


def _resource(resource: Any) -> Part:
    if isinstance(resource, types.TextResourceContents):
        return TextPart(text=resource.text)
    if (resource.mime_type or "").startswith("image/"):
        return _image(resource.mime_type, resource.blob)
    return TextPart(text=f"[{resource.uri}: data of type {resource.mime_type or 'unknown'}, which cannot be shown]")


def _image(media_type: str, data: str) -> Part:
    if len(data) > _LARGEST_IMAGE:
        return TextPart(text=f"[an image of type {media_type}, too large to be shown]")
    return ImagePart(media_type=media_type, data=data)


@dataclass(frozen=True, slots=True)
class Failure:
    """What an exception of the SDK means."""

    error: ReverieError
    broken: bool
    """The connection is of no use any more."""
    unsent: bool = False
    """The server cannot have acted on the request, so it may be sent again."""


def failure_of(error: BaseException, target: McpTarget, seen: Seen) -> Failure:
    """Read an exception, of whatever depth; an error that the server itself sent is not `broken`."""
    name = target.name
    causes = list(_leaves(error))
    for cause in causes:
        if isinstance(cause, ReverieError):
            return Failure(cause, broken=True)
        if isinstance(cause, OAuthFlowError):
            return Failure(BadGateway(f"MCP server {name!r}: authorisation failed: {cause}"), broken=True)
    if seen.status in (401, 403) and target.url is not None:
        if target.may_authorize and seen.status == 401:
            return Failure(AuthorizationNeeded(_consent_needed(target)), broken=True)
        return Failure(
            BadGateway(f"MCP server {name!r} refuses our credentials with status {seen.status}"), broken=True
        )
    for cause in causes:
        found = _known(cause, target, seen)
        if found is not None:
            return found
    text = str(causes[0]) if causes else ""
    return Failure(BadGateway(f"MCP server {name!r} failed: {text or type(error).__name__}"), broken=True)


def _known(cause: BaseException, target: McpTarget, seen: Seen) -> Failure | None:
    name = target.name
    match cause:
        case MCPError() if cause.code == types.CONNECTION_CLOSED or "Session terminated" in str(cause):
            said = _said(seen)
            text = f"MCP server {name!r} closed the connection{said}"
            return Failure(BadGateway(text), broken=True, unsent="Session terminated" in str(cause))
        case MCPError() if seen.status is not None and seen.status >= 400:
            return Failure(BadGateway(f"MCP server {name!r} answers with status {seen.status}: {cause}"), broken=True)
        case MCPError():
            return Failure(BadGateway(f"MCP server {name!r} answers with an error: {cause}"), broken=False)
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return Failure(
                BadGateway(f"MCP server {name!r} cannot be reached at {target.url!r}: {cause or 'no connection'}"),
                broken=True,
                unsent=True,
            )
        case httpx2.TimeoutException() | TimeoutError():
            return Failure(TimedOut(f"MCP server {name!r} does not answer in time"), broken=True)
        case httpx2.HTTPStatusError():
            status = cause.response.status_code
            return Failure(BadGateway(f"MCP server {name!r} answers with status {status}"), broken=True)
        case httpx2.HTTPError():
            return Failure(BadGateway(f"MCP server {name!r}: {cause or type(cause).__name__}"), broken=True)
        case OSError() if target.command is not None:
            return Failure(
                BadGateway(f"MCP server {name!r}: {target.command!r} cannot be started: {cause.strerror or cause}"),
                broken=True,
                unsent=True,
            )
        case _:
            return None


def _said(seen: Seen) -> str:
    if not seen.stderr:
        return ""
    return "; its last words: " + "\n".join(seen.stderr)[-_STDERR_TAIL:]


def _leaves(error: BaseException) -> Any:
    """The exceptions inside groups, and what caused each."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
        return
    yield error
    if error.__cause__ is not None:
        yield from _leaves(error.__cause__)
