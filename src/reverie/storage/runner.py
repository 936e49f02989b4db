"""What both databases' runners share: the contract, JSON, and how a cancelled caller leaves."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import orjson
from sqlalchemy import Connection

from reverie.storage.nul import clean_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """What the storage room is told."""

    url: str
    """`sqlite:///path/to/file.db` or `postgresql://user:password@host:port/name`."""
    sqlite_synchronous: Literal["normal", "full"] = "normal"
    """`normal` survives a killed process, `full` a power cut as well, at about ten times the cost."""
    reader_threads: int = 3
    pool_size: int = 10
    """Connections to PostgreSQL, at most twice as many under load."""
    lock_timeout_s: float = 30.0


class Runner(Protocol):
    """Runs store functions, each in a transaction of its own."""

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` over one state of the database."""
        ...

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` and commit; a cancelled caller leaves when that is decided, not before."""
        ...

    async def write_one(self, fn: Callable[[Connection], T]) -> T:
        """The same for a function that executes one statement, or some where they are no journeys."""
        ...

    async def listen(self, heard: Callable[[str], None], missed: Callable[[], None]) -> None:
        """Hand over what is notified until cancelled; `missed` says that something may have been lost."""
        ...

    async def close(self) -> None:
        """Wait for what runs, then close every connection."""
        ...


def json_text(value: Any) -> str:
    """`value` as a JSON column holds it; dataclasses and enums included, NULs left out."""
    return clean_json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())


async def finish_despite_cancel(job: "asyncio.Future[T]") -> T:
    """Await `job` to its end even when the awaiting task is cancelled, then let the cancellation through."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError as error:
            if job.cancelled():
                raise
            cancelled = error
        except BaseException:  # noqa: BLE001 - the job's own failure is raised below by `result`
            break
    if cancelled is not None:
        job.exception()
        raise cancelled
    return job.result()
