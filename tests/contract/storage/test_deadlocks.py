"""Writers that hold each other up."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Connection, insert, select, text, update

from reverie.storage.database import Database
from reverie.storage.schema import organizations


async def test_two_writers_that_lock_in_different_orders_both_get_through(db: Database) -> None:
    first, second = (f"org-{uuid4()}" for _ in range(2))
    rows = [{"id": name, "name": name, "created_at": datetime.now(UTC)} for name in (first, second)]
    await db.write(lambda c: c.execute(insert(organizations), rows))

    def rename(names: tuple[str, str], to: str) -> Callable[[Connection], None]:
        def write(c: Connection) -> None:
            for name in names:
                c.execute(update(organizations).where(organizations.c.id == name).values(name=f"{name} {to}"))
                if c.dialect.name == "postgresql":
                    c.execute(text("SELECT pg_sleep(0.3)"))  # so that each holds its first row

        return write

    await asyncio.gather(db.write(rename((first, second), "a")), db.write(rename((second, first), "b")))
    names = select(organizations.c.name).where(organizations.c.id.in_((first, second)))
    left = await db.read(lambda c: c.execute(names).scalars().all())
    assert len({name.rpartition(" ")[2] for name in left}) == 1
