"""What agents have open of the files in their folders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, func, select, update

from reverie.domain.agent import Agent
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.folder import (
    DEFAULT_FILES_OPEN,
    DEFAULT_VIEW_CHARS,
    AttachedFolder,
    File,
    FileView,
    Folder,
    OpenOutcome,
    render_view,
)
from reverie.domain.ids import AgentId
from reverie.domain.paging import Page
from reverie.storage import files as file_store
from reverie.storage import folders as folder_store
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap
from reverie.storage.schema import agent_files, agent_folders, agents, files, folders

MOST_LISTED: Final = 200
"""Files that an agent's prompt names; the open ones are among them."""

_folder_map = RowMap(folders, Folder, {})
_of_agent = (
    select(folders)
    .join(agent_folders, agent_folders.c.folder_id == folders.c.id)
    .where(agent_folders.c.agent_id == bindparam("agent"))
    .order_by(agent_folders.c.position)
)
_columns = (
    files.c.id,
    files.c.file_name,
    files.c.folder_id,
    folders.c.name,
    agent_files.c.is_open,
    agent_files.c.view,
    agent_files.c.start_line,
    agent_files.c.end_line,
    agent_files.c.last_accessed_at,
)
_is_open = func.coalesce(agent_files.c.is_open, False)


def _views(agent_id: Any) -> Select[Any]:
    """The files of an agent's folders that have a text, with what the agent has of each."""
    return (
        select(*_columns)
        .join(folders, folders.c.id == files.c.folder_id)
        .join(agent_folders, and_(agent_folders.c.folder_id == files.c.folder_id, agent_folders.c.agent_id == agent_id))
        .join(agent_files, and_(agent_files.c.file_id == files.c.id, agent_files.c.agent_id == agent_id), isouter=True)
        .where(files.c.line_count.is_not(None))
    )


_listed = _views(bindparam("agent")).order_by(_is_open.desc(), files.c.seq).limit(MOST_LISTED)
_file_counts = (
    select(files.c.folder_id, func.count())
    .join(agent_folders, agent_folders.c.folder_id == files.c.folder_id)
    .where(agent_folders.c.agent_id == bindparam("agent"), files.c.line_count.is_not(None))
    .group_by(files.c.folder_id)
)


def of_agent(c: Connection, agent_id: AgentId) -> tuple[AttachedFolder, ...]:
    """The agent's folders with their files, as its prompt shows them."""
    attached = [_folder_map.read(row) for row in c.execute(_of_agent, {"agent": agent_id}).all()]
    by_folder: dict[str, list[FileView]] = {folder.id: [] for folder in attached}
    listed = [_view(row, agent_id) for row in c.execute(_listed, {"agent": agent_id}).all()]
    for view in listed:
        by_folder[view.folder_id].append(view)
    counts = {folder_id: len(views) for folder_id, views in by_folder.items()}
    if len(listed) == MOST_LISTED:
        counts |= {folder_id: int(number) for folder_id, number in c.execute(_file_counts, {"agent": agent_id}).all()}
    return tuple(
        AttachedFolder(folder=folder, files=tuple(by_folder[folder.id]), file_count=counts[folder.id])
        for folder in attached
    )


def page_of_agent(c: Connection, agent: Agent, page: Page, is_open: bool | None = None) -> list[FileView]:
    """A page of the files in the agent's folders; cursors are ids of files."""
    query = _views(agent.id)
    if is_open is not None:
        query = query.where(_is_open if is_open else ~_is_open)
    rows = fetch_rows(c, query, files, page, agent.organization_id, "file")
    return [_view(row, agent.id) for row in rows]


def get(c: Connection, agent: Agent, file_id: str) -> FileView:
    """One file of the agent's folders.

    Raises:
        NotFound: none of them holds it, or it has no text yet.
    """
    row = c.execute(_views(agent.id).where(files.c.id == file_id)).one_or_none()
    if row is None:
        raise NotFound("file", file_id, f"no folder of agent {agent.id!r} holds it, or it is not processed yet")
    return _view(row, agent.id)


