"""Agents and what they are attached to, on both databases."""

import asyncio
import json
from dataclasses import fields, replace
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import event

from reverie.auth.keys import LOCAL_CALLER, Caller, Scope
from reverie.domain.agent import Agent, AgentChanges, AgentDraft, AgentFilter, AgentType, CompactionSettings
from reverie.domain.block import BlockChanges, BlockDraft, BlockFilter
from reverie.domain.content import TextPart, ToolCall, ToolReturn
from reverie.domain.errors import Conflict, InvalidInput, NotAllowed, NotFound
from reverie.domain.identity import IdentityDraft, IdentityType
from reverie.domain.ids import (
    AgentId,
    BlockId,
    ConversationId,
    FolderId,
    IdentityId,
    MessageId,
    OrganizationId,
    ToolId,
    UserId,
    make_id,
)
from reverie.domain.inputs import SayInput
from reverie.domain.message import ApprovalRequestBody, ApprovalResponseBody, Body, Decision, Message, ToolReturnBody
from reverie.domain.paging import Page
from reverie.domain.passage import ArchiveDraft
from reverie.domain.stop_reason import StopReason
from reverie.domain.tool import ToolDraft
from reverie.domain.tool_rule import ChildToolRule, ContinueToolRule, RequiresApprovalToolRule, ToolCallNode
from reverie.operations import (
    agent_exports,
    agent_memory,
    agent_tools,
    agents,
    archives,
    blocks,
    identities,
    passages,
    tags,
    tools,
)
from reverie.operations.base import Operations
from reverie.operations.packing import PackOptions
from reverie.operations.unpacking import UnpackOptions
from reverie.storage import agents as store
from reverie.storage import messages
from reverie.storage.agent_file_codec import encode
from tests.support.operations import EMBEDDING, MODEL

ME = LOCAL_CALLER
STRANGER = Caller(
    organization_id=OrganizationId("org-other"), user_id=UserId("user-other"), scopes=frozenset(Scope), key_id=None
)
ADD = '''
def add(a: int, b: int) -> int:
    """Add.

    Args:
        a: One.
        b: Other.
    """
    return a + b
'''


def person(key: str) -> IdentityDraft:
    return IdentityDraft(identifier_key=key, name=key.title(), identity_type=IdentityType.USER)


def said(role: str, text: str) -> SayInput:
    return SayInput(role=role, parts=(TextPart(text=text),))  # type: ignore[arg-type]


async def test_an_agent_is_read_back_as_it_was_made(ops: Operations) -> None:
    add = await tools.create(ops, ME, ToolDraft(source_code=ADD))
    shared = await blocks.create(ops, ME, BlockDraft(label="team", value="red"))
    owner = await identities.create(ops, ME, person("bo"))
    made = await agents.create(
        ops,
        ME,
        AgentDraft(
            name="Ada",
            model=MODEL,
            embedding=EMBEDDING,
            blocks=(BlockDraft(label="human", value="Bo", limit=20), BlockDraft(label="persona", read_only=True)),
            block_ids=(shared.id,),
            tool_ids=(add.id,),
            tool_names=("add",),
            tool_rules=(
                ContinueToolRule(tool_name="add"),
                ChildToolRule(
                    tool_name="add",
                    children=("add",),
                    child_arg_nodes=(ToolCallNode(name="add", args={"a": 1}),),
                ),
            ),
            include_base_tools=False,
            tags=("b", "a", "b"),
            secrets={"TOKEN": "s3cret"},
            compaction_settings=CompactionSettings(mode="all", clip_chars=None),
            metadata={"deep": {"list": [1, None, "x"]}},
            model_settings={"temperature": 0.5},
            timezone="Europe/Berlin",
            identity_ids=(owner.identity.id,),
            initial_messages=(said("user", "Hi"), said("assistant", "Hello")),
        ),
    )
    read = await agents.retrieve(ops, ME, made.agent.id)
    assert read == made
    assert [block.label for block in read.blocks] == ["human", "persona", "team"]
    assert [tool.name for tool in read.tools] == ["add"]
    assert read.identities == (owner.identity,)
    assert read.agent.tags == ("b", "a")
    assert read.agent.sealed_secrets["TOKEN"] != "s3cret"
    assert ops.cipher.decrypt(read.agent.sealed_secrets["TOKEN"], read.agent.id) == "s3cret"
    assert read.agent.message_ids is not None
    assert len(read.agent.message_ids) == 3


