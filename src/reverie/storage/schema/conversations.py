"""Conversations, what was said in them, and the runs that said it."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from reverie.storage.columns import Instant, Json, Serial, Vector
from reverie.storage.schema.base import (
    authorship_columns,
    blocks_table,
    due_table,
    identity_columns,
    metadata,
    signs_table,
)

conversations = Table(
    "conversations",
    metadata,
    *identity_columns(),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("summary", Text),
    Column("model", String),
    Column("model_settings", Json),
    Column("isolated_block_ids", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("active_run_id", String),
    Column("prompt_id", String),
    Column("prompt_fingerprint", String),
    Column("archived", Boolean, nullable=False),
    Column("archived_at", Instant),
    Column("hidden", Boolean, nullable=False),
    Column("last_message_at", Instant),
    *authorship_columns(),
    Index(None, "organization_id", "seq"),
    Index(None, "agent_id", "seq"),
)

messages = Table(
    "messages",
    metadata,
    *identity_columns(),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),
    Column("body", Json, nullable=False),
    Column("in_context", Boolean, nullable=False),
    Column("run_id", String),
    Column("step_id", String),
    Column("otid", String),
    Column("name", String),
    Column("sender_id", String),
    Column("group_id", String),
    Column("is_err", Boolean),
    Column("model", String),
    Column("created_at", Instant, nullable=False),
    Index(None, "conversation_id", "seq"),
    Index(None, "agent_id", "seq"),
    Index(None, "organization_id", "seq"),
    Index(None, "run_id", "seq"),
    Index(None, "step_id", "seq"),
)
# A query meets a partial index only when it says the same in the same words, so they are written
# out here, and what they compare with is a literal in the query, never a bound value.
Index(
    "ix_messages_context",
    messages.c.conversation_id,
    messages.c.in_context,  # always true here; without it SQLite prefers the index of all messages
    messages.c.seq,
    sqlite_where=text("in_context = 1"),
    postgresql_where=text("in_context"),
)
Index(
    "ix_messages_group",
    messages.c.group_id,
    messages.c.seq,
    sqlite_where=text("group_id IS NOT NULL"),
    postgresql_where=text("group_id IS NOT NULL"),
)
Index(
    "ix_messages_group_otid",
    messages.c.group_id,
    messages.c.otid,
    sqlite_where=text("group_id IS NOT NULL"),
    postgresql_where=text("group_id IS NOT NULL"),
)
Index(
    "ix_messages_otid",
    messages.c.conversation_id,
    messages.c.otid,
    sqlite_where=text("run_id IS NOT NULL AND step_id IS NULL"),
    postgresql_where=text("run_id IS NOT NULL AND step_id IS NULL"),
)
Index(
    "ix_messages_approvals",
    messages.c.conversation_id,
    messages.c.seq,
    sqlite_where=text("kind = 'approval_request' AND in_context = 1"),
    postgresql_where=text("kind = 'approval_request' AND in_context"),
)

open_approvals = Table(
    "open_approvals",
    metadata,
    Column("seq", ForeignKey("messages.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("conversation_id", String, nullable=False, index=True),
)
"""Requests that no result followed yet, so that what waits is found without reading what was answered."""

message_vectors = Table(
    "message_vectors",
    metadata,
    Column("seq", ForeignKey("messages.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("agent_id", String, nullable=False),
    Column("embedding", Vector, nullable=False),
)

message_bits = signs_table("message_bits", "messages")
message_blocks = blocks_table("message_blocks", "agents")

message_vectors_due = due_table("message_vectors_due", "messages")
"""What users and agents said, from the transaction that stores it until its vector is made; a trigger fills it."""

runs = Table(
    "runs",
    metadata,
    *identity_columns(),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("status", String, nullable=False),
    Column("stop_reason", String),
    Column("background", Boolean, nullable=False),
    Column("request", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("usage", Json, nullable=False),
    Column("tools_used", Json, nullable=False),
    Column("project_id", String),
    Column("template_id", String),
    Column("base_template_id", String),
    Column("error", Json),
    Column("worker_id", String),
    Column("fence", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("callback_url", Text),
    Column("callback_sent_at", Instant),
    Column("callback_status_code", Integer),
    Column("callback_error", Text),
    Column("created_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("ttft_ns", BigInteger),
    Column("total_duration_ns", BigInteger),
    Index(None, "organization_id", "seq"),
    Index(None, "agent_id", "seq"),
    Index(None, "conversation_id", "seq"),
)
Index(
    "ix_runs_live",
    runs.c.worker_id,
    sqlite_where=text("completed_at IS NULL"),
    postgresql_where=text("completed_at IS NULL"),
)

steps = Table(
    "steps",
    metadata,
    *identity_columns(),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("conversation_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("stop_reason", String),
    Column("model", String, nullable=False),
    Column("model_handle", String, nullable=False),
    Column("model_endpoint", String),
    Column("provider_name", String),
    Column("provider_category", String),
    Column("context_window_limit", Integer),
    Column("usage", Json, nullable=False),
    Column("error_type", String),
    Column("error_data", Json),
    Column("feedback", String),
    Column("tags", Json, nullable=False),
    Column("project_id", String),
    Column("model_ns", BigInteger),
    Column("tools_ns", BigInteger),
    Column("tool_times", Json),
    Column("created_at", Instant, nullable=False),
    Index(None, "organization_id", "seq"),
    Index(None, "run_id", "seq"),
    Index(None, "agent_id", "seq"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("first_seq", Integer, primary_key=True),
    Column("last_seq", Integer, nullable=False),
    Column("events", Text, nullable=False),
)
"""The event log of background runs, some events to a row, so that readers can come back to it."""

waiting = Table(
    "waiting",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("organization_id", String, nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("worker_id", String),
    Column("request", Json),
    Index(None, "conversation_id", "rank", "seq"),
)
"""The lines before conversations. A background run that waits has its request here, and any worker may start it;
a request whose client holds on to its connection has a place and the worker that the connection leads to."""

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lease_until", Instant, nullable=False),
)
"""Processes that drive runs. A run whose worker's lease has passed may be taken over."""
