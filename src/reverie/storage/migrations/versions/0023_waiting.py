"""Lines before conversations."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Json, Serial

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "waiting",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(), nullable=True),
        sa.Column("request", Json, nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_waiting_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_waiting")),
        sa.UniqueConstraint("id", name=op.f("uq_waiting_id")),
    )
    op.create_index(op.f("ix_waiting_conversation_id_rank_seq"), "waiting", ["conversation_id", "rank", "seq"])
