"""Histories that were damaged elsewhere. An addition of ours to the API."""

from reverie.api.context import AgentPath, Ask
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.repair import RepairState, repair_state
from reverie.domain.ids import AgentId
from reverie.operations import repair

routes = Routes("agents")


@routes.get("/v1/agents/{agent_id}/repair")
async def report_faults(agent_id: AgentPath, call: Ask) -> Json[RepairState]:
    """Report what is wrong with the agent's conversations; nothing is changed."""
    faults = await repair.repair(call.ops, call.caller, AgentId(agent_id), dry_run=True)
    return Json(repair_state(agent_id, faults, dry_run=True))


@routes.post("/v1/agents/{agent_id}/repair")
async def repair_agent(agent_id: AgentPath, call: Ask, dry_run: bool = True) -> Json[RepairState]:
    """Mend what is wrong with the agent's conversations; with `dry_run`, which is the default, only report it."""
    faults = await repair.repair(call.ops, call.caller, AgentId(agent_id), dry_run=dry_run)
    return Json(repair_state(agent_id, faults, dry_run=dry_run))
