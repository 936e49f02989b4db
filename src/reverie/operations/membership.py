"""How agents come into groups: a rule that groups and agent files share."""

from dataclasses import fields, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from reverie.auth.keys import Caller
from reverie.domain.agent import Agent
from reverie.domain.errors import Conflict
from reverie.domain.group import Group, GroupDraft, ManagerType, check_buffer
from reverie.domain.ids import AgentId, GroupId, make_id
from reverie.operations.companions import check_may_have_companion
from reverie.storage import agents, blocks, groups, tools

SUPERVISOR_TOOL: Final = "send_message_to_all_agents_in_group"


def store_group(c: Connection, caller: Caller, draft: GroupDraft, now: datetime) -> Group:
    """Make a group with all that its agents get for its sake; errors as of `operations.groups.create`."""
    check_buffer(draft.max_message_buffer_length, draft.min_message_buffer_length)
    group = Group(
        **{item.name: getattr(draft, item.name) for item in fields(draft)},
        id=GroupId(make_id("group")),
        organization_id=caller.organization_id,
        turns_counter=0 if draft.manager_type.is_sleeptime else None,
        created_at=now,
        updated_at=now,
        created_by_id=caller.user_id,
        last_updated_by_id=caller.user_id,
    )
    held = hold(c, group)
    shared = blocks.get_many(c, caller.organization_id, group.shared_block_ids)
    if group.manager_agent_id is not None:
        begin_to_manage(c, group, held[group.manager_agent_id], now)
    groups.insert_group(c, group)
    for agent_id in group.everyone:
        blocks.attach(c, agent_id, *shared)
    return groups.get(c, caller.organization_id, group.id)


def hold(c: Connection, *held: Group) -> dict[AgentId, Agent]:
    """All agents of the groups, kept from being changed by others until the transaction ends; `NotFound` names one."""
    ids = dict.fromkeys(agent_id for group in held for agent_id in group.everyone)
    return {agent.id: agent for agent in agents.get_many(c, held[0].organization_id, list(ids), lock=True)}


def begin_to_manage(c: Connection, group: Group, manager: Agent, now: datetime) -> None:
    """Give the managing agent what it has for the group's sake."""
    if group.manager_type is ManagerType.SUPERVISOR:
        tools.attach(c, manager.id, tools.get_named(c, group.organization_id, [SUPERVISOR_TOOL]))
    if group.manager_type.is_sleeptime:
        check_may_have_companion(manager.agent_type)
        if (other := groups.sleeptime_of(c, manager.id)) is not None and other.id != group.id:
            raise Conflict(
                f"agent {manager.id!r} has a sleeptime group already ({other.id!r}); change or delete that one first"
            )
        agents.update_agent(c, manager, replace(manager, enable_sleeptime=True, updated_at=now))
