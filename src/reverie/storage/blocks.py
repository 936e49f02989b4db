"""Memory blocks: rows, what they are attached to, and the one place that changes a value."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from reverie.domain.agent import Agent
from reverie.domain.block import Block, BlockChanges, BlockDraft, BlockFilter, check_fits, check_label
from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import AgentId, BlockId, OrganizationId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.paging import Page
from reverie.domain.unset import UNSET
from reverie.storage import identities
from reverie.storage.beside import Listed
from reverie.storage.columns import member_of
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import TUPLE, RowMap, contains, equals
from reverie.storage.schema import agent_blocks, agents, block_changes, blocks

_map = RowMap(blocks, Block, {"tags": TUPLE})


def listed(agent: ColumnElement[str]) -> Listed:
    """The rows of an agent's blocks in the order of attachment, for `blocks_of`."""
    return Listed(
        select(blocks)
        .join(agent_blocks, blocks.c.id == agent_blocks.c.block_id)
        .where(agent_blocks.c.agent_id == agent, blocks.c.organization_id == bindparam("organization")),
        by=agent_blocks.c.position,
    )


_of_agent = listed(bindparam("agent"))
# Says by itself that the agent is the organisation's, so that nobody needs to read the agent first.
_labelled = (
    select(blocks)
    .join(agent_blocks, blocks.c.id == agent_blocks.c.block_id)
    .join(agents, agents.c.id == agent_blocks.c.agent_id)
    .where(
        agents.c.organization_id == bindparam("organization"),
        agents.c.id == bindparam("agent"),
        agent_blocks.c.label == bindparam("label"),
    )
)
_labelled_locked = _labelled.with_for_update(of=blocks)
# By id: agents that share several blocks must lock them in one order, whichever order each has them in.
_of_agent_locked = (
    select(agent_blocks.c.position, blocks)
    .join(agent_blocks, blocks.c.id == agent_blocks.c.block_id)
    .where(agent_blocks.c.agent_id == bindparam("agent"), blocks.c.organization_id == bindparam("organization"))
    .order_by(blocks.c.id)
    .with_for_update(of=blocks)
)


def make_block(draft: BlockDraft, organization_id: OrganizationId, author: str | None, now: datetime) -> Block:
    """The record of a block to be stored.

    Raises:
        InvalidInput: its value is longer than its limit, or its label is empty.
    """
    check_label(draft.label)
    check_fits(draft.label, draft.value, draft.limit)
    return Block(
        id=BlockId(make_id("block")),
        organization_id=organization_id,
        label=draft.label,
        value=draft.value,
        limit=draft.limit,
        description=draft.description,
        read_only=draft.read_only,
        hidden=draft.hidden,
        metadata=draft.metadata,
        tags=tuple(dict.fromkeys(draft.tags)),
        is_template=draft.is_template,
        template_name=draft.template_name,
        project_id=draft.project_id,
        template_id=draft.template_id,
        base_template_id=draft.base_template_id,
        deployment_id=draft.deployment_id,
        entity_id=draft.entity_id,
        preserve_on_migration=draft.preserve_on_migration,
        created_at=now,
        updated_at=now,
        created_by_id=author,
        last_updated_by_id=author,
    )


def create(
    c: Connection,
    organization_id: OrganizationId,
    draft: BlockDraft,
    *,
    actor: JsonObject,
    now: datetime,
) -> Block:
    """Make and store one block.

    Raises:
        InvalidInput: its value is longer than its limit, or its label is empty.
    """
    block = make_block(draft, organization_id, actor.get("user_id"), now)
    insert_blocks(c, [block])
    return block


def insert_blocks(c: Connection, fresh: Iterable[Block]) -> None:
    """Store new blocks."""
    _map.insert(c, *fresh)


