"""`python -m bench.search`: hybrid search in one large archive, through the product's own search code."""

import argparse
import asyncio
import random
import time
from dataclasses import replace

from tests.support.databases import database_urls, opened
from tests.support.operations import operations_on

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.passage import ArchiveDraft, PassageDraft, SearchQuery
from reverie.operations import archives
from reverie.storage import archives as archive_rows
from reverie.storage import passages

DIMENSIONS = 384
BATCH = 500


async def measure(database: str, count: int) -> None:
    """Fill one archive, then search it; vectors are given, so that no embedding is timed."""
    rng = random.Random(7)
    words = [f"word{number}" for number in range(5_000)]
    with database_urls(database) as url:
        async with opened(url) as stored:
            ops = operations_on(stored)
            archive = await archives.create(ops, LOCAL_CALLER, ArchiveDraft(name="large"))
            archive_id = archive.id
            now = ops.clock()

            def draft() -> PassageDraft:
                said = " ".join(words[min(4_999, int(rng.paretovariate(0.6)) - 1)] for _ in range(20))
                return PassageDraft(text=said, vector=[rng.gauss(0, 1) for _ in range(DIMENSIONS)])

            spent = 0.0
            for _ in range(count // BATCH):
                drafts = [draft() for _ in range(BATCH)]
                began = time.perf_counter()

                def store(c, drafts=drafts):  # type: ignore[no-untyped-def]
                    locked = archive_rows.get(c, LOCAL_CALLER.organization_id, archive_id, lock=True)
                    fitting = replace(locked, embedding_dim=locked.embedding_dim if locked.passage_count else None)
                    passages.insert_passages(c, fitting, drafts, now)

                await stored.write(store)
                spent += time.perf_counter() - began
            print(f"{database:>10}  {count} passages: {count / spent:.0f} inserted/s", flush=True)
            waits, before = [], time.process_time()
            for _ in range(30):
                text = " ".join(rng.choice(words[20:]) for _ in range(4))
                query = SearchQuery(text=text, vector=[rng.gauss(0, 1) for _ in range(DIMENSIONS)], limit=10)
                began = time.perf_counter()
                await stored.read(lambda c, q=query: passages.search(c, LOCAL_CALLER.organization_id, [archive_id], q))  # type: ignore[misc]
                waits.append((time.perf_counter() - began) * 1000)
            spent = (time.process_time() - before) / 30 * 1000
            waits.sort()
            print(
                f"{database:>10}  hybrid search: p50 {waits[15]:.1f} ms, p95 {waits[28]:.1f} ms, own CPU {spent:.1f} ms"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--count", type=int, action="append", help="passages in the archive")
    wanted = parser.parse_args()
    for database in wanted.database or ["sqlite", "postgresql"]:
        for count in wanted.count or [10_000, 100_000]:
            asyncio.run(measure(database, count))


if __name__ == "__main__":
    main()
