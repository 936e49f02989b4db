"""Groups of agents, and what sleeptime members have read."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

groups = Table(
    "groups",
    metadata,
    *identity_columns(),
    Column("manager_type", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("manager_agent_id", ForeignKey("agents.id", ondelete="CASCADE")),
    Column("termination_token", String),
    Column("max_turns", Integer),
    Column("sleeptime_agent_frequency", Integer),
    Column("max_message_buffer_length", Integer),
    Column("min_message_buffer_length", Integer),
    Column("hidden", Boolean),
    Column("project_id", String),
    Column("template_id", String),
    Column("base_template_id", String),
    Column("deployment_id", String),
    *authorship_columns(),
    Index(None, "organization_id", "seq"),
    Index(None, "manager_agent_id"),
)

group_agents = Table(
    "group_agents",
    metadata,
    Column("group_id", ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Index(None, "agent_id"),
)

group_blocks = Table(
    "group_blocks",
    metadata,
    Column("group_id", ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("block_id", ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Index(None, "block_id"),
)

group_turns = Table(
    "group_turns",
    metadata,
    Column("group_id", ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("turns", Integer, nullable=False),
    Column("reviewed_turns", Integer, nullable=False),
    Column("due", Boolean, nullable=False),
    Column("processed_message_id", String),
    Column("claimed_message_id", String),
    Column("run_id", String),
    Index(None, "agent_id"),
    Index(None, "conversation_id"),
)
"""For each sleeptime member and each conversation of the main agent: turns, and how far the member has read.

`claimed_message_id` is where the review of `run_id` ends. It counts once that run has ended
well; until then, and if it fails, `processed_message_id` does.
"""
Index(
    "ix_group_turns_due",
    group_turns.c.group_id,
    sqlite_where=text("due = 1"),
    postgresql_where=text("due"),
)
