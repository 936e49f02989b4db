"""Search by words and by meaning, fused; the same for passages, messages, files and tools, on both databases."""

import re
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy import cast as sql_cast

from reverie.domain.ids import MessageId, OrganizationId
from reverie.domain.message import MessageScope
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.storage.search.backends import Backend, backend_of
from reverie.storage.search.corpora import (
    FILES,
    MESSAGES,
    PASSAGES,
    TOOLS,
    Breadth,
    Corpus,
    Reach,
    files_in,
    messages_in,
    passages_in,
    tools_in,
)
from reverie.storage.search.fusing import Scores, by_value, fuse
from reverie.storage.search.signs import Nearness
from reverie.storage.wording import Sample, sample_of, telling_words, words_of

_DEPTH: Final = 4
"""How many times the wanted number each way of searching contributes before they are fused."""
_LEAST_DEPTH: Final = 100
_WEIGHED: Final = 5
"""Likewise of rows whose words are weighed before their sizes are."""
_RESCORED: Final = 3
"""Likewise of vectors whose signs are compared before the vectors themselves are."""
_WIDER: Final = 8
"""How many times more signs are looked at, when too few of the nearest rows are wanted or still there."""
_NAMED_HOLDERS: Final = 16
"""More holders than this are looked for by their organisation, and sorted out row by row."""
_MOST_TERMS: Final = 32
"""Words of a query that are looked for: whole pages are searched for by meaning."""
_SAMPLE_TEXTS: Final = 200
_SAMPLE_CHARS: Final = 300
_SAMPLE_PLACES: Final = 8
_FIELD: Final = re.compile(r'"\w+": ?(?:"(?:text|user|assistant|system|tool_return|image)")?')
"""What stands in the JSON of every message and is none of its words."""
_SAMPLES_KEPT: Final = 256
_LARGE: Final = _SAMPLE_TEXTS * 3 // 4
"""A sample of so many texts, of which a few newer ones change little ..."""
_USES: Final = 64
"""... is used so often before it is drawn anew; a smaller one as long as nothing was added."""


def passage_wish(c: Connection, organization_id: OrganizationId, archive_ids: Sequence[str], text: str) -> str:
    """What of `text` to make a vector of, to search these archives with: common words point everywhere."""
    return _wish(c, PASSAGES, passages_in(organization_id, archive_ids), text)


def file_wish(c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str], text: str) -> str:
    """The same for folders."""
    return _wish(c, FILES, files_in(organization_id, folder_ids), text)


def message_wish(c: Connection, organization_id: OrganizationId, text: str, where: MessageScope) -> str:
    """The same for messages."""
    return _wish(c, MESSAGES, messages_in(organization_id, where), text)


def tool_wish(c: Connection, organization_id: OrganizationId, text: str) -> str:
    """The same for tools."""
    return _wish(c, TOOLS, tools_in(organization_id), text)


def search_passages(
    c: Connection,
    organization_id: OrganizationId,
    archive_ids: Sequence[str],
    query: SearchQuery,
    by_words: Scores | None = None,
) -> list[SearchHit]:
    """Search these archives, best first; `by_words` is what `passages_by_words` found already."""
    if not archive_ids:
        return []
    return _search(c, PASSAGES, passages_in(organization_id, archive_ids, query), query, by_words)


def passages_by_words(
    c: Connection, organization_id: OrganizationId, archive_ids: Sequence[str], query: SearchQuery
) -> Scores:
    """Scores by words of what comes into question: the part of a search that needs no vector."""
    return _by_words(c, PASSAGES, passages_in(organization_id, archive_ids, query), query)


def search_files(
    c: Connection, organization_id: OrganizationId, folder_ids: Sequence[str], query: SearchQuery
) -> list[SearchHit]:
    """Search these folders, best first."""
    return _search(c, FILES, files_in(organization_id, folder_ids, query), query) if folder_ids else []


def search_tools(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, filters: Sequence[Any]
) -> list[SearchHit]:
    """Search the organisation's tools that meet `filters`, best first."""
    return _search(c, TOOLS, tools_in(organization_id, filters), query)


def search_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[MessageId]:
    """Ids of messages, best first."""
    return [MessageId(hit.id) for hit in rank_messages(c, organization_id, query, where)]


