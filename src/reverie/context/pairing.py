"""Which calls still lack a result, and what an approval still waits for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reverie.domain.content import ToolCall, ToolReturn
from reverie.domain.message import (
    CALLING,
    ApprovalRequestBody,
    ApprovalResponseBody,
    Decision,
    Message,
    ToolReturnBody,
    calls_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCalls:
    """The calls of the last reply that have no result yet, with what was answered to them."""

    calls: tuple[ToolCall, ...]
    """In the model's order: ungated ones as they stand in their message, then gated ones."""
    request: Message | None
    """The approval request among them."""
    decisions: dict[str, Decision]
    client_returns: dict[str, ToolReturn]
    """Results of calls that the client ran itself."""

    @property
    def undecided(self) -> tuple[ToolCall, ...]:
        """Gated calls without an answer."""
        answered = self.decisions.keys() | self.client_returns.keys()
        return tuple(call for call in self.calls if call.requires_approval and call.id not in answered)


def open_calls(context: Sequence[Message]) -> OpenCalls | None:
    """Return the calls that the last reply in `context` left open; None when there are none.

    Calls of earlier replies are not its business: see `lost_calls`.
    """
    last = _last_step_with_calls(context)
    if last is None:
        return None
    returned = _returned(context)
    messages = [message for message in context if _step(message) == last and calls_of(message.body)]
    calls = [call for message in messages for call in calls_of(message.body) if call.id not in returned]
    if not calls:
        return None
    request = next((message for message in messages if isinstance(message.body, ApprovalRequestBody)), None)
    decisions: dict[str, Decision] = {}
    returns: dict[str, ToolReturn] = {}
    wanted = {call.id for call in calls}
    for message in context:
        if isinstance(message.body, ApprovalResponseBody):
            decisions.update(
                {item.tool_call_id: item for item in message.body.decisions if item.tool_call_id in wanted}
            )
            returns.update({item.tool_call_id: item for item in message.body.returns if item.tool_call_id in wanted})
    return OpenCalls(calls=tuple(calls), request=request, decisions=decisions, client_returns=returns)


def lost_calls(context: Sequence[Message], *, waiting: OpenCalls | None) -> tuple[ToolCall, ...]:
    """Calls in `context` that have no result and never will.

    `waiting` names calls that may still be answered or run; they are not lost.
    """
    alive = {call.id for call in waiting.calls} if waiting is not None else set()
    done = _returned(context) | alive
    lost: dict[str, ToolCall] = {}
    for message in context:
        lost.update({call.id: call for call in calls_of(message.body) if call.id not in done})
    return tuple(lost.values())


def _returned(context: Iterable[Message]) -> set[str]:
    return {
        item.tool_call_id
        for message in context
        if isinstance(message.body, ToolReturnBody)
        for item in message.body.returns
    }


def _last_step_with_calls(context: Sequence[Message]) -> str | None:
    for message in reversed(context):
        if isinstance(message.body, CALLING):
            return _step(message)
    return None


def _step(message: Message) -> str:
    return message.step_id or message.id
