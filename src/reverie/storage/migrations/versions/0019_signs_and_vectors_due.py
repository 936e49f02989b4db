"""Signs of vectors, vectors of messages, and what waits for a vector."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection

from reverie.storage.columns import Signs, Vector

revision = "0019"
down_revision = "0018"

_SIGNS = (
    ("passage", "passages", "archive_id"),
    ("file_passage", "file_passages", "folder_id"),
    ("message", "messages", "agent_id"),
)
_SQLITE = (
    """CREATE TRIGGER messages_want_vectors AFTER INSERT ON messages WHEN new.kind IN ('user', 'assistant') BEGIN
        INSERT INTO message_vectors_due (seq) VALUES (new.seq);
    END""",
)
_POSTGRESQL = (
    """CREATE FUNCTION message_wants_vector() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO message_vectors_due (seq) VALUES (new.seq);
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER messages_want_vectors AFTER INSERT ON messages FOR EACH ROW
        WHEN (new.kind IN ('user', 'assistant')) EXECUTE FUNCTION message_wants_vector()""",
)


def upgrade() -> None:
    """Apply it."""
    with op.batch_alter_table("passages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_passages_archive_id_seq"), ["archive_id", "seq"], unique=False)
    op.create_table(
        "message_vectors",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.ForeignKeyConstraint(
            ["seq"], ["messages.seq"], name=op.f("fk_message_vectors_seq_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_message_vectors")),
    )
    for rows in ("passages", "messages"):
        _make_due(rows)
    connection = op.get_bind()
    for name, rows, holder in _SIGNS:
        _make_signs(f"{name}_bits", rows)
        _fill_signs(connection, f"{name}_bits", f"{name}_vectors", holder)
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    # What was said before is embedded in the background like anything new.
    connection.exec_driver_sql(
        "INSERT INTO message_vectors_due (seq) SELECT seq FROM messages WHERE kind IN ('user', 'assistant')"
    )


def _make_due(rows: str) -> None:
    name = f"{rows.removesuffix('s')}_vectors_due"
    op.create_table(
        name,
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["seq"], [f"{rows}.seq"], name=op.f(f"fk_{name}_seq_{rows}"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f(f"pk_{name}")),
    )


def _make_signs(name: str, rows: str) -> None:
    op.create_table(
        name,
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("bits", Signs(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], [f"{rows}.seq"], name=op.f(f"fk_{name}_seq_{rows}"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("holder", "seq", name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f(f"ix_{name}_seq"), name, ["seq"], unique=False)


def _fill_signs(connection: Connection, name: str, vectors: str, holder: str) -> None:
    source = sa.table(vectors, sa.column("seq"), sa.column(holder), sa.column("embedding", Vector()))
    target = sa.table(name, sa.column("holder"), sa.column("seq"), sa.column("dimensions"), sa.column("bits", Signs()))
    last = 0
    while True:
        query = sa.select(source).where(source.c.seq > last).order_by(source.c.seq).limit(1000)
        found = connection.execute(query).all()
        if not found:
            return
        last = found[-1][0]
        connection.execute(
            target.insert(),
            [{"holder": row[1], "seq": row[0], "dimensions": len(row[2]), "bits": row[2]} for row in found],
        )
