"""Identities, and which agents and blocks they have."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "identities",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("identifier_key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("identity_type", sa.String(), nullable=False),
        sa.Column("properties", Json, nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_identities")),
        sa.UniqueConstraint("id", name=op.f("uq_identities_id")),
        sa.UniqueConstraint(
            "organization_id",
            "identifier_key",
            "project_id",
            name=op.f("uq_identities_organization_id_identifier_key_project_id"),
        ),
    )
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identities_organization_id_seq"), ["organization_id", "seq"], unique=False)
        batch_op.create_index(
            "uq_identities_without_project",
            ["organization_id", "identifier_key"],
            unique=True,
            sqlite_where=sa.text("project_id IS NULL"),
            postgresql_where=sa.text("project_id IS NULL"),
        )
    op.create_table(
        "agent_identities",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("identity_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_identities_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identities.id"],
            name=op.f("fk_agent_identities_identity_id_identities"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("agent_id", "identity_id", name=op.f("pk_agent_identities")),
    )
    with op.batch_alter_table("agent_identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_identities_identity_id"), ["identity_id"], unique=False)
    op.create_table(
        "block_identities",
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("identity_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_block_identities_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"],
            ["identities.id"],
            name=op.f("fk_block_identities_identity_id_identities"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("block_id", "identity_id", name=op.f("pk_block_identities")),
    )
    with op.batch_alter_table("block_identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_block_identities_identity_id"), ["identity_id"], unique=False)
    # In place, not as a batch, which would copy every agent. The ids it held were of nothing: there were no identities.
    op.drop_column("agents", "identity_ids")
