"""Environments: programs on other machines, registered here, connected by WebSocket, and sent messages."""

import asyncio
import contextlib
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Body, Path, Query, Request, WebSocket, WebSocketDisconnect

from reverie.api.context import Ask, CursorQuery, EnvironmentPath, LimitQuery
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.errors import answer
from reverie.api.security import is_loopback_name
from reverie.api.wire.environments import (
    Done,
    EnvironmentList,
    EnvironmentState,
    Register,
    Registered,
    SendToEnvironment,
    environment_list,
    environment_state,
    mode_of,
)
from reverie.auth.keys import LOCAL_CALLER, Caller
from reverie.domain.environment import HEARTBEAT, Environment, EnvironmentFilter, Place
from reverie.domain.errors import ReverieError
from reverie.domain.ids import AgentId, ConnectionId, ConversationId, EnvironmentId
from reverie.domain.paging import Page
from reverie.operations import environments
from reverie.operations.base import Operations
from reverie.operations.messages import thread_of

routes = Routes("environments")

_Word = Annotated[str, Path(min_length=1, max_length=200)]


@routes.post("/v1/environments/register")
async def register_environment(body: Register, call: Ask, request: Request) -> Json[Registered]:
    """Register a device; it then connects to `wsUrl` with the same key, and is sent messages there.

    Each registration of a device takes the place of the one before.
    """
    peer = request.client.host if request.client else ""
    made = await environments.register(
        call.ops, call.caller, body.to_domain("local" if is_loopback_name(peer) else "remote")
    )
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    place = f"{'wss' if secure else 'ws'}://{request.headers.get('host', '')}"
    return Json({"connectionId": made.connection_id, "wsUrl": f"{place}/v1/environments/{made.connection_id}/connect"})


@routes.get("/v1/environments")
async def list_environments(
    call: Ask,
    limit: LimitQuery = 50,
    after: CursorQuery = None,
    user_id: Annotated[str | None, Query(alias="userId", description="Only those that this user registered.")] = None,
    online_only: Annotated[
        str, Query(alias="onlineOnly", pattern="^(?i:true|false|1|0)$", description="Only those that are connected.")
    ] = "false",
    source: Annotated[
        Place | None, Query(description="`local` are those on the server's own machine, `remote` the others.")
    ] = None,
) -> Json[EnvironmentList]:
    """List environments, those registered last first; `source` is `local` for those on the server's own machine."""
    wanted = limit or 50
    where = EnvironmentFilter(user_id=user_id, source=source, online_only=online_only.lower() in ("true", "1"))
    page = Page(limit=wanted + 1, after=after, order="desc")
    found = await environments.list_environments(call.ops, call.caller, where, page)
    return Json(environment_list(found, wanted, call.ops.clock()))


@routes.get("/v1/environments/{device_id}")
async def retrieve_environment(device_id: _Word, call: Ask) -> Json[EnvironmentState]:
    """Retrieve the environment of a device."""
    found = await environments.retrieve(call.ops, call.caller, device_id)
    return Json(environment_state(found, call.ops.clock()))


@routes.delete("/v1/environments/{environment_id}")
async def delete_environment(
    environment_id: EnvironmentPath, call: Ask, body: Annotated[dict[str, Any] | None, Body()] = None
) -> Json[Done]:
    """Forget an environment, and close its connection."""
    gone = await environments.delete(call.ops, call.caller, EnvironmentId(environment_id))
    return Json({"success": True, "message": f"environment {gone.connection_name!r} is forgotten"})


@routes.post("/v1/environments/{connection_id}/messages")
async def send_to_environment(connection_id: _Word, body: SendToEnvironment, call: Ask) -> Json[Done]:
    """Send messages to a connected environment. Success means that they were handed to its connection."""
    agent_id, talk = body.agentId, body.conversationId
    if talk == "default" and agent_id is None:
        talk = None
    found = await environments.send_message(
        call.ops,
        call.caller,
        ConnectionId(connection_id),
        body.frame(),
        agent_id=None if agent_id is None else AgentId(agent_id),
        conversation_id=None if talk is None else ConversationId(thread_of(talk, agent_id)),
    )
    return Json({"success": True, "message": f"sent to environment {found.connection_name!r}"})


@routes.websocket("/v1/environments/{connection_id}/connect")
async def connect_environment(socket: WebSocket) -> None:
    """Hold the connection of an environment.

    It is sent `input` frames; it may send `ping`, which is answered with `pong`, and tell its mode.
    """
    connection_id: str = socket.path_params["connection_id"]
    ops: Operations = socket.app.state.ops
    caller: Caller = socket.scope.get("state", {}).get("caller", LOCAL_CALLER)
    try:
        environment = await environments.to_connect(ops, caller, ConnectionId(connection_id))
    except ReverieError as error:
        await socket.send_denial_response(answer(error))
        return
    await socket.accept()
    ops.connections.opened(environment.connection_id, partial(_send, socket), partial(_close, socket))
    try:
        if not await environments.connected(ops, environment):
            await _close(socket)
            return
        beat = asyncio.create_task(_beat(ops, environment), name=f"heartbeat of {connection_id}")
        try:
            await _listen(socket, ops, environment)
        finally:
            beat.cancel()
    finally:
        ops.connections.closed(environment.connection_id)
        await asyncio.shield(environments.disconnected(ops, environment))


async def _send(socket: WebSocket, text: str) -> bool:
    try:
        await socket.send_text(text)
    except (WebSocketDisconnect, RuntimeError, OSError):  # closed by the device, by this side, or cut
        return False
    return True


async def _close(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
        await socket.close(1012, "another connection takes the place of this one")


async def _beat(ops: Operations, environment: Environment) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT.total_seconds())
        # The server closes connections whose other end no longer answers, so an open one is a sign of life.
        await environments.alive(ops, environment)


async def _listen(socket: WebSocket, ops: Operations, environment: Environment) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the second: closed by this side
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame = _frame_of(message)
            if frame.get("type") == "ping":
                await _send(socket, '{"type":"pong"}')
            mode = mode_of(frame)
            if mode is not None:
                await environments.mode_changed(ops, environment, mode)


def _frame_of(message: Any) -> dict[str, Any]:
    """What an environment sent; what is not an object of JSON tells nothing."""
    try:
        found = orjson.loads(message.get("text") or message.get("bytes") or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
