"""Agents that send messages to each other: as runs that stand behind one another, and never wait for each other."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from letta_client import Letta
from letta_client.types import AgentState
from tests.support.provider import Provider, Request, Say
from tests.support.replies import call, fail, hang, reply, say
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent

ASK = "send_message_to_agent_and_wait_for_reply"
TELL = "send_message_to_agent_async"
TAGGED = "send_message_to_agents_matching_tags"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that run side by side."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def agent(client: Letta, name: str, **more: Any) -> AgentState:
    """An agent that can send messages, told apart by its prompt."""
    return bare_agent(
        client, name=name, system=f"You are {name}.", extra_body={"include_multi_agent_tools": True}, **more
    )


def of(name: str) -> Any:
    """Matches the requests of one agent."""
    return lambda request: f"You are {name}." in request.system


def result(answer: Any) -> tuple[str, str]:
    """Status and text of the first tool result."""
    found = next(message for message in answer.messages if message.message_type == "tool_return_message")
    return found.status, found.tool_return


def requests_of(provider: Provider, name: str) -> list[Request]:
    """What the model of one agent was sent."""
    return [request for request in provider.requests if of(name)(request)]


def test_the_tools_are_attached_when_asked_for_and_are_of_their_type(client: Letta) -> None:
    tools = {tool.name: tool.tool_type for tool in agent(client, "Ada").tools}
    assert tools == dict.fromkeys((ASK, TELL, TAGGED), "letta_multi_agent_core")
    assert bare_agent(client).tools == []


def test_an_agent_asks_another_and_gets_its_answer(client: Letta, provider: Provider) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    provider.script(call(ASK, message="What time is it?", other_agent_id=bo.id), say("It is noon."), when=of("Ada"))
    provider.script(say("Noon."), when=of("Bo"))
    answer = client.agents.messages.create(ada.id, input="Ask Bo for the time")
    status, text = result(answer)
    assert status == "success"
    assert json.loads(text) == {"agent_id": bo.id, "response": ["Noon."]}
    (heard,) = requests_of(provider, "Bo")
    said = str(heard.body["messages"][-1])
    assert ada.id in said
    assert "What time is it?" in said
    (child,) = list(client.runs.list(agent_id=bo.id))
    (parent,) = list(client.runs.list(agent_id=ada.id))
    assert child.metadata is not None
    assert child.metadata["parent_run_id"] == parent.id
    assert next(m.sender_id for m in client.agents.messages.list(bo.id) if m.message_type == "system_message") == ada.id


def test_an_agent_cannot_ask_itself_nor_whom_it_does_not_know(client: Letta, provider: Provider) -> None:
    ada = agent(client, "Ada")
    nobody = f"agent-{uuid4()}"
    for target, words in ((ada.id, "itself"), (nobody, nobody)):
        for tool in (ASK, TELL):
            provider.script(call(tool, message="Hi", other_agent_id=target), say("Well."))
            status, text = result(client.agents.messages.create(ada.id, input="go"))
            assert status == "error"
            assert words in text


def test_a_circle_of_agents_is_told_so_at_once(client: Letta, provider: Provider) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    provider.script(call(ASK, message="Ask me back", other_agent_id=bo.id), say("Done."), when=of("Ada"))
    provider.script(call(ASK, message="Back", other_agent_id=ada.id), say("It waits for me."), when=of("Bo"))
    answer = client.agents.messages.create(ada.id, input="go")
    assert json.loads(result(answer)[1])["response"] == ["It waits for me."]
    assert "waits for you already" in str(requests_of(provider, "Bo")[-1].body["messages"][-1])


def test_agents_that_ask_each_other_at_the_same_time_do_not_wait_forever(
    client: Letta, provider: Provider, pool: ThreadPoolExecutor
) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    gate = provider.gate("both")
    provider.script(reply(call(ASK, message="Hi", other_agent_id=bo.id), before=gate), when=of("Ada"))
    provider.script(reply(call(ASK, message="Hi", other_agent_id=ada.id), before=gate), when=of("Bo"))
    both = [pool.submit(client.agents.messages.create, item.id, input="go") for item in (ada, bo)]
    provider.wait_for_requests(2)
    gate.release()
    results = [result(item.result(timeout=30)) for item in both]
    assert sorted(status for status, _ in results) == ["error", "success"]
    assert "waiting forever" in next(text for status, text in results if status == "error")


def test_a_chain_of_agents_ends_at_its_limit(start_server: StartServer, provider: Provider) -> None:
    client = start_server(REVERIE_PEER_DEPTH="1").client
    one, two, three = (agent(client, name, tags=[name]) for name in ("One", "Two", "Three"))
    provider.script(call(ASK, message="on", other_agent_id=two.id), say("ok"), when=of("One"))
    provider.script(call(ASK, message="on", other_agent_id=three.id), say("too deep"), when=of("Two"))
    answer = client.agents.messages.create(one.id, input="go")
    assert json.loads(result(answer)[1])["response"] == ["too deep"]
    assert "1 are allowed" in str(requests_of(provider, "Two")[-1].body["messages"][-1])
    provider.script(call(ASK, message="on", other_agent_id=two.id), say("ok"), when=of("One"))
    provider.script(call(TAGGED, message="on", match_all=["Three"], match_some=[]), say("too deep"), when=of("Two"))
    client.agents.messages.create(one.id, input="go")
    assert "1 are allowed" in str(requests_of(provider, "Two")[-1].body["messages"][-1])
    assert requests_of(provider, "Three") == []


def test_a_busy_or_silent_agent_is_waited_for_only_so_long(
    start_server: StartServer, provider: Provider, pool: ThreadPoolExecutor
) -> None:
    server = start_server(REVERIE_PEER_BUSY_TIMEOUT_S="0.3", REVERIE_PEER_REPLY_TIMEOUT_S="0.3")
    client = server.client
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    gate = provider.gate("busy")
    provider.script(hang(gate, say("at last")), when=of("Bo"))
    waiting = pool.submit(client.agents.messages.create, bo.id, input="think")
    provider.wait_for_requests(1)
    provider.script(call(ASK, message="Hi", other_agent_id=bo.id), say("later then"), when=of("Ada"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert (status, "was busy" in text) == ("error", True)
    gate.release()
    assert waiting.result(timeout=30).stop_reason.stop_reason == "end_turn"
    silent = provider.gate("silent")
    provider.script(hang(silent, say("never")), when=of("Bo"))
    provider.script(call(ASK, message="Hi", other_agent_id=bo.id), say("no answer"), when=of("Ada"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert (status, "did not answer" in text) == ("error", True)
    assert next(run.status for run in client.runs.list(agent_id=bo.id)) == "cancelled"
    assert client.agents.messages.create(bo.id, input="still there?").stop_reason.stop_reason == "end_turn"


def test_cancelling_the_one_who_asks_cancels_the_one_who_is_asked(
    client: Letta, provider: Provider, pool: ThreadPoolExecutor
) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    gate = provider.gate("long")
    provider.script(call(ASK, message="Hi", other_agent_id=bo.id), when=of("Ada"))
    provider.script(hang(gate, say("never")), when=of("Bo"))
    waiting = pool.submit(client.agents.messages.create, ada.id, input="go")
    provider.wait_for_requests(2)
    client.agents.messages.cancel(ada.id)
    assert waiting.result(timeout=30).stop_reason.stop_reason == "cancelled"
    provider.requests[1].wait_disconnected()
    (child,) = until(lambda: [run for run in client.runs.list(agent_id=bo.id) if run.completed_at])
    assert child.status == "cancelled"
    assert client.agents.messages.create(bo.id, input="hi").stop_reason.stop_reason == "end_turn"


def test_a_failing_agent_is_a_tool_error(client: Letta, provider: Provider) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    provider.script(call(ASK, message="Hi", other_agent_id=bo.id), say("a pity"), when=of("Ada"))
    provider.script(fail(400, "broken"), when=of("Bo"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert status == "error"
    assert "broken" in text


def test_a_message_without_waiting_runs_by_itself_and_may_be_answered(client: Letta, provider: Provider) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    gate = provider.gate("slow")
    provider.script(call(TELL, message="News", other_agent_id=bo.id), say("told"), when=of("Ada"))
    provider.script(
        reply(call(TELL, message="Thanks", other_agent_id=ada.id), before=gate), say("thanked"), when=of("Bo")
    )
    answer = client.agents.messages.create(ada.id, input="go")
    assert result(answer) == ("success", "Successfully sent message")
    gate.release()
    until(lambda: any("Thanks" in str(request.body) for request in requests_of(provider, "Ada")))
    (run,) = list(client.runs.list(agent_id=bo.id))
    assert run.background is True


def test_a_message_to_a_busy_agent_is_delivered_when_it_is_free(
    client: Letta, provider: Provider, pool: ThreadPoolExecutor
) -> None:
    ada, bo = agent(client, "Ada"), agent(client, "Bo")
    gate = provider.gate("busy")
    provider.script(hang(gate, say("free")), when=of("Bo"))
    waiting = pool.submit(client.agents.messages.create, bo.id, input="think")
    provider.wait_for_requests(1)
    provider.script(call(TELL, message="News", other_agent_id=bo.id), say("told"), when=of("Ada"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert (status, "busy" in text) == ("success", True)
    gate.release()
    waiting.result(timeout=30)
    until(lambda: any("News" in str(request.body) for request in requests_of(provider, "Bo")))


def test_all_agents_of_some_tags_are_asked_side_by_side(client: Letta, provider: Provider) -> None:
    mark = uuid4().hex
    ada = agent(client, "Ada", tags=[mark, "red"])
    bo = agent(client, "Bo", tags=[mark, "red"])
    cy = agent(client, "Cy", tags=[mark, "blue"])
    agent(client, "Di", tags=[mark])
    provider.script(
        call(TAGGED, message="Status?", match_all=[mark], match_some=["red", "blue"]), say("good"), when=of("Ada")
    )
    gate = provider.gate("both")

    def cy_answers(_: Request) -> Say:  # which lets Bo answer: one after the other they would wait forever
        gate.release()
        return say("cy is fine")

    provider.script(reply(say("bo is fine"), before=gate), when=of("Bo"))
    provider.script(cy_answers, when=of("Cy"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert status == "success"
    assert {item["agent_id"]: item["response"] for item in json.loads(text)} == {
        bo.id: ["bo is fine"],
        cy.id: ["cy is fine"],
    }
    provider.script(call(TAGGED, message="All?", match_all=[], match_some=[]), say("no"), when=of("Ada"))
    assert result(client.agents.messages.create(ada.id, input="go"))[0] == "error"


def test_the_group_tool_needs_a_group(client: Letta, server: Server, provider: Provider) -> None:
    tool = client.tools.list(name="send_message_to_all_agents_in_group").items[0]
    ada = bare_agent(client, tool_ids=[tool.id])
    provider.script(call(tool.name or "", message="Hi"), say("alone"))
    status, text = result(client.agents.messages.create(ada.id, input="go"))
    assert (status, "no group" in text) == ("error", True)
