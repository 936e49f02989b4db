"""Runs and steps on the wire. Source: `Run`, `Step` and kin, client SDK, read 2026-11."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from orjson import loads
from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.encode.json import dumps
from reverie.api.encode.messages import wire_list
from reverie.api.encode.sse import usage_event
from reverie.api.encode.views import MESSAGE_TYPES, MessageType
from reverie.api.wire.base import Body, Metadata
from reverie.api.wire.readers import reader_of, view_of
from reverie.domain.json import JsonObject
from reverie.domain.message import Message
from reverie.domain.run import Run, Step, Usage
from reverie.domain.stop_reason import RunStatus, StopReason


class RequestConfig(TypedDict):
    """How the run's answer was asked for."""

    use_assistant_message: bool
    assistant_message_tool_name: str
    assistant_message_tool_kwarg: str
    include_return_message_types: list[MessageType] | None


class RunState(TypedDict):
    """A run."""

    id: str
    agent_id: str
    conversation_id: str | None
    status: RunStatus
    stop_reason: StopReason | None
    background: bool
    metadata: Metadata
    request_config: RequestConfig | None
    base_template_id: str | None
    callback_url: str | None
    callback_sent_at: datetime | None
    callback_status_code: int | None
    callback_error: str | None
    created_at: datetime
    completed_at: datetime | None
    ttft_ns: int | None
    total_duration_ns: int | None


class StepState(TypedDict):
    """A step."""

    id: str
    agent_id: str | None
    run_id: str | None
    origin: str | None
    provider_id: str | None
    provider_name: str | None
    provider_category: str | None
    model: str | None
    model_handle: str | None
    model_endpoint: str | None
    context_window_limit: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    completion_tokens_details: JsonObject | None
    prompt_tokens_details: JsonObject | None
    stop_reason: StopReason | None
    status: Literal["pending", "success", "failed", "cancelled"]
    error_type: str | None
    error_data: JsonObject | None
    feedback: Literal["positive", "negative"] | None
    tags: list[str]
    tid: str | None
    trace_id: str | None
    request_id: str | None
    project_id: str | None
    messages: Annotated[list[JsonObject], Field(max_length=0)]
    """Deprecated; the step's messages have a path of their own."""


class PromptTokensDetails(TypedDict):
    """Where the prompt's tokens came from."""

    cached_tokens: int | None
    cache_read_tokens: int | None
    cache_creation_tokens: int | None


class CompletionTokensDetails(TypedDict):
    """What the completion's tokens were."""

    reasoning_tokens: int | None


