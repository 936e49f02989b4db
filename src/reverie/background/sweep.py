"""Ends the runs of processes that died, so that nobody waits for them."""

import asyncio
from contextlib import suppress
from types import TracebackType

import structlog

from reverie.runs.engine import RunEngine

log = structlog.get_logger(__name__)


class Sweep:
    """Looks for dead processes every `interval_s`, between entering and leaving.

    A server alone on its database needs none: what its predecessor left, it ends at its start.
    """

    def __init__(self, engine: RunEngine, interval_s: float) -> None:
        self._engine = engine
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Sweep":
        self._task = asyncio.create_task(self._run(), name="sweep")
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
            await asyncio.sleep(self._interval_s)
            try:
                ended = await self._engine.bury_dead()
            except Exception:  # the database may be away for a while; the next round tries again
                log.exception("sweep_failed")
                continue
            if ended:
                log.info("runs_of_dead_processes_ended", count=len(ended))
