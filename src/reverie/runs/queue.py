"""Who waits for which conversation or group: first come, first served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turnstiles:
    """One lock for each place that somebody wants; gone when nobody does."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def is_taken(self, place: str) -> bool:
        """Whether a request would have to wait."""
        return place in self._locks

    @asynccontextmanager
    async def pass_through(self, place: str) -> AsyncIterator[None]:
        """Hold the place for the length of the block, after everybody who came before."""
        lock, waiting = self._locks.get(place, (asyncio.Lock(), 0))
        self._locks[place] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[place]
            if waiting == 1:
                del self._locks[place]
            else:
                self._locks[place] = (lock, waiting - 1)
