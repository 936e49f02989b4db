"""What a client sends into a conversation, and how it wants the turn to go."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from reverie.domain.content import Part, TextPart, ToolReturn
from reverie.domain.json import JsonObject
from reverie.domain.message import Decision
from reverie.domain.tool import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SayInput:
    """A message of the user, of the system, or words put into the agent's mouth."""

    role: Literal["user", "system", "assistant"]
    parts: tuple[Part, ...]
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is said: there are neither words nor anything else."""
        return all(isinstance(part, TextPart) and not part.text for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalInput:
    """Answers to gated calls: decisions, and results of calls the client ran itself.

    The old form (one `approve` for the whole request) has `approve_all` and no items.
    """

    decisions: tuple[Decision, ...] = ()
    returns: tuple[ToolReturn, ...] = ()
    approve_all: bool | None = None
    reason: str | None = None
    request_id: str | None = None
    otid: str | None = None
    group_id: str | None = None


MessageInput: TypeAlias = SayInput | ApprovalInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSkill:
    """A capability of the client's environment, named in the prompt of this request."""

    name: str
    description: str
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOptions:
    """How one request wants its turn; nothing of it is stored with the agent."""

    max_steps: int = 50
    override_model: str | None = None
    override_system: str | None = None
    client_tools: tuple[ToolSpec, ...] = ()
    client_skills: tuple[ClientSkill, ...] = ()
    enable_thinking: bool = True
    include_compaction_messages: bool = False
    settings: JsonObject = field(default_factory=dict)
    """Generation settings by the API's names that override those of agent and conversation."""
    top_logprobs: int | None = None
    note: str | None = None
    """What the model is told at the end of its prompt, in this request only."""


BusyPolicy: TypeAlias = Literal["enqueue", "reject", "interrupt"]
"""What becomes of a message while another run holds its conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One message request, decoded."""

    inputs: tuple[MessageInput, ...]
    options: TurnOptions = TurnOptions()
    background: bool = False
    when_busy: BusyPolicy | None = None
    """None: as the agent has it, or else the server."""
    callback_url: str | None = None
    reader: JsonObject = field(default_factory=dict)
    """How the one who asked wants to see the run; kept with it, so that who resumes sees the same."""
    metadata: JsonObject = field(default_factory=dict)
    """Kept with the run: what it belongs to."""
