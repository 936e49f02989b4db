"""Histories that were damaged elsewhere: reported, and mended when asked."""

from reverie.auth.keys import Caller, Scope
from reverie.domain.ids import AgentId
from reverie.domain.repair import Fault
from reverie.operations.base import Operations


async def repair(ops: Operations, caller: Caller, agent_id: AgentId, *, dry_run: bool) -> list[Fault]:
    """What is wrong with the agent's conversations; it is mended unless this is a `dry_run`."""
    caller.require(Scope.READ if dry_run else Scope.WRITE)
    return await ops.runs.repair(caller.organization_id, agent_id, dry_run=dry_run)
