"""Agents: rows, tags, and what belongs to them read in a fixed number of queries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
)

from reverie.domain.agent import Agent, AgentDetails, AgentFilter, AgentType
from reverie.domain.errors import NotFound
from reverie.domain.folder import AttachedFolder
from reverie.domain.ids import AgentId, FolderId, OrganizationId, is_id
from reverie.domain.inputs import SayInput
from reverie.domain.paging import Page
from reverie.domain.stop_reason import StopReason
from reverie.domain.template import TemplateRef
from reverie.storage import approvals, blocks, file_views, folders, groups, identities, messages, templates, tools
from reverie.storage.codec import load_compaction, load_said, load_tool_rules
from reverie.storage.columns import member_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import TUPLE, RowMap, contains, equals, loaded_by
from reverie.storage.schema import (
    agent_archives,
    agent_folders,
    agent_identities,
    agent_openings,
    agent_tags,
    agents,
    open_approvals,
)
from reverie.storage.schema import groups as groups_table

_map = RowMap(
    agents,
    Agent,
    {
        "agent_type": loaded_by(AgentType),
        "compaction_settings": loaded_by(load_compaction),
        "tool_rules": loaded_by(lambda rules: load_tool_rules(rules) if rules else ()),
        "tags": TUPLE,
        "last_stop_reason": loaded_by(StopReason),
    },
    absent=frozenset({"message_ids"}),
)


class Related(StrEnum):
    """What can be read along with agents."""

    BLOCKS = "blocks"
    TOOLS = "tools"
    MESSAGE_IDS = "message_ids"
    PENDING_APPROVAL = "pending_approval"
    IDENTITIES = "identities"
    SOURCES = "sources"
    MANAGED_GROUP = "managed_group"


EVERYTHING: Final = frozenset(Related)
_RARE: Final[Mapping[Related, Column[Any]]] = {
    Related.IDENTITIES: agent_identities.c.agent_id,
    Related.SOURCES: agent_folders.c.agent_id,
    Related.MANAGED_GROUP: groups_table.c.manager_agent_id,
    Related.PENDING_APPROVAL: open_approvals.c.conversation_id,
}
"""What most agents have not, with the columns that hold the ids of those that have."""
_rare = select(*(exists().where(member_of(column, "agents")) for column in _RARE.values()))


def insert_agent(c: Connection, agent: Agent) -> None:
    """Store a new agent with its tags."""
    _map.insert(c, agent)
    _insert_tags(c, agent)


def get(c: Connection, organization_id: OrganizationId, agent_id: str, *, lock: bool = False) -> Agent:
    """One agent, without `message_ids`; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    return _map.read(_row_of(c, organization_id, agent_id, lock=lock))


def get_many(
    c: Connection, organization_id: OrganizationId, agent_ids: Sequence[str], *, lock: bool = False
) -> list[Agent]:
    """The agents of `agent_ids`, in that order, without `message_ids`; `lock` holds other writers off.

    Raises:
        NotFound: names the first that does not exist.
    """
    query = select(agents).where(agents.c.organization_id == organization_id, agents.c.id.in_(agent_ids))
    if lock:  # in one order for all, so that no two wait for each other
        query = query.order_by(agents.c.seq).with_for_update(key_share=True)
    found = {agent.id: agent for row in c.execute(query).all() for agent in (_map.read(row),)}
    for agent_id in agent_ids:
        if agent_id not in found:
            raise NotFound("agent", agent_id)
    return [found[AgentId(agent_id)] for agent_id in dict.fromkeys(agent_ids)]


def _row_of(c: Connection, organization_id: OrganizationId, agent_id: str, *, lock: bool = False) -> Row[Any]:
    wanted = {"organization": organization_id, "agent": agent_id}
    row = c.execute(_one_locked if lock else _one, wanted).one_or_none()
    if row is None:
        raise NotFound("agent", agent_id)
    return row


_one = select(agents).where(agents.c.organization_id == bindparam("organization"), agents.c.id == bindparam("agent"))
_one_locked = _one.with_for_update()


def of_deployment(c: Connection, organization_id: OrganizationId, deployment_id: str) -> list[Agent]:
    """The agents of a deployment by age; other writers are held off until the transaction ends."""
    query = (
        select(agents)
        .where(agents.c.organization_id == organization_id, agents.c.deployment_id == deployment_id)
        .order_by(agents.c.seq)
    )
    return [_map.read(row) for row in c.execute(query.with_for_update()).all()]


