"""What the indexes say to a query: who holds its words, and whose signs are near.

Both are asked by one statement, since the way to the database and back takes longer than either, and come as
lists: a thousand rows cost more than what is in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    literal_column,
    null,
    select,
    union_all,
)

from reverie.storage.search.backends import Backend, backend_of
from reverie.storage.search.corpora import Breadth, Corpus, Reach

_NAMED_HOLDERS: Final = 16
"""More holders than this are looked for by their organisation, and sorted out row by row."""
_SIGNS: Final = -1
"""Stands where the number of a term does otherwise."""
NOTED: Final = 1_000_000
"""A place times this, and what is noted of its row: one list instead of two, one number to look up instead of two."""


@dataclass(frozen=True, slots=True)
class Posting:
    """The rows that hold a term."""

    term: str
    rows: Sequence[int]
    """Their places, with their sizes in characters noted; 0 where the index does not know them."""


@dataclass(frozen=True, slots=True)
class NearSigns:
    """Where to look for the nearest vectors."""

    blocks: Sequence[str]
    """Ids of all blocks of signs in reach."""
    rows: Sequence[int]
    """Of the newest vectors, in no block yet: the nearest places, with the number of signs that differ noted."""


def ask(
    c: Connection, corpus: Corpus, reach: Reach, terms: Sequence[str], vector: Sequence[float] | None, nearest: int
) -> tuple[list[Posting], NearSigns]:
    """Who holds each of `terms`; and if there is a `vector`, the blocks of signs and up to so many of the `nearest`."""
    if not terms and vector is None:
        return [], NearSigns((), ())
    backend = backend_of(c)
    named = reach.holders is not None and len(reach.holders) <= _NAMED_HOLDERS
    place, names = ("holder", reach.holders or ()) if named else ("organization", (reach.organization_id,))
    shape = _Shape(backend, corpus, len(terms), reach.breadth if vector is not None else None)
    narrowed = bool(reach.filters) or not named
    statement = _narrowed(shape, reach, named=named) if narrowed else _statement(shape)
    values: dict[str, Any] = {**backend.wanted(terms, place, names)} if terms else {}
    if vector is not None:
        values |= {**reach.place, "dimensions": len(vector), "vector": vector, "most": nearest}
    postings, near = [], NearSigns((), ())
    for number, rows, blocks in c.execute(statement, values).all():
        if number == _SIGNS:
            near = NearSigns(blocks or (), rows or ())
        else:
            postings.append(Posting(terms[number], rows or ()))
    return postings, near


class _Shape(NamedTuple):
    """What makes a statement another one."""

    backend: Backend
    corpus: Corpus
    terms: int
    breadth: Breadth | None
    """Where signs are wanted; None: nowhere."""


@cache
def _statement(shape: _Shape) -> CompoundSelect[Any]:
    """Built once: with SQLAlchemy that takes longer than the search."""
    return _of(shape, (), ())


def _narrowed(shape: _Shape, reach: Reach, *, named: bool) -> CompoundSelect[Any]:
    """With conditions of its own, which make it another one each time."""
    bounds = tuple(shape.corpus.bounds(reach))
    return _of(shape, (*reach.filters, *(() if named else bounds)), (*bounds, *reach.filters) if reach.filters else ())


def _of(
    shape: _Shape, of_postings: Sequence[ColumnElement[bool]], of_signs: Sequence[ColumnElement[bool]]
) -> CompoundSelect[Any]:
    # The signs first, because PostgreSQL takes the types of the columns from there.
    backend, corpus, terms, breadth = shape
    parts = [] if breadth is None else [_signs(backend, corpus, breadth, of_signs)]
    parts += [_posting(backend, corpus, number, of_postings) for number in range(terms)]
    return union_all(*parts)


def _posting(backend: Backend, corpus: Corpus, number: int, narrowing: Sequence[ColumnElement[bool]]) -> Select[Any]:
    found = backend.postings(corpus, number).subquery()
    rows = backend.gathered(_noted(found.c.seq, found.c.size))
    lists = select(literal_column(str(number)), rows, null())
    if narrowing:
        lists = lists.join(corpus.rows, corpus.rows.c.seq == found.c.seq).where(*narrowing)
    return lists


def _signs(backend: Backend, corpus: Corpus, breadth: Breadth, narrowing: Sequence[ColumnElement[bool]]) -> Select[Any]:
    bits, blocks = corpus.bits, corpus.blocks
    apart = backend.bits_apart(bits.c.bits).label("apart")
    newest = select(bits.c.seq, apart).where(
        corpus.held(bits.c.holder, breadth), bits.c.dimensions == bindparam("dimensions")
    )
    if narrowing:
        newest = newest.where(bits.c.seq.in_(select(corpus.rows.c.seq).where(*narrowing)))
    near = newest.order_by(apart, bits.c.seq.desc()).limit(bindparam("most", type_=Integer)).subquery().c
    sealed = select(backend.gathered(blocks.c.id)).where(
        corpus.held(blocks.c.holder, breadth), blocks.c.dimensions == bindparam("dimensions")
    )
    rows = backend.gathered(_noted(near.seq, near.apart))
    return select(literal_column(str(_SIGNS)), rows, sealed.scalar_subquery())


def _noted(place: ColumnElement[int], what: ColumnElement[int]) -> ColumnElement[int]:
    """A place with something noted, as much of it as there is room for."""
    most = literal_column(str(NOTED - 1), Integer)
    return place * literal_column(str(NOTED), Integer) + case((what > most, most), else_=what)
