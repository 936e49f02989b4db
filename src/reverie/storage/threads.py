"""Conversations as turns need them: with the agent and what is the agent's, claimed by the one run that may write."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, Update, bindparam, exists, func, select, update
from sqlalchemy.sql.elements import BindParameter

from reverie.domain.agent import AgentDetails
from reverie.domain.block import overlaid
from reverie.domain.conversation import Conversation
from reverie.domain.ids import ConversationId, OrganizationId, RunId
from reverie.storage import blocks, file_views, tools
from reverie.storage.agents import agent_of
from reverie.storage.beside import Beside
from reverie.storage.conversations import conversation_of, missing
from reverie.storage.dialect import Dialect, PostgresDialect, SqliteDialect, dialect_of
from reverie.storage.schema import (
    agent_archives,
    agent_folders,
    agents,
    archives,
    conversations,
    sandbox_configs,
    waiting,
)
from reverie.storage.together import Overtaken, aside, later

_THIS: Final[BindParameter[str]] = bindparam("conversation")
_line = select(waiting.c.seq).where(waiting.c.conversation_id == _THIS).exists()
_speaker = select(conversations.c.agent_id).where(conversations.c.id == _THIS).scalar_subquery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A conversation and its agent, as they were read together."""

    conversation: Conversation
    details: AgentDetails
    """What a turn needs of the agent: blocks (the conversation's own in place of those that they were copied from),
    tools, folders and the count of its passages."""
    has_line: bool
    """Whether anybody waits for the conversation."""
    version: str
    """Of the conversation's row."""


def _reading(dialect: Dialect) -> Beside:
    return Beside(
        select(
            agents,
            *conversations.columns,
            select(func.coalesce(func.sum(archives.c.passage_count), 0))
            .join(agent_archives, agent_archives.c.archive_id == archives.c.id)
            .where(agent_archives.c.agent_id == agents.c.id)
            .scalar_subquery()
            .label("passage_count"),
            exists().where(agent_folders.c.agent_id == agents.c.id).label("has_folders"),
            exists().where(sandbox_configs.c.organization_id == agents.c.organization_id).label("sandbox_configured"),
            _line.label("has_line"),
            dialect.version(conversations).label("version"),
        )
        .join_from(conversations, agents, agents.c.id == conversations.c.agent_id)
        .where(conversations.c.organization_id == bindparam("organization"), conversations.c.id == _THIS),
        blocks=blocks.listed(_speaker),
        tools=tools.listed(_speaker),
    )


def _claim(dialect: Dialect) -> Update:
    same = dialect.version(conversations) == bindparam("version")
    free = conversations.c.active_run_id.is_(None)
    return update(conversations).where(conversations.c.id == _THIS, free, same).values(active_run_id=bindparam("run"))


# Every turn runs these, so they are built once: building a statement takes longer than running it.
_dialects: Final = (SqliteDialect(), PostgresDialect())
_read: Final = {dialect.name: _reading(dialect) for dialect in _dialects}
_claim_as_next: Final[Mapping[str, Update]] = {dialect.name: _claim(dialect) for dialect in _dialects}
_claim_unless_waited_for: Final = {name: claim.where(~_line) for name, claim in _claim_as_next.items()}


def get(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId) -> Thread:
    """One conversation with its agent.

    Raises:
        NotFound: there is none in the organisation.
    """
    found = _find(c, organization_id, conversation_id)
    if found is None:
        raise missing(conversation_id)
    return found


def claim(
    c: Connection,
    organization_id: OrganizationId,
    conversation_id: ConversationId,
    run_id: RunId,
    *,
    out_of_line: bool = False,
) -> Thread | None:
    """Make `run_id` the one run that may write to the conversation; None when another one is, or somebody waits to be.

    With `out_of_line` it is the turn of the run, whoever waits. The claim is written `later`: where the conversation
    is not as it was then, all of the transaction is begun again.
    """
    with aside(c):
        thread = _find(c, organization_id, conversation_id)
    if thread is None or thread.conversation.active_run_id is not None or (thread.has_line and not out_of_line):
        return None
    claims = _claim_as_next if out_of_line else _claim_unless_waited_for
    given = {"conversation": conversation_id, "version": thread.version, "run": run_id}
    later(c, claims[dialect_of(c).name], given, Overtaken)
    return replace(thread, conversation=replace(thread.conversation, active_run_id=run_id))


def _find(c: Connection, organization_id: OrganizationId, conversation_id: ConversationId) -> Thread | None:
    found = _read[dialect_of(c).name].read(c, {"organization": organization_id, "conversation": conversation_id})
    if found is None:
        return None
    row, lists = found
    agent, conversation = agent_of(row), conversation_of(row[len(agents.columns) :])
    of_agent = blocks.blocks_of(lists["blocks"])
    if conversation.isolated_block_ids:
        of_agent = overlaid(of_agent, blocks.isolated(c, organization_id, conversation.isolated_block_ids))
    details = AgentDetails(
        agent=agent,
        blocks=of_agent,
        tools=tools.tools_of(lists["tools"]),
        # Most agents have no folder; whether this one has came with the agent itself.
        folders=file_views.of_agent(c, agent.id) if row.has_folders else (),
        passage_count=int(row.passage_count),
        sandbox_configured=row.sandbox_configured,
    )
    return Thread(conversation=conversation, details=details, has_line=row.has_line, version=row.version)
