"""Tools: rows, and which agents have them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from reverie.domain.agent import Agent
from reverie.domain.errors import Conflict, NotFound
from reverie.domain.ids import AgentId, OrganizationId, ToolId
from reverie.domain.paging import Page
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.domain.tool import NOT_BUILTIN, Tool, ToolFilter, ToolType
from reverie.storage.beside import Listed
from reverie.storage.codec import load_requirements
from reverie.storage.columns import member_of
from reverie.storage.dialect import dialect_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import TUPLE, RowMap, contains, equals, loaded_by
from reverie.storage.schema import agent_tools, tool_vectors, tools
from reverie.storage.search import add_tool_vectors, search_tools, vector_length

_map = RowMap(
    tools,
    Tool,
    {
        "tags": TUPLE,
        "tool_type": loaded_by(ToolType),
        "pip_requirements": loaded_by(load_requirements),
        "npm_requirements": loaded_by(load_requirements),
    },
)


def listed(agent: ColumnElement[str]) -> Listed:
    """The rows of an agent's tools in the order of attachment, for `tools_of`."""
    return Listed(
        select(tools).join(agent_tools, tools.c.id == agent_tools.c.tool_id).where(agent_tools.c.agent_id == agent),
        by=agent_tools.c.position,
    )


_of_agent = listed(bindparam("agent"))


def insert_tool(c: Connection, tool: Tool) -> None:
    """Store a new tool.

    Raises:
        Conflict: the organisation has a tool of that name.
    """
    try:
        _map.insert(c, tool)
    except IntegrityError as error:
        raise _name_taken(c, tool, error) from error


def put_builtin(c: Connection, builtin: Iterable[Tool], now: datetime) -> None:
    """Make the rows of the built-in tools, or bring them up to date.

    Names that a custom tool has taken are left to it. Safe when many do it at once.
    """
    # One order for everybody: two writers that lock rows in different orders would deadlock.
    rows = [_map.values(tool) for tool in sorted(builtin, key=lambda tool: tool.name)]
    if not rows:
        return
    statement = dialect_of(c).insert(tools).values(rows)
    # First alone: what another process inserts just now clashes by its id, too, and only this way bears that.
    c.execute(statement.on_conflict_do_nothing())
    fresh = statement.excluded
    facts = ("tool_type", "description", "json_schema", "tags")
    c.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "name"],
            set_={**{name: fresh[name] for name in facts}, "updated_at": now},
            where=tools.c.tool_type.not_in(NOT_BUILTIN) & or_(*(tools.c[name] != fresh[name] for name in facts)),
        )
    )


