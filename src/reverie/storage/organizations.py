"""Organisations: rows with a name. The default one needs none."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, select

from reverie.domain.ids import DEFAULT_ORGANIZATION, DEFAULT_ORGANIZATION_NAME, OrganizationId
from reverie.domain.organization import Organization
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import RowMap
from reverie.storage.schema import organizations

_map = RowMap(organizations, Organization, {})
_DEFAULT: Final = Organization(
    id=DEFAULT_ORGANIZATION, name=DEFAULT_ORGANIZATION_NAME, created_at=datetime(1970, 1, 1, tzinfo=UTC)
)
"""Who calls a server that asks for no key: there from the start."""


def find_named(c: Connection, name: str) -> Organization | None:
    """The organisation of that name."""
    if name == DEFAULT_ORGANIZATION_NAME:
        return _DEFAULT
    row = c.execute(select(organizations).where(organizations.c.name == name)).one_or_none()
    return None if row is None else _map.read(row)


def get(c: Connection, organization_id: OrganizationId) -> Organization:
    """The organisation of a caller; one that lost its row goes by its id."""
    if organization_id == DEFAULT_ORGANIZATION:
        return _DEFAULT
    row = c.execute(select(organizations).where(organizations.c.id == organization_id)).one_or_none()
    return (
        Organization(id=organization_id, name=organization_id, created_at=_DEFAULT.created_at)
        if row is None
        else (_map.read(row))
    )


def list_all(c: Connection) -> list[Organization]:
    """Every organisation, the default one first, the others by name."""
    rows = c.execute(
        select(organizations).where(organizations.c.id != DEFAULT_ORGANIZATION).order_by(organizations.c.name)
    )
    return [_DEFAULT, *(_map.read(row) for row in rows.all())]


def put(c: Connection, organization: Organization) -> Organization:
    """Store an organisation, or find the one that has its name already."""
    found = find_named(c, organization.name)
    if found is not None:
        return found
    c.execute(dialect_of(c).insert(organizations).on_conflict_do_nothing(), _map.values(organization))
    return find_named(c, organization.name) or organization
