"""The row of a step: one request to the model, and what became of it."""

from datetime import datetime
from typing import Literal

from reverie.domain.events import RunFailure
from reverie.domain.provider import ModelInfo
from reverie.domain.run import Step, Usage
from reverie.domain.stop_reason import StopReason
from reverie.loop.draft import Draft
from reverie.loop.state import TurnState


def usage_of(draft: Draft) -> Usage:
    """What the provider counted, or that it was asked once."""
    told = draft.usage
    if told is None:
        return Usage(step_count=1)
    return Usage(
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
        total_tokens=told.prompt_tokens + told.completion_tokens,
        step_count=1,
        cached_input_tokens=told.cached_input_tokens,
        cache_write_tokens=told.cache_write_tokens,
        reasoning_tokens=told.reasoning_tokens,
        context_tokens=told.prompt_tokens + told.completion_tokens,
    )


def step_of(
    state: TurnState,
    draft: Draft,
    now: datetime,
    *,
    model: ModelInfo | None,
    window: int | None,
    ends: StopReason | None,
    failure: RunFailure | None = None,
) -> Step:
    """A step that wrote `draft` by now; `ends` if the run ends with it. `model`: None when it was cut off."""
    run, view = state.run, state.view
    return Step(
        id=draft.step_id,
        organization_id=run.organization_id,
        run_id=run.id,
        agent_id=run.agent_id,
        conversation_id=run.conversation_id,
        status=_status(draft, ends, failure),
        stop_reason=ends,
        model=model.name if model else view.model_handle.partition("/")[2],
        model_handle=model.handle if model else view.model_handle,
        model_endpoint=model.endpoint if model else None,
        provider_name=model.provider_name if model else None,
        provider_category=model.category if model else None,
        context_window_limit=window,
        usage=usage_of(draft),
        error_type=None if failure is None else failure.error_type,
        error_data=None if failure is None else {"message": failure.message, "detail": failure.detail},
        project_id=view.agent.project_id,
        model_ns=int((now - draft.started_at).total_seconds() * 1e9),
        created_at=draft.started_at,
    )


def _status(
    draft: Draft, ends: StopReason | None, failure: RunFailure | None
) -> Literal["pending", "success", "failed", "cancelled"]:
    if failure is not None:
        return "failed"
    if ends is StopReason.CANCELLED:
        return "cancelled"
    return "pending" if ends is None and draft.has_calls else "success"
