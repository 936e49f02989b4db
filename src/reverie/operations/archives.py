"""What callers can ask for about archives."""

from collections.abc import Sequence
from dataclasses import fields, replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentDetails, AgentFilter
from reverie.domain.ids import AgentId, ArchiveId, PassageId, make_id
from reverie.domain.paging import Page
from reverie.domain.passage import Archive, ArchiveChanges, ArchiveDraft, Passage, PassageDraft
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.operations.embedding import embed_texts
from reverie.storage import agents, archives, passages, vectors
from reverie.storage.agents import EVERYTHING, Related


async def create(ops: Operations, caller: Caller, draft: ArchiveDraft) -> Archive:
    """Make an archive that no agent has yet.

    Raises:
        NotFound: an unknown embedding model.
    """
    caller.require(Scope.WRITE)
    catalog = await ops.catalogs.of(caller.organization_id)
    embedder = await (catalog.embedder(draft.embedding) if draft.embedding else catalog.default_embedder())
    now = ops.clock()
    archive = Archive(
        id=ArchiveId(make_id("archive")),
        organization_id=caller.organization_id,
        name=draft.name,
        description=draft.description,
        embedding=None if embedder is None else embedder.info.handle,
        # A provider may not say how long its vectors are; the first of them will.
        embedding_dim=None if embedder is None else embedder.info.dimensions or None,
        metadata=draft.metadata,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    await ops.database.write(lambda c: archives.insert_archive(c, archive))
    return archive


async def retrieve(ops: Operations, caller: Caller, archive_id: ArchiveId) -> Archive:
    """One archive."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: archives.get(c, caller.organization_id, archive_id))


async def list_archives(
    ops: Operations, caller: Caller, page: Page, *, name: str | None = None, agent_id: AgentId | None = None
) -> list[Archive]:
    """A page of archives, of that name, or of that agent."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Archive]:
        if agent_id is not None:
            agents.get(c, caller.organization_id, agent_id)
        return archives.list_page(c, caller.organization_id, page, name=name, agent_id=agent_id)

    return await ops.database.read(read)


async def update(ops: Operations, caller: Caller, archive_id: ArchiveId, changes: ArchiveChanges) -> Archive:
    """Change name, description, or the embedding model.

    With another model the passages get vectors anew in the background; until then words find them.

    Raises:
        NotFound: an unknown embedding model.
    """
    caller.require(Scope.WRITE)
    if changes.embedding is not UNSET and changes.embedding is not None:
        await (await ops.catalogs.of(caller.organization_id)).embedder(changes.embedding)
    given = {item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET}
    now = ops.clock()

    def store(c: Connection) -> Archive:
        before = archives.get(c, caller.organization_id, archive_id, lock=True)
        after = replace(before, **given, updated_at=now, last_updated_by_id=caller.user_id)
        archives.update_archive(c, before, after)
        return after if after.embedding == before.embedding else vectors.change_model(c, after, after.embedding, now)

    updated = await ops.database.write(store)
    ops.ring("vectors")
    return updated


async def delete(ops: Operations, caller: Caller, archive_id: ArchiveId) -> None:
    """Remove an archive with its passages, from every agent and for good."""
    caller.require(Scope.WRITE)
    await ops.database.write(
        lambda c: archives.delete_archive(c, archives.get(c, caller.organization_id, archive_id).id)
    )


async def list_agents(
    ops: Operations, caller: Caller, archive_id: ArchiveId, page: Page, related: frozenset[Related] = EVERYTHING
) -> list[AgentDetails]:
    """A page of the agents that can search the archive."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[AgentDetails]:
        archives.get(c, caller.organization_id, archive_id)
        everyone = AgentFilter(include_hidden=True, archive_id=archive_id)
        return agents.list_page(c, caller.organization_id, everyone, page, related)

    return await ops.database.read(read)


async def create_passages(
    ops: Operations, caller: Caller, archive_id: ArchiveId, drafts: Sequence[PassageDraft]
) -> list[Passage]:
    """Add passages to an archive, all or none.

    Raises:
        NotFound: the archive does not exist, or its embedding model is not configured any more.
        ModelError: the embedding model failed.
        InvalidInput: the model's vectors do not fit those that the archive holds.
    """
    caller.require(Scope.WRITE)
    archive = await ops.database.read(lambda c: archives.get(c, caller.organization_id, archive_id))
    made = await embed_texts(ops, caller, archive.embedding, [draft.text for draft in drafts])
    whole = [replace(draft, vector=vector) for draft, vector in zip(drafts, made, strict=True)]
    now = ops.clock()

    def store(c: Connection) -> list[Passage]:
        locked = archives.get(c, caller.organization_id, archive_id, lock=True)
        if locked.embedding == archive.embedding:
            return passages.insert_passages(c, locked, whole, now, caller.user_id)
        # Another model serves the archive since these vectors were made: they are made once more.
        added = passages.insert_passages(c, locked, drafts, now, caller.user_id)
        if locked.embedding is not None:
            vectors.await_vectors(c, [item.id for item in added])
        return added

    added = await ops.database.write(store)
    ops.ring("vectors")
    return added


async def delete_passage(ops: Operations, caller: Caller, archive_id: ArchiveId, passage_id: PassageId) -> None:
    """Remove one passage of an archive."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def remove(c: Connection) -> None:
        archive = archives.get(c, caller.organization_id, archive_id, lock=True)
        passages.delete_passage(c, archive, passage_id, now)

    await ops.database.write(remove)
