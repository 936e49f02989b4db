"""Projects."""

from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from reverie.storage.schema.base import authorship_columns, identity_columns, metadata

projects = Table(
    "projects",
    metadata,
    *identity_columns(),
    Column("name", String, nullable=False),
    Column("slug", String, nullable=False),
    *authorship_columns(),
    UniqueConstraint("organization_id", "name"),
    UniqueConstraint("organization_id", "slug"),
    Index(None, "organization_id", "seq"),
)
