"""Signs of vectors, a bit for each number: what tells, of very many vectors, which are worth measuring.

The newest signs of a holder are rows. When there are some hundreds they become one block, a row that never
changes any more and has an id of its own: so a block that was read once is kept in memory, and no other
process can make it wrong. What was deleted since stays in its block and is left out when it is measured.
"""

import importlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from reverie.storage.search.corpora import Corpus
from reverie.storage.search.lists import NOTED, NearSigns

SEALED: Final = 512
"""Rows that become a block."""
LIKELY: Final = 3
"""How many times the wanted number of vectors are measured, of those whose signs differ least ..."""
_SIFTED: Final = 8
"""... or half as many, chosen from so many times the number by the sum of what differs."""
_REMEMBERED_BYTES: Final = 64 << 20
"""Blocks kept in memory: of about a million vectors of 384 numbers."""


class _Remembered:
    """Blocks by id, the least recently used dropped first; shared by all readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        self._bytes = 0

    def get(self, block_id: str) -> tuple[Any, Any] | None:
        with self._lock:
            found = self._blocks.get(block_id)
            if found is not None:
                self._blocks.move_to_end(block_id)
            return found

    def keep(self, block_id: str, block: tuple[Any, Any]) -> None:
        with self._lock:
            if block_id not in self._blocks:
                self._blocks[block_id] = block
                self._bytes += sum(part.nbytes for part in block)
            while self._bytes > _REMEMBERED_BYTES:
                _, dropped = self._blocks.popitem(last=False)
                self._bytes -= sum(part.nbytes for part in dropped)


_REMEMBERED: Final = _Remembered()


def _numpy() -> Any:
    """Loaded with the first large archive: it takes 80 ms and 11 MB."""
    return importlib.import_module("numpy")


def seal(c: Connection, corpus: Corpus, holder: str, dimensions: int) -> None:
    """Make blocks of a holder's rows of signs, where there are enough of them."""
    bits = corpus.bits
    mine = (bits.c.holder == holder, bits.c.dimensions == dimensions)
    loose = c.execute(select(func.count()).select_from(bits).where(*mine)).scalar_one()
    if loose < SEALED:
        return
    oldest = select(bits.c.seq).where(*mine).order_by(bits.c.seq).limit(loose - loose % SEALED)
    # Whoever removes a row seals it: two writers never put it into two blocks.
    taken = delete(bits).where(bits.c.seq.in_(oldest)).returning(bits.c.seq, bits.c.bits)
    _insert(c, corpus, holder, dimensions, sorted(c.execute(taken).all()))
    _clear_up(c, corpus, holder, dimensions)


