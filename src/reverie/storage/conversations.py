"""Conversations: rows, the claim of the one run that may write, and the compiled prompt."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from reverie.domain.conversation import Conversation
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId
from reverie.domain.paging import Page
from reverie.storage.paging import fetch_page
from reverie.storage.rows import TUPLE, RowMap
from reverie.storage.schema import conversations

_map = RowMap(conversations, Conversation, {"isolated_block_ids": TUPLE})


def insert_conversation(c: Connection, conversation: Conversation) -> None:
    """Store a new conversation."""
    _map.insert(c, conversation)


def get(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId) -> Conversation:
    """One conversation.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(conversations).where(
        conversations.c.organization_id == organization_id, conversations.c.id == conversation_id
    )
    row = c.execute(query).mappings().one_or_none()
    if row is None:
        is_agent = conversation_id.startswith("agent-")
        raise NotFound("agent" if is_agent else "conversation", conversation_id)
    return _map.record(row)


def list_page(
    c: Connection,
    organization_id: OrganizationId,
    page: Page,
    *,
    agent_id: AgentId | None = None,
    summary_search: str | None = None,
    archived: bool | None = None,
) -> list[Conversation]:
    """A page of conversations; agents' own threads are not among them."""
    query = select(conversations).where(
        conversations.c.organization_id == organization_id, conversations.c.id != conversations.c.agent_id
    )
    if agent_id is not None:
        query = query.where(conversations.c.agent_id == agent_id)
    if archived is not None:
        query = query.where(conversations.c.archived == archived)
    if summary_search:
        query = query.where(conversations.c.summary.icontains(summary_search, autoescape=True))
    return [_map.record(row) for row in fetch_page(c, query, conversations, page, organization_id, "conversation")]


def update_conversation(c: Connection, conversation_id: ConversationId, values: Mapping[str, Any]) -> None:
    """Set columns by name."""
    c.execute(update(conversations).where(conversations.c.id == conversation_id).values(dict(values)))


def delete_conversation(c: Connection, conversation_id: ConversationId) -> None:
    """Remove it with its messages and runs."""
    _map.delete(c, conversation_id)


def claim(c: Connection, conversation_id: ConversationId, run_id: RunId, *, instead_of: RunId | None = None) -> bool:
    """Make `run_id` the one run that may write; False when another one is.

    `instead_of` names a run that is known to be dead.
    """
    free: ColumnElement[bool] = conversations.c.active_run_id.is_(None)
    if instead_of is not None:
        free = or_(free, conversations.c.active_run_id == instead_of)
    query = update(conversations).where(conversations.c.id == conversation_id, free).values(active_run_id=run_id)
    return c.execute(query).rowcount == 1


def release(c: Connection, conversation_id: ConversationId, run_id: RunId, now: datetime) -> None:
    """Let the next run in; nothing happens when `run_id` is not the active one."""
    c.execute(
        update(conversations)
        .where(conversations.c.id == conversation_id, conversations.c.active_run_id == run_id)
        .values(active_run_id=None, last_message_at=now)
    )


def set_prompt(c: Connection, conversation_id: ConversationId, prompt_id: MessageId, fingerprint: str) -> None:
    """Remember which message holds the compiled prompt and what it was compiled from."""
    c.execute(
        update(conversations)
        .where(conversations.c.id == conversation_id)
        .values(prompt_id=prompt_id, prompt_fingerprint=fingerprint)
    )
