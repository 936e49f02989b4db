"""What a run tells its readers, in order.

Deltas come while the model writes and are not durable. Every other event comes only after
the transaction that holds what it announces has committed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from reverie.domain.ids import MessageId, RunId, StepId
from reverie.domain.message import Message
from reverie.domain.run import Usage
from reverie.domain.stop_reason import StopReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a message that will be saved under the same id and otid."""

    run_id: RunId
    step_id: StepId
    message_id: MessageId
    otid: str
    date: datetime | None = None
    """When the message was begun; with the first piece only, of each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta(Delta):
    """A piece of what the agent says."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta(Delta):
    """A piece of the model's reasoning."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta(Delta):
    """A piece of a call; `name` comes with the first piece only."""

    tool_call_id: str
    name: str | None
    arguments: str
    requires_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSaved:
    """A message was committed."""

    message: Message
    streamed: bool = False
    """Its deltas were sent before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailure:
    """Why a run failed, in the words clients look for."""

    error_type: str
    message: str
    detail: str | None = None
    http_status: int = 500
    """What a blocking request answers with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The last event of every run."""

    run_id: RunId
    stop_reason: StopReason
    usage: Usage
    failure: RunFailure | None = None
    run_ids: tuple[RunId, ...] = ()
    """All runs that were read one after the other, where there were several."""


Event: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | MessageSaved | RunEnded
