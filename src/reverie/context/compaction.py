"""When old messages make room, which ones, and the summary that stands in for them when no model can write one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reverie.context.pairing import open_calls
from reverie.context.tokens import clip, estimate_text, estimate_turn
from reverie.context.transcript import transcript
from reverie.context.turns import turns_of
from reverie.domain.message import (
    Message,
    MessageKind,
    SummaryBody,
    ToolReturnBody,
    UserBody,
    calls_of,
    text_of,
)

TRIGGER_SHARE: Final = 0.9
"""Compaction starts when the request would take this share of the window, or less where a longer answer is wanted."""
ANSWER_SHARE: Final = 0.25
"""Most of the window that is kept free for an answer, however long the agent's may be."""
SUMMARY_SHARE: Final = 0.4
"""Most of a request's room that a summary may take."""
MOST_PARTS: Final = 8
"""Requests that one summary may take."""
CLIPS: Final = ((6_000, 2_000), (2_000, 600), (600, 200), (200, 80))
"""Longest words and longest result of a tool in a transcript, tried in this order."""
LINE_CHARS: Final = 300
"""The same for a summary that no model writes."""
QUOTED_TOKENS: Final = 150
"""Most that a summary quotes of the message that is being worked on."""
LEFT_OUT: Final = "[older messages left out]"

SUMMARY_PROMPT: Final = (
    "You keep the notes of a long conversation between a user and an assistant. Older messages are about to leave "
    "the assistant's context. From the transcript, write what the assistant must still know to go on as if it "
    "remembered everything: facts and preferences of the user, decisions, promises, open questions, results of "
    "tools that still matter, names, numbers and dates. Keep what earlier notes say unless it was overtaken. "
    "Write plain prose or short lists, at most {words} words, and nothing but the notes."
)

SELF_PROMPT: Final = (
    "[Note from the system: the messages above are about to leave your context, so that there is room to go on. "
    "Before they do, write notes for yourself: facts and preferences of the user, decisions, promises, open questions, "
    "results of tools that still matter, names, numbers and dates. Keep what earlier notes say unless it was "
    "overtaken. Write plain prose or short lists, at most {words} words. Answer with the notes alone and call no tool.]"
)
ACKNOWLEDGE_REQUEST: Final = "Say that you will answer with the notes and nothing else."
ACKNOWLEDGEMENT: Final = "I will answer with the notes and nothing else."
WRITE_NOW: Final = "Write the notes now."


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How a window is shared out, all in estimated tokens."""

    fixed: int
    """Taken by the system prompt and the tools."""
    room: int
    """Left for summary and messages."""

    @property
    def total(self) -> int:
        """Most that the whole request may take."""
        return self.fixed + self.room

    @property
    def summary(self) -> int:
        """Most that a summary may take."""
        return int(self.room * SUMMARY_SHARE)

    @property
    def messages(self) -> int:
        """What is left for messages beside a summary."""
        return self.room - self.summary

    def smaller(self, times: int) -> "Budget":
        """The same with half of the room, so many times."""
        return Budget(fixed=self.fixed, room=self.room >> times)


def most_tokens(window: int, answer_tokens: int) -> int:
    """What a request may take of `window` so that an answer of `answer_tokens` has its place."""
    return window - max(int(window * (1 - TRIGGER_SHARE)), min(answer_tokens, int(window * ANSWER_SHARE)))


def budget_of(window: int, fixed: int, answer_tokens: int) -> Budget:
    """Share out `window`. Where the fixed part takes most of it, messages and answer share what is left."""
    return Budget(fixed=fixed, room=max(most_tokens(window, answer_tokens) - fixed, (window - fixed) // 2, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A division of a context."""

    leaving: tuple[Message, ...]
    """Go out of the context, the old summary included."""
    staying: tuple[Message, ...]


