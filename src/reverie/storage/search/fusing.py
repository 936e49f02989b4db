"""One ranking out of two: scores are weighed, and each hit profits from what stands beside it.

What the weights are worth was measured with `bench/retrieval`, see `docs/decisions/0005`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, literal, select

from reverie.domain.passage import SearchHit, SearchQuery
from reverie.storage.search.backends import Backend, backend_of
from reverie.storage.search.corpora import MESSAGES, SEARCHED_KINDS, Corpus, Reach
from reverie.storage.wording import named_dates

_CONSIDERED: Final = 100
"""Best hits that may profit from their surroundings."""
_PAUSE: Final = timedelta(minutes=30)
"""After a longer one a new session begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What makes a rank. Found by `python -m bench.retrieval --held-out`."""

    text: float = 0.3
    """How much words count beside meaning."""
    beside: float = 0.2
    """What a row gets of the score of the one next to it; half of it from the one after that."""
    session: float = 0.1
    """What a row gets of the best score in its session."""
    date: float = 0.1
    """What a row gets for lying in a month or year that the query names."""


WEIGHTS: Final = Weights()


def fuse(
    c: Connection,
    corpus: Corpus,
    reach: Reach,
    query: SearchQuery,
    by_text: Mapping[int, float],
    near: Mapping[int, float],
) -> list[SearchHit]:
    """Weigh the scores by words and the likenesses of meaning, by place; best first."""
    scores = weighed(by_text, near, WEIGHTS)
    first = sorted(scores, key=lambda seq: (-scores[seq], -seq))[: max(_CONSIDERED, query.limit)]
    stands = surroundings(c, corpus, reach, first)
    final = lifted(scores, stands, query.text, WEIGHTS, threaded=corpus.thread is not None)
    text_rank = {seq: rank for rank, seq in enumerate(sorted(by_text, key=lambda seq: (-by_text[seq], -seq)), 1)}
    vector_rank = {seq: rank for rank, seq in enumerate(sorted(near, key=lambda seq: (-near[seq], seq)), 1)}
    return [
        SearchHit(id=stands[seq].id, score=final[seq], text_rank=text_rank.get(seq), vector_rank=vector_rank.get(seq))
        for seq in sorted(final, key=lambda seq: (-final[seq], -seq))[: query.limit]
    ]


def weighed(by_text: Mapping[int, float], near: Mapping[int, float], weights: Weights) -> dict[int, float]:
    """One score of both: by words as a share of the best, by meaning as it is."""
    best = max(by_text.values(), default=0.0) or 1.0
    share = weights.text if by_text and near else 1.0 if by_text else 0.0
    return {
        seq: share * by_text.get(seq, 0.0) / best + (1 - share) * max(near.get(seq, 0.0), 0.0)
        for seq in {**by_text, **near}
    }


def lifted(
    scores: Mapping[int, float], stands: Mapping[int, Row[Any]], text: str, weights: Weights, *, threaded: bool
) -> dict[int, float]:
    """Let rows profit from what stands beside them; nothing comes in that matches in no way."""
    final = {seq: scores[seq] for seq in stands}
    dates = named_dates(text)
    for seq, row in stands.items() if dates else ():
        final[seq] += weights.date if dates.hold(row.created_at) else 0.0
    if not threaded:
        return final
    for seq, row in stands.items():
        for place, weight in zip(row.before, (weights.beside, weights.beside / 2), strict=False):
            if place in stands:
                final[seq] += weight * scores[place]
                final[place] += weight * scores[seq]
    for session in _sessions(stands.values()):
        gain = weights.session * max(scores[row.seq] for row in session)
        for row in session:
            final[row.seq] += gain
    return final


def surroundings(c: Connection, corpus: Corpus, reach: Reach, places: Iterable[int]) -> dict[int, Row[Any]]:
    """Of those of these rows that lie in reach, by place: id, thread, time, and which two rows stand before them."""
    backend = backend_of(c)
    around = _surroundings(backend, corpus, reach.holders is None)
    values = {**reach.place, "organization": reach.organization_id, "places": backend.listed(places)}
    return {row.seq: row for row in c.execute(around, values).all()}


@cache
def _surroundings(backend: Backend, corpus: Corpus, everywhere: bool) -> Select[Any]:
    """Of the rows at `places`: id, thread, time, and which two rows stand before them in it."""
    rows = corpus.rows
    bounds = [backend.among(rows.c.seq), rows.c.organization_id == bindparam("organization")]
    if not everywhere:
        bounds.append(corpus.held(corpus.holder, everywhere=False))
    found = select(rows.c.seq, rows.c.id, rows.c.created_at).where(*bounds)
    if corpus.thread is None:
        return found.add_columns(literal(None).label("before"))
    earlier = rows.alias()
    said = [earlier.c.kind.in_(SEARCHED_KINDS)] if corpus is MESSAGES else []
    before = (
        select(earlier.c.seq)
        .where(earlier.c[corpus.thread.name] == corpus.thread, earlier.c.seq < rows.c.seq, *said)
        .order_by(earlier.c.seq.desc())
        .limit(2)
        .correlate(rows)
    )
    return found.add_columns(corpus.thread.label("thread"), backend.listing(before).label("before"))


def _sessions(found: Iterable[Row[Any]]) -> Iterable[list[Row[Any]]]:
    """Rows of one thread with no long pause between them."""
    session: list[Row[Any]] = []
    for row in sorted(found, key=lambda row: (row.thread, row.created_at)):
        if session and (row.thread != session[-1].thread or row.created_at - session[-1].created_at > _PAUSE):
            yield session
            session = []
        session.append(row)
    if session:
        yield session
