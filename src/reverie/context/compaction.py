"""When old messages make room, which ones, and the summary that stands in for them when no model can write one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reverie.context.pairing import open_calls
from reverie.context.tokens import estimate_text, estimate_turn
from reverie.context.turns import turns_of
from reverie.domain.content import join_text
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
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

TRIGGER_SHARE: Final = 0.9
"""Compaction starts when the request would take this share of the window."""
LINE_CHARS: Final = 300
"""Longest excerpt of one message in a transcript line."""

SUMMARY_PROMPT: Final = (
    "You keep the notes of a long conversation between a user and an assistant. Older messages are about to leave "
    "the assistant's context. From the transcript, write what the assistant must still know to go on as if it "
    "remembered everything: facts and preferences of the user, decisions, promises, open questions, results of "
    "tools that still matter, names, numbers and dates. Keep what earlier notes say unless it was overtaken. "
    "Write plain prose or short lists, at most 400 words, and nothing but the notes."
)

SELF_PROMPT: Final = (
    "[Note from the system: the messages above are about to leave your context, so that there is room to go on. "
    "Before they do, write notes for yourself: facts and preferences of the user, decisions, promises, open questions, "
    "results of tools that still matter, names, numbers and dates. Keep what earlier notes say unless it was "
    "overtaken. Write plain prose or short lists, at most 400 words. Answer with the notes alone and call no tool.]"
)
ACKNOWLEDGE_REQUEST: Final = "Say that you will answer with the notes and nothing else."
ACKNOWLEDGEMENT: Final = "I will answer with the notes and nothing else."
WRITE_NOW: Final = "Write the notes now."


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A division of a context."""

    leaving: tuple[Message, ...]
    """Go out of the context, the old summary included."""
    staying: tuple[Message, ...]


def plan_cut(context: Sequence[Message], *, budget_tokens: int, keep_last: bool = True) -> Cut | None:
    """Choose what leaves so that what stays fits `budget_tokens`, keeping the newest.

    Whole exchanges leave: a cut falls only before a user's or system's message, or between two
    steps whose calls all have results, so a call and its result stay together. The last user
    message and all that follows it stay where that fits. Without `keep_last` all may leave, but
    for calls that are still open. None: nothing can leave.
    """
    body = [message for message in context if message.kind not in (MessageKind.PROMPT, MessageKind.SUMMARY)]
    groups = _groups(body)
    if not keep_last and groups and not _is_open(groups[-1]):
        return Cut(leaving=tuple(message for message in context if message.kind is not MessageKind.PROMPT), staying=())
    if len(groups) < 2:
        return None
    sizes = [sum(estimate_turn(turn) for turn in turns_of(group)) for group in groups]
    kept, total = len(groups) - 1, sizes[-1]
    while kept > 0 and total + sizes[kept - 1] <= budget_tokens:
        kept -= 1
        total += sizes[kept]
    if kept == 0:
        # Everything seems to fit, yet the provider says otherwise: halve.
        kept = max(1, len(groups) // 2)
    summaries = [message for message in context if message.kind is MessageKind.SUMMARY]
    leaving = summaries + [message for group in groups[:kept] for message in group]
    staying = [message for group in groups[kept:] for message in group]
    return Cut(leaving=tuple(leaving), staying=tuple(staying))


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Runs of messages that must stay together."""
    groups: list[list[Message]] = []
    open_ids: set[str] = set()
    step: str | None = None
    for message in messages:
        same_step = message.step_id is not None and message.step_id == step
        if not groups or (not open_ids and not same_step):
            groups.append([])
        groups[-1].append(message)
        step = message.step_id
        if isinstance(message.body, ToolCallBody | ApprovalRequestBody):
            open_ids |= {call.id for call in message.body.calls}
        elif isinstance(message.body, ToolReturnBody):
            open_ids -= {item.tool_call_id for item in message.body.returns}
    return groups


def _is_open(group: Sequence[Message]) -> bool:
    return open_calls(group) is not None


def transcript(messages: Sequence[Message], *, budget_tokens: int) -> str:
    """The words of `messages`, one line each, long ones shortened, oldest lines dropped to fit."""
    lines = [line for line in (_line(message) for message in messages) if line]
    total = 0
    kept: list[str] = []
    for line in reversed(lines):
        total += estimate_text(line)
        if total > budget_tokens and kept:
            kept.append("[older messages left out]")
            break
        kept.append(line)
    return "\n".join(reversed(kept))


def plain_summary(messages: Sequence[Message], *, max_chars: int) -> str:
    """A summary without any model: excerpts of what was said, newest kept."""
    return _clip_head(transcript(messages, budget_tokens=max(200, max_chars // 4)), max_chars)


def frame_summary(text: str, leaving_count: int) -> str:
    """Wrap a summary so that the model knows what it reads."""
    return (
        f"[Note from the system: {leaving_count} earlier messages of this conversation left your context. "
        f"They can still be found with conversation_search. What matters of them:]\n{text}"
    )


def _line(message: Message) -> str:
    body = message.body
    match body:
        case UserBody():
            return "user: " + _clip(join_text(body.parts) or "[image]")
        case SystemBody():
            return "system: " + _clip(join_text(body.parts))
        case AssistantBody():
            return "assistant: " + _clip(join_text(body.parts))
        case ToolCallBody() | ApprovalRequestBody():
            return "\n".join(f"assistant called {call.name}({_clip(call.arguments)})" for call in body.calls)
        case ToolReturnBody():
            return "\n".join(f"{item.name} returned: {_clip(item.text)}" for item in body.returns)
        case SummaryBody():
            return "earlier notes: " + body.text
        case PromptBody() | ReasoningBody() | ApprovalResponseBody() | EventBody():
            return ""


def _clip(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LINE_CHARS else flat[: LINE_CHARS - 1] + "…"


def _clip_head(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else "…" + text[-(max_chars - 1) :]
