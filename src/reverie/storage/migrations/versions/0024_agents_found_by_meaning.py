"""Vectors are made for the messages of those agents that are searched by meaning."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_SQLITE = (
    "DROP TRIGGER messages_want_vectors",
    """CREATE TRIGGER messages_want_vectors AFTER INSERT ON messages WHEN new.kind IN ('user', 'assistant') BEGIN
        INSERT INTO message_vectors_due (seq)
        SELECT new.seq FROM agents WHERE id = new.agent_id AND finds_by_meaning;
    END""",
)
_POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION message_wants_vector() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO message_vectors_due (seq)
        SELECT new.seq FROM agents WHERE id = new.agent_id AND finds_by_meaning;
        RETURN NULL;
    END $$""",
)


def upgrade() -> None:
    """Apply it. Vectors that are there stay; those that only waited are made when somebody looks."""
    op.add_column("agents", sa.Column("finds_by_meaning", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("DELETE FROM message_vectors_due")
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
