"""Stored messages to the messages of the API."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, assert_never

import orjson

from reverie.api.encode.message_types import (
    ApprovalResponseMessage,
    Content,
    HiddenReasoningMessage,
    ImageContent,
    ImageSource,
    MessageHead,
    ReasoningMessage,
    TextContent,
    ToolCallMessage,
    ToolReturnMessage,
    WireDecision,
    WireMessage,
    WireToolCall,
    WireToolReturn,
)
from reverie.api.encode.views import View
from reverie.domain.content import ImagePart, Part, TextPart, ToolCall, ToolReturn
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
    Body,
    EventBody,
    Message,
    MessageKind,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
)

_STATS: Final = ("trigger", "context_window", "messages_count_before", "messages_count_after")


def wire_messages(message: Message, view: View) -> list[WireMessage]:
    """What `message` is to a reader: usually one, none where it is hidden, more where a reply is split."""
    return [wire for wire in _shown(message, view) if view.shows(wire["message_type"])]


_KINDS: Final[dict[str, tuple[MessageKind, ...]]] = {
    "system_message": (MessageKind.PROMPT, MessageKind.SYSTEM),
    "user_message": (MessageKind.USER,),
    "assistant_message": (MessageKind.ASSISTANT, MessageKind.TOOL_CALL),
    "reasoning_message": (MessageKind.REASONING,),
    "hidden_reasoning_message": (MessageKind.REASONING,),
    "tool_call_message": (MessageKind.TOOL_CALL,),
    "tool_return_message": (MessageKind.TOOL_RETURN,),
    "approval_request_message": (MessageKind.APPROVAL_REQUEST,),
    "approval_response_message": (MessageKind.APPROVAL_RESPONSE,),
    "summary_message": (MessageKind.SUMMARY,),
    "event_message": (MessageKind.EVENT,),
}


def kinds_of(types: Iterable[str] | None) -> list[MessageKind] | None:
    """The stored kinds that messages of these types are made from; None: all."""
    return None if types is None else sorted({kind for name in types for kind in _KINDS[name]})


def wire_list(messages: Iterable[Message], view: View, *, newest_first: bool = False) -> list[WireMessage]:
    """A page of messages in its own order; what one record is split into follows that order too."""
    return in_order((wire_messages(message, view) for message in messages), newest_first=newest_first)


def in_order(page: Iterable[list[WireMessage]], *, newest_first: bool) -> list[WireMessage]:
    """What the records of a page were made into, as one list."""
    return [wire for wires in page for wire in (reversed(wires) if newest_first else wires)]


def _base(message: Message, name: str | None = None) -> MessageHead:
    return {
        "id": message.id,
        "date": message.created_at,
        "name": message.name or name,
        "otid": message.otid,
        "sender_id": message.sender_id,
        "step_id": message.step_id,
        "is_err": message.is_err,
        "seq_id": None,
        "run_id": message.run_id,
    }


def _shown(message: Message, view: View) -> Iterator[WireMessage]:  # noqa: C901  # one case for each kind
    body: Body = message.body
    match body:
        case PromptBody():
            yield {**_base(message), "message_type": "system_message", "content": body.text}
        case SystemBody():
            yield {**_base(message), "message_type": "system_message", "content": _text(body.parts)}
        case UserBody():
            yield {**_base(message), "message_type": "user_message", "content": content_of(body.parts)}
        case AssistantBody():
            yield {**_base(message), "message_type": "assistant_message", "content": _text(body.parts)}
        case ReasoningBody():
            yield _reasoning(message, body)
        case ToolCallBody():
            yield from _calls(message, body.calls, view)
        case ApprovalRequestBody():
            calls = [wire_call(call) for call in body.calls]
            yield {
                **_base(message),
                "message_type": "approval_request_message",
                "tool_call": calls[0],
                "tool_calls": calls,
            }
        case ApprovalResponseBody():
            yield _approval_response(message, body)
        case ToolReturnBody():
            returns = [
                item for item in body.returns if not (view.use_assistant_message and item.name == view.tool_name)
            ]
            if returns:
                yield _tool_return(message, returns)
        case SummaryBody():
            if view.compaction:
                stats = body.stats if body.stats is not None and all(key in body.stats for key in _STATS) else None
                yield {
                    **_base(message),
                    "message_type": "summary_message",
                    "summary": body.text,
                    "compaction_stats": stats,
                }
        case EventBody():
            if view.compaction:
                yield {
                    **_base(message),
                    "message_type": "event_message",
                    "event_type": body.event_type,
                    "event_data": body.data,
                }
        case impossible:
            assert_never(impossible)


def _text(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def content_of(parts: Sequence[Part]) -> Content:
    """Content as clients read it: a string where it is one text, parts otherwise."""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> TextContent | ImageContent:
    if isinstance(part, ImagePart):
        source: ImageSource = {
            "type": "base64",
            "media_type": part.media_type,
            "data": part.data,
            "detail": part.detail,
        }
        return {"type": "image", "source": source}
    return {"type": "text", "text": part.text, "signature": None}


def _reasoning(message: Message, body: ReasoningBody) -> ReasoningMessage | HiddenReasoningMessage:
    if body.text:
        return {
            **_base(message),
            "message_type": "reasoning_message",
            "source": "reasoner_model",
            "reasoning": body.text,
            "signature": body.signature,
        }
    return {
        **_base(message),
        "message_type": "hidden_reasoning_message",
        "state": "omitted" if body.redacted is None else "redacted",
        "hidden_reasoning": body.redacted,
    }


def wire_call(call: ToolCall) -> WireToolCall:
    """A call as messages hold it."""
    return {"name": call.name, "arguments": call.arguments, "tool_call_id": call.id}


def _calls(message: Message, calls: Sequence[ToolCall], view: View) -> Iterator[WireMessage]:
    """Calls in the model's order; what is said through the messaging tool stands as speech between them."""
    waiting: list[WireToolCall] = []
    for call in calls:
        said = spoken(call.arguments, view.tool_kwarg) if _speaks(call.name, view) else None
        if said is None:
            waiting.append(wire_call(call))
            continue
        if waiting:
            yield _call_message(message, waiting)
            waiting = []
        yield {**_base(message), "message_type": "assistant_message", "content": said}
    if waiting:
        yield _call_message(message, waiting)


