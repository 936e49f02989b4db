"""A bell for those who wait for a conversation, from the transaction that frees it."""

from alembic import op

revision = "0026"
down_revision = "0025"

_POSTGRESQL = (
    """CREATE FUNCTION conversation_is_free() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM waiting WHERE conversation_id = new.id) THEN
            PERFORM pg_notify('reverie', 'line ' || new.id);
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER conversations_tell_when_free AFTER UPDATE OF active_run_id ON conversations FOR EACH ROW
        WHEN (old.active_run_id IS NOT NULL AND new.active_run_id IS NULL) EXECUTE FUNCTION conversation_is_free()""",
)


def upgrade() -> None:
    """Apply it."""
    if op.get_bind().dialect.name == "postgresql":  # with SQLite there is no other process that could hear it
        for statement in _POSTGRESQL:
            op.execute(statement)