def list_page(
    c: Connection,
    organization_id: OrganizationId,
    where: AgentFilter,
    page: Page,
    related: frozenset[Related] = EVERYTHING,
) -> list[AgentDetails]:
    """A page of the agents that meet `where`.

    Reads what `related` names in a number of queries that does not grow with the page; the rest
    is left empty.
    """
    query = _filtered(select(agents), organization_id, where)
    return _complete(c, fetch_rows(c, query, agents, page, organization_id, "agent"), related)


def get_whole(
    c: Connection, organization_id: OrganizationId, agent_id: str, related: frozenset[Related] = EVERYTHING
) -> AgentDetails:
    """One agent with what `related` names of it, and of its folders the files; `NotFound` as above."""
    found = _complete(c, [_row_of(c, organization_id, agent_id)], related)[0]
    return replace(found, folders=file_views.of_agent(c, found.agent.id)) if found.folders else found


def count(c: Connection, organization_id: OrganizationId, where: AgentFilter) -> int:
    """How many agents meet `where`."""
    query = _filtered(select(func.count()).select_from(agents), organization_id, where)
    return int(c.execute(query).scalar_one())


def owners_of_folder(c: Connection, folder_id: FolderId) -> list[Agent]:
    """The agents that have a folder, by age, held until the transaction ends."""
    query = (
        select(agents)
        .join(agent_folders, agent_folders.c.agent_id == agents.c.id)
        .where(agent_folders.c.folder_id == folder_id)
        .order_by(agents.c.seq)
        .with_for_update(of=agents)
    )
    return [_map.read(row) for row in c.execute(query).all()]


def update_agent(c: Connection, before: Agent, after: Agent) -> None:
    """Store what differs, tags included."""
    _map.update(c, before, after)
    if before.tags != after.tags:
        c.execute(delete(agent_tags).where(agent_tags.c.agent_id == after.id))
        _insert_tags(c, after)


def keep_opening(c: Connection, agent_id: AgentId, inputs: Sequence[SayInput]) -> None:
    """Remember what was said to the agent when it was made."""
    if inputs:
        c.execute(insert(agent_openings).values(agent_id=agent_id, inputs=list(inputs)))


def opening_of(c: Connection, agent_id: AgentId) -> tuple[SayInput, ...]:
    """What was said to the agent when it was made."""
    kept = c.execute(select(agent_openings.c.inputs).where(agent_openings.c.agent_id == agent_id)).scalar()
    return () if kept is None else load_said(kept)


def delete_agent(c: Connection, agent_id: AgentId) -> None:
    """Remove an agent with its conversations, messages, runs and tags; blocks and tools stay."""
    _map.delete(c, agent_id)


def agent_of(row: Sequence[Any]) -> Agent:
    """The agent of a whole row of the table, or of one that begins so; without `message_ids`."""
    return _map.read(row)


def _complete(c: Connection, rows: Sequence[Row[Any]], related: frozenset[Related]) -> list[AgentDetails]:
    ids: list[AgentId] = [row.id for row in rows]
    if not ids:
        return []
    related = _without_absent(c, ids, related)
    of_blocks = blocks.of_agents(c, ids) if Related.BLOCKS in related else {}
    of_tools = tools.of_agents(c, ids) if Related.TOOLS in related else {}
    of_identities = identities.of_agents(c, ids) if Related.IDENTITIES in related else {}
    of_folders = folders.of_agents(c, ids) if Related.SOURCES in related else {}
    of_groups = groups.managed_by(c, ids) if Related.MANAGED_GROUP in related else {}
    context = messages.context_ids(c, ids) if Related.MESSAGE_IDS in related else None
    pending = approvals.of_threads(c, ids) if Related.PENDING_APPROVAL in related else {}
    return [
        AgentDetails(
            agent=_map.read(row, message_ids=None if context is None else context.get(agent_id, ())),
            blocks=of_blocks.get(agent_id, ()),
            tools=of_tools.get(agent_id, ()),
            identities=of_identities.get(agent_id, ()),
            folders=tuple(AttachedFolder(folder=folder) for folder in of_folders.get(agent_id, ())),
            managed_group=of_groups.get(agent_id),
            pending_approval=pending.get(agent_id),
        )
        for agent_id, row in zip(ids, rows, strict=True)
    ]


