"""Identities and whom they are attached to, on both databases."""

import asyncio

import pytest
from sqlalchemy import text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import AgentChanges, AgentDraft, AgentFilter
from reverie.domain.block import BlockDraft
from reverie.domain.errors import Conflict, NotAllowed, NotFound
from reverie.domain.identity import (
    IdentityChanges,
    IdentityDraft,
    IdentityFilter,
    IdentityProperty,
    IdentityType,
)
from reverie.domain.ids import AgentId, BlockId, IdentityId, OrganizationId, UserId
from reverie.domain.paging import Page
from reverie.operations import agents, blocks, identities
from reverie.operations.base import Operations

STRANGER = Caller(
    organization_id=OrganizationId("org-other"), user_id=UserId("user-other"), scopes=frozenset(Scope), key_id=None
)
MAIL = IdentityProperty(key="mail", value="bo@example.org", type="string")
DEEP = IdentityProperty(key="deep", value={"list": [1, None]}, type="json")
AGE = IdentityProperty(key="age", value=41, type="number")


def person(
    key: str = "bo",
    *,
    project_id: str | None = None,
    properties: tuple[IdentityProperty, ...] | None = None,
    agent_ids: tuple[AgentId, ...] | None = None,
    block_ids: tuple[BlockId, ...] | None = None,
) -> IdentityDraft:
    return IdentityDraft(
        identifier_key=key,
        name=key.title(),
        identity_type=IdentityType.USER,
        project_id=project_id,
        properties=properties,
        agent_ids=agent_ids,
        block_ids=block_ids,
    )