def _speaks(name: str, view: View) -> bool:
    return view.use_assistant_message and name == view.tool_name


def spoken(arguments: str, kwarg: str) -> str | None:
    """What a call of the messaging tool says; None when its arguments do not hold it."""
    try:
        parsed: Any = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return None
    said = parsed.get(kwarg) if isinstance(parsed, dict) else None
    return said if said is None or isinstance(said, str) else orjson.dumps(said).decode()


def _call_message(message: Message, calls: list[WireToolCall]) -> ToolCallMessage:
    return {**_base(message), "message_type": "tool_call_message", "tool_call": calls[0], "tool_calls": calls}


def _return(item: ToolReturn) -> WireToolReturn:
    return {
        "type": "tool",
        "tool_return": item.text
        if all(isinstance(part, TextPart) for part in item.content)
        else content_of(item.content),
        "status": item.status,
        "tool_call_id": item.tool_call_id,
        "stdout": list(item.stdout),
        "stderr": list(item.stderr),
    }


def _tool_return(message: Message, returns: Sequence[ToolReturn]) -> ToolReturnMessage:
    first = returns[0]
    return {
        **_base(message, first.name or None),
        "message_type": "tool_return_message",
        "tool_return": first.text,
        "status": first.status,
        "tool_call_id": first.tool_call_id,
        "stdout": list(first.stdout),
        "stderr": list(first.stderr),
        "tool_returns": [_return(item) for item in returns],
    }


def _approval_response(message: Message, body: ApprovalResponseBody) -> ApprovalResponseMessage:
    decisions: list[WireDecision | WireToolReturn] = [
        {"type": "approval", "tool_call_id": item.tool_call_id, "approve": item.approve, "reason": item.reason}
        for item in body.decisions
    ]
    first = body.decisions[0] if body.decisions else None
    return {
        **_base(message),
        "message_type": "approval_response_message",
        "approvals": decisions + [_return(item) for item in body.returns],
        "approve": None if first is None else first.approve,
        "approval_request_id": body.request_id,
        "reason": None if first is None else first.reason,
    }
