"""What callers can ask for about groups."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent
from reverie.domain.errors import InvalidInput, MalformedInput, NotFound
from reverie.domain.group import Group, GroupChanges, GroupDraft, GroupFilter, ManagerType, check_buffer
from reverie.domain.ids import AgentId, BlockId, GroupId, MessageId
from reverie.domain.inputs import ApprovalInput, Request
from reverie.domain.message import Message
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.domain.unset import UNSET
from reverie.operations.assembly import companions_in, remove_agent
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.operations.membership import SUPERVISOR_TOOL, begin_to_manage, hold, store_group
from reverie.runs.talk import TalkHandle
from reverie.storage import agents, blocks, groups, messages, runs, tools


async def create(ops: Operations, caller: Caller, draft: GroupDraft) -> Group:
    """Make a group, whole or not at all.

    Its agents get the shared blocks, a supervisor the tool by which it asks the others, and the
    main agent of a sleeptime group is looked after from its next turn on.

    Raises:
        NotFound: an unknown agent or block; the text names it.
        Conflict: the main agent has a sleeptime group, or an agent has another block of a shared one's label.
        InvalidInput: settings that cannot be.
    """
    caller.require(Scope.WRITE)
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()
    return await ops.database.write(lambda c: store_group(c, caller, draft, now))


async def retrieve(ops: Operations, caller: Caller, group_id: GroupId) -> Group:
    """One group."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: groups.get(c, caller.organization_id, group_id))


async def list_groups(ops: Operations, caller: Caller, where: GroupFilter, page: Page) -> list[Group]:
    """A page of groups.

    Raises:
        NotFound: `where` names an unknown agent.
    """
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Group]:
        if where.agent_id is not None:
            agents.get(c, caller.organization_id, where.agent_id)
        return groups.list_page(c, caller.organization_id, where, page)

    return await ops.database.read(read)


async def count(ops: Operations, caller: Caller, where: GroupFilter) -> int:
    """How many groups meet `where`."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: groups.count(c, caller.organization_id, where))


async def update(ops: Operations, caller: Caller, group_id: GroupId, changes: GroupChanges) -> Group:
    """Change what `changes` names; lists replace what is there. Errors as of `create`.

    Raises:
        InvalidInput: the settings are those of another kind of group.
    """
    caller.require(Scope.WRITE)
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()

    def store(c: Connection) -> Group:
        before = groups.get(c, caller.organization_id, group_id, lock=True)
        after = replace(before, **_values(before, changes), updated_at=now, last_updated_by_id=caller.user_id)
        check_buffer(after.max_message_buffer_length, after.min_message_buffer_length)
        held = hold(c, before, after)
        _share(c, before, after)  # reads the blocks, which must be there before the group's row refers to them
        groups.update_group(c, before, after)
        if after.manager_agent_id != before.manager_agent_id and after.manager_agent_id is not None:
            _cease_to_manage(c, before, held, now)
            begin_to_manage(c, after, held[after.manager_agent_id], now)
        return groups.get(c, caller.organization_id, group_id)

    return await ops.database.write(store)


async def delete(ops: Operations, caller: Caller, group_id: GroupId) -> None:
    """Remove a group; its agents and what they said stay, and a sleeptime group's main agent rests alone again.

    The sleeptime agent that was made with `enable_sleeptime` goes with its group, as when that is turned off.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()
    for made in await ops.database.read(lambda c: companions_in(c, groups.get(c, caller.organization_id, group_id))):
        await ops.runs.cancel_agent(caller.organization_id, made.id)

    def remove(c: Connection) -> None:
        group = groups.get(c, caller.organization_id, group_id, lock=True)
        held = hold(c, group)
        made = companions_in(c, group)
        groups.delete_group(c, group.id)
        _cease_to_manage(c, group, held, now)
        for agent in made:
            remove_agent(c, agent)

    await ops.database.write(remove)


async def attach_block(ops: Operations, caller: Caller, group_id: GroupId, block_id: BlockId) -> Group:
    """Share a block with every agent of the group.

    Raises:
        Conflict: one of them has another block of its label.
    """

    def change(c: Connection, group: Group) -> Group:
        block = blocks.get(c, caller.organization_id, block_id)
        return replace(group, shared_block_ids=tuple(dict.fromkeys((*group.shared_block_ids, block.id))))

    return await _change_shared(ops, caller, group_id, change)


