"""The messages of the API, as answers hold them. Source: `Message` union, client SDK, read 2026-11."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from typing_extensions import TypedDict

from reverie.domain.json import JsonObject


class TextContent(TypedDict):
    """Text in a message's content."""

    type: Literal["text"]
    text: str
    signature: str | None


class ImageSource(TypedDict):
    """An image's bytes."""

    type: Literal["base64"]
    media_type: str
    data: str
    detail: str | None


class ImageContent(TypedDict):
    """An image in a message's content."""

    type: Literal["image"]
    source: ImageSource


Content: TypeAlias = str | Sequence[TextContent | ImageContent]


class WireToolCall(TypedDict):
    """A call, whole."""

    name: str
    arguments: str
    tool_call_id: str


class WireToolReturn(TypedDict):
    """What came of a call."""

    type: Literal["tool"]
    tool_return: Content
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None
    stderr: list[str] | None


class WireDecision(TypedDict):
    """A person's answer to a call."""

    type: Literal["approval"]
    tool_call_id: str
    approve: bool
    reason: str | None


class MessageHead(TypedDict):
    """What every message says."""

    id: str
    date: datetime
    name: str | None
    otid: str | None
    sender_id: str | None
    step_id: str | None
    is_err: bool | None
    seq_id: int | None
    run_id: str | None


class SystemMessage(MessageHead):
    """Instructions."""

    message_type: Literal["system_message"]
    content: str


class UserMessage(MessageHead):
    """What a user said."""

    message_type: Literal["user_message"]
    content: Content


class AssistantMessage(MessageHead):
    """What the agent said."""

    message_type: Literal["assistant_message"]
    content: str


class ReasoningMessage(MessageHead):
    """What the model thought."""

    message_type: Literal["reasoning_message"]
    source: Literal["reasoner_model", "non_reasoner_model"]
    reasoning: str
    signature: str | None


class HiddenReasoningMessage(MessageHead):
    """What the model thought and its provider does not show."""

    message_type: Literal["hidden_reasoning_message"]
    state: Literal["redacted", "omitted"]
    hidden_reasoning: str | None


class ToolCallMessage(MessageHead):
    """Calls that run without asking."""

    message_type: Literal["tool_call_message"]
    tool_call: WireToolCall
    tool_calls: list[WireToolCall] | None


class ApprovalRequestMessage(MessageHead):
    """Calls that must be answered first."""

    message_type: Literal["approval_request_message"]
    tool_call: WireToolCall
    tool_calls: list[WireToolCall] | None


class ApprovalResponseMessage(MessageHead):
    """Answers to calls."""

    message_type: Literal["approval_response_message"]
    approvals: list[WireDecision | WireToolReturn] | None
    approve: bool | None
    approval_request_id: str | None
    reason: str | None


class ToolReturnMessage(MessageHead):
    """What came of calls; the single fields tell of the first."""

    message_type: Literal["tool_return_message"]
    tool_return: str
    status: Literal["success", "error"]
    tool_call_id: str
    stdout: list[str] | None
    stderr: list[str] | None
    tool_returns: list[WireToolReturn] | None


class SummaryMessage(MessageHead):
    """What stands for messages that were compacted."""

    message_type: Literal["summary_message"]
    summary: str
    compaction_stats: JsonObject | None


class EventMessage(MessageHead):
    """Something that happened to the conversation."""

    message_type: Literal["event_message"]
    event_type: str
    event_data: JsonObject


WireMessage: TypeAlias = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | ReasoningMessage
    | HiddenReasoningMessage
    | ToolCallMessage
    | ToolReturnMessage
    | ApprovalRequestMessage
    | ApprovalResponseMessage
    | SummaryMessage
    | EventMessage
)
