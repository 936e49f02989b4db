"""The last resort before a request is sent: shorten what is huge, so that it fits."""

from dataclasses import replace
from typing import Final

from reverie.context.tokens import estimate_prompt, estimate_turn
from reverie.domain.content import Part, TextPart
from reverie.models.base import Prompt, SystemTurn, ToolTurn, Turn, UserTurn

STEPS_CHARS: Final = (20_000, 5_000, 1_000, 200)
"""Longest text of one part, tried in this order."""


def fit_turns(prompt: Prompt, budget_tokens: int) -> tuple[Turn, ...]:
    """Return the prompt's turns with long texts cut, results of tools first, until they fit.

    Nothing stored changes, and no turn is left out. What still does not fit after the last
    step is returned as it is: the provider has the final word.
    """
    turns = prompt.turns
    for kinds in ((ToolTurn,), (ToolTurn, UserTurn, SystemTurn)):
        for limit in STEPS_CHARS:
            if estimate_prompt(replace(prompt, turns=turns)) <= budget_tokens:
                return turns
            turns = tuple(_cut(turn, limit) if isinstance(turn, kinds) else turn for turn in turns)
    return turns


def _cut(turn: Turn, limit: int) -> Turn:
    if estimate_turn(turn) < limit // 8:
        return turn
    match turn:
        case ToolTurn():
            return ToolTurn(
                returns=tuple(
                    replace(item, content=tuple(_cut_part(part, limit) for part in item.content))
                    for item in turn.returns
                )
            )
        case UserTurn() | SystemTurn():
            return replace(turn, parts=tuple(_cut_part(part, limit) for part in turn.parts))
        case _:
            return turn


def _cut_part(part: Part, limit: int) -> Part:
    if not isinstance(part, TextPart) or len(part.text) <= limit:
        return part
    half = limit // 2
    left_out = len(part.text) - 2 * half
    return TextPart(
        text=f"{part.text[:half]}\n[… {left_out} characters left out to fit the context …]\n{part.text[-half:]}"
    )
