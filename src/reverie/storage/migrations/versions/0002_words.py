"""Tables of words, and pgvector where it can be had.

The tables are not in `schema/`, because SQLAlchemy knows neither of the two kinds.
"""

from contextlib import suppress

from alembic import op
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

revision = "0002"
down_revision = "0001"

# Passages are not kept twice: their table of words looks the text up in `passages`. The words of
# a message lie inside its JSON body, so its table keeps them itself.
_SQLITE = (
    """CREATE VIRTUAL TABLE passage_words USING fts5(
        text, content='passages', content_rowid='seq', tokenize='porter unicode61 remove_diacritics 2')""",
    """CREATE VIRTUAL TABLE message_words USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')""",
    # Rows also go when an archive, a conversation or an agent goes, so the database itself clears up.
    """CREATE TRIGGER passages_forget_words AFTER DELETE ON passages BEGIN
        INSERT INTO passage_words (passage_words, rowid, text) VALUES ('delete', old.seq, old.text);
    END""",
    """CREATE TRIGGER messages_forget_words AFTER DELETE ON messages BEGIN
        DELETE FROM message_words WHERE rowid = old.seq;
    END""",
)
_POSTGRESQL = (
    """CREATE TABLE passage_words (
        seq bigint PRIMARY KEY REFERENCES passages (seq) ON DELETE CASCADE, words tsvector NOT NULL)""",
    """CREATE TABLE message_words (
        seq bigint PRIMARY KEY REFERENCES messages (seq) ON DELETE CASCADE, words tsvector NOT NULL)""",
    "CREATE INDEX ix_passage_words_words ON passage_words USING gin (words)",
    "CREATE INDEX ix_message_words_words ON message_words USING gin (words)",
)


def upgrade() -> None:
    """Apply it."""
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":
        _ask_for_pgvector(connection)


def _ask_for_pgvector(connection: Connection) -> None:
    offered = connection.exec_driver_sql("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").first()
    if offered is not None:
        # Not everybody may make extensions. Without it texts are found by their words alone.
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
