"""Archives and their passages."""

from typing import Annotated, Final, Literal

from fastapi import Header

from reverie.api.context import (
    FROM_MODELS,
    AgentQuery,
    ArchivePath,
    Ask,
    Call,
    ListQuery,
    Newest50,
    PassagePath,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import Include, answer_agents, related_of
from reverie.api.wire.agents import AgentState
from reverie.api.wire.archives import (
    ArchiveCreate,
    ArchiveState,
    ArchiveUpdate,
    PassageCreate,
    PassageHit,
    PassagesCreate,
    PassageSearch,
    PassageState,
    archive_state,
    passage_hit,
    passage_state,
)
from reverie.api.wire.relationships import wanted_relationships
from reverie.domain.clock import aware
from reverie.domain.ids import AgentId, ArchiveId, PassageId, check_id
from reverie.domain.passage import Archive, SearchQuery
from reverie.operations import archives, passages

routes = Routes("archives")


async def _state(call: Call, archive: Archive) -> ArchiveState:
    facts = await call.facts()
    return archive_state(archive, facts.embedders.get(archive.embedding or ""))


@routes.post("/v1/archives")
async def create_archive(body: ArchiveCreate, call: Ask) -> Json[ArchiveState]:
    """Make an archive that agents can be given."""
    return Json(await _state(call, await archives.create(call.ops, call.caller, body.to_domain())))


@routes.get("/v1/archives")
async def list_archives(
    call: Ask, page: Newest50, name: str | None = None, agent_id: AgentQuery = None
) -> Json[list[ArchiveState]]:
    """List archives, of all agents or of one."""
    owner = None if agent_id is None else AgentId(agent_id)
    found = await archives.list_archives(call.ops, call.caller, page.page(), name=name, agent_id=owner)
    facts = await call.facts()
    return Json([archive_state(archive, facts.embedders.get(archive.embedding or "")) for archive in found])


@routes.get("/v1/archives/{archive_id}")
async def retrieve_archive(archive_id: ArchivePath, call: Ask) -> Json[ArchiveState]:
    """Retrieve an archive."""
    return Json(await _state(call, await archives.retrieve(call.ops, call.caller, ArchiveId(archive_id))))


@routes.patch("/v1/archives/{archive_id}")
async def update_archive(archive_id: ArchivePath, body: ArchiveUpdate, call: Ask) -> Json[ArchiveState]:
    """Change what is given."""
    found = await archives.update(call.ops, call.caller, ArchiveId(archive_id), body.to_domain())
    return Json(await _state(call, found))


@routes.delete("/v1/archives/{archive_id}")
async def delete_archive(archive_id: ArchivePath, call: Ask) -> Json[None]:
    """Delete an archive with its passages."""
    await archives.delete(call.ops, call.caller, ArchiveId(archive_id))
    return Json(None)


@routes.get("/v1/archives/{archive_id}/agents")
async def list_agents(
    archive_id: ArchivePath,
    call: Ask,
    page: Newest50,
    include: Include = None,
    include_relationships: ListQuery = None,
) -> Json[list[AgentState]]:
    """List the agents that can search an archive."""
    wanted = wanted_relationships(include, include_relationships, call.is_sdk)
    found = await archives.list_agents(call.ops, call.caller, ArchiveId(archive_id), page.page(), related_of(wanted))
    return await answer_agents(call, found, wanted)


@routes.post("/v1/archives/{archive_id}/passages", responses=FROM_MODELS)
async def create_passage(archive_id: ArchivePath, body: PassageCreate, call: Ask) -> Json[PassageState]:
    """Keep a text in an archive."""
    made = await archives.create_passages(call.ops, call.caller, ArchiveId(archive_id), [body.to_domain()])
    return Json(passage_state(made[0]))


@routes.post("/v1/archives/{archive_id}/passages/batch", responses=FROM_MODELS)
async def create_passages(archive_id: ArchivePath, body: PassagesCreate, call: Ask) -> Json[list[PassageState]]:
    """Keep several texts in an archive, all or none."""
    drafts = [item.to_domain() for item in body.passages]
    made = await archives.create_passages(call.ops, call.caller, ArchiveId(archive_id), drafts)
    return Json([passage_state(passage) for passage in made])


@routes.delete("/v1/archives/{archive_id}/passages/{passage_id}")
async def delete_passage(archive_id: ArchivePath, passage_id: PassagePath, call: Ask) -> Json[None]:
    """Delete a passage of an archive."""
    await archives.delete_passage(call.ops, call.caller, ArchiveId(archive_id), PassageId(passage_id))
    return Json(None)


_UNITS: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


@routes.get("/v1/embeddings/total_storage_size")
async def total_storage_size(
    call: Ask,
    storage_unit: Annotated[Literal["B", "KB", "MB", "GB", "TB"], Header(description="Unit of the answer.")] = "GB",
) -> Json[float]:
    """Size of all vectors of passages, in the unit of the header."""
    return Json(await passages.stored_bytes(call.ops, call.caller) / _UNITS[storage_unit])


@routes.post("/v1/passages/search", responses=FROM_MODELS)
async def search_passages(body: PassageSearch, call: Ask) -> Json[list[PassageHit]]:
    """Find passages by words and by meaning, in one archive, in those of an agent, or in all."""
    query = SearchQuery(
        text=body.query or "",
        limit=body.limit,
        tags=tuple(body.tags or ()),
        match_all_tags=body.tag_match_mode == "all",
        start=aware(body.start_date),
        end=aware(body.end_date),
    )
    hits = await passages.search(
        call.ops,
        call.caller,
        query,
        agent_id=None if body.agent_id is None else AgentId(check_id(body.agent_id, "agent", "agent_id")),
        archive_id=None if body.archive_id is None else ArchiveId(check_id(body.archive_id, "archive", "archive_id")),
    )
    return Json([passage_hit(passage, hit.score) for passage, hit in hits])
