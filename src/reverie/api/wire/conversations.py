"""Conversations on the wire. Source: `Conversation` and its params, client SDK, read 2026-11."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, Moment, changes_of
from reverie.api.wire.compaction import CompactionSettingsBody
from reverie.api.wire.models import ModelSettingsBody, guessed_model, model_settings_state
from reverie.domain.agent import CompactionChanges
from reverie.domain.conversation import Conversation
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.operations.conversations import Compacted, ConversationChanges, ConversationDraft


class ConversationState(TypedDict):
    """A thread of an agent."""

    id: str
    agent_id: str
    summary: str | None
    description: str | None
    in_context_message_ids: list[str]
    isolated_block_ids: list[str]
    model: str | None
    model_settings: JsonObject | None
    context_window_limit: int | None
    archived: bool
    archived_at: datetime | None
    last_message_at: datetime | None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class CompactionState(TypedDict):
    """What a compaction did."""

    summary: str
    num_messages_before: int
    num_messages_after: int


def compaction_state(done: Compacted) -> CompactionState:
    """What a compaction did, as clients read it."""
    return {
        "summary": done.summary,
        "num_messages_before": done.messages_before,
        "num_messages_after": done.messages_after,
    }


def conversation_state(
    conversation: Conversation, in_context: Sequence[str] = (), model: ModelInfo | None = None
) -> ConversationState:
    """The conversation as clients read it; `model` is known facts on the model it overrides with."""
    settings = conversation.model_settings
    if settings is not None:
        known = model or guessed_model(conversation.model or "openai/unknown")
        settings = model_settings_state(settings, known)
    metadata = conversation.metadata
    return {
        "id": conversation.id,
        "agent_id": conversation.agent_id,
        "summary": conversation.summary,
        "description": metadata.get("description"),
        "in_context_message_ids": list(in_context),
        "isolated_block_ids": list(conversation.isolated_block_ids),
        "model": conversation.model,
        "model_settings": settings,
        "context_window_limit": metadata.get("context_window_limit"),
        "archived": conversation.archived,
        "archived_at": conversation.archived_at,
        "last_message_at": conversation.last_message_at,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "created_by_id": conversation.created_by_id,
        "last_updated_by_id": conversation.last_updated_by_id,
    }


class ConversationCreate(Body):
    """A thread to be made."""

    agent_id: str | None = None
    summary: str | None = None
    description: str | None = None
    model: str | None = None
    model_settings: ModelSettingsBody | None = None
    context_window_limit: int | None = Field(default=None, ge=1, le=MOST)
    isolated_block_labels: list[str] | None = None
    hidden: bool | None = None

    def to_domain(self) -> ConversationDraft:
        """The draft that operations make a conversation of."""
        return ConversationDraft(
            summary=self.summary,
            model=self.model,
            model_settings=None if self.model_settings is None else self.model_settings.to_domain(),
            description=self.description,
            context_window_limit=self.context_window_limit,
            isolated_block_labels=tuple(self.isolated_block_labels or ()),
            hidden=bool(self.hidden),
        )


class ConversationUpdate(Body):
    """A partial update of a thread."""

    summary: str | None = None
    description: str | None = None
    model: str | None = None
    model_settings: ModelSettingsBody | None = None
    context_window_limit: int | None = Field(default=None, ge=1, le=MOST)
    archived: bool | None = None
    last_message_at: Moment | None = None

    def to_domain(self) -> ConversationChanges:
        """The changes that operations apply."""
        given = self.given()
        if self.model_settings is not None:
            given["model_settings"] = self.model_settings.to_domain()
        return changes_of(ConversationChanges, given)


class Compact(Body):
    """How to compact now."""

    compaction_settings: CompactionSettingsBody | None = None
    agent_id: str | None = None

    def changes(self) -> CompactionChanges | None:
        """What is to differ from the agent's own settings."""
        return None if self.compaction_settings is None else self.compaction_settings.to_changes()
