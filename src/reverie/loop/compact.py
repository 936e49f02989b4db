"""Making room: old messages leave the context and a summary takes their place."""

from collections.abc import AsyncGenerator, Sequence
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
    Budget,
    Cut,
    framed_summary,
    notes_of,
    plain_summary,
    plan_cut,
    transcripts,
)
from reverie.context.fitting import fit_turns
from reverie.context.tokens import clip, estimate_prompt, estimate_text, estimate_turn
from reverie.context.turns import turns_of
from reverie.domain.agent import CompactionChanges, CompactionSettings
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelContextOverflow, ModelEmptyReply, ModelError, NotFound
from reverie.domain.message import EventBody, Message, SummaryBody
from reverie.domain.token_ratio import TokenRatio
from reverie.loop.calibration import TokenRatios
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
from reverie.models.retry import RetryPolicy, stream_with_retries

log = structlog.get_logger(__name__)

PART_SHARE: Final = 0.5
"""Share of the summarising model's window that a part of the transcript may take."""
SELF_SHARE: Final = 0.85
"""Share of the agent's window that its own messages may take when it writes the summary itself."""
FRAME_TOKENS: Final = 60
"""What is said around a summary."""
LEAST_SUMMARY: Final = 60
"""Tokens that a summary gets in any case."""
OVERFLOWS: Final = 3
"""Times that the summarising model may refuse a part as too long before excerpts take its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compactor:
    """Writes summaries for one agent: its model, its window in estimated tokens, and what all need."""

    catalog: ModelCatalog
    ratios: TokenRatios
    retries: RetryPolicy
    model: ChatModel
    """The agent's own."""
    window: int
    """Of the agent, in estimated tokens."""
    ratio: TokenRatio
    """Of the agent's own model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a compaction is going to do."""

    cut: Cut
    settings: CompactionSettings
    budget: Budget
    trigger: str

    @property
    def summary_tokens(self) -> int:
        """Most that the summary may take, without what is said around it."""
        return max(self.budget.summary - FRAME_TOKENS, LEAST_SUMMARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction changes."""

    cut: Cut
    summary: SummaryBody
    failure: EventBody | None
    """What is told when no model could write the summary."""


def plan_compaction(
    view: View,
    window: int,
    budget: Budget,
    *,
    changes: CompactionChanges | None = None,
    trigger: str = "context_window_exceeded",
    keep_last: bool = True,
) -> Plan | None:
    """Choose what leaves; None when nothing can.

    `changes` are made to the agent's settings for this once. Without `keep_last` the mode `all` means all.
    """
    chosen = view.agent.compaction_settings or CompactionSettings()
    if changes is not None:
        chosen = changes.applied_to(chosen)
    sliding = "sliding" in chosen.mode
    wish = min(int(window * chosen.sliding_window_percentage), budget.messages) if sliding else 0
    cut = plan_cut(
        view.context,
        budget_tokens=wish,
        room_tokens=budget.messages,
        keep_last=keep_last or sliding,
        asked=not keep_last,
    )
    return None if cut is None else Plan(cut=cut, settings=chosen, budget=budget, trigger=trigger)


def announcement(plan: Plan, view: View, compactor: Compactor) -> EventBody:
    """What clients are told before a compaction begins. Source: events of the retired server, read 2026-11."""
    return EventBody(
        event_type="compaction",
        data={
            "trigger": plan.trigger,
            "context_token_estimate": compactor.ratio.counted(plan.budget.fixed + tokens_of(view.context)),
            "context_window": compactor.ratio.counted(compactor.window),
        },
    )


async def compact(view: View, plan: Plan, compactor: Compactor) -> Compaction:
    """Write the summary. A summarising model that fails never stops the turn: excerpts take its place."""
    error: str | None = None
    cut, chosen = plan.cut, plan.settings
    try:
        text = await _written(view, plan, compactor)
    except (ModelError, NotFound) as failure:
        log.warning("summary_failed", agent_id=view.agent.id, error=str(failure))
        error, text = str(failure), plain_summary(cut.leaving, max_tokens=plan.summary_tokens)
    text = clip(text[: chosen.clip_chars], plan.summary_tokens)
    before = plan.budget.fixed + tokens_of(view.context)
    body = replace(
        framed_summary(text, cut),
        stats={
            "trigger": plan.trigger,
            "context_window": compactor.ratio.counted(compactor.window),
            "context_tokens_before": compactor.ratio.counted(before),
            "context_tokens_after": compactor.ratio.counted(tokens_of(cut.staying) + estimate_text(text)),
            "messages_count_before": len(view.context),
            "messages_count_after": len(cut.staying) + 2,
            "summarised_by_model": error is None,
        },
    )
    if error is None:
        return Compaction(cut=cut, summary=body, failure=None)
    told = {"trigger": plan.trigger, "summary_failed": True, "error": error, "summary": "excerpts"}
    return Compaction(cut=cut, summary=body, failure=EventBody(event_type="compaction", data=told))


async def _written(view: View, plan: Plan, compactor: Compactor) -> str:
    """The summary by the agent itself where its settings say so and its messages fit, else over transcripts."""
    chosen, own = plan.settings, compactor.model
    by_itself = chosen.mode.startswith("self_")
    if by_itself:
        settings = _settings(plan, own, compactor.window)
        prompt = _own_request(view, plan, settings, compactor.window)
        if prompt is not None:
            try:
                return await _answer(own, prompt, compactor.retries)
            except (ModelContextOverflow, ModelEmptyReply) as error:
                log.info("self_summary_failed", agent_id=view.agent.id, error=str(error))
    if by_itself or not chosen.model:
        return await _folded(plan, own, compactor.window, compactor.retries)
    model = await compactor.catalog.chat_model(chosen.model)
    ratio = await compactor.ratios.of(view.agent.organization_id, model.info.handle)
    return await _folded(plan, model, ratio.estimated(model.info.context_window), compactor.retries)


async def _folded(plan: Plan, model: ChatModel, window: int, retries: RetryPolicy) -> str:
    """Ask for the notes over one part of the transcript after the other, each with the notes so far."""
    settings = _settings(plan, model, window)
    messages = plan.cut.leaving
    for overflows in range(OVERFLOWS + 1):
        most = max(int(window * PART_SHARE) >> overflows, 50)
        notes = clip(notes_of(messages), most // 3)
        parts = transcripts(
            messages, most - estimate_text(notes) - estimate_text(plan.settings.prompt or SUMMARY_PROMPT)
        )
        try:
            for part in parts or [""]:
                read = f"earlier notes: {notes}\n{part}" if notes else part
                notes = clip(await _answer(model, _request(plan, settings, read), retries), most // 3)
        except ModelContextOverflow:
            if overflows == OVERFLOWS:
                raise
        else:
            return notes
    raise AssertionError("the last overflow is raised")


async def _answer(model: ChatModel, prompt: Prompt, retries: RetryPolicy) -> str:
    """What the model writes.

    Raises:
        ModelError: it failed, or wrote nothing.
    """
    pieces: list[str] = []
    chunks: AsyncGenerator[object, None] = stream_with_retries(model, prompt, retries)
    async with aclosing(chunks):
        async for chunk in chunks:
            if isinstance(chunk, TextChunk):
                pieces.append(chunk.text)
    text = "".join(pieces).strip()
    if not text:
        raise ModelEmptyReply(f"{model.info.handle} wrote no summary")
    return text


def _settings(plan: Plan, model: ChatModel, window: int) -> GenerationSettings:
    settings = settings_of(plan.settings.model_settings or {}, model.info)
    limit = settings.max_output_tokens or max(256, min(2_000, window // 8))
    return replace(settings, max_output_tokens=limit, parallel_tool_calls=None)


def _asking(plan: Plan, default: str) -> str:
    return plan.settings.prompt or default.format(words=max(30, min(400, int(plan.summary_tokens * 0.6))))


def _request(plan: Plan, settings: GenerationSettings, read: str) -> Prompt:
    """Ask any model for the notes, over a transcript."""
    told: list[Turn] = []
    if plan.settings.prompt_acknowledgement:
        told += [_user(ACKNOWLEDGE_REQUEST), _acknowledged()]
    return Prompt(system=_asking(plan, SUMMARY_PROMPT), turns=(*told, _user(read)), settings=settings)


def _own_request(view: View, plan: Plan, settings: GenerationSettings, window: int) -> Prompt | None:
    """Ask the agent itself, over its own messages as they stand, which the provider has in its cache.

    None: they do not fit, however they are shortened.
    """
    asked: list[Turn] = [_user(_asking(plan, SELF_PROMPT))]
    if plan.settings.prompt_acknowledgement:
        asked += [_acknowledged(), _user(WRITE_NOW)]
    prompt = Prompt(
        system=view.prompt,
        turns=(*turns_of(plan.cut.leaving), *asked),
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


def tokens_of(messages: Sequence[Message]) -> int:
    """Estimated tokens of `messages` in a request."""
    return sum(estimate_turn(turn) for turn in turns_of(messages))
