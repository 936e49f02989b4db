"""Takes back what waits for a person's approval, so that the next message is let in."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from reverie.context.pairing import open_calls
from reverie.domain.errors import NotFound
from reverie.domain.ids import ConversationId, OrganizationId, RunId
from reverie.loop.state import load_view, lost_result, results_message
from reverie.storage import conversations, messages

WITHDRAWN_NOTE: Final = "This call was cancelled before anybody answered whether it may run; it was not run."


def withdraw(
    c: Connection,
    organization_id: OrganizationId,
    conversation_id: ConversationId,
    now: datetime,
    *,
    asked_by: RunId | None = None,
) -> RunId | None:
    """Give the calls that wait for an approval results that say they were cancelled; returns the run that asked.

    Nothing happens where nothing waits, another run than `asked_by` asked, or a run is at work.
    """
    try:
        conversation = conversations.hold(c, organization_id, conversation_id)
    except NotFound:  # deleted meanwhile
        return None
    pending = open_calls(messages.load_context(c, conversation_id))
    if conversation.active_run_id is not None or pending is None or not pending.undecided or pending.request is None:
        return None
    if asked_by not in (None, pending.request.run_id):
        return None
    view = load_view(c, organization_id, conversation_id, now)
    returns = [lost_result(call, WITHDRAWN_NOTE) for call in pending.calls]
    messages.append(c, [results_message(view, None, pending.request.step_id, returns, now)])
    return pending.request.run_id
