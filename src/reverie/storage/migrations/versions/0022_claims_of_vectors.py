"""What waits for a vector says which process makes it, so that two do not make the same."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Apply it."""
    for name in ("message_vectors_due", "passage_vectors_due"):
        op.add_column(name, sa.Column("worker_id", sa.String(), nullable=True))
