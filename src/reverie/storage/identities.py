"""Identities: rows, and which agents and blocks they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, Table, delete, func, select
from sqlalchemy.exc import IntegrityError

from reverie.domain.errors import Conflict, NotFound
from reverie.domain.identity import Identity, IdentityDetails, IdentityFilter, IdentityProperty, IdentityType
from reverie.domain.ids import IdentityId, OrganizationId
from reverie.domain.paging import Page
from reverie.storage.columns import member_of
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import Form, RowMap, contains, equals, loaded_by
from reverie.storage.schema import agent_identities, agents, block_identities, blocks, identities

_map = RowMap(
    identities,
    Identity,
    {
        "identity_type": loaded_by(IdentityType),
        "properties": Form(lambda items: tuple(IdentityProperty(**item) for item in items), list),
    },
)


@dataclass(frozen=True, slots=True)
class Links:
    """Which things of one kind, agents or blocks, identities are attached to."""

    table: Table
    things: Table
    what: str
    """The kind, in errors."""

    @property
    def _thing(self) -> Column[str]:
        return self.table.c[f"{self.what}_id"]

    def owned_by(self, identity_id: str) -> Select[Any]:
        """A query of the ids of what one identity has."""
        return select(self._thing).where(self.table.c.identity_id == identity_id)

    def owned_by_keys(self, organization_id: OrganizationId, keys: Sequence[str]) -> Select[Any]:
        """A query of the ids of what any identity of these keys has, in whatever project."""
        return (
            select(self._thing)
            .join(identities, identities.c.id == self.table.c.identity_id)
            .where(identities.c.organization_id == organization_id, identities.c.identifier_key.in_(keys))
        )

    def ids(self, c: Connection, identity_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The ids of what each identity has, by age."""
        query = (
            select(self.table.c.identity_id, self._thing)
            .join(self.things, self.things.c.id == self._thing)
            .where(self.table.c.identity_id.in_(identity_ids))
            .order_by(self.things.c.seq)
        )
        found: dict[str, list[str]] = {}
        for identity_id, thing_id in c.execute(query).all():
            found.setdefault(identity_id, []).append(thing_id)
        return {identity_id: tuple(items) for identity_id, items in found.items()}

    def add(self, c: Connection, thing_ids: Sequence[str], identity_ids: Sequence[str]) -> None:
        """Attach each of the identities to each of the things; both must have been read. Those attached stay so."""
        rows = [
            {self._thing.name: thing_id, "identity_id": identity_id}
            for thing_id in dict.fromkeys(thing_ids)
            for identity_id in dict.fromkeys(identity_ids)
        ]
        if rows:
            c.execute(dialect_of(c).insert(self.table).on_conflict_do_nothing(), rows)

    def remove(self, c: Connection, thing_id: str, identity_id: str) -> None:
        """Detach; nothing happens when they are apart already."""
        c.execute(delete(self.table).where(self._thing == thing_id, self.table.c.identity_id == identity_id))

    def clear(self, c: Connection, *, thing_id: str | None = None, identity_id: str | None = None) -> None:
        """Detach everything of one thing, or of one identity."""
        c.execute(delete(self.table).where(*equals((self._thing, thing_id), (self.table.c.identity_id, identity_id))))

    def hold(self, c: Connection, organization_id: OrganizationId, thing_ids: Sequence[str]) -> None:
        """Refuse ids of nothing, and keep the rest from being changed until the transaction ends.

        Comes before any link is touched: who changes an agent holds the agent first and its links
        then, and in the other order the two would wait for each other.

        Raises:
            NotFound: names the first that does not exist in the organisation.
        """
        if not thing_ids:
            return
        query = select(self.things.c.id).where(
            self.things.c.organization_id == organization_id, self.things.c.id.in_(thing_ids)
        )
        query = query.order_by(self.things.c.seq).with_for_update(read=True, key_share=True)
        found = set(c.execute(query).scalars())
        for thing_id in thing_ids:
            if thing_id not in found:
                raise NotFound(self.what, thing_id)


AGENTS: Final = Links(agent_identities, agents, "agent")
BLOCKS: Final = Links(block_identities, blocks, "block")


def insert_identity(c: Connection, identity: Identity) -> None:
    """Store a new identity.

    Raises:
        Conflict: another of the same project has its key.
    """
    try:
        _map.insert(c, identity)
    except IntegrityError as error:
        raise _key_taken(c, identity, error) from error


def insert_unless_known(c: Connection, identity: Identity) -> bool:
    """Store a new identity unless its project has one of the key; tell whether it was stored."""
    statement = dialect_of(c).insert(identities).values(_map.values(identity))
    return bool(c.execute(statement.on_conflict_do_nothing()).rowcount)


