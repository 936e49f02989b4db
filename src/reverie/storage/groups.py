"""Groups: rows, their members and shared blocks, and what is said in them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Table, and_, case, delete, exists, func, insert, or_, select

from reverie.domain.block import Block
from reverie.domain.errors import NotFound
from reverie.domain.group import Group, GroupFilter, ManagerType
from reverie.domain.ids import AgentId, BlockId, GroupId, OrganizationId
from reverie.domain.message import Message, MessageKind
from reverie.domain.paging import Page
from reverie.storage import blocks, messages
from reverie.storage.columns import member_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, equals, loaded_by
from reverie.storage.schema import agent_blocks, group_agents, group_blocks, group_turns, groups, runs
from reverie.storage.schema import messages as message_rows

_DERIVED: Final = frozenset({"agent_ids", "shared_block_ids", "turns_counter", "last_processed_message_id"})
_map = RowMap(groups, Group, {"manager_type": loaded_by(ManagerType)}, absent=_DERIVED)
_SLEEPTIME: Final = (ManagerType.SLEEPTIME, ManagerType.VOICE_SLEEPTIME)
_WORDS: Final = (MessageKind.USER, MessageKind.ASSISTANT, MessageKind.TOOL_CALL)
"""What may be something said; older agents say it through a call."""


def insert_group(c: Connection, group: Group) -> None:
    """Store a new group with its members; all it names must have been read."""
    _map.insert(c, group)
    _insert_links(c, group_agents, "agent_id", group.id, group.agent_ids)
    _insert_links(c, group_blocks, "block_id", group.id, group.shared_block_ids)


def get(c: Connection, organization_id: OrganizationId, group_id: str, *, lock: bool = False) -> Group:
    """One group; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(groups).where(groups.c.organization_id == organization_id, groups.c.id == group_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("group", group_id)
    return _complete(c, [row])[0]


def list_page(c: Connection, organization_id: OrganizationId, where: GroupFilter, page: Page) -> list[Group]:
    """A page of the groups that meet `where`."""
    query = _filtered(select(groups), organization_id, where)
    return _complete(c, fetch_rows(c, query, groups, page, organization_id, "group"))


def count(c: Connection, organization_id: OrganizationId, where: GroupFilter) -> int:
    """How many groups meet `where`."""
    return int(c.execute(_filtered(select(func.count()).select_from(groups), organization_id, where)).scalar_one())


def update_group(c: Connection, before: Group, after: Group) -> None:
    """Store what differs, members and shared blocks included."""
    _map.update(c, before, after)
    for table, column, old, fresh in (
        (group_agents, "agent_id", before.agent_ids, after.agent_ids),
        (group_blocks, "block_id", before.shared_block_ids, after.shared_block_ids),
    ):
        if old != fresh:
            c.execute(delete(table).where(table.c.group_id == after.id))
            _insert_links(c, table, column, after.id, fresh)


def delete_group(c: Connection, group_id: GroupId) -> None:
    """Remove a group; its agents, their blocks and what was said stay."""
    _map.delete(c, group_id)


_managed_by = (
    select(groups)
    .where(member_of(groups.c.manager_agent_id, "agents"))
    .order_by(case((groups.c.manager_type.in_(_SLEEPTIME), 1), else_=0), groups.c.seq)
)


def managed_by(c: Connection, agent_ids: Sequence[str]) -> dict[str, Group]:
    """The group that each agent manages; of several, the one that looks after its memory, else the latest."""
    rows = c.execute(_managed_by, {"agents": agent_ids}).all()
    return {str(group.manager_agent_id): group for group in _complete(c, rows)}


def sleeptime_of(c: Connection, agent_id: AgentId) -> Group | None:
    """The group that looks after the agent's memory."""
    query = select(groups).where(groups.c.manager_agent_id == agent_id, groups.c.manager_type.in_(_SLEEPTIME))
    found = _complete(c, c.execute(query.order_by(groups.c.seq.desc()).limit(1)).all())
    return found[0] if found else None


def supervises(c: Connection, agent_id: AgentId) -> bool:
    """Whether the agent is the supervisor of a group."""
    query = select(groups.c.seq).where(
        groups.c.manager_agent_id == agent_id, groups.c.manager_type == ManagerType.SUPERVISOR
    )
    return c.execute(query.limit(1)).first() is not None


def served_by(c: Connection, agent_id: AgentId) -> list[Group]:
    """The groups in which the agent looks after another's memory."""
    query = (
        select(groups)
        .join(group_agents, group_agents.c.group_id == groups.c.id)
        .where(group_agents.c.agent_id == agent_id, groups.c.manager_type.in_(_SLEEPTIME))
    )
    return _complete(c, c.execute(query).all())


def share_block(c: Connection, manager_agent_id: AgentId, *shared: Block) -> None:
    """Give blocks of an agent to those who look after its memory, wherever they have none of the label."""
    for agent_id in _sleeptime_members(c, manager_agent_id):
        has = set(c.execute(_labels(agent_id)).scalars())
        blocks.attach(c, agent_id, *(block for block in shared if block.label not in has))


def share_with_main(c: Connection, agent_id: AgentId, block: Block) -> None:
    """Give a block that a sleeptime agent made to the agents it looks after, wherever they have none of the label."""
    for group in served_by(c, agent_id):
        main = group.manager_agent_id
        if main is None:
            continue
        if not c.execute(_labels(main).where(agent_blocks.c.label == block.label)).first():
            blocks.attach(c, main, block)


def _labels(agent_id: AgentId) -> Select[str]:
    return select(agent_blocks.c.label).where(agent_blocks.c.agent_id == agent_id)


def unshare_block(c: Connection, manager_agent_id: AgentId, *block_ids: BlockId) -> None:
    """Take blocks that the agent lost away from those who look after its memory."""
    members = _sleeptime_members(c, manager_agent_id)
    if members and block_ids:
        c.execute(
            delete(agent_blocks).where(agent_blocks.c.agent_id.in_(members), agent_blocks.c.block_id.in_(block_ids))
        )


def unheard(c: Connection, group: Group, agent_id: AgentId, limit: int) -> list[Message]:
    """The latest messages of the group that the agent was not told yet, in their order.

    What others hear is stored with the `otid` of what was said, so nothing has to be remembered.
    """
    own = message_rows.alias("own")
    told = exists().where(own.c.group_id == group.id, own.c.otid == message_rows.c.otid, own.c.agent_id == agent_id)
    query = select(message_rows.c.id).where(
        message_rows.c.group_id == group.id,
        message_rows.c.organization_id == group.organization_id,
        message_rows.c.kind.in_(_WORDS),
        or_(message_rows.c.kind == MessageKind.USER, message_rows.c.agent_id.in_(group.speakers)),
        ~told,
        ~messages.copied(group.id),
    )
    ids = c.execute(query.order_by(message_rows.c.seq.desc()).limit(limit)).scalars().all()
    return messages.get_many(c, group.organization_id, ids[::-1])


def forget_messages(c: Connection, group: Group) -> None:
    """Remove all that was said in the group from the histories of its agents."""
    c.execute(
        delete(message_rows).where(
            message_rows.c.organization_id == group.organization_id, message_rows.c.group_id == group.id
        )
    )


def _sleeptime_members(c: Connection, manager_agent_id: AgentId) -> list[AgentId]:
    query = (
        select(group_agents.c.agent_id)
        .join(groups, groups.c.id == group_agents.c.group_id)
        .where(groups.c.manager_agent_id == manager_agent_id, groups.c.manager_type.in_(_SLEEPTIME))
        .order_by(group_agents.c.agent_id)
    )
    return [AgentId(item) for item in c.execute(query).scalars()]


def _insert_links(c: Connection, table: Table, column: str, group_id: GroupId, ids: Sequence[str]) -> None:
    rows = [{"group_id": group_id, column: item, "position": place} for place, item in enumerate(dict.fromkeys(ids))]
    if rows:
        c.execute(insert(table), rows)


def _complete(c: Connection, rows: Sequence[Row[Any]]) -> list[Group]:
    ids: list[str] = [row.id for row in rows]
    if not ids:
        return []
    members = _links(c, group_agents, "agent_id", ids)
    shared = _links(c, group_blocks, "block_id", ids)
    turns, processed = _progress(c, [row.id for row in rows if row.manager_type in _SLEEPTIME])
    return [
        _map.read(
            row,
            agent_ids=tuple(members.get(row.id, ())),
            shared_block_ids=tuple(shared.get(row.id, ())),
            turns_counter=turns.get(row.id),
            last_processed_message_id=processed.get(row.id),
        )
        for row in rows
    ]


def _links(c: Connection, table: Table, column: str, ids: Sequence[str]) -> dict[str, list[Any]]:
    query = select(table.c.group_id, table.c[column]).where(table.c.group_id.in_(ids)).order_by(table.c.position)
    found: dict[str, list[Any]] = {}
    for group_id, item in c.execute(query).all():
        found.setdefault(group_id, []).append(item)
    return found


def _progress(c: Connection, ids: Sequence[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Turns and the last message read, of each sleeptime group."""
    if not ids:
        return {}, {}
    each = (
        select(group_turns.c.group_id, func.sum(group_turns.c.turns).label("turns"))
        .where(group_turns.c.group_id.in_(ids))
        .group_by(group_turns.c.group_id, group_turns.c.agent_id)
        .subquery()
    )
    turns = dict.fromkeys(ids, 0)
    turns |= dict(c.execute(select(each.c.group_id, func.max(each.c.turns)).group_by(each.c.group_id)).all())
    read = (
        select(group_turns.c.group_id, message_rows.c.id)
        .outerjoin(runs, runs.c.id == group_turns.c.run_id)
        .join(message_rows, message_rows.c.id == processed_message)
        .where(group_turns.c.group_id.in_(ids))
        .order_by(message_rows.c.seq)
    )
    return {key: int(value) for key, value in turns.items()}, dict(c.execute(read).all())


processed_message: Final = case(
    (runs.c.status == "completed", group_turns.c.claimed_message_id), else_=group_turns.c.processed_message_id
)
"""Up to where a member has read: as far as its last review that ended well."""


def _filtered(query: Select[Any], organization_id: OrganizationId, where: GroupFilter) -> Select[Any]:
    conditions = [
        groups.c.organization_id == organization_id,
        *equals((groups.c.manager_type, where.manager_type), (groups.c.project_id, where.project_id)),
    ]
    if not where.include_hidden:
        conditions.append(groups.c.hidden.is_not(True))
    if where.agent_id is not None:
        member = select(group_agents.c.group_id).where(group_agents.c.agent_id == where.agent_id)
        conditions.append(or_(groups.c.manager_agent_id == where.agent_id, groups.c.id.in_(member)))
    return query.where(and_(*conditions))
