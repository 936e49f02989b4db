"""What callers can ask for about the files of folders."""

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.documents.media import media_type_of
from reverie.domain.errors import Conflict
from reverie.domain.folder import File, FileStatus, Folder, Upload, clean_file_name, clean_file_path
from reverie.domain.ids import FileId, FolderId, make_id
from reverie.domain.paging import Page
from reverie.operations.base import Operations
from reverie.storage import files, folders


async def upload(ops: Operations, caller: Caller, folder_id: FolderId, given: Upload) -> tuple[File, bool]:
    """Store a file, to be read in the background; tells whether it was stored or one of its name kept instead.

    A file that cannot be read at all, because it is empty or too large, is stored as a failed one.

    Raises:
        UnsupportedMedia: files of its kind cannot be read.
        InvalidInput: its name is none.
        Conflict: the folder has one of the name, and that shall be an error.
    """
    caller.require(Scope.WRITE)
    name = clean_file_path(given.name) if given.name else clean_file_name(given.file_name)
    last = name.rpartition("/")[2]
    media_type = media_type_of(last if "." in last else clean_file_name(given.file_name), given.declared_type)
    refusal = _refusal(len(given.data), ops.max_file_bytes)
    now = ops.clock()

    def store(c: Connection) -> tuple[File, bool]:
        # Held, so that two files of one name do not get the same number.
        folder = folders.get(c, caller.organization_id, folder_id, lock=True)
        earlier = files.find_named(c, folder, name)
        if earlier is not None:
            match given.duplicates:
                case "skip":
                    return earlier, False
                case "error":
                    raise _duplicate(folder, name)
                case "replace":
                    files.delete_file(c, earlier.id)
                case "suffix":
                    pass
        file = File(
            id=FileId(make_id("file")),
            organization_id=folder.organization_id,
            folder_id=folder.id,
            file_name=files.free_name(c, folder, name),
            original_file_name=name,
            file_type=media_type,
            file_size=len(given.data),
            status=FileStatus.PENDING if refusal is None else FileStatus.ERROR,
            error_message=refusal,
            created_at=now,
            updated_at=now,
            created_by_id=caller.user_id,
            last_updated_by_id=caller.user_id,
        )
        files.insert_file(c, file, given.data if refusal is None else None)
        return file, True

    stored = await ops.database.write(store)
    ops.ring("ingest")
    return stored


async def list_files(
    ops: Operations, caller: Caller, folder_id: FolderId, page: Page, *, with_text: bool = False
) -> list[tuple[File, str | None]]:
    """A page of the folder's files, with their texts where those are asked for."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[tuple[File, str | None]]:
        found = files.list_page(c, folders.get(c, caller.organization_id, folder_id), page)
        texts = files.texts(c, [file.id for file in found]) if with_text else {}
        return [(file, texts.get(file.id)) for file in found]

    return await ops.database.read(read)


async def retrieve(
    ops: Operations, caller: Caller, folder_id: FolderId, file_id: FileId, *, with_text: bool = False
) -> tuple[File, str | None]:
    """One file, with its text where that is asked for."""
    caller.require(Scope.READ)

    def read(c: Connection) -> tuple[File, str | None]:
        file = files.get(c, folders.get(c, caller.organization_id, folder_id), file_id)
        return file, files.texts(c, [file.id]).get(file.id) if with_text else None

    return await ops.database.read(read)


async def delete(ops: Operations, caller: Caller, folder_id: FolderId, file_id: FileId) -> None:
    """Remove a file from its folder and from what agents have open."""
    caller.require(Scope.WRITE)

    def remove(c: Connection) -> None:
        folder = folders.get(c, caller.organization_id, folder_id, lock=True)
        files.delete_file(c, files.get(c, folder, file_id).id)

    await ops.database.write(remove)


def _refusal(size: int, most: int) -> str | None:
    if size == 0:
        return "the file is empty"
    if size > most:
        return f"the file has {size} bytes and at most {most} are read; split it, or raise REVERIE_FILE_MAX_BYTES"
    return None


def _duplicate(folder: Folder, name: str) -> Conflict:
    return Conflict(
        f"a file {name!r} already exists in folder {folder.name!r}; set duplicate_handling to 'suffix', 'replace' or "
        "'skip', or give the file another name"
    )