def get(c: Connection, organization_id: OrganizationId, block_id: str, *, lock: bool = False) -> Block:
    """One block; `lock` holds other writers off until the transaction ends.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(blocks).where(blocks.c.organization_id == organization_id, blocks.c.id == block_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("block", block_id)
    return _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, block_ids: Sequence[str]) -> list[Block]:
    """The blocks of `block_ids`, in that order.

    Raises:
        NotFound: names the first that does not exist.
    """
    if not block_ids:
        return []
    query = select(blocks).where(blocks.c.organization_id == organization_id, blocks.c.id.in_(block_ids))
    found = {row.id: _map.read(row) for row in c.execute(query).all()}
    for block_id in block_ids:
        if block_id not in found:
            raise NotFound("block", block_id)
    return [found[block_id] for block_id in dict.fromkeys(block_ids)]


def isolated(
    c: Connection, organization_id: OrganizationId, block_ids: Sequence[str], *, lock: bool = False
) -> list[Block]:
    """Those blocks of `block_ids` that there still are, in that order; `lock` holds other writers off."""
    query = (
        select(blocks)
        .where(blocks.c.organization_id == organization_id, blocks.c.id.in_(block_ids))
        .order_by(blocks.c.id)
    )
    found = {row.id: _map.read(row) for row in c.execute(query.with_for_update() if lock else query).all()}
    return [found[block_id] for block_id in block_ids if block_id in found]


def copies(originals: Iterable[Block], author: str | None, now: datetime) -> list[Block]:
    """Blocks to be stored that begin as these are."""
    return [
        replace(
            block,
            id=BlockId(make_id("block")),
            version=1,
            created_at=now,
            updated_at=now,
            created_by_id=author,
            last_updated_by_id=author,
        )
        for block in originals
    ]


def delete_many(c: Connection, block_ids: Sequence[str]) -> None:
    """Remove blocks for good."""
    if block_ids:
        c.execute(delete(blocks).where(blocks.c.id.in_(block_ids)))


def list_page(c: Connection, organization_id: OrganizationId, where: BlockFilter, page: Page) -> list[Block]:
    """A page of the blocks that meet `where`."""
    query = _filtered(c, select(blocks), organization_id, where)
    return [_map.read(row) for row in fetch_rows(c, query, blocks, page, organization_id, "block")]


def count(c: Connection, organization_id: OrganizationId, where: BlockFilter) -> int:
    """How many blocks meet `where`."""
    query = _filtered(c, select(func.count()).select_from(blocks), organization_id, where)
    return int(c.execute(query).scalar_one())


_of_agents = (
    select(agent_blocks.c.agent_id, blocks)
    .join(blocks, blocks.c.id == agent_blocks.c.block_id)
    .where(member_of(agent_blocks.c.agent_id, "agents"))
    .order_by(agent_blocks.c.agent_id, agent_blocks.c.position)
)


def of_agents(c: Connection, agent_ids: Sequence[str]) -> dict[str, tuple[Block, ...]]:
    """The blocks of each agent, in the order of attachment."""
    found: dict[str, list[Block]] = {agent_id: [] for agent_id in agent_ids}
    shared: dict[str, Block] = {}
    for row in c.execute(_of_agents, {"agents": agent_ids}).all():
        block = shared.get(row.id) or shared.setdefault(row.id, _map.read(row[1:]))
        found[row.agent_id].append(block)
    return {agent_id: tuple(items) for agent_id, items in found.items()}


def of_agent(
    c: Connection, organization_id: OrganizationId, agent_id: AgentId, *, lock: bool = False
) -> tuple[Block, ...]:
    """The agent's blocks in the order of attachment; `lock` holds other writers off."""
    wanted = {"agent": agent_id, "organization": organization_id}
    if not lock:
        return blocks_of(c.execute(_of_agent.rows, wanted).all())
    rows = sorted(c.execute(_of_agent_locked, wanted).all(), key=lambda row: row.position)
    return tuple(_map.read(row[1:]) for row in rows)


def blocks_of(rows: Sequence[Sequence[Any]]) -> tuple[Block, ...]:
    """The blocks of whole rows of the table."""
    return tuple(_map.read(row) for row in rows)


def page_of_agent(c: Connection, agent: Agent, page: Page) -> list[Block]:
    """A page of the agent's blocks, by the age of the blocks."""
    query = (
        select(blocks)
        .join(agent_blocks, blocks.c.id == agent_blocks.c.block_id)
        .where(agent_blocks.c.agent_id == agent.id)
    )
    return [_map.read(row) for row in fetch_rows(c, query, blocks, page, agent.organization_id, "block")]


def find_labelled(
    c: Connection, organization_id: OrganizationId, agent_id: str, label: str, *, lock: bool = False
) -> Block | None:
    """The block of `label` of an agent of the organisation; `lock` holds other writers off."""
    wanted = {"organization": organization_id, "agent": agent_id, "label": label}
    row = c.execute(_labelled_locked if lock else _labelled, wanted).one_or_none()
    return None if row is None else _map.read(row)


def of_label(c: Connection, agent: Agent, label: str, *, lock: bool = False) -> Block:
    """The agent's block of `label`.

    Raises:
        NotFound: it has none of that label.
    """
    found = find_labelled(c, agent.organization_id, agent.id, label, lock=lock)
    if found is None:
        raise NotFound("block label", label, f"agent {agent.id!r} has no block of that label")
    return found


