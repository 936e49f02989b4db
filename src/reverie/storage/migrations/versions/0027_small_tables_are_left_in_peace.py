"""PostgreSQL looks after what each turn writes to by the five hundred rows, not by the fifty.

By its own measure a table of a few hundred rows is analysed after every fifty changes, which a handful of turns make:
of a busy server's small tables some are each minute. That took a quarter of what the database did for a turn with a
tool, and after each time every connection planned its statements anew. Statements of a turn go by ids, so they are
planned alike whatever the statistics say. The shares of a table that call for it, a tenth changed and a fifth dead,
stay as they are, and rule where tables are large.
"""

from alembic import op

revision = "0027"
down_revision = "0026"

_TABLES = ("agents", "conversations", "messages", "runs", "steps", "provider_traces")


def upgrade() -> None:
    """Apply it."""
    if op.get_bind().dialect.name == "postgresql":
        for table in _TABLES:
            op.execute(
                f"ALTER TABLE {table} SET (autovacuum_analyze_threshold = 500, autovacuum_vacuum_threshold = 500)"
            )
