"""An agent that remembers: through the real SDK, against a real server, across kill -9."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from letta_client import Letta
from letta_client.types import AgentState
from tests.conftest import MODEL
from tests.support.provider import Provider, roles
from tests.support.replies import call, reply, say, think
from tests.support.server import Server

ADD = '''
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    print("adding")
    return a + b
'''


EXPLODE = '''
def explode(x: int) -> int:
    """Explode."""
    raise ValueError("boom")
'''


def new_agent(client: Letta, **more: object) -> AgentState:
    defaults: dict[str, object] = {
        "model": MODEL,
        "memory_blocks": [
            {"label": "human", "value": "Name: unknown"},
            {"label": "persona", "value": "I am a helpful friend."},
        ],
    }
    return client.agents.create(**{**defaults, **more})  # type: ignore[arg-type]


def test_a_blocking_reply_has_messages_stop_reason_and_usage(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(say("Hello, Ada."))
    answer: Any = client.agents.messages.create(agent.id, messages=[{"role": "user", "content": "I am Ada"}])
    assert [message.message_type for message in answer.messages] == ["assistant_message"]
    assert answer.messages[0].content == "Hello, Ada."
    assert answer.stop_reason.stop_reason == "end_turn"
    assert answer.usage.step_count == 1
    assert answer.usage.total_tokens == (answer.usage.prompt_tokens or 0) + (answer.usage.completion_tokens or 0)
    request = provider.requests[0]
    assert "Name: unknown" in request.system
    assert request.shape == ["system", "user"]


def test_a_memory_edit_is_in_the_very_next_prompt_and_survives_kill_9(provider: Provider, own_server: Server) -> None:
    client = own_server.client
    agent = new_agent(client)
    provider.script(
        call("memory_replace", label="human", old_string="unknown", new_string="Ada"),
        say("Noted."),
    )
    answer: Any = client.agents.messages.create(agent.id, input="I am Ada")
    assert [message.message_type for message in answer.messages] == [
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert "Name: Ada" in provider.requests[1].system
    own_server.restart()
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: Ada"
    provider.script(say("Ada!"))
    client.agents.messages.create(agent.id, input="Who am I?")
    last = provider.requests[-1]
    assert "Name: Ada" in last.system
    assert roles(last) == ["system", "user", "assistant:memory_replace", "tool", "assistant", "user"]


def test_a_custom_tool_runs_and_its_result_reaches_the_model(client: Letta, provider: Provider) -> None:
    tool = client.tools.create(source_code=ADD.replace("def add", "def add_numbers"))
    agent = new_agent(client, tool_ids=[tool.id])
    provider.script(call("add_numbers", a=2, b=3), say("5"))
    answer: Any = client.agents.messages.create(agent.id, input="2+3?")
    result = answer.messages[1]
    assert result.message_type == "tool_return_message"
    assert (result.tool_return, result.status, result.stdout) == ("5", "success", ["adding\n"])
    assert provider.requests[1].shape[-1] == "tool:5"


def test_steps_stream_as_whole_messages_and_end_in_order(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(reply(think("hm"), call("memory_insert", label="human", new_string="likes tea")), say("Done."))
    stream = client.agents.messages.create(agent.id, input="I like tea", streaming=True)
    events = list(stream)
    assert [event.message_type for event in events] == [
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    stored = {message.id for message in client.agents.messages.list(agent.id, limit=50)}
    assert {getattr(event, "id", None) for event in events[:4]} <= stored


def test_tokens_stream_as_pieces_that_share_the_stored_id(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(say("one two three four"))
    stream = client.agents.messages.create(agent.id, input="count", streaming=True, stream_tokens=True)
    events = list(stream)
    pieces = [event for event in events if event.message_type == "assistant_message"]
    assert len(pieces) > 1
    assert len({piece.id for piece in pieces}) == 1
    text = "".join(str(piece.content) for piece in pieces)
    assert text == "one two three four"
    stored: Any = client.agents.messages.list(agent.id, limit=1).items[0]
    assert (stored.id, stored.content) == (pieces[0].id, text)


def test_a_failing_unknown_or_wrongly_called_tool_is_a_result_and_the_turn_goes_on(
    client: Letta, provider: Provider
) -> None:
    tool = client.tools.create(source_code=EXPLODE)
    agent = new_agent(client, tool_ids=[tool.id])
    provider.script(
        reply(call("explode", x=1), call("no_such_tool"), call("explode", y="wrong")),
        say("Three failures."),
    )
    answer: Any = client.agents.messages.create(agent.id, input="go")
    returns = answer.messages[1].tool_returns
    assert [item.status for item in returns] == ["error", "error", "error"]
    texts = [str(item.tool_return) for item in returns]
    assert "boom" in texts[0]
    assert "no_such_tool" in texts[1]
    assert "x" in texts[2]
    assert roles(provider.requests[1])[-3:] == ["tool", "tool", "tool"]
    assert answer.messages[-1].content == "Three failures."


def test_max_steps_ends_a_turn_that_would_go_on(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.default = call("memory_insert", label="human", new_string="x")
    answer: Any = client.agents.messages.create(agent.id, input="loop", max_steps=3)
    assert answer.stop_reason.stop_reason == "max_steps"
    assert len(provider.requests) == 3


def test_the_system_prompt_stays_the_same_to_the_byte_while_nothing_changed(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(say("a"), say("b"), say("c"))
    for word in ("x", "y", "z"):
        client.agents.messages.create(agent.id, input=word)
    systems = {request.system for request in provider.requests}
    assert len(systems) == 1
    client.agents.blocks.update("human", agent_id=agent.id, value="changed")
    provider.script(say("d"))
    client.agents.messages.create(agent.id, input="w")
    assert "changed" in provider.requests[-1].system


def test_eight_messages_at_once_never_mix(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.default = say("ok")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.agents.messages.create(agent.id, input=f"m{n}"), range(8)))
    assert all(answer.stop_reason.stop_reason == "end_turn" for answer in answers)
    provider.script(say("end"))
    client.agents.messages.create(agent.id, input="last")
    assert roles(provider.requests[-1]) == ["system", *(["user", "assistant"] * 8), "user"]
