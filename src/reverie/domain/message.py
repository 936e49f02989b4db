"""Messages: one record for each thing that stands on the wire.

A model's reply in one step may be several records (reasoning, text, calls) that share a
`step_id`; `context` joins them again into one turn for the model. So paging, filtering and
looking up by id are the same for storage and for clients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from reverie.domain.content import Part, TextPart, ToolCall, ToolReturn, join_text
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId, StepId
from reverie.domain.json import JsonObject


class MessageKind(StrEnum):
    """What a message is; the discriminator of its body."""

    PROMPT = "prompt"
    """The compiled system prompt, first in every context; `system_message` on the wire."""
    SYSTEM = "system"
    USER = "user"
    REASONING = "reasoning"
    ASSISTANT = "assistant"
    TOOL_CALL = "tool_call"
    """Calls of one reply of which none needs an answer from outside."""
    APPROVAL_REQUEST = "approval_request"
    """Calls of one reply that a person or the client must answer first."""
    APPROVAL_RESPONSE = "approval_response"
    TOOL_RETURN = "tool_return"
    SUMMARY = "summary"
    """Stands in the context for older messages that were compacted."""
    EVENT = "event"
    """Something that happened to the conversation (a compaction); never sent to a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBody:
    """The system prompt as last compiled."""

    text: str
    kind: Literal["prompt"] = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemBody:
    """A system message that a client sent into the conversation."""

    parts: tuple[Part, ...]
    kind: Literal["system"] = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserBody:
    """What a user said."""

    parts: tuple[Part, ...]
    kind: Literal["user"] = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantBody:
    """What the agent said."""

    parts: tuple[Part, ...]
    kind: Literal["assistant"] = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningBody:
    """The model's reasoning, kept so that the same provider gets it back verbatim."""

    text: str = ""
    signature: str | None = None
    """Opaque proof or ciphertext from the provider."""
    redacted: str | None = None
    """Ciphertext that stands instead of text (Anthropic's redacted thinking)."""
    item_id: str | None = None
    """The provider's own id of the item (OpenAI responses)."""
    provider: str = ""
    """`ChatModel.reasoning_origin` of the model that wrote it; others never see it."""
    kind: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallBody:
    """The ungated calls of one reply, in the model's order."""

    calls: tuple[ToolCall, ...]
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequestBody:
    """The gated calls of one reply, in the model's order."""

    calls: tuple[ToolCall, ...]
    kind: Literal["approval_request"] = "approval_request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's answer to one gated call."""

    tool_call_id: str
    approve: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalResponseBody:
    """Answers to gated calls: decisions, and results of calls the client ran itself."""

    request_id: str | None
    decisions: tuple[Decision, ...] = ()
    returns: tuple[ToolReturn, ...] = ()
    kind: Literal["approval_response"] = "approval_response"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturnBody:
    """The results of all calls of one reply, in the order of the calls."""

    returns: tuple[ToolReturn, ...]
    kind: Literal["tool_return"] = "tool_return"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryBody:
    """What stands for compacted messages."""

    text: str
    """What the model reads."""
    notes: str | None = None
    """The summary itself, without what the model is told around it; None where that is not known apart."""
    asked: str | None = None
    """What the user asked and is being worked on, where that left the context too."""
    stats: JsonObject | None = None
    kind: Literal["summary"] = "summary"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBody:
    """A note about the conversation itself."""

    event_type: str
    data: JsonObject
    kind: Literal["event"] = "event"


Body: TypeAlias = (
    PromptBody
    | SystemBody
    | UserBody
    | AssistantBody
    | ReasoningBody
    | ToolCallBody
    | ApprovalRequestBody
    | ApprovalResponseBody
    | ToolReturnBody
    | SummaryBody
    | EventBody
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing said, called, returned or noted in a conversation."""

    id: MessageId
    organization_id: OrganizationId
    agent_id: AgentId
    conversation_id: ConversationId
    """The agent's own id when it is the agent's own thread."""
    body: Body
    created_at: datetime
    in_context: bool = True
    """Whether the next request to the model holds it."""
    run_id: RunId | None = None
    step_id: StepId | None = None
    otid: str | None = None
    """The client's own id for an input; ours for everything else."""
    name: str | None = None
    """Of the sender; for results, of the tool."""
    sender_id: str | None = None
    group_id: str | None = None
    is_err: bool | None = None
    model: str | None = None

    @property
    def kind(self) -> MessageKind:
        """The body's discriminator."""
        return MessageKind(self.body.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages a list holds; every given condition must hold."""

    conversation_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    group_id: str | None = None
    kinds: Sequence[MessageKind] | None = None
    include_err: bool | None = None
    """False: without messages that tell of an error."""
    once: bool = False
    """Of what one agent of a group said and others heard, the original alone; goes with `group_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageScope:
    """Among which messages to search; every given condition must hold."""

    agent_id: str | None = None
    conversation_id: str | None = None
    roles: Sequence[str] = ()
    """`user`, `assistant`, `system`, `tool`; none: all."""
    project_id: str | None = None
    """Of the agent."""
    template_id: str | None = None


CALLING: Final = (ToolCallBody, ApprovalRequestBody)
"""The bodies that hold calls; a tuple, since `A | B` in `isinstance` makes a new object each time."""


def calls_of(body: Body) -> tuple[ToolCall, ...]:
    """The calls that `body` asks for, gated or not."""
    return body.calls if isinstance(body, CALLING) else ()


def text_of(body: Body) -> str:
    """The words of `body` that a person would search for; empty where there are none."""
    match body:
        case SystemBody() | UserBody() | AssistantBody():
            return join_text(body.parts)
        case PromptBody() | SummaryBody() | ReasoningBody():
            return body.text
        case ToolReturnBody():
            return "\n".join(item.text for item in body.returns)
        case ToolCallBody() | ApprovalRequestBody() | ApprovalResponseBody() | EventBody():
            return ""


def text_parts(text: str) -> tuple[Part, ...]:
    """`text` as message content."""
    return (TextPart(text=text),)
