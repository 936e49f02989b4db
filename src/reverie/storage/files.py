"""Files: rows, what they hold, and who works on them."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, insert, or_, select, update

from reverie.domain.errors import NotFound
from reverie.domain.folder import UNFINISHED, File, FileStatus, Folder
from reverie.domain.ids import FileId, OrganizationId
from reverie.domain.paging import Page
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, loaded_by
from reverie.storage.schema import file_contents, files, workers

_map = RowMap(files, File, {"status": loaded_by(FileStatus)})
# Built once: it is what a server does at rest.
_any_waiting = (
    select(files.c.id)
    .where(
        or_(*(files.c.status == status for status in UNFINISHED)),
        or_(files.c.not_before.is_(None), files.c.not_before <= bindparam("now")),
    )
    .limit(1)
)


def insert_file(c: Connection, file: File, data: bytes | None) -> None:
    """Store a new file; None: there is nothing of it to work on."""
    _map.insert(c, file)
    if data is not None:
        c.execute(insert(file_contents), {"file_id": file.id, "data": data, "text": None})


def get(c: Connection, folder: Folder, file_id: str) -> File:
    """One file of a folder.

    Raises:
        NotFound: it is not there.
    """
    row = c.execute(select(files).where(files.c.folder_id == folder.id, files.c.id == file_id)).one_or_none()
    if row is None:
        raise NotFound("file", file_id, f"it is not in folder {folder.id!r}")
    return _map.read(row)


def find_named(c: Connection, folder: Folder, name: str) -> File | None:
    """The file of the folder that bears `name`, or else the newest that was uploaded under it."""
    bears = files.c.file_name == f"{folder.name}/{name}"
    query = select(files).where(files.c.folder_id == folder.id, bears | (files.c.original_file_name == name))
    row = c.execute(query.order_by(case((bears, 0), else_=1), files.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else _map.read(row)


def free_name(c: Connection, folder: Folder, name: str) -> str:
    """`<folder>/<name>`, with a number before the ending where that is taken; hold the folder first."""
    path = PurePosixPath(name)
    ending = path.suffix if len(path.suffix) <= 20 else ""
    stem = name[: len(name) - len(ending)]
    wanted, number = f"{folder.name}/{name}", 0
    while c.execute(select(files.c.id).where(files.c.folder_id == folder.id, files.c.file_name == wanted)).first():
        number += 1
        wanted = f"{folder.name}/{stem}_({number}){ending}"
    return wanted


def list_page(c: Connection, folder: Folder, page: Page) -> list[File]:
    """A page of the folder's files."""
    query = select(files).where(files.c.folder_id == folder.id)
    return [_map.read(row) for row in fetch_rows(c, query, files, page, folder.organization_id, "file")]


def all_of(c: Connection, organization_id: OrganizationId) -> list[File]:
    """Every file of the organisation, by age."""
    query = select(files).where(files.c.organization_id == organization_id).order_by(files.c.seq)
    return [_map.read(row) for row in c.execute(query).all()]


def texts(c: Connection, file_ids: Sequence[str]) -> dict[str, str]:
    """The texts of those files that have one."""
    query = select(file_contents.c.file_id, file_contents.c.text).where(
        file_contents.c.file_id.in_(file_ids), file_contents.c.text.is_not(None)
    )
    return dict(c.execute(query).all())


def data(c: Connection, file_id: FileId) -> bytes | None:
    """A file's bytes; None where there are none."""
    return c.execute(select(file_contents.c.data).where(file_contents.c.file_id == file_id)).scalar_one_or_none()


def delete_file(c: Connection, file_id: FileId) -> None:
    """Remove a file with its passages and every agent's view of it."""
    _map.delete(c, file_id)


def any_waiting(c: Connection, now: datetime) -> bool:
    """Whether there may be a file to `claim`; asked often, and writes nothing."""
    return c.execute(_any_waiting, {"now": now}).first() is not None


def claim(c: Connection, worker_id: str, busy: Sequence[str], now: datetime) -> File | None:
    """Take the oldest file that waits for work; None: there is none.

    Waiting is what nobody works on, and what somebody did whose process is forgotten. `busy` are
    those that this worker works on at the moment.
    """
    alive = select(workers.c.id).where(workers.c.id != worker_id)
    query = (
        select(files)
        .where(
            files.c.status.in_(UNFINISHED),
            files.c.id.not_in(busy),
            or_(files.c.worker_id.is_(None), files.c.worker_id.not_in(alive)),
            or_(files.c.not_before.is_(None), files.c.not_before <= now),
        )
        .order_by(files.c.seq)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = c.execute(query).one_or_none()
    if row is None:
        return None
    status = FileStatus.PARSING if row.status == FileStatus.PENDING else FileStatus(row.status)
    values = {"worker_id": worker_id, "attempt": row.attempt + 1, "status": status, "updated_at": now}
    c.execute(update(files).where(files.c.id == row.id).values(values))
    return _map.record({**row._mapping, **values})  # type: ignore[arg-type]  # a mapping of columns like any row


def change(c: Connection, held: File, values: dict[str, Any]) -> bool:
    """Change a file that is being worked on; False: it is gone, or somebody else's by now, and nothing changed."""
    mine = and_(files.c.id == held.id, files.c.worker_id == held.worker_id, files.c.attempt == held.attempt)
    return bool(c.execute(update(files).where(mine).values(values)).rowcount)


def set_text(c: Connection, file_id: FileId, text: str) -> None:
    """Keep what was read from a file."""
    c.execute(update(file_contents).where(file_contents.c.file_id == file_id).values(text=text))


def embed_again(c: Connection, folder: Folder, now: datetime) -> None:
    """Let the folder's files get other vectors; whoever works on one of them starts anew."""
    c.execute(
        update(files)
        .where(files.c.folder_id == folder.id, files.c.line_count.is_not(None))
        .values(
            status=FileStatus.EMBEDDING,
            worker_id=None,
            attempt=0,
            not_before=None,
            chunks_embedded=0,
            error_message=None,
            updated_at=now,
        )
    )
