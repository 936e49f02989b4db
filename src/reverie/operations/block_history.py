"""What callers can ask for about the past of a block: its changes, its versions, and having one back."""

import difflib
from datetime import datetime

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.block import Block, BlockChange, BlockVersion
from reverie.domain.ids import BlockId
from reverie.domain.paging import Page
from reverie.operations.authorship import actor_of
from reverie.operations.base import Operations
from reverie.storage import block_history, blocks


async def list_changes(ops: Operations, caller: Caller, block_id: BlockId, page: Page) -> list[BlockChange]:
    """A page of the changes of a block's value."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: block_history.list_page(c, blocks.get(c, caller.organization_id, block_id), page)
    )


async def retrieve_version(ops: Operations, caller: Caller, block_id: BlockId, version: int) -> BlockVersion:
    """What the block held as of a version."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: block_history.get_version(c, blocks.get(c, caller.organization_id, block_id), version)
    )


async def as_of(ops: Operations, caller: Caller, block_id: BlockId, moment: datetime) -> BlockVersion:
    """What the block held at a moment."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: block_history.as_of(c, blocks.get(c, caller.organization_id, block_id), moment)
    )


async def diff(ops: Operations, caller: Caller, block_id: BlockId, older: int, newer: int | None) -> str:
    """What changed between two versions, as a unified diff; None: the present one. Empty when nothing did."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[BlockVersion, BlockVersion]:
        block = blocks.get(c, caller.organization_id, block_id)
        last = block.version if newer is None else newer
        return block_history.get_version(c, block, older), block_history.get_version(c, block, last)

    first, second = await ops.database.read(read)
    lines = difflib.unified_diff(
        first.value.splitlines(),
        second.value.splitlines(),
        f"version {first.version}",
        f"version {second.version}",
        lineterm="",
    )
    return "\n".join(lines)


async def restore(ops: Operations, caller: Caller, block_id: BlockId, version: int) -> Block:
    """Give the block the value it had as of a version; that is a change like any other, and can be undone too.

    Raises:
        NotFound: the block has had no such version.
        InvalidInput: the value is longer than the block's limit is now.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Block:
        block = blocks.get(c, caller.organization_id, block_id, lock=True)
        wanted = block_history.get_version(c, block, version)
        actor = {**actor_of(caller), "restored_version": version}
        return blocks.change_value(c, block, wanted.value, actor, now, caller.user_id)

    return await ops.database.write(store)
