"""Memory blocks, on both databases."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.block import Block, BlockChanges, BlockDraft, BlockFilter
from reverie.domain.errors import Conflict, InvalidInput, NotFound
from reverie.domain.identity import IdentityDraft, IdentityType
from reverie.domain.paging import Page
from reverie.operations import agent_memory, agents, blocks, identities
from reverie.operations.base import Operations
from reverie.storage import blocks as store


async def test_a_block_is_read_back_as_it_was_made(ops: Operations) -> None:
    made = await blocks.create(
        ops,
        ME,
        BlockDraft(
            label="human",
            value="Bo",
            limit=99,
            description="Who it is",
            read_only=True,
            metadata={"a": [1]},
            tags=("x", "x"),
            is_template=True,
            template_name="t",
        ),
    )
    assert await blocks.retrieve(ops, ME, made.id) == made
    assert made.tags == ("x",)


async def test_every_change_of_a_value_is_kept_with_its_actor(ops: Operations) -> None:
    made = await blocks.create(ops, ME, BlockDraft(label="human", value="one"))
    await blocks.update(ops, ME, made.id, BlockChanges(value="two"))
    await blocks.update(ops, ME, made.id, BlockChanges(description="no value, no history"))
    changed = await blocks.update(ops, ME, made.id, BlockChanges(value="three", label="person"))
    assert (changed.value, changed.label, changed.version) == ("three", "person", 3)
    assert await blocks.retrieve(ops, ME, made.id) == changed
    history = await ops.database.read(
        lambda c: c.execute(text("SELECT version, before, after FROM block_changes ORDER BY version")).all()
    )
    assert [tuple(row) for row in history] == [(2, "one", "two"), (3, "two", "three")]


async def test_the_limit_holds_before_and_after_it_is_changed(ops: Operations) -> None:
    made = await blocks.create(ops, ME, BlockDraft(label="human", value="12345", limit=5))
    for changes in (BlockChanges(value="123456"), BlockChanges(limit=4), BlockChanges(limit=6, value="1234567")):
        with pytest.raises(InvalidInput, match="at most"):
            await blocks.update(ops, ME, made.id, changes)
    assert await blocks.retrieve(ops, ME, made.id) == made
    changed = await blocks.update(ops, ME, made.id, BlockChanges(limit=6, value="123456"))
    assert (changed.limit, changed.value) == (6, "123456")


async def test_a_stale_writer_is_refused(ops: Operations) -> None:
    made = await blocks.create(ops, ME, BlockDraft(label="human", value="one"))
    await blocks.update(ops, ME, made.id, BlockChanges(value="two"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(Conflict, match="changed by somebody else"):
        await ops.database.write(lambda c: store.change_value(c, made, "three", {"kind": "api"}, now))
    assert (await blocks.retrieve(ops, ME, made.id)).value == "two"


async def test_writers_at_once_take_turns(ops: Operations) -> None:
    made = await blocks.create(ops, ME, BlockDraft(label="human"))
    await asyncio.gather(*(blocks.update(ops, ME, made.id, BlockChanges(value=f"v{n}")) for n in range(10)))
    assert (await blocks.retrieve(ops, ME, made.id)).version == 11


async def test_a_new_label_reaches_every_agent_or_none(ops: Operations) -> None:
    shared = await blocks.create(ops, ME, BlockDraft(label="shared"))
    first = (await agents.create(ops, ME, AgentDraft(block_ids=(shared.id,)))).agent.id
    second = (
        await agents.create(ops, ME, AgentDraft(block_ids=(shared.id,), blocks=(BlockDraft(label="taken"),)))
    ).agent.id
    with pytest.raises(Conflict, match="'taken'"):
        await blocks.update(ops, ME, shared.id, BlockChanges(label="taken"))
    assert (await agent_memory.retrieve_block(ops, ME, first, "shared")).id == shared.id
    await agent_memory.update_block(ops, ME, first, "shared", BlockChanges(label="team", value="x"))
    assert (await agent_memory.retrieve_block(ops, ME, second, "team")).value == "x"
    with pytest.raises(NotFound, match="'shared'"):
        await agent_memory.retrieve_block(ops, ME, second, "shared")
    assert {item.agent.id for item in await blocks.list_agents(ops, ME, shared.id, Page())} == {first, second}
    await blocks.delete(ops, ME, shared.id)
    assert (await agents.retrieve(ops, ME, first)).blocks == ()


async def test_filters(ops: Operations) -> None:
    a = await blocks.create(ops, ME, BlockDraft(label="Human", value="likes Tea", tags=("x", "y")))
    b = await blocks.create(ops, ME, BlockDraft(label="persona", description="Who I am", tags=("x",)))
    c = await blocks.create(ops, ME, BlockDraft(label="persona", is_template=True, template_name="pirate", hidden=True))
    await agents.create(ops, ME, AgentDraft(block_ids=(a.id, b.id)))
    await agents.create(ops, ME, AgentDraft(block_ids=(a.id,)))

    async def found(where: BlockFilter) -> list[Block]:
        listed = await blocks.list_blocks(ops, ME, where, Page(order="asc"))
        assert await blocks.count(ops, ME, where) == len(listed)
        return listed

    assert await found(BlockFilter()) == [a, b]
    assert await found(BlockFilter(label="persona", include_hidden=True)) == [b, c]
    assert await found(BlockFilter(templates_only=True, include_hidden=True, name="pirate")) == [c]
    assert await found(BlockFilter(value_search="tea")) == [a]
    assert await found(BlockFilter(label_search="HUM")) == [a]
    assert await found(BlockFilter(description_search="who")) == [b]
    assert await found(BlockFilter(tags=("x", "y"))) == [a, b]
    assert await found(BlockFilter(tags=("x", "y"), match_all_tags=True)) == [a]
    assert await found(BlockFilter(min_agents=2)) == [a]
    assert await found(BlockFilter(max_agents=1)) == [b]
    assert await found(BlockFilter(agent_counts=(0, 1))) == [b]
    bo, team = [
        (
            await identities.create(
                ops,
                ME,
                IdentityDraft(identifier_key=key, name=key, identity_type=IdentityType.USER, block_ids=owned),
            )
        ).identity.id
        for key, owned in (("bo", (a.id,)), ("team", (a.id, b.id)))
    ]
    assert await found(BlockFilter(identity_id=bo)) == [a]
    assert await found(BlockFilter(identifier_keys=("bo", "team"))) == [a, b]
    assert await found(BlockFilter(identity_id=team, identifier_keys=("bo",))) == [a]
    assert await found(BlockFilter(identity_id="identity-1")) == []
