"""What SQLite and PostgreSQL search with: tables of words, and distances between vectors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from struct import unpack
from typing import Any, Final

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Insert,
    Integer,
    LargeBinary,
    Select,
    String,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.postgresql import TSQUERY, array
from sqlalchemy.sql.expression import TextClause
from sqlalchemy.types import TypeDecorator, UserDefinedType

from reverie.storage.columns import Json, Signs, Vector
from reverie.storage.schema import messages
from reverie.storage.search.corpora import Corpus
from reverie.storage.together import inserted, later


class Backend(ABC):
    """What searching needs of one database; everything else is written once."""

    add_message: TextClause
    forget_message: TextClause

    @abstractmethod
    def store_messages(self, c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store new messages in order, with what `words` says of each: what it is found by; None: nothing."""

    @abstractmethod
    def postings(self, corpus: Corpus, number: int) -> Select[Any]:
        """Places of the rows that hold the term of this number, for the parameters of `wanted`.

        Also their `size`, how many characters the text has; 0 where the index does not know it.
        """

    @abstractmethod
    def gathered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """All values of a column as one list; a thousand rows cost more than what is in them. May be NULL for none."""

    @abstractmethod
    def table(self, *columns: ColumnElement[Any]) -> ColumnElement[Any]:
        """All rows of these columns as one list of lists, for the same reason. May be NULL for none."""

    @abstractmethod
    def listing(self, places: Select[Any]) -> ColumnElement[Any]:
        """The few places that a subquery finds, in order, as one value of `table`."""

    @abstractmethod
    def wanted(self, terms: Sequence[str], place: str, names: Sequence[str]) -> dict[str, str]:
        """Parameters for `postings`: these terms, in the texts of some holders or of an organisation.

        The index knows of each text whose it is, as words that stand beside its own: `place` says whether
        `names` are of holders or organisations. So it reads on only where both lists meet, and what other
        archives hold costs next to nothing.
        """

    @abstractmethod
    def among(self, column: ColumnElement[Any], listed: str = "places") -> ColumnElement[bool]:
        """Whether `column` is one of this parameter: one value, for a thousand cost more than the search."""

    def plain(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """`column` for a condition that shall only be checked: rows are looked up by another one."""
        return column

    def within(self, column: ColumnElement[Any], thread: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether `column` is `thread`, for rows that are wanted in the order of `column` and place."""
        return column == thread

    @abstractmethod
    def listed(self, values: Iterable[int] | Iterable[str]) -> Any:
        """The value of such a parameter."""

    @abstractmethod
    def can_measure(self, c: Connection) -> bool:
        """Whether vectors can be compared in this database."""

    @abstractmethod
    def distance(self, stored: ColumnElement[Any]) -> ColumnElement[Any]:
        """Cosine distance from the parameter `vector`."""

    @abstractmethod
    def bits_apart(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        """In how many signs two vectors differ, one of them the parameter `vector`."""

    @abstractmethod
    def length(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        """How many numbers a stored vector has."""

    @abstractmethod
    def vector_support(self, c: Connection) -> str:
        """For people: how vectors are compared here."""


def token(holder: str) -> str:
    """The word by which the index of words knows a holder."""
    return holder.replace("-", "")


class SqliteBackend(Backend):
    """FTS5 with stemming; distances by sqlite-vec, or by Python where no extension can be loaded."""

    add_message = text(
        "INSERT INTO message_words (rowid, holder, organization, size, text) "
        "SELECT seq, replace(agent_id, '-', ''), replace(organization_id, '-', ''), length(body), :text "
        "FROM messages WHERE id = :id"
    )
    forget_message = text("DELETE FROM message_words WHERE rowid = (SELECT seq FROM messages WHERE id = :id)")
    _store = insert(messages)

    def store_messages(self, c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        c.execute(self._store, [{name: value for name, value in row.items() if name != "words"} for row in rows])
        found = [{"id": row["id"], "text": row["words"]} for row in rows if row["words"] is not None]
        if found:
            c.execute(self.add_message, found)

    def postings(self, corpus: Corpus, number: int) -> Select[Any]:
        # The size would be looked up in the text's own row, for each row that is found.
        words = sql_table(corpus.words, sql_column("rowid", Integer))
        matches = literal_column(corpus.words).op("MATCH")(bindparam(f"term{number}", type_=String))
        # A sum, so that rows are looked up for the words, and never words for each of the rows.
        nothing = literal_column("0", Integer)
        return select((words.c.rowid + nothing).label("seq"), nothing.label("size")).where(matches)

    def gathered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.json_group_array(column, type_=Json)

    def table(self, *columns: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.json_group_array(func.json_array(*columns), type_=Json)

    def listing(self, places: Select[Any]) -> ColumnElement[Any]:
        found = places.subquery()
        # `json`, because what a subquery gives is text again, which would be quoted.
        return func.json(select(func.json_group_array(found.c[0])).scalar_subquery())

    def wanted(self, terms: Sequence[str], place: str, names: Sequence[str]) -> dict[str, str]:
        # Quoted, because FTS5 reads bare words such as AND or NEAR, and any punctuation, as syntax.
        here = " OR ".join(f'"{token(name)}"' for name in names)
        return {f"term{number}": f'text : "{term}" AND {place} : ({here})' for number, term in enumerate(terms)}

    def among(self, column: ColumnElement[Any], listed: str = "places") -> ColumnElement[bool]:
        values = func.json_each(bindparam(listed, type_=String)).table_valued("value")
        return column.in_(select(values.c.value))

    def plain(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return column + ""  # SQLite would go by an index of this column, at twice the cost

    def listed(self, values: Iterable[int] | Iterable[str]) -> Any:
        return orjson.dumps([*values]).decode()

    def can_measure(self, c: Connection) -> bool:
        return True

    def distance(self, stored: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.vec_distance_cosine(stored, bindparam("vector", type_=Vector))

    def bits_apart(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        apart = func.vec_distance_hamming(func.vec_bit(stored), func.vec_bit(bindparam("vector", type_=Signs)))
        return sql_cast(apart, Integer)

    def length(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        return func.length(stored) // 4

    def vector_support(self, c: Connection) -> str:
        known = c.execute(text("SELECT 1 FROM pragma_function_list WHERE name = 'vec_version'")).first()
        if known is None:
            return (
                "vectors are compared in Python, because this Python's SQLite loads no extensions: fine up to some "
                "thousand passages; install a Python with loadable extensions, or use PostgreSQL, for more"
            )
        return f"sqlite-vec {c.execute(text('SELECT vec_version()')).scalar_one()}"


class _Pgvector(UserDefinedType[Any]):
    """The type of the `vector` extension, to cast to; nothing is stored in it."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "vector"


class _Sent(TypeDecorator[Sequence[Any]]):
    """Numbers one after the other, each as it is sent: for a list of a thousand that is half the work on both sides."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Sequence[Any] | None:
        return None if value is None else unpack(f">{len(value) // 8}{self.form}", value)


class _Written(TypeDecorator[Sequence[float]]):
    """A vector as text, as the `vector` extension reads it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps([*value]).decode()


def _quoted(value: str) -> str:
    """An element of an array, as text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _stored_with_words() -> Insert:
    """A message and its words in one statement, which is one journey to the database instead of two."""
    stored = inserted(messages, "its_").returning(*messages.c["seq", "body", "agent_id", "organization_id"])
    row = stored.cte("stored").c
    words = bindparam("its_words", type_=String)
    # The index knows of each text whose it is, as words that stand beside its own: see `wanted`.
    whose = func.array_to_tsvector(
        array([func.replace(row[name], "-", "") for name in ("agent_id", "organization_id")])
    )
    said = func.to_tsvector(literal_column("'english'"), words).op("||")(whose)
    places: list[ColumnClause[Any]] = [sql_column(name) for name in ("seq", "size", "words")]
    found = select(row.seq, func.length(sql_cast(row.body, String)), said).where(words.is_not(None))
    return insert(sql_table("message_words", *places)).from_select(places, found)


class PostgresBackend(Backend):
    """tsvector with English stemming; distances by pgvector, or none."""

    add_message = text(
        "INSERT INTO message_words (seq, size, words) "
        "SELECT seq, length(CAST(body AS text)), to_tsvector('english', CAST(:text AS text)) || "
        "array_to_tsvector(ARRAY[replace(agent_id, '-', ''), replace(organization_id, '-', '')]) "
        "FROM messages WHERE id = :id"
    )
    forget_message = text("DELETE FROM message_words WHERE seq = (SELECT seq FROM messages WHERE id = :id)")
    _store = _stored_with_words()

    def store_messages(self, c: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        given = [{f"its_{name}": value for name, value in row.items()} for row in rows]
        if len(given) == 1:
            later(c, self._store, given[0])
        else:
            c.execute(self._store, given)

    def postings(self, corpus: Corpus, number: int) -> Select[Any]:
        words = sql_table(corpus.words, sql_column("seq", BigInteger), sql_column("size", Integer), sql_column("words"))
        term = bindparam(f"term{number}", type_=String)
        said = func.plainto_tsquery(literal_column("'english'"), term).column_valued("said")
        here = sql_cast(bindparam("here", type_=String), TSQUERY)
        # A word that PostgreSQL passes over would leave only the place, and everything is there.
        wanted = select(case((func.numnode(said) > literal_column("0"), said.op("&&")(here)), else_=said))
        return select(words.c.seq, words.c.size).where(words.c.words.op("@@")(wanted.scalar_subquery()))

    def gathered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        if isinstance(column.type, String):
            return func.array_agg(column, type_=ARRAY(column.type))
        send, form = (func.float8send, "d") if isinstance(column.type, Double) else (func.int8send, "q")
        return func.string_agg(send(column), literal_column("''"), type_=_Sent(form))

    def table(self, *columns: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.json_agg(func.json_build_array(*columns), type_=Json)

    def listing(self, places: Select[Any]) -> ColumnElement[Any]:
        return func.array(places.scalar_subquery(), type_=ARRAY(BigInteger))

    def wanted(self, terms: Sequence[str], place: str, names: Sequence[str]) -> dict[str, str]:
        here = " | ".join(f"'{token(name)}'" for name in names)
        return {f"term{number}": term for number, term in enumerate(terms)} | {"here": here}

    def among(self, column: ColumnElement[Any], listed: str = "places") -> ColumnElement[bool]:
        # Sent as text: the driver looks at each value of a list more than once, which takes longer than reading it.
        return column == func.any(sql_cast(bindparam(listed, type_=String), ARRAY(column.type)))

    def within(self, column: ColumnElement[Any], thread: ColumnElement[Any]) -> ColumnElement[bool]:
        # Told that all are equal, PostgreSQL orders by places alone, and may read the rows of other threads backwards
        # until it has met enough of this one. For an order that begins with the thread only its own index will do.
        return column == func.any(array([thread]))

    def listed(self, values: Iterable[int] | Iterable[str]) -> Any:
        return "{" + ",".join([str(value) if isinstance(value, int) else _quoted(value) for value in values]) + "}"

    def distance(self, stored: ColumnElement[Any]) -> ColumnElement[Any]:
        # A subquery, because a plan that is kept would cast a plain parameter again for each row.
        wanted = select(sql_cast(bindparam("vector", type_=_Written), _Pgvector)).scalar_subquery()
        return sql_cast(stored, _Pgvector).op("<=>", return_type=Double())(wanted)

    def bits_apart(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        return sql_cast(stored.op("<~>", return_type=Double())(bindparam("vector", type_=Signs)), Integer)

    def length(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        return func.cardinality(stored)

    def vector_support(self, c: Connection) -> str:
        found = c.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar_one_or_none()
        if found is not None:
            return f"pgvector {found}"
        offered = c.execute(text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")).first()
        remedy = (
            "let a superuser run CREATE EXTENSION vector in this database"
            if offered
            else "install pgvector on the database server, then run CREATE EXTENSION vector in this database"
        )
        return f"no pgvector: search finds words only, not meaning; {remedy}"

    def can_measure(self, c: Connection) -> bool:
        # Remembered once it is there: every search asks.
        if not c.info.get("pgvector"):
            c.info["pgvector"] = (
                c.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).first() is not None
            )
        return bool(c.info["pgvector"])


_SQLITE: Final = SqliteBackend()
_POSTGRES: Final = PostgresBackend()


def backend_of(c: Connection) -> Backend:
    """What the database behind `c` searches with."""
    return _SQLITE if c.dialect.name == "sqlite" else _POSTGRES


def vector_length(c: Connection, stored: ColumnElement[Any]) -> ColumnElement[int]:
    """How many numbers a stored vector has."""
    return backend_of(c).length(stored)


def vector_support(c: Connection) -> str:
    """One line on how vectors are compared in this database, and what to do where they are not."""
    return backend_of(c).vector_support(c)


def vectors_missing(c: Connection) -> str | None:
    """What a search by meaning lacks in this database, and what to do; None: nothing."""
    backend = backend_of(c)
    return None if backend.can_measure(c) else backend.vector_support(c)
