"""Callbacks: what is told to an address that a client named, once something has ended."""

from dataclasses import dataclass
from datetime import datetime

from reverie.domain.ids import OrganizationId
from reverie.domain.json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A callback that has still to be made. It is stored with the end that it tells of."""

    id: str
    organization_id: OrganizationId
    owner_id: str
    """The run or batch that ended."""
    url: str
    payload: JsonObject
    attempts: int = 0
    due_at: datetime
    """When it is to be tried next; while it is tried, when somebody else may."""
