"""Results cut to what a model should have to read."""

from dataclasses import replace

from reverie.domain.content import Part, TextPart, join_text
from reverie.tools.base import ToolOutcome


def cut(outcome: ToolOutcome, limit: int) -> ToolOutcome:
    """Return `outcome` with at most `limit` characters of text, and a note where some were left out.

    Images stay. The raw value stays too: rules look at it, models never see it.
    """
    total = sum(len(part.text) for part in outcome.content if isinstance(part, TextPart))
    if total <= limit:
        return outcome
    room = limit
    content: list[Part] = []
    for part in outcome.content:
        if not isinstance(part, TextPart):
            content.append(part)
        elif room > 0:
            content.append(TextPart(text=part.text[:room]))
            room -= len(part.text)
    content.append(TextPart(text=f"\n[function output was truncated to the first {limit} of its {total} characters]"))
    return replace(outcome, content=tuple(content))


def cut_whole(outcome: ToolOutcome, limit: int) -> ToolOutcome:
    """The same for those who are shown the value itself: where something was left out they get the text."""
    shorter = cut(outcome, limit)
    return outcome if shorter is outcome else replace(shorter, value=join_text(shorter.content))
