"""Conversations: rows, and the compiled prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from reverie.domain.conversation import Conversation
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId
from reverie.domain.paging import Page
from reverie.storage.paging import fetch_page
from reverie.storage.rows import TUPLE, RowMap
from reverie.storage.schema import conversations

_map = RowMap(conversations, Conversation, {"isolated_block_ids": TUPLE})

# Every turn runs these, so they are built once: building a statement takes longer than running it.
_get = select(conversations).where(
    conversations.c.organization_id == bindparam("organization"), conversations.c.id == bindparam("conversation")
)
_this = update(conversations).where(conversations.c.id == bindparam("conversation"))
_held = (
    _this.where(conversations.c.organization_id == bindparam("organization"))
    .values(hidden=conversations.c.hidden)
    .returning(conversations)
)


def insert_conversation(c: Connection, conversation: Conversation) -> None:
    """Store a new conversation."""
    _map.insert(c, conversation)


def get(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId) -> Conversation:
    """One conversation.

    Raises:
        NotFound: there is none in the organisation.
    """
    row = c.execute(_get, {"organization": organization_id, "conversation": conversation_id}).one_or_none()
    if row is None:
        raise missing(conversation_id)
    return conversation_of(row)


def missing(conversation_id: ConversationId) -> NotFound:
    """What is said of one that is not there."""
    return NotFound("agent" if conversation_id.startswith("agent-") else "conversation", conversation_id)


def conversation_of(row: Sequence[Any]) -> Conversation:
    """The conversation of a whole row of the table, or of one that begins so."""
    return _map.read(row)


def list_page(
    c: Connection,
    organization_id: OrganizationId,
    page: Page,
    *,
    agent_id: AgentId | None = None,
    summary_search: str | None = None,
    archived: bool | None = None,
) -> list[Conversation]:
    """A page of conversations; neither agents' own threads nor hidden ones are among them."""
    query = select(conversations).where(
        conversations.c.organization_id == organization_id,
        conversations.c.id != conversations.c.agent_id,
        conversations.c.hidden.is_(False),
    )
    if agent_id is not None:
        query = query.where(conversations.c.agent_id == agent_id)
    if archived is not None:
        query = query.where(conversations.c.archived == archived)
    if summary_search:
        query = query.where(conversations.c.summary.icontains(summary_search, autoescape=True))
    return [_map.record(row) for row in fetch_page(c, query, conversations, page, organization_id, "conversation")]


def hold_all_of(c: Connection, agent_id: AgentId) -> None:
    """Hold runs off the agent's conversations until the transaction ends.

    A run holds its conversation before it touches its agent; who removes both must do so in the same order. The
    rows are written, not only locked: a claim of a conversation as it was seen before is refused.
    """
    c.execute(update(conversations).where(conversations.c.agent_id == agent_id).values(hidden=conversations.c.hidden))


def hold(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId) -> Conversation:
    """Read one conversation, and hold runs off it likewise.

    Raises:
        NotFound: it does not exist.
    """
    row = c.execute(_held, {"organization": organization_id, "conversation": conversation_id}).one_or_none()
    return get(c, organization_id, conversation_id) if row is None else conversation_of(row)


def isolated_block_ids_of(c: Connection, agent_id: AgentId) -> list[str]:
    """Ids of the blocks that conversations of the agent have for themselves."""
    query = select(conversations.c.isolated_block_ids).where(conversations.c.agent_id == agent_id)
    return [block_id for ids in c.execute(query).scalars() for block_id in ids]


def ids_of(c: Connection, agent_id: AgentId) -> list[ConversationId]:
    """All conversations of an agent by age, its own thread and hidden ones among them."""
    return list(
        c.execute(select(conversations.c.id).where(conversations.c.agent_id == agent_id).order_by(conversations.c.seq))
        .scalars()
    )  # fmt: skip


def all_threads(c: Connection) -> list[tuple[OrganizationId, ConversationId]]:
    """Every conversation of everybody, for whoever looks after the whole database."""
    rows = c.execute(select(conversations.c.organization_id, conversations.c.id).order_by(conversations.c.seq))
    return [(row[0], row[1]) for row in rows]


def update_conversation(c: Connection, conversation_id: ConversationId, values: Mapping[str, Any]) -> None:
    """Set columns by name."""
    c.execute(update(conversations).where(conversations.c.id == conversation_id).values(dict(values)))


def delete_conversation(c: Connection, conversation_id: ConversationId) -> None:
    """Remove it with its messages and runs."""
    _map.delete(c, conversation_id)


def set_prompt(c: Connection, conversation_id: ConversationId, prompt_id: MessageId, fingerprint: str) -> None:
    """Remember which message holds the compiled prompt and what it was compiled from."""
    c.execute(_this, {"conversation": conversation_id, "prompt_id": prompt_id, "prompt_fingerprint": fingerprint})
