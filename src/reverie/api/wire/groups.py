"""Groups on the wire. Source: `Group`, `GroupCreate`, `GroupUpdate`, API description, read 2026-11."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, changes_of
from reverie.api.wire.identities import AgentIdText, BlockIdText
from reverie.api.wire.messages import SendMessages
from reverie.domain.errors import MalformedInput
from reverie.domain.group import DEFAULT_BUFFER, DEFAULT_TERMINATION_TOKEN, Group, GroupChanges, GroupDraft, ManagerType
from reverie.domain.ids import AgentId, BlockId

Turns: TypeAlias = Annotated[int, Field(ge=1, le=1000)]
Frequency: TypeAlias = Annotated[int, Field(ge=0, le=MOST)]
Length: TypeAlias = Annotated[int, Field(ge=1, le=MOST)]


class GroupState(TypedDict):
    """Agents that work together."""

    id: str
    manager_type: Literal["round_robin", "supervisor", "dynamic", "sleeptime", "voice_sleeptime", "swarm"]
    agent_ids: list[str]
    description: str
    project_id: str | None
    template_id: str | None
    base_template_id: str | None
    deployment_id: str | None
    shared_block_ids: list[str]
    manager_agent_id: str | None
    termination_token: str | None
    max_turns: int | None
    sleeptime_agent_frequency: int | None
    max_message_buffer_length: int | None
    min_message_buffer_length: int | None
    turns_counter: int | None
    last_processed_message_id: str | None
    hidden: bool | None


def group_state(group: Group) -> GroupState:
    """The group as clients read it."""
    return {
        "id": group.id,
        "manager_type": group.manager_type.value,
        "agent_ids": list(group.agent_ids),
        "description": group.description,
        "project_id": group.project_id,
        "template_id": group.template_id,
        "base_template_id": group.base_template_id,
        "deployment_id": group.deployment_id,
        "shared_block_ids": list(group.shared_block_ids),
        "manager_agent_id": group.manager_agent_id,
        "termination_token": group.termination_token,
        "max_turns": group.max_turns,
        "sleeptime_agent_frequency": group.sleeptime_agent_frequency,
        "max_message_buffer_length": group.max_message_buffer_length,
        "min_message_buffer_length": group.min_message_buffer_length,
        "turns_counter": group.turns_counter,
        "last_processed_message_id": group.last_processed_message_id,
        "hidden": group.hidden,
    }


class RoundRobinConfig(Body):
    """Each member answers in turn."""

    manager_type: Literal["round_robin"] = "round_robin"
    max_turns: Turns | None = None


class SupervisorConfig(Body):
    """One agent answers, and asks the others."""

    manager_type: Literal["supervisor"] = "supervisor"
    manager_agent_id: AgentIdText


class DynamicConfig(Body):
    """One agent chooses who answers next."""

    manager_type: Literal["dynamic"] = "dynamic"
    manager_agent_id: AgentIdText
    termination_token: str | None = Field(default=DEFAULT_TERMINATION_TOKEN, min_length=1)
    max_turns: Turns | None = None


class SleeptimeConfig(Body):
    """The members look after the memory of one agent."""

    manager_type: Literal["sleeptime"] = "sleeptime"
    manager_agent_id: AgentIdText
    sleeptime_agent_frequency: Frequency | None = None


class VoiceSleeptimeConfig(Body):
    """Likewise, for an agent whose context is kept short."""

    manager_type: Literal["voice_sleeptime"] = "voice_sleeptime"
    manager_agent_id: AgentIdText
    max_message_buffer_length: Length | None = DEFAULT_BUFFER[0]
    min_message_buffer_length: Length | None = DEFAULT_BUFFER[1]


ManagerConfig: TypeAlias = Annotated[
    RoundRobinConfig | SupervisorConfig | DynamicConfig | SleeptimeConfig | VoiceSleeptimeConfig,
    Field(discriminator="manager_type"),
]


class RoundRobinChanges(Body):
    """Other settings of a round robin."""

    manager_type: Literal["round_robin"] = "round_robin"
    max_turns: Turns | None = None


class SupervisorChanges(Body):
    """Another supervisor."""

    manager_type: Literal["supervisor"] = "supervisor"
    manager_agent_id: AgentIdText | None = None


class DynamicChanges(Body):
    """Other settings of a dynamic group."""

    manager_type: Literal["dynamic"] = "dynamic"
    manager_agent_id: AgentIdText | None = None
    termination_token: str | None = Field(default=None, min_length=1)
    max_turns: Turns | None = None


class SleeptimeChanges(Body):
    """Other settings of a sleeptime group."""

    manager_type: Literal["sleeptime"] = "sleeptime"
    manager_agent_id: AgentIdText | None = None
    sleeptime_agent_frequency: Frequency | None = None


class VoiceSleeptimeChanges(Body):
    """Other settings of a voice agent's sleeptime group."""

    manager_type: Literal["voice_sleeptime"] = "voice_sleeptime"
    manager_agent_id: AgentIdText | None = None
    max_message_buffer_length: Length | None = None
    min_message_buffer_length: Length | None = None


