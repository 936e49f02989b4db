"""Background messages for a busy conversation: stored, answered at once, run in order, cancelled while they wait."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from letta_client import APIStatusError, Letta
from tests.support.provider import Provider
from tests.support.replies import call, hang, say
from tests.support.waiting import until
from tests.wire.samples import bare_agent, echo_source, kinds


def _said(client: Letta, agent_id: str) -> list[Any]:
    stored = client.agents.messages.list(agent_id, order="asc", limit=100)
    return [item.content for item in stored if item.message_type == "user_message"]


def test_waiting_runs_are_stored_seen_followed_cancelled_and_run_in_order(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")), say("two"), say("three"), say("four"))
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        second = client.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "b", "otid": "b"}])
        cancelled = client.agents.messages.create_async(agent.id, input="never")
        third = pool.submit(
            lambda: list(client.agents.messages.create(agent.id, input="c", streaming=True, background=True))
        )
        until(lambda: len(client.runs.list(agent_id=agent.id, active=True).items) == 4)
        fourth = pool.submit(lambda: client.agents.messages.create(agent.id, input="d"))
        assert (second.status, cancelled.status) == ("created", "created")
        again = client.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "b", "otid": "b"}])
        assert again.id == second.id
        assert _said(client, agent.id) == ["a"]
        followed = pool.submit(lambda: list(client.runs.messages.stream(second.id)))
        assert client.agents.messages.cancel(agent.id, run_ids=[cancelled.id]) == {cancelled.id: "cancelled"}
        (told, _) = list(client.runs.messages.stream(cancelled.id))
        assert told.stop_reason == "cancelled"  # type: ignore[union-attr]
        gate.release()
        assert first.result(timeout=30).stop_reason.stop_reason == "end_turn"
        assert kinds(followed.result(timeout=30)) == ["assistant_message", "stop_reason", "usage_statistics"]
        events = third.result(timeout=30)
        assert kinds(events) == ["assistant_message", "stop_reason", "usage_statistics"]
        assert [event.seq_id for event in events] == [1, 2, 3]  # type: ignore[union-attr]
        assert events[0].content == "three"  # type: ignore[union-attr]
        assert fourth.result(timeout=30).messages[-1].content == "four"  # type: ignore[union-attr]
    assert _said(client, agent.id) == ["a", "b", "c", "d"]
    ended = {run.id: run.status for run in client.runs.list(agent_id=agent.id).items}
    assert ended[second.id] == "completed"
    assert ended[cancelled.id] == "cancelled"
    # Cancelling what has ended is no error, and changes nothing.
    client.agents.messages.cancel(agent.id, run_ids=[second.id, cancelled.id])
    assert client.runs.retrieve(second.id).status == "completed"


def test_cancelling_an_agent_ends_what_runs_and_what_waits_for_it(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(hang(provider.gate("never")))
    runs = [client.agents.messages.create_async(agent.id, input=text) for text in "abc"]
    provider.wait_for_requests(1)
    assert client.agents.messages.cancel(agent.id) == {run.id: "cancelled" for run in runs}
    assert {client.runs.retrieve(run.id).status for run in runs} == {"cancelled"}
    assert _said(client, agent.id) == ["a"]
    assert client.agents.messages.create(agent.id, input="d").stop_reason.stop_reason == "end_turn"


def test_a_message_that_waited_behind_a_run_that_paused_for_approval_fails_and_says_why(
    client: Letta, provider: Provider
) -> None:
    tool = client.tools.create(source_code=echo_source("asks_first"), default_requires_approval=True)
    agent = bare_agent(client, tool_ids=[tool.id])
    gate = provider.gate("busy")
    provider.script(hang(gate, call("asks_first", text="a", id="c1")))
    asking = client.agents.messages.create_async(agent.id, input="go")
    waits = client.agents.messages.create_async(agent.id, input="and then?")
    gate.release()
    with pytest.raises(APIStatusError, match="waiting for approval"):
        list(client.runs.messages.stream(waits.id))
    assert client.runs.retrieve(waits.id).status == "failed"
    assert client.runs.retrieve(asking.id).stop_reason == "requires_approval"
    assert _said(client, agent.id) == ["go"]
    approval: Any = {
        "type": "approval",
        "approvals": [{"type": "approval", "tool_call_id": "c1", "approve": False}],
    }
    done = client.agents.messages.create(agent.id, messages=[approval])
    assert done.stop_reason.stop_reason == "end_turn"
