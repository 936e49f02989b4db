"""From stored messages to the turns a model reads."""

from collections.abc import Sequence
from typing import Final

from reverie.domain.content import TextPart, ToolCall, ToolReturn
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
)
from reverie.models.base import AssistantTurn, ReasoningPart, SystemTurn, ToolTurn, Turn, UserTurn

LOST_RESULT: Final = "The result of this call was lost: the server stopped before the call was finished."


def turns_of(context: Sequence[Message]) -> tuple[Turn, ...]:
    """Join `context` into turns; the prompt is not among them.

    Reasoning, text and calls of one step become one assistant turn, and right behind it stand
    the results of all its calls, wherever they were stored. This never fails, whatever the
    history: providers refuse unpaired calls, so a missing result is replaced by one that says so.
    """
    results = _results(context)
    turns: list[Turn] = []
    reply: list[TextPart | ReasoningPart | ToolCall] = []
    step: str | None = None

    def close() -> None:
        if reply:
            turns.append(AssistantTurn(parts=tuple(reply)))
            calls = [part for part in reply if isinstance(part, ToolCall)]
            if calls:
                turns.append(ToolTurn(returns=tuple(results.get(call.id) or _lost(call) for call in calls)))
            reply.clear()

    for message in context:
        body = message.body
        match body:
            case AssistantBody() | ReasoningBody() | ToolCallBody() | ApprovalRequestBody():
                if reply and (message.step_id is None or message.step_id != step):
                    close()
                step = message.step_id
                reply.extend(_reply_parts(body))
            case UserBody():
                close()
                turns.append(UserTurn(parts=body.parts, name=message.name))
            case SystemBody():
                close()
                turns.append(SystemTurn(parts=body.parts))
            case SummaryBody():
                close()
                turns.append(UserTurn(parts=(TextPart(text=body.text),)))
            case PromptBody() | ToolReturnBody() | ApprovalResponseBody() | EventBody():
                close()
    close()
    return tuple(turns)


def _reply_parts(
    body: AssistantBody | ReasoningBody | ToolCallBody | ApprovalRequestBody,
) -> tuple[TextPart | ReasoningPart | ToolCall, ...]:
    match body:
        case AssistantBody():
            return tuple(part for part in body.parts if isinstance(part, TextPart))
        case ReasoningBody():
            return (
                ReasoningPart(
                    text=body.text,
                    signature=body.signature,
                    redacted=body.redacted,
                    item_id=body.item_id,
                    origin=body.provider,
                ),
            )
        case ToolCallBody() | ApprovalRequestBody():
            return body.calls


def _results(context: Sequence[Message]) -> dict[str, ToolReturn]:
    return {
        item.tool_call_id: item
        for message in context
        if isinstance(message.body, ToolReturnBody)
        for item in message.body.returns
    }


def _lost(call: ToolCall) -> ToolReturn:
    return ToolReturn(tool_call_id=call.id, name=call.name, status="error", content=(TextPart(text=LOST_RESULT),))
