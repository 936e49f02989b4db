"""Making room: old messages leave the context and a summary takes their place."""

from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from reverie.context.compaction import SUMMARY_PROMPT, Cut, frame_summary, plain_summary, plan_cut, transcript
from reverie.domain.agent import CompactionSettings
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelError, NotFound
from reverie.domain.message import SummaryBody
from reverie.loop.state import View
from reverie.models.base import ChatModel, GenerationSettings, ModelCatalog, Prompt, TextChunk, UserTurn

log = structlog.get_logger(__name__)

SUMMARY_SHARE: Final = 0.5
"""Share of the summarising model's window that the transcript may take."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction changes."""

    cut: Cut
    summary: SummaryBody


async def plan_compaction(view: View, catalog: ModelCatalog, model: ChatModel, window: int) -> Compaction | None:
    """Choose what leaves and write the summary; None when nothing can leave.

    A summarising model that fails never stops the turn: excerpts take its place.
    """
    settings = view.agent.compaction_settings or CompactionSettings()
    share = settings.sliding_window_percentage if "sliding" in settings.mode else 0.0
    cut = plan_cut(view.context, budget_tokens=int(window * share))
    if cut is None:
        return None
    limit = settings.clip_chars or 50_000
    text, by_model = await _summarise(view, cut, settings, catalog, model, window)
    if not text:
        text = plain_summary(cut.leaving, max_chars=min(limit, window))
    stats = {
        "trigger": "context_window_exceeded",
        "context_window": window,
        "messages_count_before": len(view.context),
        "messages_count_after": len(cut.staying) + 2,
        "summarised_by_model": by_model,
    }
    body = SummaryBody(text=frame_summary(text[:limit], len(cut.leaving)), stats=stats)
    return Compaction(cut=cut, summary=body)


async def _summarise(
    view: View, cut: Cut, settings: CompactionSettings, catalog: ModelCatalog, own: ChatModel, window: int
) -> tuple[str, bool]:
    try:
        model = await catalog.chat_model(settings.model) if settings.model else own
        room = int(min(window, model.info.context_window) * SUMMARY_SHARE)
        prompt = Prompt(
            system=settings.prompt or SUMMARY_PROMPT,
            turns=(UserTurn(parts=(TextPart(text=transcript(cut.leaving, budget_tokens=room)),)),),
            settings=GenerationSettings(max_output_tokens=max(256, min(2_000, window // 8))),
        )
        pieces: list[str] = []
        async with aclosing(model.stream(prompt)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TextChunk):
                    pieces.append(chunk.text)
    except (ModelError, NotFound) as error:
        log.warning("summary_failed", agent_id=view.agent.id, error=str(error))
        return "", False
    return "".join(pieces).strip(), bool(pieces)
