"""What organisations say about the sandbox of their tools."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "sandbox_configs",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sandbox_configs")),
        sa.UniqueConstraint("id", name=op.f("uq_sandbox_configs_id")),
        sa.UniqueConstraint("organization_id", name=op.f("uq_sandbox_configs_organization_id")),
    )
    op.create_table(
        "sandbox_variables",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("sandbox_config_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sealed_value", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sandbox_config_id"],
            ["sandbox_configs.id"],
            name=op.f("fk_sandbox_variables_sandbox_config_id_sandbox_configs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sandbox_variables")),
        sa.UniqueConstraint("id", name=op.f("uq_sandbox_variables_id")),
        sa.UniqueConstraint("sandbox_config_id", "key", name=op.f("uq_sandbox_variables_sandbox_config_id_key")),
    )
