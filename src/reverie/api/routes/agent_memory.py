"""An agent's memory: its blocks, its archives and what they hold."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Query

from reverie.api.context import (
    FROM_MODELS,
    AgentPath,
    ArchivePath,
    Ask,
    BlockPath,
    CursorQuery,
    LimitQuery,
    ListQuery,
    Newest100,
    PassagePath,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState, MemoryState, memory_state
from reverie.api.wire.archives import (
    ArchivalSearchState,
    PassageCreate,
    PassageState,
    PassageUpdate,
    archival_search,
    passage_state,
)
from reverie.api.wire.blocks import BlockState, BlockUpdate, block_state
from reverie.domain.clock import aware
from reverie.domain.ids import AgentId, ArchiveId, BlockId, PassageId
from reverie.domain.paging import Page
from reverie.domain.passage import SearchQuery
from reverie.operations import agent_memory, agents, deployments, passages

routes = Routes("agents")


@routes.get("/v1/agents/{agent_id}/core-memory")
async def retrieve_memory(agent_id: AgentPath, call: Ask) -> Json[MemoryState]:
    """The agent's blocks, in the form of old clients."""
    return Json(memory_state(await agents.retrieve(call.ops, call.caller, AgentId(agent_id))))


@routes.get("/v1/agents/{agent_id}/core-memory/variables")
async def memory_variables(agent_id: AgentPath, call: Ask) -> Json[dict[str, Any]]:
    """The values that the agent's blocks were filled with when it was made of a template."""
    return Json({"variables": await deployments.variables(call.ops, call.caller, AgentId(agent_id))})


@routes.get("/v1/agents/{agent_id}/core-memory/blocks")
@routes.get("/v1/agents/{agent_id}/memory-blocks", include_in_schema=False)
async def list_blocks(agent_id: AgentPath, call: Ask, page: Newest100) -> Json[list[BlockState]]:
    """List the agent's blocks."""
    found = await agent_memory.list_blocks(call.ops, call.caller, AgentId(agent_id), page.page())
    return Json([block_state(block) for block in found])


@routes.patch("/v1/agents/{agent_id}/core-memory/blocks/attach/{block_id}")
async def attach_block(agent_id: AgentPath, block_id: BlockPath, call: Ask) -> Json[AgentState]:
    """Attach a block."""
    return await answer_agent(
        call, await agent_memory.attach_block(call.ops, call.caller, AgentId(agent_id), BlockId(block_id))
    )


@routes.patch("/v1/agents/{agent_id}/core-memory/blocks/detach/{block_id}")
async def detach_block(agent_id: AgentPath, block_id: BlockPath, call: Ask) -> Json[AgentState]:
    """Detach a block; it goes on existing."""
    return await answer_agent(
        call, await agent_memory.detach_block(call.ops, call.caller, AgentId(agent_id), BlockId(block_id))
    )


@routes.get("/v1/agents/{agent_id}/core-memory/blocks/{block_label:path}")
@routes.get("/v1/agents/{agent_id}/memory-blocks/{block_label:path}", include_in_schema=False)
async def retrieve_block(agent_id: AgentPath, block_label: str, call: Ask) -> Json[BlockState]:
    """Retrieve the agent's block of a label."""
    return Json(block_state(await agent_memory.retrieve_block(call.ops, call.caller, AgentId(agent_id), block_label)))


@routes.patch("/v1/agents/{agent_id}/core-memory/blocks/{block_label:path}")
@routes.patch("/v1/agents/{agent_id}/memory-blocks/{block_label:path}", include_in_schema=False)
@routes.patch("/v1/_internal_agents/{agent_id}/core-memory/blocks/{block_label:path}", include_in_schema=False)
async def update_block(agent_id: AgentPath, block_label: str, body: BlockUpdate, call: Ask) -> Json[BlockState]:
    """Change the agent's block of a label, for every agent that shares it."""
    changes = body.to_domain()
    return Json(
        block_state(await agent_memory.update_block(call.ops, call.caller, AgentId(agent_id), block_label, changes))
    )


