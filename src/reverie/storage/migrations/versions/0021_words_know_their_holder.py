"""Tables of words know the holder and the organisation of each text; signs in blocks; tools are searched."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Signs, Vector

revision = "0021"
down_revision = "0020"

_TEXTS = (
    ("passage", "passages", "archive_id", "{row}.text"),
    ("file_passage", "file_passages", "folder_id", "{row}.text"),
    ("tool", "tools", "organization_id", "{row}.name || ' ' || {row}.description"),
)
"""Name, table, holder and text of what is indexed by triggers."""
_BLOCKS = (
    ("passage_blocks", "archives"),
    ("message_blocks", "agents"),
    ("file_passage_blocks", "folders"),
    ("tool_blocks", "organizations"),
)
_CHANGED_TOOL = "UPDATE OF name, description"


def upgrade() -> None:
    """Apply it."""
    for name, holders in _BLOCKS:
        _make_blocks(name, holders)
    _make_tool_vectors()
    connection = op.get_bind()
    for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgresql():
        connection.exec_driver_sql(statement)


def _make_blocks(name: str, holders: str) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("places", sa.LargeBinary(), nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["holder"], [f"{holders}.id"], name=op.f(f"fk_{name}_holder_{holders}"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    op.create_index(op.f(f"ix_{name}_holder_dimensions"), name, ["holder", "dimensions"], unique=False)


def _make_tool_vectors() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "tool_vectors",
        sa.Column("seq", serial, autoincrement=False, nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["tools.seq"], name=op.f("fk_tool_vectors_seq_tools"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_tool_vectors")),
    )
    op.create_table(
        "tool_bits",
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("seq", serial, autoincrement=False, nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("bits", Signs(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["tools.seq"], name=op.f("fk_tool_bits_seq_tools"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("holder", "seq", name=op.f("pk_tool_bits")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tool_bits_seq"), "tool_bits", ["seq"], unique=False)


def _sqlite() -> list[str]:
    fts5 = "holder, organization, size UNINDEXED, text, tokenize='porter unicode61 remove_diacritics 2'"
    statements = [
        "DROP TRIGGER passages_forget_words",
        "DROP TRIGGER file_passages_forget_words",
        "DROP TRIGGER messages_forget_words",
        "DROP TABLE passage_words",
        "DROP TABLE file_passage_words",
        "ALTER TABLE message_words RENAME TO message_words_before",
        f"CREATE VIRTUAL TABLE message_words USING fts5({fts5})",
        """INSERT INTO message_words (rowid, holder, organization, size, text)
            SELECT m.seq, replace(m.agent_id, '-', ''), replace(m.organization_id, '-', ''), length(m.body), w.text
            FROM message_words_before w JOIN messages m ON m.seq = w.rowid""",
        "DROP TABLE message_words_before",
        """CREATE TRIGGER messages_forget_words AFTER DELETE ON messages BEGIN
            DELETE FROM message_words WHERE rowid = old.seq;
        END""",
    ]
    for name, rows, holder, text in _TEXTS:
        values = (
            "{row}.seq, replace({row}." + holder + ", '-', ''), replace({row}.organization_id, '-', ''), "
            "substr(" + text + ", 1, 200000)"
        )
        added = f"INSERT INTO {name}_words (rowid, holder, organization, text) VALUES ({values.format(row='new')});"
        gone = (
            f"INSERT INTO {name}_words ({name}_words, rowid, holder, organization, text) "
            f"VALUES ('delete', {values.format(row='old')});"
        )
        statements += [
            # Texts are not kept twice: what the table of words says of a row is looked up here.
            f"""CREATE VIEW {name}_texts AS SELECT seq, replace({holder}, '-', '') AS holder,
                replace(organization_id, '-', '') AS organization, length({text.format(row=rows)}) AS size,
                substr({text.format(row=rows)}, 1, 200000) AS text FROM {rows}""",
            f"CREATE VIRTUAL TABLE {name}_words USING fts5({fts5}, content='{name}_texts', content_rowid='seq')",
            f"INSERT INTO {name}_words ({name}_words) VALUES ('rebuild')",
            f"CREATE TRIGGER {rows}_index_words AFTER INSERT ON {rows} BEGIN {added} END",
            f"CREATE TRIGGER {rows}_forget_words AFTER DELETE ON {rows} BEGIN {gone} END",
        ]
        if rows == "tools":
            statements.append(
                f"CREATE TRIGGER tools_change_words AFTER {_CHANGED_TOOL} ON tools BEGIN {gone} {added} "
                "DELETE FROM tool_vectors WHERE seq = new.seq; DELETE FROM tool_bits WHERE seq = new.seq; END"
            )
    return statements


def _postgresql() -> list[str]:
    place = "array_to_tsvector(ARRAY[replace({row}.{holder}, '-', ''), replace({row}.organization_id, '-', '')])"
    message = place.format(row="m", holder="agent_id")
    statements = [
        """CREATE TABLE tool_words (seq bigint PRIMARY KEY REFERENCES tools (seq) ON DELETE CASCADE,
            size integer NOT NULL, words tsvector NOT NULL)""",
        "ALTER TABLE message_words ADD COLUMN size integer",
        f"""UPDATE message_words w SET size = length(CAST(m.body AS text)), words = w.words || {message}
            FROM messages m WHERE m.seq = w.seq""",
        "DELETE FROM message_words WHERE size IS NULL",
        "ALTER TABLE message_words ALTER COLUMN size SET NOT NULL",
        "ALTER TABLE passage_words ADD COLUMN size integer NOT NULL DEFAULT 0",
        "ALTER TABLE passage_words ALTER COLUMN size DROP DEFAULT",
        "ALTER TABLE file_passage_words ADD COLUMN size integer NOT NULL DEFAULT 0",
        "ALTER TABLE file_passage_words ALTER COLUMN size DROP DEFAULT",
        "TRUNCATE passage_words, file_passage_words",
    ]
    for name in ("message", "passage", "file_passage"):
        statements.append(f"DROP INDEX ix_{name}_words_words")
    for name, rows, holder, text in _TEXTS:
        of = place.format(row="new", holder=holder)
        said = text.format(row="new")
        values = f"new.seq, length({said}), to_tsvector('english', left({said}, 200000)) || {of}"
        renewed = "DELETE FROM tool_words WHERE seq = new.seq; DELETE FROM tool_vectors WHERE seq = new.seq; "
        renewed += "DELETE FROM tool_bits WHERE seq = new.seq;"
        statements += [
            f"INSERT INTO {name}_words (seq, size, words) SELECT {values} FROM {rows} new",
            f"""CREATE FUNCTION index_words_of_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                {renewed if rows == "tools" else ""}
                INSERT INTO {name}_words (seq, size, words) VALUES ({values});
                RETURN NULL;
            END $$""",
            f"CREATE TRIGGER {rows}_index_words AFTER INSERT {f'OR {_CHANGED_TOOL} ' if rows == 'tools' else ''}"
            f"ON {rows} FOR EACH ROW EXECUTE FUNCTION index_words_of_{name}()",
        ]
    for name in ("message", "passage", "file_passage", "tool"):
        # Without a list of what is yet to be sorted in, which every search would read through.
        statements.append(
            f"CREATE INDEX ix_{name}_words_words ON {name}_words USING gin (words) WITH (fastupdate = off)"
        )
    return statements
