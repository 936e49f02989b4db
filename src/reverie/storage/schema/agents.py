"""Agents, their memory blocks, tools and owners."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, false, text

from reverie.storage.columns import Instant, Json, Serial, Vector
from reverie.storage.schema.base import (
    authorship_columns,
    blocks_table,
    identity_columns,
    metadata,
    signs_table,
    template_columns,
)

agents = Table(
    "agents",
    metadata,
    *identity_columns(),
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
    *template_columns(),
    Column("last_run_completion", Instant),
    Column("last_run_duration_ms", Integer),
    Column("last_stop_reason", String),
    *authorship_columns(),
    # Set by the first search among its messages by meaning, which only then get vectors.
    Column("finds_by_meaning", Boolean, nullable=False, server_default=false()),
    Index(None, "organization_id", "seq"),
    Index(None, "organization_id", "name"),
    Index(None, "organization_id", "updated_at", "seq"),
    Index(None, "organization_id", "last_run_completion", "seq"),
    Index(None, "organization_id", "deployment_id"),
    Index(None, "organization_id", "template_id"),
    Index(None, "organization_id", "base_template_id"),
    Index(None, "organization_id", "project_id", "seq"),
)

agent_openings = Table(
    "agent_openings",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("inputs", Json, nullable=False),
)
"""What was said to an agent when it was made; a reset may say it again."""

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
    *identity_columns(),
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
    *template_columns(),
    Column("version", Integer, nullable=False),
    *authorship_columns(),
    Index(None, "organization_id", "seq"),
    Index(None, "organization_id", "label", "seq"),
    Index(None, "organization_id", "deployment_id"),
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
    *identity_columns(),
    Column("identifier_key", String, nullable=False),
    Column("name", String, nullable=False),
    Column("identity_type", String, nullable=False),
    Column("properties", Json, nullable=False),
    Column("project_id", String),
    *authorship_columns(),
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
    *identity_columns(),
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
    *authorship_columns(),
    UniqueConstraint("organization_id", "name"),
    Index(None, "organization_id", "seq"),
)

tool_vectors = Table(
    "tool_vectors",
    metadata,
    Column("seq", ForeignKey("tools.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("organization_id", String, nullable=False),
    Column("embedding", Vector, nullable=False),
)
"""Made when tools are searched, by the server's own embedder; a trigger removes those of tools that change."""

tool_bits = signs_table("tool_bits", "tools")
tool_blocks = blocks_table("tool_blocks", "organizations")

agent_tools = Table(
    "agent_tools",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("tool_id", ForeignKey("tools.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Index(None, "tool_id"),
)
