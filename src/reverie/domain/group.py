"""Groups: agents that work together, and the policy by which they take turns."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from reverie.domain.errors import InvalidInput
from reverie.domain.ids import AgentId, BlockId, ConversationId, GroupId, MessageId, OrganizationId
from reverie.domain.unset import UNSET, Unset

DEFAULT_TERMINATION_TOKEN: Final = "DONE!"
DEFAULT_FREQUENCY: Final = 5
"""Turns of a main agent between two of its sleeptime agent, where nobody says otherwise."""
DEFAULT_BUFFER: Final = (30, 15)
"""Most messages in a voice agent's context before older ones leave it, and how many stay then."""


class ManagerType(StrEnum):
    """Who decides which member speaks. Source: `ManagerType`, API description, read 2026-11."""

    ROUND_ROBIN = "round_robin"
    """Each member in turn."""
    SUPERVISOR = "supervisor"
    """One agent speaks for the group and asks the others through a tool."""
    DYNAMIC = "dynamic"
    """One agent chooses the next speaker."""
    SLEEPTIME = "sleeptime"
    """The members look after the memory of one agent while it rests."""
    VOICE_SLEEPTIME = "voice_sleeptime"
    """Likewise, for an agent whose context is kept short."""
    SWARM = "swarm"
    """Named by the API, which has no way to make one."""

    @property
    def is_sleeptime(self) -> bool:
        """Whether the members work in the background."""
        return self in (ManagerType.SLEEPTIME, ManagerType.VOICE_SLEEPTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Agents that work together. Source: `Group` of the API description, read 2026-11."""

    id: GroupId
    organization_id: OrganizationId
    manager_type: ManagerType
    description: str = ""
    agent_ids: tuple[AgentId, ...] = ()
    """The members, in the order in which they speak; the managing agent is not among them."""
    shared_block_ids: tuple[BlockId, ...] = ()
    """Blocks that every agent of the group has."""
    manager_agent_id: AgentId | None = None
    """The supervisor, the one who chooses speakers, or the agent that sleeptime members look after."""
    termination_token: str | None = None
    max_turns: int | None = None
    """Most turns of members for one message; None: one for each member."""
    sleeptime_agent_frequency: int | None = None
    """Turns of the main agent between two of the members. None: after each; 0: never."""
    max_message_buffer_length: int | None = None
    min_message_buffer_length: int | None = None
    turns_counter: int | None = None
    """Turns of the main agent so far, in all its conversations; derived. None: not a sleeptime group."""
    last_processed_message_id: MessageId | None = None
    """Up to where the members have read; derived."""
    hidden: bool | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

    @property
    def everyone(self) -> tuple[AgentId, ...]:
        """Members and managing agent, each once."""
        manager = () if self.manager_agent_id is None else (self.manager_agent_id,)
        return tuple(dict.fromkeys((*manager, *self.agent_ids)))

    @property
    def speakers(self) -> tuple[AgentId, ...]:
        """The members that may be given the word."""
        return tuple(item for item in self.agent_ids if item != self.manager_agent_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDraft:
    """A group to be made."""

    manager_type: ManagerType = ManagerType.ROUND_ROBIN
    description: str
    agent_ids: tuple[AgentId, ...] = ()
    shared_block_ids: tuple[BlockId, ...] = ()
    manager_agent_id: AgentId | None = None
    termination_token: str | None = None
    max_turns: int | None = None
    sleeptime_agent_frequency: int | None = None
    max_message_buffer_length: int | None = None
    min_message_buffer_length: int | None = None
    hidden: bool | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanges:
    """A partial update of a group. Lists replace what is there."""

    manager_type: ManagerType | Unset = UNSET
    """Of the settings that are sent; a group keeps its own."""
    description: str | Unset = UNSET
    agent_ids: tuple[AgentId, ...] | Unset = UNSET
    shared_block_ids: tuple[BlockId, ...] | Unset = UNSET
    manager_agent_id: AgentId | Unset = UNSET
    termination_token: str | Unset = UNSET
    max_turns: int | Unset = UNSET
    sleeptime_agent_frequency: int | Unset = UNSET
    max_message_buffer_length: int | Unset = UNSET
    min_message_buffer_length: int | Unset = UNSET
    project_id: str | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFilter:
    """Which groups a list holds; every given condition must hold."""

    manager_type: ManagerType | None = None
    project_id: str | None = None
    agent_id: AgentId | None = None
    """Only groups that this agent is a member or the manager of."""
    include_hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a sleeptime agent has to look at: a conversation of the main agent, after some message."""

    group: Group
    agent_id: AgentId
    """The sleeptime agent."""
    conversation_id: ConversationId
    turns: int
    """Turns of the conversation when this was read."""
    reviewed_turns: int
    """Turns up to the review before, which is how one that was begun meanwhile is noticed."""
    after: MessageId | None
    """The last message of the last review that ended well; None: there was none."""


def check_buffer(most: int | None, least: int | None) -> None:
    """Refuse lengths that cannot be.

    Raises:
        InvalidInput: fewer messages would stay than may be kept at most.
    """
    longest = DEFAULT_BUFFER[0] if most is None else most
    shortest = DEFAULT_BUFFER[1] if least is None else least
    if shortest >= longest:
        raise InvalidInput(
            f"min_message_buffer_length ({shortest}) must be smaller than max_message_buffer_length ({longest})"
        )
