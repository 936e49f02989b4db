"""Connections to MCP servers: opened on demand, kept while they are used, closed when idle."""

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from reverie.domain.errors import BadGateway, InvalidInput, ReverieError, TimedOut
from reverie.domain.ids import McpServerId, OrganizationId
from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpOffer, McpServerType
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.mcp import (
    AuthorizationNeeded,
    Consent,
    McpDirectory,
    McpOptions,
    McpTarget,
    as_the_server_says,
)
from reverie.tools.mcp_schema import offer_of
from reverie.web.addresses import WebOptions, check_url, permitted_addresses

if TYPE_CHECKING:
    from reverie.tools.executors.mcp_sdk import Opened, Seen


_CLOSE_S: Final = 6.0
"""Longest wait for one connection to close; the SDK kills a process that does not leave by itself within 4 s."""

_Key: TypeAlias = tuple[OrganizationId, McpServerId | str, str | None]
"""Organisation, server (or, for one that is not stored, its name) and user of a connection."""


class _Connection:
    """One connection and the task that owns it: what was opened in a task has to be closed in it."""

    def __init__(self, target: McpTarget, seen: "Seen", idle_s: float) -> None:
        self.target = target
        self.seen = seen
        self.closed = False
        self.calls = 0
        self.used = asyncio.get_running_loop().time()
        self.ready: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        self.failure: BaseException | None = None
        self._idle_s = idle_s
        self._stopping = False
        self._cancelled = False
        self._changed = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    def open(self, context: AbstractAsyncContextManager["Opened"], limit_s: float) -> None:
        """Begin to connect, and give up after `limit_s`."""
        self._owner = asyncio.create_task(self._own(context), name=f"mcp-{self.target.name}")
        limit = asyncio.get_running_loop().call_later(limit_s, self._give_up, limit_s)
        self.ready.add_done_callback(lambda _: limit.cancel())

    async def _own(self, context: AbstractAsyncContextManager["Opened"]) -> None:
        try:
            async with context as opened:
                if not self.ready.done():
                    self.ready.set_result(opened)
                    await self._rest()
        except Exception as error:  # noqa: BLE001 - the border of the SDK: kept for whoever waits
            self.failure = error
        finally:
            self.closed = True
            if not self.ready.done():
                self._fail(self.failure or BadGateway(f"MCP server {self.target.name!r} hung up"))

    def _give_up(self, limit_s: float) -> None:
        if not self.ready.done():
            name = self.target.name
            self._fail(TimedOut(f"MCP server {name!r} did not accept a connection within {limit_s:g} seconds"))
            self.retire()

    def _fail(self, error: BaseException) -> None:
        self.ready.set_exception(error)
        self.ready.exception()  # perhaps nobody waits for it any more

    async def _rest(self) -> None:
        """Wait until nobody needs the connection any more."""
        loop = asyncio.get_running_loop()
        while not (self._stopping and self.calls == 0):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s):
                    await self._changed.wait()
            if self.calls == 0 and loop.time() - self.used >= self._idle_s:
                self.closed = True
                return

    @contextlib.contextmanager
    def busy(self) -> Any:
        """Hold the connection open during a call."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self.used = asyncio.get_running_loop().time()
            if self._stopping:
                self._changed.set()

    def retire(self, *, at_once: bool = False) -> None:
        """Take no further calls; close when those under way have ended, or `at_once`.

        The owner is cancelled at most once: a second time would break into the SDK's clean-up,
        which kills the server's process.
        """
        self.closed = self._stopping = True
        self._changed.set()
        unfinished = not self._is_open() or (at_once and self.calls > 0)
        if self._owner is not None and unfinished and not self._cancelled:
            self._cancelled = True
            self._owner.cancel()

    async def cause(self) -> BaseException | None:
        """Why the transport broke, once its owner has found out."""
        if self._owner is not None:
            await asyncio.wait({self._owner}, timeout=1.0)
        return self.failure

    def _is_open(self) -> bool:
        return self.ready.done() and self.ready.exception() is None

    @property
    def owner(self) -> "asyncio.Task[None] | None":
        """The task that ends when the connection is closed."""
        return self._owner


@dataclass(frozen=True, slots=True)
class _Attempt:
    connection: _Connection
    fresh: bool


class McpConnections:
    """Implements `McpClient`. Belongs to one event loop."""

    def __init__(self, options: McpOptions, web: WebOptions, directory: McpDirectory) -> None:
        self._options = options
        self._web = web
        self._directory = directory
        self._open: dict[_Key, _Connection] = {}
        self._retired: set[_Connection] = set()
        self._sdk: Any = None
        self._loading = asyncio.Lock()

    async def check(self, target: McpTarget) -> None:
        """See `McpClient.check`."""
        if target.server_type is McpServerType.STDIO:
            if not self._options.allow_stdio:
                raise InvalidInput(
                    f"MCP server {target.name!r} would be started as a process of this machine, which is off here; "
                    "use a server over HTTP, or start this one with REVERIE_MCP_DISABLE_STDIO=false"
                )
            return
        check_url(target.url or "")
        parts = urlsplit(target.url or "")
        try:
            async with asyncio.timeout(self._web.connect_timeout_s):
                await permitted_addresses(parts.hostname or "", parts.port or 0, self._web)
        except (BadGateway, TimeoutError):
            return  # nobody there today; the connection itself is guarded as well

    async def list_tools(self, target: McpTarget) -> list[McpOffer]:
        """See `McpClient.list_tools`."""
        found: list[JsonObject] = await self._ask(
            target, None, lambda opened: self._sdk.list_tools(opened), self._options.list_timeout_s, "list its tools"
        )
        return [offer_of(raw) for raw in found]

    async def call_tool(
        self,
        target: McpTarget,
        name: str,
        arguments: JsonObject,
        *,
        user: str | None = None,
        timeout_s: float | None = None,
    ) -> ToolOutcome:
        """See `McpClient.call_tool`."""
        limit = min(timeout_s or self._options.call_timeout_s, self._options.call_timeout_s)
        outcome: ToolOutcome = await self._ask(
            target,
            user,
            lambda opened: self._sdk.call_tool(opened, name, arguments),
            limit,
            f"answer a call of {name!r}",
        )
        return outcome

    async def authorize(self, target: McpTarget, consent: Consent) -> list[McpOffer]:
        """See `McpClient.authorize`. The connection is closed at the end; the grant opens the next one."""
        sdk = await self._load()
        await self.check(target)
        seen: Seen = sdk.Seen()
        try:
            async with (
                asyncio.timeout(self._options.consent_timeout_s),
                sdk.open_connection(target, self._options, self._web, self._nowhere, seen, consent) as opened,
            ):
                return [offer_of(raw) for raw in await sdk.list_tools(opened)]
        except TimeoutError as error:
            raise TimedOut(
                f"nobody gave consent to MCP server {target.name!r} within {self._options.consent_timeout_s:g} seconds"
            ) from error
        except Exception as error:  # the border of the SDK
            raise sdk.failure_of(error, target, seen).error from error

    async def forget(self, server_id: McpServerId) -> None:
        """See `McpClient.forget`."""
        for key in [key for key in self._open if key[1] == server_id]:
            self._drop(key)
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close every connection, side by side."""
        for key in list(self._open):
            self._drop(key)
        owners = [connection.owner for connection in self._retired if connection.owner is not None]
        for connection in self._retired:
            connection.retire(at_once=True)
        if owners:
            await asyncio.wait(owners, timeout=_CLOSE_S)

    async def _nowhere(self, _grant: JsonObject) -> None:
        """A consent keeps its grant itself."""

    async def _ask(
        self,
        target: McpTarget,
        user: str | None,
        ask: Callable[["Opened"], Awaitable[Any]],
        limit_s: float,
        what: str,
    ) -> Any:
        """Send one request, on an open connection where there is one.

        A connection that turns out to be dead is replaced once, and only when the server cannot
        have seen the request: what acts on the world is not repeated.
        """
        sdk = await self._load()
        await self.check(target)
        renewed = False
        for last in (False, False, True):
            attempt = await self._acquire(target, user, renew=renewed)
            connection = attempt.connection
            try:
                with connection.busy():
                    opened = await asyncio.shield(connection.ready)
                    async with asyncio.timeout(limit_s):
                        return await ask(opened)
            except TimeoutError as error:
                self._drop_connection(connection)  # whoever hangs once is started anew
                raise TimedOut(f"MCP server {target.name!r} did not {what} within {limit_s:g} seconds") from error
            except Exception as error:  # the border of the SDK
                lost = connection.closed or connection.seen.ended
                cause = await connection.cause() if lost and not isinstance(error, ReverieError) else None
                failure = sdk.failure_of(cause or error, target, connection.seen)
                if failure.broken:
                    self._drop_connection(connection)
                if isinstance(failure.error, AuthorizationNeeded) and target.grant and not renewed and not last:
                    renewed = True  # the access token may have ended before its time: its refresh token is tried
                    continue
                if failure.unsent and not attempt.fresh and not last:
                    continue
                raise failure.error from error
        raise AssertionError("the last attempt returns or raises")

    async def _acquire(self, target: McpTarget, user: str | None, *, renew: bool) -> _Attempt:
        key: _Key = (target.organization_id, target.server_id or f"?{target.name}", user)
        known = self._open.get(key)
        if known is not None:
            usable = not known.closed and not known.seen.ended
            if usable and _same(known.target, target):
                return _Attempt(known, fresh=False)
            self._drop(key)
        self._make_room()
        seen: Seen = self._sdk.Seen()
        connection = _Connection(target, seen, self._options.idle_s if target.server_id else 1.0)

        async def save(grant: JsonObject) -> None:
            await self._directory.save_grant(target, grant)

        context = self._sdk.open_connection(target, self._options, self._web, save, seen, renew=renew)
        connection.open(context, self._options.connect_timeout_s)
        self._open[key] = connection
        return _Attempt(connection, fresh=True)

    def _make_room(self) -> None:
        for key in [key for key, connection in self._open.items() if connection.closed]:
            self._drop(key)
        idle = sorted((connection.used, key) for key, connection in self._open.items() if connection.calls == 0)
        for _, key in idle[: max(0, len(self._open) + 1 - self._options.max_connections)]:
            self._drop(key)

    def _drop_connection(self, connection: _Connection) -> None:
        for key, known in list(self._open.items()):
            if known is connection:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        connection = self._open.pop(key)
        connection.retire()
        if connection.owner is not None and not connection.owner.done():
            self._retired.add(connection)
            connection.owner.add_done_callback(lambda _: self._retired.discard(connection))

    async def _load(self) -> Any:
        if self._sdk is None:
            async with self._loading:
                # In a thread: it takes almost a second, during which others want to be served.
                self._sdk = await asyncio.to_thread(importlib.import_module, "reverie.tools.executors.mcp_sdk")
        return self._sdk


def _same(one: McpTarget, other: McpTarget) -> bool:
    """Whether a connection to `one` serves for `other`; a renewed grant does not make it another."""
    return (one.url, one.headers, one.command, one.args, one.env, bool(one.grant)) == (
        (other.url, other.headers, other.command, other.args, other.env, bool(other.grant))
    )


class McpExecutor:
    """Runs tools of MCP servers; implements `ToolExecutor`."""

    def __init__(self, connections: McpConnections, directory: McpDirectory) -> None:
        self._connections = connections
        self._directory = directory

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute one call; see `ToolExecutor.run`."""
        route = await self._directory.route(call.tool)
        if route is None:
            return ToolOutcome.error(f"the MCP server of tool {call.tool.name!r} is gone")
        try:
            return await self._connections.call_tool(
                route.target.filled(call.environment),
                route.tool_name,
                as_the_server_says(call.arguments, route.renamed),
                user=call.agent_id,
                timeout_s=call.timeout_s,
            )
        except ReverieError as error:
            return ToolOutcome.error(str(error))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()
