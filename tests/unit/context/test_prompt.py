"""The system prompt changes when what it is made of changes, and only then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reverie.context.prompt import PromptInputs, compile_prompt, fingerprint
from reverie.domain.agent import Agent
from reverie.domain.block import Block
from reverie.domain.conversation import Conversation
from reverie.domain.ids import AgentId, BlockId, ConversationId, OrganizationId

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
AGENT = Agent(
    id=AgentId("agent-1"),
    organization_id=OrganizationId("org"),
    name="a",
    system="Be kind.",
    model="m/m",
    created_at=NOON,
    updated_at=NOON,
)
BLOCK = Block(
    id=BlockId("block-1"),
    organization_id=OrganizationId("org"),
    label="human",
    value="Ada",
    description="who the user is",
    created_at=NOON,
    updated_at=NOON,
)
INPUTS = PromptInputs(
    agent=AGENT,
    conversation=Conversation(
        id=ConversationId("agent-1"),
        organization_id=OrganizationId("org"),
        agent_id=AGENT.id,
        created_at=NOON,
        updated_at=NOON,
    ),
    blocks=(BLOCK,),
    tool_rules=None,
    passage_count=0,
    message_count=0,
    now=NOON,
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(INPUTS, blocks=(replace(BLOCK, value="Grace"),)),
        replace(INPUTS, blocks=(replace(BLOCK, label="user"),)),
        replace(INPUTS, blocks=(replace(BLOCK, limit=10),)),
        replace(INPUTS, blocks=(replace(BLOCK, read_only=True),)),
        replace(INPUTS, blocks=(replace(BLOCK, description="x"),)),
        replace(INPUTS, blocks=()),
        replace(INPUTS, agent=replace(AGENT, system="Be brief.")),
        replace(INPUTS, tool_rules="first a, then b"),
        replace(INPUTS, passage_count=1),
        replace(INPUTS, now=NOON + timedelta(days=1)),
    ],
)
def test_whatever_the_prompt_shows_changes_its_fingerprint(changed: PromptInputs) -> None:
    assert fingerprint(changed) != fingerprint(INPUTS)
    assert compile_prompt(changed) != compile_prompt(INPUTS)


def test_time_of_day_and_new_messages_alone_change_nothing() -> None:
    later = replace(INPUTS, now=NOON + timedelta(hours=3), message_count=40)
    assert fingerprint(later) == fingerprint(INPUTS)


def test_the_date_is_the_agents_own() -> None:
    inputs = replace(INPUTS, agent=replace(AGENT, timezone="Pacific/Kiritimati"))
    assert "2026-05-05" in compile_prompt(inputs)


def test_an_unknown_time_zone_is_no_reason_to_fail() -> None:
    assert "2026-05-04" in compile_prompt(replace(INPUTS, agent=replace(AGENT, timezone="Mars/Olympus")))


def test_blocks_show_label_description_value_and_limits() -> None:
    text = compile_prompt(replace(INPUTS, blocks=(replace(BLOCK, read_only=True, limit=500),)))
    for part in ("<human>", "who the user is", "<value>\nAda\n</value>", "chars_limit=500", "read_only=true"):
        assert part in text


def test_memory_goes_where_older_instructions_want_it() -> None:
    text = compile_prompt(replace(INPUTS, agent=replace(AGENT, system="Before {CORE_MEMORY} after")))
    assert text.startswith("Before <memory_blocks>")
    assert text.endswith(" after")
