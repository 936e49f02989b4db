"""Schedules."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "schedules",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("timing", Json, nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("inputs", Json, nullable=False),
        sa.Column("max_steps", sa.Integer(), nullable=True),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("include_return_message_types", Json, nullable=True),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("last_due_at", Instant(), nullable=True),
        sa.Column("last_run_id", sa.String(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_schedules_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_schedules")),
        sa.UniqueConstraint("id", name=op.f("uq_schedules_id")),
    )
    with op.batch_alter_table("schedules", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_schedules_agent_id_seq"), ["agent_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_schedules_next_at"), ["next_at"], unique=False)
