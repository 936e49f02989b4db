"""Access tokens of pages: rows that hold a digest, never a token. What is granted is plain text to this room."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, exists, insert, or_, select

from reverie.domain.errors import NotFound
from reverie.domain.ids import OrganizationId, is_id
from reverie.storage.rows import equals
from reverie.storage.schema import access_grants, access_tokens


def insert_token(c: Connection, values: Mapping[str, Any], grants: Sequence[Mapping[str, Any]]) -> None:
    """Store a new token by its columns, with what it grants."""
    c.execute(insert(access_tokens).values(dict(values)))
    c.execute(
        insert(access_grants),
        [{"token_id": values["id"], "place": place, **grant} for place, grant in enumerate(grants)],
    )


def find(c: Connection, digests: Sequence[str]) -> RowMapping | None:
    """The token whose digest is one of `digests`, expired ones included."""
    return c.execute(select(access_tokens).where(access_tokens.c.digest.in_(digests))).mappings().first()


def grants_of(c: Connection, token_ids: Sequence[str]) -> dict[str, list[RowMapping]]:
    """What each token grants, in the order it was said; nothing for agents that are gone."""
    query = select(access_grants).where(access_grants.c.token_id.in_(token_ids)).order_by(access_grants.c.place)
    found: dict[str, list[RowMapping]] = {}
    for row in c.execute(query).mappings():
        found.setdefault(row["token_id"], []).append(row)
    return found


def list_live(
    c: Connection, organization_id: OrganizationId, now: datetime, *, agent_id: str | None, offset: int, limit: int
) -> Sequence[RowMapping]:
    """Tokens that still open something, newest first; with `agent_id` those that open something of it."""
    query = select(access_tokens).where(
        access_tokens.c.organization_id == organization_id, access_tokens.c.expires_at > now
    )
    if agent_id is not None:
        mine = (access_grants.c.token_id == access_tokens.c.id, access_grants.c.agent_id == agent_id)
        query = query.where(exists().where(*mine))
    return c.execute(query.order_by(access_tokens.c.seq.desc()).offset(offset).limit(limit)).mappings().all()


def delete_token(c: Connection, organization_id: OrganizationId, token_id: str, digests: Sequence[str]) -> None:
    """Remove the token of that id, or with one of these digests.

    Raises:
        NotFound: the organisation has none.
    """
    wanted = or_(access_tokens.c.id == token_id, access_tokens.c.digest.in_(digests))
    done = c.execute(delete(access_tokens).where(access_tokens.c.organization_id == organization_id, wanted))
    if done.rowcount == 0:
        # Of a token no more is said than tells it apart: what is answered may end up in a log.
        shown = token_id if is_id(token_id, "access_token") else f"…{token_id[-4:]}"
        raise NotFound("access token", shown, "it may have expired")


def forget_expired(c: Connection, organization_id: OrganizationId, now: datetime) -> None:
    """Remove the organisation's tokens that open nothing any more."""
    c.execute(
        delete(access_tokens).where(
            *equals((access_tokens.c.organization_id, organization_id)), access_tokens.c.expires_at <= now
        )
    )


def serves_pages_of(c: Connection, origin: str, now: datetime) -> bool:
    """Whether any token, of whatever organisation, is for pages of `origin`."""
    query = select(access_tokens.c.seq).where(access_tokens.c.origin == origin, access_tokens.c.expires_at > now)
    return c.execute(query.limit(1)).first() is not None
