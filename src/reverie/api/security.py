"""Who may call: hosts, origins, keys and sizes, as plain ASGI layers.

Order, from the outside: `Paths`, `Doors`, `BodyLimit`, `Keys`.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reverie.api.access import require_access
from reverie.api.encode.json import Json
from reverie.api.errors import answer
from reverie.auth.call_keys import CallKeys
from reverie.auth.keys import Gate, shows_page_token
from reverie.auth.policy import Sender
from reverie.domain.errors import ReverieError

OPEN_PATHS: Final = frozenset({"/v1/health", "/v1/ready", "/v1/tools/mcp/oauth/callback"})
"""Answered without a key, so that whatever watches the server needs none."""
_SERVED: Final = frozenset({"http", "websocket"})
_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
_PREFLIGHT_AGE_S: Final = "600"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """What the layers are told."""

    gate: Gate
    """Turns keys into callers."""
    calls: CallKeys | None = None
    """Likewise for the keys of tool calls, which come through a socket of their own and nowhere else."""
    loopback: bool = True
    """Only this machine can reach the server: requests must name a loopback host."""
    keys_required: bool = False
    allowed_hosts: tuple[str, ...] = ()
    """Host names that requests may name besides loopback ones."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call; `*` for all."""
    max_body_bytes: int = 50_000_000


class Paths:
    """Both spellings of a path are one, and HEAD is GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in _SERVED:
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path.endswith("/") and len(path) > 1:
            scope = {**scope, "path": path.rstrip("/") or "/"}
        if _method(scope) == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
            return
        await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def bare(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare


class Doors:
    """Answers only requests that were meant for this server, from pages that may ask.

    A page of any site can send requests to the user's own machine, and a site can let its
    name point there (DNS rebinding). Where no key is asked for, the names in `Host` and
    `Origin` are all that tells such requests apart.
    """

    def __init__(self, app: ASGIApp, options: SecurityOptions) -> None:
        self._app = app
        self._options = options
        self._hosts = frozenset(host.lower() for host in options.allowed_hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in options.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in _SERVED:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._options.loopback and not self._is_ours(host):
            detail = (
                f"this server answers only to names of this machine, such as localhost, and not to {host!r}; "
                "to reach it through a proxy, name that host in REVERIE_ALLOWED_HOSTS"
            )
            await Json({"detail": detail}, 403)(scope, receive, send)
            return
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        await self._from_page(scope, receive, send, headers, origin)

    async def _from_page(self, scope: Scope, receive: Receive, send: Send, headers: Headers, origin: str) -> None:
        preflight = _method(scope) == "OPTIONS" and "access-control-request-method" in headers
        allowed = "*" in self._origins or origin.lower() in self._origins
        if not allowed and not _same_origin(origin, scope, headers):
            # Who made an access token for pages has said that they may call, with it and with nothing else.
            if preflight:
                allowed = await self._options.gate.serves_pages_of(origin)
            else:
                allowed = shows_page_token(headers.get("authorization"))
            # With keys in use, a page without one gets a 401, and one that has it is no stranger.
            if not allowed and (preflight or not self._options.keys_required):
                detail = (
                    f"pages of {origin!r} may not call this server; to let them, name it in REVERIE_ALLOWED_ORIGINS"
                )
                await Json({"detail": detail}, 403)(scope, receive, send)
                return
        if allowed and preflight:
            await _preflight(origin, headers)(scope, receive, send)
            return
        await self._app(scope, receive, _with_cors(send, origin) if allowed and scope["type"] == "http" else send)

    def _is_ours(self, host_header: str) -> bool:
        try:
            host = urlsplit(f"//{host_header}").hostname or ""
        except ValueError:
            return False
        return host in self._hosts or host_header.lower() in self._hosts or is_loopback_name(host)


def _method(scope: Scope) -> str:
    """The method of a request; a WebSocket begins as a GET, and is none that a page's token opens."""
    return "WEBSOCKET" if scope["type"] == "websocket" else str(scope["method"])


@lru_cache(maxsize=1_000)
def is_loopback_name(host: str) -> bool:
    """Whether `host` names this machine to itself only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same_origin(origin: str, scope: Scope, headers: Headers) -> bool:
    scheme = scope.get("scheme", "http").replace("ws", "http")
    return origin.lower() == f"{scheme}://{headers.get('host', '')}".lower()


def _preflight(origin: str, headers: Headers) -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": headers.get("access-control-request-headers", "*"),
            "Access-Control-Max-Age": _PREFLIGHT_AGE_S,
            "Vary": "Origin, Access-Control-Request-Headers",
        },
    )


def _with_cors(send: Send, origin: str) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "*"
            headers.add_vary_header("Origin")
        await send(message)

    return marked


class BodyLimit:
    """Refuses bodies over the limit, before anything parses them."""

    def __init__(self, app: ASGIApp, options: SecurityOptions) -> None:
        self._app = app
        self._limit = options.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length")
        if length is not None:
            if length.isdigit() and int(length) <= self._limit:
                await self._app(scope, receive, send)  # the HTTP server holds the client to its word
                return
            await self._refuse(scope, receive, send)
            return
        if "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        chunks = await self._read(receive)
        if chunks is None:
            await self._refuse(scope, receive, send)
            return
        await self._app(scope, _replay(chunks, receive), send)

    async def _read(self, receive: Receive) -> list[Message] | None:
        chunks: list[Message] = []
        size = 0
        while True:
            message = await receive()
            chunks.append(message)
            size += len(message.get("body", b""))
            if size > self._limit:
                return None
            if message["type"] != "http.request" or not message.get("more_body"):
                return chunks

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the body is larger than {self._limit} bytes; send less, or raise REVERIE_MAX_BODY_BYTES"
        await Json({"detail": detail}, 413, {"Connection": "close"})(scope, receive, send)


def _replay(chunks: Iterable[Message], receive: Receive) -> Receive:
    left = iter(chunks)

    async def replayed() -> Message:
        for message in left:
            return message
        return await receive()

    return replayed


class Keys:
    """Turns each request's key into its caller, found in `scope["state"]["caller"]`, and holds pages to their policy.

    A key may also come in the header that self-hosters of the retired server were told to use.
    """

    def __init__(self, app: ASGIApp, options: SecurityOptions) -> None:
        self._app = app
        self._gate = options.gate
        self._calls = options.calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in _SERVED or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sender = Sender(origin=headers.get("origin"), referer=headers.get("referer"), host=headers.get("host"))
        try:
            if self._calls is not None and _came_through_socket(scope):
                caller = self._calls.identify(headers.get("authorization"))
            else:
                caller = await self._gate.identify(headers.get("authorization") or _bare_password(headers), sender)
            if caller.policy is not None:
                require_access(caller.policy, _method(scope), scope["path"])
        except ReverieError as error:
            await answer(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


def _came_through_socket(scope: Scope) -> bool:
    """Whether the connection is one of the sandboxes' door: their server's address is a path, without a port."""
    server = scope.get("server")
    return server is not None and server[1] is None


def _bare_password(headers: Headers) -> str | None:
    value = headers.get("x-bare-password")
    if value is None:
        return None
    return f"Bearer {value.removeprefix('password').strip()}"