class UsageState(TypedDict):
    """What a run used."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None
    completion_tokens_details: CompletionTokensDetails | None


class StepMetrics(TypedDict):
    """How long a step took."""

    id: str
    agent_id: str | None
    run_id: str | None
    provider_id: str | None
    step_start_ns: int | None
    llm_request_start_ns: int | None
    llm_request_ns: int | None
    tool_execution_ns: int | None
    step_ns: int | None
    project_id: str | None
    template_id: str | None
    base_template_id: str | None


class RunMetrics(TypedDict):
    """How long a run took."""

    id: str
    agent_id: str | None
    project_id: str | None
    run_start_ns: int | None
    run_ns: int | None
    num_steps: int | None
    tools_used: list[str] | None
    template_id: str | None
    base_template_id: str | None


def _failure(run: Run) -> JsonObject:
    """Why it failed, like the event of a stream; for who comes later there is no other place."""
    if run.error is None:
        return {}
    told = {name: run.error[name] for name in ("error_type", "message", "detail")}
    return {"error": {"message_type": "error_message", "run_id": run.id, **told}}


def run_outcome(run: Run, messages: Sequence[Message]) -> JsonObject:
    """What a callback tells of an ended run in its metadata: all messages of it, and how it ended."""
    result: JsonObject = {
        "messages": wire_list(messages, view_of({**reader_of(run), "include_compaction_messages": True})),
        "stop_reason": {"message_type": "stop_reason", "stop_reason": run.stop_reason},
        "usage": usage_event(run.usage, [run.id]),
    }
    found: JsonObject = loads(dumps({"result": result, **_failure(run)}))
    return found


def run_state(run: Run) -> RunState:
    """The run as clients read it."""
    view = view_of(reader_of(run))
    return {
        "id": run.id,
        "agent_id": run.agent_id,
        "conversation_id": None if run.conversation_id.startswith("agent-") else run.conversation_id,
        "status": run.status,
        "stop_reason": run.stop_reason,
        "background": run.background,
        "metadata": {**run.metadata, **_failure(run)},
        "request_config": {
            "use_assistant_message": view.use_assistant_message,
            "assistant_message_tool_name": view.tool_name,
            "assistant_message_tool_kwarg": view.tool_kwarg,
            "include_return_message_types": None
            if view.types is None
            else [kind for kind in MESSAGE_TYPES if kind in view.types],
        },
        "base_template_id": run.base_template_id,
        "callback_url": run.callback_url,
        "callback_sent_at": run.callback_sent_at,
        "callback_status_code": run.callback_status_code,
        "callback_error": run.callback_error,
        "created_at": run.created_at,
        "completed_at": run.completed_at,
        "ttft_ns": run.ttft_ns,
        "total_duration_ns": run.total_duration_ns,
    }


def step_state(step: Step) -> StepState:
    """The step as clients read it."""
    usage = step.usage
    return {
        "id": step.id,
        "agent_id": step.agent_id,
        "run_id": step.run_id,
        "origin": None,
        "provider_id": None,
        "provider_name": step.provider_name,
        "provider_category": step.provider_category,
        "model": step.model,
        "model_handle": step.model_handle,
        "model_endpoint": step.model_endpoint,
        "context_window_limit": step.context_window_limit,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "completion_tokens_details": _named(reasoning_tokens=usage.reasoning_tokens),
        "prompt_tokens_details": _named(
            cached_tokens=usage.cached_input_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_creation_tokens=usage.cache_write_tokens,
        ),
        "stop_reason": step.stop_reason,
        "status": step.status,
        "error_type": step.error_type,
        "error_data": step.error_data,
        "feedback": step.feedback,
        "tags": list(step.tags),
        "tid": None,
        "trace_id": None,
        "request_id": None,
        "project_id": step.project_id,
        "messages": [],
    }


def _named(**counts: int | None) -> JsonObject | None:
    return None if all(count is None for count in counts.values()) else dict(counts)


def usage_state(usage: Usage) -> UsageState:
    """The usage of a run as clients read it."""
    cached, written, reasoning = usage.cached_input_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    return {
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": None
        if cached is None and written is None
        else {"cached_tokens": cached, "cache_read_tokens": cached, "cache_creation_tokens": written},
        "completion_tokens_details": None if reasoning is None else {"reasoning_tokens": reasoning},
    }


def step_metrics(step: Step, run: Run) -> StepMetrics:
    """How long the step took, as clients read it."""
    start_ns = int(step.created_at.timestamp() * 1_000_000_000)
    spent = [part for part in (step.model_ns, step.tools_ns) if part is not None]
    return {
        "id": step.id,
        "agent_id": step.agent_id,
        "run_id": step.run_id,
        "provider_id": None,
        "step_start_ns": start_ns,
        "llm_request_start_ns": start_ns,
        "llm_request_ns": step.model_ns,
        "tool_execution_ns": step.tools_ns,
        "step_ns": sum(spent) if spent else None,
        "project_id": step.project_id,
        "template_id": run.template_id,
        "base_template_id": run.base_template_id,
    }


def run_metrics(run: Run, tools_used: Sequence[str]) -> RunMetrics:
    """How long the run took and which tools it used, by their ids, as clients read it."""
    return {
        "id": run.id,
        "agent_id": run.agent_id,
        "project_id": run.project_id,
        "run_start_ns": int(run.created_at.timestamp() * 1_000_000_000),
        "run_ns": run.total_duration_ns,
        "num_steps": run.usage.step_count,
        "tools_used": list(tools_used) or None,
        "template_id": run.template_id,
        "base_template_id": run.base_template_id,
    }


class Feedback(Body):
    """What a person thought of a step."""

    feedback: Literal["positive", "negative"] | None = None
    tags: list[str] | None = None
