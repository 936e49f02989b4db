"""Providers that organisations added over the API. Their keys are sealed before they come here.

Other processes hear of each change.
"""

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import OrganizationId, ProviderId
from reverie.domain.provider import Provider
from reverie.storage import bells
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import RowMap
from reverie.storage.schema import providers

_map = RowMap(providers, Provider, {})


def insert_provider(c: Connection, provider: Provider) -> None:
    """Store a new provider.

    Raises:
        Conflict: the organisation has one of its name.
    """
    try:
        _map.insert(c, provider)
    except IntegrityError as error:
        if dialect_of(c).is_unique_violation(error):
            raise Conflict(
                f"a provider named {provider.name!r} exists already; change it, delete it, or use another name"
            ) from error
        raise
    bells.ring(c, "providers", [provider.organization_id])


def get(c: Connection, organization_id: OrganizationId, provider_id: ProviderId) -> Provider:
    """One provider.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(providers).where(providers.c.organization_id == organization_id, providers.c.id == provider_id)
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("provider", provider_id)
    return _map.read(row)


def list_all(c: Connection, organization_id: OrganizationId) -> list[Provider]:
    """All of an organisation's providers, by age; there is a bound on how many it may have."""
    query = select(providers).where(providers.c.organization_id == organization_id).order_by(providers.c.seq)
    return [_map.read(row) for row in c.execute(query).all()]


def count(c: Connection, organization_id: OrganizationId) -> int:
    """How many providers an organisation has."""
    query = select(func.count()).select_from(providers).where(providers.c.organization_id == organization_id)
    return int(c.execute(query).scalar_one())


def update_provider(c: Connection, before: Provider, after: Provider) -> None:
    """Store what differs."""
    _map.update(c, before, after)
    bells.ring(c, "providers", [after.organization_id])


def delete_provider(c: Connection, provider: Provider) -> None:
    """Remove a provider with its keys."""
    _map.delete(c, provider.id)
    bells.ring(c, "providers", [provider.organization_id])
