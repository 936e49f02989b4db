"""One ranking out of two: scores are weighed, and each hit profits from what stands beside it.

What the weights are worth was measured with `bench/retrieval`, see `docs/decisions/0005`.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, literal, select

from reverie.domain.passage import SearchHit, SearchQuery
from reverie.storage.search.backends import Backend, backend_of
from reverie.storage.search.corpora import MESSAGES, SEARCHED_KINDS, Corpus, Reach
from reverie.storage.wording import named_dates

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


def fuse(
    c: Connection,
    corpus: Corpus,
    reach: Reach,
    query: SearchQuery,
    by_text: Mapping[int, float],
    near: Mapping[int, float],
) -> list[SearchHit]:
    """Weigh the scores by words and the likenesses of meaning, by place; best first."""
    scores = _weighed(by_text, near)
    first = sorted(scores, key=lambda seq: (-scores[seq], -seq))[: max(_CONSIDERED, query.limit)]
    backend = backend_of(c)
    around = _surroundings(backend, corpus).where(*reach.bounds)
    stands = {row.seq: row for row in c.execute(around, {"places": backend.listed(first)}).all()}
    final = {seq: scores[seq] for seq in first if seq in stands}
    if corpus.thread is not None:
        _lift(final, scores, stands)
    dates = named_dates(query.text)
    for seq, row in stands.items():
        final[seq] += _DATE if dates and dates.hold(row.created_at) else 0.0
    text_rank = {seq: rank for rank, seq in enumerate(sorted(by_text, key=lambda seq: (-by_text[seq], -seq)), 1)}
    vector_rank = {seq: rank for rank, seq in enumerate(sorted(near, key=lambda seq: (-near[seq], seq)), 1)}
    return [
        SearchHit(id=stands[seq].id, score=final[seq], text_rank=text_rank.get(seq), vector_rank=vector_rank.get(seq))
        for seq in sorted(final, key=lambda seq: (-final[seq], -seq))[: query.limit]
    ]


def _weighed(by_text: Mapping[int, float], near: Mapping[int, float]) -> dict[int, float]:
    best = max(by_text.values(), default=0.0) or 1.0
    share = _TEXT_SHARE if by_text and near else 1.0 if by_text else 0.0
    return {
        seq: share * by_text.get(seq, 0.0) / best + (1 - share) * max(near.get(seq, 0.0), 0.0)
        for seq in {**by_text, **near}
    }


def _lift(final: dict[int, float], scores: Mapping[int, float], stands: Mapping[int, Row[Any]]) -> None:
    """Let rows profit from their neighbours and from their session; nothing comes in that matches in no way."""
    for seq, row in stands.items():
        for place, weight in ((row.before, _BESIDE), (row.second_before, _BESIDE / 2)):
            if place in stands:
                final[seq] += weight * scores[place]
                final[place] += weight * scores[seq]
    for session in _sessions(stands.values()):
        gain = _SESSION * max(scores[row.seq] for row in session)
        for row in session:
            final[row.seq] += gain


@cache
def _surroundings(backend: Backend, corpus: Corpus) -> Select[Any]:
    """Of the rows at `places`: id, thread, time, and which two rows stand before them in it."""
    rows = corpus.rows
    found = select(rows.c.seq, rows.c.id, rows.c.created_at).where(backend.among(rows.c.seq))
    if corpus.thread is None:
        return found.add_columns(literal(None).label("before"))
    earlier = rows.alias()
    said = [earlier.c.kind.in_(SEARCHED_KINDS)] if corpus is MESSAGES else []
    before = (
        select(earlier.c.seq)
        .where(earlier.c[corpus.thread.name] == corpus.thread, earlier.c.seq < rows.c.seq, *said)
        .order_by(earlier.c.seq.desc())
        .limit(1)
        .correlate(rows)
    )
    return found.add_columns(
        corpus.thread.label("thread"),
        before.scalar_subquery().label("before"),
        before.offset(1).scalar_subquery().label("second_before"),
    )


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
