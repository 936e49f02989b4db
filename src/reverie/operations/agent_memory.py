"""What callers can ask for about the blocks and archives of an agent."""

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.block import Block, BlockChanges
from reverie.domain.ids import AgentId, ArchiveId, BlockId
from reverie.domain.paging import Page
from reverie.operations.attaching import change_agent
from reverie.operations.authorship import actor_of
from reverie.operations.base import Operations
from reverie.storage import agents, archives, blocks, groups


async def list_blocks(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Block]:
    """A page of the agent's blocks."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: blocks.page_of_agent(c, agents.get(c, caller.organization_id, agent_id), page)
    )


async def retrieve_block(ops: Operations, caller: Caller, agent_id: AgentId, label: str) -> Block:
    """The agent's block of `label`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: _labelled(c, caller, agent_id, label))


async def update_block(ops: Operations, caller: Caller, agent_id: AgentId, label: str, changes: BlockChanges) -> Block:
    """Change the agent's block of `label`, for every agent that has it."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Block:
        before = _labelled(c, caller, agent_id, label, lock=True)
        return blocks.apply_changes(c, before, changes, actor_of(caller), now)

    return await ops.database.write(store)


def _labelled(c: Connection, caller: Caller, agent_id: AgentId, label: str, *, lock: bool = False) -> Block:
    found = blocks.find_labelled(c, caller.organization_id, agent_id, label, lock=lock)
    if found is None:  # the agent itself may be what is missing
        return blocks.of_label(c, agents.get(c, caller.organization_id, agent_id), label, lock=lock)
    return found


async def attach_block(ops: Operations, caller: Caller, agent_id: AgentId, block_id: BlockId) -> AgentDetails:
    """Put a block into the agent's context, after those it has.

    Raises:
        Conflict: it has another block of the same label.
    """

    def change(c: Connection, agent: Agent) -> None:
        block = blocks.get(c, caller.organization_id, block_id)
        blocks.attach(c, agent.id, block)
        if agent.enable_sleeptime:
            groups.share_block(c, agent.id, block)

    return await change_agent(ops, caller, agent_id, change)


async def detach_block(ops: Operations, caller: Caller, agent_id: AgentId, block_id: BlockId) -> AgentDetails:
    """Take a block out of the agent's context; the block stays."""

    def change(c: Connection, agent: Agent) -> None:
        blocks.detach(c, agent.id, block_id)
        if agent.enable_sleeptime:
            groups.unshare_block(c, agent.id, block_id)

    return await change_agent(ops, caller, agent_id, change)


async def attach_archive(ops: Operations, caller: Caller, agent_id: AgentId, archive_id: ArchiveId) -> None:
    """Let the agent search an archive."""

    def change(c: Connection, agent: Agent) -> None:
        archives.attach(c, agent.id, archives.get(c, caller.organization_id, archive_id).id)

    await change_agent(ops, caller, agent_id, change)


async def detach_archive(ops: Operations, caller: Caller, agent_id: AgentId, archive_id: ArchiveId) -> None:
    """Take an archive away from the agent; the archive stays."""
    await change_agent(ops, caller, agent_id, lambda c, agent: archives.detach(c, agent, archive_id))
