"""An agent's folders, and the files it has open."""

from typing import Any

from reverie.api.context import (
    AgentPath,
    Ask,
    CursorQuery,
    FilePath,
    FolderPath,
    LimitQuery,
    Newest100,
    OrderBy,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.routes.agents import answer_agent
from reverie.api.wire.agents import AgentState
from reverie.api.wire.base import Order
from reverie.api.wire.folders import AgentFilesPage, Source, agent_files_page, source_state
from reverie.domain.folder import file_of_link
from reverie.domain.ids import AgentId, FileId, FolderId, check_id
from reverie.domain.paging import Page
from reverie.operations import agent_files

routes = Routes("agents")


@routes.get("/v1/agents/{agent_id}/folders")
@routes.get("/v1/agents/{agent_id}/sources", include_in_schema=False)
async def list_folders(agent_id: AgentPath, call: Ask, page: Newest100) -> Json[list[Source]]:
    """List the agent's folders."""
    found = await agent_files.list_folders(call.ops, call.caller, AgentId(agent_id), page.page())
    embedders = (await call.facts()).embedders
    return Json([source_state(folder, embedders) for folder in found])


@routes.patch("/v1/agents/{agent_id}/folders/attach/{folder_id}")
@routes.patch("/v1/agents/{agent_id}/sources/attach/{folder_id}", include_in_schema=False)
async def attach_folder(agent_id: AgentPath, folder_id: FolderPath, call: Ask) -> Json[AgentState]:
    """Attach a folder: the agent gets tools for its files and sees them, as many as it may have open."""
    return await answer_agent(
        call, await agent_files.attach_folder(call.ops, call.caller, AgentId(agent_id), FolderId(folder_id))
    )


@routes.patch("/v1/agents/{agent_id}/folders/detach/{folder_id}")
@routes.patch("/v1/agents/{agent_id}/sources/detach/{folder_id}", include_in_schema=False)
async def detach_folder(agent_id: AgentPath, folder_id: FolderPath, call: Ask) -> Json[AgentState]:
    """Detach a folder; it goes on existing."""
    return await answer_agent(
        call, await agent_files.detach_folder(call.ops, call.caller, AgentId(agent_id), FolderId(folder_id))
    )


@routes.get("/v1/agents/{agent_id}/files")
async def list_files(
    agent_id: AgentPath,
    call: Ask,
    limit: LimitQuery = 100,
    after: CursorQuery = None,
    before: CursorQuery = None,
    cursor: CursorQuery = None,
    order: Order = "desc",
    order_by: OrderBy = "created_at",
    is_open: bool | None = None,
) -> Json[AgentFilesPage]:
    """List the files in the agent's folders; cursors are ids of files, or ids from an earlier page."""
    limit = 100 if limit is None else limit
    page = Page(limit=limit + 1, after=_file(agent_id, after or cursor), before=_file(agent_id, before), order=order)
    found = await agent_files.list_files(call.ops, call.caller, AgentId(agent_id), page, is_open=is_open)
    if before is not None and after is None and cursor is None:
        found = found[-limit:]  # the page ends where `before` stands
    return Json(agent_files_page(found, limit))


@routes.patch("/v1/agents/{agent_id}/files/close-all")
async def close_all_files(agent_id: AgentPath, call: Ask) -> Json[list[str]]:
    """Close all files; answers with the names of those that were open."""
    return Json(await agent_files.close_all(call.ops, call.caller, AgentId(agent_id)))


@routes.patch("/v1/agents/{agent_id}/files/{file_id}/open")
async def open_file(agent_id: AgentPath, file_id: FilePath, call: Ask) -> Json[list[str]]:
    """Open a file; answers with the names of those that were closed to make room."""
    return Json(await agent_files.open_file(call.ops, call.caller, AgentId(agent_id), FileId(file_id)))


@routes.patch("/v1/agents/{agent_id}/files/{file_id}/close")
async def close_file(agent_id: AgentPath, file_id: FilePath, call: Ask) -> Json[dict[str, Any]]:
    """Close a file."""
    await agent_files.close_file(call.ops, call.caller, AgentId(agent_id), FileId(file_id))
    return Json({"message": f"file {file_id} is closed"})


def _file(agent_id: str, cursor: str | None) -> str | None:
    """The file a cursor stands for: SDKs page on with the id of the relationship."""
    if cursor is None or not cursor.startswith("file_agent-"):
        return cursor
    return file_of_link(agent_id, check_id(cursor, "file_agent", "cursor"))
