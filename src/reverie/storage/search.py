"""Search by words and by meaning, fused; the same for passages, messages and files, on both databases.

Each database contributes three things: how texts enter an index of words, how words are ranked,
and how far two vectors are apart. Everything else is written once. What the weights are worth
was measured with `bench/retrieval`, see `docs/decisions/0005`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
)
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
from reverie.storage.columns import Signs, Vector
from reverie.storage.dialect import dialect_of
from reverie.storage.rows import equals, within
from reverie.storage.schema import (
    agents,
    file_passage_bits,
    file_passage_vectors,
    file_passages,
    message_bits,
    message_vectors,
    message_vectors_due,
    messages,
    passage_bits,
    passage_tags,
    passage_vectors,
    passages,
)
from reverie.storage.wording import Sample, named_dates, sample_of, telling_words, words_of

_DEPTH: Final = 4
"""How many times the wanted number each way of searching contributes before they are fused."""
_LEAST_DEPTH: Final = 100
_RESCORED: Final = 4
"""Likewise of vectors whose signs are compared before the vectors themselves are."""
_CONSIDERED: Final = 100
"""Best hits that may profit from their surroundings."""
_TEXT_SHARE: Final = 0.4
"""How much words count beside meaning."""
_BESIDE: Final = 0.2
"""What a row gets of the score of the one next to it; half of it from the one after that."""
_SESSION: Final = 0.1
"""What a row gets of the best score in its session."""
_DATE: Final = 0.1
"""What a row gets for lying in a month or year that the query names."""
_PAUSE: Final = timedelta(minutes=30)
"""After a longer one a new session begins."""
_SAMPLE_TEXTS: Final = 200
_SAMPLE_CHARS: Final = 300
_SAMPLE_PLACES: Final = 8
_FIELD: Final = re.compile(r'"\w+": ?(?:"(?:text|user|assistant|system|tool_return|image)")?')
"""What stands in the JSON of every message and is none of its words."""
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
    text: ColumnElement[Any]
    words: str
    """Its table of words, which the migrations make and SQLAlchemy does not know."""
    vectors: Table
    bits: Table
    """The signs of its vectors, side by side for each holder."""
    holder: Column[Any]
    """What its rows lie in: the archive, the folder, the agent."""


_PASSAGES: Final = _Corpus(
    passages, passages.c.text, "passage_words", passage_vectors, passage_bits, passages.c.archive_id
)
_MESSAGES: Final = _Corpus(
    messages, messages.c.body, "message_words", message_vectors, message_bits, messages.c.agent_id
)
_FILES: Final = _Corpus(
    file_passages,
    file_passages.c.text,
    "file_passage_words",
    file_passage_vectors,
    file_passage_bits,
    file_passages.c.folder_id,
)


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
    place = {"id": changed.id}
    c.execute(_index_of(c).forget_message, place)
    index_messages(c, [changed])
    seq = c.execute(select(messages.c.seq).where(messages.c.id == changed.id)).scalar_one()
    if drop_vectors(c, _MESSAGES, [seq]):
        c.execute(insert(message_vectors_due).values(seq=seq))


def index_passages(c: Connection, added: Iterable[Passage]) -> None:
    """Likewise for passages, with their vectors where they have one."""
    added = list(added)
    c.execute(_index_of(c).add_passages, [{"id": item.id, "text": item.text[:_LONGEST]} for item in added])
    with_vector = {item.id: item for item in added if item.vector is not None}
    if with_vector:
        found = select(passages.c.id, passages.c.seq).where(passages.c.id.in_(with_vector))
        placed = [(seq, with_vector[item].archive_id, with_vector[item].vector or ()) for item, seq in c.execute(found)]
        add_vectors(c, _PASSAGES, placed)


def add_vectors(c: Connection, corpus: _Corpus, placed: Sequence[tuple[int, str, Sequence[float]]]) -> None:
    """Store vectors: place, holder and vector of each; what has one already keeps it."""
    if not placed:
        return
    insert_once = dialect_of(c).insert
    owner = next(column.name for column in corpus.vectors.c if column.name not in ("seq", "embedding"))
    c.execute(
        insert_once(corpus.vectors).on_conflict_do_nothing(),
        [{"seq": seq, owner: holder, "embedding": vector} for seq, holder, vector in placed],
    )
    c.execute(
        insert_once(corpus.bits).on_conflict_do_nothing(),
        [{"seq": seq, "holder": holder, "dimensions": len(vector), "bits": vector} for seq, holder, vector in placed],
    )


def add_message_vectors(c: Connection, placed: Sequence[tuple[int, str, Sequence[float]]]) -> None:
    """Store vectors of messages: place, agent and vector of each."""
    add_vectors(c, _MESSAGES, placed)


def add_file_vectors(c: Connection, placed: Sequence[tuple[int, str, Sequence[float]]]) -> None:
    """Store vectors of passages of files: place, folder and vector of each."""
    add_vectors(c, _FILES, placed)


def add_passage_vectors(c: Connection, placed: Sequence[tuple[int, str, Sequence[float]]]) -> None:
    """Store vectors of passages that were stored without: place, archive and vector of each."""
    add_vectors(c, _PASSAGES, placed)


def drop_vectors(c: Connection, corpus: _Corpus, places: Sequence[int]) -> int:
    """Remove vectors of these rows; returns how many there were."""
    c.execute(delete(corpus.bits).where(corpus.bits.c.seq.in_(places)))
    return c.execute(delete(corpus.vectors).where(corpus.vectors.c.seq.in_(places))).rowcount


def drop_archive_vectors(c: Connection, archive_id: str) -> None:
    """Remove all vectors of an archive."""
    c.execute(delete(passage_bits).where(passage_bits.c.holder == archive_id))
    c.execute(delete(passage_vectors).where(passage_vectors.c.archive_id == archive_id))


def drop_folder_vectors(c: Connection, folder_id: str) -> None:
    """Remove all vectors of a folder."""
    c.execute(delete(file_passage_bits).where(file_passage_bits.c.holder == folder_id))
    c.execute(delete(file_passage_vectors).where(file_passage_vectors.c.folder_id == folder_id))


def index_file_passages(c: Connection, added: Iterable[FilePassage]) -> None:
    """Likewise for passages of files, whose vectors come later."""
    rows = [{"id": item.id, "text": item.text[:_LONGEST]} for item in added]
    if rows:
        c.execute(_index_of(c).add_file_passages, rows)


def passage_wish(c: Connection, archive_ids: Sequence[str], text: str) -> str:
    """What of `text` to make a vector of, to search these archives with: common words point everywhere."""
    bounds = [passages.c.archive_id.in_(archive_ids)]
    return " ".join(telling_words(text, _sample(c, _PASSAGES, archive_ids, bounds))) or text


def file_wish(c: Connection, folder_ids: Sequence[str], text: str) -> str:
    """The same for folders."""
    bounds = [file_passages.c.folder_id.in_(folder_ids)]
    return " ".join(telling_words(text, _sample(c, _FILES, folder_ids, bounds))) or text


def message_wish(c: Connection, organization_id: OrganizationId, text: str, where: MessageScope) -> str:
    """The same for messages."""
    within_ids, bounds, _ = _reach(organization_id, where)
    return " ".join(telling_words(text, _sample(c, _MESSAGES, within_ids, bounds))) or text


def search_file_passages(c: Connection, folder_ids: Sequence[str], query: SearchQuery) -> list[SearchHit]:
    """Search these folders, best first. The caller has checked that they are its own."""
    if not folder_ids:
        return []
    filters = within(file_passages.c.created_at, query.start, query.end)
    return _search(c, _FILES, query, folder_ids, [file_passages.c.folder_id.in_(folder_ids)], filters)


def search_passages(c: Connection, archive_ids: Sequence[str], query: SearchQuery) -> list[SearchHit]:
    """Search these archives, best first. The caller has checked that they are its own."""
    if not archive_ids:
        return []
    filters = list(within(passages.c.created_at, query.start, query.end))
    if query.tags:
        tagged = select(passage_tags.c.passage_id).where(
            passage_tags.c.archive_id.in_(archive_ids), passage_tags.c.tag.in_(query.tags)
        )
        if query.match_all_tags:
            tagged = tagged.group_by(passage_tags.c.passage_id).having(func.count() == len(set(query.tags)))
        filters.append(passages.c.id.in_(tagged))
    return _search(c, _PASSAGES, query, archive_ids, [passages.c.archive_id.in_(archive_ids)], filters)


def search_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[MessageId]:
    """Ids of messages, best first."""
    return [MessageId(hit.id) for hit in rank_messages(c, organization_id, query, where)]


def rank_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[SearchHit]:
    """The same with what made each rank where it does."""
    within_ids, bounds, filters = _reach(organization_id, where)
    filters += within(messages.c.created_at, query.start, query.end)
    return _search(c, _MESSAGES, query, within_ids, bounds, filters)


def _reach(
    organization_id: OrganizationId, where: MessageScope
) -> tuple[list[str] | None, list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Agents, bounds and filters of a search among messages."""
    kinds = [kind for role in where.roles or _KINDS_OF_ROLE for kind in _KINDS_OF_ROLE.get(role, ())]
    bounds = [
        messages.c.organization_id == organization_id,
        messages.c.kind.in_(kinds),
        *equals((messages.c.agent_id, where.agent_id)),
    ]
    filters = list(equals((messages.c.conversation_id, where.conversation_id)))
    owner = equals((agents.c.project_id, where.project_id), (agents.c.template_id, where.template_id))
    if owner:
        filters.append(
            messages.c.agent_id.in_(select(agents.c.id).where(agents.c.organization_id == organization_id, *owner))
        )
    if where.roles or where.agent_id is None:
        return None, bounds, filters
    return [where.agent_id], bounds, filters