def get(c: Connection, organization_id: OrganizationId, tool_id: str, *, lock: bool = False) -> Tool:
    """One tool.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(tools).where(tools.c.organization_id == organization_id, tools.c.id == tool_id)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("tool", tool_id)
    return _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, tool_ids: Sequence[str]) -> list[Tool]:
    """The tools of `tool_ids`, in that order.

    Raises:
        NotFound: names the first that does not exist.
    """
    return _all_of(c, organization_id, "id", tool_ids)


def get_named(c: Connection, organization_id: OrganizationId, names: Sequence[str]) -> list[Tool]:
    """The tools called `names`, in that order; `NotFound` as above."""
    return _all_of(c, organization_id, "name", names)


def ids_named(c: Connection, organization_id: OrganizationId, names: Sequence[str]) -> list[ToolId]:
    """Ids of the tools called `names`, by age; names without a tool are passed over."""
    query = select(tools.c.id).where(tools.c.organization_id == organization_id, tools.c.name.in_(names))
    return list(c.execute(query.order_by(tools.c.seq)).scalars())


def find_named(c: Connection, organization_id: OrganizationId, name: str, *, lock: bool = False) -> Tool | None:
    """The tool called `name`."""
    query = select(tools).where(tools.c.organization_id == organization_id, tools.c.name == name)
    row = c.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _map.read(row)


def _all_of(c: Connection, organization_id: OrganizationId, key: str, wanted: Sequence[str]) -> list[Tool]:
    if not wanted:
        return []
    query = select(tools).where(tools.c.organization_id == organization_id, tools.c[key].in_(wanted))
    found = {getattr(row, key): _map.read(row) for row in c.execute(query).all()}
    for item in wanted:
        if item not in found:
            raise NotFound("tool", item, "create it first, or check the spelling")
    return [found[item] for item in dict.fromkeys(wanted)]


def list_page(c: Connection, organization_id: OrganizationId, where: ToolFilter, page: Page) -> list[Tool]:
    """A page of the tools that meet `where`."""
    query = _filtered(c, select(tools), organization_id, where)
    return [_map.read(row) for row in fetch_rows(c, query, tools, page, organization_id, "tool")]


def search(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: ToolFilter
) -> list[tuple[Tool, SearchHit]]:
    """Search the tools that meet `where`, best first, with what made each rank where it does."""
    hits = search_tools(c, organization_id, query, _conditions(c, organization_id, where)[1:])
    found = {tool.id: tool for tool in get_many(c, organization_id, [hit.id for hit in hits])}
    return [(found[ToolId(hit.id)], hit) for hit in hits]


def without_vector(
    c: Connection, organization_id: OrganizationId, dimensions: int, limit: int
) -> list[tuple[int, str]]:
    """Place and text of tools that have no vector of this length."""
    fits = (tool_vectors.c.seq == tools.c.seq) & (vector_length(c, tool_vectors.c.embedding) == dimensions)
    query = (
        select(tools.c.seq, tools.c.name + " " + tools.c.description)
        .join(tool_vectors, fits, isouter=True)
        .where(tools.c.organization_id == organization_id, tool_vectors.c.seq.is_(None))
        .order_by(tools.c.seq.desc())
        .limit(limit)
    )
    return [(seq, text) for seq, text in c.execute(query).all()]


def add_vectors(c: Connection, organization_id: OrganizationId, placed: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Store vectors of tools, which are named by their places."""
    there = set(c.execute(select(tools.c.seq).where(tools.c.seq.in_([seq for seq, _ in placed]))).scalars())
    add_tool_vectors(c, [(seq, organization_id, vector) for seq, vector in placed if seq in there])


def count(c: Connection, organization_id: OrganizationId, where: ToolFilter) -> int:
    """How many tools meet `where`."""
    query = _filtered(c, select(func.count()).select_from(tools), organization_id, where)
    return int(c.execute(query).scalar_one())


def update_tool(c: Connection, before: Tool, after: Tool) -> None:
    """Store what differs.

    Raises:
        Conflict: the organisation has another tool of the new name.
    """
    try:
        _map.update(c, before, after)
    except IntegrityError as error:
        raise _name_taken(c, after, error) from error


def delete_tool(c: Connection, tool_id: ToolId) -> None:
    """Remove a tool from every agent and for good."""
    _map.delete(c, tool_id)


_links = (
    select(agent_tools.c.agent_id, agent_tools.c.tool_id)
    .where(member_of(agent_tools.c.agent_id, "agents"))
    .order_by(agent_tools.c.agent_id, agent_tools.c.position)
)
_by_ids = select(tools).where(member_of(tools.c.id, "ids"))


def of_agents(c: Connection, agent_ids: Sequence[str]) -> dict[str, tuple[Tool, ...]]:
    """The tools of each agent, in the order of attachment. Agents that share a tool share its record."""
    links = c.execute(_links, {"agents": agent_ids}).all()
    # Agents mostly have the same tools: reading each schema once per agent was half of a list's cost.
    rows = c.execute(_by_ids, {"ids": list({tool_id for _, tool_id in links})}).all()
    records = {row.id: _map.read(row) for row in rows}
    found: dict[str, list[Tool]] = {agent_id: [] for agent_id in agent_ids}
    for agent_id, tool_id in links:
        if tool_id in records:  # else deleted between the two statements
            found[agent_id].append(records[tool_id])
    return {agent_id: tuple(items) for agent_id, items in found.items()}


def of_agent(c: Connection, agent_id: AgentId) -> tuple[Tool, ...]:
    """The agent's tools in the order of attachment."""
    return tools_of(c.execute(_of_agent.rows, {"agent": agent_id}).all())


def tools_of(rows: Sequence[Sequence[Any]]) -> tuple[Tool, ...]:
    """The tools of whole rows of the table."""
    return tuple(_map.read(row) for row in rows)


