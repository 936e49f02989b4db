"""Every input of a client is found by its otid: approvals and results too, not only the user's words."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_INPUTS = sa.text("run_id IS NOT NULL AND step_id IS NULL")


def upgrade() -> None:
    """Apply it."""
    op.drop_index("ix_messages_otid", table_name="messages")
    op.create_index(
        "ix_messages_otid",
        "messages",
        ["conversation_id", "otid"],
        sqlite_where=_INPUTS,
        postgresql_where=_INPUTS,
    )