_links = select(agent_blocks.c.label, agent_blocks.c.block_id, agent_blocks.c.position).where(
    agent_blocks.c.agent_id == bindparam("agent")
)


def attach(c: Connection, agent_id: AgentId, *added: Block) -> None:
    """Put `added` after the agent's blocks; what is attached already stays where it is.

    Raises:
        Conflict: the agent has another block of the same label.
    """
    links = c.execute(_links, {"agent": agent_id}).all()
    taken = {label for label, _, _ in links}
    attached = {block_id for _, block_id, _ in links}
    _attach(c, agent_id, added, taken, attached, first=max((place + 1 for _, _, place in links), default=0))


def attach_first(c: Connection, agent_id: AgentId, added: Sequence[Block]) -> None:
    """Give an agent that has no blocks these; `Conflict` as above."""
    _attach(c, agent_id, added, set(), set(), first=0)


def _attach(
    c: Connection, agent_id: AgentId, added: Iterable[Block], taken: set[str], attached: set[str], *, first: int
) -> None:
    fresh = []
    for block in added:
        if block.id in attached:
            continue
        if block.label in taken:
            raise _label_taken(agent_id, block.label)
        taken.add(block.label)
        attached.add(block.id)
        fresh.append(block)
    if not fresh:
        return
    rows = [
        {"agent_id": agent_id, "block_id": block.id, "label": block.label, "position": first + place}
        for place, block in enumerate(fresh)
    ]
    try:
        c.execute(insert(agent_blocks), rows)
    except IntegrityError as error:
        if dialect_of(c).is_unique_violation(error):
            raise _label_taken(agent_id, fresh[0].label) from error
        raise


def detach(c: Connection, agent_id: AgentId, block_id: str) -> None:
    """Take a block away from the agent; the block itself stays.

    Raises:
        NotFound: it is not attached.
    """
    gone = c.execute(
        delete(agent_blocks).where(agent_blocks.c.agent_id == agent_id, agent_blocks.c.block_id == block_id)
    )
    if not gone.rowcount:
        raise NotFound("block", block_id, f"it is not attached to agent {agent_id!r}")


def take_away(c: Connection, agent_id: AgentId, block_ids: Sequence[str]) -> None:
    """Take blocks away from the agent, those that it has; the blocks stay."""
    if block_ids:
        c.execute(
            delete(agent_blocks).where(agent_blocks.c.agent_id == agent_id, agent_blocks.c.block_id.in_(block_ids))
        )


def replace_attached(c: Connection, agent_id: AgentId, wanted: Sequence[Block]) -> None:
    """Make `wanted` the agent's blocks, in that order."""
    c.execute(delete(agent_blocks).where(agent_blocks.c.agent_id == agent_id))
    attach_first(c, agent_id, wanted)


def agent_ids_query(block_id: str) -> Select[tuple[str]]:
    """The ids of the agents that a block is attached to."""
    return select(agent_blocks.c.agent_id).where(agent_blocks.c.block_id == block_id)


def change_value(
    c: Connection, block: Block, value: str, actor: JsonObject, now: datetime, author: str | None = None
) -> Block:
    """Store another value of `block` and keep the one before it; the only place where a value changes.

    `actor` says who: `{"kind": "agent", "agent_id", "run_id", "tool"}` or `{"kind": "api", "user_id", "key_id"}`.

    Raises:
        InvalidInput: longer than the block's limit.
        Conflict: the block changed since it was read.
    """
    if value == block.value:
        return block
    fresh = replace(block.with_value(value), version=block.version + 1, updated_at=now, last_updated_by_id=author)
    changed = c.execute(
        update(blocks)
        .where(blocks.c.id == block.id, blocks.c.version == block.version)
        .values(value=value, version=fresh.version, updated_at=now, last_updated_by_id=author)
    )
    if not changed.rowcount:
        raise Conflict(f"block {block.id!r} was changed by somebody else meanwhile; read it again, then change it")
    c.execute(
        insert(block_changes).values(
            organization_id=block.organization_id,
            block_id=block.id,
            version=fresh.version,
            before=block.value,
            after=value,
            actor=actor,
            created_at=now,
        )
    )
    return fresh


