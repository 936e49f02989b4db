"""From stored messages to the turns a model reads."""

from collections.abc import Mapping, Sequence
from typing import Final

from reverie.domain.content import Part, TextPart, ToolCall, ToolReturn
from reverie.domain.message import (
    ApprovalRequestBody,
    AssistantBody,
    Message,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
)
from reverie.models.base import AssistantTurn, ReasoningPart, SystemTurn, ToolTurn, Turn, UserTurn

_REPLY: Final = (AssistantBody, ReasoningBody, ToolCallBody, ApprovalRequestBody)
"""What the model wrote. A tuple: `A | B` in `isinstance` is a new object for every message."""
LOST_RESULT: Final = "The result of this call was lost: the server stopped before the call was finished."


def turns_of(context: Sequence[Message]) -> tuple[Turn, ...]:
    """Join `context` into turns; the prompt is not among them.

    Reasoning, text and calls of one step become one assistant turn, and right behind it stand
    the results of all its calls, wherever they were stored. This never fails, whatever the
    history: providers refuse unpaired calls, so a missing result is replaced by one that says so.
    """
    results = _results(context)
    turns: list[Turn] = []
    reply: list[Part | ReasoningPart | ToolCall] = []
    step: str | None = None
    for message in context:
        body = message.body
        if isinstance(body, _REPLY):
            if reply and (message.step_id is None or message.step_id != step):
                turns += _closed(reply, results)
                reply = []
            step = message.step_id
            reply += _reply_parts(body)
            continue
        if reply:
            turns += _closed(reply, results)
            reply = []
        said = _said(message)
        if said is not None:
            turns.append(said)
    return (*turns, *_closed(reply, results))


def _closed(parts: Sequence[Part | ReasoningPart | ToolCall], results: Mapping[str, ToolReturn]) -> list[Turn]:
    """One reply, with the results of its calls behind it."""
    if not parts:
        return []
    calls = [part for part in parts if isinstance(part, ToolCall)]
    turn = AssistantTurn(parts=tuple(parts))
    if not calls:
        return [turn]
    return [turn, ToolTurn(returns=tuple(results.get(call.id) or _lost(call) for call in calls))]


def _said(message: Message) -> SystemTurn | UserTurn | None:
    """What somebody else than the agent said; None for records that the model does not read in their place."""
    body = message.body
    match body:
        case UserBody():
            return UserTurn(parts=body.parts, name=message.name)
        case SystemBody():
            return SystemTurn(parts=body.parts)
        case SummaryBody():
            return UserTurn(parts=(TextPart(text=body.text),))
        case _:
            return None


def _reply_parts(
    body: AssistantBody | ReasoningBody | ToolCallBody | ApprovalRequestBody,
) -> tuple[Part | ReasoningPart | ToolCall, ...]:
    match body:
        case AssistantBody():
            return body.parts
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