def get(c: Connection, organization_id: OrganizationId, identity_id: str, *, lock: bool = False) -> Identity:
    """One identity; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(identities).where(identities.c.organization_id == organization_id, identities.c.id == identity_id)
    row = c.execute(_locked(query) if lock else query).one_or_none()
    if row is None:
        raise NotFound("identity", identity_id)
    return _map.read(row)


def get_by_key(c: Connection, organization_id: OrganizationId, identifier_key: str, project_id: str | None) -> Identity:
    """The identity of a key in its project, or among those of none; other writers are held off.

    Raises:
        NotFound: there is none.
    """
    query = select(identities).where(
        identities.c.organization_id == organization_id,
        identities.c.identifier_key == identifier_key,
        identities.c.project_id.is_not_distinct_from(project_id),
    )
    row = c.execute(_locked(query)).one_or_none()
    if row is None:
        raise NotFound("identity", identifier_key)
    return _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, identity_ids: Sequence[str]) -> list[Identity]:
    """The identities of `identity_ids`, by age.

    Raises:
        NotFound: names the first that does not exist.
    """
    if not identity_ids:
        return []
    query = select(identities).where(identities.c.organization_id == organization_id, identities.c.id.in_(identity_ids))
    found = [_map.read(row) for row in c.execute(query.order_by(identities.c.seq)).all()]
    known = {identity.id for identity in found}
    for identity_id in identity_ids:
        if identity_id not in known:
            raise NotFound("identity", identity_id)
    return found


def list_page(c: Connection, organization_id: OrganizationId, where: IdentityFilter, page: Page) -> list[Identity]:
    """A page of the identities that meet `where`."""
    query = _filtered(select(identities), organization_id, where)
    return [_map.read(row) for row in fetch_rows(c, query, identities, page, organization_id, "identity")]


def count(c: Connection, organization_id: OrganizationId, where: IdentityFilter) -> int:
    """How many identities meet `where`."""
    query = _filtered(select(func.count()).select_from(identities), organization_id, where)
    return int(c.execute(query).scalar_one())


def details(c: Connection, found: Sequence[Identity]) -> list[IdentityDetails]:
    """Each identity with what it is attached to, in two queries."""
    ids = [identity.id for identity in found]
    if not ids:
        return []
    agent_ids, block_ids = AGENTS.ids(c, ids), BLOCKS.ids(c, ids)
    return [
        IdentityDetails(
            identity=identity, agent_ids=agent_ids.get(identity.id, ()), block_ids=block_ids.get(identity.id, ())
        )
        for identity in found
    ]


_of_agents = (
    select(agent_identities.c.agent_id, identities)
    .join(identities, identities.c.id == agent_identities.c.identity_id)
    .where(member_of(agent_identities.c.agent_id, "agents"))
    .order_by(identities.c.seq)
)


def of_agents(c: Connection, agent_ids: Sequence[str]) -> dict[str, tuple[Identity, ...]]:
    """The identities of each agent that has any, by age."""
    found: dict[str, list[Identity]] = {}
    for row in c.execute(_of_agents, {"agents": agent_ids}).all():
        found.setdefault(row.agent_id, []).append(_map.read(row[1:]))
    return {agent_id: tuple(items) for agent_id, items in found.items()}


def update_identity(c: Connection, before: Identity, after: Identity) -> None:
    """Store what differs.

    Raises:
        Conflict: another of the same project has its key now.
    """
    try:
        _map.update(c, before, after)
    except IntegrityError as error:
        raise _key_taken(c, after, error) from error


def delete_identity(c: Connection, identity_id: IdentityId) -> None:
    """Remove an identity for good; its agents and blocks stay."""
    _map.delete(c, identity_id)


def _locked(query: Select[Any]) -> Select[Any]:
    # Of the weaker kind: who attaches the identity to an agent holds the agent and refers to this row,
    # and a full lock would make the two wait for each other.
    return query.with_for_update(key_share=True)


def _key_taken(c: Connection, identity: Identity, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        place = "outside all projects" if identity.project_id is None else f"in project {identity.project_id!r}"
        return Conflict(
            f"an identity of identifier_key {identity.identifier_key!r} exists already {place}; "
            "update it, send it with PUT, or use another key"
        )
    return error


def _filtered(query: Select[Any], organization_id: OrganizationId, where: IdentityFilter) -> Select[Any]:
    return query.where(
        identities.c.organization_id == organization_id,
        *equals(
            (identities.c.identifier_key, where.identifier_key),
            (identities.c.identity_type, where.identity_type),
            (identities.c.project_id, where.project_id),
        ),
        *contains((identities.c.name, where.name)),
    )
