"""Folders: rows, and which agents have them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, literal, select, update
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, NotFound
from reverie.domain.folder import Folder, FolderStats
from reverie.domain.ids import AgentId, FolderId, OrganizationId
from reverie.domain.paging import Page
from reverie.domain.tool import ToolType
from reverie.storage import tools
from reverie.storage.columns import member_of
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, equals
from reverie.storage.schema import agent_files, agent_folders, agent_tools, agents, files, folders
from reverie.storage.schema import tools as tool_rows

_map = RowMap(folders, Folder, {})


def insert_folder(c: Connection, folder: Folder) -> None:
    """Store a new folder.

    Raises:
        Conflict: the organisation has one of that name.
    """
    try:
        _map.insert(c, folder)
    except IntegrityError as error:
        raise _name_taken(c, folder, error) from error


def get(c: Connection, organization_id: OrganizationId, folder_id: str, *, lock: bool = False) -> Folder:
    """One folder; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(folders).where(folders.c.organization_id == organization_id, folders.c.id == folder_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("folder", folder_id)
    return _map.read(row)


def find_named(c: Connection, organization_id: OrganizationId, name: str) -> Folder | None:
    """The folder called `name`."""
    query = select(folders).where(folders.c.organization_id == organization_id, folders.c.name == name)
    row = c.execute(query).one_or_none()
    return None if row is None else _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str]) -> list[Folder]:
    """The folders of `folder_ids`, in that order, kept from being removed until the transaction ends.

    Raises:
        NotFound: names the first that does not exist.
    """
    if not folder_ids:
        return []
    query = select(folders).where(folders.c.organization_id == organization_id, folders.c.id.in_(folder_ids))
    query = query.order_by(folders.c.seq).with_for_update(read=True, key_share=True)
    found = {row.id: _map.read(row) for row in c.execute(query).all()}
    for folder_id in folder_ids:
        if folder_id not in found:
            raise NotFound("folder", folder_id)
    return [found[folder_id] for folder_id in dict.fromkeys(folder_ids)]


def find_many(c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str]) -> list[Folder]:
    """The folders of `folder_ids` that exist."""
    if not folder_ids:
        return []
    query = select(folders).where(folders.c.organization_id == organization_id, folders.c.id.in_(folder_ids))
    return [_map.read(row) for row in c.execute(query).all()]


def list_page(
    c: Connection,
    organization_id: OrganizationId,
    page: Page,
    *,
    name: str | None = None,
    agent_id: AgentId | None = None,
) -> list[Folder]:
    """A page of the folders that meet every given condition."""
    query = select(folders).where(folders.c.organization_id == organization_id, *equals((folders.c.name, name)))
    if agent_id is not None:
        attached = select(agent_folders.c.folder_id).where(agent_folders.c.agent_id == agent_id)
        query = query.where(folders.c.id.in_(attached))
    return [_map.read(row) for row in fetch_rows(c, query, folders, page, organization_id, "folder")]


def count(c: Connection, organization_id: OrganizationId) -> int:
    """How many folders there are."""
    query = select(func.count()).select_from(folders).where(folders.c.organization_id == organization_id)
    return int(c.execute(query).scalar_one())


def update_folder(c: Connection, before: Folder, after: Folder) -> None:
    """Store what differs; its files carry a new name in theirs.

    Raises:
        Conflict: another folder has the new name.
    """
    try:
        _map.update(c, before, after)
    except IntegrityError as error:
        raise _name_taken(c, after, error) from error
    if before.name != after.name:
        renamed = literal(after.name) + func.substr(files.c.file_name, len(before.name) + 1)
        c.execute(update(files).where(files.c.folder_id == after.id).values(file_name=renamed))


def delete_folder(c: Connection, folder: Folder) -> None:
    """Remove a folder with its files; agents that have no other lose the file tools."""
    owners = c.execute(select(agent_folders.c.agent_id).where(agent_folders.c.folder_id == folder.id)).scalars().all()
    _map.delete(c, folder.id)
    _take_tools(c, folder.organization_id, owners)


def agent_ids(c: Connection, folder: Folder, page: Page) -> list[AgentId]:
    """A page of the ids of the agents that have the folder, by the age of the agents."""
    query = select(agents.c.id).where(
        agents.c.organization_id == folder.organization_id, agents.c.id.in_(_owners(folder.id))
    )
    return [row.id for row in fetch_rows(c, query, agents, page, folder.organization_id, "agent")]


