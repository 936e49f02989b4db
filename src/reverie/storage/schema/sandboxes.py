"""What organisations say about the sandbox of their tools."""

from sqlalchemy import Column, ForeignKey, String, Table, Text, UniqueConstraint

from reverie.storage.columns import Json
from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

sandbox_configs = Table(
    "sandbox_configs",
    metadata,
    *identity_columns(),
    Column("settings", Json, nullable=False),
    *authorship_columns(),
    UniqueConstraint("organization_id"),
)

sandbox_variables = Table(
    "sandbox_variables",
    metadata,
    *identity_columns(),
    Column("sandbox_config_id", ForeignKey("sandbox_configs.id", ondelete="CASCADE"), nullable=False),
    Column("key", String, nullable=False),
    Column("sealed_value", Text, nullable=False),
    Column("description", Text),
    *authorship_columns(),
    UniqueConstraint("sandbox_config_id", "key"),
)
