"""Calls that wait for an answer, of all agents; an addition of ours."""

from reverie.api.context import AgentQuery, Ask, FromProject, Oldest50
from reverie.api.declaring import Routes
from reverie.api.encode.json import Json
from reverie.api.wire.approvals import ApprovalState, approval_state
from reverie.domain.approval import ApprovalFilter
from reverie.operations import approvals
from reverie.operations.messages import thread_of

routes = Routes("approvals")


@routes.get("/v1/approvals")
async def list_approvals(
    call: Ask,
    page: Oldest50,
    project: FromProject,
    agent_id: AgentQuery = None,
    conversation_id: str | None = None,
) -> Json[list[ApprovalState]]:
    """List requests that wait for an approval or for a client's result, of all agents, those that wait longest first.

    Answer one with a message of type `approval` to its agent or conversation.
    """
    thread = None if conversation_id is None else thread_of(conversation_id, agent_id)
    where = ApprovalFilter(agent_id=agent_id, conversation_id=thread, project_id=project)
    found = await approvals.list_waiting(call.ops, call.caller, where, page.page())
    return Json([approval_state(item) for item in found])
