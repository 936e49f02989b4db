"""What processes hear of one another through PostgreSQL, and what they do about what they do not hear."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from reverie.domain.clock import utc_now
from reverie.runs.bells import Bells
from reverie.runs.lease import Lease
from reverie.runs.live import LiveRuns
from reverie.runs.workers import Worker
from reverie.storage import workers
from reverie.storage.database import Database

pytestmark = pytest.mark.one_database("postgresql")  # on SQLite there are no others
LONG_S = 20


class Heard:
    """Bells that are listened to, and what they told."""

    def __init__(self, db: Database) -> None:
        self.bells = Bells(db)
        self.names: asyncio.Queue[str | None] = asyncio.Queue()

    async def until(self, name: str | None) -> None:
        async with asyncio.timeout(LONG_S):
            while await self.names.get() != name:
                pass


def lease_of(db: Database, bells: Bells) -> Lease:
    return Lease(db, utc_now, LiveRuns(), bells, lease_s=15, attempts=3, alone=False)


async def beat(db: Database, lease: Lease) -> None:
    await db.write(lambda c: lease.beat_if_due(c, utc_now()))


@pytest.fixture
async def heard(db: Database) -> AsyncIterator[Heard]:
    heard = Heard(db)
    yield heard
    await heard.bells.close()


async def test_a_process_hears_who_comes_and_knows_when_it_hears_nobody(db: Database, heard: Heard) -> None:
    lease, deaf = lease_of(db, heard.bells), lease_of(db, Bells(db))
    heard.bells.on("workers", heard.names.put_nowait)  # after the lease, which so has heard it first
    heard.bells.start()
    await heard.until(None)
    await beat(db, lease)
    await beat(db, deaf)
    await heard.until(deaf.worker.id)
    assert lease.hears
    assert not deaf.hears, "it would take its time though nobody can wake it"

    assert await lease.bury_dead() == []
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    newcomer = lease_of(db, Bells(db))
    newcomer.worker = Worker("worker-gone", lease.worker.host, gone.pid)
    await beat(db, newcomer)
    await heard.until("worker-gone")
    await lease.bury_dead()
    left = await db.read(lambda c: [other.id for other in workers.others(c, lease.worker.id)])
    assert left == [], "who came and died between two looks is missed at once"