_of_agents = (
    select(agent_folders.c.agent_id, folders)
    .join(folders, folders.c.id == agent_folders.c.folder_id)
    .where(member_of(agent_folders.c.agent_id, "agents"))
    .order_by(agent_folders.c.position)
)


def of_agents(c: Connection, wanted: Sequence[str]) -> dict[str, tuple[Folder, ...]]:
    """The folders of each agent that has any, in the order of attachment."""
    found: dict[str, list[Folder]] = {}
    for row in c.execute(_of_agents, {"agents": wanted}).all():
        found.setdefault(row.agent_id, []).append(_map.read(row[1:]))
    return {agent_id: tuple(items) for agent_id, items in found.items()}


def attach(c: Connection, organization_id: OrganizationId, agent_id: AgentId, added: Sequence[Folder]) -> None:
    """Put `added` after the agent's folders and give it the file tools; what is attached stays where it is."""
    if not added:
        return
    first = c.execute(
        select(func.coalesce(func.max(agent_folders.c.position) + 1, 0)).where(agent_folders.c.agent_id == agent_id)
    ).scalar_one()
    rows = [
        {"agent_id": agent_id, "folder_id": folder.id, "position": first + place} for place, folder in enumerate(added)
    ]
    c.execute(dialect_of(c).insert(agent_folders).on_conflict_do_nothing(), rows)
    tools.attach(
        c, agent_id, tools.get_many(c, organization_id, c.execute(_file_tools(organization_id)).scalars().all())
    )


def detach(c: Connection, organization_id: OrganizationId, agent_id: AgentId, gone: Sequence[FolderId]) -> None:
    """Take folders away from the agent, with its views of their files and, after the last one, the file tools.

    Raises:
        NotFound: one of them does not exist; one that is not attached is none.
    """
    for folder_id in gone:
        taken = c.execute(
            delete(agent_folders).where(agent_folders.c.agent_id == agent_id, agent_folders.c.folder_id == folder_id)
        )
        if not taken.rowcount:
            get(c, organization_id, folder_id)
        within = select(files.c.id).where(files.c.folder_id == folder_id)
        c.execute(delete(agent_files).where(agent_files.c.agent_id == agent_id, agent_files.c.file_id.in_(within)))
    _take_tools(c, organization_id, [agent_id])


def stats(c: Connection, organization_id: OrganizationId) -> list[FolderStats]:
    """How many files each folder has and how large they are together, by age."""
    query = (
        select(folders.c.id, folders.c.name, func.count(files.c.id), func.coalesce(func.sum(files.c.file_size), 0))
        .join(files, files.c.folder_id == folders.c.id, isouter=True)
        .where(folders.c.organization_id == organization_id)
        .group_by(folders.c.seq, folders.c.id, folders.c.name)
        .order_by(folders.c.seq)
    )
    return [
        FolderStats(folder_id=folder_id, folder_name=name, file_count=int(number), total_bytes=int(size))
        for folder_id, name, number, size in c.execute(query).all()
    ]


def _owners(folder_id: str) -> Select[tuple[str]]:
    return select(agent_folders.c.agent_id).where(agent_folders.c.folder_id == folder_id)


def _file_tools(organization_id: OrganizationId) -> Select[Any]:
    return (
        select(tool_rows.c.id)
        .where(tool_rows.c.organization_id == organization_id, tool_rows.c.tool_type == ToolType.FILES_CORE.value)
        .order_by(tool_rows.c.seq)
    )


def _take_tools(c: Connection, organization_id: OrganizationId, owners: Sequence[Any]) -> None:
    """Take the file tools from those of `owners` that have no folder any more."""
    has_folder = exists().where(agent_folders.c.agent_id == agent_tools.c.agent_id)
    c.execute(
        delete(agent_tools).where(
            agent_tools.c.agent_id.in_(owners),
            agent_tools.c.tool_id.in_(_file_tools(organization_id).order_by(None)),
            ~has_folder,
        )
    )


def _name_taken(c: Connection, folder: Folder, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        return Conflict(f"a folder named {folder.name!r} exists already; use it, or choose another name")
    return error
