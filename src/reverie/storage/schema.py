"""The tables.

`seq` is the order of insertion: pages are cut by it, so a page's cost does not depend on its
depth and rows added meanwhile do not shift it. `id` is what the API shows.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from reverie.storage.columns import Instant, Json, Serial, Vector

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _identity() -> list[Column[Any]]:
    return [
        Column("seq", Serial, primary_key=True, autoincrement=True),
        Column("id", String, nullable=False, unique=True),
        Column("organization_id", String, nullable=False),
    ]


def _authorship() -> list[Column[Any]]:
    return [
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        Column("created_by_id", String),
        Column("last_updated_by_id", String),
    ]


def _template_fields() -> list[Column[Any]]:
    return [
        Column("project_id", String),
        Column("template_id", String),
        Column("base_template_id", String),
        Column("deployment_id", String),
        Column("entity_id", String),
    ]


organizations = Table(
    "organizations",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", Instant, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    *_identity(),
    Column("user_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("hint", String, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

agents = Table(
    "agents",
    metadata,
    *_identity(),
    Column("name", String, nullable=False),
    Column("agent_type", String, nullable=False),
    Column("system", Text, nullable=False),
    Column("model", String, nullable=False),
    Column("embedding", String),
    Column("model_settings", Json, nullable=False),
    Column("context_window_limit", Integer),
    Column("compaction_settings", Json),
    Column("response_format", Json),
    Column("tool_rules", Json, nullable=False),
    Column("approvals", Json, nullable=False),
    Column("description", Text),
    Column("metadata", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("sealed_secrets", Json, nullable=False),
    Column("timezone", String, nullable=False),
    Column("message_buffer_autoclear", Boolean, nullable=False),
    Column("enable_sleeptime", Boolean),
    Column("max_files_open", Integer),
    Column("per_file_view_window_char_limit", Integer),
    Column("hidden", Boolean),
    *_template_fields(),
    Column("last_run_completion", Instant),
    Column("last_run_duration_ms", Integer),
    Column("last_stop_reason", String),
    *_authorship(),
    Index(None, "organization_id", "seq"),
    Index(None, "organization_id", "name"),
    Index(None, "organization_id", "updated_at", "seq"),
    Index(None, "organization_id", "last_run_completion", "seq"),
)

agent_tags = Table(
    "agent_tags",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String, primary_key=True),
    Column("organization_id", String, nullable=False),
    Index(None, "organization_id", "tag", "agent_id"),
)
"""The agents' `tags` once more, for finding agents by tag."""

