"""Folders and their files, under their present and their old name."""

from fastapi import UploadFile
from starlette.responses import Response

from reverie.api.context import (
    Ask,
    Call,
    CursorQuery,
    FilePath,
    FolderPath,
    LimitQuery,
    Newest50,
    Newest100,
    Oldest50,
    OrderBy,
)
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.archives import PassageState, file_passage_state
from reverie.api.wire.base import Order
from reverie.api.wire.folders import (
    AllFoldersState,
    FileState,
    FolderCreate,
    FolderUpdate,
    Source,
    file_state,
    source_state,
    stats_state,
)
from reverie.domain.errors import NotFound
from reverie.domain.folder import DuplicateHandling, Folder, Upload
from reverie.domain.ids import FileId, FolderId
from reverie.domain.paging import Page
from reverie.operations import files, folders

routes = Routes("folders")


async def _state(call: Call, folder: Folder) -> Json[Source]:
    return Json(source_state(folder, (await call.facts()).embedders))


@routes.post("/v1/folders")
@routes.post("/v1/sources", include_in_schema=False)
async def create_folder(body: FolderCreate, call: Ask) -> Json[Source]:
    """Make a folder."""
    return await _state(call, await folders.create(call.ops, call.caller, body.to_domain()))


@routes.get("/v1/folders")
@routes.get("/v1/sources", include_in_schema=False)
async def list_folders(call: Ask, page: Oldest50, name: str | None = None) -> Json[list[Source]]:
    """List folders."""
    found = await folders.list_folders(call.ops, call.caller, page.page(), name=name)
    embedders = (await call.facts()).embedders
    return Json([source_state(folder, embedders) for folder in found])


@routes.get("/v1/folders/count")
@routes.get("/v1/sources/count", include_in_schema=False)
async def count_folders(call: Ask) -> Json[int]:
    """Count folders."""
    return Json(await folders.count(call.ops, call.caller))


@routes.get("/v1/folders/metadata")
@routes.get("/v1/sources/metadata", include_in_schema=False)
async def folder_stats(call: Ask, include_detailed_per_source_metadata: bool = False) -> Json[AllFoldersState]:
    """How many files there are and how large they are: of all folders, of each, and of each file where asked for."""
    found = await folders.stats(call.ops, call.caller, with_files=include_detailed_per_source_metadata)
    return Json(stats_state(found))


@routes.get("/v1/folders/name/{folder_name:path}")
@routes.get("/v1/sources/name/{folder_name:path}", include_in_schema=False)
async def folder_id_of_name(folder_name: str, call: Ask) -> Json[str]:
    """The id of the folder of a name; lists filtered by name are the present way."""
    found = await folders.find_named(call.ops, call.caller, folder_name)
    if found is None:
        raise NotFound("folder", folder_name)
    return Json(str(found.id))


@routes.get("/v1/folders/{folder_id}")
@routes.get("/v1/sources/{folder_id}", include_in_schema=False)
async def retrieve_folder(folder_id: FolderPath, call: Ask) -> Json[Source]:
    """Retrieve a folder."""
    return await _state(call, await folders.retrieve(call.ops, call.caller, FolderId(folder_id)))


@routes.patch("/v1/folders/{folder_id}")
@routes.patch("/v1/sources/{folder_id}", include_in_schema=False)
async def update_folder(folder_id: FolderPath, body: FolderUpdate, call: Ask) -> Json[Source]:
    """Change what is given; another embedding model gives the files other vectors, in the background."""
    return await _state(call, await folders.update(call.ops, call.caller, FolderId(folder_id), body.to_domain()))


@routes.delete("/v1/folders/{folder_id}")
@routes.delete("/v1/sources/{folder_id}", include_in_schema=False)
async def delete_folder(folder_id: FolderPath, call: Ask) -> Json[None]:
    """Delete a folder with its files, and take it from every agent."""
    await folders.delete(call.ops, call.caller, FolderId(folder_id))
    return Json(None)


@routes.post("/v1/folders/{folder_id}/upload", responses={415: {}})
@routes.post("/v1/sources/{folder_id}/upload", include_in_schema=False)
async def upload_file(
    folder_id: FolderPath,
    file: UploadFile,
    call: Ask,
    duplicate_handling: DuplicateHandling = "suffix",
    name: str | None = None,
) -> Json[FileState]:
    """Upload a file. It is read in the background; retrieve it to see how far it has come."""
    given = Upload(
        data=await file.read(),
        file_name=file.filename or "",
        declared_type=file.content_type,
        name=name,
        duplicates=duplicate_handling,
    )
    stored, fresh = await files.upload(call.ops, call.caller, FolderId(folder_id), given)
    return Json(file_state(stored), headers=None if fresh else {"X-Upload-Result": "skipped"})


@routes.get("/v1/folders/{folder_id}/agents")
@routes.get("/v1/sources/{folder_id}/agents", include_in_schema=False)
async def list_agents(folder_id: FolderPath, call: Ask, page: Newest50) -> Json[list[str]]:
    """List the ids of the agents that have a folder."""
    found = await folders.list_agent_ids(call.ops, call.caller, FolderId(folder_id), page.page())
    return Json([str(agent_id) for agent_id in found])


@routes.get("/v1/folders/{folder_id}/passages")
@routes.get("/v1/sources/{folder_id}/passages", include_in_schema=False)
async def list_passages(folder_id: FolderPath, call: Ask, page: Newest100) -> Json[list[PassageState]]:
    """List the passages that a folder's files were split into."""
    found = await folders.list_passages(call.ops, call.caller, FolderId(folder_id), page.page())
    return Json([file_passage_state(passage) for passage in found])


@routes.get("/v1/folders/{folder_id}/files")
@routes.get("/v1/sources/{folder_id}/files", include_in_schema=False)
async def list_files(
    folder_id: FolderPath,
    call: Ask,
    limit: LimitQuery = 1000,
    after: CursorQuery = None,
    before: CursorQuery = None,
    order: Order = "desc",
    order_by: OrderBy = "created_at",
    include_content: bool = False,
    check_status_updates: bool = True,
) -> Json[list[FileState]]:
    """List a folder's files; their status is always the present one."""
    page = Page(limit=limit, after=after, before=before, order=order)
    found = await files.list_files(call.ops, call.caller, FolderId(folder_id), page, with_text=include_content)
    return Json([file_state(file, text, within=True) for file, text in found])


@routes.get("/v1/folders/{folder_id}/files/{file_id}")
@routes.get("/v1/sources/{folder_id}/files/{file_id}", include_in_schema=False)
async def retrieve_file(
    folder_id: FolderPath, file_id: FilePath, call: Ask, include_content: bool = False
) -> Json[FileState]:
    """Retrieve a file."""
    file, text = await files.retrieve(
        call.ops, call.caller, FolderId(folder_id), FileId(file_id), with_text=include_content
    )
    return Json(file_state(file, text, within=True))


@routes.delete("/v1/folders/{folder_id}/{file_id}", status_code=204)
@routes.delete("/v1/sources/{folder_id}/{file_id}", status_code=204, include_in_schema=False)
async def delete_file(folder_id: FolderPath, file_id: FilePath, call: Ask) -> Response:
    """Delete a file."""
    await files.delete(call.ops, call.caller, FolderId(folder_id), FileId(file_id))
    return Response(status_code=204)
