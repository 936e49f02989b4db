"""Memory blocks by themselves."""

from typing import Annotated, Any

from fastapi import Depends, Query

from reverie.api.context import (
    Ask,
    BlockPath,
    FromProject,
    IdentityQuery,
    IntoProject,
    ListQuery,
    Newest50,
    Oldest50,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import Include, answer_agents, related_of
from reverie.api.wire.agents import AgentState
from reverie.api.wire.blocks import BlockCreate, BlockState, BlockUpdate, block_state
from reverie.api.wire.relationships import wanted_relationships
from reverie.domain.block import BlockFilter
from reverie.domain.ids import BlockId
from reverie.operations import blocks

routes = Routes("blocks")

Count = Annotated[int | None, Query(ge=0, le=1_000_000)]
Counts = Annotated[list[Annotated[int, Query(ge=0, le=1_000_000)]] | None, Query()]


async def _filter(
    project: FromProject,
    label: str | None = None,
    templates_only: bool = False,
    name: str | None = None,
    project_id: str | None = None,
    tags: ListQuery = None,
    match_all_tags: bool = False,
    identity_id: IdentityQuery = None,
    identifier_keys: ListQuery = None,
    label_search: str | None = None,
    description_search: str | None = None,
    value_search: str | None = None,
    connected_to_agents_count_gt: Count = None,
    connected_to_agents_count_lt: Count = None,
    connected_to_agents_count_eq: Counts = None,
) -> BlockFilter:
    more, fewer = connected_to_agents_count_gt, connected_to_agents_count_lt
    return BlockFilter(
        label=label,
        templates_only=templates_only,
        name=name,
        project_id=project_id or project,
        tags=tuple(tags or ()),
        match_all_tags=match_all_tags,
        identity_id=identity_id,
        identifier_keys=tuple(identifier_keys or ()),
        label_search=label_search,
        description_search=description_search,
        value_search=value_search,
        min_agents=None if more is None else more + 1,
        max_agents=None if fewer is None else fewer - 1,
        agent_counts=tuple(connected_to_agents_count_eq or ()),
    )


Where = Annotated[BlockFilter, Depends(_filter)]


@routes.post("/v1/blocks")
@routes.post("/v1/_internal_blocks", include_in_schema=False)
async def create_block(body: BlockCreate, call: Ask, project: IntoProject) -> Json[BlockState]:
    """Make a block that agents can be given."""
    return Json(block_state(await blocks.create(call.ops, call.caller, body.to_domain(project))))


@routes.get("/v1/blocks")
@routes.get("/v1/_internal_blocks", include_in_schema=False)
async def list_blocks(call: Ask, where: Where, page: Oldest50) -> Json[list[BlockState]]:
    """List blocks; every given condition must hold."""
    found = await blocks.list_blocks(call.ops, call.caller, where, page.page())
    return Json([block_state(block) for block in found])


@routes.get("/v1/blocks/count")
async def count_blocks(call: Ask, where: Where) -> Json[int]:
    """Count blocks; every given condition must hold."""
    return Json(await blocks.count(call.ops, call.caller, where))


@routes.get("/v1/blocks/{block_id}")
async def retrieve_block(block_id: BlockPath, call: Ask) -> Json[BlockState]:
    """Retrieve a block."""
    return Json(block_state(await blocks.retrieve(call.ops, call.caller, BlockId(block_id))))


@routes.patch("/v1/blocks/{block_id}")
async def update_block(block_id: BlockPath, body: BlockUpdate, call: Ask) -> Json[BlockState]:
    """Change what is given, for every agent that shares the block."""
    return Json(block_state(await blocks.update(call.ops, call.caller, BlockId(block_id), body.to_domain())))


@routes.delete("/v1/blocks/{block_id}")
@routes.delete("/v1/_internal_blocks/{block_id}", include_in_schema=False)
async def delete_block(block_id: BlockPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete a block, also from the agents that share it."""
    await blocks.delete(call.ops, call.caller, BlockId(block_id))
    return Json({"message": f"block {block_id} is deleted"})


@routes.get("/v1/blocks/{block_id}/agents")
@routes.get("/v1/_internal_blocks/{block_id}/agents", include_in_schema=False)
async def list_agents(
    block_id: BlockPath,
    call: Ask,
    page: Newest50,
    include: Include = None,
    include_relationships: ListQuery = None,
) -> Json[list[AgentState]]:
    """List the agents that share a block."""
    wanted = wanted_relationships(include, include_relationships, call.is_sdk)
    found = await blocks.list_agents(call.ops, call.caller, BlockId(block_id), page.page(), related_of(wanted))
    return await answer_agents(call, found, wanted)
