"""Folders and their files, with passages that are searched, and what agents have of them."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial, Vector

revision = "0007"
down_revision = "0006"


# As the words of archives' passages are kept, see 0002.
_SQLITE = (
    """CREATE VIRTUAL TABLE file_passage_words USING fts5(
        text, content='file_passages', content_rowid='seq', tokenize='porter unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER file_passages_forget_words AFTER DELETE ON file_passages BEGIN
        INSERT INTO file_passage_words (file_passage_words, rowid, text) VALUES ('delete', old.seq, old.text);
    END""",
)
_POSTGRESQL = (
    """CREATE TABLE file_passage_words (
        seq bigint PRIMARY KEY REFERENCES file_passages (seq) ON DELETE CASCADE, words tsvector NOT NULL)""",
    "CREATE INDEX ix_file_passage_words_words ON file_passage_words USING gin (words)",
)


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "folders",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("embedding", sa.String(), nullable=True),
        sa.Column("embedding_chunk_size", sa.Integer(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_folders")),
        sa.UniqueConstraint("id", name=op.f("uq_folders_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_folders_organization_id_name")),
    )
    with op.batch_alter_table("folders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_folders_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "agent_folders",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_folders_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name=op.f("fk_agent_folders_folder_id_folders"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "folder_id", name=op.f("pk_agent_folders")),
    )
    with op.batch_alter_table("agent_folders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_folders_folder_id"), ["folder_id"], unique=False)
    op.create_table(
        "files",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("original_file_name", sa.String(), nullable=False),
        sa.Column("file_type", sa.String(), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("total_chunks", sa.Integer(), nullable=True),
        sa.Column("chunks_embedded", sa.Integer(), nullable=True),
        sa.Column("line_count", sa.Integer(), nullable=True),
        sa.Column("worker_id", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name=op.f("fk_files_folder_id_folders"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_files")),
        sa.UniqueConstraint("folder_id", "file_name", name=op.f("uq_files_folder_id_file_name")),
        sa.UniqueConstraint("id", name=op.f("uq_files_id")),
    )
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_files_folder_id_seq"), ["folder_id", "seq"], unique=False)
        batch_op.create_index(
            "ix_files_unfinished",
            ["seq"],
            unique=False,
            sqlite_where=sa.text("status IN ('pending', 'parsing', 'embedding')"),
            postgresql_where=sa.text("status IN ('pending', 'parsing', 'embedding')"),
        )
    op.create_table(
        "agent_files",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("view", sa.Text(), nullable=True),
        sa.Column("start_line", sa.Integer(), nullable=True),
        sa.Column("end_line", sa.Integer(), nullable=True),
        sa.Column("last_accessed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_files_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_agent_files_file_id_files"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "file_id", name=op.f("pk_agent_files")),
    )
    with op.batch_alter_table("agent_files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_files_file_id"), ["file_id"], unique=False)
    op.create_table(
        "file_contents",
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_contents_file_id_files"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_file_contents")),
    )
    op.create_table(
        "file_passages",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start_line", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_passages_file_id_files"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name=op.f("fk_file_passages_folder_id_folders"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_file_passages")),
        sa.UniqueConstraint("id", name=op.f("uq_file_passages_id")),
    )
    with op.batch_alter_table("file_passages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_file_passages_file_id_seq"), ["file_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_file_passages_folder_id_seq"), ["folder_id", "seq"], unique=False)
    op.create_table(
        "file_passage_vectors",
        sa.Column("seq", Serial, autoincrement=False, nullable=False),
        sa.Column("folder_id", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.ForeignKeyConstraint(
            ["seq"], ["file_passages.seq"], name=op.f("fk_file_passage_vectors_seq_file_passages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_file_passage_vectors")),
    )
    with op.batch_alter_table("file_passage_vectors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_file_passage_vectors_folder_id_seq"), ["folder_id", "seq"], unique=False)
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
