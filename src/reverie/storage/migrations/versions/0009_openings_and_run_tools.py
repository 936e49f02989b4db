"""What agents were opened with, hidden conversations, and the tools of runs."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply it. Columns are added in place; a batch would copy every run."""
    op.create_table(
        "agent_openings",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("inputs", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_openings_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_openings")),
    )
    op.add_column("conversations", sa.Column("archived_at", Instant(), nullable=True))
    op.add_column("conversations", sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("tools_used", Json, nullable=False, server_default=sa.text("'[]'")))
    op.add_column("runs", sa.Column("project_id", sa.String(), nullable=True))
    op.add_column("runs", sa.Column("template_id", sa.String(), nullable=True))
    op.add_column("runs", sa.Column("base_template_id", sa.String(), nullable=True))
    # Until now a conversation's last change was all that was known of when it was archived.
    op.execute("UPDATE conversations SET archived_at = updated_at WHERE archived")
    op.execute(
        "UPDATE runs SET project_id = a.project_id, template_id = a.template_id, "
        "base_template_id = a.base_template_id FROM agents AS a WHERE a.id = runs.agent_id"
    )
