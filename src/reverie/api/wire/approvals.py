"""What waits for an answer, on the wire; an addition of ours."""

from datetime import datetime

from typing_extensions import TypedDict

from reverie.api.encode.message_types import WireToolCall
from reverie.api.encode.messages import wire_call
from reverie.operations.approvals import Waiting


class ApprovalState(TypedDict):
    """A request that waits for an answer."""

    id: str
    """Of the `approval_request_message`."""
    agent_id: str
    agent_name: str
    conversation_id: str
    """The agent's id where it is the agent's own thread."""
    run_id: str | None
    step_id: str | None
    tool_calls: list[WireToolCall]
    """Those that nobody has answered yet."""
    created_at: datetime
    expires_at: datetime | None
    """When they are denied if nobody answers; null: never."""


def approval_state(waiting: Waiting) -> ApprovalState:
    """The request as clients read it."""
    approval = waiting.approval
    request = approval.request
    return {
        "id": request.id,
        "agent_id": request.agent_id,
        "agent_name": approval.agent_name,
        "conversation_id": request.conversation_id,
        "run_id": request.run_id,
        "step_id": request.step_id,
        "tool_calls": [wire_call(call) for call in approval.calls],
        "created_at": request.created_at,
        "expires_at": waiting.expires_at,
    }
