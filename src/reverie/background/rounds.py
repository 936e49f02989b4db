"""Work that comes round again and again, and at once when somebody rings."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

import structlog

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[int]]
"""One round; returns how many things it did, which is logged when there were any."""


class Rounds:
    """Calls `work` every `interval_s`, and soon after each `ring`, between entering and leaving.

    One round at a time. A ring while a round runs is not lost: another round follows.
    """

    def __init__(self, name: str, work: Work, interval_s: float) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """There is something to do: do not wait for the interval."""
        self._rung.set()

    async def __aenter__(self) -> "Rounds":
        self._task = asyncio.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                continue
            if done:
                log.info("round_done", work=self._name, count=done)
