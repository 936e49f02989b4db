"""Environments, and messages on their way to them."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "environment_deliveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("sent_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environment_deliveries")),
    )
    with op.batch_alter_table("environment_deliveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_environment_deliveries_connection_id"), ["connection_id"], unique=False)
    op.create_table(
        "environments",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("connection_name", sa.Text(), nullable=False),
        sa.Column("api_key_owner", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("current_mode", sa.String(), nullable=True),
        sa.Column("pod_id", sa.String(), nullable=True),
        sa.Column("connected_at", Instant(), nullable=True),
        sa.Column("last_heartbeat", Instant(), nullable=True),
        sa.Column("last_seen_at", Instant(), nullable=False),
        sa.Column("first_seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_environments")),
        sa.UniqueConstraint("connection_id", name=op.f("uq_environments_connection_id")),
        sa.UniqueConstraint("id", name=op.f("uq_environments_id")),
        sa.UniqueConstraint("organization_id", "device_id", name=op.f("uq_environments_organization_id_device_id")),
    )
    with op.batch_alter_table("environments", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_environments_organization_id_seq"), ["organization_id", "seq"], unique=False
        )