def change_rest(c: Connection, before: Block, after: Block) -> None:
    """Store what differs besides the value, which `change_value` has stored already.

    Raises:
        InvalidInput: the value is longer than the limit now, or the label is empty.
        Conflict: an agent has another block of the label now.
    """
    check_label(after.label)
    check_fits(after.label, after.value, after.limit)
    stored = replace(before, value=after.value, version=after.version)
    if before.version != after.version:  # who and when were stored with the value
        stored = replace(stored, updated_at=after.updated_at, last_updated_by_id=after.last_updated_by_id)
    _map.update(c, stored, after)
    if before.label == after.label:
        return
    try:
        c.execute(update(agent_blocks).where(agent_blocks.c.block_id == after.id).values(label=after.label))
    except IntegrityError as error:
        if dialect_of(c).is_unique_violation(error):
            raise Conflict(f"an agent of block {after.id!r} has another block labelled {after.label!r}") from error
        raise


def apply_changes(c: Connection, before: Block, changes: BlockChanges, actor: JsonObject, now: datetime) -> Block:
    """Store what `changes` names of a block that was read with `lock`; errors as of `change_rest`."""
    author = actor.get("user_id")
    given = {item.name: value for item in fields(changes) if (value := getattr(changes, item.name)) is not UNSET}
    value = given.pop("value", before.value)
    if "tags" in given:
        given["tags"] = tuple(dict.fromkeys(given["tags"]))
    limit = given.get("limit", before.limit)
    check_fits(before.label, value, limit)
    # The value first and under the limit to come: both may grow in one request.
    stored = change_value(c, replace(before, limit=limit), value, actor, now, author)
    after = replace(stored, **given, updated_at=now, last_updated_by_id=author)
    change_rest(c, before, after)
    return after


def relabel(c: Connection, block: Block, *, label: str | None, description: str | None, now: datetime) -> Block:
    """Change label or description, None leaving either as it is; `Conflict` as above."""
    fresh = replace(
        block,
        label=block.label if label is None else label,
        description=block.description if description is None else description,
        updated_at=now,
    )
    change_rest(c, block, fresh)
    return fresh


def delete_block(c: Connection, block_id: BlockId) -> None:
    """Remove a block from every agent and for good."""
    _map.delete(c, block_id)


def delete_own(c: Connection, agent_id: AgentId, label: str) -> None:
    """Remove the agent's block of `label` for good, unless another agent has it as well."""
    mine = select(agent_blocks.c.block_id).where(agent_blocks.c.agent_id == agent_id, agent_blocks.c.label == label)
    others = select(agent_blocks.c.block_id).where(agent_blocks.c.agent_id != agent_id)
    c.execute(delete(blocks).where(blocks.c.id.in_(mine), blocks.c.id.not_in(others)))


def _label_taken(agent_id: str, label: str) -> Conflict:
    return Conflict(f"agent {agent_id!r} already has a block labelled {label!r}; detach that one or use another label")


def _filtered(c: Connection, query: Select[Any], organization_id: OrganizationId, where: BlockFilter) -> Select[Any]:
    conditions = [
        blocks.c.organization_id == organization_id,
        *equals(
            (blocks.c.label, where.label), (blocks.c.template_name, where.name), (blocks.c.project_id, where.project_id)
        ),
        *contains(
            (blocks.c.label, where.label_search),
            (blocks.c.description, where.description_search),
            (blocks.c.value, where.value_search),
        ),
        *_attached_to(where),
    ]
    if where.templates_only:
        conditions.append(blocks.c.is_template)
    if not where.include_hidden:
        conditions.append(blocks.c.hidden.is_not(True))
    if where.tags:
        holds = [dialect_of(c).json_list_holds(blocks.c.tags, tag) for tag in where.tags]
        conditions.append(and_(*holds) if where.match_all_tags else or_(*holds))
    if where.identity_id is not None:
        conditions.append(blocks.c.id.in_(identities.BLOCKS.owned_by(where.identity_id)))
    if where.identifier_keys:
        conditions.append(blocks.c.id.in_(identities.BLOCKS.owned_by_keys(organization_id, where.identifier_keys)))
    return query.where(*conditions)


def _attached_to(where: BlockFilter) -> list[ColumnElement[bool]]:
    having = select(func.count()).where(agent_blocks.c.block_id == blocks.c.id).scalar_subquery()
    conditions: list[ColumnElement[bool]] = []
    if where.min_agents is not None:
        conditions.append(having >= where.min_agents)
    if where.max_agents is not None:
        conditions.append(having <= where.max_agents)
    if where.agent_counts:
        conditions.append(having.in_(where.agent_counts))
    return conditions
