"""What can be wrong with an agent's history, when it was damaged outside of this server's hands."""

from dataclasses import dataclass
from enum import StrEnum

from reverie.domain.ids import ConversationId, MessageId, RunId


class FaultKind(StrEnum):
    """One thing that can be wrong."""

    DEAD_RUN = "dead_run"
    """A run without an end that nobody drives."""
    STALE_CLAIM = "stale_claim"
    """A conversation held by a run that has ended or is not there."""
    MISSING_PROMPT = "missing_prompt"
    """A conversation without a compiled prompt in its context."""
    STRAY_PROMPT = "stray_prompt"
    """A prompt in context beside the conversation's own."""
    CALL_WITHOUT_RESULT = "call_without_result"
    RESULT_WITHOUT_CALL = "result_without_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong, and how it is mended."""

    kind: FaultKind
    conversation_id: ConversationId
    run_id: RunId | None = None
    message_id: MessageId | None = None
    tool_call_id: str | None = None
    remedy: str
