"""Events of a run to the one answer of a blocking request. Source: `LettaResponse`, client SDK, read 2026-11."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from typing_extensions import TypedDict

from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import wire_messages
from reverie.api.encode.sse import (
    StopReasonEvent,
    UsageEvent,
    shown_in_run,
    stop_reason_event,
    usage_event,
)
from reverie.api.encode.views import View
from reverie.domain.errors import ReverieError
from reverie.domain.events import Event, MessageSaved, RunEnded, RunFailure


class LettaResponse(TypedDict):
    """What an agent did with a request."""

    messages: list[WireMessage]
    stop_reason: StopReasonEvent
    usage: UsageEvent
    logprobs: None
    turns: None


class RunFailed(ReverieError):
    """A blocking request's run failed; answered with the status its failure names."""

    def __init__(self, run_id: str, failure: RunFailure) -> None:
        super().__init__(failure.message)
        self.run_id = run_id
        self.failure = failure


class RunCut(ReverieError):
    """A run's events ended without its end."""


async def fold(events: AsyncGenerator[tuple[int, Event], None], view: View) -> LettaResponse:
    """Read a run to its end.

    Raises:
        RunFailed: the run has a failure to tell of.
        RunCut: the reader was cut off before the run ended.
    """
    messages: list[WireMessage] = []
    async with aclosing(events):
        async for _, event in events:
            if isinstance(event, MessageSaved):
                if shown_in_run(event):
                    messages.extend(wire_messages(event.message, view))
            elif isinstance(event, RunEnded):
                if event.failure is not None:
                    raise RunFailed(event.run_id, event.failure)
                return {
                    "messages": messages,
                    "stop_reason": stop_reason_event(event),
                    "usage": usage_event(event.usage, list(event.run_ids) or [event.run_id]),
                    "logprobs": None,
                    "turns": None,
                }
    raise RunCut("the run's events ended before the run did; look at GET /v1/runs/{run_id} for what became of it")
