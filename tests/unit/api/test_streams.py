"""A run's events as streams and as one answer, read by the client SDK's own decoder."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from inline_snapshot import snapshot
from letta_client import APIError, Letta, Stream
from letta_client.types.agents import LettaStreamingResponse

from reverie.api.encode.fold import RunFailed, fold
from reverie.api.encode.sse import DONE, StreamView, sse_bytes
from reverie.api.encode.views import View
from reverie.domain.content import TextPart, ToolCall, ToolReturn
from reverie.domain.events import (
    Event,
    MessageSaved,
    ReasoningDelta,
    RunEnded,
    RunFailure,
    TextDelta,
    ToolCallDelta,
)
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId, StepId
from reverie.domain.message import (
    ApprovalRequestBody,
    AssistantBody,
    Body,
    Message,
    ReasoningBody,
    SummaryBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
    text_parts,
)
from reverie.domain.run import Usage
from reverie.domain.stop_reason import StopReason

RUN, STEP = RunId("run-1"), StepId("step-1")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def saved(name: str, body: Body, *, streamed: bool = False) -> MessageSaved:
    message = Message(
        id=MessageId(f"message-{name}"),
        organization_id=OrganizationId("org-1"),
        agent_id=AgentId("agent-1"),
        conversation_id=ConversationId("agent-1"),
        body=body,
        created_at=NOON,
        run_id=RUN,
        step_id=STEP,
        otid=f"otid-{name}",
    )
    return MessageSaved(message=message, streamed=streamed)


def delta(kind: Any, key: str, **fields: Any) -> Any:
    return kind(run_id=RUN, step_id=STEP, message_id=MessageId(f"message-{key}"), otid=f"otid-{key}", **fields)


def call(name: str, arguments: str, call_id: str = "call-1") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def result(name: str, text: str, call_id: str = "call-1") -> ToolReturn:
    return ToolReturn(tool_call_id=call_id, name=name, status="success", content=(TextPart(text=text),))


ENDED = RunEnded(
    run_id=RUN, stop_reason=StopReason.END_TURN, usage=Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
)
TURN: tuple[Event, ...] = (
    saved("u", UserBody(parts=text_parts("What is 2+3?"))),
    delta(ReasoningDelta, "r", text="Let me "),
    delta(ReasoningDelta, "r", text="add."),
    delta(ToolCallDelta, "c", tool_call_id="call-1", name="add", arguments='{"a":2'),
    delta(ToolCallDelta, "c", tool_call_id="call-1", name=None, arguments=',"b":3}'),
    saved("r", ReasoningBody(text="Let me add."), streamed=True),
    saved("c", ToolCallBody(calls=(call("add", '{"a":2,"b":3}'),)), streamed=True),
    saved("t", ToolReturnBody(returns=(result("add", "5"),))),
    delta(TextDelta, "a", text="It is "),
    delta(TextDelta, "a", text="5."),
    saved("a", AssistantBody(parts=text_parts("It is 5.")), streamed=True),
    ENDED,
)


async def events_of(events: Iterable[Event]) -> AsyncGenerator[tuple[int, Event], None]:
    for number, event in enumerate(events, start=1):
        yield number, event


async def stream(events: Iterable[Event], **wish: Any) -> bytes:
    reader = StreamView(**({"view": View(compaction=False)} | wish))
    return b"".join([chunk async for chunk in sse_bytes(events_of(events), reader, lambda: NOON)])


def frames(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]


def as_the_sdk_reads(data: bytes) -> Iterator[Any]:
    with Letta(base_url="http://localhost", _strict_response_validation=True) as client:
        request = httpx.Request("POST", "http://localhost")
        response = httpx.Response(200, content=data, request=request, headers={"content-type": "text/event-stream"})
        yield from Stream[Any](cast_to=LettaStreamingResponse, response=response, client=client)  # type: ignore[arg-type]


async def test_step_streaming_sends_whole_messages_and_not_what_was_sent_in() -> None:
    found = list(as_the_sdk_reads(await stream(TURN)))
    assert [(item.message_type, getattr(item, "id", None)) for item in found] == snapshot(
        [
            ("reasoning_message", "message-r"),
            ("tool_call_message", "message-c"),
            ("tool_return_message", "message-t"),
            ("assistant_message", "message-a"),
            ("stop_reason", None),
            ("usage_statistics", None),
        ]
    )
    assert found[1].tool_call.arguments == '{"a":2,"b":3}'
    assert found[2].tool_return == "5"


async def test_every_event_names_its_run_and_the_last_line_is_done() -> None:
    data = await stream(TURN)
    assert {frame["run_id"] for frame in frames(data)} == {RUN}
    assert data.endswith(DONE)
    assert b"event:" not in data


async def test_token_streaming_sends_pieces_under_the_ids_of_the_messages_they_become() -> None:
    found = list(as_the_sdk_reads(await stream(TURN, tokens=True)))
    pieces = [(item.message_type, item.id, item.otid) for item in found if hasattr(item, "id")]
    assert pieces == snapshot(
        [
            ("reasoning_message", "message-r", "otid-r"),
            ("reasoning_message", "message-r", "otid-r"),
            ("tool_call_message", "message-c", "otid-c"),
            ("tool_call_message", "message-c", "otid-c"),
            ("tool_return_message", "message-t", "otid-t"),
            ("assistant_message", "message-a", "otid-a"),
            ("assistant_message", "message-a", "otid-a"),
        ]
    )
    assert "".join(item.tool_call.arguments for item in found if item.message_type == "tool_call_message") == (
        '{"a":2,"b":3}'
    )
    assert "".join(item.content for item in found if item.message_type == "assistant_message") == "It is 5."


async def test_a_message_whose_pieces_were_not_kept_comes_whole() -> None:
    replay = [event for event in TURN if not isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta)]
    kinds = [frame["message_type"] for frame in frames(await stream(replay, tokens=True))]
    assert kinds == snapshot(
        [
            "reasoning_message",
            "tool_call_message",
            "tool_return_message",
            "assistant_message",
            "stop_reason",
            "usage_statistics",
        ]
    )


@pytest.mark.parametrize("tokens", [False, True])
async def test_numbers_have_no_gaps_and_a_resumed_stream_is_the_rest_of_the_whole(tokens: bool) -> None:
    whole = frames(await stream(TURN, tokens=tokens, numbered=True))
    assert [frame["seq_id"] for frame in whole] == list(range(1, len(whole) + 1))
    for after in range(len(whole) + 1):
        assert frames(await stream(TURN, tokens=tokens, numbered=True, after=after)) == whole[after:]


async def test_a_failed_run_ends_with_an_error_that_the_sdk_raises() -> None:
    failure = RunFailure(error_type="llm_rate_limit", message="wait", http_status=429)
    ended = RunEnded(run_id=RUN, stop_reason=StopReason.LLM_API_ERROR, usage=Usage(), failure=failure)
    data = await stream([*TURN[:1], ended])
    assert data.decode() == snapshot("""\
