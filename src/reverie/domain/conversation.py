"""Conversations: threads of one agent that share its memory and have contexts of their own."""

from dataclasses import dataclass, field
from datetime import datetime

from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId
from reverie.domain.json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A thread of messages. Every agent has one of its own whose id is the agent's id."""

    id: ConversationId
    organization_id: OrganizationId
    agent_id: AgentId
    summary: str | None = None
    model: str | None = None
    """Overrides the agent's model here."""
    model_settings: JsonObject | None = None
    isolated_block_ids: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    active_run_id: RunId | None = None
    """The one run that may write here now."""
    prompt_id: MessageId | None = None
    """The message that holds the compiled prompt; None until the first compilation."""
    prompt_fingerprint: str | None = None
    """Of everything the prompt was compiled from; equal means the prompt still stands."""
    archived: bool = False
    archived_at: datetime | None = None
    hidden: bool = False
    """Left out of lists."""
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    @property
    def is_default(self) -> bool:
        """Whether this is the agent's own thread."""
        return str(self.id) == str(self.agent_id)
