"""The runs that this process drives, and how one is stopped."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reverie.domain.ids import ConversationId, RunId
from reverie.domain.run import Run
from reverie.runs.left import Left
from reverie.runs.log import RunLog

Stop: TypeAlias = Literal["cancel", "drain"]
_MOST_UNBORN: Final = 1000


@dataclass(slots=True)
class LiveRun:
    """A run that this process drives."""

    run: Run
    log: RunLog
    conductor: "asyncio.Task[None] | None" = None
    """Ends when everything about the run is done."""
    turn: "asyncio.Task[None] | None" = None
    """The part that a cancel interrupts."""
    stopped: Stop | None = None


class LiveRuns:
    """All of them, from the moment they are accepted until everything about them is done."""

    def __init__(self) -> None:
        self._runs: dict[RunId, LiveRun] = {}
        self.left = Left()
        """Those that were cut off by the database's absence."""
        self._unborn: dict[str, None] = {}
        """Runs that are not here and were to be cancelled: one of them may just be coming."""

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[LiveRun]:
        """Those that live now; ones that end or begin meanwhile do not matter to the loop."""
        return iter(list(self._runs.values()))

    def get(self, run_id: RunId) -> LiveRun | None:
        """The run, if this process drives it."""
        return self._runs.get(run_id)

    def add(self, live: LiveRun) -> None:
        """Let others find a run that was accepted."""
        self._runs[live.run.id] = live
        if live.run.id in self._unborn:
            self.stop(live, "cancel")

    def remove(self, run_id: RunId) -> None:
        """Forget a run that is done."""
        self._runs.pop(run_id, None)

    def holder(self, conversation_id: ConversationId) -> RunId | None:
        """The run of this process that holds a conversation."""
        return next((live.run.id for live in self if live.run.conversation_id == conversation_id), None)

    def children(self, parent_id: RunId) -> list[LiveRun]:
        """Runs that were started for calls of another one, which waits for them."""
        return [live for live in self if live.run.metadata.get("parent_run_id") == parent_id]

    def cancel(self, run_id: str | None) -> None:
        """Cancel a run if it is here, or should it come; None: nothing."""
        if run_id is None:
            return
        live = self._runs.get(RunId(run_id))
        if live is not None:
            self.stop(live, "cancel")
            return
        self._unborn[run_id] = None
        if len(self._unborn) > _MOST_UNBORN:
            del self._unborn[next(iter(self._unborn))]

    def stop(self, live: LiveRun, why: Stop) -> None:
        """Interrupt a run's turn, and those of the runs that it waits for; the first one who stops it says why."""
        if live.stopped is None and live.turn is not None and not live.turn.done():
            live.stopped = why
            live.turn.cancel()
            for child in self.children(live.run.id):
                self.stop(child, why)
