"""Who waits for which conversation or group: first come, first served, but for those who may go ahead."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    turn: "asyncio.Future[None]"
    ahead: bool


class Turnstiles:
    """One line for each place that somebody wants; gone when nobody does."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[_Waiting]] = {}
        """Whoever is in a place has left its line."""

    @asynccontextmanager
    async def pass_through(self, place: str, *, ahead: bool = False) -> AsyncIterator[None]:
        """Hold the place for the length of the block, after all who came before, or `ahead` of those in line."""
        line = self._lines.get(place)
        if line is None:
            self._lines[place] = deque()
        else:
            await self._wait(place, line, ahead)
        try:
            yield
        finally:
            self._leave(place)

    async def _wait(self, place: str, line: deque[_Waiting], ahead: bool) -> None:
        waiting = _Waiting(asyncio.get_running_loop().create_future(), ahead)
        (line.appendleft if ahead else line.append)(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.cancelled():
                line.remove(waiting)
            else:  # its turn had come in the same moment
                self._leave(place)
            raise

    def _leave(self, place: str) -> None:
        line = self._lines[place]
        # One whose wait was cancelled takes itself out when it comes to run.
        following = next((waiting for waiting in line if not waiting.turn.done()), None)
        if following is None:
            del self._lines[place]
            return
        line.remove(following)
        following.turn.set_result(None)
