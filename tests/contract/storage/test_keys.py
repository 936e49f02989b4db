"""API keys, on both databases."""

import pytest
from sqlalchemy import text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.auth.keys import Gate, Scope, TokenHasher
from reverie.domain.errors import NotAuthenticated, NotFound
from reverie.domain.ids import make_id
from reverie.domain.paging import Page
from reverie.operations import keys
from reverie.operations.base import Operations
from reverie.operations.known_keys import KeysInDatabase

HASHER = TokenHasher(b"secret" * 6)


async def test_a_key_opens_until_it_is_revoked(ops: Operations) -> None:
    gate = Gate(required=True, hasher=HASHER, store=KeysInDatabase(ops.database), clock=ops.clock)
    made = await keys.create(ops, ME, HASHER, "mine", frozenset({Scope.READ}))
    caller = await gate.identify(f"Bearer {made.token}")
    assert (caller.organization_id, caller.scopes, caller.key_id) == (
        ME.organization_id,
        frozenset({Scope.READ}),
        made.record.id,
    )
    assert await keys.list_keys(ops, ME, Page()) == [made.record]
    revoked = await keys.revoke(ops, ME, made.record.id)
    assert revoked.revoked_at is not None
    with pytest.raises(NotAuthenticated, match="revoked"):
        await gate.identify(f"Bearer {made.token}")
    assert (await keys.revoke(ops, ME, made.record.id)).revoked_at == revoked.revoked_at
    with pytest.raises(NotFound):
        await keys.revoke(ops, ME, make_id("key"))


async def test_an_expired_key_opens_nothing(ops: Operations) -> None:
    gate = Gate(required=True, hasher=HASHER, store=KeysInDatabase(ops.database), clock=ops.clock)
    made = await keys.create(ops, ME, HASHER, "short", expires_at=ops.clock())
    with pytest.raises(NotAuthenticated, match="expired"):
        await gate.identify(made.token)


async def test_the_first_key_is_made_once(ops: Operations) -> None:
    token = await keys.first_key(ops, HASHER)
    assert token is not None
    assert await keys.first_key(ops, HASHER) is None
    stored = await ops.database.read(lambda c: c.execute(text("SELECT digest, hint FROM api_keys")).one())
    assert token not in stored.digest
    assert stored.hint == token[-4:]
