"""What was said to model providers, and when each call of a step ran."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "provider_traces",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("step_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("call_type", sa.String(), nullable=False),
        sa.Column("latency_ns", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_provider_traces_run_id_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_provider_traces")),
        sa.UniqueConstraint("id", name=op.f("uq_provider_traces_id")),
    )
    with op.batch_alter_table("provider_traces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_provider_traces_run_id"), ["run_id"], unique=False)
    with op.batch_alter_table("steps", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tool_times", Json, nullable=True))
