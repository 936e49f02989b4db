"""Events of a run in OpenAI's chat format, for clients that speak nothing else.

Source: `ChatCompletion`, `ChatCompletionChunk` of the `openai` package, read 2026-11.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from typing_extensions import TypedDict

from reverie.api.encode.fold import RunCut, RunFailed
from reverie.api.encode.json import dumps
from reverie.api.encode.messages import spoken
from reverie.api.encode.sse import DONE, SentEvents, spoken_so_far
from reverie.api.encode.views import View
from reverie.domain.content import ToolCall, join_text
from reverie.domain.events import Event, MessageSaved, RunEnded, RunFailure, TextDelta, ToolCallDelta
from reverie.domain.message import ApprovalRequestBody, AssistantBody, Message, ToolCallBody
from reverie.domain.run import Run, Usage
from reverie.domain.stop_reason import StopReason

BETWEEN: Final = "\n\n"
"""Stands between what the agent says before and after its calls: the format has one text for a turn."""
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]


class ChatFunction(TypedDict):
    """What is called."""

    name: str
    arguments: str


class ChatCall(TypedDict):
    """A call that the client must answer."""

    id: str
    type: Literal["function"]
    function: ChatFunction


class _Reply(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None


class ChatReply(_Reply, total=False):
    """What the agent said, and the calls that wait for an answer."""

    tool_calls: list[ChatCall]


class ChatChoice(TypedDict):
    """The one answer."""

    index: int
    message: ChatReply
    finish_reason: FinishReason
    logprobs: None


class ChatUsage(TypedDict):
    """What the turn used."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class ChatCompletion(TypedDict):
    """A whole turn."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatView:
    """How the reader named the agent, and what of a stream it wants."""

    model: str
    usage: bool = False
    """The last chunk tells of usage."""
    view: View = field(default_factory=View)


async def fold_chat(events: AsyncGenerator[tuple[int, Event], None], run: Run, reader: ChatView) -> ChatCompletion:
    """Read a run to its end.

    Raises:
        RunFailed: the run has a failure to tell of.
        RunCut: the reader was cut off before the run ended.
    """
    said: list[str] = []
    waiting: list[ChatCall] = []
    async with aclosing(events):
        async for _, event in events:
            if isinstance(event, MessageSaved):
                said += _texts(event.message, reader.view)
                waiting += _waiting(event.message)
            elif isinstance(event, RunEnded):
                if event.failure is not None:
                    raise RunFailed(event.run_id, event.failure)
                reply: ChatReply = {"role": "assistant", "content": BETWEEN.join(said) or None, "refusal": None}
                if waiting:
                    reply["tool_calls"] = waiting
                return {
                    "id": f"chatcmpl-{run.id}",
                    "object": "chat.completion",
                    "created": _seconds(run.created_at),
                    "model": reader.model,
                    "choices": [
                        {"index": 0, "message": reply, "finish_reason": _finish(event.stop_reason), "logprobs": None}
                    ],
                    "usage": _usage(event.usage),
                }
    raise RunCut("the run's events ended before the run did; look at GET /v1/runs/{run_id} for what became of it")


@dataclass(slots=True)
class _Speech:
    """A call of the messaging tool that is being written."""

    name: str | None
    arguments: str = ""
    sent: int = 0


class ChatEncoder:
    """Encodes one run for one reader, as pieces of one answer."""

    def __init__(self, run: Run, reader: ChatView) -> None:
        self._run = run
        self._reader = reader
        self._begun = False
        self._speaking: str | None = None
        """What the last piece belonged to: a message, or a call of the messaging tool."""
        self._pieces: set[str] = set()
        """Messages whose pieces were sent."""
        self._speeches: dict[str, _Speech] = {}
        self._calls = 0

    def encode(self, event: Event) -> bytes:
        """The bytes of one event; none when the format has no place for it."""
        match event:
            case TextDelta():
                self._pieces.add(event.message_id)
                return self._text(event.message_id, event.text)
            case ToolCallDelta():
                return self._spoken(event)
            case MessageSaved():
                return self._saved(event)
            case RunEnded():
                return self._ended(event)
            case _:
                return b""

    def _saved(self, event: MessageSaved) -> bytes:
        message = event.message
        # A message whose pieces were sent is known already.
        texts = [] if message.id in self._pieces else _texts(message, self._reader.view)
        said = [self._text(f"{message.id}/{place}", text) for place, text in enumerate(texts)]
        return b"".join(said) + self._asked(message)

    def _asked(self, message: Message) -> bytes:
        frames = []
        for call in _waiting(message):
            frames.append(self._chunk({"tool_calls": [{"index": self._calls, **call}]}))
            self._calls += 1
        return b"".join(frames)

    def _spoken(self, event: ToolCallDelta) -> bytes:
        speech = self._speeches.setdefault(event.tool_call_id, _Speech(event.name))
        view = self._reader.view
        if not view.use_assistant_message or speech.name != view.tool_name:
            return b""
        self._pieces.add(event.message_id)
        speech.arguments += event.arguments
        said = spoken_so_far(speech.arguments, view.tool_kwarg)
        fresh, speech.sent = said[speech.sent :], len(said)
        return self._text(event.tool_call_id, fresh)

    def _text(self, source: str, text: str) -> bytes:
        if not text:
            return b""
        if self._speaking not in (None, source):
            text = BETWEEN + text
        self._speaking = source
        return self._chunk({"content": text})

    def _ended(self, event: RunEnded) -> bytes:
        if event.failure is not None:
            return error_frame(event.failure) + DONE
        frames = [self._chunk({}, _finish(event.stop_reason))]
        if self._reader.usage:
            frames.append(_frame({**self._head(), "choices": [], "usage": _usage(event.usage)}))
        return b"".join(frames) + DONE

    def _chunk(self, delta: dict[str, Any], finish: FinishReason | None = None) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": "", **delta}
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _frame({**self._head(), "choices": [choice]})

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._run.id}",
            "object": "chat.completion.chunk",
            "created": _seconds(self._run.created_at),
            "model": self._reader.model,
        }


def error_frame(failure: RunFailure) -> bytes:
    """A failure in a stream that has begun, on which OpenAI's clients raise."""
    return _frame({"error": {"message": failure.message, "type": failure.error_type, "param": None, "code": None}})


