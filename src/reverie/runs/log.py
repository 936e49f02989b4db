"""The numbered events of a live run, and those who read along."""

import asyncio
from collections.abc import AsyncGenerator

from reverie.domain.events import Event, RunEnded


class RunLog:
    """Events in order, counted from 1. One writer, any number of readers at their own pace."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._grown = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def ended(self) -> bool:
        """Whether the last event is in."""
        return bool(self._events) and isinstance(self._events[-1], RunEnded)

    def append(self, event: Event) -> None:
        """Add an event and wake all readers."""
        self._events.append(event)
        # Readers wait on the present event object; a fresh one takes its place, so that none
        # of them can miss what comes next.
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def since(self, after: int) -> list[Event]:
        """Events with a number above `after`."""
        return self._events[after:]

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Yield events with a number above `after` as they come, up to the last one."""
        place = after
        while True:
            while place < len(self._events):
                event = self._events[place]
                place += 1
                yield place, event
                if isinstance(event, RunEnded):
                    return
            if self.ended:
                return
            await self._grown.wait()

    async def wait_beyond(self, place: int) -> None:
        """Return once there is an event with a number above `place`."""
        while len(self._events) <= place:
            await self._grown.wait()
