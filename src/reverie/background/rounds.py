"""Work that comes round again and again, and at once when somebody rings."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

import structlog

log = structlog.get_logger(__name__)

TRY_AGAIN_S: Final = 5.0
"""After a failure, such as a database that is away for a while."""

Work = Callable[[], Awaitable[int]]
"""One round; returns how many things it did, which is logged when there were any."""


class Rounds:
    """Calls `work` every `interval_s`, and soon after each `ring`, between entering and leaving.

    One round at a time. A ring while a round runs is not lost: another round follows. Work that knows when it
    will be due next says so with `ring_in`, and needs no short interval.
    """

    def __init__(self, name: str, work: Work, interval_s: float) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """There is something to do: do not wait for the interval."""
        self._rung.set()

    def ring_in(self, seconds: float) -> None:
        """There will be something to do after some time; the last word counts."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.ring) if seconds < self._interval_s else None

    async def __aenter__(self) -> "Rounds":
        self._task = asyncio.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), self._interval_s)
            self._rung.clear()
            try:
                done = await self._work()
            except Exception:  # the database may be away for a while; the next round tries again
                log.exception("round_failed", work=self._name)
                self.ring_in(TRY_AGAIN_S)
                continue
            if done:
                log.info("round_done", work=self._name, count=done)