def vector_length(c: Connection, stored: ColumnElement[Any]) -> ColumnElement[int]:
    """How many numbers a stored vector has."""
    return _index_of(c).length(stored)


def vector_support(c: Connection) -> str:
    """One line on how vectors are compared in this database, and what to do where they are not."""
    return _index_of(c).vector_support(c)


def _search(
    c: Connection,
    corpus: _Corpus,
    query: SearchQuery,
    within_ids: Sequence[str] | None,
    bounds: Sequence[ColumnElement[bool]],
    filters: Sequence[ColumnElement[bool]],
) -> list[SearchHit]:
    """Ask in both ways as far as the query allows, and fuse.

    `bounds` say where to look and `filters` what is wanted there; with `within_ids` the bounds are
    these values of `corpus.holder`, None where there is no such list.
    """
    if not words_of(query.text) and (query.mode != "vector" or query.vector is None):
        newest = select(corpus.rows.c.id).where(*bounds, *filters).order_by(corpus.rows.c.seq.desc()).limit(query.limit)
        ids = c.execute(newest).scalars().all()
        return [SearchHit(id=item, score=1 / rank, text_rank=rank) for rank, item in enumerate(ids, 1)]
    index, depth = _index_of(c), max(query.limit * _DEPTH, _LEAST_DEPTH)
    by_text: dict[int, float] = {}
    near: dict[int, float] | None = None
    can_measure = query.mode != "text" and query.vector is not None and index.can_measure(c)
    if (query.mode != "vector" or not can_measure) and words_of(query.text):
        sample = _sample(c, corpus, within_ids, bounds)
        terms = telling_words(query.text, sample)
        matching = index.matching(corpus, terms, sample, depth).where(*bounds, *filters)
        by_text = {row[0]: row[1] for row in c.execute(matching).all()}
    if can_measure and query.vector is not None:
        near = index.nearest(c, corpus, within_ids, bounds, filters, query.vector, depth, list(by_text))
    return _fuse(c, corpus, query, by_text, near or {})