async def test_all_that_a_draft_says_is_in_the_agent_and_in_its_file(ops: Operations) -> None:
    """Whatever field both have: who adds one adds it to `assembly.py`, `packing.py` and `unpacking.py` too."""
    given: dict[str, Any] = {
        "agent_type": AgentType.MEMGPT_V2,
        "model": MODEL,
        "embedding": EMBEDDING,
        "compaction_settings": CompactionSettings(mode="all"),
        "tool_rules": (ContinueToolRule(tool_name="send_message"),),
        "tags": ("odd",),
        "timezone": "Europe/Berlin",
    }
    kinds = get_type_hints(AgentDraft)
    for name in {item.name for item in fields(AgentDraft)} & {item.name for item in fields(Agent)} - given.keys():
        origins = [get_origin(kind) or kind for kind in (kinds[name], *get_args(kinds[name]))]
        given[name] = next(_ODD[origin] for origin in origins if origin in _ODD)
    made = (await agents.create(ops, ME, AgentDraft(**given, include_base_tool_rules=False))).agent
    assert {name: getattr(made, name) for name in given} == given
    file = await agent_exports.export(ops, ME, made.id, PackOptions())
    (copy_id,) = await agent_exports.import_file(ops, ME, json.dumps(encode(file)).encode(), UnpackOptions())
    copy = (await agents.retrieve(ops, ME, copy_id)).agent
    goes = given.keys() - {"project_id", "template_id", "base_template_id", "deployment_id", "entity_id"}
    assert {name: getattr(copy, name) for name in goes} == {name: given[name] for name in goes}


_ODD: dict[Any, Any] = {str: "odd", int: 5000, bool: True, dict: {"type": "text"}}


async def test_what_is_left_out_is_chosen(ops: Operations) -> None:
    made = (await agents.create(ops, ME, AgentDraft())).agent
    assert made.name
    assert made.model == MODEL
    assert made.embedding == EMBEDDING
    assert "memory" in made.system


@pytest.mark.parametrize("agent_type", list(AgentType))
async def test_every_agent_type_can_be_made(ops: Operations, agent_type: AgentType) -> None:
    made = await agents.create(ops, ME, AgentDraft(agent_type=agent_type))
    assert ("send_message" in {tool.name for tool in made.tools}) == agent_type.speaks_through_tool


async def test_without_any_model_the_error_says_what_to_do(ops: Operations) -> None:
    ops.catalogs.catalog.chat.clear()  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="OPENAI_API_KEY"):
        await agents.create(ops, ME, AgentDraft())


