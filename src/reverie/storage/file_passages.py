"""Passages of files: rows, vectors, and search."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Select, delete, func, select

from reverie.domain.folder import File, FilePassage, Folder
from reverie.domain.ids import FileId, OrganizationId, PassageId, make_id
from reverie.domain.paging import Page
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap
from reverie.storage.schema import file_passage_vectors, file_passages, files
from reverie.storage.search import (
    add_file_vectors,
    drop_folder_vectors,
    file_wish,
    search_files,
)

_map = RowMap(file_passages, FilePassage, {}, absent=frozenset({"file_name"}))


def insert_passages(c: Connection, file: File, chunks: Sequence[tuple[int, str]], now: datetime) -> None:
    """Add passages to a file: first line and text of each."""
    added = [
        FilePassage(
            id=PassageId(make_id("passage")),
            organization_id=file.organization_id,
            folder_id=file.folder_id,
            file_id=file.id,
            file_name=file.file_name,
            text=text,
            start_line=line,
            created_at=now,
            updated_at=now,
        )
        for line, text in chunks
    ]
    _map.insert(c, *added)


def clear(c: Connection, file_id: FileId) -> None:
    """Remove all passages of a file."""
    c.execute(delete(file_passages).where(file_passages.c.file_id == file_id))


def without_vector(c: Connection, file_id: FileId, limit: int) -> list[tuple[int, str]]:
    """Place and text of the file's first passages that have no vector yet."""
    query = (
        select(file_passages.c.seq, file_passages.c.text)
        .join(file_passage_vectors, file_passage_vectors.c.seq == file_passages.c.seq, isouter=True)
        .where(file_passages.c.file_id == file_id, file_passage_vectors.c.seq.is_(None))
        .order_by(file_passages.c.seq)
        .limit(limit)
    )
    return [(seq, text) for seq, text in c.execute(query).all()]


def add_vectors(c: Connection, file: File, vectors: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Store vectors of passages, which are named by their places."""
    add_file_vectors(c, [(seq, file.folder_id, vector) for seq, vector in vectors])


def count_vectors(c: Connection, file_id: FileId) -> int:
    """How many of the file's passages have a vector."""
    query = (
        select(func.count())
        .select_from(file_passage_vectors)
        .join(file_passages, file_passages.c.seq == file_passage_vectors.c.seq)
        .where(file_passages.c.file_id == file_id)
    )
    return int(c.execute(query).scalar_one())


def clear_vectors(c: Connection, folder: Folder) -> None:
    """Remove all vectors of a folder."""
    drop_folder_vectors(c, folder.id)


def list_page(c: Connection, folder: Folder, page: Page) -> list[FilePassage]:
    """A page of the folder's passages."""
    query = _named().where(file_passages.c.folder_id == folder.id)
    rows = fetch_rows(c, query, file_passages, page, folder.organization_id, "passage")
    return [_map.read(row, file_name=row[-1]) for row in rows]


def search(
    c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str], query: SearchQuery
) -> list[tuple[FilePassage, SearchHit]]:
    """Search these folders, best first. The caller has checked that they are its own."""
    hits = search_files(c, organization_id, folder_ids, query)
    wanted = _named().where(
        file_passages.c.organization_id == organization_id, file_passages.c.id.in_([hit.id for hit in hits])
    )
    found = {row.id: _map.read(row, file_name=row[-1]) for row in c.execute(wanted).all()}
    return [(found[hit.id], hit) for hit in hits if hit.id in found]


def wish(c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str], text: str) -> str:
    """What of `text` to make a vector of, to search these folders with."""
    return file_wish(c, organization_id, folder_ids, text)


def _named() -> Select[tuple[object, ...]]:
    """Passages with the name of their file as the last column."""
    return select(file_passages, files.c.file_name).join(files, files.c.id == file_passages.c.file_id)
