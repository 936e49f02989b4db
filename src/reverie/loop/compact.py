"""Making room: old messages leave the context and a summary takes their place."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import structlog

from reverie.context.compaction import (
    ACKNOWLEDGE_REQUEST,
    ACKNOWLEDGEMENT,
    SELF_PROMPT,
    SUMMARY_PROMPT,
    WRITE_NOW,
    Cut,
    frame_summary,
    plain_summary,
    plan_cut,
    transcript,
)
from reverie.context.fitting import fit_turns
from reverie.context.tokens import estimate_prompt, estimate_turn
from reverie.context.turns import turns_of
from reverie.domain.agent import CompactionSettings
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelError, NotFound
from reverie.domain.message import Message, SummaryBody
from reverie.loop.generation import settings_of
from reverie.loop.state import View
from reverie.models.base import (
    AssistantTurn,
    ChatModel,
    GenerationSettings,
    ModelCatalog,
    Prompt,
    TextChunk,
    ToolChoice,
    Turn,
    UserTurn,
)

log = structlog.get_logger(__name__)

SUMMARY_SHARE: Final = 0.5
"""Share of the summarising model's window that the transcript may take."""
SELF_SHARE: Final = 0.85
"""Share of the agent's window that its own messages may take when it writes the summary itself."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction changes."""

    cut: Cut
    summary: SummaryBody


async def plan_compaction(
    view: View,
    catalog: ModelCatalog,
    model: ChatModel,
    window: int,
    *,
    settings: CompactionSettings | None = None,
    trigger: str = "context_window_exceeded",
    keep_last: bool = True,
) -> Compaction | None:
    """Choose what leaves and write the summary; None when nothing can leave.

    `settings` stand in for the agent's own. Without `keep_last` the mode `all` means all. A
    summarising model that fails never stops the turn: excerpts take its place.
    """
    chosen = settings or view.agent.compaction_settings or CompactionSettings()
    sliding = "sliding" in chosen.mode
    budget = int(window * chosen.sliding_window_percentage) if sliding else 0
    cut = plan_cut(view.context, budget_tokens=budget, keep_last=keep_last or sliding)
    if cut is None:
        return None
    text, by_model = await _summarise(view, cut, chosen, catalog, model, window)
    if not text:
        text = plain_summary(cut.leaving, max_chars=min(chosen.clip_chars or 50_000, window))
    body = SummaryBody(
        text=frame_summary(text[: chosen.clip_chars], len(cut.leaving)),
        stats={
            "trigger": trigger,
            "context_window": window,
            "context_tokens_before": _tokens(view.context),
            "context_tokens_after": _tokens(cut.staying),
            "messages_count_before": len(view.context),
            "messages_count_after": len(cut.staying) + 2,
            "summarised_by_model": by_model,
        },
    )
    return Compaction(cut=cut, summary=body)


async def _summarise(
    view: View, cut: Cut, chosen: CompactionSettings, catalog: ModelCatalog, own: ChatModel, window: int
) -> tuple[str, bool]:
    """The summary, and whether a model wrote it; empty where none could."""
    try:
        by_itself = chosen.mode.startswith("self_")
        model = await catalog.chat_model(chosen.model) if chosen.model and not by_itself else own
        settings = _settings(chosen, model, window)
        prompt = _own_request(view, cut, chosen, settings, window) if by_itself else None
        if prompt is None:
            room = int(min(window, model.info.context_window) * SUMMARY_SHARE)
            prompt = _request(cut, chosen, settings, room)
        pieces: list[str] = []
        async with aclosing(model.stream(prompt)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TextChunk):
                    pieces.append(chunk.text)
    except (ModelError, NotFound) as error:
        log.warning("summary_failed", agent_id=view.agent.id, error=str(error))
        return "", False
    return "".join(pieces).strip(), bool(pieces)


def _settings(chosen: CompactionSettings, model: ChatModel, window: int) -> GenerationSettings:
    settings = settings_of(chosen.model_settings or {}, model.info)
    limit = settings.max_output_tokens or max(256, min(2_000, window // 8))
    return replace(settings, max_output_tokens=limit, parallel_tool_calls=None)


def _request(cut: Cut, chosen: CompactionSettings, settings: GenerationSettings, room: int) -> Prompt:
    """Ask any model for the notes, over a transcript."""
    told: list[Turn] = []
    if chosen.prompt_acknowledgement:
        told += [_user(ACKNOWLEDGE_REQUEST), _acknowledged()]
    return Prompt(
        system=chosen.prompt or SUMMARY_PROMPT,
        turns=(*told, _user(transcript(cut.leaving, budget_tokens=room))),
        settings=settings,
    )


def _own_request(
    view: View, cut: Cut, chosen: CompactionSettings, settings: GenerationSettings, window: int
) -> Prompt | None:
    """Ask the agent itself, over its own messages as they stand, which the provider has in its cache.

    None: they do not fit, however they are shortened.
    """
    asked: list[Turn] = [_user(chosen.prompt or SELF_PROMPT)]
    if chosen.prompt_acknowledgement:
        asked += [_acknowledged(), _user(WRITE_NOW)]
    prompt = Prompt(
        system=view.prompt,
        turns=(*turns_of(cut.leaving), *asked),
        # The tools stand before the messages, so a request without them would miss the cache.
        tools=tuple(tool.spec for tool in view.details.tools),
        tool_choice=ToolChoice(mode="none"),
        settings=settings,
    )
    budget = int(window * SELF_SHARE)
    fitting = replace(prompt, turns=fit_turns(prompt, budget))
    return fitting if estimate_prompt(fitting) <= budget else None


def _user(text: str) -> UserTurn:
    return UserTurn(parts=(TextPart(text=text),))


def _acknowledged() -> AssistantTurn:
    return AssistantTurn(parts=(TextPart(text=ACKNOWLEDGEMENT),))


def _tokens(messages: Sequence[Message]) -> int:
    return sum(estimate_turn(turn) for turn in turns_of(messages))