def _insert(
    c: Connection, corpus: Corpus, holder: str, dimensions: int, signs: Sequence[tuple[int, bytes] | Any]
) -> None:
    made = [
        {
            "id": uuid.uuid4().hex,
            "holder": holder,
            "dimensions": dimensions,
            "count": len(part),
            "places": b"".join(seq.to_bytes(8, "little") for seq, _ in part),
            "bits": b"".join(row.ljust(-(-len(row) // 8) * 8, b"\0") for _, row in part),
        }
        for part in (signs[start : start + SEALED] for start in range(0, len(signs), SEALED))
    ]
    if made:
        c.execute(insert(corpus.blocks), made)


def _clear_up(c: Connection, corpus: Corpus, holder: str, dimensions: int) -> None:
    """Seal a holder's blocks anew when more than half of what they hold is gone."""
    blocks, vectors = corpus.blocks, corpus.vectors
    mine = (blocks.c.holder == holder, blocks.c.dimensions == dimensions)
    sealed = c.execute(select(func.sum(blocks.c.count)).where(*mine)).scalar_one()
    there = select(vectors.c.seq).where(corpus.owner == holder)
    if sealed <= SEALED + 2 * c.execute(select(func.count()).select_from(there.subquery())).scalar_one():
        return
    live = set(c.execute(there).scalars())
    kept = {seq: row for seq, row in _rows(c, corpus, mine) if seq in live}
    c.execute(delete(blocks).where(*mine))
    _insert(c, corpus, holder, dimensions, sorted(kept.items()))


def _rows(c: Connection, corpus: Corpus, where: Iterable[ColumnElement[bool]]) -> Iterator[tuple[int, bytes]]:
    blocks = corpus.blocks
    for places, bits in c.execute(select(blocks.c.places, blocks.c.bits).where(*where)).all():
        width = len(bits) * 8 // len(places)
        for number in range(len(places) // 8):
            place = int.from_bytes(places[number * 8 : number * 8 + 8], "little")
            yield place, bits[number * width : (number + 1) * width]


def places_of(c: Connection, corpus: Corpus, where: Iterable[ColumnElement[bool]]) -> list[int]:
    """All places in these blocks, whether or not their rows are still there."""
    return [place for place, _ in _rows(c, corpus, where)]


def nearness(c: Connection, corpus: Corpus, vector: Sequence[float], signs: NearSigns) -> "Nearness":
    """The places of these blocks and rows of signs, by how near their signs are."""
    blocks = corpus.blocks
    found = {item: block for item in signs.blocks if (block := _REMEMBERED.get(item)) is not None}
    if missing := [item for item in signs.blocks if item not in found]:
        query = select(blocks.c.id, blocks.c.places, blocks.c.bits).where(blocks.c.id.in_(missing))
        for item, places, bits in c.execute(query).all():
            found[item] = _decoded(places, bits)
            _REMEMBERED.keep(item, found[item])
    return _NearBlocks([*found.values()], signs.rows, vector) if found else _NearRows(signs.rows)


class Nearness(Protocol):
    """Places in the order of how near their signs are."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> list[int]:
        """So many places, the nearest first."""
        ...

    def likely(self, count: int) -> list[int]:
        """Where `count` of the nearest vectors probably are: a few times as many places, in no order."""
        ...


class _NearRows:
    """Of rows alone, without NumPy."""

    def __init__(self, rows: Sequence[int]) -> None:
        self._order = [row // NOTED for row in sorted(rows, key=lambda row: row % NOTED)]

    def __len__(self) -> int:
        return len(self._order)

    def first(self, count: int) -> list[int]:
        return self._order[:count]

    def likely(self, count: int) -> list[int]:
        return self._order[: count * LIKELY]


class _NearBlocks:
    """Of blocks and rows: only as many are put in order as are asked for."""

    def __init__(self, blocks: Sequence[tuple[Any, Any]], rows: Sequence[int], vector: Sequence[float]) -> None:
        numpy = _numpy()
        self._differing = numpy.concatenate([signs for _, signs in blocks], axis=1)
        width, self._in_blocks = self._differing.shape
        self._query = numpy.zeros(width * 64, dtype="f4")
        self._query[: len(vector)] = vector
        self._differing ^= numpy.packbits(self._query > 0).view("<u8")[:, None]
        newest = numpy.array(rows, dtype="i8")
        self._apart = numpy.zeros(self._in_blocks + len(rows), dtype="u2")
        self._apart[self._in_blocks :] = newest % NOTED
        for counts in numpy.bitwise_count(self._differing):
            self._apart[: self._in_blocks] += counts
        self._places = numpy.concatenate([*(places for places, _ in blocks), newest // NOTED])

    def __len__(self) -> int:
        return len(self._places)

    def first(self, count: int) -> list[int]:
        places: list[int] = self._places[self._nearest(count)].tolist()
        return places

    def likely(self, count: int) -> list[int]:
        """Of blocks, where the signs are at hand, the numbers of the query tell more than how many signs differ."""
        numpy = _numpy()
        near = self._nearest(count * _SIFTED)
        rows = near[: count * LIKELY]
        sifted = near[near < self._in_blocks]
        differing = numpy.unpackbits(numpy.ascontiguousarray(self._differing[:, sifted].T).view("u1"), axis=1)
        # Not `@`: the threads of its library spin for a while after each product, which took longer than the search.
        against = numpy.einsum("ij,j->i", differing, numpy.abs(self._query))
        kept = sifted[numpy.argsort(against, kind="stable")[: count * LIKELY // 2]]
        places: list[int] = self._places[numpy.concatenate([kept, rows[rows >= self._in_blocks]])].tolist()
        return places

    def _nearest(self, count: int) -> Any:
        """Where in `_places` the nearest are, in order."""
        numpy = _numpy()
        # How far apart the last one that is wanted is: to sort all takes longer than to count them.
        within = numpy.searchsorted(numpy.bincount(self._apart).cumsum(), min(count, len(self)))
        near = numpy.flatnonzero(self._apart <= within)
        return near[numpy.argsort(self._apart[near], kind="stable")][:count]


def _decoded(places: bytes, bits: bytes) -> tuple[Any, Any]:
    """Places, and signs column by column: each eight bytes of all of them lie together."""
    numpy = _numpy()
    seqs = numpy.frombuffer(places, "<i8")
    return seqs, numpy.ascontiguousarray(numpy.frombuffer(bits, "<u8").reshape(len(seqs), -1).T)
