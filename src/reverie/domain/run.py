"""Runs and steps: one request to an agent, and one round of model and tools within it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from reverie.domain.ids import AgentId, ConversationId, OrganizationId, RunId, StepId
from reverie.domain.json import JsonObject
from reverie.domain.stop_reason import RunStatus, StopReason
from reverie.domain.trace import ToolTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the provider reported them, added up over steps. None: not reported."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    step_count: int = 0
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    context_tokens: int | None = None
    """Estimate of what the context holds now; the latest one wins when added."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            step_count=self.step_count + other.step_count,
            cached_input_tokens=_plus(self.cached_input_tokens, other.cached_input_tokens),
            cache_write_tokens=_plus(self.cache_write_tokens, other.cache_write_tokens),
            reasoning_tokens=_plus(self.reasoning_tokens, other.reasoning_tokens),
            context_tokens=other.context_tokens if other.context_tokens is not None else self.context_tokens,
        )


def _plus(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One request to an agent, from its acceptance to its stop reason."""

    id: RunId
    organization_id: OrganizationId
    agent_id: AgentId
    conversation_id: ConversationId
    status: RunStatus = RunStatus.CREATED
    stop_reason: StopReason | None = None
    background: bool = False
    request: JsonObject = field(default_factory=dict)
    """The request's options as accepted, so that another process can go on with it."""
    metadata: JsonObject = field(default_factory=dict)
    usage: Usage = Usage()
    tools_used: tuple[str, ...] = ()
    """Names of the tools whose results the run stored, each once."""
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    error: JsonObject | None = None
    """`{"error_type", "message", "detail"}` of a failed run."""
    worker_id: str | None = None
    """Who drives it."""
    fence: int = 0
    """Raised by every claim and cancel; a driver that holds an older one may not commit."""
    cancel_requested: bool = False
    callback_url: str | None = None
    callback_sent_at: datetime | None = None
    callback_status_code: int | None = None
    callback_error: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    ttft_ns: int | None = None
    """From the start to the model's first delta."""
    total_duration_ns: int | None = None

    @property
    def group_id(self) -> str | None:
        """The group on whose behalf the agent acts."""
        return self.metadata.get("group_id")

    @property
    def reviewed(self) -> tuple[str, str] | None:
        """The agent and the conversation that a sleeptime run looks at."""
        if self.metadata.get("run_type") != "sleeptime":
            return None
        return self.metadata.get("main_agent_id", ""), self.metadata.get("main_conversation_id", "")

    @property
    def callers(self) -> tuple[str, ...]:
        """The agents that wait for this run, the first one first, when another agent asked for it."""
        return tuple(self.metadata.get("callers", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs a list holds; every given condition must hold."""

    run_id: str | None = None
    agent_ids: Sequence[str] | None = None
    conversation_id: str | None = None
    statuses: Sequence[RunStatus] | None = None
    stop_reason: StopReason | None = None
    background: bool | None = None
    project_id: str | None = None
    base_template_id: str | None = None
    tools_used: Sequence[str] = ()
    """Names or ids of tools; one of them is enough."""
    step_count: int | None = None
    step_count_is: Literal["eq", "gte", "lte"] = "eq"
    duration_ns: int | None = None
    duration_is: Literal["gt", "lt", "eq"] = "gt"
    slower_than_percentile: int | None = None
    """Of the durations of all runs that meet the other conditions."""
    start: datetime | None = None
    """Inclusive."""
    end: datetime | None = None
    """Inclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFilter:
    """Which steps a list holds; every given condition must hold."""

    run_id: str | None = None
    agent_id: str | None = None
    model: str | None = None
    """The model's name, or its handle."""
    feedback: Literal["positive", "negative"] | None = None
    has_feedback: bool | None = None
    tags: Sequence[str] = ()
    """One of them is enough."""
    project_id: str | None = None
    start: datetime | None = None
    """Inclusive."""
    end: datetime | None = None
    """Inclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One reply of the model and what its calls gave."""

    id: StepId
    organization_id: OrganizationId
    run_id: RunId
    agent_id: AgentId
    conversation_id: ConversationId
    status: Literal["pending", "success", "failed", "cancelled"] = "pending"
    stop_reason: StopReason | None = None
    model: str
    model_handle: str
    model_endpoint: str | None = None
    provider_name: str | None = None
    provider_category: str | None = None
    context_window_limit: int | None = None
    usage: Usage = Usage()
    error_type: str | None = None
    error_data: JsonObject | None = None
    feedback: Literal["positive", "negative"] | None = None
    tags: tuple[str, ...] = ()
    project_id: str | None = None
    model_ns: int | None = None
    """Time in the model request."""
    tools_ns: int | None = None
    """Time in the tools."""
    tool_times: tuple[ToolTime, ...] | None = None
    """When each call ran; None until all have."""
    created_at: datetime
