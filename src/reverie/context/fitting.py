"""The last resort before a request is sent: shorten what is huge, so that it fits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from reverie.context.tokens import estimate_text, estimate_tools, estimate_turn, shows_images
from reverie.domain.content import ImagePart, Part, TextPart, ToolCall
from reverie.domain.json import JsonValue
from reverie.models.base import AssistantTurn, Prompt, ReasoningPart, SystemTurn, ToolTurn, Turn, UserTurn

RESULT_CHARS: Final = tuple(int(1_000_000 / 1.5**step) for step in range(25))
"""Longest text of a tool's result, from a million characters to some sixty; steps, so that texts are cut at the
same place in one request after the other, and providers can cache what stands before the newest messages."""
WORDS_SHARE: Final = 4
"""So many times longer may be what somebody said."""
IMAGE_LEFT_OUT: Final = "[an image was left out to fit the context]"
LATEST_TURNS: Final = 3
"""Turns at the end that are never left out: what was asked, the calls, and their results."""


def fit_turns(prompt: Prompt, budget_tokens: int) -> tuple[Turn, ...]:
    """Return the prompt's turns with long texts cut, no more than it takes, until they fit.

    Nothing stored changes. What is cut keeps its beginning and its end. Only where that is not enough
    images go, and at last the oldest exchanges. What still does not fit then is returned as it is:
    the provider has the final word.
    """
    room = budget_tokens - estimate_text(prompt.system) - estimate_tools(prompt.tools)
    turns = prompt.turns
    if _size(turns) <= room:
        return turns
    fitting = _shortened(turns, room)
    if _size(fitting) > room and shows_images(turns):
        fitting = _shortened(_without_images(turns), room)
    return _latest(fitting, room)


def _shortened(turns: tuple[Turn, ...], room: int) -> tuple[Turn, ...]:
    # Each step cuts more than the one before it, so the first that fits can be searched by halves.
    low, high = 0, len(RESULT_CHARS) - 1
    while low < high:
        middle = (low + high) // 2
        if _size(_cut_all(turns, RESULT_CHARS[middle])) <= room:
            high = middle
        else:
            low = middle + 1
    return _cut_all(turns, RESULT_CHARS[low])


def _size(turns: Sequence[Turn]) -> int:
    return sum(estimate_turn(turn) for turn in turns)


def _cut_all(turns: Sequence[Turn], limit: int) -> tuple[Turn, ...]:
    return tuple(_cut(turn, limit) for turn in turns)


def _cut(turn: Turn, limit: int) -> Turn:
    words = limit * WORDS_SHARE
    match turn:
        case ToolTurn():
            return ToolTurn(
                returns=tuple(
                    replace(item, content=tuple(_cut_part(part, limit) for part in item.content))
                    for item in turn.returns
                )
            )
        case UserTurn() | SystemTurn():
            return replace(turn, parts=tuple(_cut_part(part, words) for part in turn.parts))
        case AssistantTurn():
            return AssistantTurn(parts=tuple(_cut_reply(part, limit, words) for part in turn.parts))


def _cut_reply(part: Part | ReasoningPart | ToolCall, limit: int, words: int) -> Part | ReasoningPart | ToolCall:
    if isinstance(part, ReasoningPart):  # only whole is it worth anything to its provider
        return part
    if not isinstance(part, ToolCall):
        return _cut_part(part, words)
    if len(part.arguments) <= words:
        return part
    try:
        given: JsonValue = orjson.loads(part.arguments)
    except orjson.JSONDecodeError:
        return replace(part, arguments="{}")
    shortened = _cut_values(given, limit)
    arguments = orjson.dumps(shortened).decode()
    return replace(part, arguments=arguments if len(arguments) <= words * 2 else "{}")


def _cut_values(value: JsonValue, limit: int) -> JsonValue:
    if isinstance(value, str):
        return _cut_text(value, limit)
    if isinstance(value, dict):
        return {name: _cut_values(item, limit) for name, item in value.items()}
    if isinstance(value, list):
        return [_cut_values(item, limit) for item in value]
    return value


def _cut_part(part: Part, limit: int) -> Part:
    if not isinstance(part, TextPart) or len(part.text) <= limit:
        return part
    return replace(part, text=_cut_text(part.text, limit))


def _cut_text(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out to fit the context …]\n{text[-half:]}"


def _without_images(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    gone = TextPart(text=IMAGE_LEFT_OUT)

    def said(parts: Sequence[Part]) -> tuple[Part, ...]:
        return tuple(gone if isinstance(part, ImagePart) else part for part in parts)

    out: list[Turn] = []
    for turn in turns:
        match turn:
            case ToolTurn():
                out.append(ToolTurn(returns=tuple(replace(item, content=said(item.content)) for item in turn.returns)))
            case UserTurn() | SystemTurn():
                out.append(replace(turn, parts=said(turn.parts)))
            case AssistantTurn():
                out.append(turn)
    return tuple(out)


def _latest(turns: tuple[Turn, ...], room: int) -> tuple[Turn, ...]:
    """Leave out old reasoning, then the oldest turns, until the rest fits; results go with their calls."""
    if _size(turns) <= room:
        return turns
    old = len(turns) - LATEST_TURNS
    turns = tuple(_without_reasoning(turn) if place < old else turn for place, turn in enumerate(turns))
    left = _size(turns)
    # The first is the summary, or what began the conversation.
    first = begin = 1 if turns and isinstance(turns[0], UserTurn) else 0
    while left > room and len(turns) - first > LATEST_TURNS:
        left -= estimate_turn(turns[first])
        first += 1
        if isinstance(turns[first], ToolTurn):
            left -= estimate_turn(turns[first])
            first += 1
    return (*turns[:begin], *turns[first:])


def _without_reasoning(turn: Turn) -> Turn:
    if not isinstance(turn, AssistantTurn):
        return turn
    parts = tuple(part for part in turn.parts if not isinstance(part, ReasoningPart))
    return AssistantTurn(parts=parts) if parts else turn
