"""Agents by project and template."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply it."""
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_base_template_id"),
            ["organization_id", "base_template_id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_project_id_seq"),
            ["organization_id", "project_id", "seq"],
            unique=False,
        )
