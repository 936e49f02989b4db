"""`python -m bench.search`: hybrid search in one large archive beside others, through the product's own search code."""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy
import psutil
from sqlalchemy import Connection, select
from tests.support.databases import database_urls, opened
from tests.support.operations import operations_on

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.ids import ArchiveId
from reverie.domain.passage import ArchiveDraft, PassageDraft, SearchHit, SearchQuery
from reverie.models.embedders.builtin import BuiltinEmbedder
from reverie.operations import archives
from reverie.operations.base import Operations
from reverie.storage import archives as archive_rows
from reverie.storage import passages
from reverie.storage.database import Database
from reverie.storage.schema import passage_vectors
from reverie.storage.schema import passages as passage_rows

DIMENSIONS: Final = 384
BATCH: Final = 500
WARM: Final = 10
SEARCHES: Final = 100
ORGANIZATION: Final = LOCAL_CALLER.organization_id
WORDS: Final = [f"word{number}" for number in range(5_000)]


class Made:
    """Passages made up: words as often as in a language, vectors in clouds; the same in every run."""

    def __init__(self) -> None:
        self._rng = random.Random(7)
        self._clouds = numpy.random.default_rng(7)
        self._centres = self._clouds.normal(size=(200, DIMENSIONS))

    def words(self, count: int, rarer_than: int = 0) -> str:
        drawn = (rarer_than + min(4_999 - rarer_than, int(self._rng.paretovariate(0.6)) - 1) for _ in range(count))
        return " ".join(WORDS[number] for number in drawn)

    def vectors(self, count: int) -> list[list[float]]:
        chosen = self._centres[self._clouds.integers(0, len(self._centres), count)]
        found: list[list[float]] = (chosen + self._clouds.normal(size=(count, DIMENSIONS))).tolist()
        return found

    def batches(self, count: int) -> Iterator[list[PassageDraft]]:
        for start in range(0, count, BATCH):
            vectors = self.vectors(min(BATCH, count - start))
            yield [PassageDraft(text=self.words(20), vector=vector) for vector in vectors]


async def fill(ops: Operations, made: Made, name: str, count: int) -> tuple[ArchiveId, float]:
    """Make an archive of so many passages; returns the seconds that storing took, making them up apart."""
    archive_id = (await archives.create(ops, LOCAL_CALLER, ArchiveDraft(name=name))).id
    spent = 0.0
    for drafts in made.batches(count):
        began = time.perf_counter()
        await ops.database.write(partial(_store, archive_id=archive_id, drafts=drafts, ops=ops))
        spent += time.perf_counter() - began
    return archive_id, spent


def _store(c: Connection, archive_id: ArchiveId, drafts: Sequence[PassageDraft], ops: Operations) -> None:
    locked = archive_rows.get(c, ORGANIZATION, archive_id, lock=True)
    fitting = replace(locked, embedding_dim=locked.embedding_dim if locked.passage_count else None)
    passages.insert_passages(c, fitting, drafts, ops.clock())


async def measure(database: str, count: int, others: int) -> None:
    """Fill the archives, then search one; vectors are given, so that no embedding is timed with the search."""
    made = Made()
    with database_urls(database) as url:
        async with opened(url) as stored:
            ops = operations_on(stored)
            archive_id, spent = await fill(ops, made, "large", count)
            for number in range(others):
                await fill(ops, made, f"other {number}", 10_000)
            print(
                f"{database:>10}  {count} passages beside {others * 10_000}: {count / spent:.0f} inserted/s", flush=True
            )
            if database == "postgresql":  # as its own daemon does within a minute; a cluster of tests has none
                await stored.write(lambda c: c.exec_driver_sql("ANALYZE"))
            exact = await stored.read(partial(_matrix, archive_id=archive_id))
            queries = [
                SearchQuery(text=made.words(4, rarer_than=20), vector=vector, limit=10)
                for vector in made.vectors(WARM + SEARCHES)
            ]
            await _timed(stored, archive_id, queries[:WARM])
            cost = await _timed(stored, archive_id, queries[WARM:])
            found = 0
            for query in queries:
                near = replace(query, mode="vector")
                hits = await stored.read(partial(_search, archive_id=archive_id, query=near))
                found += len(exact(query.vector) & {hit.id for _, hit in hits})
    print(
        f"{database:>10}  hybrid search: {cost}; by meaning {found * 10 / len(queries):.1f} % of the ten nearest",
        flush=True,
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What searches took: waits in order, and milliseconds of processors for each, which other programs change less."""

    waits_ms: list[float]
    own_ms: float
    database_ms: float

    def __str__(self) -> str:
        p50, p95 = (self.waits_ms[len(self.waits_ms) * part // 100] for part in (50, 95))
        of_database = f" and {self.database_ms:.1f} ms of the database" if self.database_ms else ""
        return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, CPU {self.own_ms:.1f} ms{of_database}"


async def _timed(stored: Database, archive_id: ArchiveId, queries: Sequence[SearchQuery]) -> Cost:
    waits = []
    own, databases = time.process_time(), await stored.read(_database_s)
    for query in queries:
        began = time.perf_counter()
        await stored.read(partial(_search, archive_id=archive_id, query=query))
        waits.append((time.perf_counter() - began) * 1000)
    own, databases = time.process_time() - own, await stored.read(_database_s) - databases
    return Cost(sorted(waits), *(spent / len(queries) * 1000 for spent in (own, databases)))


def _database_s(c: Connection) -> float:
    """Processor time of the database's processes for us so far; SQLite has none."""
    if c.dialect.name == "sqlite":
        return 0.0
    pids = c.exec_driver_sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database()").scalars().all()
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def _search(c: Connection, archive_id: ArchiveId, query: SearchQuery) -> list[tuple[Any, SearchHit]]:
    return passages.search(c, ORGANIZATION, [archive_id], query)


def _matrix(c: Connection, archive_id: ArchiveId) -> Any:
    """What finds the ten nearest by measuring all."""
    query = select(passage_rows.c.id, passage_vectors.c.embedding).join(
        passage_vectors, passage_vectors.c.seq == passage_rows.c.seq
    )
    rows = c.execute(query.where(passage_rows.c.archive_id == archive_id)).all()
    ids, matrix = [row[0] for row in rows], numpy.array([row[1] for row in rows], dtype="f4")
    matrix /= numpy.linalg.norm(matrix, axis=1, keepdims=True)

    def nearest(vector: Sequence[float]) -> set[str]:
        return {ids[place] for place in numpy.argsort(-(matrix @ numpy.array(vector, dtype="f4")))[:10]}

    return nearest


async def measure_embedder() -> None:
    """What the vector of a query takes: it is on the way of a search by meaning."""
    embedder = BuiltinEmbedder()
    await embedder.embed(["warm"])
    waits = []
    for number in range(SEARCHES // 2):
        began = time.perf_counter()
        await embedder.embed([f"who fed the cat on day {number}"])
        waits.append((time.perf_counter() - began) * 1000)
    embedder.close()
    print(f"  embedder  vector of a query: p50 {sorted(waits)[SEARCHES // 4]:.1f} ms", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--count", type=int, action="append", help="passages in the archive")
    parser.add_argument("--others", type=int, default=0, help="archives of 10,000 passages beside it")
    wanted = parser.parse_args()
    asyncio.run(measure_embedder())
    for database in wanted.database or ["sqlite", "postgresql"]:
        for count in wanted.count or [10_000, 100_000]:
            asyncio.run(measure(database, count, wanted.others))


if __name__ == "__main__":
    main()
