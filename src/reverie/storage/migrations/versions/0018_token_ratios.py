"""How providers count tokens."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "token_ratios",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "handle", name=op.f("pk_token_ratios")),
    )