def named_of_agent(c: Connection, agent: Agent, name: str) -> Tool:
    """The agent's tool called `name`.

    Raises:
        NotFound: it has none of that name.
    """
    query = (
        select(tools)
        .join(agent_tools, tools.c.id == agent_tools.c.tool_id)
        .where(agent_tools.c.agent_id == agent.id, tools.c.name == name)
    )
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("tool", name, f"it is not attached to agent {agent.id!r}")
    return _map.read(row)


def page_of_agent(c: Connection, agent: Agent, page: Page) -> list[Tool]:
    """A page of the agent's tools, by the age of the tools."""
    query = (
        select(tools).join(agent_tools, tools.c.id == agent_tools.c.tool_id).where(agent_tools.c.agent_id == agent.id)
    )
    return [_map.read(row) for row in fetch_rows(c, query, tools, page, agent.organization_id, "tool")]


def attach(c: Connection, agent_id: AgentId, added: Sequence[Tool]) -> None:
    """Put `added` after the agent's tools; what is attached already stays where it is."""
    if not added:
        return
    first = c.execute(
        select(func.coalesce(func.max(agent_tools.c.position) + 1, 0)).where(agent_tools.c.agent_id == agent_id)
    ).scalar_one()
    _attach(c, agent_id, added, first)


def attach_first(c: Connection, agent_id: AgentId, added: Sequence[Tool]) -> None:
    """Give an agent that has no tools these."""
    if added:
        _attach(c, agent_id, added, first=0)


def _attach(c: Connection, agent_id: AgentId, added: Sequence[Tool], first: int) -> None:
    rows = [{"agent_id": agent_id, "tool_id": tool.id, "position": first + place} for place, tool in enumerate(added)]
    c.execute(dialect_of(c).insert(agent_tools).on_conflict_do_nothing(), rows)


def detach(c: Connection, agent: Agent, tool_id: str) -> None:
    """Take a tool away from the agent; one that is not attached is none.

    Raises:
        NotFound: it does not exist.
    """
    gone = c.execute(delete(agent_tools).where(agent_tools.c.agent_id == agent.id, agent_tools.c.tool_id == tool_id))
    if not gone.rowcount:
        get(c, agent.organization_id, tool_id)


def take_away(c: Connection, agent_id: AgentId, name: str) -> None:
    """Take the tool called `name` away from the agent, if it has it."""
    named = select(tools.c.id).where(tools.c.name == name)
    c.execute(delete(agent_tools).where(agent_tools.c.agent_id == agent_id, agent_tools.c.tool_id.in_(named)))


def replace_attached(c: Connection, agent_id: AgentId, wanted: Sequence[Tool]) -> None:
    """Make `wanted` the agent's tools, in that order."""
    c.execute(delete(agent_tools).where(agent_tools.c.agent_id == agent_id))
    attach_first(c, agent_id, wanted)


def _name_taken(c: Connection, tool: Tool, error: IntegrityError) -> Exception:
    if dialect_of(c).is_unique_violation(error):
        return Conflict(f"a tool named {tool.name!r} exists already; update it, or use another name")
    return error


def _filtered(c: Connection, query: Select[Any], organization_id: OrganizationId, where: ToolFilter) -> Select[Any]:
    return query.where(*_conditions(c, organization_id, where))


def _conditions(c: Connection, organization_id: OrganizationId, where: ToolFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        tools.c.organization_id == organization_id,
        *equals((tools.c.name, where.name)),
        *contains((tools.c.name, where.search)),
    ]
    if where.names is not None:
        conditions.append(tools.c.name.in_(where.names))
    if where.tool_ids is not None:
        conditions.append(tools.c.id.in_(where.tool_ids))
    if where.tool_types is not None:
        conditions.append(tools.c.tool_type.in_(where.tool_types))
    if where.exclude_tool_types:
        conditions.append(tools.c.tool_type.not_in(where.exclude_tool_types))
    if where.tags:
        conditions.append(or_(*(dialect_of(c).json_list_holds(tools.c.tags, tag) for tag in where.tags)))
    if where.only_builtin:
        conditions.append(tools.c.tool_type.not_in(NOT_BUILTIN))
    if where.exclude_builtin:
        conditions.append(tools.c.tool_type.in_(NOT_BUILTIN))
    return conditions
