"""What callers can ask for about environments, and what their connections tell."""

from dataclasses import replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.environment import Environment, EnvironmentFilter, Mode, Registration
from reverie.domain.errors import NotFound, Unavailable
from reverie.domain.ids import AgentId, ConnectionId, ConversationId, EnvironmentId, make_id
from reverie.domain.paging import Page
from reverie.operations.base import Operations
from reverie.storage import agents, conversations, environments, organizations


async def register(ops: Operations, caller: Caller, wish: Registration) -> Environment:
    """Make a connection for a device, in the place of the one it had."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> tuple[Environment, ConnectionId | None]:
        fresh = Environment(
            id=EnvironmentId(make_id("env")),
            organization_id=caller.organization_id,
            user_id=caller.user_id,
            device_id=wish.device_id,
            connection_id=ConnectionId(make_id("connection")),
            connection_name=wish.connection_name,
            api_key_owner=organizations.get(c, caller.organization_id).name,
            source=wish.source,
            metadata=wish.metadata or {},
            last_seen_at=now,
            first_seen_at=now,
        )
        if environments.put(c, fresh):
            return fresh, None
        before = environments.of_device(c, caller.organization_id, wish.device_id, lock=True)
        after = replace(
            fresh,
            id=before.id,
            first_seen_at=before.first_seen_at,
            metadata=before.metadata if wish.metadata is None else wish.metadata,
        )
        environments.update_environment(c, before, after)
        return after, before.connection_id

    environment, replaced = await ops.database.write(store)
    if replaced is not None:
        await ops.connections.hang_up(replaced)
    return environment


async def retrieve(ops: Operations, caller: Caller, device_id: str) -> Environment:
    """The environment of a device."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: environments.of_device(c, caller.organization_id, device_id))


async def list_environments(ops: Operations, caller: Caller, where: EnvironmentFilter, page: Page) -> list[Environment]:
    """A page of environments."""
    caller.require(Scope.READ)
    now = ops.clock()
    return await ops.database.read(lambda c: environments.list_page(c, caller.organization_id, where, page, now))


async def delete(ops: Operations, caller: Caller, environment_id: EnvironmentId) -> Environment:
    """Forget an environment and close its connection; returns it as it was."""
    caller.require(Scope.WRITE)

    def remove(c: Connection) -> Environment:
        found = environments.get(c, caller.organization_id, environment_id)
        environments.delete_environment(c, found.id)
        return found

    gone = await ops.database.write(remove)
    await ops.connections.hang_up(gone.connection_id)
    return gone


async def send_message(
    ops: Operations,
    caller: Caller,
    connection_id: ConnectionId,
    frame: str,
    *,
    agent_id: AgentId | None,
    conversation_id: ConversationId | None,
) -> Environment:
    """Hand a frame to a connected environment, for an agent that it works for.

    Raises:
        NotFound: no such connection, agent or conversation.
        Unavailable: the environment is not connected.
    """
    caller.require(Scope.WRITE)

    def read(c: Connection) -> Environment:
        found = environments.of_connection(c, caller.organization_id, connection_id)
        if agent_id is not None:
            agents.get(c, caller.organization_id, agent_id)
        if conversation_id is not None:
            talk = conversations.get(c, caller.organization_id, conversation_id)
            if agent_id is not None and talk.agent_id != agent_id:
                raise NotFound("conversation", conversation_id, f"it is not one of agent {agent_id!r}")
        return found

    found = await ops.database.read(read)
    if not found.is_online(ops.clock()):
        raise Unavailable(
            f"environment {found.connection_name!r} is not connected (last seen {found.last_seen_at:%Y-%m-%d %H:%M} "
            "UTC); start it again on its machine, then send the message again"
        )
    if not await ops.connections.send(connection_id, found.pod_id, frame):
        raise Unavailable(
            f"the connection to environment {found.connection_name!r} was lost, and the message was not delivered; "
            "send it again when it is back"
        )
    return found


async def to_connect(ops: Operations, caller: Caller, connection_id: ConnectionId) -> Environment:
    """The environment that asks to connect.

    Raises:
        NotFound: it is not registered, or has registered anew.
    """
    caller.require(Scope.WRITE)
    return await ops.database.read(lambda c: environments.of_connection(c, caller.organization_id, connection_id))


async def connected(ops: Operations, environment: Environment) -> bool:
    """Note that the environment is connected here; False: it has registered anew meanwhile."""
    now, pod = ops.clock(), ops.connections.pod_id
    return await ops.database.write(lambda c: environments.hold(c, environment.id, environment.connection_id, pod, now))


async def alive(ops: Operations, environment: Environment) -> None:
    """Note a sign of life."""
    now = ops.clock()
    await ops.database.write(
        lambda c: environments.mark(
            c, environment.connection_id, ops.connections.pod_id, last_heartbeat=now, last_seen_at=now
        )
    )


async def mode_changed(ops: Operations, environment: Environment, mode: Mode) -> None:
    """Note how freely the environment lets agents act."""
    await ops.database.write(
        lambda c: environments.mark(c, environment.connection_id, ops.connections.pod_id, current_mode=mode)
    )


async def disconnected(ops: Operations, environment: Environment) -> None:
    """Note that the connection is closed."""
    now = ops.clock()
    await ops.database.write(
        lambda c: environments.mark(
            c, environment.connection_id, ops.connections.pod_id, connected_at=None, pod_id=None, last_seen_at=now
        )
    )
