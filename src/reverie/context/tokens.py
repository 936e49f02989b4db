"""Token estimates without a vocabulary: characters by a ratio, calibrated by what providers report."""

from collections.abc import Sequence
from typing import Final

import orjson

from reverie.domain.content import ImagePart, Part, TextPart, ToolCall
from reverie.domain.tool import ToolSpec
from reverie.models.base import AssistantTurn, Prompt, SystemTurn, ToolTurn, Turn, UserTurn

CHARS_PER_TOKEN: Final = 3.6
"""A cautious ratio for mixed text and code; real tokenizers lie between 3 and 5 on English."""
IMAGE_TOKENS: Final = 1_500
TURN_TOKENS: Final = 5
"""What roles and separators of one turn cost."""
WIDE_FROM: Final = 0x2E7F
"""Characters behind it are taken for a token each."""


def estimate_text(text: str) -> int:
    """Tokens of `text`, rounded up. Characters beyond Latin weigh more."""
    if not text:
        return 0
    wide = 0 if text.isascii() else sum(1 for char in text if ord(char) > WIDE_FROM)
    return int((len(text) - wide) / CHARS_PER_TOKEN + wide) + 1


def estimate_tools(tools: Sequence[ToolSpec]) -> int:
    """Tokens of tool definitions."""
    return sum(estimate_text(tool.name + tool.description + orjson.dumps(tool.parameters).decode()) for tool in tools)


def estimate_turn(turn: Turn) -> int:
    """Tokens of one turn."""
    match turn:
        case SystemTurn() | UserTurn():
            return TURN_TOKENS + sum(_part(part) for part in turn.parts)
        case AssistantTurn():
            return TURN_TOKENS + sum(
                estimate_text(part.name + part.arguments) + TURN_TOKENS
                if isinstance(part, ToolCall)
                else _part(part)
                if isinstance(part, TextPart | ImagePart)
                else estimate_text(part.text or part.redacted or "")
                for part in turn.parts
            )
        case ToolTurn():
            return sum(TURN_TOKENS + sum(_part(part) for part in item.content) for item in turn.returns)


def estimate_prompt(prompt: Prompt) -> int:
    """Tokens of a whole request."""
    return (
        estimate_text(prompt.system) + estimate_tools(prompt.tools) + sum(estimate_turn(turn) for turn in prompt.turns)
    )


def shows_images(turns: Sequence[Turn]) -> bool:
    """Whether there is an image among `turns`; what one costs differs more between providers than any text."""
    for turn in turns:
        match turn:
            case SystemTurn() | UserTurn() | AssistantTurn():
                if any(isinstance(part, ImagePart) for part in turn.parts):
                    return True
            case ToolTurn():
                if any(isinstance(part, ImagePart) for item in turn.returns for part in item.content):
                    return True
    return False


def clip(text: str, tokens: int) -> str:
    """The beginning of `text`, of about `tokens` tokens at most, with a mark where the rest is left out."""
    if estimate_text(text) <= tokens:
        return text
    least, most = 0, len(text)
    while least < most:
        half = (least + most + 1) // 2
        least, most = (half, most) if estimate_text(text[:half]) < tokens else (least, half - 1)
    return f"{text[: max(least - 1, 0)]}…"


def _part(part: Part) -> int:
    return estimate_text(part.text) if isinstance(part, TextPart) else IMAGE_TOKENS
