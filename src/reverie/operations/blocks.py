"""What callers can ask for about memory blocks."""

from collections.abc import Sequence

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentDetails, AgentFilter
from reverie.domain.block import Block, BlockChanges, BlockDraft, BlockFilter
from reverie.domain.ids import BlockId, IdentityId
from reverie.domain.paging import Page
from reverie.operations.authorship import actor_of
from reverie.operations.base import Operations
from reverie.storage import agents, blocks, identities
from reverie.storage.agents import EVERYTHING, Related
from reverie.storage.identities import BLOCKS


async def create(ops: Operations, caller: Caller, draft: BlockDraft) -> Block:
    """Make a block that is attached to no agent yet.

    Raises:
        InvalidInput: the value is longer than the limit.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()
    return await ops.database.write(
        lambda c: blocks.create(c, caller.organization_id, draft, actor=actor_of(caller), now=now)
    )


async def create_many(ops: Operations, caller: Caller, drafts: Sequence[BlockDraft]) -> list[Block]:
    """The same for several blocks, all or none."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> list[Block]:
        made = [blocks.make_block(draft, caller.organization_id, caller.user_id, now) for draft in drafts]
        blocks.insert_blocks(c, made)
        return made

    return await ops.database.write(store)


async def retrieve(ops: Operations, caller: Caller, block_id: BlockId) -> Block:
    """One block."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: blocks.get(c, caller.organization_id, block_id))


async def list_blocks(ops: Operations, caller: Caller, where: BlockFilter, page: Page) -> list[Block]:
    """A page of blocks."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: blocks.list_page(c, caller.organization_id, where, page))


async def count(ops: Operations, caller: Caller, where: BlockFilter) -> int:
    """How many blocks meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: blocks.count(c, caller.organization_id, where))


async def update(ops: Operations, caller: Caller, block_id: BlockId, changes: BlockChanges) -> Block:
    """Change a block for every agent that has it. Read-only blocks too: that restrains agents' tools alone.

    Raises:
        InvalidInput: the value is longer than the limit.
        Conflict: an agent has another block of the new label.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Block:
        before = blocks.get(c, caller.organization_id, block_id, lock=True)
        return blocks.apply_changes(c, before, changes, actor_of(caller), now)

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, block_id: BlockId) -> None:
    """Remove a block from every agent and for good."""
    caller.require(Scope.WRITE)
    await ops.database.write(
        lambda c: blocks.delete_block(c, blocks.get(c, caller.organization_id, block_id, lock=True).id)
    )


async def list_agents(
    ops: Operations, caller: Caller, block_id: BlockId, page: Page, related: frozenset[Related] = EVERYTHING
) -> list[AgentDetails]:
    """A page of the agents that have the block."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[AgentDetails]:
        blocks.get(c, caller.organization_id, block_id)
        everyone = AgentFilter(include_hidden=True, block_id=block_id)
        return agents.list_page(c, caller.organization_id, everyone, page, related)

    return await ops.database.read(read)


async def attach_identity(ops: Operations, caller: Caller, block_id: BlockId, identity_id: IdentityId) -> Block:
    """Say that the block belongs to an identity; nothing happens when it does already."""
    caller.require(Scope.WRITE)

    def store(c: Connection) -> Block:
        block = blocks.get(c, caller.organization_id, block_id)
        BLOCKS.add(c, [block.id], [identities.get(c, caller.organization_id, identity_id).id])
        return block

    return await ops.database.write(store)


async def detach_identity(ops: Operations, caller: Caller, block_id: BlockId, identity_id: IdentityId) -> Block:
    """Say that the block does not belong to an identity; nothing happens when it does not."""
    caller.require(Scope.WRITE)

    def store(c: Connection) -> Block:
        block = blocks.get(c, caller.organization_id, block_id)
        BLOCKS.remove(c, block.id, identities.get(c, caller.organization_id, identity_id).id)
        return block

    return await ops.database.write(store)
