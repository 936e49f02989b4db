"""What a run saved and its stored log lacks, as its process died between the two."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection

from reverie.domain.content import join_text
from reverie.domain.events import Delta, Event, MessageSaved, ReasoningDelta, TextDelta, ToolCallDelta
from reverie.domain.message import (
    ApprovalRequestBody,
    AssistantBody,
    Body,
    Message,
    MessageFilter,
    ReasoningBody,
    ToolReturnBody,
    calls_of,
)
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.storage import messages, run_events


def untold(c: Connection, run: Run) -> tuple[int, list[Event]]:
    """What readers are still to be told, and the number it begins at."""
    stored = [event for _, event in run_events.read(c, run.id, 0)]
    logged = {event.message.id for event in stored if isinstance(event, MessageSaved)}
    saved = messages.list_page(c, run.organization_id, MessageFilter(run_id=run.id), Page(limit=None, order="asc"))
    lacking = [item for item in saved if item.id not in logged and not _mends(item)]
    return len(stored) + 1, [event for item in lacking for event in _rest_of(item, _pieces(item, stored))]


def _mends(message: Message) -> bool:
    """Whether these are results for calls of an earlier run, which no reader of this one is shown."""
    return isinstance(message.body, ToolReturnBody) and message.step_id is None


def _pieces(message: Message, stored: Sequence[Event]) -> Mapping[str, str]:
    """What was told of a message while it was written: of words and thoughts by its id, of calls by theirs."""
    told: dict[str, str] = defaultdict(str)
    for event in stored:
        match event:
            case TextDelta(text=text) | ReasoningDelta(text=text) if event.message_id == message.id:
                told[message.id] += text
            case ToolCallDelta(arguments=text) if event.message_id == message.id:
                told[event.tool_call_id] += text
    return told


def _rest_of(message: Message, told: Mapping[str, str]) -> list[Event]:
    """All of a message, or what follows the pieces that were told."""
    if not told or message.run_id is None or message.step_id is None or message.otid is None:
        return [MessageSaved(message=message)]
    of = Delta(
        run_id=message.run_id,
        step_id=message.step_id,
        message_id=message.id,
        otid=message.otid,
        date=message.created_at,
    )
    rest = [*_rest_of_words(of, message.body, told.get(message.id, "")), *_rest_of_calls(of, message.body, told)]
    return [*rest, MessageSaved(message=message, streamed=True)]


def _rest_of_words(of: Delta, body: Body, told: str) -> Iterator[Event]:
    match body:
        case AssistantBody(parts=parts):
            if rest := join_text(parts).removeprefix(told):
                yield TextDelta(**asdict(of), text=rest)
        case ReasoningBody(text=text):
            if rest := text.removeprefix(told):
                yield ReasoningDelta(**asdict(of), text=rest)


def _rest_of_calls(of: Delta, body: Body, told: Mapping[str, str]) -> Iterator[Event]:
    for call in calls_of(body):
        if told.get(call.id) != call.arguments:
            yield ToolCallDelta(
                **asdict(of),
                tool_call_id=call.id,
                name=None if call.id in told else call.name,
                arguments=call.arguments.removeprefix(told.get(call.id, "")),
                requires_approval=isinstance(body, ApprovalRequestBody),
            )