async def an_agent(ops: Operations) -> AgentId:
    return (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id


async def test_an_identity_is_read_back_as_it_was_made(ops: Operations) -> None:
    first, second = await an_agent(ops), await an_agent(ops)
    block = await blocks.create(ops, ME, BlockDraft(label="human"))
    made = await identities.create(
        ops,
        ME,
        person(project_id="p", properties=(MAIL, DEEP, AGE), agent_ids=(second, first, second), block_ids=(block.id,)),
    )
    assert await identities.retrieve(ops, ME, made.identity.id) == made
    assert made.identity.properties == (MAIL, DEEP, AGE)
    assert made.agent_ids == (first, second)
    assert made.block_ids == (block.id,)


@pytest.mark.parametrize("draft", [person(agent_ids=(AgentId("agent-0"),)), person(block_ids=(BlockId("block-0"),))])
async def test_an_identity_of_unknown_things_is_not_made(ops: Operations, draft: IdentityDraft) -> None:
    for attempt in (identities.create, identities.upsert):
        with pytest.raises(NotFound, match="-0"):
            await attempt(ops, ME, draft)
    assert await identities.count(ops, ME, IdentityFilter()) == 0


async def test_a_key_is_taken_once_in_each_project(ops: Operations) -> None:
    for project in (None, "p", "q"):
        await identities.create(ops, ME, person(project_id=project))
        with pytest.raises(Conflict, match="'bo'"):
            await identities.create(ops, ME, person(project_id=project))
    await identities.create(ops, STRANGER, person())
    other = await identities.create(ops, ME, person("ann"))
    with pytest.raises(Conflict, match="'bo'"):
        await identities.update(ops, ME, other.identity.id, IdentityChanges(identifier_key="bo"))
    assert await identities.count(ops, ME, IdentityFilter()) == 4


async def test_an_upsert_makes_one_and_then_brings_it_up_to_date(ops: Operations) -> None:
    first, second = await an_agent(ops), await an_agent(ops)
    made = await identities.upsert(ops, ME, person(properties=(MAIL,), agent_ids=(first,)))
    again = await identities.upsert(ops, ME, person())
    assert (again.identity.id, again.identity.properties, again.agent_ids) == (made.identity.id, (MAIL,), (first,))
    changed = await identities.upsert(
        ops,
        ME,
        IdentityDraft(
            identifier_key="bo", name="Bob", identity_type=IdentityType.ORG, properties=(AGE,), agent_ids=(second,)
        ),
    )
    assert changed == await identities.retrieve(ops, ME, made.identity.id)
    assert (changed.identity.name, changed.identity.identity_type) == ("Bob", IdentityType.ORG)
    assert (changed.identity.properties, changed.agent_ids) == ((AGE,), (second,))
    apart = await identities.upsert(ops, ME, person(project_id="p"))
    assert apart.identity.id != made.identity.id


async def test_upserts_at_once_make_one(ops: Operations) -> None:
    made = await asyncio.gather(*(identities.upsert(ops, ME, person()) for _ in range(8)))
    assert len({item.identity.id for item in made}) == 1
    assert await identities.count(ops, ME, IdentityFilter()) == 1


async def test_an_update_adds_and_properties_can_be_replaced(ops: Operations) -> None:
    first, second = await an_agent(ops), await an_agent(ops)
    block = await blocks.create(ops, ME, BlockDraft(label="human"))
    made = await identities.create(ops, ME, person(properties=(MAIL, AGE), agent_ids=(first,)))
    older = IdentityProperty(key="age", value=42, type="number")
    changed = await identities.update(
        ops,
        ME,
        made.identity.id,
        IdentityChanges(name="Bob", properties=(older, DEEP), agent_ids=(second, first), block_ids=(block.id,)),
    )
    assert changed == await identities.retrieve(ops, ME, made.identity.id)
    assert (changed.identity.name, changed.identity.identifier_key) == ("Bob", "bo")
    assert changed.identity.properties == (MAIL, older, DEEP)
    assert (changed.agent_ids, changed.block_ids) == ((first, second), (block.id,))
    with pytest.raises(NotFound, match="agent-0"):
        await identities.update(
            ops, ME, made.identity.id, IdentityChanges(name="half", agent_ids=(AgentId("agent-0"),))
        )
    replaced = await identities.replace_properties(ops, ME, made.identity.id, (AGE, MAIL, AGE))
    assert (replaced.identity.name, replaced.identity.properties) == ("Bob", (AGE, MAIL))
    assert replaced == await identities.retrieve(ops, ME, made.identity.id)


async def test_agents_say_whom_they_belong_to(ops: Operations) -> None:
    bo, ann = [(await identities.create(ops, ME, person(key))).identity for key in ("bo", "ann")]
    made = await agents.create(ops, ME, AgentDraft(identity_ids=(ann.id, bo.id)))
    assert made.identities == (bo, ann)
    agent_id = made.agent.id
    changed = await agents.update(ops, ME, agent_id, AgentChanges(identity_ids=(ann.id,)))
    assert changed.identities == (ann,)
    assert (await agents.update(ops, ME, agent_id, AgentChanges(name="kept"))).identities == (ann,)
    with pytest.raises(NotFound, match="identity-0"):
        await agents.update(ops, ME, agent_id, AgentChanges(name="half", identity_ids=(IdentityId("identity-0"),)))
    for _ in range(2):
        await agents.attach_identity(ops, ME, agent_id, bo.id)
    found = await agents.retrieve(ops, ME, agent_id)
    assert (found.agent.name, found.identities) == ("kept", (bo, ann))
    for _ in range(2):
        await agents.detach_identity(ops, ME, agent_id, ann.id)
    assert (await agents.retrieve(ops, ME, agent_id)).identities == (bo,)
    with pytest.raises(NotFound, match="identity-0"):
        await agents.attach_identity(ops, ME, agent_id, IdentityId("identity-0"))


async def test_both_sides_can_be_attached_at_once(ops: Operations) -> None:
    bo, ann = [(await identities.create(ops, ME, person(key))).identity for key in ("bo", "ann")]
    agent_id = await an_agent(ops)
    for _ in range(5):
        await agents.update(ops, ME, agent_id, AgentChanges(identity_ids=()))
        await asyncio.gather(
            *(
                attempt
                for owner in (bo, ann)
                for attempt in (
                    agents.attach_identity(ops, ME, agent_id, owner.id),
                    identities.update(ops, ME, owner.id, IdentityChanges(agent_ids=(agent_id,))),
                    identities.upsert(ops, ME, person(owner.identifier_key, agent_ids=(agent_id,))),
                )
            )
        )
        found = (await agents.retrieve(ops, ME, agent_id)).identities
        assert [owner.id for owner in found] == [bo.id, ann.id]


async def test_what_goes_takes_its_attachments_and_nothing_else(ops: Operations) -> None:
    block = await blocks.create(ops, ME, BlockDraft(label="human"))
    agent_id = await an_agent(ops)
    bo = (await identities.create(ops, ME, person(agent_ids=(agent_id,), block_ids=(block.id,)))).identity
    ann = (await identities.create(ops, ME, person("ann", agent_ids=(agent_id,)))).identity
    await identities.delete(ops, ME, bo.id)
    with pytest.raises(NotFound, match=bo.id):
        await identities.retrieve(ops, ME, bo.id)
    assert await blocks.retrieve(ops, ME, block.id) == block
    assert (await agents.retrieve(ops, ME, agent_id)).identities == (ann,)
    await agents.delete(ops, ME, agent_id)
    assert (await identities.retrieve(ops, ME, ann.id)).agent_ids == ()
    for table in ("agent_identities", "block_identities"):
        count = text(f"SELECT count(*) FROM {table}")
        assert await ops.database.read(lambda c, count=count: c.execute(count).scalar_one()) == 0  # type: ignore[misc]


async def test_lists_are_filtered_and_cut(ops: Operations) -> None:
    bo = (await identities.create(ops, ME, person("bo"))).identity
    bob = (await identities.create(ops, ME, person("bob", project_id="p"))).identity
    draft = IdentityDraft(identifier_key="acme", name="100% Acme", identity_type=IdentityType.ORG)
    acme = (await identities.create(ops, ME, draft)).identity

    async def found(where: IdentityFilter, page: Page) -> list[str]:
        return [item.identity.id for item in await identities.list_identities(ops, ME, where, page)]

    for where, expected in (
        (IdentityFilter(), [bo, bob, acme]),
        (IdentityFilter(name="BO"), [bo, bob]),
        (IdentityFilter(name="%"), [acme]),
        (IdentityFilter(identifier_key="bo"), [bo]),
        (IdentityFilter(identity_type=IdentityType.ORG), [acme]),
        (IdentityFilter(project_id="p", name="bo"), [bob]),
        (IdentityFilter(project_id="p", identity_type=IdentityType.ORG), []),
    ):
        assert await found(where, Page(order="asc")) == [item.id for item in expected]
        assert await identities.count(ops, ME, where) == len(expected)
    assert await found(IdentityFilter(), Page(limit=1, order="desc", after=acme.id)) == [bob.id]
    assert await found(IdentityFilter(), Page(limit=5, order="asc", before=bob.id)) == [bo.id]


async def test_the_things_of_an_identity_are_listed(ops: Operations) -> None:
    first, second, _third = [await an_agent(ops) for _ in range(3)]
    mine = await blocks.create(ops, ME, BlockDraft(label="human", hidden=True))
    await blocks.create(ops, ME, BlockDraft(label="other"))
    bo = (await identities.create(ops, ME, person(agent_ids=(first, second), block_ids=(mine.id,)))).identity
    listed = await identities.list_agents(ops, ME, bo.id, Page(order="asc"))
    assert [item.agent.id for item in listed] == [first, second]
    assert [item.identities for item in listed] == [(bo,), (bo,)]
    assert [item.agent.id for item in await identities.list_agents(ops, ME, bo.id, Page(limit=1))] == [second]
    assert await identities.list_blocks(ops, ME, bo.id, Page()) == [mine]
    ann = (await identities.create(ops, ME, person("ann"))).identity
    assert await blocks.attach_identity(ops, ME, mine.id, ann.id) == mine
    assert await identities.list_blocks(ops, ME, ann.id, Page()) == [mine]
    assert await blocks.detach_identity(ops, ME, mine.id, ann.id) == mine
    assert await identities.list_blocks(ops, ME, ann.id, Page()) == []


async def test_strangers_see_and_change_nothing(ops: Operations) -> None:
    agent_id = await an_agent(ops)
    block = await blocks.create(ops, ME, BlockDraft(label="human"))
    bo = (await identities.create(ops, ME, person(agent_ids=(agent_id,), block_ids=(block.id,)))).identity
    theirs = (await agents.create(ops, STRANGER, AgentDraft())).agent.id
    for attempt in (
        identities.retrieve(ops, STRANGER, bo.id),
        identities.update(ops, STRANGER, bo.id, IdentityChanges(name="stolen")),
        identities.replace_properties(ops, STRANGER, bo.id, ()),
        identities.delete(ops, STRANGER, bo.id),
        identities.list_agents(ops, STRANGER, bo.id, Page()),
        identities.list_blocks(ops, STRANGER, bo.id, Page()),
        identities.create(ops, STRANGER, person(agent_ids=(agent_id,))),
        identities.upsert(ops, STRANGER, person(block_ids=(block.id,))),
        agents.create(ops, STRANGER, AgentDraft(identity_ids=(bo.id,))),
        agents.update(ops, STRANGER, theirs, AgentChanges(identity_ids=(bo.id,))),
        agents.attach_identity(ops, STRANGER, theirs, bo.id),
        blocks.attach_identity(ops, STRANGER, block.id, bo.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await identities.list_identities(ops, STRANGER, IdentityFilter(), Page()) == []
    await identities.create(ops, STRANGER, person(agent_ids=(theirs,)))
    both = await agents.list_agents(ops, STRANGER, AgentFilter(identifier_keys=("bo",)), Page())
    assert [item.agent.id for item in both] == [theirs]
    reader = Caller(organization_id=ME.organization_id, user_id=ME.user_id, scopes=frozenset({Scope.READ}), key_id=None)
    assert (await identities.retrieve(ops, reader, bo.id)).identity == bo
    with pytest.raises(NotAllowed):
        await identities.upsert(ops, reader, person())
