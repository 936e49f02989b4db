"""Groups of agents, and what their sleeptime members have read."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Serial

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "groups",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("manager_type", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("manager_agent_id", sa.String(), nullable=True),
        sa.Column("termination_token", sa.String(), nullable=True),
        sa.Column("max_turns", sa.Integer(), nullable=True),
        sa.Column("sleeptime_agent_frequency", sa.Integer(), nullable=True),
        sa.Column("max_message_buffer_length", sa.Integer(), nullable=True),
        sa.Column("min_message_buffer_length", sa.Integer(), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=True),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("template_id", sa.String(), nullable=True),
        sa.Column("base_template_id", sa.String(), nullable=True),
        sa.Column("deployment_id", sa.String(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["manager_agent_id"], ["agents.id"], name=op.f("fk_groups_manager_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_groups")),
        sa.UniqueConstraint("id", name=op.f("uq_groups_id")),
    )
    with op.batch_alter_table("groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_groups_manager_agent_id"), ["manager_agent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_groups_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "group_agents",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_group_agents_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_agents_group_id_groups"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "agent_id", name=op.f("pk_group_agents")),
    )
    with op.batch_alter_table("group_agents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_group_agents_agent_id"), ["agent_id"], unique=False)
    op.create_table(
        "group_blocks",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_group_blocks_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_blocks_group_id_groups"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "block_id", name=op.f("pk_group_blocks")),
    )
    with op.batch_alter_table("group_blocks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_group_blocks_block_id"), ["block_id"], unique=False)
    op.create_table(
        "group_turns",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("reviewed_turns", sa.Integer(), nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.Column("processed_message_id", sa.String(), nullable=True),
        sa.Column("claimed_message_id", sa.String(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_group_turns_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_group_turns_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_turns_group_id_groups"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "agent_id", "conversation_id", name=op.f("pk_group_turns")),
    )
    with op.batch_alter_table("group_turns", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_group_turns_agent_id"), ["agent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_group_turns_conversation_id"), ["conversation_id"], unique=False)
        batch_op.create_index(
            "ix_group_turns_due",
            ["group_id"],
            unique=False,
            sqlite_where=sa.text("due = 1"),
            postgresql_where=sa.text("due"),
        )
    for name, column in (("ix_messages_group", "seq"), ("ix_messages_group_otid", "otid")):
        op.create_index(
            name,
            "messages",
            ["group_id", column],
            sqlite_where=sa.text("group_id IS NOT NULL"),
            postgresql_where=sa.text("group_id IS NOT NULL"),
        )
