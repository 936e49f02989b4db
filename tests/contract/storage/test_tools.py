"""Tools, on both databases."""

import asyncio

import pytest

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.errors import Conflict, InvalidInput, NotFound
from reverie.domain.paging import Page
from reverie.domain.passage import SearchQuery
from reverie.domain.tool import PipRequirement, Tool, ToolChanges, ToolDraft, ToolFilter, ToolType
from reverie.operations import agent_tools, agents, tools
from reverie.operations.base import Operations
from tests.support.databases import opened
from tests.support.operations import operations_on

ALL = Page(limit=None, order="asc")


def source(name: str, argument: str = "a") -> str:
    return f'''
def {name}({argument}: int) -> int:
    """Say {name}.

    Args:
        {argument}: It.
    """
    return 1
'''


async def test_a_tool_is_read_back_as_it_was_made(ops: Operations) -> None:
    made = await tools.create(
        ops,
        ME,
        ToolDraft(
            source_code=source("roll"),
            tags=("dice",),
            pip_requirements=(PipRequirement(name="numpy", version="2.0"),),
            return_char_limit=100,
            default_requires_approval=True,
        ),
    )
    assert await tools.retrieve(ops, ME, made.id) == made
    assert (made.name, made.description, made.tool_type) == ("roll", "Say roll.", ToolType.CUSTOM)
    assert list(made.json_schema["parameters"]["properties"]) == ["a"]


async def test_a_second_tool_of_one_name_is_refused_and_an_upsert_replaces(ops: Operations) -> None:
    made = await tools.create(ops, ME, ToolDraft(source_code=source("roll")))
    with pytest.raises(Conflict, match="'roll'"):
        await tools.create(ops, ME, ToolDraft(source_code=source("roll")))
    again = await tools.upsert(ops, ME, ToolDraft(source_code=source("roll", "b")))
    assert again.id == made.id
    assert again == await tools.retrieve(ops, ME, made.id)
    assert list(again.json_schema["parameters"]["properties"]) == ["b"]
    for attempt in (tools.create, tools.upsert):
        with pytest.raises(Conflict):
            await attempt(ops, ME, ToolDraft(source_code=source("conversation_search")))


async def test_new_source_brings_a_new_schema(ops: Operations) -> None:
    made = await tools.create(ops, ME, ToolDraft(source_code=source("roll")))
    other = await tools.create(ops, ME, ToolDraft(source_code=source("taken")))
    changed = await tools.update(ops, ME, made.id, ToolChanges(source_code=source("throw", "b")))
    assert changed == await tools.retrieve(ops, ME, made.id)
    assert (changed.name, list(changed.json_schema["parameters"]["properties"])) == ("throw", ["b"])
    described = await tools.update(ops, ME, made.id, ToolChanges(description="Throw it."))
    assert (described.description, described.json_schema["description"]) == ("Throw it.", "Throw it.")
    with pytest.raises(Conflict, match="'taken'"):
        await tools.update(ops, ME, made.id, ToolChanges(source_code=source("taken")))
    with pytest.raises(InvalidInput):
        await tools.update(ops, ME, made.id, ToolChanges(source_code="this is no python"))
    await tools.delete(ops, ME, other.id)
    with pytest.raises(NotFound):
        await tools.retrieve(ops, ME, other.id)


async def test_a_tool_without_a_schema_is_refused(ops: Operations) -> None:
    with pytest.raises(InvalidInput):
        await tools.create(ops, ME, ToolDraft(source_code="x = 1"))


async def test_builtin_tools_are_there_with_ids_that_stay(url: str, ops: Operations) -> None:
    first = await tools.add_base_tools(ops, ME)
    assert {"memory_insert", "memory_replace", "conversation_search", "archival_memory_search"} <= {
        tool.name for tool in first
    }
    async with opened(url) as second:
        assert await tools.add_base_tools(operations_on(second), ME) == first
    with pytest.raises(InvalidInput, match="built in"):
        await tools.delete(ops, ME, first[0].id)


async def test_processes_that_start_at_once_agree_on_builtin_tools(url: str, database: str) -> None:
    async with opened(url) as one, opened(url) as two, opened(url) as three:
        found = await asyncio.gather(
            *(tools.list_tools(operations_on(item), ME, ToolFilter(), ALL) for item in (one, two, three))
        )
    assert found[0] == found[1] == found[2]
    assert len({tool.name for tool in found[0]}) == len(found[0])


async def test_filters(ops: Operations) -> None:
    a = await tools.create(ops, ME, ToolDraft(source_code=source("roll_dice"), tags=("game",)))
    b = await tools.create(ops, ME, ToolDraft(source_code=source("read_mail")))

    async def found(where: ToolFilter) -> list[Tool]:
        listed = await tools.list_tools(ops, ME, where, ALL)
        assert await tools.count(ops, ME, where) == len(listed)
        return listed

    assert await found(ToolFilter(tool_types=(ToolType.CUSTOM,))) == [a, b]
    assert await found(ToolFilter(exclude_builtin=True)) == [a, b]
    assert await found(ToolFilter(name="roll_dice")) == [a]
    assert await found(ToolFilter(names=("roll_dice", "nothing"))) == [a]
    assert await found(ToolFilter(tool_ids=(b.id,))) == [b]
    assert await found(ToolFilter(search="DICE")) == [a]
    assert await found(ToolFilter(tags=("game", "x"))) == [a]
    assert a not in await found(ToolFilter(only_builtin=True))
    assert await found(ToolFilter(exclude_tool_types=tuple(t for t in ToolType if t != ToolType.CUSTOM))) == [a, b]
    dice = SearchQuery(text="rolling a dice", mode="text")
    assert [tool for tool, _ in await tools.search(ops, ME, dice, tool_types=(ToolType.CUSTOM,))] == [a]


async def test_a_deleted_tool_leaves_its_agents(ops: Operations) -> None:
    made = await tools.create(ops, ME, ToolDraft(source_code=source("roll")))
    agent_id = (await agents.create(ops, ME, AgentDraft(tool_ids=(made.id,), include_base_tools=False))).agent.id
    assert await agent_tools.list_tools(ops, ME, agent_id, Page()) == [made]
    await tools.delete(ops, ME, made.id)
    assert await agent_tools.list_tools(ops, ME, agent_id, Page()) == []
    added = await tools.create(ops, ME, ToolDraft(source_code=source("roll")))
    assert (await agent_tools.attach_tool(ops, ME, agent_id, added.id)).tools == (added,)
    assert (await agent_tools.attach_tool(ops, ME, agent_id, added.id)).tools == (added,)
    assert (await agent_tools.detach_tool(ops, ME, agent_id, added.id)).tools == ()


async def test_source_runs_without_being_stored(ops: Operations) -> None:
    outcome = await tools.run(ops, ME, ToolDraft(source_code=source("roll")), {"a": 1}, {"KEY": "x"})
    assert outcome.value == {"tool": "roll", "arguments": {"a": 1}, "environment": {"KEY": "x"}}
    assert await tools.count(ops, ME, ToolFilter(name="roll")) == 0