def named(c: Connection, agent_id: AgentId, names: Sequence[str]) -> dict[str, FileView]:
    """Those files of the agent's folders that are called one of `names`."""
    rows = c.execute(_views(agent_id).where(files.c.file_name.in_(names))).all()
    return {row.file_name: _view(row, agent_id) for row in rows}


def everything(c: Connection, agent_id: AgentId) -> list[FileView]:
    """All files of the agent's folders, by name."""
    return [_view(row, agent_id) for row in c.execute(_views(agent_id).order_by(files.c.file_name)).all()]


def hold(c: Connection, agent_id: AgentId) -> None:
    """Keep others from opening and closing the agent's files until the transaction ends."""
    c.execute(select(agents.c.seq).where(agents.c.id == agent_id).with_for_update())


def open_file(
    c: Connection, agent: Agent, view: FileView, now: datetime, *, start: int | None = None, end: int | None = None
) -> OpenOutcome:
    """Show a file's lines from `start` (counted from 0) up to before `end`, closing the longest unused ones.

    The caller holds the agent.

    Raises:
        NotFound: it was removed meanwhile.
        InvalidInput: the agent may have no file open, or the file ends before `start`.
    """
    most, chars = _limits(agent)
    if most == 0:
        raise InvalidInput(f"agent {agent.id!r} may have no file open; raise its max_files_open")
    text = _held_text(c, view)
    if start is not None and start >= (lines := text.count("\n") + 1):
        raise InvalidInput(f"file {view.file_name!r} has only {lines} lines, so there is none at offset {start}")
    values = {
        "is_open": True,
        "view": render_view(text, start, end, chars),
        "start_line": None if start is None else start + 1,
        "end_line": end,
        "last_accessed_at": now,
    }
    statement = dialect_of(c).insert(agent_files).values(agent_id=agent.id, file_id=view.file_id, **values)
    c.execute(statement.on_conflict_do_update(index_elements=["agent_id", "file_id"], set_=values))
    return OpenOutcome(closed=_close_beyond(c, agent.id, most), before=view if view.is_open else None)


def open_where_room(c: Connection, agent: Agent, fresh: Sequence[FileView], now: datetime) -> None:
    """Open files that are new to the agent, as many as can be without closing one."""
    room = _limits(agent)[0] - _count_open(c, agent.id)
    for view in fresh[: max(room, 0)]:
        open_file(c, agent, view, now)


def open_for_owners(c: Connection, file: File, owners: Sequence[Agent], now: datetime) -> None:
    """Open a file that has its text now for every agent of its folder that has room."""
    for agent in owners:
        fresh = c.execute(_views(agent.id).where(files.c.id == file.id, agent_files.c.file_id.is_(None))).all()
        open_where_room(c, agent, [_view(row, agent.id) for row in fresh], now)


def close(c: Connection, agent_id: AgentId, *, only: str | None = None, keep: Sequence[str] = ()) -> list[str]:
    """Close the file `only`, or all but `keep`; the names of those that were open."""
    open_ones = _open_of(agent_id).order_by(files.c.file_name)
    open_ones = open_ones.where(files.c.id.not_in(keep)) if only is None else open_ones.where(files.c.id == only)
    found = c.execute(open_ones).all()
    _shut(c, agent_id, [file_id for file_id, _ in found])
    return [name for _, name in found]


def touch(c: Connection, agent_id: AgentId, file_ids: Sequence[str], now: datetime) -> None:
    """Note that the agent just used files, so that they are closed later than others."""
    if file_ids:
        row = {"agent_id": agent_id, "is_open": False, "last_accessed_at": now}
        statement = dialect_of(c).insert(agent_files)
        statement = statement.on_conflict_do_update(
            index_elements=["agent_id", "file_id"], set_={"last_accessed_at": statement.excluded.last_accessed_at}
        )
        c.execute(statement, [{**row, "file_id": file_id} for file_id in file_ids])


