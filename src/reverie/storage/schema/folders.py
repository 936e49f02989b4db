"""Folders, their files and passages, and what agents have of them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from reverie.storage.columns import Instant, Json, Vector
from reverie.storage.schema.base import authorship_columns, blocks_table, identity_columns, metadata, signs_table

folders = Table(
    "folders",
    metadata,
    *identity_columns(),
    Column("name", String, nullable=False),
    Column("description", Text),
    Column("instructions", Text),
    Column("embedding", String),
    Column("embedding_chunk_size", Integer, nullable=False),
    Column("metadata", Json, nullable=False),
    *authorship_columns(),
    UniqueConstraint("organization_id", "name"),
    Index(None, "organization_id", "seq"),
)

files = Table(
    "files",
    metadata,
    *identity_columns(),
    Column("folder_id", ForeignKey("folders.id", ondelete="CASCADE"), nullable=False),
    Column("file_name", String, nullable=False),
    Column("original_file_name", String, nullable=False),
    Column("file_type", String, nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("error_message", Text),
    Column("total_chunks", Integer),
    Column("chunks_embedded", Integer),
    Column("line_count", Integer),
    Column("worker_id", String),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant),
    *authorship_columns(),
    UniqueConstraint("folder_id", "file_name"),
    Index(None, "folder_id", "seq"),
    Index(
        "ix_files_unfinished",
        "seq",
        sqlite_where=text("status IN ('pending', 'parsing', 'embedding')"),
        postgresql_where=text("status IN ('pending', 'parsing', 'embedding')"),
    ),
)

file_contents = Table(
    "file_contents",
    metadata,
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("text", Text),
)
"""Apart from the files, so that lists do not read them."""

file_passages = Table(
    "file_passages",
    metadata,
    *identity_columns(),
    Column("folder_id", ForeignKey("folders.id", ondelete="CASCADE"), nullable=False),
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("start_line", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index(None, "folder_id", "seq"),
    Index(None, "file_id", "seq"),
)

file_passage_vectors = Table(
    "file_passage_vectors",
    metadata,
    Column("seq", ForeignKey("file_passages.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("folder_id", String, nullable=False),
    Column("embedding", Vector, nullable=False),
    Index(None, "folder_id", "seq"),
)
"""As `passage_vectors` are; `file_passage_words` stands beside it, made by the migrations alone."""

file_passage_bits = signs_table("file_passage_bits", "file_passages")
file_passage_blocks = blocks_table("file_passage_blocks", "folders")

agent_folders = Table(
    "agent_folders",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("folder_id", ForeignKey("folders.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Index(None, "folder_id"),
)

agent_files = Table(
    "agent_files",
    metadata,
    Column("agent_id", ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True),
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("is_open", Boolean, nullable=False),
    Column("view", Text),
    Column("start_line", Integer),
    Column("end_line", Integer),
    Column("last_accessed_at", Instant, nullable=False),
    Index(None, "file_id"),
)
"""The files that an agent has looked at. Every other file of its folders is closed and has no row here.

`view` is what the prompt shows, made when the file was opened: a turn reads no whole files.
"""
