"""What tools are handed as `agent_state`: the agent that calls, and its memory, which they may change."""

from uuid import uuid4

from letta_client import Letta
from letta_client.types.agents import LettaResponse
from tests.support.provider import Provider
from tests.support.replies import call, reply, say
from tests.wire.samples import bare_agent

NOTE = '''
from pydantic import BaseModel

class Entry(BaseModel):
    text: str

def {name}(agent_state: "AgentState", entry: Entry) -> list:
    """Note something.

    Args:
        entry: what
    """
    memory = agent_state.memory
    old = memory.get_block("human").value
    memory.update_block_value(label="human", value=old + "|" + entry.text)
    if entry.text == "fail":
        raise ValueError("no")
    assert agent_state.model_dump()["memory"]["blocks"][0]["label"] == "human"
    return [agent_state.name, memory.list_block_labels(), [tool.name for tool in agent_state.tools], old]
'''


def _noting(client: Letta, **fields: object) -> tuple[str, str]:
    """Make an agent with a tool that notes; the agent's id and the tool's name."""
    name = f"note_{uuid4().hex[:8]}"
    tool = client.tools.create(source_code=NOTE.format(name=name))
    return bare_agent(client, name="Ada", tool_ids=[tool.id], **fields).id, name


def _results(answer: LettaResponse) -> list[tuple[str, str]]:
    messages = [item for item in answer.messages if item.message_type == "tool_return_message"]
    return [(each.status, str(each.tool_return)) for item in messages for each in item.tool_returns or ()]


def _value(client: Letta, agent_id: str) -> str:
    return client.agents.blocks.retrieve("human", agent_id=agent_id).value


def test_tools_read_their_agent_and_change_its_memory(client: Letta, provider: Provider) -> None:
    agent_id, name = _noting(client, memory_blocks=[{"label": "human", "value": "x"}])
    both = reply(call(name, entry={"text": "a"}), call(name, entry={"text": "b"}))
    provider.script(both, say("Noted."))
    answer = client.agents.messages.create(agent_id, input="Note both.")
    told = f'["Ada", ["human"], ["{name}"], '
    assert _results(answer) == [("success", f'{told}"x"]'), ("success", f'{told}"x|a"]')]
    assert _value(client, agent_id) == "x|a|b"
    assert "x|a|b" in provider.requests[1].system  # the very next request of the same turn
    assert "agent_state" not in str(provider.requests[0].body["tools"])
    by_hand = client.agents.tools.run(name, agent_id=agent_id, args={"entry": {"text": "c"}})
    assert (by_hand.status, _value(client, agent_id)) == ("success", "x|a|b|c")


def test_memory_that_a_tool_may_not_change_stays_and_the_model_is_told(client: Letta, provider: Provider) -> None:
    blocks = [{"label": "human", "value": "x", "limit": 10}]
    agent_id, name = _noting(client, memory_blocks=blocks, tools=["memory_insert"])
    provider.script(
        call(name, entry={"text": "fail"}),
        call(name, entry={"text": "much too long"}),
        reply(call("memory_insert", label="human", new_string="m"), call(name, entry={"text": "n"})),
        say("Well."),
    )
    failed, too_long, inserted, late = _results(client.agents.messages.create(agent_id, input="Note it."))
    assert (failed[0], too_long[0], inserted[0], late[0]) == ("error", "error", "success", "error")
    assert "ValueError: no" in failed[1]
    assert "was not kept: memory block 'human' holds at most 10 characters" in too_long[1]
    assert "was changed by somebody else meanwhile. It now reads:\nx\nm" in late[1]
    assert _value(client, agent_id) == "x\nm"