def _sample(
    c: Connection, corpus: _Corpus, within_ids: Sequence[str] | None, bounds: Sequence[ColumnElement[bool]]
) -> Sample:
    """Words of some of the newest texts: enough to tell which words are common here, and as quick in any archive."""
    rows, text_column = corpus.rows, func.substr(sql_cast(corpus.text, String), 1, _SAMPLE_CHARS)
    # One place after the other: only within one does an index give the newest without sorting all.
    places = [corpus.holder == item for item in within_ids[:_SAMPLE_PLACES]] if within_ids else [and_(*bounds)]
    texts: list[str] = []
    for place in places:
        newest = select(text_column).where(place).order_by(rows.c.seq.desc()).limit(_SAMPLE_TEXTS // len(places))
        texts += c.execute(newest).scalars().all()
    if corpus is _MESSAGES:
        texts = [re.sub(_FIELD, " ", body) for body in texts]
    return sample_of(texts)


def _fuse(
    c: Connection, corpus: _Corpus, query: SearchQuery, by_text: Mapping[int, float], near: Mapping[int, float]
) -> list[SearchHit]:
    """Weigh both scores, then let each hit profit from what stands beside it. How the weights were found: 0005."""
    best = max(by_text.values(), default=0.0) or 1.0
    share = _TEXT_SHARE if by_text and near else 1.0 if by_text else 0.0
    scores = {
        seq: share * by_text.get(seq, 0.0) / best + (1 - share) * max(near.get(seq, 0.0), 0.0)
        for seq in {**by_text, **near}
    }
    first = sorted(scores, key=lambda seq: (-scores[seq], -seq))[: max(_CONSIDERED, query.limit)]
    stands = {row.seq: row for row in c.execute(_surroundings(corpus, first)).all()}
    final = {seq: scores[seq] for seq in first if seq in stands}
    for seq, row in stands.items():
        for place, weight in ((row.before, _BESIDE), (row.second_before, _BESIDE / 2)):
            if place in stands:
                final[seq] += weight * scores[place]
                final[place] += weight * scores[seq]
    dates = named_dates(query.text)
    for session in _sessions(stands.values()):
        gain = _SESSION * max(scores[row.seq] for row in session)
        for row in session:
            final[row.seq] += gain + (_DATE if dates and dates.hold(row.created_at) else 0.0)
    text_rank = {seq: rank for rank, seq in enumerate(sorted(by_text, key=lambda seq: (-by_text[seq], -seq)), 1)}
    vector_rank = {seq: rank for rank, seq in enumerate(sorted(near, key=lambda seq: (-near[seq], seq)), 1)}
    return [
        SearchHit(id=stands[seq].id, score=final[seq], text_rank=text_rank.get(seq), vector_rank=vector_rank.get(seq))
        for seq in sorted(final, key=lambda seq: (-final[seq], -seq))[: query.limit]
    ]


def _surroundings(corpus: _Corpus, places: Sequence[int]) -> Select[Any]:
    """Of these rows: id, holder, time, and which two rows stand before them in their holder."""
    rows = corpus.rows
    earlier = rows.alias()
    holder = earlier.c[corpus.holder.name if corpus is not _MESSAGES else "conversation_id"]
    own = rows.c[holder.name]
    said = [earlier.c.kind.in_(_SEARCHED_KINDS)] if corpus is _MESSAGES else []
    before = (
        select(earlier.c.seq)
        .where(holder == own, earlier.c.seq < rows.c.seq, *said)
        .order_by(earlier.c.seq.desc())
        .limit(1)
        .correlate(rows)
    )
    return select(
        rows.c.seq,
        rows.c.id,
        rows.c.created_at,
        own.label("holder"),
        before.scalar_subquery().label("before"),
        before.offset(1).scalar_subquery().label("second_before"),
    ).where(rows.c.seq.in_(places))


def _sessions(found: Iterable[Row[Any]]) -> Iterable[list[Row[Any]]]:
    """Rows of one holder with no long pause between them."""
    session: list[Row[Any]] = []
    for row in sorted(found, key=lambda row: (row.holder, row.created_at)):
        if session and (row.holder != session[-1].holder or row.created_at - session[-1].created_at > _PAUSE):
            yield session
            session = []
        session.append(row)
    if session:
        yield session


class _Index(ABC):
    """What searching needs of one database."""

    add_messages: TextClause
    forget_message: TextClause
    add_passages: TextClause
    add_file_passages: TextClause

    @abstractmethod
    def matching(self, corpus: _Corpus, terms: Sequence[str], sample: Sample, limit: int) -> Select[Any]:
        """Place and score of rows that hold any of `terms`, best first; the caller adds its conditions."""

    @abstractmethod
    def can_measure(self, c: Connection) -> bool:
        """Whether vectors can be compared in this database."""

    @abstractmethod
    def distance(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        """Cosine distance."""

    @abstractmethod
    def bits_apart(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        """In how many signs two vectors differ."""

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
        within_ids: Sequence[str] | None,
        bounds: Sequence[ColumnElement[bool]],
        filters: Sequence[ColumnElement[bool]],
        vector: Sequence[float],
        limit: int,
        besides: Sequence[int],
    ) -> dict[int, float]:
        """Likeness of the nearest rows and of those at `besides`, by place.

        Two steps: the signs of all vectors in reach, 48 bytes of 1,536, give the candidates, and
        only these are measured. Archives of other models have vectors of other lengths, which
        cannot be compared.
        """
        bits, vectors = corpus.bits, corpus.vectors
        signs = select(bits.c.seq)
        if within_ids is not None:
            signs = signs.where(bits.c.holder.in_(within_ids), bits.c.dimensions == len(vector))
            narrowing = list(filters)
        else:
            signs, narrowing = signs.where(bits.c.dimensions == len(vector)), [*bounds, *filters]
        if narrowing:
            signs = signs.where(bits.c.seq.in_(select(corpus.rows.c.seq).where(*narrowing)))
        wanted = limit * _RESCORED
        places = c.execute(signs.order_by(self.bits_apart(bits.c.bits, vector)).limit(wanted)).scalars().all()
        stored = vectors.c.embedding
        measured = select(vectors.c.seq, self.distance(stored, vector)).where(
            vectors.c.seq.in_({*places, *besides}), self.length(stored) == len(vector)
        )
        near = {seq: 1.0 - distance for seq, distance in c.execute(measured).all() if distance is not None}
        kept = sorted(near, key=lambda seq: -near[seq])[:limit]
        return {seq: near[seq] for seq in {*kept, *besides} if seq in near}


class _SqliteIndex(_Index):
    """FTS5 with stemming; distances by sqlite-vec, or by Python where no extension can be loaded."""

    add_messages = text("INSERT INTO message_words (rowid, text) SELECT seq, :text FROM messages WHERE id = :id")
    forget_message = text("DELETE FROM message_words WHERE rowid = (SELECT seq FROM messages WHERE id = :id)")
    add_passages = text("INSERT INTO passage_words (rowid, text) SELECT seq, :text FROM passages WHERE id = :id")
    add_file_passages = text(
        "INSERT INTO file_passage_words (rowid, text) SELECT seq, :text FROM file_passages WHERE id = :id"
    )

    def matching(self, corpus: _Corpus, terms: Sequence[str], sample: Sample, limit: int) -> Select[Any]:
        words = sql_table(corpus.words, sql_column("rowid"), sql_column("rank"))
        # Quoted, because FTS5 reads bare words such as AND or NEAR, and any punctuation, as syntax.
        match = " OR ".join(f'"{term}"' for term in terms)
        return (
            select(corpus.rows.c.seq, -words.c.rank)
            # The sum keeps SQLite from asking the index of words once for each row of the archive: words come first.
            .join(words, words.c.rowid + 0 == corpus.rows.c.seq)
            .where(literal_column(corpus.words).op("MATCH")(match))
            .order_by(words.c.rank, corpus.rows.c.seq.desc())
            .limit(limit)
        )

    def can_measure(self, c: Connection) -> bool:
        return True

    def distance(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        return func.vec_distance_cosine(stored, literal(vector, Vector))

    def bits_apart(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        return func.vec_distance_hamming(func.vec_bit(stored), func.vec_bit(literal(vector, Signs)))

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

    def matching(self, corpus: _Corpus, terms: Sequence[str], sample: Sample, limit: int) -> Select[Any]:
        words = sql_table(corpus.words, sql_column("seq"), sql_column("words"))
        english: ColumnElement[Any] = literal_column("'english'")
        every = sql_cast(func.plainto_tsquery(english, " ".join(terms)), String)
        wanted = sql_cast(func.replace(every, "&", "|"), TSQUERY)
        # PostgreSQL's own ranking knows nothing of rare words; this is BM25 for texts that say a word once.
        found = [
            case((words.c.words.op("@@")(func.plainto_tsquery(english, term)), sample.weight(term)), else_=0.0)
            for term in terms
        ]
        length = 0.25 + 0.75 * func.length(words.c.words) / max(sample.mean_words, 1.0)
        score = sum(found[1:], found[0]) * 2.2 / (1.0 + 1.2 * length)
        return (
            select(corpus.rows.c.seq, score)
            .join(words, words.c.seq == corpus.rows.c.seq)
            .where(words.c.words.op("@@")(wanted))
            .order_by(score.desc(), corpus.rows.c.seq.desc())
            .limit(limit)
        )

    def distance(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        return sql_cast(stored, _Pgvector).op("<=>", return_type=Double())(
            sql_cast(sql_cast(literal(list(vector), Vector), Vector), _Pgvector)
        )

    def bits_apart(self, stored: ColumnElement[Any], vector: Sequence[float]) -> ColumnElement[Any]:
        return stored.op("<~>", return_type=Double())(literal(vector, Signs))

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
