"""One ranking out of two: scores are weighed, and each hit profits from what stands beside it.

What the weights are worth was measured with `bench/retrieval`, see `docs/decisions/0005`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, literal_column, null, select

from reverie.domain.passage import SearchHit, SearchQuery
from reverie.storage.columns import moment
from reverie.storage.search.backends import Backend, backend_of
from reverie.storage.search.corpora import Breadth, Corpus, Reach
from reverie.storage.wording import named_dates

_CONSIDERED: Final = 30
"""Best hits that may profit from their surroundings."""
_PAUSE: Final = timedelta(minutes=30)
"""After a longer one a new session begins."""


Scores = dict[int, float]
"""By place, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What makes a rank. Found by `python -m bench.retrieval --held-out`."""

    text: float = 0.25
    """How much words count beside meaning."""
    beside: float = 0.2
    """What a row gets of the score of the one next to it; half of it from the one after that."""
    session: float = 0.15
    """What a row gets of the best score in its session."""
    date: float = 0.1
    """What a row gets for lying in a month or year that the query names."""


WEIGHTS: Final = Weights()


class Stand(NamedTuple):
    """Where a row stands."""

    seq: int
    id: str
    created_at: datetime
    before: Sequence[int]
    """The two rows before it in its thread, the nearest first."""
    thread: str | None


def fuse(
    c: Connection,
    corpus: Corpus,
    reach: Reach,
    query: SearchQuery,
    by_text: Mapping[int, float],
    near: Mapping[int, float],
) -> list[SearchHit]:
    """Weigh the scores by words and the likenesses of meaning, by place, both best first; so is what comes out."""
    scores = weighed(by_text, near, WEIGHTS)
    first = by_value(scores)[: max(_CONSIDERED, query.limit)]
    stands = surroundings(c, corpus, reach, first)
    final = lifted(scores, stands, query.text, WEIGHTS, threaded=corpus.thread is not None)
    text_rank = {seq: rank for rank, seq in enumerate(by_text, 1)}
    vector_rank = {seq: rank for rank, seq in enumerate(near, 1)}
    return [
        SearchHit(id=stands[seq].id, score=final[seq], text_rank=text_rank.get(seq), vector_rank=vector_rank.get(seq))
        for seq in by_value(final)[: query.limit]
    ]


def by_value(values: Mapping[int, float]) -> list[int]:
    """Places by their value, the greatest first; of equal ones the newest."""
    return sorted(sorted(values, reverse=True), key=values.__getitem__, reverse=True)


def weighed(by_text: Mapping[int, float], near: Mapping[int, float], weights: Weights) -> dict[int, float]:
    """One score of both: by words as a share of the best, by meaning as it is."""
    best = max(by_text.values(), default=0.0) or 1.0
    share = weights.text if by_text and near else 1.0 if by_text else 0.0
    return {
        seq: share * by_text.get(seq, 0.0) / best + (1 - share) * max(near.get(seq, 0.0), 0.0)
        for seq in {**by_text, **near}
    }


def lifted(
    scores: Mapping[int, float], stands: Mapping[int, Stand], text: str, weights: Weights, *, threaded: bool
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


def surroundings(c: Connection, corpus: Corpus, reach: Reach, places: Iterable[int]) -> dict[int, Stand]:
    """Where those of these rows stand that lie in reach, by place."""
    backend = backend_of(c)
    around = _surroundings(backend, corpus, reach.breadth)
    values = {**reach.place, "organization": reach.organization_id, "places": backend.listed(places)}
    return {
        seq: Stand(seq, item, moment(created_at), before, thread)
        for seq, item, created_at, before, thread in c.execute(around, values).scalar_one() or ()
    }


@cache
def _surroundings(backend: Backend, corpus: Corpus, breadth: Breadth) -> Select[Any]:
    """The fields of `Stand`, of the rows at `places`, as a table."""
    rows = corpus.rows
    bounds = [backend.among(rows.c.seq), rows.c.organization_id == bindparam("organization")]
    if breadth is not Breadth.ALL:
        bounds.append(corpus.held(corpus.holder, breadth))
    around = (null(), null()) if corpus.thread is None else (_before(backend, corpus, corpus.thread), corpus.thread)
    return select(backend.table(*rows.c["seq", "id", "created_at"], *around)).where(*bounds)


def _before(backend: Backend, corpus: Corpus, thread: Column[Any]) -> ColumnElement[Any]:
    """The places of the two rows before a row, the nearest first."""
    earlier = corpus.rows.alias()
    theirs = earlier.c[thread.name]
    return backend.listing(
        select(earlier.c.seq)
        .where(backend.within(theirs, thread), earlier.c.seq < corpus.rows.c.seq, *corpus.searched(earlier))
        .order_by(theirs.desc(), earlier.c.seq.desc())
        .limit(literal_column("2"))  # a plan for any limit is so poor a one that it would be made anew each time
        .correlate(corpus.rows)
    )


def _sessions(found: Iterable[Stand]) -> Iterable[list[Stand]]:
    """Rows of one thread with no long pause between them."""
    session: list[Stand] = []
    for row in sorted(found, key=attrgetter("thread", "created_at")):
        if session and (row.thread != session[-1].thread or row.created_at - session[-1].created_at > _PAUSE):
            yield session
            session = []
        session.append(row)
    if session:
        yield session