def rank_messages(
    c: Connection, organization_id: OrganizationId, query: SearchQuery, where: MessageScope
) -> list[SearchHit]:
    """The same with what made each rank where it does."""
    return _search(c, MESSAGES, messages_in(organization_id, where, query), query)


def _wish(c: Connection, corpus: Corpus, reach: Reach, text: str) -> str:
    return " ".join(telling_words(text, _sample(c, corpus, reach))) or text


def _search(
    c: Connection, corpus: Corpus, reach: Reach, query: SearchQuery, by_words: Scores | None = None
) -> list[SearchHit]:
    """Ask in both ways as far as the query allows, and fuse; a query without words gives the newest."""
    if not words_of(query.text) and (query.mode != "vector" or query.vector is None):
        rows = corpus.rows
        newest = (
            select(rows.c.id)
            .where(*corpus.bounds(reach), *reach.filters)
            .order_by(rows.c.seq.desc())
            .limit(query.limit)
        )
        ids = c.execute(newest).scalars().all()
        return [SearchHit(id=item, score=1 / rank, text_rank=rank) for rank, item in enumerate(ids, 1)]
    return fuse(c, corpus, reach, query, *candidates(c, corpus, reach, query, by_words))


def candidates(
    c: Connection, corpus: Corpus, reach: Reach, query: SearchQuery, by_words: Scores | None = None
) -> tuple[Scores, Scores]:
    """Scores by words and likenesses of meaning, by place, of what comes into question; best first."""
    if by_words is None:
        by_words = {} if query.mode == "vector" and _can_measure(c, query) else _by_words(c, corpus, reach, query)
    return by_words, _by_meaning(c, corpus, reach, query, besides=[*by_words])


def _can_measure(c: Connection, query: SearchQuery) -> bool:
    return query.mode != "text" and query.vector is not None and backend_of(c).can_measure(c)


def _by_words(c: Connection, corpus: Corpus, reach: Reach, query: SearchQuery) -> Scores:
    return _matching(c, corpus, reach, query.text, _depth(query)) if words_of(query.text) else {}


def _by_meaning(c: Connection, corpus: Corpus, reach: Reach, query: SearchQuery, besides: Sequence[int]) -> Scores:
    if query.vector is None or not _can_measure(c, query):
        return {}
    return _nearest(c, corpus, reach, query.vector, _depth(query), besides)


def _depth(query: SearchQuery) -> int:
    return max(query.limit * _DEPTH, _LEAST_DEPTH)


def _matching(c: Connection, corpus: Corpus, reach: Reach, text: str, limit: int) -> Scores:
    """Scores of rows that hold words of `text`, by place.

    It is BM25 for texts that say a word once, with the weights of words from a sample of what is searched:
    the databases' own rankings know nothing of rare words (PostgreSQL) or count them in all archives (SQLite).
    """
    sample = _sample(c, corpus, reach)
    terms = telling_words(text, sample)[:_MOST_TERMS]
    weights: dict[int, float] = {}
    sizes: dict[int, int] = {}
    for number, seqs, their_sizes in _postings(c, corpus, reach, terms):
        weight = sample.weight(terms[number])
        for seq in seqs or ():
            weights[seq] = weights.get(seq, 0.0) + weight
        sizes.update(zip(seqs or (), their_sizes or (), strict=False))
    heaviest = _heaviest(weights, limit * _WEIGHED)
    if missing := [seq for seq in heaviest if seq not in sizes]:
        backend = backend_of(c)
        sizes.update(
            zip(*c.execute(_sizes_statement(backend, corpus), {"places": backend.listed(missing)}).one(), strict=True)
        )
    mean = max(sample.mean_size, 1.0)
    scores = {
        seq: weights[seq] * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * sizes[seq] / mean)) for seq in heaviest if seq in sizes
    }
    return {seq: scores[seq] for seq in by_value(scores)[:limit]}


