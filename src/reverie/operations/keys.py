"""What callers can ask for about API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from reverie.auth.keys import USUAL_SCOPES, Caller, KeyRecord, Scope, TokenHasher, make_token, token_hint
from reverie.domain.clock import Clock
from reverie.domain.ids import DEFAULT_ORGANIZATION, DEFAULT_USER, OrganizationId, UserId, make_id
from reverie.domain.paging import Page
from reverie.operations.known_keys import key_columns, key_of
from reverie.storage import keys
from reverie.storage.database import Database


class KeyParts(Protocol):
    """The parts that these operations need: less than a server, so the command line has them too."""

    @property
    def database(self) -> Database:
        """Where the keys lie."""
        ...

    @property
    def clock(self) -> Clock:
        """Says when a key was made or ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A key at the only moment when its text is known."""

    record: KeyRecord
    token: str


async def create(
    ops: KeyParts,
    caller: Caller,
    hasher: TokenHasher,
    name: str,
    scopes: frozenset[Scope] = USUAL_SCOPES,
    expires_at: datetime | None = None,
) -> MadeKey:
    """Make a key for the caller's organisation."""
    caller.require(Scope.ADMIN)
    made = _make(hasher, caller.organization_id, caller.user_id, name, scopes, ops.clock(), expires_at)
    await ops.database.write(lambda c: keys.insert_key(c, key_columns(made.record)))
    return made


async def list_keys(ops: KeyParts, caller: Caller, page: Page) -> list[KeyRecord]:
    """A page of the organisation's keys, revoked ones included."""
    caller.require(Scope.ADMIN)
    return await ops.database.read(lambda c: [key_of(row) for row in keys.list_page(c, caller.organization_id, page)])


async def revoke(ops: KeyParts, caller: Caller, key_id: str) -> KeyRecord:
    """End a key at once and for good."""
    caller.require(Scope.ADMIN)
    now = ops.clock()
    return await ops.database.write(lambda c: key_of(keys.revoke(c, caller.organization_id, key_id, now)))


async def first_key(ops: KeyParts, hasher: TokenHasher) -> str | None:
    """Make the key that opens a server which has none; None: it has one."""
    made = _make(hasher, DEFAULT_ORGANIZATION, DEFAULT_USER, "first key", frozenset(Scope), ops.clock(), None)

    def store(c: Connection) -> str | None:
        if keys.count(c):
            return None
        keys.insert_key(c, key_columns(made.record))
        return made.token

    return await ops.database.write(store)


def _make(
    hasher: TokenHasher,
    organization_id: OrganizationId,
    user_id: UserId,
    name: str,
    scopes: frozenset[Scope],
    now: datetime,
    expires_at: datetime | None,
) -> MadeKey:
    token = make_token()
    record = KeyRecord(
        id=make_id("key"),
        digest=hasher.digest(token),
        hint=token_hint(token),
        name=name,
        organization_id=organization_id,
        user_id=user_id,
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )
    return MadeKey(record=record, token=token)
