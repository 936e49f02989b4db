"""Conversations: rows, the claim of the one run that may write, and the compiled prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, Update, bindparam, select, update

from reverie.domain.conversation import Conversation
from reverie.domain.errors import NotFound
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId
from reverie.domain.paging import Page
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect, dialect_of
from reverie.storage.paging import fetch_page
from reverie.storage.rows import TUPLE, RowMap
from reverie.storage.schema import conversations, waiting
from reverie.storage.together import Overtaken, aside, later

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
_line = select(waiting.c.seq).where(waiting.c.conversation_id == bindparam("conversation")).exists()


@dataclass(frozen=True, slots=True)
class _Claim:
    """Sees whether a conversation can be had, and takes it where it is as it was seen."""

    seen: Select[Any]
    taken: Update
    taken_as_next: Update

    @staticmethod
    def of(dialect: Dialect) -> "_Claim":
        version = dialect.version(conversations)
        unchanged = _this.where(conversations.c.active_run_id.is_(None), version == bindparam("version"))
        taken = unchanged.values(active_run_id=bindparam("run"))
        seen = _get.add_columns(version.label("version"), _line.label("has_line"))
        return _Claim(seen=seen, taken=taken.where(~_line), taken_as_next=taken)


_claim = {dialect.name: _Claim.of(dialect) for dialect in (SqliteDialect(), PostgresDialect())}


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
        is_agent = conversation_id.startswith("agent-")
        raise NotFound("agent" if is_agent else "conversation", conversation_id)
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
    return get(c, organization_id, conversation_id) if row is None else _map.read(row)


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


def claim(
    c: Connection,
    organization_id: OrganizationId,
    conversation_id: ConversationId,
    run_id: RunId,
    *,
    out_of_line: bool = False,
) -> Conversation | None:
    """Make `run_id` the one run that may write to the conversation; None when another one is, or somebody waits to be.

    With `out_of_line` it is the turn of the run, whoever waits. The claim is written `later`: where the conversation
    is not as it was then, all of the transaction is begun again.
    """
    given = {"organization": organization_id, "conversation": conversation_id}
    claim = _claim[dialect_of(c).name]
    with aside(c):
        row = c.execute(claim.seen, given).one_or_none()
    if row is None or row.active_run_id is not None or (row.has_line and not out_of_line):
        return None
    taken = claim.taken_as_next if out_of_line else claim.taken
    later(c, taken, {"conversation": conversation_id, "version": row.version, "run": run_id}, Overtaken)
    return replace(_map.read(row), active_run_id=run_id)


def set_prompt(c: Connection, conversation_id: ConversationId, prompt_id: MessageId, fingerprint: str) -> None:
    """Remember which message holds the compiled prompt and what it was compiled from."""
    c.execute(_this, {"conversation": conversation_id, "prompt_id": prompt_id, "prompt_fingerprint": fingerprint})
