"""The past of blocks: an addition of ours, which the API it speaks does not have."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query

from reverie.api.context import Ask, BlockPath, Newest50
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.block_history import (
    BlockChangeState,
    BlockDiffState,
    BlockVersionState,
    change_state,
    version_state,
)
from reverie.api.wire.blocks import BlockState, block_state
from reverie.domain.clock import aware
from reverie.domain.ids import BlockId
from reverie.operations import block_history

routes = Routes("blocks")

_MOST = 2**31 - 1
VersionPath = Annotated[int, Path(ge=1, le=_MOST)]
VersionQuery = Annotated[int, Query(ge=1, le=_MOST)]


@routes.get("/v1/blocks/{block_id}/history")
async def list_changes(block_id: BlockPath, call: Ask, page: Newest50) -> Json[list[BlockChangeState]]:
    """List the changes of a block's value, with who made each; cursors are version numbers."""
    found = await block_history.list_changes(call.ops, call.caller, BlockId(block_id), page.page())
    return Json([change_state(change) for change in found])


@routes.get("/v1/blocks/{block_id}/history/as-of")
async def retrieve_as_of(block_id: BlockPath, call: Ask, time: datetime) -> Json[BlockVersionState]:
    """What the block held at a time; a time without an offset is UTC."""
    moment = aware(time)
    assert moment is not None
    return Json(version_state(await block_history.as_of(call.ops, call.caller, BlockId(block_id), moment)))


@routes.get("/v1/blocks/{block_id}/history/diff")
async def diff_versions(
    block_id: BlockPath, call: Ask, from_version: VersionQuery, to_version: VersionQuery | None = None
) -> Json[BlockDiffState]:
    """What changed between two versions, as a unified diff; without `to_version` up to the present one."""
    text = await block_history.diff(call.ops, call.caller, BlockId(block_id), from_version, to_version)
    return Json({"diff": text})


@routes.get("/v1/blocks/{block_id}/history/{version}")
async def retrieve_version(block_id: BlockPath, version: VersionPath, call: Ask) -> Json[BlockVersionState]:
    """What the block held as of a version; the value it was made with is version 1."""
    return Json(version_state(await block_history.retrieve_version(call.ops, call.caller, BlockId(block_id), version)))


@routes.post("/v1/blocks/{block_id}/history/{version}/restore")
async def restore_version(block_id: BlockPath, version: VersionPath, call: Ask) -> Json[BlockState]:
    """Give the block the value it had as of a version, as a new version."""
    return Json(block_state(await block_history.restore(call.ops, call.caller, BlockId(block_id), version)))
