"""The `client` that tools find: it reaches this server from a sandbox without a network, with a key for that call."""

from uuid import uuid4

import pytest
from letta_client import Letta
from letta_client.types import AgentState
from tests.support.provider import Provider
from tests.support.replies import call, hang, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, new_agent

pytestmark = pytest.mark.one_database("sqlite")

REMEMBER = '''
import os

def {name}(fact: str) -> str:
    """Keep a fact in the agent's own memory.

    Args:
        fact: what to keep
    """
    agent_id = os.environ["LETTA_AGENT_ID"]
    block = client.agents.blocks.retrieve("human", agent_id=agent_id)
    client.agents.blocks.update("human", agent_id=agent_id, value=block.value + "\\n" + fact)
    return f"kept; {{type(client).__name__}} {{len(client.agents.messages.list(agent_id).items) > 0}}"
'''

ASK = '''
def {name}(agent_id: str, question: str) -> str:
    """Ask another agent.

    Args:
        agent_id: whom
        question: what
    """
    reply = client.agents.messages.create(agent_id, input=question)
    return reply.messages[-1].content
'''

REMEMBER_IN_TYPESCRIPT = """
export async function {name}(fact: string): Promise<string> {{
  const agent_id = Deno.env.get("LETTA_AGENT_ID")!;
  const block = await client.agents.blocks.retrieve("human", {{ agent_id }});
  await client.agents.blocks.update("human", {{ agent_id, value: `${{block.value}}\\n${{fact}}` }});
  return `kept; ${{(await client.agents.messages.list(agent_id)).items.length > 0}}`;
}}
"""

KEY = '''
def {name}() -> str:
    """Say which key the client has."""
    return client.api_key
'''


def test_a_tool_edits_its_agents_memory_while_the_turn_waits(client: Letta, provider: Provider) -> None:
    agent = _agent_with(client, REMEMBER, name := f"remember_{uuid4().hex[:8]}")
    provider.script(call(name, fact="Likes tea"), say("Noted."), say("You like tea."))
    reply = client.agents.messages.create(agent.id, input="I like tea")
    returned = next(item for item in reply.messages if item.message_type == "tool_return_message")
    assert returned.status == "success", returned
    assert returned.tool_return == "kept; Client True"
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: unknown\nLikes tea"
    assert "Likes tea" in provider.requests[1].system  # the very next request of the same turn


def test_a_tool_in_typescript_edits_its_agents_memory(client: Letta, provider: Provider) -> None:
    name = f"remember_{uuid4().hex[:8]}"
    parameters = {"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"]}
    tool = client.tools.create(
        source_type="typescript",
        source_code=REMEMBER_IN_TYPESCRIPT.format(name=name),
        json_schema={"name": name, "description": "Keep a fact.", "parameters": parameters},
    )
    agent = new_agent(client, tool_ids=[tool.id])
    provider.script(call(name, fact="Likes tea"), say("Noted."))
    reply = client.agents.messages.create(agent.id, input="I like tea")
    returned = next(item for item in reply.messages if item.message_type == "tool_return_message")
    assert returned.tool_return == "kept; true", returned
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: unknown\nLikes tea"


def test_a_tool_talks_to_another_agent(client: Letta, provider: Provider) -> None:
    other = bare_agent(client, system="You are the oracle.")
    agent = _agent_with(client, ASK, name := f"ask_{uuid4().hex[:8]}")
    provider.script(say("42"), when=lambda request: "You are the oracle." in request.system)
    provider.script(call(name, agent_id=other.id, question="6 times 7?"), say("It is 42."))
    reply = client.agents.messages.create(agent.id, input="ask the oracle")
    assert [item.tool_return for item in reply.messages if item.message_type == "tool_return_message"] == ["42"]
    asked = [item for item in client.agents.messages.list(other.id) if item.message_type == "user_message"]
    assert [item.content for item in asked] == ["6 times 7?"]


