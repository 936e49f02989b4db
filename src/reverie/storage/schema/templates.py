"""Templates, their versions, and what was made of them."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from reverie.storage.columns import Instant, Json
from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

templates = Table(
    "templates",
    metadata,
    *identity_columns(),
    Column("project_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", Text),
    Column("latest_version", Integer, nullable=False),
    *authorship_columns(),
    UniqueConstraint("organization_id", "project_id", "name"),
    Index(None, "organization_id", "seq"),
    Index(None, "organization_id", "updated_at", "seq"),
    Index(None, "organization_id", "name"),
)

template_versions = Table(
    "template_versions",
    metadata,
    *identity_columns(),
    Column("template_id", ForeignKey("templates.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("file", Json, nullable=False),
    Column("sealed_secrets", Json, nullable=False),
    Column("message", Text),
    Column("rules", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("template_id", "number"),
)

deployments = Table(
    "deployments",
    metadata,
    *identity_columns(),
    Column("template_id", String, nullable=False),
    Column("version_id", String, nullable=False),
    Column("project_id", String, nullable=False),
    Column("memory_variables", Json, nullable=False),
    *authorship_columns(),
    Index(None, "template_id", "seq"),
)
"""What was made of a template outlives it, so these rows do too."""