ManagerChanges: TypeAlias = Annotated[
    RoundRobinChanges | SupervisorChanges | DynamicChanges | SleeptimeChanges | VoiceSleeptimeChanges,
    Field(discriminator="manager_type"),
]


class GroupCreate(Body):
    """A group to be made; without settings its members answer in turn."""

    agent_ids: list[AgentIdText]
    description: str
    manager_config: ManagerConfig = Field(default_factory=RoundRobinConfig)
    project_id: str | None = None
    shared_block_ids: list[BlockIdText] = Field(default_factory=list)
    hidden: bool | None = None

    def to_domain(self, project_id: str | None = None) -> GroupDraft:
        """The draft, which is stored whole or not at all; `project_id` where the body names no other."""
        settings: dict[str, Any] = self.manager_config.model_dump()
        return GroupDraft(
            **{**settings, "manager_type": ManagerType(settings["manager_type"])},
            description=self.description,
            agent_ids=tuple(dict.fromkeys(AgentId(item) for item in self.agent_ids)),
            shared_block_ids=tuple(dict.fromkeys(BlockId(item) for item in self.shared_block_ids)),
            project_id=self.project_id or project_id,
            hidden=self.hidden,
        )


class GroupUpdate(Body):
    """A partial update of a group; what is not sent, or null, stays, and lists replace what is there."""

    agent_ids: list[AgentIdText] | None = None
    description: str | None = None
    manager_config: ManagerChanges | None = None
    project_id: str | None = None
    shared_block_ids: list[BlockIdText] | None = None

    def to_domain(self) -> GroupChanges:
        """The changes that operations apply."""
        given = self.given()
        for name in ("agent_ids", "shared_block_ids"):
            if given.get(name) is not None:
                given[name] = list(dict.fromkeys(given[name]))
        if self.manager_config is not None:
            given |= self.manager_config.given()
            given["manager_type"] = ManagerType(self.manager_config.manager_type)
        return changes_of(GroupChanges, given)


class GroupMessages(SendMessages):
    """A message to a group. Its answer is that of several runs, so it cannot be followed in the background."""

    streaming: bool | None = None
    stream_tokens: bool = False
    include_pings: bool = False
    background: bool = False

    def checked(self, streaming: bool) -> "GroupMessages":
        """This request, once its options fit.

        Raises:
            MalformedInput: options of streams without a stream, or an answer in the background.
        """
        if self.background:
            raise MalformedInput("background", "a group answers with several runs; follow each of them by its id")
        if self.stream_tokens and not streaming:
            raise MalformedInput("stream_tokens", "stream_tokens needs a stream; send it to …/messages/stream")
        return self
