"""Search by words and by meaning, fused; the same for passages, messages and files, on both databases.

Each database contributes three things: how texts enter an index of words, how words are ranked,
and how far two vectors are apart. Everything else is written once.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, func, literal, literal_column, select, text
from sqlalchemy import cast as sql_cast
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.sql.expression import TextClause
from sqlalchemy.types import String, UserDefinedType

from reverie.domain.folder import FilePassage
from reverie.domain.ids import MessageId, OrganizationId
from reverie.domain.message import Message, MessageKind, MessageScope, text_of
from reverie.domain.passage import Passage, SearchHit, SearchQuery
from reverie.storage.columns import Vector
from reverie.storage.rows import equals, within
from reverie.storage.schema import (
    agents,
    file_passage_vectors,
    file_passages,
    messages,
    passage_tags,
    passage_vectors,
    passages,
)

_DEPTH: Final = 4
"""How many times the wanted number each way of searching contributes before they are fused."""
_RANK_OFFSET: Final = 60
"""Of reciprocal rank fusion; the value of the paper that introduced it (Cormack and others, 2009)."""
_LONGEST: Final = 200_000
"""Characters of one text that are indexed; a tsvector holds at most a megabyte."""
_KINDS_OF_ROLE: Final[Mapping[str, tuple[MessageKind, ...]]] = {
    "user": (MessageKind.USER,),
    "assistant": (MessageKind.ASSISTANT,),
    "system": (MessageKind.SYSTEM,),
    "tool": (MessageKind.TOOL_RETURN,),
}
_SEARCHED_KINDS: Final = frozenset(kind for kinds in _KINDS_OF_ROLE.values() for kind in kinds)


@dataclass(frozen=True, slots=True)
class _Corpus:
    """One kind of thing that is searched."""

    rows: Table
    words: str
    """Its table of words, which the migrations make and SQLAlchemy does not know."""
    vectors: Table | None


_PASSAGES: Final = _Corpus(passages, "passage_words", passage_vectors)
_MESSAGES: Final = _Corpus(messages, "message_words", None)
_FILES: Final = _Corpus(file_passages, "file_passage_words", file_passage_vectors)


def index_messages(c: Connection, added: Iterable[Message]) -> None:
    """Make stored messages findable by their words, in the transaction that stored them."""
    rows = [
        {"id": message.id, "text": words[:_LONGEST]}
        for message in added
        if message.kind in _SEARCHED_KINDS and (words := text_of(message.body))
    ]
    if rows:
        c.execute(_index_of(c).add_messages, rows)


def reindex_message(c: Connection, changed: Message) -> None:
    """Likewise for a message whose words were changed."""
    c.execute(_index_of(c).forget_message, {"id": changed.id})
    index_messages(c, [changed])


def index_passages(c: Connection, added: Iterable[Passage]) -> None:
    """Likewise for passages, with their vectors where they have one."""
    added = list(added)
    c.execute(_index_of(c).add_passages, [{"id": item.id, "text": item.text[:_LONGEST]} for item in added])
    with_vector = [item for item in added if item.vector is not None]
    if with_vector:
        places = dict(
            c.execute(
                select(passages.c.id, passages.c.seq).where(passages.c.id.in_([item.id for item in with_vector]))
            ).all()
        )
        c.execute(
            passage_vectors.insert(),
            [{"seq": places[item.id], "archive_id": item.archive_id, "embedding": item.vector} for item in with_vector],
        )


def index_file_passages(c: Connection, added: Iterable[FilePassage]) -> None:
    """Likewise for passages of files, whose vectors come later."""
    rows = [{"id": item.id, "text": item.text[:_LONGEST]} for item in added]
    if rows:
        c.execute(_index_of(c).add_file_passages, rows)


def search_file_passages(c: Connection, folder_ids: Sequence[str], query: SearchQuery) -> list[SearchHit]:
    """Search these folders, best first. The caller has checked that they are its own."""
    if not folder_ids:
        return []
    scope = [file_passages.c.folder_id.in_(folder_ids), *within(file_passages.c.created_at, query.start, query.end)]
    return _search(c, _FILES, scope, query, file_passage_vectors.c.folder_id.in_(folder_ids))


def search_passages(c: Connection, archive_ids: Sequence[str], query: SearchQuery) -> list[SearchHit]:
    """Search these archives, best first. The caller has checked that they are its own."""
    if not archive_ids:
        return []
    scope = [passages.c.archive_id.in_(archive_ids), *within(passages.c.created_at, query.start, query.end)]
    if query.tags:
        tagged = select(passage_tags.c.passage_id).where(
            passage_tags.c.archive_id.in_(archive_ids), passage_tags.c.tag.in_(query.tags)
        )
        if query.match_all_tags:
            tagged = tagged.group_by(passage_tags.c.passage_id).having(func.count() == len(set(query.tags)))
        scope.append(passages.c.id.in_(tagged))
    near = None
    if query.vector is not None:
        near = passage_vectors.c.archive_id.in_(archive_ids)
    return _search(c, _PASSAGES, scope, query, near)


def search_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[MessageId]:
    """Ids of messages, best first."""
    return [MessageId(hit.id) for hit in rank_messages(c, organization_id, query, where)]


def rank_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[SearchHit]:
    """The same with what made each rank where it does."""
    kinds = [kind for role in where.roles or _KINDS_OF_ROLE for kind in _KINDS_OF_ROLE.get(role, ())]
    scope = [
        messages.c.organization_id == organization_id,
        messages.c.kind.in_(kinds),
        *equals((messages.c.agent_id, where.agent_id), (messages.c.conversation_id, where.conversation_id)),
        *within(messages.c.created_at, query.start, query.end),
    ]
    owner = equals((agents.c.project_id, where.project_id), (agents.c.template_id, where.template_id))
    if owner:
        scope.append(
            messages.c.agent_id.in_(select(agents.c.id).where(agents.c.organization_id == organization_id, *owner))
        )
    return _search(c, _MESSAGES, scope, query, None)


def vector_length(c: Connection, stored: ColumnElement[Any]) -> ColumnElement[int]:
    """How many numbers a stored vector has."""
    return _index_of(c).length(stored)


def vector_support(c: Connection) -> str:
    """One line on how vectors are compared in this database, and what to do where they are not."""
    return _index_of(c).vector_support(c)


def _search(
    c: Connection,
    corpus: _Corpus,
    scope: Sequence[ColumnElement[bool]],
    query: SearchQuery,
    near: ColumnElement[bool] | None,
) -> list[SearchHit]:
    """Ask in both ways as far as the query allows, and fuse; `near` bounds the vectors that are measured."""
    depth = query.limit * _DEPTH
    index = _index_of(c)
    by_vector: Sequence[str] | None = None
    if query.mode != "text" and query.vector is not None and corpus.vectors is not None and near is not None:
        by_vector = index.nearest(c, corpus, [*scope, near], query.vector, depth)
    by_text: Sequence[Any] = ()
    if query.mode != "vector" or by_vector is None:
        terms = re.findall(r"\w+", query.text)
        if terms:
            by_text = c.execute(index.matching(corpus, terms, depth).where(*scope)).scalars().all()
        elif by_vector is None:
            newest = select(corpus.rows.c.id).where(*scope).order_by(corpus.rows.c.seq.desc()).limit(query.limit)
            by_text = c.execute(newest).scalars().all()
    return fuse(by_text, by_vector or (), query.limit)


def fuse(by_text: Sequence[str], by_vector: Sequence[str], limit: int) -> list[SearchHit]:
    """Join two rankings: what stands high in both comes first."""
    text_rank = {item: rank for rank, item in enumerate(by_text, 1)}
    vector_rank = {item: rank for rank, item in enumerate(by_vector, 1)}
    hits = [
        SearchHit(
            id=item,
            score=sum(1 / (_RANK_OFFSET + ranks[item]) for ranks in (text_rank, vector_rank) if item in ranks),
            text_rank=text_rank.get(item),
            vector_rank=vector_rank.get(item),
        )
        for item in dict.fromkeys((*by_vector, *by_text))
    ]
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


class _Index(ABC):
    """What searching needs of one database."""

    add_messages: TextClause
    forget_message: TextClause
    add_passages: TextClause
    add_file_passages: TextClause

    @abstractmethod
    def matching(self, corpus: _Corpus, terms: Sequence[str], limit: int) -> Select[tuple[str]]:
        """Ids of rows that hold any of `terms`, best first; the caller adds its conditions."""

    @abstractmethod
    def distance(self, c: Connection, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any] | None:
        """Cosine distance; None: this database cannot tell."""

    @abstractmethod
    def length(self, stored: ColumnElement[Any]) -> ColumnElement[int]:
        """How many numbers a stored vector has."""

    @abstractmethod
    def vector_support(self, c: Connection) -> str:
        """For people: how vectors are compared here."""

    def nearest(
        self,
        c: Connection,
        corpus: _Corpus,
        scope: Sequence[ColumnElement[bool]],
        vector: Sequence[float],
        limit: int,
    ) -> Sequence[str] | None:
        """Ids of the rows whose vectors are nearest; None where vectors cannot be compared."""
        assert corpus.vectors is not None
        stored = corpus.vectors.c.embedding
        distance = self.distance(c, stored, vector)
        if distance is None:
            return None
        query = (
            select(corpus.rows.c.id)
            .join(corpus.vectors, corpus.vectors.c.seq == corpus.rows.c.seq)
            # Archives of other embedding models have vectors of other lengths, which cannot be compared.
            .where(*scope, self.length(stored) == len(vector))
            .order_by(distance, corpus.rows.c.seq)
            .limit(limit)
        )
        return c.execute(query).scalars().all()


class _SqliteIndex(_Index):
    """FTS5 with stemming; distances by sqlite-vec, or by Python where no extension can be loaded."""

    add_messages = text("INSERT INTO message_words (rowid, text) SELECT seq, :text FROM messages WHERE id = :id")
    forget_message = text("DELETE FROM message_words WHERE rowid = (SELECT seq FROM messages WHERE id = :id)")
    add_passages = text("INSERT INTO passage_words (rowid, text) SELECT seq, :text FROM passages WHERE id = :id")
    add_file_passages = text(
        "INSERT INTO file_passage_words (rowid, text) SELECT seq, :text FROM file_passages WHERE id = :id"
    )

    def matching(self, corpus: _Corpus, terms: Sequence[str], limit: int) -> Select[tuple[str]]:
        words = sql_table(corpus.words, sql_column("rowid"), sql_column("rank"))
        # Quoted, because FTS5 reads bare words such as AND or NEAR, and any punctuation, as syntax.
        match = " OR ".join(f'"{term}"' for term in terms)
        return (
            select(corpus.rows.c.id)
            .join(words, words.c.rowid == corpus.rows.c.seq)
            .where(literal_column(corpus.words).op("MATCH")(match))
            .order_by(words.c.rank, corpus.rows.c.seq.desc())
            .limit(limit)
        )

    def distance(self, c: Connection, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any] | None:
        return func.vec_distance_cosine(stored, literal(vector, Vector))

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


class _PostgresIndex(_Index):
    """tsvector with English stemming; distances by pgvector, or none."""

    add_messages = text(
        "INSERT INTO message_words (seq, words) "
        "SELECT seq, to_tsvector('english', CAST(:text AS text)) FROM messages WHERE id = :id"
    )
    forget_message = text("DELETE FROM message_words WHERE seq = (SELECT seq FROM messages WHERE id = :id)")
    add_passages = text(
        "INSERT INTO passage_words (seq, words) "
        "SELECT seq, to_tsvector('english', CAST(:text AS text)) FROM passages WHERE id = :id"
    )
    add_file_passages = text(
        "INSERT INTO file_passage_words (seq, words) "
        "SELECT seq, to_tsvector('english', CAST(:text AS text)) FROM file_passages WHERE id = :id"
    )

    def matching(self, corpus: _Corpus, terms: Sequence[str], limit: int) -> Select[tuple[str]]:
        words = sql_table(corpus.words, sql_column("seq"), sql_column("words"))
        every = sql_cast(func.plainto_tsquery(literal_column("'english'"), " ".join(terms)), String)
        wanted = sql_cast(func.replace(every, "&", "|"), TSQUERY)
        return (
            select(corpus.rows.c.id)
            .join(words, words.c.seq == corpus.rows.c.seq)
            .where(words.c.words.op("@@")(wanted))
            .order_by(func.ts_rank_cd(words.c.words, wanted).desc(), corpus.rows.c.seq.desc())
            .limit(limit)
        )

    def distance(self, c: Connection, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any] | None:
        if not self._has_pgvector(c):
            return None
        return sql_cast(stored, _Pgvector).op("<=>")(
            sql_cast(sql_cast(literal(list(vector), Vector), Vector), _Pgvector)
        )

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

    def _has_pgvector(self, c: Connection) -> bool:
        # Remembered per connection: it is asked by every search and changes hardly ever.
        if "pgvector" not in c.info:
            c.info["pgvector"] = (
                c.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")).first() is not None
            )
        return bool(c.info["pgvector"])


_SQLITE: Final = _SqliteIndex()
_POSTGRES: Final = _PostgresIndex()


def _index_of(c: Connection) -> _Index:
    return _SQLITE if c.dialect.name == "sqlite" else _POSTGRES
