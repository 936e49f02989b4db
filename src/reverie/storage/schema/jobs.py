"""Callbacks that have still to be made, and batches of requests."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import identity_columns, metadata

callbacks = Table(
    "callbacks",
    metadata,
    *identity_columns(),
    Column("owner_id", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("payload", Json, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Index(None, "due_at"),
)
"""Rows are gone once the callback was made or given up; what came of it stands with the run or batch."""

batches = Table(
    "batches",
    metadata,
    *identity_columns(),
    Column("status", String, nullable=False),
    Column("runs_before", BigInteger, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("callback_url", Text),
    Column("callback_sent_at", Instant),
    Column("callback_status_code", Integer),
    Column("callback_error", Text),
    Column("created_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("created_by_id", String),
    Index(None, "organization_id", "seq"),
)
"""`runs_before` is the place of the newest run at the time: jobs are runs and batches in one order."""
Index(
    "ix_batches_open",
    batches.c.seq,
    sqlite_where=text("completed_at IS NULL"),
    postgresql_where=text("completed_at IS NULL"),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("agent_id", String, nullable=False),
    Column("request", Json, nullable=False),
    Column("run_id", String),
    Column("error", Text),
    UniqueConstraint("run_id"),
)
"""A request of a batch: `run_id` once it was accepted, `error` when it never was."""
