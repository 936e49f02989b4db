"""Rows of keys and of access tokens as the records of `auth`, and how the gate finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping

from reverie.auth.keys import AccessToken, KeyRecord, Scope
from reverie.auth.policy import Access, Grant, Policy
from reverie.storage import access_tokens, keys
from reverie.storage.database import Database

_KEY: Final = tuple(item.name for item in fields(KeyRecord))
_TOKEN: Final = tuple(item.name for item in fields(AccessToken) if item.name != "policy")


class KeysInDatabase:
    """The `auth.KeyStore` of a running server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digests: Sequence[str]) -> KeyRecord | None:
        """The record whose digest is one of `digests`, revoked and expired ones included."""

        def read(c: Connection) -> KeyRecord | None:
            row = keys.find(c, digests)
            return None if row is None else key_of(row)

        return await self._database.read(read)

    async def find_access_token(self, digests: Sequence[str]) -> AccessToken | None:
        """The access token whose digest is one of `digests`, expired ones included."""

        def read(c: Connection) -> AccessToken | None:
            row = access_tokens.find(c, digests)
            return None if row is None else tokens_of(c, [row])[0]

        return await self._database.read(read)

    async def serves_pages_of(self, origin: str, now: datetime) -> bool:
        """Whether there is a live access token for pages of `origin`."""
        return await self._database.read(lambda c: access_tokens.serves_pages_of(c, origin, now))


def key_columns(record: KeyRecord) -> Mapping[str, Any]:
    """The columns of a key."""
    return {**{name: getattr(record, name) for name in _KEY}, "scopes": sorted(record.scopes)}


def key_of(row: RowMapping) -> KeyRecord:
    """The key of a row."""
    values: dict[str, Any] = {name: row[name] for name in _KEY}
    values["scopes"] = frozenset(Scope(item) for item in row["scopes"])
    return KeyRecord(**values)


def token_columns(record: AccessToken) -> Mapping[str, Any]:
    """The columns of an access token."""
    return {name: getattr(record, name) for name in _TOKEN}


def grant_columns(record: AccessToken) -> list[Mapping[str, Any]]:
    """The columns of what an access token grants."""
    return [{"agent_id": grant.agent_id, "access": list(grant.access)} for grant in record.policy.grants]


def tokens_of(c: Connection, rows: Sequence[RowMapping]) -> list[AccessToken]:
    """The access tokens of rows, with what they grant."""
    grants = access_tokens.grants_of(c, [row["id"] for row in rows])
    return [
        AccessToken(
            **{name: row[name] for name in _TOKEN},
            policy=Policy(tuple(_grant_of(grant) for grant in grants.get(row["id"], ()))),
        )
        for row in rows
    ]


def _grant_of(row: RowMapping) -> Grant:
    return Grant(agent_id=row["agent_id"], access=tuple(Access(item) for item in row["access"]))
