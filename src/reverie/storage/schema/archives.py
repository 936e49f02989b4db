"""Archives: passages, their vectors and tags."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from reverie.storage.columns import Json, Vector
from reverie.storage.schema.base import (
    authorship_columns,
    blocks_table,
    due_table,
    identity_columns,
    metadata,
    signs_table,
)

archives = Table(
    "archives",
    metadata,
    *identity_columns(),
    Column("name", String, nullable=False),
    Column("description", Text),
    Column("embedding", String),
    Column("embedding_dim", Integer),
    Column("passage_count", Integer, nullable=False),
    Column("metadata", Json, nullable=False),
    *authorship_columns(),
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
    *identity_columns(),
    Column("archive_id", ForeignKey("archives.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("tags", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    *authorship_columns(),
    Index(None, "archive_id", "created_at", "seq"),
    Index(None, "archive_id", "seq"),
)

passage_vectors = Table(
    "passage_vectors",
    metadata,
    Column("seq", ForeignKey("passages.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("archive_id", String, nullable=False),
    Column("embedding", Vector, nullable=False),
    Index(None, "archive_id", "seq"),
)
"""An ordinary table on both databases: vectors of any length, removed with their passage."""

passage_bits = signs_table("passage_bits", "passages")
passage_blocks = blocks_table("passage_blocks", "archives")

passage_vectors_due = due_table("passage_vectors_due", "passages")
"""Passages whose archive changed its embedding model since, or whose model could not be reached."""

passage_tags = Table(
    "passage_tags",
    metadata,
    Column("passage_id", ForeignKey("passages.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String, primary_key=True),
    Column("archive_id", String, nullable=False),
    Index(None, "archive_id", "tag", "passage_id"),
)

# Tables of words stand beside passages, messages, passages of files and tools, made by the
# migrations alone: FTS5 on SQLite, tsvector on PostgreSQL. `search/` is their only user.