def _postings(c: Connection, corpus: Corpus, reach: Reach, terms: Sequence[str]) -> Sequence[Any]:
    """The number of each term, and the places and perhaps the sizes of the rows that hold it."""
    backend = backend_of(c)
    named = reach.holders is not None and len(reach.holders) <= _NAMED_HOLDERS
    place, names = ("holder", reach.holders or ()) if named else ("organization", (reach.organization_id,))
    narrowing = (*reach.filters, *(() if named else corpus.bounds(reach)))
    build = _postings_statement.__wrapped__ if narrowing else _postings_statement
    return c.execute(build(backend, corpus, len(terms), narrowing), backend.wanted(terms, place, names)).all()


@cache
def _postings_statement(
    backend: Backend, corpus: Corpus, terms: int, narrowing: tuple[ColumnElement[bool], ...] = ()
) -> CompoundSelect[Any]:
    """Built once: with SQLAlchemy that takes longer than the search. So it is with the statements below."""
    lists = []
    for number in range(terms):
        found = backend.postings(corpus, number).subquery()
        size = backend.gathered(found.c.size) if "size" in found.c else null()
        of_term = select(literal_column(str(number)), backend.gathered(found.c.seq), size)
        if narrowing:
            of_term = of_term.join(corpus.rows, corpus.rows.c.seq == found.c.seq).where(*narrowing)
        lists.append(of_term)
    return union_all(*lists)


@cache
def _sizes_statement(backend: Backend, corpus: Corpus) -> Select[Any]:
    rows = corpus.rows
    size = func.length(corpus.text, type_=Integer)
    return select(backend.gathered(rows.c.seq), backend.gathered(size)).where(backend.among(rows.c.seq))


def _heaviest(weights: Mapping[int, float], most: int) -> list[int]:
    """The places of greatest weight, of equal ones the newest.

    Sizes are looked at only of these: where thousands hold the same words, that would take most of the search.
    """
    if len(weights) <= most:
        return [*weights]
    # Few words make few sums, which most places share: to sort all of them takes longer.
    alike: defaultdict[float, list[int]] = defaultdict(list)
    for seq, weight in weights.items():
        alike[weight].append(seq)
    kept: list[int] = []
    for weight in sorted(alike, reverse=True):
        kept += sorted(alike[weight], reverse=True)[: most - len(kept)]
        if len(kept) == most:
            break
    return kept


def _nearest(
    c: Connection, corpus: Corpus, reach: Reach, vector: Sequence[float], limit: int, besides: Sequence[int]
) -> Scores:
    """Likeness of the nearest rows and of those at `besides`, by place.

    Two steps: the signs of all vectors in reach, 48 bytes of 1,536, give the candidates, and only these are
    measured. Archives of other models have vectors of other lengths, which cannot be compared.
    """
    wanted = limit * _RESCORED
    ordered = Nearness(c, corpus, vector, *_signs(c, corpus, reach, vector, wanted))
    near: dict[int, float] = {}
    places = {*besides}
    start, end = 0, wanted
    while True:
        several = ordered.slice(start, end)
        near |= _measured(c, corpus, reach, vector, {*places, *several})
        if end >= len(ordered) or len(near.keys() & {*several}) >= limit:
            break
        places, start, end = set(), end, end * _WIDER
    order = by_value(near)
    wanted_besides = {*besides}
    return {seq: near[seq] for rank, seq in enumerate(order) if rank < limit or seq in wanted_besides}


def _signs(
    c: Connection, corpus: Corpus, reach: Reach, vector: Sequence[float], limit: int
) -> tuple[list[str], list[tuple[int, int]]]:
    """The blocks of signs in reach; and of the rows of signs the nearest, with how far apart theirs are."""
    if reach.filters:
        wanted = select(corpus.rows.c.seq).where(*corpus.bounds(reach), *reach.filters)
        statement = _signs_statement.__wrapped__(backend_of(c), corpus, reach.breadth, wanted)
    else:
        statement = _signs_statement(backend_of(c), corpus, reach.breadth)
    values = {**reach.place, "dimensions": len(vector), "vector": vector, "most": limit}
    blocks, seqs, apart = c.execute(statement, values).one()
    return blocks or [], [*zip(seqs or (), apart or (), strict=True)]


