"""What was sent to a model provider and what came back, and how long the parts of a run took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from reverie.domain.ids import AgentId, OrganizationId, RunId, StepId, TraceId
from reverie.domain.json import JsonObject

CallType: TypeAlias = Literal["agent_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to a provider and its reply, as the loop hands them over to be kept."""

    organization_id: OrganizationId
    agent_id: AgentId
    run_id: RunId
    step_id: StepId
    call_type: CallType = "agent_step"
    agent_tags: tuple[str, ...] = ()
    sealed_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The agent's; what they hold is taken out before anything is stored."""
    llm_config: JsonObject
    request: bytes
    """JSON, as it was sent."""
    response: JsonObject
    """The reply put together from its stream, in one form for all providers, or what went wrong."""
    latency_ns: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTrace:
    """An exchange as it was kept. Source: `ProviderTrace`, client SDK, read 2026-11."""

    id: TraceId
    organization_id: OrganizationId
    agent_id: AgentId
    run_id: RunId
    step_id: StepId
    call_type: CallType
    agent_tags: tuple[str, ...]
    llm_config: JsonObject
    request: JsonObject
    response: JsonObject
    latency_ns: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTime:
    """When a call ran, and for how long."""

    tool_call_id: str
    name: str
    status: Literal["success", "error"]
    start_ns: int
    """Since 1970."""
    took_ns: int
