"""Archives: rows, and which agents have them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from reverie.domain.agent import Agent
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.ids import AgentId, ArchiveId, OrganizationId, make_id
from reverie.domain.paging import Page
from reverie.domain.passage import Archive
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, equals
from reverie.storage.schema import agent_archives, agents, archives

_map = RowMap(archives, Archive, {})


def insert_archive(c: Connection, archive: Archive) -> None:
    """Store a new archive."""
    _map.insert(c, archive)


def get(c: Connection, organization_id: OrganizationId, archive_id: str, *, lock: bool = False) -> Archive:
    """One archive; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(archives).where(archives.c.organization_id == organization_id, archives.c.id == archive_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("archive", archive_id)
    return _map.read(row)


def list_page(
    c: Connection,
    organization_id: OrganizationId,
    page: Page,
    *,
    name: str | None = None,
    agent_id: AgentId | None = None,
) -> list[Archive]:
    """A page of archives that meet every given condition."""
    query = select(archives).where(archives.c.organization_id == organization_id, *equals((archives.c.name, name)))
    if agent_id is not None:
        attached = select(agent_archives.c.archive_id).where(agent_archives.c.agent_id == agent_id)
        query = query.where(archives.c.id.in_(attached))
    return [_map.read(row) for row in fetch_rows(c, query, archives, page, organization_id, "archive")]


def update_archive(c: Connection, before: Archive, after: Archive) -> None:
    """Store what differs."""
    _map.update(c, before, after)


def delete_archive(c: Connection, archive_id: ArchiveId) -> None:
    """Remove an archive with its passages."""
    _map.delete(c, archive_id)


def of_agent(c: Connection, agent_id: AgentId) -> list[Archive]:
    """The agent's archives; its own first, then by age."""
    query = (
        select(archives)
        .join(agent_archives, agent_archives.c.archive_id == archives.c.id)
        .where(agent_archives.c.agent_id == agent_id)
        .order_by(agent_archives.c.is_owner.desc(), archives.c.seq)
    )
    return [_map.read(row) for row in c.execute(query).all()]


def owned_by(c: Connection, agent_id: AgentId) -> list[Archive]:
    """The archives that were made for the agent."""
    owned = select(agent_archives.c.archive_id).where(agent_archives.c.agent_id == agent_id, agent_archives.c.is_owner)
    return [_map.read(row) for row in c.execute(select(archives).where(archives.c.id.in_(owned))).all()]


def own_archive(c: Connection, agent: Agent, now: datetime, author: str | None = None) -> Archive:
    """The archive that the agent writes to, made when it has none."""
    # The agent's row is locked: two first memories at once must not make two archives.
    c.execute(select(agents.c.seq).where(agents.c.id == agent.id).with_for_update())
    attached = of_agent(c, agent.id)
    if attached:
        return attached[0]
    archive = Archive(
        id=ArchiveId(make_id("archive")),
        organization_id=agent.organization_id,
        name=f"{agent.name}'s archive",
        embedding=agent.embedding,
        created_at=now,
        updated_at=now,
        created_by_id=author,
        last_updated_by_id=author,
    )
    insert_archive(c, archive)
    attach(c, agent.id, archive.id, is_owner=True)
    return archive


def attach(c: Connection, agent_id: AgentId, archive_id: ArchiveId, *, is_owner: bool = False) -> None:
    """Let the agent search an archive; nothing happens when it may already."""
    statement = dialect_of(c).insert(agent_archives)
    c.execute(statement.values(agent_id=agent_id, archive_id=archive_id, is_owner=is_owner).on_conflict_do_nothing())


def detach(c: Connection, agent: Agent, archive_id: ArchiveId) -> None:
    """Take an archive away from the agent; one that is not attached is none.

    Raises:
        NotFound: it does not exist.
    """
    gone = c.execute(
        delete(agent_archives).where(agent_archives.c.agent_id == agent.id, agent_archives.c.archive_id == archive_id)
    )
    if not gone.rowcount:
        get(c, agent.organization_id, archive_id)


def delete_owned(c: Connection, agent_id: AgentId) -> None:
    """Remove the archive that was made for the agent, unless another agent has it as well."""
    owned = select(agent_archives.c.archive_id).where(agent_archives.c.agent_id == agent_id, agent_archives.c.is_owner)
    shared = select(agent_archives.c.archive_id).where(agent_archives.c.agent_id != agent_id)
    c.execute(delete(archives).where(archives.c.id.in_(owned), archives.c.id.not_in(shared)))


def grow(c: Connection, archive: Archive, by: int, dimensions: Sequence[int], now: datetime) -> Archive:
    """Count `by` more passages, in the transaction that stores or removes them.

    `dimensions` are the lengths of their vectors; an archive's vectors all have one length,
    which the first of them settles.

    Raises:
        InvalidInput: a vector of another length than the archive's.
    """
    known = archive.embedding_dim
    for length in dimensions:
        if known is not None and length != known:
            raise InvalidInput(
                f"archive {archive.id!r} holds vectors of {known} numbers and the embedding model gave {length}; "
                "use the embedding model that the archive was made with, or another archive"
            )
        known = length
    c.execute(
        update(archives)
        .where(archives.c.id == archive.id)
        .values(passage_count=archives.c.passage_count + by, embedding_dim=known, updated_at=now)
    )
    return replace(archive, passage_count=archive.passage_count + by, embedding_dim=known, updated_at=now)
