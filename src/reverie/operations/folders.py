"""What callers can ask for about folders."""

from dataclasses import fields, replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.folder import (
    DEFAULT_CHUNK_TOKENS,
    FilePassage,
    Folder,
    FolderChanges,
    FolderDraft,
    FolderStats,
)
from reverie.domain.ids import AgentId, FolderId, make_id
from reverie.domain.paging import Page
from reverie.domain.unset import UNSET
from reverie.operations.base import Operations
from reverie.storage import file_passages, files, folders


async def create(ops: Operations, caller: Caller, draft: FolderDraft) -> Folder:
    """Make a folder.

    Raises:
        Conflict: there is one of that name.
        NotFound: the embedding model is not configured.
    """
    caller.require(Scope.WRITE)
    catalog = await ops.catalogs.of(caller.organization_id)
    embedder = await (catalog.embedder(draft.embedding) if draft.embedding else catalog.default_embedder())
    now = ops.clock()
    folder = Folder(
        id=FolderId(make_id("source")),
        organization_id=caller.organization_id,
        name=draft.name,
        description=draft.description,
        instructions=draft.instructions,
        embedding=None if embedder is None else draft.embedding or embedder.info.handle,
        embedding_chunk_size=draft.embedding_chunk_size or DEFAULT_CHUNK_TOKENS,
        metadata=draft.metadata,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    await ops.database.write(lambda c: folders.insert_folder(c, folder))
    return folder


async def retrieve(ops: Operations, caller: Caller, folder_id: FolderId) -> Folder:
    """One folder."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: folders.get(c, caller.organization_id, folder_id))


async def find_named(ops: Operations, caller: Caller, name: str) -> Folder | None:
    """The folder called `name`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: folders.find_named(c, caller.organization_id, name))


async def list_folders(ops: Operations, caller: Caller, page: Page, *, name: str | None = None) -> list[Folder]:
    """A page of folders."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: folders.list_page(c, caller.organization_id, page, name=name))


async def count(ops: Operations, caller: Caller) -> int:
    """How many folders there are."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: folders.count(c, caller.organization_id))


async def update(ops: Operations, caller: Caller, folder_id: FolderId, changes: FolderChanges) -> Folder:
    """Change what `changes` names; another embedding model gives all files other vectors, in the background.

    Raises:
        Conflict: another folder has the name.
        NotFound: the folder does not exist, or the embedding model is not configured.
    """
    caller.require(Scope.WRITE)
    if changes.embedding is not UNSET:
        await (await ops.catalogs.of(caller.organization_id)).embedder(changes.embedding)
    values = {item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET}
    now = ops.clock()

    def store(c: Connection) -> Folder:
        before = folders.get(c, caller.organization_id, folder_id, lock=True)
        after = replace(before, **values, updated_at=now, last_updated_by_id=caller.user_id)
        folders.update_folder(c, before, after)
        if before.embedding != after.embedding:
            file_passages.clear_vectors(c, after)
            files.embed_again(c, after, now)
        return after

    folder = await ops.database.write(store)
    ops.ring("ingest")
    return folder


async def delete(ops: Operations, caller: Caller, folder_id: FolderId) -> None:
    """Remove a folder with its files, and from every agent."""
    caller.require(Scope.WRITE)

    def remove(c: Connection) -> None:
        folder = folders.get(c, caller.organization_id, folder_id, lock=True)
        folders.delete_folder(c, folder)

    await ops.database.write(remove)


async def list_agent_ids(ops: Operations, caller: Caller, folder_id: FolderId, page: Page) -> list[AgentId]:
    """A page of the ids of the agents that have the folder."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: folders.agent_ids(c, folders.get(c, caller.organization_id, folder_id), page)
    )


async def list_passages(ops: Operations, caller: Caller, folder_id: FolderId, page: Page) -> list[FilePassage]:
    """A page of the passages of the folder's files."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: file_passages.list_page(c, folders.get(c, caller.organization_id, folder_id), page)
    )


async def stats(ops: Operations, caller: Caller, *, with_files: bool = False) -> list[FolderStats]:
    """How much each folder holds."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[FolderStats]:
        found = folders.stats(c, caller.organization_id)
        if not with_files:
            return found
        every = files.all_of(c, caller.organization_id)
        return [
            replace(item, files=tuple(file for file in every if file.folder_id == item.folder_id)) for item in found
        ]

    return await ops.database.read(read)