def _without_absent(c: Connection, ids: Sequence[AgentId], related: frozenset[Related]) -> frozenset[Related]:
    """`related` without what none of the agents has, found out by one statement for all of it."""
    if related.isdisjoint(_RARE):
        return related
    there = c.execute(_rare, {"agents": ids}).one()
    return related - {kind for kind, some in zip(_RARE, there, strict=True) if not some}


def list_tags(c: Connection, organization_id: OrganizationId, page: Page, search: str | None = None) -> list[str]:
    """A page of the tags that agents have, each once, by name; cursors are tags."""
    tag = agent_tags.c.tag
    query = select(tag).where(agent_tags.c.organization_id == organization_id).group_by(tag)
    if search:
        query = query.where(tag.icontains(search, autoescape=True))
    rising = page.order == "asc"
    if page.after is not None:
        query = query.where(tag > page.after if rising else tag < page.after)
    if page.before is not None:
        query = query.where(tag < page.before if rising else tag > page.before)
    backwards = page.before is not None and page.after is None
    query = query.order_by(tag.asc() if rising != backwards else tag.desc())
    found = list(c.execute(query.limit(page.limit) if page.limit is not None else query).scalars())
    return found[::-1] if backwards else found


def _insert_tags(c: Connection, agent: Agent) -> None:
    if agent.tags:
        c.execute(
            insert(agent_tags),
            [{"agent_id": agent.id, "tag": tag, "organization_id": agent.organization_id} for tag in agent.tags],
        )


def _filtered(query: Select[Any], organization_id: OrganizationId, where: AgentFilter) -> Select[Any]:
    conditions = _conditions(organization_id, where)
    for more in where.also:
        conditions += _conditions(organization_id, more)
    return query.where(agents.c.organization_id == organization_id, *conditions)


def _conditions(organization_id: OrganizationId, where: AgentFilter) -> list[ColumnElement[bool]]:
    conditions = [
        *equals(
            (agents.c.id, where.agent_id),
            (agents.c.name, where.name),
            (agents.c.project_id, where.project_id),
            (agents.c.template_id, where.template_id),
            (agents.c.base_template_id, where.base_template_id),
            (agents.c.created_by_id, where.created_by_id),
            (agents.c.last_stop_reason, where.last_stop_reason),
        ),
        *contains((agents.c.name, where.query_text)),
    ]
    if not where.include_hidden:
        conditions.append(agents.c.hidden.is_not(True))
    if where.tags:
        conditions.append(agents.c.id.in_(_tagged(organization_id, where)))
    if where.block_id is not None:
        conditions.append(agents.c.id.in_(blocks.agent_ids_query(where.block_id)))
    if where.archive_id is not None:
        having = select(agent_archives.c.agent_id).where(agent_archives.c.archive_id == where.archive_id)
        conditions.append(agents.c.id.in_(having))
    if where.identity_id is not None:
        conditions.append(agents.c.id.in_(identities.AGENTS.owned_by(where.identity_id)))
    if where.identifier_keys:
        conditions.append(agents.c.id.in_(identities.AGENTS.owned_by_keys(organization_id, where.identifier_keys)))
    if where.template_name is not None:
        conditions.append(agents.c.base_template_id.in_(templates.template_ids(organization_id, where.template_name)))
    if where.template_version is not None:
        conditions.append(_of_version(organization_id, where.template_version))
    return conditions


def _of_version(organization_id: OrganizationId, wanted: str) -> ColumnElement[bool]:
    if is_id(wanted, "template_version"):
        return agents.c.template_id == wanted
    named = TemplateRef.parse(wanted)
    name, version = (named.name, named.version) if ":" in wanted else (None, wanted)
    return agents.c.template_id.in_(templates.version_ids(organization_id, name, version))


def _tagged(organization_id: OrganizationId, where: AgentFilter) -> Select[tuple[str]]:
    wanted = tuple(dict.fromkeys(where.tags))
    query = select(agent_tags.c.agent_id).where(
        agent_tags.c.organization_id == organization_id, agent_tags.c.tag.in_(wanted)
    )
    if where.match_all_tags:
        query = query.group_by(agent_tags.c.agent_id).having(func.count() == len(wanted))
    return query
