"""How a reader wants to see messages."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

MessageType: TypeAlias = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
    "summary_message",
    "event_message",
]

MESSAGE_TYPES: Final[tuple[MessageType, ...]] = get_args(MessageType)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a reader wants to see messages."""

    use_assistant_message: bool = True
    """Show the call of `tool_name` as what it says, and hide its result."""
    tool_name: str = "send_message"
    tool_kwarg: str = "message"
    types: frozenset[str] | None = None
    """Only these message types; None: all."""
    compaction: bool = True
    """Show summaries and events too."""

    def shows(self, message_type: str) -> bool:
        """Whether the reader wants messages of this type."""
        return self.types is None or message_type in self.types


LIST_VIEW: Final = View()
