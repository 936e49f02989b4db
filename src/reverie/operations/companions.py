"""The agent that looks after another one's memory, as it is made with `enable_sleeptime`."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from reverie.domain.agent import Agent, AgentDraft, AgentType
from reverie.domain.block import BlockDraft
from reverie.domain.errors import InvalidInput
from reverie.domain.group import DEFAULT_BUFFER, DEFAULT_FREQUENCY, Group, ManagerType
from reverie.domain.ids import AgentId, GroupId, make_id
from reverie.domain.instructions import instructions_of

PERSONA_LABEL: Final = "memory_persona"
SLEEPTIME_TYPES: Final = frozenset({AgentType.SLEEPTIME, AgentType.VOICE_SLEEPTIME})
_PERSONA: Final = (
    "I keep the memory of my agent in order. I write down what will matter again: who people are, what they like, "
    "what was decided and why. I put dates on what changes, and I drop what has been overtaken. I write plain, short "
    "sentences, and only what was said or follows from it."
)
_VOICE_PERSONA: Final = (
    "I keep the memory of an agent that talks by voice. What leaves its view I store so that it is found again, and "
    "I keep what it knows of the user short, current and easy to say aloud."
)


def check_may_have_companion(agent_type: AgentType) -> None:
    """Refuse a sleeptime agent for a sleeptime agent.

    Raises:
        InvalidInput: the type is one of those.
    """
    if agent_type in SLEEPTIME_TYPES:
        raise InvalidInput(
            f"enable_sleeptime is for agents that talk with people; one of type {agent_type.value!r} looks after the "
            "memory of another"
        )


def companion_of(main: Agent, now: datetime) -> tuple[Agent, AgentDraft]:
    """The companion of `main`, complete but for its tool rules, and what it shall be attached to."""
    voice = main.agent_type is AgentType.VOICE_CONVO
    agent_type = AgentType.VOICE_SLEEPTIME if voice else AgentType.SLEEPTIME
    agent = Agent(
        id=AgentId(make_id("agent")),
        organization_id=main.organization_id,
        name=f"{main.name}-sleeptime",
        agent_type=agent_type,
        system=instructions_of(agent_type),
        model=main.model,
        embedding=main.embedding,
        model_settings=main.model_settings,
        context_window_limit=main.context_window_limit,
        timezone=main.timezone,
        project_id=main.project_id,
        template_id=main.template_id,
        base_template_id=main.base_template_id,
        created_at=now,
        updated_at=now,
        created_by_id=main.last_updated_by_id,
        last_updated_by_id=main.last_updated_by_id,
    )
    persona = BlockDraft(
        label=PERSONA_LABEL,
        value=_VOICE_PERSONA if voice else _PERSONA,
        description="How I go about the memory. Follow it; change it only when told to.",
    )
    return agent, AgentDraft(agent_type=agent_type, blocks=(persona,))


def group_of(main: Agent, companion: Agent, now: datetime) -> Group:
    """The group by which `companion` looks after the memory of `main`."""
    group = Group(
        id=GroupId(make_id("group")),
        organization_id=main.organization_id,
        manager_type=ManagerType.SLEEPTIME,
        agent_ids=(companion.id,),
        manager_agent_id=main.id,
        sleeptime_agent_frequency=DEFAULT_FREQUENCY,
        turns_counter=0,
        project_id=main.project_id,
        created_at=now,
        updated_at=now,
        created_by_id=main.last_updated_by_id,
        last_updated_by_id=main.last_updated_by_id,
    )
    if companion.agent_type is not AgentType.VOICE_SLEEPTIME:
        return group
    most, least = DEFAULT_BUFFER
    return replace(
        group,
        manager_type=ManagerType.VOICE_SLEEPTIME,
        sleeptime_agent_frequency=None,
        max_message_buffer_length=most,
        min_message_buffer_length=least,
    )
