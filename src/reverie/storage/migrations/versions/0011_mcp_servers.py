"""MCP servers, their tools, and consents under way."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "mcp_servers",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("server_name", sa.String(), nullable=False),
        sa.Column("server_type", sa.String(), nullable=False),
        sa.Column("server_url", sa.Text(), nullable=True),
        sa.Column("auth_header", sa.String(), nullable=True),
        sa.Column("command", sa.Text(), nullable=True),
        sa.Column("args", Json, nullable=False),
        sa.Column("sealed_secrets", sa.Text(), nullable=True),
        sa.Column("sealed_grant", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_mcp_servers")),
        sa.UniqueConstraint("id", name=op.f("uq_mcp_servers_id")),
        sa.UniqueConstraint("organization_id", "server_name", name=op.f("uq_mcp_servers_organization_id_server_name")),
    )
    with op.batch_alter_table("mcp_servers", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_mcp_servers_organization_id_seq"), ["organization_id", "seq"], unique=False
        )
    op.create_table(
        "mcp_sessions",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("server_id", sa.String(), nullable=True),
        sa.Column("server_url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sealed_answer", sa.Text(), nullable=True),
        sa.Column("sealed_grant", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["mcp_servers.id"], name=op.f("fk_mcp_sessions_server_id_mcp_servers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_mcp_sessions")),
        sa.UniqueConstraint("id", name=op.f("uq_mcp_sessions_id")),
        sa.UniqueConstraint("state", name=op.f("uq_mcp_sessions_state")),
    )
    with op.batch_alter_table("mcp_sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mcp_sessions_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_mcp_sessions_server_id"), ["server_id"], unique=False)
    op.create_table(
        "mcp_tools",
        sa.Column("tool_id", sa.String(), nullable=False),
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("tool_name", sa.String(), nullable=False),
        sa.Column("renamed", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["mcp_servers.id"], name=op.f("fk_mcp_tools_server_id_mcp_servers"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tool_id"], ["tools.id"], name=op.f("fk_mcp_tools_tool_id_tools"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tool_id", name=op.f("pk_mcp_tools")),
        sa.UniqueConstraint("server_id", "tool_name", name=op.f("uq_mcp_tools_server_id_tool_name")),
    )