blocks = Table(
    "blocks",
    metadata,
    *_identity(),
    Column("label", String, nullable=False),
    Column("value", Text, nullable=False),
    Column("limit", Integer, nullable=False),
    Column("description", Text),
    Column("read_only", Boolean, nullable=False),
    Column("hidden", Boolean),
    Column("metadata", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("is_template", Boolean, nullable=False),
    Column("template_name", String),
    Column("preserve_on_migration", Boolean),
    *_template_fields(),
    Column("version", Integer, nullable=False),
    *_authorship(),
    Index(None, "organization_id", "seq"),
    Index(None, "organization_id", "label", "seq"),
)

agent_blocks = Table(
    "agent_blocks",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("block_id", ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String, nullable=False),
    Column("position", Integer, nullable=False),
    UniqueConstraint("agent_id", "label"),
    Index(None, "block_id"),
)
"""`label` repeats the block's, so that one agent never has two of the same."""

block_changes = Table(
    "block_changes",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("organization_id", String, nullable=False),
    Column("block_id", ForeignKey("blocks.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("actor", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("block_id", "version"),
)
"""Every change of a block's value, and who made it: agent, run and tool, or a key."""

identities = Table(
    "identities",
    metadata,
    *_identity(),
    Column("identifier_key", String, nullable=False),
    Column("name", String, nullable=False),
    Column("identity_type", String, nullable=False),
    Column("properties", Json, nullable=False),
    Column("project_id", String),
    *_authorship(),
    UniqueConstraint("organization_id", "identifier_key", "project_id"),
    Index(None, "organization_id", "seq"),
)
# The constraint holds for named projects only, since NULL equals nothing, not even NULL.
Index(
    "uq_identities_without_project",
    identities.c.organization_id,
    identities.c.identifier_key,
    unique=True,
    sqlite_where=text("project_id IS NULL"),
    postgresql_where=text("project_id IS NULL"),
)

agent_identities = Table(
    "agent_identities",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("identity_id", ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "identity_id"),
)

block_identities = Table(
    "block_identities",
    metadata,
    Column("block_id", ForeignKey("blocks.id", ondelete="CASCADE"), primary_key=True),
    Column("identity_id", ForeignKey("identities.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "identity_id"),
)

tools = Table(
    "tools",
    metadata,
    *_identity(),
    Column("name", String, nullable=False),
    Column("tool_type", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("json_schema", Json, nullable=False),
    Column("args_json_schema", Json),
    Column("source_code", Text),
    Column("source_type", String, nullable=False),
    Column("tags", Json, nullable=False),
    Column("return_char_limit", Integer, nullable=False),
    Column("default_requires_approval", Boolean),
    Column("enable_parallel_execution", Boolean, nullable=False),
    Column("pip_requirements", Json, nullable=False),
    Column("npm_requirements", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("project_id", String),
    *_authorship(),
    UniqueConstraint("organization_id", "name"),
    Index(None, "organization_id", "seq"),
)

agent_tools = Table(
    "agent_tools",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("tool_id", ForeignKey("tools.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Index(None, "tool_id"),
)

conversations = Table(
    "conversations",
    metadata,
    *_identity(),
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
    Column("last_message_at", Instant),
    *_authorship(),
    Index(None, "organization_id", "seq"),
    Index(None, "agent_id", "seq"),
)

messages = Table(
    "messages",
    metadata,
    *_identity(),
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
    "ix_messages_otid",
    messages.c.conversation_id,
    messages.c.otid,
    sqlite_where=text("kind = 'user'"),
    postgresql_where=text("kind = 'user'"),
)
Index(
    "ix_messages_approvals",
    messages.c.conversation_id,
    messages.c.seq,
    sqlite_where=text("kind = 'approval_request' AND in_context = 1"),
    postgresql_where=text("kind = 'approval_request' AND in_context"),
)

runs = Table(
    "runs",
    metadata,
    *_identity(),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("status", String, nullable=False),
    Column("stop_reason", String),
    Column("background", Boolean, nullable=False),
    Column("request", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("usage", Json, nullable=False),
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
    *_identity(),
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

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lease_until", Instant, nullable=False),
)
"""Processes that drive runs. A run whose worker's lease has passed may be taken over."""

archives = Table(
    "archives",
    metadata,
    *_identity(),
    Column("name", String, nullable=False),
    Column("description", Text),
    Column("embedding", String),
    Column("embedding_dim", Integer),
    Column("passage_count", Integer, nullable=False),
    Column("metadata", Json, nullable=False),
    *_authorship(),
    Index(None, "organization_id", "seq"),
)

agent_archives = Table(
    "agent_archives",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("archive_id", ForeignKey("archives.id", ondelete="CASCADE"), primary_key=True),
    Column("is_owner", Boolean, nullable=False),
    Index(None, "archive_id"),
)
"""An owned archive was made for its agent and goes with it."""

passages = Table(
    "passages",
    metadata,
    *_identity(),
    Column("archive_id", ForeignKey("archives.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("tags", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    *_authorship(),
    Index(None, "archive_id", "created_at", "seq"),
)

passage_vectors = Table(
    "passage_vectors",
    metadata,
    Column("seq", ForeignKey("passages.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("archive_id", String, nullable=False),
    Column("embedding", Vector, nullable=False),
    Index(None, "archive_id", "seq"),
)
"""An ordinary table on both databases: vectors of any length, removed with their passage.

A search measures every vector of one archive, which the index keeps together; 10,000 of 384
numbers take about 15 ms on SQLite, as much as in a `vec0` table of sqlite-vec.
"""

passage_tags = Table(
    "passage_tags",
    metadata,
    Column("passage_id", ForeignKey("passages.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String, primary_key=True),
    Column("archive_id", String, nullable=False),
    Index(None, "archive_id", "tag", "passage_id"),
)

providers = Table(
    "providers",
    metadata,
    *_identity(),
    Column("name", String, nullable=False),
    Column("provider_type", String, nullable=False),
    Column("base_url", Text),
    Column("sealed_api_key", Text),
    Column("sealed_access_key", Text),
    Column("region", String),
    Column("api_version", String),
    Column("last_synced", Instant),
    *_authorship(),
    UniqueConstraint("organization_id", "name"),
)
"""Providers added over the API; those of the configuration are not stored."""

# Two tables of words stand beside these, `passage_words` and `message_words`, made by
# the migrations alone: FTS5 on SQLite, tsvector on PostgreSQL. `search.py` is their only user.
