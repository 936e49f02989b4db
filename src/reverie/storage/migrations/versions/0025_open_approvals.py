"""Requests for approval that are open."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Serial

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "open_approvals",
        sa.Column("seq", Serial, autoincrement=False, nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["seq"], ["messages.seq"], name=op.f("fk_open_approvals_seq_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_open_approvals")),
    )
    op.create_index(op.f("ix_open_approvals_conversation_id"), "open_approvals", ["conversation_id"])
    in_context = "in_context = 1" if op.get_bind().dialect.name == "sqlite" else "in_context"
    op.execute(
        f"""
        INSERT INTO open_approvals (seq, conversation_id)
        SELECT seq, conversation_id FROM messages WHERE kind = 'approval_request' AND {in_context} AND NOT EXISTS (
            SELECT 1 FROM messages AS result
            WHERE result.conversation_id = messages.conversation_id AND result.seq > messages.seq
                AND result.{in_context} AND result.kind = 'tool_return'
        )
        """
    )
