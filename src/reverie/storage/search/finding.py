"""Search by words and by meaning, fused; the same for passages, messages, files and tools, on both databases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import repeat
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    select,
)

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
from reverie.storage.search.lists import NOTED, NearSigns, Posting, ask
from reverie.storage.search.sampling import sample_in
from reverie.storage.search.signs import LIKELY, nearness
from reverie.storage.wording import EMPTY, Sample, telling_words, words_of

_DEPTH: Final = 2
"""How many times the wanted number each way of searching contributes before they are fused."""
_LEAST_DEPTH: Final = 45
_WEIGHED: Final = 5
"""Likewise of rows whose words are weighed before their sizes are."""
_WIDER: Final = 8
"""How many times more signs are looked at, when too few of the nearest rows are wanted or still there."""
_MOST_TERMS: Final = 32
"""Words of a query that are looked for: whole pages are searched for by meaning."""


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
    return candidates(c, PASSAGES, passages_in(organization_id, archive_ids, query), replace(query, mode="text"))[0]


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
    return " ".join(telling_words(text, sample_in(c, corpus, reach))) or text


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
    vector = query.vector if query.mode != "text" else None
    if vector is not None and not backend_of(c).can_measure(c):
        vector = None
    worded = by_words is None and (query.mode != "vector" or vector is None) and bool(words_of(query.text))
    sample = sample_in(c, corpus, reach) if worded else EMPTY
    terms = telling_words(query.text, sample)[:_MOST_TERMS] if worded else []
    depth = _depth(query)
    postings, signs = ask(c, corpus, reach, terms, vector, depth * LIKELY)
    if by_words is None:
        by_words = _scored(c, corpus, sample, postings, depth)
    if vector is None:
        return by_words, {}
    return by_words, _nearest(c, corpus, reach, vector, signs, depth, besides=[*by_words])


def _depth(query: SearchQuery) -> int:
    return max(query.limit * _DEPTH, _LEAST_DEPTH)


def _scored(c: Connection, corpus: Corpus, sample: Sample, postings: Sequence[Posting], limit: int) -> Scores:
    """Scores of rows that hold words, by place.

    It is BM25 for texts that say a word once, with the weights of words from a sample of what is searched:
    the databases' own rankings know nothing of rare words (PostgreSQL) or count them in all archives (SQLite).
    """
    weights: dict[int, float] = {}
    for posting in postings:
        weight = sample.weight(posting.term)
        for row in posting.rows:
            weights[row] = weights.get(row, 0.0) + weight
    heaviest = _heaviest(weights, limit * _WEIGHED)
    sizes = _sizes(c, corpus, heaviest)
    of_size = 0.9 / max(sample.mean_size, 1.0)
    scores = {
        seq: weights[row] * 2.2 / (1.3 + of_size * sizes[seq]) for row in heaviest if (seq := row // NOTED) in sizes
    }
    return {seq: scores[seq] for seq in by_value(scores)[:limit]}


def _heaviest(weights: Mapping[int, float], most: int) -> list[int]:
    """The rows of greatest weight, of equal ones the newest.

    Sizes are looked at only of these: where thousands hold the same words, that would take most of the search.
    """
    if len(weights) <= most:
        return [*weights]
    least = sorted(weights.values(), reverse=True)[most - 1]
    heavier = [row for row, weight in weights.items() if weight > least]
    just = sorted([row for row, weight in weights.items() if weight == least], reverse=True)
    return heavier + just[: most - len(heavier)]


def _sizes(c: Connection, corpus: Corpus, rows: Iterable[int]) -> dict[int, int]:
    """How many characters the texts of these rows have, by place, where the index has not noted it either."""
    sizes = dict(map(divmod, rows, repeat(NOTED)))
    if all(sizes.values()):
        return sizes
    backend = backend_of(c)
    found = c.execute(_sizes_statement(backend, corpus), {"places": backend.listed(sizes)}).one()
    return dict(zip(*(part or () for part in found), strict=True))


@cache
def _sizes_statement(backend: Backend, corpus: Corpus) -> Select[Any]:
    """Built once, as in `lists.py`."""
    rows = corpus.rows
    size = func.length(corpus.text, type_=Integer)
    return select(backend.gathered(rows.c.seq), backend.gathered(size)).where(backend.among(rows.c.seq))


def _nearest(
    c: Connection,
    corpus: Corpus,
    reach: Reach,
    vector: Sequence[float],
    signs: NearSigns,
    limit: int,
    besides: Sequence[int],
) -> Scores:
    """Likeness of the nearest rows and of those at `besides`, by place.

    Two steps: the signs of all vectors in reach, 48 bytes of 1,536, give the candidates, and only these are
    measured. Archives of other models have vectors of other lengths, which cannot be compared.
    """
    ordered = nearness(c, corpus, vector, signs)
    several = {*ordered.likely(limit)}
    near = _measured(c, corpus, reach, vector, several | {*besides})
    asked, end = several, limit * LIKELY
    while end < len(ordered) and len(near.keys() & asked) < limit:
        end *= _WIDER
        more = {*ordered.first(end)} - asked
        near |= _measured(c, corpus, reach, vector, more)
        asked |= more
    order = by_value(near)
    wanted_besides = {*besides}
    return {seq: near[seq] for rank, seq in enumerate(order) if rank < limit or seq in wanted_besides}


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
