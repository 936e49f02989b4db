"""Found messages, as answers of searches hold them. Source: `MessageSearchResponse`, client SDK, read 2026-11."""

from datetime import datetime
from typing import Literal, TypeAlias

from typing_extensions import TypedDict

from reverie.api.encode.message_types import Content
from reverie.api.encode.messages import wire_messages
from reverie.api.encode.views import LIST_VIEW
from reverie.domain.message import Message


class _Hit(TypedDict):
    message_id: str
    agent_id: str | None
    conversation_id: str | None
    created_at: datetime


class SystemHit(_Hit):
    """Found instructions."""

    message_type: Literal["system_message"]
    content: str


class UserHit(_Hit):
    """Found words of a user."""

    message_type: Literal["user_message"]
    content: Content


class AssistantHit(_Hit):
    """Found words of the agent."""

    message_type: Literal["assistant_message"]
    content: str


class ReasoningHit(_Hit):
    """A found thought."""

    message_type: Literal["reasoning_message"]
    reasoning: str


MessageHit: TypeAlias = SystemHit | UserHit | AssistantHit | ReasoningHit


def message_hit(message: Message) -> MessageHit | None:
    """A found message as clients read it; None for one that holds no words."""
    for wire in wire_messages(message, LIST_VIEW):
        common: _Hit = {
            "message_id": message.id,
            "agent_id": message.agent_id,
            "conversation_id": None if str(message.conversation_id) == message.agent_id else message.conversation_id,
            "created_at": message.created_at,
        }
        match wire["message_type"]:
            case "system_message":
                return {**common, "message_type": "system_message", "content": wire["content"]}
            case "user_message":
                return {**common, "message_type": "user_message", "content": wire["content"]}
            case "assistant_message":
                return {**common, "message_type": "assistant_message", "content": wire["content"]}
            case "reasoning_message":
                return {**common, "message_type": "reasoning_message", "reasoning": wire["reasoning"]}
            case _:
                continue
    return None
