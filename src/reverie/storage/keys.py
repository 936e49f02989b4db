"""API keys: rows that hold a digest, never a key. Scopes and hint are plain text to this room."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from reverie.domain.errors import NotFound
from reverie.domain.ids import OrganizationId
from reverie.domain.paging import Page
from reverie.storage.paging import fetch_page
from reverie.storage.schema import api_keys


def insert_key(c: Connection, values: Mapping[str, Any]) -> None:
    """Store a new key by its columns."""
    c.execute(insert(api_keys).values(dict(values)))


def find(c: Connection, digests: Sequence[str]) -> RowMapping | None:
    """The key whose digest is one of `digests`, revoked and expired ones included."""
    return c.execute(select(api_keys).where(api_keys.c.digest.in_(digests))).mappings().first()


def count(c: Connection) -> int:
    """How many keys there are, of all organisations."""
    return int(c.execute(select(func.count()).select_from(api_keys)).scalar_one())


def list_page(c: Connection, organization_id: OrganizationId, page: Page) -> Sequence[RowMapping]:
    """A page of the organisation's keys."""
    query = select(api_keys).where(api_keys.c.organization_id == organization_id)
    return fetch_page(c, query, api_keys, page, organization_id, "key")


def revoke(c: Connection, organization_id: OrganizationId, key_id: str, now: datetime) -> RowMapping:
    """End a key for good; its row stays, so that what it did can be told.

    Raises:
        NotFound: the organisation has none of that id.
    """
    mine = (api_keys.c.organization_id == organization_id, api_keys.c.id == key_id)
    c.execute(update(api_keys).where(*mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=now))
    row = c.execute(select(api_keys).where(*mine)).mappings().one_or_none()
    if row is None:
        raise NotFound("key", key_id)
    return row