async def chat_bytes(
    events: AsyncGenerator[tuple[int, Event], None], run: Run, reader: ChatView
) -> AsyncGenerator[bytes, None]:
    """The stream as it goes over the line. A reader that hangs up closes `events`, never the run."""
    encoder = ChatEncoder(run, reader)
    finished = False
    async with aclosing(events):
        async for _, event in events:
            chunk = encoder.encode(event)
            if chunk:
                finished = chunk.endswith(DONE)
                yield chunk
    if not finished:
        yield error_frame(RunFailure(error_type="stream_incomplete", message="the stream ended before the run did"))
        yield DONE


class ChatStream(SentEvents):
    """A run as chunks of one answer."""

    def __init__(self, events: AsyncGenerator[tuple[int, Event], None], run: Run, reader: ChatView) -> None:
        super().__init__(chat_bytes(events, run, reader))


def _texts(message: Message, view: View) -> list[str]:
    """What the agent says in a message, in words or through the messaging tool."""
    body = message.body
    if isinstance(body, AssistantBody):
        text = join_text(body.parts)
        return [text] if text else []
    if isinstance(body, ToolCallBody) and view.use_assistant_message:
        said = (spoken(call.arguments, view.tool_kwarg) for call in body.calls if call.name == view.tool_name)
        return [text for text in said if text]
    return []


def _waiting(message: Message) -> list[ChatCall]:
    body = message.body
    return [_call(call) for call in body.calls] if isinstance(body, ApprovalRequestBody) else []


def _call(call: ToolCall) -> ChatCall:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(reason: StopReason) -> FinishReason:
    if reason is StopReason.REQUIRES_APPROVAL:
        return "tool_calls"
    return "length" if reason in (StopReason.MAX_TOKENS_EXCEEDED, StopReason.MAX_STEPS) else "stop"


def _usage(usage: Usage) -> ChatUsage:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _frame(payload: dict[str, Any]) -> bytes:
    return b"data: " + dumps(payload) + b"\n\n"