def test_agents_that_would_wait_for_each_other_are_told(client: Letta, provider: Provider) -> None:
    agent = _agent_with(client, ASK, name := f"ask_{uuid4().hex[:8]}")
    provider.script(call(name, agent_id=agent.id, question="and now?"), say("I gave up."))
    reply = client.agents.messages.create(agent.id, input="ask yourself")
    returned = next(item for item in reply.messages if item.message_type == "tool_return_message")
    assert returned.status == "error"
    assert "waiting forever" in str(returned.tool_return)
    assert getattr(reply.messages[-1], "content", None) == "I gave up."


def test_cancelling_a_turn_stops_what_its_tools_asked_for(client: Letta, provider: Provider) -> None:
    other = bare_agent(client, system="You are the slow oracle.")
    agent = _agent_with(client, ASK, name := f"ask_{uuid4().hex[:8]}")
    gate = provider.gate("oracle")
    provider.script(hang(gate), when=lambda request: "You are the slow oracle." in request.system)
    provider.script(call(name, agent_id=other.id, question="well?"))
    run = client.agents.messages.create_async(agent.id, input="ask the oracle")
    gate.wait_reached(30)
    client.agents.messages.cancel(agent.id, run_ids=[run.id])
    (asked,) = client.runs.list(agent_id=other.id)
    while client.runs.retrieve(asked.id).status == "running":  # its end is on its way
        pass
    assert client.runs.retrieve(asked.id).status == "cancelled"


def test_the_key_dies_with_the_call_and_opens_nothing_from_outside(
    client: Letta, provider: Provider, server: Server
) -> None:
    agent = _agent_with(client, KEY, name := f"key_{uuid4().hex[:8]}")
    provider.script(call(name), say("ok"), call(name), say("ok"))
    keys = []
    for _ in range(2):
        reply = client.agents.messages.create(agent.id, input="go")
        keys += [item.tool_return for item in reply.messages if item.message_type == "tool_return_message"]
    assert len(set(keys)) == 2
    assert all(key.startswith("sk-call-") for key in keys)
    probe = f'''
import httpx

def probe_{uuid4().hex[:8]}() -> list[int]:
    """Try dead and missing keys at the door."""
    import glob
    http = httpx.Client(transport=httpx.HTTPTransport(uds="/door/api.sock"), base_url="http://localhost")
    tried = [{{}}, {{"Authorization": "Bearer {keys[0]}"}}, {{"Authorization": "Bearer test"}}]
    return [http.get("/v1/agents/", headers=headers).status_code for headers in tried]
'''
    outcome = server.http.post("/v1/tools/run", json={"source_code": probe, "args": {}}).json()
    assert outcome["tool_return"] == "[401, 401, 401]", outcome


def test_a_tool_run_alone_has_a_client_too(server: Server) -> None:
    source = '''
def count(tag: str) -> int:
    """Count agents.

    Args:
        tag: of the agents
    """
    client.agents.create(model="openai/gpt-4o-mini", tags=[tag])
    return len(client.agents.list(tags=[tag]).items)
'''
    outcome = server.http.post("/v1/tools/run", json={"source_code": source, "args": {"tag": uuid4().hex}}).json()
    assert (outcome["status"], outcome["tool_return"]) == ("success", "1"), outcome


@pytest.mark.parametrize("own", ["client = 'mine'\n", ""])
def test_a_tool_may_use_the_word_for_its_own(server: Server, own: str) -> None:
    source = (
        own
        + '''
def greet(client: str = "Ada") -> str:
    """Greet.

    Args:
        client: whom
    """
    return f"hello {client}"
'''
    )
    outcome = server.http.post("/v1/tools/run", json={"source_code": source, "args": {"client": "Bo"}}).json()
    assert outcome["tool_return"] == "hello Bo", outcome


def _agent_with(client: Letta, source: str, name: str) -> AgentState:
    tool = client.tools.create(source_code=source.format(name=name))
    return new_agent(client, tool_ids=[tool.id])
