"""Identities: whom agents and blocks belong to."""

from typing import Annotated, Any

from fastapi import Depends

from reverie.api.context import (
    AgentPath,
    Ask,
    BlockPath,
    FromProject,
    IdentityPath,
    IntoProject,
    ListQuery,
    Newest50,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import Include, answer_agents, related_of
from reverie.api.wire.agents import AgentState
from reverie.api.wire.blocks import BlockState, block_state
from reverie.api.wire.identities import (
    IdentityCreate,
    IdentityPropertyBody,
    IdentityState,
    IdentityUpdate,
    identity_state,
    properties_of,
)
from reverie.api.wire.relationships import wanted_relationships
from reverie.domain.identity import IdentityFilter, IdentityType
from reverie.domain.ids import AgentId, BlockId, IdentityId
from reverie.operations import agents, blocks, identities

routes = Routes("identities")


async def _filter(
    project: FromProject,
    name: str | None = None,
    project_id: str | None = None,
    identifier_key: str | None = None,
    identity_type: IdentityType | None = None,
) -> IdentityFilter:
    return IdentityFilter(
        name=name, project_id=project_id or project, identifier_key=identifier_key, identity_type=identity_type
    )


Where = Annotated[IdentityFilter, Depends(_filter)]


@routes.post("/v1/identities")
async def create_identity(body: IdentityCreate, call: Ask, project: IntoProject) -> Json[IdentityState]:
    """Make an identity, with its agents and blocks or not at all."""
    return Json(identity_state(await identities.create(call.ops, call.caller, body.to_domain(project))))


@routes.put("/v1/identities")
async def upsert_identity(body: IdentityCreate, call: Ask, project: IntoProject) -> Json[IdentityState]:
    """Make an identity or, when its project has one of the key, replace what is given of that one."""
    return Json(identity_state(await identities.upsert(call.ops, call.caller, body.to_domain(project))))


@routes.get("/v1/identities")
async def list_identities(call: Ask, where: Where, page: Newest50) -> Json[list[IdentityState]]:
    """List identities; every given condition must hold."""
    found = await identities.list_identities(call.ops, call.caller, where, page.page())
    return Json([identity_state(details) for details in found])


@routes.get("/v1/identities/count")
async def count_identities(call: Ask, where: Where) -> Json[int]:
    """Count identities; every given condition must hold."""
    return Json(await identities.count(call.ops, call.caller, where))


@routes.get("/v1/identities/{identity_id}")
async def retrieve_identity(identity_id: IdentityPath, call: Ask) -> Json[IdentityState]:
    """Retrieve an identity."""
    return Json(identity_state(await identities.retrieve(call.ops, call.caller, IdentityId(identity_id))))


@routes.patch("/v1/identities/{identity_id}")
async def update_identity(identity_id: IdentityPath, body: IdentityUpdate, call: Ask) -> Json[IdentityState]:
    """Change what is given; agents and blocks are added to those there are, and so are properties by their keys."""
    changed = await identities.update(call.ops, call.caller, IdentityId(identity_id), body.to_domain())
    return Json(identity_state(changed))


@routes.put("/v1/identities/{identity_id}/properties")
async def replace_properties(
    identity_id: IdentityPath, body: list[IdentityPropertyBody], call: Ask
) -> Json[IdentityState]:
    """Make these all the properties of an identity; PATCH the identity to add to them."""
    given = properties_of(body)
    return Json(
        identity_state(await identities.replace_properties(call.ops, call.caller, IdentityId(identity_id), given))
    )


@routes.delete("/v1/identities/{identity_id}")
async def delete_identity(identity_id: IdentityPath, call: Ask) -> Json[dict[str, Any]]:
    """Delete an identity; its agents and blocks stay."""
    await identities.delete(call.ops, call.caller, IdentityId(identity_id))
    return Json({"message": f"identity {identity_id} is deleted"})


@routes.get("/v1/identities/{identity_id}/agents")
async def list_agents(
    identity_id: IdentityPath,
    call: Ask,
    page: Newest50,
    include: Include = None,
    include_relationships: ListQuery = None,
) -> Json[list[AgentState]]:
    """List the agents of an identity."""
    wanted = wanted_relationships(include, include_relationships, call.is_sdk)
    found = await identities.list_agents(
        call.ops, call.caller, IdentityId(identity_id), page.page(), related_of(wanted)
    )
    return await answer_agents(call, found, wanted)


@routes.get("/v1/identities/{identity_id}/blocks")
async def list_blocks(identity_id: IdentityPath, call: Ask, page: Newest50) -> Json[list[BlockState]]:
    """List the blocks of an identity."""
    found = await identities.list_blocks(call.ops, call.caller, IdentityId(identity_id), page.page())
    return Json([block_state(block) for block in found])


@routes.patch("/v1/agents/{agent_id}/identities/attach/{identity_id}")
async def attach_to_agent(agent_id: AgentPath, identity_id: IdentityPath, call: Ask) -> Json[None]:
    """Say that an agent belongs to an identity."""
    await agents.attach_identity(call.ops, call.caller, AgentId(agent_id), IdentityId(identity_id))
    return Json(None)


@routes.patch("/v1/agents/{agent_id}/identities/detach/{identity_id}")
async def detach_from_agent(agent_id: AgentPath, identity_id: IdentityPath, call: Ask) -> Json[None]:
    """Say that an agent does not belong to an identity any more."""
    await agents.detach_identity(call.ops, call.caller, AgentId(agent_id), IdentityId(identity_id))
    return Json(None)


@routes.patch("/v1/blocks/{block_id}/identities/attach/{identity_id}")
async def attach_to_block(block_id: BlockPath, identity_id: IdentityPath, call: Ask) -> Json[BlockState]:
    """Say that a block belongs to an identity."""
    block = await blocks.attach_identity(call.ops, call.caller, BlockId(block_id), IdentityId(identity_id))
    return Json(block_state(block))


@routes.patch("/v1/blocks/{block_id}/identities/detach/{identity_id}")
async def detach_from_block(block_id: BlockPath, identity_id: IdentityPath, call: Ask) -> Json[BlockState]:
    """Say that a block does not belong to an identity any more."""
    block = await blocks.detach_identity(call.ops, call.caller, BlockId(block_id), IdentityId(identity_id))
    return Json(block_state(block))