async def detach_block(ops: Operations, caller: Caller, group_id: GroupId, block_id: BlockId) -> Group:
    """Take a shared block away from the group and from every agent of it; the block stays.

    Raises:
        NotFound: the group does not share it.
    """

    def change(c: Connection, group: Group) -> Group:
        if block_id not in group.shared_block_ids:
            raise NotFound("block", block_id, f"group {group_id!r} does not share it")
        return replace(group, shared_block_ids=tuple(item for item in group.shared_block_ids if item != block_id))

    return await _change_shared(ops, caller, group_id, change)


async def message_of(ops: Operations, caller: Caller, group_id: GroupId, message_id: MessageId) -> Message:
    """A message of the group.

    Raises:
        NotFound: there is none, or it was said elsewhere.
    """
    caller.require(Scope.READ)

    def read(c: Connection) -> Message:
        groups.get(c, caller.organization_id, group_id)
        message = messages.get(c, caller.organization_id, message_id)
        if message.group_id != group_id:
            raise NotFound("message", message_id, f"it is not one of group {group_id!r}")
        return message

    return await ops.database.read(read)


async def reset_messages(ops: Operations, caller: Caller, group_id: GroupId) -> None:
    """Forget all that was said in the group, in every agent's history; what runs for it is cancelled first."""
    caller.require(Scope.WRITE)

    def live(c: Connection) -> list[Run]:
        group = groups.get(c, caller.organization_id, group_id)
        found = [runs.active_of(c, caller.organization_id, agent_id=agent_id) for agent_id in group.everyone]
        return [run for active in found for run in active if run.group_id == group_id]

    for run in await ops.database.read(live):
        await ops.runs.cancel(caller.organization_id, run.id)
    await ops.database.write(
        lambda c: groups.forget_messages(c, groups.get(c, caller.organization_id, group_id, lock=True))
    )


async def send(ops: Operations, caller: Caller, group_id: GroupId, request: Request) -> TalkHandle:
    """Say something to the group; its agents answer by the group's policy, whoever reads along.

    Raises:
        InvalidInput: the group has nobody who could answer.
    """
    caller.require(Scope.WRITE)
    if not request.inputs:
        raise MalformedInput("messages", "at least one message is needed")
    if any(isinstance(item, ApprovalInput) for item in request.inputs):
        raise MalformedInput("messages", "answer an approval request to the agent that asked for it")
    group = await ops.database.read(lambda c: groups.get(c, caller.organization_id, group_id))
    return await ops.talks.send(group, request)


def _values(before: Group, changes: GroupChanges) -> dict[str, Any]:
    if changes.manager_type is not UNSET and changes.manager_type is not before.manager_type:
        raise InvalidInput(
            f"the settings are those of a {changes.manager_type.value!r} group and this is a "
            f"{before.manager_type.value!r} group; make a group of the other kind instead"
        )
    return {
        item.name: value
        for item in fields(changes)
        if item.name != "manager_type" and (value := getattr(changes, item.name)) is not UNSET
    }


async def _change_shared(
    ops: Operations, caller: Caller, group_id: GroupId, change: Callable[[Connection, Group], Group]
) -> Group:
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> Group:
        before = groups.get(c, caller.organization_id, group_id, lock=True)
        hold(c, before)
        after = replace(change(c, before), updated_at=now, last_updated_by_id=caller.user_id)
        groups.update_group(c, before, after)
        _share(c, before, after)
        return groups.get(c, caller.organization_id, group_id)

    return await ops.database.write(store)


def _share(c: Connection, before: Group, after: Group) -> None:
    """Give the shared blocks to all agents of the group, and take them from those that left it."""
    shared = blocks.get_many(c, after.organization_id, after.shared_block_ids)
    for agent_id in dict.fromkeys((*before.everyone, *after.everyone)):
        kept = after.shared_block_ids if agent_id in after.everyone else ()
        blocks.take_away(c, agent_id, [item for item in before.shared_block_ids if item not in kept])
        if agent_id in after.everyone:
            blocks.attach(c, agent_id, *shared)


def _cease_to_manage(c: Connection, group: Group, held: Mapping[AgentId, Agent], now: datetime) -> None:
    """What the managing agent had for this group's sake, which is gone or another's already, goes."""
    if group.manager_agent_id is None:
        return
    manager = held[group.manager_agent_id]
    if group.manager_type.is_sleeptime:
        agents.update_agent(c, manager, replace(manager, enable_sleeptime=None, updated_at=now))
    if group.manager_type is ManagerType.SUPERVISOR and not groups.supervises(c, manager.id):
        tools.take_away(c, manager.id, SUPERVISOR_TOOL)
