"""Schedules."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import identity_columns, metadata

schedules = Table(
    "schedules",
    metadata,
    *identity_columns(),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("timing", Json, nullable=False),
    Column("timezone", String, nullable=False),
    Column("inputs", Json, nullable=False),
    Column("max_steps", Integer),
    Column("callback_url", Text),
    Column("include_return_message_types", Json),
    Column("next_at", Instant),
    Column("last_due_at", Instant),
    Column("last_run_id", String),
    Column("last_error", Text),
    Column("created_at", Instant, nullable=False),
    Column("created_by_id", String),
    Index(None, "agent_id", "seq"),
    Index(None, "next_at"),
)
