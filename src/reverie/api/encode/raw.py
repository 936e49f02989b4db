"""Stored messages in the form that models are sent: roles, content and calls.

Source: `Message` and `MessageSearchResult` of the API's description, read 2026-11.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from typing_extensions import TypedDict

from reverie.api.encode.message_types import Content
from reverie.api.encode.messages import content_of
from reverie.domain.content import ImagePart, Part, ToolCall, ToolReturn
from reverie.domain.json import JsonObject
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
    EventBody,
    Message,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
    text_of,
)
from reverie.domain.passage import SearchHit

Role: TypeAlias = Literal["assistant", "user", "tool", "function", "system", "approval", "summary"]


class RawFunction(TypedDict):
    """What is called."""

    name: str
    arguments: str


class RawCall(TypedDict):
    """A call, as OpenAI's chat format has it."""

    id: str
    type: Literal["function"]
    function: RawFunction


class RawReturn(TypedDict):
    """What came of a call."""

    tool_call_id: str
    status: Literal["success", "error"]
    stdout: list[str] | None
    stderr: list[str] | None
    func_response: Content


class RawMessage(TypedDict):
    """A message as models are sent it."""

    id: str
    role: Role
    content: list[JsonObject]
    agent_id: str
    conversation_id: str | None
    model: str | None
    name: str | None
    tool_calls: list[RawCall] | None
    tool_call_id: str | None
    tool_returns: list[RawReturn]
    step_id: str | None
    run_id: str | None
    otid: str | None
    group_id: str | None
    sender_id: str | None
    batch_item_id: str | None
    is_err: bool | None
    approval_request_id: str | None
    approve: bool | None
    denial_reason: str | None
    approvals: list[JsonObject] | None
    created_at: datetime
    updated_at: datetime | None
    created_by_id: str | None
    last_updated_by_id: str | None


class RankedMessage(TypedDict):
    """A found message and why it ranks where it does."""

    embedded_text: str
    message: RawMessage
    fts_rank: int | None
    vector_rank: int | None
    rrf_score: float


def raw_message(message: Message) -> RawMessage:  # noqa: C901  # one case for each kind
    """`message` as models are sent it."""
    raw = raw_fields(message)
    body = message.body
    match body:
        case PromptBody():
            raw |= {"role": "system", "content": [_text(body.text)]}
        case SystemBody():
            raw |= {"role": "system", "content": _content(body.parts)}
        case UserBody():
            raw |= {"role": "user", "content": _content(body.parts)}
        case AssistantBody():
            raw |= {"content": _content(body.parts)}
        case ReasoningBody():
            raw |= {"content": [_reasoning(body)]}
        case ToolCallBody():
            raw |= {"tool_calls": [raw_call(call) for call in body.calls]}
        case ApprovalRequestBody():
            raw |= {"role": "approval", "tool_calls": [raw_call(call) for call in body.calls]}
        case ApprovalResponseBody():
            raw |= _approval(body)
        case ToolReturnBody():
            raw |= {
                "role": "tool",
                "content": [part for item in body.returns for part in _content(item.content)],
                "tool_call_id": body.returns[0].tool_call_id if body.returns else None,
                "tool_returns": [_return(item) for item in body.returns],
            }
        case SummaryBody():
            raw |= {"role": "summary", "content": [_text(body.text)]}
        case EventBody():
            raw |= {"role": "system"}
    return raw


def ranked_message(message: Message, hit: SearchHit) -> RankedMessage:
    """A found message as clients read it."""
    return {
        "embedded_text": text_of(message.body),
        "message": raw_message(message),
        "fts_rank": hit.text_rank,
        "vector_rank": hit.vector_rank,
        "rrf_score": hit.score,
    }


def raw_fields(message: Message) -> RawMessage:
    """All but what the message says."""
    own_thread = str(message.conversation_id) == str(message.agent_id)
    return {
        "id": message.id,
        "role": "assistant",
        "content": [],
        "agent_id": message.agent_id,
        "conversation_id": None if own_thread else message.conversation_id,
        "model": message.model,
        "name": message.name,
        "tool_calls": None,
        "tool_call_id": None,
        "tool_returns": [],
        "step_id": message.step_id,
        "run_id": message.run_id,
        "otid": message.otid,
        "group_id": message.group_id,
        "sender_id": message.sender_id,
        "batch_item_id": None,
        "is_err": message.is_err,
        "approval_request_id": None,
        "approve": None,
        "denial_reason": None,
        "approvals": None,
        "created_at": message.created_at,
        "updated_at": None,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text, "signature": None}


def _content(parts: Sequence[Part]) -> list[JsonObject]:
    return [_image(part) if isinstance(part, ImagePart) else _text(part.text) for part in parts]


def _image(part: ImagePart) -> JsonObject:
    source = {"type": "base64", "media_type": part.media_type, "data": part.data, "detail": part.detail}
    return {"type": "image", "source": source}


def _reasoning(body: ReasoningBody) -> JsonObject:
    if body.text:
        return {"type": "reasoning", "is_native": True, "reasoning": body.text, "signature": body.signature}
    if body.redacted is not None:
        return {"type": "redacted_reasoning", "data": body.redacted}
    return {"type": "omitted_reasoning", "signature": body.signature}


def raw_call(call: ToolCall) -> RawCall:
    """A call in OpenAI's chat format."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _return(item: ToolReturn) -> RawReturn:
    return {
        "tool_call_id": item.tool_call_id,
        "status": item.status,
        "stdout": list(item.stdout) or None,
        "stderr": list(item.stderr) or None,
        "func_response": content_of(item.content),
    }


def _approval(body: ApprovalResponseBody) -> RawMessage:
    decided: list[JsonObject] = [
        {"type": "approval", "tool_call_id": item.tool_call_id, "approve": item.approve, "reason": item.reason}
        for item in body.decisions
    ]
    first = body.decisions[0] if body.decisions else None
    answered: JsonObject = {
        "role": "approval",
        "approval_request_id": body.request_id,
        "approve": None if first is None else first.approve,
        "denial_reason": None if first is None or first.approve else first.reason,
        "approvals": decided + [dict(_return(item)) for item in body.returns],
    }
    return answered  # type: ignore[return-value]  # a part of one, to be joined with the rest
