"""Environments: rows, who is connected, and messages that wait for the process that holds a connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from reverie.domain.environment import HEARTBEAT, SILENCE, Environment, EnvironmentFilter
from reverie.domain.errors import NotFound
from reverie.domain.ids import ConnectionId, EnvironmentId, OrganizationId
from reverie.domain.paging import Page
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, equals
from reverie.storage.schema import environment_deliveries, environments

_map: Final = RowMap(environments, Environment, {})


def put(c: Connection, fresh: Environment) -> bool:
    """Store an environment unless the organisation knows its device; tells whether it did."""
    done = c.execute(dialect_of(c).insert(environments).on_conflict_do_nothing(), _map.values(fresh))
    return done.rowcount == 1


def of_device(c: Connection, organization_id: OrganizationId, device_id: str, *, lock: bool = False) -> Environment:
    """The environment of a device.

    Raises:
        NotFound: the organisation knows none.
    """
    query = _mine(organization_id).where(environments.c.device_id == device_id)
    return _one(c, query.with_for_update() if lock else query, device_id)


def of_connection(c: Connection, organization_id: OrganizationId, connection_id: ConnectionId) -> Environment:
    """The environment that registered last with this connection.

    Raises:
        NotFound: the organisation knows none.
    """
    return _one(c, _mine(organization_id).where(environments.c.connection_id == connection_id), connection_id)


def get(c: Connection, organization_id: OrganizationId, environment_id: EnvironmentId) -> Environment:
    """An environment.

    Raises:
        NotFound: the organisation knows none.
    """
    return _one(c, _mine(organization_id).where(environments.c.id == environment_id), environment_id)


def list_page(
    c: Connection, organization_id: OrganizationId, where: EnvironmentFilter, page: Page, now: datetime
) -> list[Environment]:
    """A page of the environments that meet `where`."""
    query = _mine(organization_id).where(
        *equals((environments.c.user_id, where.user_id), (environments.c.source, where.source))
    )
    if where.online_only:
        query = query.where(environments.c.connected_at.is_not(None), environments.c.last_heartbeat > now - SILENCE)
    return [_map.read(row) for row in fetch_rows(c, query, environments, page, organization_id, "environment")]


def update_environment(c: Connection, before: Environment, after: Environment) -> None:
    """Store what differs."""
    _map.update(c, before, after)


def delete_environment(c: Connection, environment_id: EnvironmentId) -> None:
    """Forget an environment that was read."""
    _map.delete(c, environment_id)


def mark(c: Connection, connection_id: ConnectionId, held_by: str, **values: Any) -> bool:
    """Note something of a connection that this process holds; False: it has another or none by now."""
    held = (environments.c.connection_id == connection_id, environments.c.pod_id == held_by)
    return c.execute(update(environments).where(*held).values(values)).rowcount == 1


def hold(c: Connection, environment_id: EnvironmentId, connection_id: ConnectionId, pod_id: str, now: datetime) -> bool:
    """Say that this process holds the connection from now on; False: the device has registered anew meanwhile."""
    mine = (environments.c.id == environment_id, environments.c.connection_id == connection_id)
    values = {"pod_id": pod_id, "connected_at": now, "last_heartbeat": now, "last_seen_at": now}
    return c.execute(update(environments).where(*mine).values(values)).rowcount == 1


def leave_delivery(c: Connection, delivery_id: str, connection_id: ConnectionId, frame: str, now: datetime) -> None:
    """Leave a message for the process that holds the connection."""
    # Those of senders that died are cleared up on the way.
    c.execute(delete(environment_deliveries).where(environment_deliveries.c.created_at < now - HEARTBEAT))
    values = {"id": delivery_id, "connection_id": connection_id, "frame": frame, "created_at": now}
    c.execute(insert(environment_deliveries).values(values))


def waiting_deliveries(
    c: Connection, connection_ids: Sequence[ConnectionId], since: datetime
) -> list[tuple[str, ConnectionId, str]]:
    """Id, connection and text of the messages that were left after `since` and wait, the oldest first."""
    table = environment_deliveries
    query = select(table.c.id, table.c.connection_id, table.c.frame).where(
        table.c.connection_id.in_(connection_ids), table.c.sent_at.is_(None), table.c.created_at > since
    )
    return [(row[0], row[1], row[2]) for row in c.execute(query.order_by(table.c.created_at)).all()]


def take_delivery(c: Connection, delivery_id: str, now: datetime) -> bool:
    """Take a message to send it; False: whoever left it has taken it back."""
    table = environment_deliveries
    mine = (table.c.id == delivery_id, table.c.sent_at.is_(None))
    return c.execute(update(table).where(*mine).values(sent_at=now)).rowcount == 1


def is_taken(c: Connection, delivery_id: str) -> bool:
    """Whether a message was taken."""
    table = environment_deliveries
    return c.execute(select(table.c.sent_at).where(table.c.id == delivery_id)).scalar_one_or_none() is not None


def take_back(c: Connection, delivery_id: str) -> bool:
    """Remove a message; tells whether it was taken before."""
    taken = is_taken(c, delivery_id)
    c.execute(delete(environment_deliveries).where(environment_deliveries.c.id == delivery_id))
    return taken


def _mine(organization_id: OrganizationId) -> Select[Any]:
    return select(environments).where(environments.c.organization_id == organization_id)


def _one(c: Connection, query: Select[Any], name: str) -> Environment:
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("environment", name)
    return _map.read(row)
