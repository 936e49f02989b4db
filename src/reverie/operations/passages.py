"""What callers can ask for about passages: agents' archival memory, and search over archives."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, ArchiveId, PassageId
from reverie.domain.paging import Page
from reverie.domain.passage import Archive, Passage, PassageChanges, SearchHit, SearchQuery
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.operations.embedding import embed_query, embed_texts
from reverie.storage import agents, archives, passages
from reverie.storage.wording import words_of


async def create(
    ops: Operations,
    caller: Caller,
    agent_id: AgentId,
    text: str,
    *,
    tags: Sequence[str] = (),
    created_at: datetime | None = None,
) -> Passage:
    """Add to the agent's archive, which is made when there is none.

    Raises:
        NotFound: the agent does not exist, or its embedding model is not configured any more.
        ModelError: the embedding model failed.
    """
    caller.require(Scope.WRITE)
    agent, attached = await _agent_with_archives(ops, caller, agent_id)
    handle = attached[0].embedding if attached else agent.embedding
    (vector,) = await embed_texts(ops, caller, handle, [text])
    now = ops.clock()

    def store(c: Connection) -> Passage:
        return passages.insert_for_agent(
            c,
            agents.get(c, caller.organization_id, agent_id),
            text,
            tags=tags,
            vector=vector,
            now=now,
            created_at=created_at,
            author=caller.user_id,
        )

    return await ops.database.write(store)


async def list_passages(
    ops: Operations, caller: Caller, agent_id: AgentId, page: Page, search: str | None = None
) -> list[Passage]:
    """A page of the agent's passages; with `search` those that fit it best, by words and by meaning."""
    caller.require(Scope.READ)
    if search:
        return await search_agent(ops, caller, agent_id, SearchQuery(text=search, limit=page.limit or 50))

    def read(c: Connection) -> list[Passage]:
        agents.get(c, caller.organization_id, agent_id)
        ids = passages.archive_ids_of(c, caller.organization_id, agent_id)
        return passages.list_page(c, caller.organization_id, ids, page)

    return await ops.database.read(read)


async def update(
    ops: Operations, caller: Caller, agent_id: AgentId, passage_id: PassageId, changes: PassageChanges
) -> Passage:
    """Change a passage of one of the agent's archives; another text gets another vector.

    Raises:
        NotFound: none of its archives holds it.
        ModelError: the embedding model failed.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def read(c: Connection) -> tuple[Passage, Archive]:
        found = _held(c, caller, agent_id, passage_id)
        return found, archives.get(c, caller.organization_id, found.archive_id)

    before, archive = await ops.database.read(read)
    vector = None
    if changes.text is not UNSET and changes.text != before.text:
        (vector,) = await embed_texts(ops, caller, archive.embedding, [changes.text])

    def store(c: Connection) -> Passage:
        held = _held(c, caller, agent_id, passage_id)
        locked = archives.get(c, caller.organization_id, held.archive_id, lock=True)
        given = {item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET}
        after = replace(held, **given, updated_at=now, last_updated_by_id=caller.user_id, vector=vector)
        return passages.update_passage(c, locked, held, after)

    return await ops.database.write(store)


def _held(c: Connection, caller: Caller, agent_id: AgentId, passage_id: PassageId) -> Passage:
    agents.get(c, caller.organization_id, agent_id)
    found = passages.get(c, caller.organization_id, passage_id)
    if found.archive_id not in passages.archive_ids_of(c, caller.organization_id, agent_id):
        raise NotFound("passage", passage_id, f"agent {agent_id!r} has it in none of its archives")
    return found


async def delete(ops: Operations, caller: Caller, agent_id: AgentId, passage_id: PassageId) -> None:
    """Remove a passage from one of the agent's archives.

    Raises:
        NotFound: none of its archives holds it.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def remove(c: Connection) -> None:
        found = _held(c, caller, agent_id, passage_id)
        archive = archives.get(c, caller.organization_id, found.archive_id, lock=True)
        passages.delete_passage(c, archive, passage_id, now)

    await ops.database.write(remove)


async def search_agent(ops: Operations, caller: Caller, agent_id: AgentId, query: SearchQuery) -> list[Passage]:
    """Search all archives of the agent, best first."""
    caller.require(Scope.READ)
    _, attached = await _agent_with_archives(ops, caller, agent_id)
    return [passage for passage, _ in await _search(ops, caller, attached, query)]


async def search(
    ops: Operations,
    caller: Caller,
    query: SearchQuery,
    *,
    agent_id: AgentId | None = None,
    archive_id: ArchiveId | None = None,
) -> list[tuple[Passage, SearchHit]]:
    """Search one archive, all archives of one agent, or all there are; best first.

    A query without text gives the newest passages.
    """
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Archive]:
        if archive_id is not None:
            return [archives.get(c, caller.organization_id, archive_id)]
        if agent_id is not None:
            agents.get(c, caller.organization_id, agent_id)
        everything = Page(limit=None, order="asc")
        return archives.list_page(c, caller.organization_id, everything, agent_id=agent_id)

    return await _search(ops, caller, await ops.database.read(read), query)


async def stored_bytes(ops: Operations, caller: Caller) -> int:
    """Size of all vectors that the caller's organisation keeps."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: passages.vector_bytes(c, caller.organization_id))


async def _search(
    ops: Operations, caller: Caller, within: Sequence[Archive], query: SearchQuery
) -> list[tuple[Passage, SearchHit]]:
    """Search archives by words, and by meaning with a vector of the model that each was made with."""
    making = _vectors(ops, caller, within, query)
    if query.mode == "hybrid" and query.vector is None and words_of(query.text):
        # To make the vector takes as long as all the rest, and words can be looked for meanwhile.
        words, vectors = await asyncio.gather(ops.database.read(lambda c: passages.by_words(c, within, query)), making)
        return await ops.database.read(lambda c: passages.search_each(c, within, query, vectors, words))
    vectors = await making
    return await ops.database.read(lambda c: passages.search_each(c, within, query, vectors))


async def _vectors(
    ops: Operations, caller: Caller, within: Sequence[Archive], query: SearchQuery
) -> Mapping[str, Sequence[float]]:
    """Of the query, by the models that the archives were made with, unless it brings its own."""
    vectors: dict[str, Sequence[float]] = {}
    text = query.text
    if text and query.mode != "text" and query.vector is None:
        for handle, wish in (await ops.database.read(lambda c: passages.wishes(c, within, text))).items():
            vector = await embed_query(ops, caller, handle, wish)
            if vector is not None:
                vectors[handle] = vector
    return vectors


async def _agent_with_archives(ops: Operations, caller: Caller, agent_id: AgentId) -> tuple[Agent, list[Archive]]:
    return await ops.database.read(
        lambda c: (agents.get(c, caller.organization_id, agent_id), archives.of_agent(c, agent_id))
    )
