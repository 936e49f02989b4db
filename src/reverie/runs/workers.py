"""This process's lease, and what becomes of runs whose process died."""

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from reverie.context.pairing import lost_calls
from reverie.domain.errors import NotFound
from reverie.domain.events import RunEnded, RunFailure
from reverie.domain.ids import RunId, make_id
from reverie.domain.message import calls_of
from reverie.domain.run import Run
from reverie.domain.stop_reason import StopReason
from reverie.loop.state import load_view, lost_result, results_message
from reverie.runs.handover import put_back
from reverie.runs.untold import untold
from reverie.storage import endings, messages, run_events, runs, waiting, workers
from reverie.storage.workers import Other

log = structlog.get_logger(__name__)

_DIED: Final = RunFailure(
    error_type="internal_error",
    message="the server stopped while this run was in progress; what it had saved is kept, send the message again to "
    "go on",
    http_status=500,
)


@dataclass(frozen=True, slots=True)
class Worker:
    """This process, as others see it."""

    id: str
    host: str
    pid: int

    @staticmethod
    def here() -> "Worker":
        """A worker of this process; every start is a worker of its own."""
        return Worker(make_id("worker"), socket.gethostname(), os.getpid())


def dead_workers(c: Connection, worker: Worker, now: datetime, *, alone: bool) -> list[str]:
    """Workers that will write nothing more.

    `alone` says that no other process can have the database open. Elsewhere a worker is dead
    when its lease has passed, or when its process is seen to be gone from this very host.
    """
    return [other.id for other in workers.others(c, worker.id) if alone or is_dead(other, worker, now)]


def is_dead(other: Other, worker: Worker, now: datetime) -> bool:
    """Whether a worker writes nothing more, if what is known of it is still true."""
    return other.lease_until < now or (other.host == worker.host and not _runs_here(other.pid, worker))


def living_others(c: Connection, worker: Worker, now: datetime, *, alone: bool) -> set[str]:
    """Other workers that may write on."""
    return {other.id for other in workers.others(c, worker.id)} - {*dead_workers(c, worker, now, alone=alone)}


def beat(c: Connection, worker: Worker, now: datetime, lease: timedelta) -> None:
    """Renew this worker's lease."""
    workers.beat(c, worker.id, worker.host, worker.pid, now + lease)


def bury(c: Connection, worker: Worker, dead: list[str], now: datetime, *, attempts: int) -> list[RunId]:
    """Settle all runs of dead workers and forget the workers; returns the runs that were theirs."""
    left = runs.live_runs(c, worker_ids=dead)
    for run in left:
        settle_dead_run(c, worker, run, now, attempts=attempts)
    waiting.forget_workers(c, dead)
    for other in dead:
        workers.forget(c, other)
    return [run.id for run in left]


def settle_dead_run(c: Connection, worker: Worker, seen: Run, now: datetime, *, attempts: int) -> None:
    """Have a background run whose process died gone on with, unless it took `attempts` drivers with it; end others.

    Does nothing when another process has seen to the run since it was `seen`.
    """
    run = runs.take_over(c, seen, worker.id)
    if run is None:
        return
    if run.background and not run.cancel_requested and run.fence <= attempts:
        put_back(c, run, now)
        log.warning("run_of_dead_worker_put_back", run_id=run.id, agent_id=run.agent_id)
    else:
        _end(c, run, now)


def end_dead_run(c: Connection, worker: Worker, seen: Run, now: datetime) -> None:
    """End a run whose process died: pair its calls, say what happened, let the next run in."""
    run = runs.take_over(c, seen, worker.id)
    if run is not None:
        _end(c, run, now)


def _end(c: Connection, run: Run, now: datetime) -> None:
    stop = StopReason.CANCELLED if run.cancel_requested else StopReason.ERROR
    failure = None if run.cancel_requested else _DIED
    runs.end_run(
        c,
        run,
        stop_reason=stop,
        usage=run.usage,
        now=now,
        ttft_ns=None,
        total_duration_ns=None,
        failure=failure,
    )
    runs.stop_last_step(c, run.id, stop, "failed" if failure else "cancelled")
    endings.release(c, run.conversation_id, run.id, now)
    last = RunEnded(run_id=run.id, stop_reason=stop, usage=run.usage, failure=failure)
    _pair_calls(c, run, now)
    if run.background:
        first, saved = untold(c, run)
        run_events.append(c, run.id, first, [*saved, last])
    log.warning("run_of_dead_worker_ended", run_id=run.id, agent_id=run.agent_id)


def _pair_calls(c: Connection, run: Run, now: datetime) -> None:
    try:
        view = load_view(c, run.organization_id, run.conversation_id, now)
    except NotFound:
        return
    mine = [message for message in view.context if message.run_id == run.id]
    lost = lost_calls(mine, waiting=None)
    if not lost:
        return
    step_id = next((message.step_id for message in reversed(mine) if calls_of(message.body)), None)
    message = results_message(view, run, step_id, [lost_result(call) for call in lost], now)
    messages.append(c, [message])


def _runs_here(pid: int, worker: Worker) -> bool:
    if pid == worker.pid:
        return False  # a container that was started again: same host name, same process number, another life
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
