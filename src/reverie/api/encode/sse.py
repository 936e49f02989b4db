"""Events of a run to Server-Sent Events.

Every event is one unnamed `data:` line, `[DONE]` is the last; only an error has a name. Both
SDKs drop any other named event. Source: `_streaming.py` of both client SDKs, read 2026-11.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NotRequired, TypeAlias, assert_never

from pydantic_core import from_json
from starlette.responses import StreamingResponse
from typing_extensions import TypedDict

from reverie.api.encode.json import dumps
from reverie.api.encode.message_types import WireMessage
from reverie.api.encode.messages import wire_messages
from reverie.api.encode.views import View
from reverie.domain.clock import Clock, utc_now
from reverie.domain.events import (
    Event,
    MessageSaved,
    ReasoningDelta,
    RunEnded,
    RunFailure,
    TextDelta,
    ToolCallDelta,
)
from reverie.domain.ids import RunId, make_id
from reverie.domain.message import ApprovalResponseBody, PromptBody, SystemBody, UserBody
from reverie.domain.run import Usage
from reverie.domain.stop_reason import StopReason

DONE: Final = b"data: [DONE]\n\n"


class StopReasonEvent(TypedDict):
    """Why the run ended."""

    message_type: Literal["stop_reason"]
    stop_reason: StopReason


class UsageEvent(TypedDict):
    """What the run used."""

    message_type: Literal["usage_statistics"]
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    step_count: int
    run_ids: list[str] | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    context_tokens: int | None


class PingEvent(TypedDict):
    """A sign of life in a silent stream; only for readers that ask for it."""

    message_type: Literal["ping"]
    id: str
    date: datetime
    run_id: str | None
    seq_id: NotRequired[int]


class ErrorEvent(TypedDict):
    """Why the run failed."""

    message_type: Literal["error_message"]
    run_id: str
    error_type: str
    message: str
    detail: str | None


class _Piece(TypedDict):
    id: str
    date: datetime
    otid: str | None
    step_id: str | None
    run_id: str


class AssistantPiece(_Piece):
    """Words of the agent, as they are written; pieces of one message share its id."""

    message_type: Literal["assistant_message"]
    content: str


class ReasoningPiece(_Piece):
    """A thought, as it is written."""

    message_type: Literal["reasoning_message"]
    source: Literal["reasoner_model"]
    reasoning: str
    signature: str | None


class CallPiece(TypedDict):
    """Part of a call; the arguments of all parts are joined."""

    name: str | None
    arguments: str
    tool_call_id: str


class ToolCallPiece(_Piece):
    """A call, as it is written."""

    message_type: Literal["tool_call_message"]
    tool_call: CallPiece
    tool_calls: CallPiece


class ApprovalRequestPiece(_Piece):
    """A call that must be answered first, as it is written."""

    message_type: Literal["approval_request_message"]
    tool_call: CallPiece
    tool_calls: CallPiece


StreamEvent: TypeAlias = (
    WireMessage
    | AssistantPiece
    | ReasoningPiece
    | ToolCallPiece
    | ApprovalRequestPiece
    | PingEvent
    | ErrorEvent
    | StopReasonEvent
    | UsageEvent
)
"""What the `data:` lines of a stream hold, but for the last one."""


def stop_reason_event(ended: RunEnded) -> StopReasonEvent:
    """The run's stop reason, as clients read it."""
    return {"message_type": "stop_reason", "stop_reason": ended.stop_reason}


def usage_event(usage: Usage, run_ids: list[str] | None) -> UsageEvent:
    """The run's usage, as clients read it."""
    return {
        "message_type": "usage_statistics",
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "step_count": usage.step_count,
        "run_ids": run_ids,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "context_tokens": usage.context_tokens,
    }


