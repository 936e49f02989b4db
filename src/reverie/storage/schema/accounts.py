"""Organisations, and what opens and serves them: keys and providers."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

organizations = Table(
    "organizations",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_organizations_name", "name", unique=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    *identity_columns(),
    Column("user_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("hint", String, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    *identity_columns(),
    Column("user_id", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("hostname", Text, nullable=False),
    Column("origin", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "organization_id", "seq"),
    Index(None, "origin", "expires_at"),
)

access_grants = Table(
    "access_grants",
    metadata,
    Column("token_id", ForeignKey("access_tokens.id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("access", Json, nullable=False),
    Index(None, "agent_id"),
)

providers = Table(
    "providers",
    metadata,
    *identity_columns(),
    Column("name", String, nullable=False),
    Column("provider_type", String, nullable=False),
    Column("base_url", Text),
    Column("sealed_api_key", Text),
    Column("sealed_access_key", Text),
    Column("region", String),
    Column("api_version", String),
    Column("last_synced", Instant),
    *authorship_columns(),
    UniqueConstraint("organization_id", "name"),
)
"""Providers added over the API; those of the configuration are not stored."""