@cache
def _signs_statement(
    backend: Backend, corpus: Corpus, breadth: Breadth, wanted: Select[Any] | None = None
) -> Select[Any]:
    bits, blocks = corpus.bits, corpus.blocks
    apart = backend.bits_apart(bits.c.bits).label("apart")
    loose = select(bits.c.seq, apart).where(
        corpus.held(bits.c.holder, breadth), bits.c.dimensions == bindparam("dimensions")
    )
    if wanted is not None:
        loose = loose.where(bits.c.seq.in_(wanted))
    rows = loose.order_by(apart).limit(bindparam("most", type_=Integer)).subquery()
    sealed = select(backend.gathered(blocks.c.id)).where(
        corpus.held(blocks.c.holder, breadth), blocks.c.dimensions == bindparam("dimensions")
    )
    # In one statement, since the way to the database and back takes longer than either.
    return select(sealed.scalar_subquery(), backend.gathered(rows.c.seq), backend.gathered(rows.c.apart))


def _measured(c: Connection, corpus: Corpus, reach: Reach, vector: Sequence[float], places: set[int]) -> Scores:
    """Likeness of those of these places that are in reach, by place."""
    query = _measured_statement(backend_of(c), corpus, reach.breadth)
    if reach.filters or reach.holders is None:
        query = query.join(corpus.rows, corpus.rows.c.seq == corpus.vectors.c.seq).where(
            *corpus.bounds(reach), *reach.filters
        )
    values = {
        **reach.place,
        "places": backend_of(c).listed(sorted(places)),
        "dimensions": len(vector),
        "vector": vector,
    }
    seqs, distances = c.execute(query, values).one()
    found = zip(seqs or (), distances or (), strict=True)
    return {seq: 1.0 - distance for seq, distance in found if distance is not None}


@cache
def _measured_statement(backend: Backend, corpus: Corpus, breadth: Breadth) -> Select[Any]:
    vectors = corpus.vectors
    return select(backend.gathered(vectors.c.seq), backend.gathered(backend.distance(vectors.c.embedding))).where(
        backend.among(vectors.c.seq),
        backend.length(vectors.c.embedding) == bindparam("dimensions"),
        # Blocks of signs name rows that are gone, and the row numbers of those come round again.
        corpus.held(backend.plain(corpus.owner), breadth),
    )


@dataclass(slots=True)
class _Kept:
    """A sample that was drawn before."""

    sample: Sample
    newest: tuple[int | None, ...]
    """In each place, when it was drawn."""
    uses: int = 0


_samples: "weakref.WeakKeyDictionary[Engine, OrderedDict[object, _Kept]]" = weakref.WeakKeyDictionary()
"""Of each database."""


def _sample(c: Connection, corpus: Corpus, reach: Reach) -> Sample:
    """Words of some of the newest texts: enough to tell which words are common here, and as quick in any archive."""
    if not reach.holders:
        return _drawn(c, corpus, [and_(*corpus.bounds(reach))])
    # One place after the other: only within one does an index give the newest without sorting all.
    held = reach.holders[:_SAMPLE_PLACES]
    places = [corpus.holder == item for item in held]
    key, kept = (corpus.words, *held), _samples.setdefault(c.engine, OrderedDict())
    known = kept.get(key)
    if known is not None and known.sample.count >= _LARGE and known.uses < _USES:
        known.uses += 1
        return known.sample
    newest = tuple(c.execute(select(func.max(corpus.rows.c.seq)).where(place)).scalar_one() for place in places)
    if known is None or known.newest != newest or known.sample.count >= _LARGE:
        known = kept[key] = _Kept(_drawn(c, corpus, places), newest)
        while len(kept) > _SAMPLES_KEPT:
            kept.popitem(last=False)
    return known.sample


def _drawn(c: Connection, corpus: Corpus, places: Sequence[Any]) -> Sample:
    said = sql_cast(corpus.text, String)
    texts: list[str] = []
    sizes: list[int] = []
    for place in places:
        newest = (
            select(func.substr(said, 1, _SAMPLE_CHARS), func.length(said))
            .where(place)
            .order_by(corpus.rows.c.seq.desc())
            .limit(_SAMPLE_TEXTS // len(places))
        )
        for text, size in c.execute(newest).all():
            texts.append(text)
            sizes.append(size)
    if corpus is MESSAGES:
        texts = [re.sub(_FIELD, " ", body) for body in texts]
    return sample_of(texts, sizes)