def shown_in_run(event: MessageSaved) -> bool:
    """Whether a run's reader sees the message: what was sent in is not sent back."""
    return not isinstance(event.message.body, PromptBody | SystemBody | UserBody | ApprovalResponseBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """How one reader wants a run's stream."""

    view: View = field(default_factory=View)
    tokens: bool = False
    """Pieces of messages as the model writes them."""
    numbered: bool = False
    """Each event carries its number, from which the stream can be resumed."""
    pings: bool = False
    ping_interval_s: float = 15.0
    after: int = 0
    """Number of the last event the reader has; only later ones are sent."""


@dataclass(slots=True, kw_only=True)
class _Writing:
    """One message that is being written."""

    date: datetime
    message_type: str
    name: str | None = None
    arguments: str = ""
    said: int = 0
    """Characters of the messaging tool's argument that were sent."""


class SseEncoder:
    """Encodes one run for one reader, from the run's first event on.

    What is sent is numbered from 1 as it is sent, so that numbers have no gaps whatever the
    reader does not see. A reader that resumes reads from the start with the same view and is
    sent what lies beyond its number.
    """

    def __init__(self, reader: StreamView, clock: Clock = utc_now) -> None:
        self._reader = reader
        self._clock = clock
        self._pieces: dict[str, _Writing] = {}
        self._written: set[str] = set()
        """Messages whose pieces this reader was sent."""
        self.run_id: RunId | None = None
        self.sent = 0
        """Number of the last event."""

    def encode(self, event: Event) -> bytes:
        """The bytes of one event; none when the reader does not see it."""
        match event:
            case TextDelta() | ReasoningDelta() | ToolCallDelta():
                self.run_id = event.run_id
                return self._delta(event) if self._reader.tokens else b""
            case MessageSaved():
                return self._saved(event)
            case RunEnded():
                self.run_id = event.run_id
                return self._ended(event)
            case impossible:
                assert_never(impossible)

    def _frame(self, payload: dict[str, Any], name: bytes = b"") -> bytes:
        self.sent += 1
        if self.sent <= self._reader.after:
            return b""
        if self._reader.numbered:
            payload["seq_id"] = self.sent
        return name + b"data: " + dumps(payload) + b"\n\n"

    def _saved(self, event: MessageSaved) -> bytes:
        message = event.message
        self.run_id = message.run_id or self.run_id
        if not shown_in_run(event) or (event.streamed and message.id in self._written):
            return b""
        return b"".join(
            self._frame({**wire, "run_id": message.run_id or self.run_id})
            for wire in wire_messages(message, self._reader.view)
        )

    def _delta(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> bytes:
        # A message's pieces differ by call: one reply may hold several calls under one message id.
        key = event.tool_call_id if isinstance(event, ToolCallDelta) else event.message_id
        piece = self._pieces.get(key)
        if piece is None:
            piece = self._pieces[key] = _Writing(date=event.date or self._clock(), message_type=_type_of(event))
        if isinstance(event, ToolCallDelta):
            piece.name = piece.name or event.name
            fields = self._call_fields(piece, event)
        elif isinstance(event, TextDelta):
            fields = {"content": event.text}
        else:
            fields = {"source": "reasoner_model", "reasoning": event.text, "signature": event.signature}
        self._written.add(event.message_id)
        if fields is None or not self._reader.view.shows(piece.message_type):
            return b""
        return self._frame(
            {
                "id": event.message_id,
                "date": piece.date,
                "message_type": piece.message_type,
                "otid": event.otid,
                "step_id": event.step_id,
                "run_id": event.run_id,
                **fields,
            },
        )

    def _call_fields(self, piece: _Writing, event: ToolCallDelta) -> dict[str, Any] | None:
        view = self._reader.view
        if view.use_assistant_message and piece.name == view.tool_name:
            piece.message_type = "assistant_message"
            piece.arguments += event.arguments
            said = spoken_so_far(piece.arguments, view.tool_kwarg)
            fresh = said[piece.said :]
            piece.said = len(said)
            return {"content": fresh} if fresh else None
        part = {"name": event.name, "arguments": event.arguments, "tool_call_id": event.tool_call_id}
        return {"tool_call": part, "tool_calls": part}

    def _ended(self, event: RunEnded) -> bytes:
        run: dict[str, Any] = {"run_id": event.run_id}
        frames = [self._frame({**stop_reason_event(event), **run})]
        if event.failure is None:
            usage = {**usage_event(event.usage, list(event.run_ids) or [event.run_id]), **run}
            frames.append(self._frame(usage))
        else:
            frames.append(self._frame({**error_event(event.run_id, event.failure)}, b"event: error\n"))
        return b"".join(frames) + DONE

    def ping(self) -> bytes:
        """A sign of life, numbered like the event before it."""
        payload: dict[str, Any] = {
            "id": make_id("ping"),
            "date": self._clock(),
            "message_type": "ping",
            "run_id": self.run_id,
        }
        if self._reader.numbered:
            payload["seq_id"] = self.sent
        return b"data: " + dumps(payload) + b"\n\n"


def error_event(run_id: str | None, failure: RunFailure) -> ErrorEvent:
    """A failed run's reason, as clients read it."""
    return {
        "message_type": "error_message",
        "run_id": run_id or "",
        "error_type": failure.error_type,
        "message": failure.message,
        "detail": failure.detail,
    }


def _type_of(event: TextDelta | ReasoningDelta | ToolCallDelta) -> str:
    if isinstance(event, TextDelta):
        return "assistant_message"
    if isinstance(event, ReasoningDelta):
        return "reasoning_message"
    return "approval_request_message" if event.requires_approval else "tool_call_message"


def spoken_so_far(arguments: str, kwarg: str) -> str:
    """What an unfinished argument object already says."""
    try:
        found = from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return ""
    said = found.get(kwarg) if isinstance(found, dict) else None
    # A surrogate pair or an escape may be cut in half; what is held back comes with the next piece.
    return said if isinstance(said, str) else ""


async def sse_bytes(
    events: AsyncGenerator[tuple[int, Event], None], reader: StreamView, clock: Clock = utc_now
) -> AsyncGenerator[bytes, None]:
    """The stream as it goes over the line. A reader that hangs up closes `events`, never the run."""
    encoder = SseEncoder(reader, clock)
    source = with_pings(events, encoder, reader.ping_interval_s) if reader.pings else _encoded(events, encoder)
    finished = False
    async with aclosing(source):
        async for chunk in source:
            if chunk:
                finished = chunk.endswith(DONE)
                yield chunk
    if not finished:
        failure = RunFailure(error_type="stream_incomplete", message="the stream ended before the run did")
        yield b"event: error\ndata: " + dumps(error_event(encoder.run_id, failure)) + b"\n\n" + DONE


async def _encoded(events: AsyncGenerator[tuple[int, Event], None], encoder: SseEncoder) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for _, event in events:
            yield encoder.encode(event)


async def with_pings(
    events: AsyncGenerator[tuple[int, Event], None], encoder: SseEncoder, interval_s: float
) -> AsyncGenerator[bytes, None]:
    """`events` encoded, with a ping wherever `interval_s` passes in silence.

    The pending read is kept across a ping: cancelling it could lose an event.
    """
    pending: asyncio.Future[tuple[int, Event]] | None = None
    spoke = time.monotonic()
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(events))
            wait_s = max(0.0, spoke + interval_s - time.monotonic())
            done, _ = await asyncio.wait({pending}, timeout=wait_s)
            if not done:
                spoke = time.monotonic()
                yield encoder.ping()
                continue
            ready, pending = pending, None
            try:
                _, event = ready.result()
            except StopAsyncIteration:
                return
            chunk = encoder.encode(event)
            if chunk:
                spoke = time.monotonic()
            yield chunk
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        await events.aclose()


class SentEvents(StreamingResponse):
    """A stream of Server-Sent Events that no proxy shall hold back."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


class EventStream(SentEvents):
    """The events of a run."""

    def __init__(self, events: AsyncGenerator[tuple[int, Event], None], reader: StreamView) -> None:
        super().__init__(sse_bytes(events, reader))
