"""Approvals that are waited for: open requests in context, less what was answered already."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from reverie.domain.approval import ApprovalFilter, PendingApproval, timeout_of
from reverie.domain.content import ToolCall
from reverie.domain.ids import OrganizationId
from reverie.domain.message import ApprovalResponseBody, Message, calls_of
from reverie.domain.paging import Page
from reverie.storage.messages import messages_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import equals
from reverie.storage.schema import agents, messages, open_approvals

_waiting = (
    select(messages)
    .join(open_approvals, open_approvals.c.seq == messages.c.seq)
    .where(messages.c.in_context)  # what left it or was cleared away waits no longer
)


def of_threads(c: Connection, conversation_ids: Sequence[str]) -> dict[str, Message]:
    """The unanswered request of each conversation that has one."""
    found = _undecided(c, _requests(c, _waiting.where(messages.c.conversation_id.in_(conversation_ids))))
    return {request.conversation_id: request for request, _ in found}


def list_page(
    c: Connection, organization_id: OrganizationId, where: ApprovalFilter, page: Page
) -> list[PendingApproval]:
    """A page of what is waited for in an organisation; cursors are ids of requests."""
    query = _waiting.where(
        messages.c.organization_id == organization_id,
        *equals((messages.c.agent_id, where.agent_id), (messages.c.conversation_id, where.conversation_id)),
    )
    if where.project_id is not None:
        query = query.where(_in_project(where.project_id))
    found: list[PendingApproval] = []
    while True:
        rest = page if page.limit is None else replace(page, limit=page.limit - len(found))
        requests = messages_of(fetch_rows(c, query, messages, rest, organization_id, "approval"))
        found += _pending(c, _undecided(c, requests))
        if page.limit is None or len(requests) < (rest.limit or 0) or len(found) == page.limit or page.before:
            return found
        page = replace(page, after=requests[-1].id)


def all_waiting(c: Connection) -> list[PendingApproval]:
    """What is waited for in all organisations, oldest first."""
    return _pending(c, _undecided(c, _requests(c, _waiting.order_by(messages.c.seq))))


def _in_project(project_id: str) -> ColumnElement[bool]:
    return messages.c.agent_id.in_(select(agents.c.id).where(agents.c.project_id == project_id))


def _requests(c: Connection, query: Select[Any]) -> list[Message]:
    return messages_of(c.execute(query).all())


def _undecided(c: Connection, requests: Sequence[Message]) -> list[tuple[Message, tuple[ToolCall, ...]]]:
    """`requests` that still wait, with the calls that nobody has answered."""
    if not requests:
        return []
    answers = select(messages).where(
        messages.c.conversation_id.in_({request.conversation_id for request in requests}),
        messages.c.kind == "approval_response",
        messages.c.in_context,
    )
    answered: set[tuple[str, str]] = set()
    for message in _requests(c, answers):
        if isinstance(message.body, ApprovalResponseBody):
            decided = [item.tool_call_id for item in message.body.decisions]
            returned = [item.tool_call_id for item in message.body.returns]
            answered.update((message.conversation_id, call_id) for call_id in (*decided, *returned))
    found = []
    for request in requests:
        calls = calls_of(request.body)
        open_calls = tuple(call for call in calls if (request.conversation_id, call.id) not in answered)
        if open_calls:
            found.append((request, open_calls))
    return found


def _pending(c: Connection, found: Sequence[tuple[Message, tuple[ToolCall, ...]]]) -> list[PendingApproval]:
    ids = {request.agent_id for request, _ in found}
    query = select(agents.c.id, agents.c.name, agents.c.metadata).where(agents.c.id.in_(ids))
    known = {agent_id: (name, metadata) for agent_id, name, metadata in c.execute(query).all()} if ids else {}
    return [
        PendingApproval(
            request=request,
            calls=calls,
            agent_name=known[request.agent_id][0],
            timeout_s=timeout_of(known[request.agent_id][1]),
        )
        for request, calls in found
    ]