@routes.patch("/v1/agents/{agent_id}/archives/attach/{archive_id}")
async def attach_archive(agent_id: AgentPath, archive_id: ArchivePath, call: Ask) -> Json[None]:
    """Attach an archive."""
    await agent_memory.attach_archive(call.ops, call.caller, AgentId(agent_id), ArchiveId(archive_id))
    return Json(None)


@routes.patch("/v1/agents/{agent_id}/archives/detach/{archive_id}")
async def detach_archive(agent_id: AgentPath, archive_id: ArchivePath, call: Ask) -> Json[None]:
    """Detach an archive; it goes on existing."""
    await agent_memory.detach_archive(call.ops, call.caller, AgentId(agent_id), ArchiveId(archive_id))
    return Json(None)


@routes.get("/v1/agents/{agent_id}/archival-memory")
async def list_passages(
    agent_id: AgentPath,
    call: Ask,
    limit: LimitQuery = 100,
    after: CursorQuery = None,
    before: CursorQuery = None,
    search: str | None = None,
    ascending: bool | None = True,
) -> Json[list[PassageState]]:
    """List the passages of the agent's archives; `search` finds by meaning, best first."""
    page = Page(limit=limit, after=after, before=before, order="desc" if ascending is False else "asc")
    found = await passages.list_passages(call.ops, call.caller, AgentId(agent_id), page, search)
    return Json([passage_state(passage) for passage in found])


@routes.post("/v1/agents/{agent_id}/archival-memory", responses=FROM_MODELS)
async def create_passage(agent_id: AgentPath, body: PassageCreate, call: Ask) -> Json[list[PassageState]]:
    """Keep a text in the agent's archive, which is made when there is none."""
    draft = body.to_domain()
    made = await passages.create(
        call.ops, call.caller, AgentId(agent_id), draft.text, tags=draft.tags, created_at=draft.created_at
    )
    return Json([passage_state(made)])


@routes.get("/v1/agents/{agent_id}/archival-memory/search", responses=FROM_MODELS)
async def search_archival_memory(
    agent_id: AgentPath,
    call: Ask,
    query: str,
    tags: ListQuery = None,
    tag_match_mode: Literal["any", "all"] = "any",
    top_k: Annotated[int | None, Query(ge=1, le=1000)] = None,
    start_datetime: datetime | None = None,
    end_datetime: datetime | None = None,
) -> Json[ArchivalSearchState]:
    """Search the agent's archives as its own tool does."""
    wish = SearchQuery(
        text=query,
        limit=top_k or 10,
        tags=tuple(tags or ()),
        match_all_tags=tag_match_mode == "all",
        start=aware(start_datetime),
        end=aware(end_datetime),
    )
    return Json(archival_search(await passages.search_agent(call.ops, call.caller, AgentId(agent_id), wish)))


@routes.patch("/v1/agents/{agent_id}/archival-memory/{memory_id}")
async def update_passage(
    agent_id: AgentPath, memory_id: PassagePath, call: Ask, body: Annotated[PassageUpdate | None, Body()] = None
) -> Json[list[PassageState]]:
    """Change what is given of a passage of the agent's archives; a path of old clients."""
    changes = (body or PassageUpdate()).to_domain()
    found = await passages.update(call.ops, call.caller, AgentId(agent_id), PassageId(memory_id), changes)
    return Json([passage_state(found)])


@routes.delete("/v1/agents/{agent_id}/archival-memory/{memory_id}")
async def delete_passage(agent_id: AgentPath, memory_id: PassagePath, call: Ask) -> Json[dict[str, Any]]:
    """Delete a passage of the agent's archives."""
    await passages.delete(call.ops, call.caller, AgentId(agent_id), PassageId(memory_id))
    return Json({"message": f"passage {memory_id} is deleted"})
