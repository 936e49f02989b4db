"""Approvals that were given before, and what became of the turn that they let go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from reverie.domain.errors import NotFound
from reverie.domain.ids import ConversationId, OrganizationId, RunId
from reverie.domain.inputs import ApprovalInput
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    Message,
    MessageFilter,
    MessageKind,
    SystemBody,
    text_parts,
)
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus
from reverie.storage import messages, runs

GO_ON: Final = SystemBody(
    parts=text_parts("[Note from the system: your reply was cut off. Go on from where you stopped.]")
)
"""Said where a model would have to go on after words of its own."""
_BROKEN_OFF: Final = (RunStatus.CANCELLED, RunStatus.FAILED)
_INPUTS: Final = (MessageKind.USER, MessageKind.SYSTEM, MessageKind.APPROVAL_RESPONSE)
_APPROVALS: Final = (MessageKind.APPROVAL_REQUEST, MessageKind.APPROVAL_RESPONSE)
_LATEST: Final = 50
"""Requests and answers that are looked through for one that was given before."""
_FOLLOWING: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Approvals that were given before."""

    run: Run
    """The run that took them; where that broke off and a later one went on with it, the later one."""
    broke_off: bool
    """The turn stands still where that run broke off: nothing was said since."""


def given_before(
    c: Connection, organization_id: OrganizationId, conversation_id: ConversationId, answers: Sequence[ApprovalInput]
) -> Given | None:
    """What became of the same answers when they came before; None: one is new, or decides otherwise.

    Looks at the history, not at the context: what was compacted away was given all the same.
    """
    where = MessageFilter(conversation_id=conversation_id, kinds=_APPROVALS)
    latest = messages.list_page(c, organization_id, where, Page(limit=_LATEST))
    taken = [_taker(latest, answer) for answer in answers]
    if not taken or None in taken:
        return None
    last = next(message for message in latest if message in taken)
    found = _run_since(c, last)
    if found is None:
        return None
    run_id, stands_still = found
    try:
        run = runs.get(c, organization_id, run_id)
    except NotFound:
        return None
    return Given(run=run, broke_off=stands_still and run.status in _BROKEN_OFF)


def _taker(latest: Sequence[Message], answer: ApprovalInput) -> Message | None:
    """The message that holds the same answer, unless its calls, or later ones of the same ids, wait for one."""
    named = {item.tool_call_id for item in answer.decisions} | {item.tool_call_id for item in answer.returns}
    for message in latest:
        if isinstance(message.body, ApprovalResponseBody) and _same(answer, message.body):
            return message
        if isinstance(message.body, ApprovalRequestBody) and named & {call.id for call in message.body.calls}:
            return None
    return None


def _same(answer: ApprovalInput, body: ApprovalResponseBody) -> bool:
    """Whether `answer` decides as `body` does. Results are known by their calls: what came first stands."""
    decided = {item.tool_call_id: item.approve for item in body.decisions}
    given = {item.tool_call_id: item.approve for item in answer.decisions}
    if answer.approve_all is not None and not given and not answer.returns:
        return answer.request_id == body.request_id and set(decided.values()) == {answer.approve_all}
    if body.request_id is not None and list(given) == [body.request_id]:  # the request named for its only call
        return list(given.values()) == list(decided.values())
    returned = {item.tool_call_id for item in answer.returns}
    return bool(given or returned) and given == decided and returned == {item.tool_call_id for item in body.returns}


def _run_since(c: Connection, response: Message) -> tuple[RunId, bool] | None:
    """The last run that worked on what `response` let go on, and whether nothing was said since."""
    if response.run_id is None:
        return None
    where = MessageFilter(conversation_id=response.conversation_id)
    page = Page(limit=_FOLLOWING, order="asc", after=response.id)
    chain = [response.run_id]
    for message in messages.list_page(c, response.organization_id, where, page):
        if message.kind in _INPUTS and message.body != GO_ON and message.run_id != response.run_id:
            # A run that was sent something may have repaired what it found, before that.
            return (chain[-2] if len(chain) > 1 and chain[-1] == message.run_id else chain[-1]), False
        if message.run_id is not None and message.run_id != chain[-1]:
            chain.append(message.run_id)
    return chain[-1], True
