"""Environments: programs on other machines that agents work through, such as a coding agent's listener."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from reverie.domain.ids import ConnectionId, EnvironmentId, OrganizationId
from reverie.domain.json import JsonObject

Mode: TypeAlias = Literal["default", "standard", "acceptEdits", "bypassPermissions", "unrestricted"]
"""How freely the environment lets an agent act."""
Place: TypeAlias = Literal["local", "remote"]

HEARTBEAT: Final = timedelta(seconds=30)
"""Between the signs of life that a connection leaves in the database."""
SILENCE: Final = 3 * HEARTBEAT
"""A connection without a sign for so long is gone, with the server process that held it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A device that registered, connected or not.

    Source: `EnvironmentRetrieveResponse` of the client SDK, read 2026-11.
    """

    id: EnvironmentId
    organization_id: OrganizationId
    user_id: str
    device_id: str
    """The client's own name for the machine; no two of an organisation share it."""
    connection_id: ConnectionId
    """Of its last registration: where it connects, and where messages for it go."""
    connection_name: str
    api_key_owner: str
    source: Place
    """Whether it registered from the server's own machine."""
    metadata: JsonObject = field(default_factory=dict)
    current_mode: Mode | None = None
    pod_id: str | None = None
    """The server process that holds the connection."""
    connected_at: datetime | None = None
    last_heartbeat: datetime | None = None
    last_seen_at: datetime
    first_seen_at: datetime

    def is_online(self, now: datetime) -> bool:
        """Whether it is connected, as far as the database knows."""
        return self.connected_at is not None and self.last_heartbeat is not None and now - self.last_heartbeat < SILENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a device says of itself."""

    device_id: str
    connection_name: str
    source: Place
    metadata: JsonObject | None = None
    """None: as it said before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFilter:
    """Which environments a list holds; every given condition must hold."""

    user_id: str | None = None
    source: Place | None = None
    online_only: bool = False