def plan_cut(
    context: Sequence[Message],
    *,
    budget_tokens: int,
    room_tokens: int | None = None,
    keep_last: bool = True,
    asked: bool = False,
) -> Cut | None:
    """Choose what leaves so that what stays fits `budget_tokens`, keeping the newest.

    Whole exchanges leave: a cut falls only before a user's or system's message, or between two
    steps whose calls all have results, so a call and its result stay together. What the user said
    last and all that follows it stay beyond that where they fit `room_tokens`. Without `keep_last`
    all may leave, but for calls that are still open. None: nothing can leave, or nothing need,
    since it is enough to shorten what is huge; where somebody `asked`, half leaves all the same.
    """
    body = [message for message in context if message.kind not in (MessageKind.PROMPT, MessageKind.SUMMARY)]
    groups = _groups(body)
    if not keep_last and groups and open_calls(groups[-1]) is None:
        return Cut(leaving=tuple(message for message in context if message.kind is not MessageKind.PROMPT), staying=())
    if len(groups) < 2:
        return None
    room = budget_tokens if room_tokens is None else room_tokens
    # Huge messages are shortened when they are sent, so none of them pushes all others out.
    whole = [sum(estimate_turn(turn) for turn in turns_of(group)) for group in groups]
    sizes = [min(size, max(room // 2, 1)) for size in whole]
    current = max((place for place, group in enumerate(groups) if _is_asked(group)), default=len(groups) - 1)
    kept, total = len(groups) - 1, sizes[-1]
    while kept > 0 and total + sizes[kept - 1] <= (max(room, budget_tokens) if kept > current else budget_tokens):
        kept -= 1
        total += sizes[kept]
    if kept == 0:
        if sizes != whole and not asked:
            return None
        # Everything seems to fit, yet the provider says otherwise: halve.
        kept = max(1, len(groups) // 2)
    summaries = [message for message in context if message.kind is MessageKind.SUMMARY]
    leaving = summaries + [message for group in groups[:kept] for message in group]
    staying = [message for group in groups[kept:] for message in group]
    return Cut(leaving=tuple(leaving), staying=tuple(staying))


def _is_asked(group: Sequence[Message]) -> bool:
    return any(isinstance(message.body, UserBody) for message in group)


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Runs of messages that must stay together."""
    ending = {
        item.tool_call_id: place
        for place, message in enumerate(messages)
        if isinstance(message.body, ToolReturnBody)
        for item in message.body.returns
    }
    waiting = open_calls(messages)
    awaited = set() if waiting is None else {call.id for call in waiting.calls}
    groups: list[list[Message]] = []
    until, step = -1, None
    """`until`: the place of the last result that calls so far have; a call that never gets one binds nothing."""
    for place, message in enumerate(messages):
        same_step = message.step_id is not None and message.step_id == step
        if not groups or (place > until and not same_step):
            groups.append([])
        groups[-1].append(message)
        step = message.step_id
        for call in calls_of(message.body):
            until = max(until, len(messages) if call.id in awaited else ending.get(call.id, -1))
    return groups


def transcripts(messages: Sequence[Message], room_tokens: int) -> list[str]:
    """The words of `messages` in parts of `room_tokens` at most, oldest first.

    Long words and results are shortened so that there are not too many parts; where that is not
    enough, the oldest are left out.
    """
    room = max(room_tokens, 50)
    lines: list[str] = []
    for words, result in CLIPS:
        lines = transcript(messages, words_chars=words, result_chars=result)
        if sum(estimate_text(line) for line in lines) <= room * MOST_PARTS * 0.8:
            break
    parts = list(_packed(lines, room))
    if len(parts) <= MOST_PARTS:
        return parts
    return [f"{LEFT_OUT}\n{parts[-MOST_PARTS]}", *parts[1 - MOST_PARTS :]]


def _packed(lines: Sequence[str], room: int) -> Iterator[str]:
    part: list[str] = []
    total = 0
    for line in (clip(line, room) for line in lines):
        size = estimate_text(line)
        if part and total + size > room:
            yield "\n".join(part)
            part, total = [], 0
        part.append(line)
        total += size
    if part:
        yield "\n".join(part)


def notes_of(messages: Sequence[Message]) -> str:
    """What earlier summaries among `messages` say."""
    summaries = (message.body for message in messages if isinstance(message.body, SummaryBody))
    return "\n".join(body.text if body.notes is None else body.notes for body in summaries)


def plain_summary(messages: Sequence[Message], *, max_tokens: int) -> str:
    """A summary without any model: earlier notes, and excerpts of what was said, the newest kept."""
    notes = clip(notes_of(messages), max_tokens // 2)
    lines = [] if not notes else [notes]
    left = max_tokens - sum(estimate_text(line) for line in lines)
    kept: list[str] = []
    said = transcript(messages, words_chars=LINE_CHARS, result_chars=LINE_CHARS)
    for line in reversed([" ".join(line.split()) for line in said]):
        left -= estimate_text(line) + 1
        if left < 0 and kept:
            kept.append(LEFT_OUT)
            break
        kept.append(line)
    return clip("\n".join([*lines, *reversed(kept)]), max_tokens)


def framed_summary(notes: str, cut: Cut) -> SummaryBody:
    """A summary with what tells the model what it reads; what the user asked last is quoted where it leaves."""
    text = (
        f"[Note from the system: {len(cut.leaving)} earlier messages of this conversation left your context. "
        f"They can still be found with conversation_search. What matters of them:]\n{notes}"
    )
    asked = _asked(cut)
    if asked is not None:
        text = f"{text}\n[The user's last message, which you are working on:]\n{asked}"
    return SummaryBody(text=text, notes=notes, asked=asked)


def _asked(cut: Cut) -> str | None:
    """What is being worked on though no message that stays says it."""
    if not cut.staying or _is_asked(cut.staying):
        return None
    for message in reversed(cut.leaving):
        match message.body:
            case UserBody() as body:
                return clip(text_of(body), QUOTED_TOKENS)
            case SummaryBody(asked=str(asked)):
                return asked
            case _:
                pass
    return None