def refit(c: Connection, agent: Agent) -> None:
    """Make the agent's open files fit limits that were changed."""
    most, chars = _limits(agent)
    _close_beyond(c, agent.id, most)
    for view in everything(c, agent.id):
        if view.is_open:
            text = file_store.texts(c, [view.file_id]).get(view.file_id, "")
            start = None if view.start_line is None else view.start_line - 1
            shown = render_view(text, start, view.end_line, chars)
            mine = and_(agent_files.c.agent_id == agent.id, agent_files.c.file_id == view.file_id)
            c.execute(update(agent_files).where(mine).values(view=shown))


def attach(c: Connection, agent: Agent, added: Sequence[Folder], now: datetime) -> None:
    """Give the agent folders, and open their files as far as there is room."""
    if not added:
        return
    folder_store.attach(c, agent.organization_id, agent.id, added)
    fresh = _views(agent.id).where(
        files.c.folder_id.in_([folder.id for folder in added]), agent_files.c.file_id.is_(None)
    )
    room = _limits(agent)[0]
    rows = c.execute(fresh.order_by(files.c.seq).limit(room)).all()
    open_where_room(c, agent, [_view(row, agent.id) for row in rows], now)


def replace_attached(c: Connection, agent: Agent, wanted: Sequence[Folder], now: datetime) -> None:
    """Make `wanted` the agent's folders."""
    before = {folder.id for folder in folder_store.of_agents(c, [agent.id]).get(agent.id, ())}
    kept = {folder.id for folder in wanted}
    folder_store.detach(c, agent.organization_id, agent.id, sorted(before - kept))
    attach(c, agent, [folder for folder in wanted if folder.id not in before], now)


def _held_text(c: Connection, view: FileView) -> str:
    """A file's text; the file is kept from being removed until the transaction ends."""
    held = select(files.c.id).where(files.c.id == view.file_id).with_for_update(read=True, key_share=True)
    if c.execute(held).first() is None:
        raise NotFound("file", view.file_name)
    return file_store.texts(c, [view.file_id]).get(view.file_id, "")


def _limits(agent: Agent) -> tuple[int, int]:
    """How many files may be open, and how many characters of each are shown."""
    most, chars = agent.max_files_open, agent.per_file_view_window_char_limit
    return DEFAULT_FILES_OPEN if most is None else most, DEFAULT_VIEW_CHARS if chars is None else chars


def _open_of(agent_id: AgentId) -> Select[Any]:
    return (
        select(files.c.id, files.c.file_name)
        .join(agent_files, agent_files.c.file_id == files.c.id)
        .where(agent_files.c.agent_id == agent_id, agent_files.c.is_open)
    )


def _count_open(c: Connection, agent_id: AgentId) -> int:
    return int(c.execute(select(func.count()).select_from(_open_of(agent_id).subquery())).scalar_one())


def _close_beyond(c: Connection, agent_id: AgentId, most: int) -> tuple[str, ...]:
    by_use = _open_of(agent_id).order_by(agent_files.c.last_accessed_at.desc(), files.c.seq.desc())
    surplus = c.execute(by_use).all()[most:]
    _shut(c, agent_id, [file_id for file_id, _ in surplus])
    return tuple(name for _, name in reversed(surplus))


def _shut(c: Connection, agent_id: AgentId, file_ids: Sequence[str]) -> None:
    if file_ids:
        c.execute(
            update(agent_files)
            .where(agent_files.c.agent_id == agent_id, agent_files.c.file_id.in_(file_ids))
            .values(is_open=False, view=None, start_line=None, end_line=None)
        )


def _view(row: Sequence[Any], agent_id: AgentId) -> FileView:
    file_id, file_name, folder_id, folder_name, is_open, text, start_line, end_line, accessed = row
    return FileView(
        agent_id=agent_id,
        file_id=file_id,
        file_name=file_name,
        folder_id=folder_id,
        folder_name=folder_name,
        is_open=bool(is_open),
        text=text,
        start_line=start_line,
        end_line=end_line,
        last_accessed_at=accessed,
    )
