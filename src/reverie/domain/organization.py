"""Organisations: everything stored belongs to one, and nothing of one is seen from another."""

from dataclasses import dataclass
from datetime import datetime

from reverie.domain.ids import OrganizationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """Whoever keys are made for."""

    id: OrganizationId
    name: str
    """No two share it."""
    created_at: datetime
