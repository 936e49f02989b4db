"""Why a run stopped, and what that makes of its status."""

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """Where a run stands. Source: `Run.status` of the client SDK, read 2026-11."""

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether a run in this status never changes again."""
        return self in _FINAL


_FINAL: Final = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


class StopReason(StrEnum):
    """Why a run ended. Source: `StopReasonType` of the client SDK, read 2026-11."""

    END_TURN = "end_turn"
    ERROR = "error"
    LLM_API_ERROR = "llm_api_error"
    INVALID_LLM_RESPONSE = "invalid_llm_response"
    INVALID_TOOL_CALL = "invalid_tool_call"
    MAX_STEPS = "max_steps"
    MAX_TOKENS_EXCEEDED = "max_tokens_exceeded"
    NO_TOOL_CALL = "no_tool_call"
    TOOL_RULE = "tool_rule"
    CANCELLED = "cancelled"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    REQUIRES_APPROVAL = "requires_approval"
    CONTEXT_WINDOW_OVERFLOW_IN_SYSTEM_PROMPT = "context_window_overflow_in_system_prompt"

    @property
    def run_status(self) -> RunStatus:
        """The final status of a run that stopped for this reason."""
        if self in _COMPLETING:
            return RunStatus.COMPLETED
        return RunStatus.CANCELLED if self is StopReason.CANCELLED else RunStatus.FAILED


_COMPLETING: Final = frozenset(
    {StopReason.END_TURN, StopReason.MAX_STEPS, StopReason.TOOL_RULE, StopReason.REQUIRES_APPROVAL}
)
