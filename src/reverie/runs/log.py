"""The numbered events of a live run, and those who read along."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from reverie.domain.events import Event, RunEnded


class RunLog:
    """Events in order, counted from 1. One writer, any number of readers at their own pace.

    Of a log that is stored first readers see an event once it was said to be stored: what they have
    seen has the same number after a crash, so that they can come back to it.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._shown: int | None = None
        """How many events readers see; None: all."""
        self._store: Callable[[], None] | None = None
        self._closed = False
        self._grown = asyncio.Event()

    def close(self) -> None:
        """Send readers away, whatever is still to come."""
        self._closed = True
        self._wake()

    def store_first(self, store: Callable[[], None]) -> None:
        """From now on readers see what `show` says; `store` hears that there is more to be stored."""
        self._shown = len(self._events)
        self._store = store

    def __len__(self) -> int:
        return len(self._events)

    @property
    def closed(self) -> bool:
        """Whether readers were sent away."""
        return self._closed

    @property
    def ended(self) -> bool:
        """Whether the last event is in."""
        return bool(self._events) and isinstance(self._events[-1], RunEnded)

    def append(self, event: Event) -> None:
        """Add an event, for readers or first to be stored."""
        self._events.append(event)
        if self._store is None:
            self._wake()
        else:
            self._store()

    def take_in(self, told: Sequence[Event]) -> None:
        """Hold all that was told before, which may begin with what is here."""
        self._events += told[len(self._events) :]
        self._wake()

    def show(self, place: int) -> None:
        """Let readers see events up to number `place`."""
        self._shown = place
        self._wake()

    def since(self, after: int) -> list[Event]:
        """Events with a number above `after`, whether readers see them or not."""
        return self._events[after:]

    async def follow(self, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Yield events with a number above `after` as they come, up to the last one."""
        place = after
        while True:
            while place < self._visible:
                event = self._events[place]
                place += 1
                yield place, event
                if isinstance(event, RunEnded):
                    return
            if self._closed or (self.ended and self._visible == len(self._events)):
                return
            await self._grown.wait()

    @property
    def _visible(self) -> int:
        return len(self._events) if self._shown is None else self._shown

    def _wake(self) -> None:
        # Readers wait on the present event object; a fresh one takes its place, so that none
        # of them can miss what comes next.
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
