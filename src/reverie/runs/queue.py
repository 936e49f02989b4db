"""Who waits for which conversation: first come, first served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reverie.domain.ids import ConversationId


class Turnstiles:
    """One lock for each conversation that somebody wants; gone when nobody does."""

    def __init__(self) -> None:
        self._locks: dict[ConversationId, tuple[asyncio.Lock, int]] = {}

    def is_taken(self, conversation_id: ConversationId) -> bool:
        """Whether a request would have to wait."""
        return conversation_id in self._locks

    @asynccontextmanager
    async def pass_through(self, conversation_id: ConversationId) -> AsyncIterator[None]:
        """Hold the conversation for the length of the block, after everybody who came before."""
        lock, waiting = self._locks.get(conversation_id, (asyncio.Lock(), 0))
        self._locks[conversation_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[conversation_id]
            if waiting == 1:
                del self._locks[conversation_id]
            else:
                self._locks[conversation_id] = (lock, waiting - 1)
