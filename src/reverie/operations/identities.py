"""What callers can ask for about identities."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentDetails, AgentFilter
from reverie.domain.block import Block, BlockFilter
from reverie.domain.identity import (
    Identity,
    IdentityChanges,
    IdentityDetails,
    IdentityDraft,
    IdentityFilter,
    IdentityProperty,
    merge_properties,
)
from reverie.domain.ids import IdentityId, make_id
from reverie.domain.paging import Page
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.storage import agents, blocks, identities
from reverie.storage.agents import EVERYTHING, Related
from reverie.storage.identities import AGENTS, BLOCKS, Links


async def create(ops: Operations, caller: Caller, draft: IdentityDraft) -> IdentityDetails:
    """Make an identity with its agents and blocks, whole or not at all.

    Raises:
        Conflict: another identity of the project has the key.
        NotFound: an unknown agent or block; the text names it.
    """
    caller.require(Scope.WRITE)
    fresh = _make_identity(caller, draft, ops.clock())

    def store(c: Connection) -> IdentityDetails:
        identities.insert_identity(c, fresh)
        _attach(c, fresh, AGENTS, draft.agent_ids or ())
        _attach(c, fresh, BLOCKS, draft.block_ids or ())
        return identities.details(c, [fresh])[0]

    return await ops.database.write(store)


async def upsert(ops: Operations, caller: Caller, draft: IdentityDraft) -> IdentityDetails:
    """Make an identity or, when its project has one of the key, bring that one to what `draft` says.

    Raises:
        NotFound: an unknown agent or block; the text names it.
    """
    caller.require(Scope.WRITE)
    fresh = _make_identity(caller, draft, ops.clock())

    def store(c: Connection) -> IdentityDetails:
        stored = fresh
        if not identities.insert_unless_known(c, fresh):
            stored = _bring_up_to_date(c, fresh, draft)
        for links, wanted in ((AGENTS, draft.agent_ids), (BLOCKS, draft.block_ids)):
            if wanted is not None:
                links.hold(c, stored.organization_id, wanted)
                links.clear(c, identity_id=stored.id)
                links.add(c, wanted, [stored.id])
        return identities.details(c, [stored])[0]

    return await ops.database.write(store)


async def retrieve(ops: Operations, caller: Caller, identity_id: IdentityId) -> IdentityDetails:
    """One identity."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: identities.details(c, [identities.get(c, caller.organization_id, identity_id)])[0]
    )


async def list_identities(ops: Operations, caller: Caller, where: IdentityFilter, page: Page) -> list[IdentityDetails]:
    """A page of identities."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: identities.details(c, identities.list_page(c, caller.organization_id, where, page))
    )


async def count(ops: Operations, caller: Caller, where: IdentityFilter) -> int:
    """How many identities meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: identities.count(c, caller.organization_id, where))


async def update(ops: Operations, caller: Caller, identity_id: IdentityId, changes: IdentityChanges) -> IdentityDetails:
    """Change what `changes` names; its lists add to what the identity has.

    Raises:
        Conflict: another identity of the project has the key.
        NotFound: an unknown agent or block; the text names it.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> IdentityDetails:
        before = identities.get(c, caller.organization_id, identity_id, lock=True)
        values = _plain_values(changes)
        if changes.properties is not UNSET:
            values["properties"] = merge_properties(before.properties, changes.properties)
        after = replace(before, **values, updated_at=now, last_updated_by_id=caller.user_id)
        identities.update_identity(c, before, after)
        if changes.agent_ids is not UNSET:
            _attach(c, after, AGENTS, changes.agent_ids)
        if changes.block_ids is not UNSET:
            _attach(c, after, BLOCKS, changes.block_ids)
        return identities.details(c, [after])[0]

    return await ops.database.write(store)


async def replace_properties(
    ops: Operations, caller: Caller, identity_id: IdentityId, properties: tuple[IdentityProperty, ...]
) -> IdentityDetails:
    """Make `properties` all that the identity has."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> IdentityDetails:
        before = identities.get(c, caller.organization_id, identity_id, lock=True)
        after = replace(
            before,
            properties=merge_properties((), properties),
            updated_at=now,
            last_updated_by_id=caller.user_id,
        )
        identities.update_identity(c, before, after)
        return identities.details(c, [after])[0]

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, identity_id: IdentityId) -> None:
    """Remove an identity for good; its agents and blocks stay."""
    caller.require(Scope.WRITE)
    await ops.database.write(
        lambda c: identities.delete_identity(c, identities.get(c, caller.organization_id, identity_id).id)
    )


async def list_agents(
    ops: Operations, caller: Caller, identity_id: IdentityId, page: Page, related: frozenset[Related] = EVERYTHING
) -> list[AgentDetails]:
    """A page of the identity's agents."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[AgentDetails]:
        owner = identities.get(c, caller.organization_id, identity_id)
        where = AgentFilter(identity_id=owner.id, include_hidden=True)
        return agents.list_page(c, caller.organization_id, where, page, related)

    return await ops.database.read(read)


async def list_blocks(ops: Operations, caller: Caller, identity_id: IdentityId, page: Page) -> list[Block]:
    """A page of the identity's blocks."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Block]:
        owner = identities.get(c, caller.organization_id, identity_id)
        where = BlockFilter(identity_id=owner.id, include_hidden=True)
        return blocks.list_page(c, caller.organization_id, where, page)

    return await ops.database.read(read)


def _make_identity(caller: Caller, draft: IdentityDraft, now: datetime) -> Identity:
    return Identity(
        id=IdentityId(make_id("identity")),
        organization_id=caller.organization_id,
        identifier_key=draft.identifier_key,
        name=draft.name,
        identity_type=draft.identity_type,
        properties=merge_properties((), draft.properties or ()),
        project_id=draft.project_id,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )


def _bring_up_to_date(c: Connection, fresh: Identity, draft: IdentityDraft) -> Identity:
    before = identities.get_by_key(c, fresh.organization_id, fresh.identifier_key, fresh.project_id)
    after = replace(
        before,
        name=fresh.name,
        identity_type=fresh.identity_type,
        properties=before.properties if draft.properties is None else fresh.properties,
        updated_at=fresh.updated_at,
        last_updated_by_id=fresh.last_updated_by_id,
    )
    identities.update_identity(c, before, after)
    return after


def _attach(c: Connection, identity: Identity, links: Links, thing_ids: Sequence[str]) -> None:
    links.hold(c, identity.organization_id, thing_ids)
    links.add(c, thing_ids, [identity.id])


_APART = frozenset({"properties", "agent_ids", "block_ids"})
"""Changes that are not a column of the identity as they stand."""


def _plain_values(changes: IdentityChanges) -> dict[str, Any]:
    return {
        item.name: value
        for item in fields(changes)
        if item.name not in _APART and (value := getattr(changes, item.name)) is not UNSET
    }
