"""Giving an agent things, and taking them away."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.ids import AgentId
from reverie.operations.base import Operations
from reverie.storage import agents


async def change_agent(
    ops: Operations, caller: Caller, agent_id: AgentId, change: Callable[[Connection, Agent], None]
) -> AgentDetails:
    """The agent after `change`, and marked as changed, in one transaction."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> AgentDetails:
        # Locked, so that two attachments at once get places one after the other.
        before = agents.get(c, caller.organization_id, agent_id, lock=True)
        change(c, before)
        changed = agents.get(c, caller.organization_id, agent_id)
        after = replace(changed, updated_at=now, last_updated_by_id=caller.user_id)
        agents.update_agent(c, changed, after)
        return agents.get_whole(c, caller.organization_id, after.id)

    return await ops.database.write(store)
