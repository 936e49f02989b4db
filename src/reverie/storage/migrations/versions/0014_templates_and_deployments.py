"""Templates and deployments."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "deployments",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("memory_variables", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deployments")),
        sa.UniqueConstraint("id", name=op.f("uq_deployments_id")),
    )
    with op.batch_alter_table("deployments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployments_template_id_seq"), ["template_id", "seq"], unique=False)
    op.create_table(
        "templates",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_templates")),
        sa.UniqueConstraint("id", name=op.f("uq_templates_id")),
        sa.UniqueConstraint(
            "organization_id", "project_id", "name", name=op.f("uq_templates_organization_id_project_id_name")
        ),
    )
    with op.batch_alter_table("templates", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_templates_organization_id_name"), ["organization_id", "name"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_templates_organization_id_seq"), ["organization_id", "seq"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_templates_organization_id_updated_at_seq"),
            ["organization_id", "updated_at", "seq"],
            unique=False,
        )
    op.create_table(
        "template_versions",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("file", Json, nullable=False),
        sa.Column("sealed_secrets", Json, nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("rules", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["templates.id"],
            name=op.f("fk_template_versions_template_id_templates"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_template_versions")),
        sa.UniqueConstraint("id", name=op.f("uq_template_versions_id")),
        sa.UniqueConstraint("template_id", "number", name=op.f("uq_template_versions_template_id_number")),
    )
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_deployment_id"), ["organization_id", "deployment_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_template_id"), ["organization_id", "template_id"], unique=False
        )
    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_blocks_organization_id_deployment_id"), ["organization_id", "deployment_id"], unique=False
        )