@pytest.mark.parametrize(
    ("draft", "error", "text"),
    [
        (AgentDraft(model="nobody/model"), NotFound, "nobody"),
        (AgentDraft(embedding="nobody/model"), NotFound, "nobody/model"),
        (AgentDraft(tool_names=("no_such_tool",)), NotFound, "no_such_tool"),
        (AgentDraft(tool_ids=(ToolId("tool-0"),)), NotFound, "tool-0"),
        (AgentDraft(block_ids=(BlockId("block-0"),)), NotFound, "block-0"),
        (AgentDraft(folder_ids=(FolderId("source-0"),)), NotFound, "source-0"),
        (AgentDraft(blocks=(BlockDraft(label="x"),), identity_ids=(IdentityId("identity-0"),)), NotFound, "identity-0"),
        (AgentDraft(timezone="Mars/Olympus"), InvalidInput, "Mars/Olympus"),
        (AgentDraft(blocks=(BlockDraft(label="x", value="long", limit=3),)), InvalidInput, "at most 3"),
        (AgentDraft(blocks=(BlockDraft(label="x"), BlockDraft(label="x"))), Conflict, "'x'"),
    ],
)
async def test_a_draft_that_cannot_be_leaves_nothing_behind(
    ops: Operations, draft: AgentDraft, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await agents.create(ops, ME, draft)
    assert await agents.count(ops, ME, AgentFilter(include_hidden=True)) == 0
    assert await blocks.count(ops, ME, BlockFilter()) == 0


async def test_an_update_changes_what_it_names(ops: Operations) -> None:
    made = await agents.create(ops, ME, AgentDraft(name="old", description="kept", tags=("x",)))
    changed = await agents.update(
        ops,
        ME,
        made.agent.id,
        AgentChanges(name="fresh", tags=("y", "z"), embedding=None, last_stop_reason=StopReason.END_TURN),
    )
    assert changed == await agents.retrieve(ops, ME, made.agent.id)
    assert (changed.agent.name, changed.agent.description, changed.agent.embedding) == ("fresh", "kept", None)
    assert changed.agent.updated_at > made.agent.updated_at
    assert await agents.count(ops, ME, AgentFilter(tags=("x",))) == 0
    assert await agents.count(ops, ME, AgentFilter(tags=("z", "y"), match_all_tags=True)) == 1


async def test_lists_of_ids_replace_what_is_attached(ops: Operations) -> None:
    made = await agents.create(ops, ME, AgentDraft(blocks=(BlockDraft(label="a"), BlockDraft(label="b"))))
    other = await blocks.create(ops, ME, BlockDraft(label="a", value="other"))
    changed = await agents.update(
        ops, ME, made.agent.id, AgentChanges(block_ids=(made.blocks[1].id, other.id), tool_ids=())
    )
    assert [(block.label, block.value) for block in changed.blocks] == [("b", ""), ("a", "other")]
    assert changed.tools == ()


async def test_the_context_can_be_chosen(ops: Operations) -> None:
    draft = AgentDraft(initial_messages=(said("user", "one"), said("user", "two"), said("user", "three")))
    made = await agents.create(ops, ME, draft)
    ids = made.agent.message_ids
    assert ids is not None
    changed = await agents.update(ops, ME, made.agent.id, AgentChanges(message_ids=(ids[0], ids[2])))
    assert changed.agent.message_ids == (ids[0], ids[2])


async def test_strangers_see_and_change_nothing(ops: Operations) -> None:
    made = await agents.create(ops, ME, AgentDraft(blocks=(BlockDraft(label="a"),)))
    assert await agents.list_agents(ops, STRANGER, AgentFilter(), Page()) == []
    for attempt in (
        agents.retrieve(ops, STRANGER, made.agent.id),
        agents.update(ops, STRANGER, made.agent.id, AgentChanges(name="stolen")),
        agents.delete(ops, STRANGER, made.agent.id),
        agent_memory.list_blocks(ops, STRANGER, made.agent.id, Page()),
        agents.create(ops, STRANGER, AgentDraft(block_ids=(made.blocks[0].id,))),
        blocks.update(ops, STRANGER, made.blocks[0].id, BlockChanges(value="stolen")),
    ):
        with pytest.raises(NotFound):
            await attempt
    reader = Caller(organization_id=ME.organization_id, user_id=ME.user_id, scopes=frozenset({Scope.READ}), key_id=None)
    assert await agents.retrieve(ops, reader, made.agent.id) == made
    with pytest.raises(NotAllowed):
        await agents.delete(ops, reader, made.agent.id)


async def test_a_deleted_agent_takes_its_own_archive_and_leaves_its_blocks(ops: Operations) -> None:
    made = await agents.create(ops, ME, AgentDraft(blocks=(BlockDraft(label="a"),)))
    agent_id = made.agent.id
    shared = await archives.create(ops, ME, ArchiveDraft(name="shared"))
    await passages.create(ops, ME, agent_id, "mine")
    await agent_memory.attach_archive(ops, ME, agent_id, shared.id)
    await agents.delete(ops, ME, agent_id)
    with pytest.raises(NotFound):
        await agents.retrieve(ops, ME, agent_id)
    assert await blocks.retrieve(ops, ME, made.blocks[0].id) == made.blocks[0]
    assert [item.name for item in await archives.list_archives(ops, ME, Page())] == ["shared"]


async def test_pages_follow_each_other_in_either_order(ops: Operations) -> None:
    names = [f"agent {number}" for number in range(7)]
    for name in names:
        await agents.create(ops, ME, AgentDraft(name=name, include_base_tools=False))
    for order, expected in (("asc", names), ("desc", names[::-1])):
        seen: list[str] = []
        after: AgentId | None = None
        while batch := await agents.list_agents(
            ops,
            ME,
            AgentFilter(),
            Page(limit=3, after=after, order=order),  # type: ignore[arg-type]
        ):
            seen += [item.agent.name for item in batch]
            after = batch[-1].agent.id
        assert seen == expected
    everything = await agents.list_agents(ops, ME, AgentFilter(), Page(order="asc"))
    before = await agents.list_agents(ops, ME, AgentFilter(), Page(limit=2, before=everything[4].agent.id, order="asc"))
    assert [item.agent.name for item in before] == ["agent 2", "agent 3"]
    with pytest.raises(NotFound):
        await agents.list_agents(ops, ME, AgentFilter(), Page(after=make_id("agent")))


@pytest.mark.parametrize("order_by", ["updated_at", "last_run_completion"])
async def test_pages_in_other_orders_meet_every_agent_once(ops: Operations, order_by: str) -> None:
    made = [(await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id for _ in range(6)]
    for place in (3, 1):
        await agents.update(ops, ME, made[place], AgentChanges(last_run_completion=ops.clock()))
    expected = [made[place] for place in (0, 2, 4, 5, 3, 1)]
    for order, wanted in (("asc", expected), ("desc", expected[::-1])):
        seen: list[AgentId] = []
        after: AgentId | None = None
        while batch := await agents.list_agents(
            ops,
            ME,
            AgentFilter(),
            Page(limit=2, after=after, order=order, order_by=order_by),  # type: ignore[arg-type]
        ):
            seen += [item.agent.id for item in batch]
            assert len(seen) <= len(made)
            after = batch[-1].agent.id
        assert seen == wanted


async def test_filters_hold_together(ops: Operations) -> None:
    bo, team = [(await identities.create(ops, ME, person(key))).identity.id for key in ("bo", "team")]
    await agents.create(ops, ME, AgentDraft(name="Alpha", tags=("x", "y"), identity_ids=(bo, team)))
    await agents.create(ops, ME, AgentDraft(name="alphabet", tags=("x",), project_id="p"))
    await agents.create(ops, ME, AgentDraft(name="100%", hidden=True))

    async def names(where: AgentFilter) -> list[str]:
        return [item.agent.name for item in await agents.list_agents(ops, ME, where, Page(order="asc"))]

    assert await names(AgentFilter(query_text="ALPHA")) == ["Alpha", "alphabet"]
    assert await names(AgentFilter(query_text="0%", include_hidden=True)) == ["100%"]
    assert await names(AgentFilter(query_text="%")) == []
    assert await names(AgentFilter(tags=("x", "y"))) == ["Alpha", "alphabet"]
    assert await names(AgentFilter(tags=("x", "y"), match_all_tags=True)) == ["Alpha"]
    assert await names(AgentFilter(identity_id=bo)) == ["Alpha"]
    assert await names(AgentFilter(identifier_keys=("team", "bo", "nobody"))) == ["Alpha"]
    assert await names(AgentFilter(identity_id=bo, tags=("z",))) == []
    assert await names(AgentFilter(project_id="p", name="alphabet")) == ["alphabet"]
    assert await names(AgentFilter(identifier_keys=("nobody",))) == []
    assert await tags.list_tags(ops, ME, Page(order="asc")) == ["x", "y"]
    assert await tags.list_tags(ops, ME, Page(order="asc", after="x")) == ["y"]
    assert await tags.list_tags(ops, ME, Page(order="asc"), "Y") == ["y"]


async def test_a_list_costs_the_same_number_of_queries_for_any_number_of_agents(ops: Operations) -> None:
    async def queries(limit: int) -> int:
        count = 0

        def add(*_: object) -> None:
            nonlocal count
            count += 1

        def read(c):  # type: ignore[no-untyped-def]
            event.listen(c, "before_cursor_execute", add)
            found = store.list_page(c, ME.organization_id, AgentFilter(), Page(limit=limit))
            assert len(found) == limit
            event.remove(c, "before_cursor_execute", add)

        await ops.database.read(read)
        return count

    owner = (await identities.create(ops, ME, person("bo"))).identity.id
    for _ in range(8):
        mine = (BlockDraft(label="a"), BlockDraft(label="b"))
        await agents.create(ops, ME, AgentDraft(blocks=mine, identity_ids=(owner,)))
    assert await queries(8) == await queries(1)


async def test_attaching_is_repeatable_and_keeps_the_order(ops: Operations) -> None:
    agent_id = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id
    made = [await blocks.create(ops, ME, BlockDraft(label=label)) for label in "cab"]
    for block in (*made, made[0]):
        await agent_memory.attach_block(ops, ME, agent_id, block.id)
    assert [block.label for block in (await agents.retrieve(ops, ME, agent_id)).blocks] == ["c", "a", "b"]
    twin = await blocks.create(ops, ME, BlockDraft(label="a"))
    with pytest.raises(Conflict, match="'a'"):
        await agent_memory.attach_block(ops, ME, agent_id, twin.id)
    await agent_memory.detach_block(ops, ME, agent_id, made[1].id)
    with pytest.raises(NotFound):
        await agent_memory.detach_block(ops, ME, agent_id, made[1].id)
    await agent_memory.attach_block(ops, ME, agent_id, twin.id)
    assert [block.label for block in (await agents.retrieve(ops, ME, agent_id)).blocks] == ["c", "b", "a"]


async def test_attachments_at_once_all_arrive(ops: Operations) -> None:
    agent_id = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id
    made = [await blocks.create(ops, ME, BlockDraft(label=f"b{number}")) for number in range(8)]
    await asyncio.gather(*(agent_memory.attach_block(ops, ME, agent_id, block.id) for block in made))
    assert {block.label for block in (await agents.retrieve(ops, ME, agent_id)).blocks} == {
        block.label for block in made
    }


async def test_approvals_are_set_and_taken_back(ops: Operations) -> None:
    await tools.create(ops, ME, ToolDraft(source_code=ADD))
    agent_id = (await agents.create(ops, ME, AgentDraft(tool_names=("add",)))).agent.id
    rule = RequiresApprovalToolRule(tool_name="add")
    for requires, rules, approvals in ((True, (rule,), {}), (False, (), {"add": False}), (None, (), {})):
        agent = (await agent_tools.set_approval(ops, ME, agent_id, "add", requires)).agent
        assert (agent.tool_rules, agent.approvals) == (rules, approvals)
    with pytest.raises(NotFound, match="subtract"):
        await agent_tools.set_approval(ops, ME, agent_id, "subtract", True)


async def test_a_tool_runs_with_the_agents_secrets(ops: Operations) -> None:
    await tools.create(ops, ME, ToolDraft(source_code=ADD))
    draft = AgentDraft(tool_names=("add",), secrets={"TOKEN": "s3cret"})
    agent_id = (await agents.create(ops, ME, draft)).agent.id
    outcome = await agent_tools.run_tool(ops, ME, agent_id, "add", {"a": 1, "b": 2})
    assert outcome.value == {
        "tool": "add",
        "arguments": {"a": 1, "b": 2},
        "environment": {"TOKEN": "s3cret", "LETTA_AGENT_ID": agent_id},
    }


async def test_the_unanswered_approval_is_told(ops: Operations) -> None:
    agent_id = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id
    other = (await agents.create(ops, ME, AgentDraft(include_base_tools=False))).agent.id

    def stored(body: Body) -> Message:
        return Message(
            id=MessageId(make_id("message")),
            organization_id=ME.organization_id,
            agent_id=agent_id,
            conversation_id=ConversationId(agent_id),
            body=body,
            created_at=ops.clock(),
        )

    async def add(body: Body) -> MessageId:
        message = stored(body)
        await ops.database.write(lambda c: messages.append(c, [message]))
        return message.id

    async def pending() -> list[MessageId | None]:
        found = await agents.list_agents(ops, ME, AgentFilter(), Page(order="asc"))
        assert found[1].agent.id == other
        return [item.pending_approval.id if item.pending_approval else None for item in found]

    call = ToolCall(id="call-1", name="add", arguments="{}", requires_approval=True)
    assert await pending() == [None, None]
    request = await add(ApprovalRequestBody(calls=(call,)))
    assert await pending() == [request, None]
    decision = Decision(tool_call_id="call-1", approve=True)
    await add(ApprovalResponseBody(request_id=request, decisions=(decision,)))
    assert await pending() == [None, None]
    second = await add(ApprovalRequestBody(calls=(replace(call, id="call-2"),)))
    assert await pending() == [second, None]
    done = ToolReturn(tool_call_id="call-2", name="add", status="error", content=())
    await add(ToolReturnBody(returns=(done,)))
    assert await pending() == [None, None]