data: {"message_type":"stop_reason","stop_reason":"llm_api_error","run_id":"run-1"}

event: error
data: {"message_type":"error_message","run_id":"run-1","error_type":"llm_rate_limit","message":"wait","detail":null}

data: [DONE]

""")
    with pytest.raises(APIError, match="wait"):
        list(as_the_sdk_reads(data))


async def test_a_run_whose_events_break_off_ends_with_an_error_too() -> None:
    data = await stream(TURN[:5])
    assert frames(data)[-1]["error_type"] == "stream_incomplete"
    assert data.endswith(DONE)


async def test_only_wanted_message_types_are_sent_and_the_end_always_is() -> None:
    view = View(types=frozenset({"assistant_message"}))
    for tokens in (False, True):
        kinds = {frame["message_type"] for frame in frames(await stream(TURN, view=view, tokens=tokens))}
        assert kinds == {"assistant_message", "stop_reason", "usage_statistics"}


SPEECH = '{"message": "Grüße \\ud83d\\ude00 \\"you\\"\\n!"}'


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_what_an_older_agent_says_through_its_tool_streams_as_speech(size: int) -> None:
    pieces = [SPEECH[start : start + size] for start in range(0, len(SPEECH), size)]
    events: list[Event] = [
        delta(ToolCallDelta, "c", tool_call_id="call-1", name=None if place else "send_message", arguments=piece)
        for place, piece in enumerate(pieces)
    ]
    events += [
        saved("c", ToolCallBody(calls=(call("send_message", SPEECH),)), streamed=True),
        saved("t", ToolReturnBody(returns=(result("send_message", "Sent."),))),
        ENDED,
    ]
    spoken = frames(await stream(events, tokens=True))[:-2]
    assert {frame["message_type"] for frame in spoken} == {"assistant_message"}
    assert "".join(frame["content"] for frame in spoken) == 'Grüße 😀 "you"\n!'
    (whole,) = frames(await stream(events))[:-2]
    assert whole["content"] == 'Grüße 😀 "you"\n!'


async def test_the_raw_call_of_the_messaging_tool_is_shown_on_demand() -> None:
    events: list[Event] = [
        saved("c", ToolCallBody(calls=(call("send_message", '{"message": "hi"}'),))),
        saved("t", ToolReturnBody(returns=(result("send_message", "Sent."),))),
        ENDED,
    ]
    shown = frames(await stream(events, view=View(use_assistant_message=False)))
    assert [frame["message_type"] for frame in shown[:2]] == ["tool_call_message", "tool_return_message"]


async def test_a_gated_call_streams_as_an_approval_request() -> None:
    events: list[Event] = [
        delta(ToolCallDelta, "c", tool_call_id="call-1", name="rm", arguments="{}", requires_approval=True),
        saved("c", ApprovalRequestBody(calls=(call("rm", "{}"),)), streamed=True),
        RunEnded(run_id=RUN, stop_reason=StopReason.REQUIRES_APPROVAL, usage=Usage()),
    ]
    for tokens in (False, True):
        first, stop, _ = as_the_sdk_reads(await stream(events, tokens=tokens))
        assert (first.message_type, first.tool_call.name, stop.stop_reason) == (
            "approval_request_message",
            "rm",
            "requires_approval",
        )


async def test_summaries_are_streamed_only_to_those_who_ask() -> None:
    events: list[Event] = [saved("s", SummaryBody(text="They met.")), ENDED]
    assert frames(await stream(events))[0]["message_type"] == "stop_reason"
    assert frames(await stream(events, view=View(compaction=True)))[0]["message_type"] == "summary_message"


async def test_a_silent_stream_pings_and_loses_no_event() -> None:
    async def with_silence() -> AsyncGenerator[tuple[int, Event], None]:
        for number, event in enumerate(TURN, start=1):
            if number == 4:
                await pinged.wait()
            yield number, event

    pinged = asyncio.Event()
    chunks: list[bytes] = []
    reader = StreamView(pings=True, ping_interval_s=0.01, numbered=True)
    async for chunk in sse_bytes(with_silence(), reader, lambda: NOON):
        chunks.append(chunk)
        if b'"ping"' in chunk:
            pinged.set()
    found = frames(b"".join(chunks))
    assert [frame for frame in found if frame["message_type"] != "ping"] == frames(await stream(TURN, numbered=True))
    ping = next(frame for frame in found if frame["message_type"] == "ping")
    assert (ping["run_id"], ping["seq_id"]) == (RUN, 0)


async def test_a_reader_that_hangs_up_closes_the_events() -> None:
    closed = []

    async def endless() -> AsyncGenerator[tuple[int, Event], None]:
        try:
            for number, event in enumerate(TURN, start=1):
                yield number, event
        finally:
            closed.append(True)

    for pings in (False, True):
        source = sse_bytes(endless(), StreamView(pings=pings), lambda: NOON)
        await anext(source)
        await source.aclose()
    assert closed == [True, True]


async def test_a_blocking_answer_holds_all_messages_with_stop_reason_and_usage() -> None:
    answer = await fold(events_of(TURN), View())
    assert [item["message_type"] for item in answer["messages"]] == [
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert answer["stop_reason"]["stop_reason"] == "end_turn"
    assert answer["usage"]["total_tokens"] == 5


async def test_a_failed_run_fails_its_blocking_request() -> None:
    failure = RunFailure(error_type="llm_rate_limit", message="wait", http_status=429)
    ended = RunEnded(run_id=RUN, stop_reason=StopReason.LLM_API_ERROR, usage=Usage(), failure=failure)
    with pytest.raises(RunFailed, match="wait") as caught:
        await fold(events_of([ended]), View())
    assert caught.value.failure.http_status == 429
