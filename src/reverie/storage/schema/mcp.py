"""MCP servers, their tools, and consents under way."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

mcp_servers = Table(
    "mcp_servers",
    metadata,
    *identity_columns(),
    Column("server_name", String, nullable=False),
    Column("server_type", String, nullable=False),
    Column("server_url", Text),
    Column("auth_header", String),
    Column("command", Text),
    Column("args", Json, nullable=False),
    Column("sealed_secrets", Text),
    Column("sealed_grant", Text),
    *authorship_columns(),
    UniqueConstraint("organization_id", "server_name"),
    Index(None, "organization_id", "seq"),
)

mcp_tools = Table(
    "mcp_tools",
    metadata,
    Column("tool_id", ForeignKey("tools.id", ondelete="CASCADE"), primary_key=True),
    Column("server_id", ForeignKey("mcp_servers.id", ondelete="CASCADE"), nullable=False),
    Column("tool_name", String, nullable=False),
    Column("renamed", Json, nullable=False),
    UniqueConstraint("server_id", "tool_name"),
)
"""Which row of `tools` is which tool of which server, by the server's own name for it."""

mcp_sessions = Table(
    "mcp_sessions",
    metadata,
    *identity_columns(),
    Column("user_id", String, nullable=False),
    Column("server_id", ForeignKey("mcp_servers.id", ondelete="CASCADE")),
    Column("server_url", Text, nullable=False),
    Column("state", String, nullable=False, unique=True),
    Column("sealed_answer", Text),
    Column("sealed_grant", Text),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "server_id"),
    Index(None, "expires_at"),
)
"""Short-lived: whoever begins a consent removes those that have expired."""
