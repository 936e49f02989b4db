"""A run that has begun, from one driver to the next: put back into its line by one, gone on with by another.

What was saved is the whole of what is handed over. It keeps its conversation meanwhile, so nothing
comes between; and no call is run a second time: what may have begun gets a result that says so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from reverie.context.pairing import OpenCalls, lost_calls, open_calls
from reverie.domain.content import ToolCall
from reverie.domain.events import Event
from reverie.domain.message import calls_of
from reverie.domain.run import Run
from reverie.loop.state import TurnState, load_view, lost_result, results_message
from reverie.runs.untold import untold
from reverie.storage import messages, run_events, runs, waiting
from reverie.storage.codec import load_request
from reverie.storage.waiting import Place

INTERRUPTED_NOTE: Final = (
    "The server stopped while this call was under way. It may have taken effect or not, and it is not run again by "
    "itself: look before you call it again."
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A run to be driven from here."""

    state: TurnState
    told: Sequence[Event] = ()
    """What its readers were told before, by other drivers."""


def put_back(c: Connection, run: Run, now: datetime) -> None:
    """Let any worker go on with a run that was begun by one that is not there any more, or leaves.

    Raises:
        RunLost: somebody else has it.
    """
    _settle_calls(c, run, now)
    first, saved = untold(c, run)
    if saved:
        run_events.append(c, run.id, first, saved)
    runs.let_go(c, run)
    request = load_request(
        {
            "inputs": (),  # they were let in when it began
            "options": run.request["options"],
            "reader": run.request["reader"],
            "background": run.background,
            "callback_url": run.callback_url,
            "metadata": run.metadata,
        }
    )
    place = Place(id=run.id, organization_id=run.organization_id, conversation_id=run.conversation_id, request=request)
    waiting.enter(c, place, ahead=True)


def go_on(c: Connection, place: Place, worker_id: str, now: datetime) -> Begun:
    """Drive a run on that was put back."""
    assert place.request is not None
    run = runs.start(c, place.run_id, worker_id)
    elapsed_ns = int((now - run.created_at).total_seconds() * 1e9)
    state = TurnState(
        run=run,
        request=place.request,
        view=load_view(c, place.organization_id, place.conversation_id, now),
        steps=run.usage.step_count,
        usage=run.usage,
        started_ns=time.monotonic_ns() - elapsed_ns,
    )
    return Begun(state, [event for _, event in run_events.read(c, run.id, 0)])


def _settle_calls(c: Connection, run: Run, now: datetime) -> None:
    """Give the calls that may have begun results; those that were answered without being run still are."""
    view = load_view(c, run.organization_id, run.conversation_id, now)
    pending = open_calls(view.context)
    lost = [call for call in lost_calls(view.context, waiting=None) if not _is_answered(call, pending)]
    if not lost:
        return
    ids = {call.id for call in lost}
    caller = next(item for item in reversed(view.context) if ids & {call.id for call in calls_of(item.body)})
    results = results_message(view, run, caller.step_id, [lost_result(call, INTERRUPTED_NOTE) for call in lost], now)
    messages.append(c, [results])
    if caller.step_id is not None:
        runs.update_step(c, caller.step_id, {"status": "failed"})


def _is_answered(call: ToolCall, pending: OpenCalls | None) -> bool:
    """Whether a person denied the call, or the client ran it."""
    if pending is None:
        return False
    decision = pending.decisions.get(call.id)
    return call.id in pending.client_returns or (decision is not None and not decision.approve)
