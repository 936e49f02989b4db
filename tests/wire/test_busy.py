"""A message that arrives while a run is active waits, is refused, or takes its place: by request, agent or server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from letta_client import ConflictError, Letta
from tests.support.provider import Provider
from tests.support.replies import hang, reply, say
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, kinds


def _texts(answer: Any) -> list[str]:
    return [m.content for m in answer.messages if m.message_type == "assistant_message"]


def test_a_request_says_what_shall_become_of_it(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")), say("two"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        (run,) = client.runs.list(agent_id=agent.id, active=True).items
        with pytest.raises(ConflictError) as refused:
            client.agents.messages.create(agent.id, input="b", extra_body={"busy_policy": "reject"})
        detail = refused.value.body["detail"]  # type: ignore[index]
        assert "is currently being processed" in detail
        assert f"run_id={run.id}" in detail
        waits = pool.submit(
            lambda: client.agents.messages.create(agent.id, input="c", extra_body={"busy_policy": "enqueue"})
        )
        gate.release()
        assert _texts(first.result(timeout=30)) == ["one"]
        assert _texts(waits.result(timeout=30)) == ["two"]
    assert [turn.text for turn in provider.requests[-1].turns if turn.role == "user"] == ["a", "c"]


@pytest.mark.parametrize("asked_by", ["request", "agent", "server"])
def test_an_interrupt_cancels_what_runs_and_keeps_what_it_wrote(
    start_server: StartServer, client: Letta, provider: Provider, asked_by: str
) -> None:
    if asked_by == "server":
        client = start_server(REVERIE_BUSY_POLICY="interrupt").client
    agent = bare_agent(client, metadata={"busy_policy": "interrupt"} if asked_by == "agent" else {})
    extra = {"busy_policy": "interrupt"} if asked_by == "request" else None
    never = provider.gate("never")
    provider.script(reply(say("half", " said"), never, say("!")), say("fresh"))
    stream: Any = iter(client.agents.messages.create(agent.id, input="a", streaming=True, stream_tokens=True))
    seen = [next(stream), next(stream)]
    answer = client.agents.messages.create(agent.id, input="b", extra_body=extra)
    assert _texts(answer) == ["fresh"]
    rest = list(stream)
    assert kinds(rest) == ["stop_reason", "usage_statistics"]
    assert rest[0].stop_reason == "cancelled"
    provider.requests[0].wait_disconnected()
    assert client.runs.retrieve(seen[0].run_id).status == "cancelled"
    assert provider.requests[1].shape == ["system", "user", "assistant", "user"]
    assert provider.requests[1].turns[-2].text == "half said"


def test_an_interrupt_goes_ahead_of_those_in_line_and_they_are_answered_after_it(
    client: Letta, provider: Provider
) -> None:
    agent = bare_agent(client)
    provider.script(hang(provider.gate("never")), say("two"), say("three"))
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        second = pool.submit(lambda: client.agents.messages.create(agent.id, input="b"))
        third = pool.submit(
            lambda: client.agents.messages.create(agent.id, input="c", extra_body={"busy_policy": "interrupt"})
        )
        assert first.result(timeout=30).stop_reason.stop_reason == "cancelled"
        assert _texts(third.result(timeout=30)) == ["two"]
        assert _texts(second.result(timeout=30)) == ["three"]
    said = [turn.text for turn in provider.requests[-1].turns if turn.role == "user"]
    assert "".join(said).replace("\n", "") == "acb"


def test_an_agents_own_policy_goes_before_the_servers(start_server: StartServer, provider: Provider) -> None:
    client = start_server(REVERIE_BUSY_POLICY="interrupt").client
    agent = bare_agent(client, metadata={"busy_policy": "reject"})
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        with pytest.raises(ConflictError):
            client.agents.messages.create(agent.id, input="b")
        gate.release()
        assert _texts(first.result(timeout=30)) == ["one"]
