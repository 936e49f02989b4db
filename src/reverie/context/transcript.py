"""A conversation as text, for those who were not part of it."""

from collections.abc import Sequence
from typing import Final

import orjson

from reverie.domain.content import ImagePart, Part, ToolCall, join_text
from reverie.domain.message import AssistantBody, Body, Message, SystemBody, ToolReturnBody, UserBody, calls_of

SPEAKING_TOOL: Final = "send_message"
WORDS_CHARS: Final = 6000
"""Most of one message's words that a transcript shows."""
RESULT_CHARS: Final = 600
"""Most of one tool's result, or of the arguments of one call."""


def spoken(body: Body) -> list[str]:
    """What an agent said, also where it speaks through a tool."""
    if isinstance(body, AssistantBody):
        text = join_text(body.parts)
        return [text] if text.strip() else []
    return [said for call in calls_of(body) if (said := _through_tool(call)) is not None]


def transcript(
    messages: Sequence[Message], *, words_chars: int = WORDS_CHARS, result_chars: int = RESULT_CHARS
) -> list[str]:
    """`messages` as lines `user: …`, `assistant: …`; what runs over a line is kept in it."""
    return [line for message in messages for line in _lines(message, words_chars, result_chars)]


def _lines(message: Message, words_chars: int, result_chars: int) -> list[str]:
    body = message.body
    if isinstance(body, UserBody | SystemBody):
        who = "user" if isinstance(body, UserBody) else "system"
        named = f"{who} ({message.name})" if message.name else who
        return [f"{named}: {_shown(body.parts, words_chars) or '(no text)'}"]
    if isinstance(body, ToolReturnBody):
        return [
            f"tool {item.name}: {'' if item.status == 'success' else 'error: '}{_shown(item.content, result_chars)}"
            for item in body.returns
            if item.name != SPEAKING_TOOL
        ]
    said = [f"assistant: {_cut(text, words_chars)}" for text in spoken(body)]
    called = [
        f"assistant calls {call.name}: {_cut(call.arguments, result_chars)}"
        for call in calls_of(body)
        if _through_tool(call) is None
    ]
    return [*said, *called]


def _through_tool(call: ToolCall) -> str | None:
    if call.name != SPEAKING_TOOL:
        return None
    try:
        given = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return None
    said = given.get("message") if isinstance(given, dict) else None
    return said if isinstance(said, str) else None


def _shown(parts: Sequence[Part], most: int) -> str:
    """Words, and how many pictures stood beside them: whoever sums up has to know that something was shown."""
    words = [cut] if (cut := _cut(join_text(tuple(parts)), most)) else []
    pictures = sum(isinstance(part, ImagePart) for part in parts)
    return " ".join([*words, *([f"[{pictures} pictures]" if pictures > 1 else "[a picture]"] if pictures else [])])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} […{len(text) - most} more characters]"
