"""Runs and steps: what they tell, cancelling, and several at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from letta_client import ConflictError, Letta
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import Usage, call, hang, reply, say
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, echo_source, kinds, new_agent

SLEEP_LONG = '''
def sleep_long() -> str:
    """Sleep."""
    import threading
    threading.Event().wait(100)
    return ""
'''


def test_a_run_and_its_steps_tell_what_happened(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(
        reply(call("memory_insert", label="human", new_string="x"), usage=Usage(prompt=100, completion=10, cached=7)),
        reply(say("done"), usage=Usage(prompt=200, completion=20)),
    )
    answer = client.agents.messages.create(agent.id, input="go")
    (run_id,) = answer.usage.run_ids or []
    run = client.runs.retrieve(run_id)
    assert run.id.startswith("run-")
    assert (run.agent_id, run.status, run.stop_reason, run.background) == (agent.id, "completed", "end_turn", False)
    assert run.completed_at is not None
    assert run.total_duration_ns
    assert run.ttft_ns
    steps = list(client.runs.steps.list(run_id, order="asc"))
    assert [(step.prompt_tokens, step.completion_tokens, step.status) for step in steps] == [
        (100, 10, "success"),
        (200, 20, "success"),
    ]
    assert all(step.id.startswith("step-") for step in steps)
    assert [step.id for step in steps] == [answer.messages[0].step_id, answer.messages[-1].step_id]
    assert {(step.run_id, step.agent_id, step.api_model_handle) for step in steps} == {(run_id, agent.id, MODEL)}
    assert client.steps.retrieve(steps[0].id).cached_input_tokens == 7
    assert {step.id for step in client.steps.list(agent_id=agent.id)} == {step.id for step in steps}
    said = client.steps.messages.list(steps[0].id, order="asc")
    assert kinds(said) == ["tool_call_message", "tool_return_message"]
    assert kinds(client.runs.messages.list(run_id, order="asc"))[-3:] == [
        "tool_call_message", "tool_return_message", "assistant_message",
    ]  # fmt: skip
    usage = client.runs.usage.retrieve(run_id)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (300, 30, 330)


def test_runs_are_listed_by_agent_state_and_page(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    ids = [(client.agents.messages.create(agent.id, input=f"{n}").usage.run_ids or [""])[0] for n in range(3)]
    events: list[Any] = list(client.conversations.messages.create(conversation.id, input="x", background=True))
    fourth = events[0].run_id

    def listed(**query: Any) -> list[str]:
        return [run.id for run in client.runs.list(agent_id=agent.id, **query)]

    assert listed() == [fourth, *ids[::-1]]
    assert listed(order="asc", limit=2) == [*ids, fourth]
    assert listed(conversation_id=conversation.id) == [fourth]
    assert listed(background=True) == [fourth]
    assert listed(statuses=["completed"], stop_reason="end_turn") == [fourth, *ids[::-1]]
    assert listed(statuses=["failed"]) == []
    assert listed(active=True) == []
    gate = provider.gate("live")
    provider.script(hang(gate, say("x")))
    run = client.agents.messages.create_async(agent.id, input="in the background")
    provider.wait_for_requests(5)
    assert run.status in ("created", "running")
    assert listed(active=True) == [run.id]
    gate.release()
    assert kinds(client.runs.messages.stream(run.id))[-2:] == ["stop_reason", "usage_statistics"]
    assert client.runs.retrieve(run.id).status == "completed"


@pytest.mark.parametrize("named", [True, False])
def test_a_cancel_hangs_up_on_the_model_and_the_next_message_works(
    client: Letta, provider: Provider, named: bool
) -> None:
    agent = bare_agent(client)
    gate = provider.gate("never")
    provider.script(hang(gate))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(client.agents.messages.create(agent.id, input="go", streaming=True)))
        (request,) = provider.wait_for_requests(1)
        (run,) = client.runs.list(agent_id=agent.id, active=True).items
        outcome = client.agents.messages.cancel(agent.id, **({"run_ids": [run.id]} if named else {}))  # type: ignore[arg-type]
        assert outcome == {run.id: "cancelled"}
        request.wait_disconnected()
        events: Any = waiting.result(timeout=30)
    assert kinds(events)[:1] == ["stop_reason"]
    assert events[0].stop_reason == "cancelled"
    ended = client.runs.retrieve(run.id)
    assert (ended.status, ended.stop_reason) == ("cancelled", "cancelled")
    provider.script(say("fresh"))
    answer = client.agents.messages.create(agent.id, input="next")
    assert answer.messages[-1].content == "fresh"  # type: ignore[union-attr]
    assert provider.requests[-1].turns[-1].text == "next"


def test_a_cancel_while_a_tool_runs_leaves_no_call_without_its_result(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=SLEEP_LONG)
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call("sleep_long", id="c1"))
    events: Any = iter(client.agents.messages.create(agent.id, input="go", streaming=True))
    assert next(events).message_type == "tool_call_message"
    client.agents.messages.cancel(agent.id)
    rest = kinds(events)
    assert rest[-2:] == ["stop_reason", "usage_statistics"]
    client.agents.messages.create(agent.id, input="next")
    last = provider.requests[-1]
    assert [item.split(":")[0] for item in last.shape] == ["system", "user", "assistant", "tool", "user"]
    assert "cancelled" in str(last.turns[2].results)


def test_a_blocking_request_that_is_cancelled_is_answered(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(hang(provider.gate("never")))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.agents.messages.create(agent.id, input="go"))
        provider.wait_for_requests(1)
        client.agents.messages.cancel(agent.id)
        answer = waiting.result(timeout=30)
    assert answer.stop_reason.stop_reason == "cancelled"


def test_cancelling_a_conversation_leaves_others_alone(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    one, two = (client.conversations.create(agent_id=agent.id) for _ in range(2))
    gate = provider.gate("both hang")
    provider.script(hang(gate, say("one")), hang(gate, say("two")))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: list(client.conversations.messages.create(one.id, input="a")))
        provider.wait_for_requests(1)
        second = pool.submit(lambda: list(client.conversations.messages.create(two.id, input="b")))
        provider.wait_for_requests(2)
        client.conversations.cancel(one.id)
        cancelled: Any = first.result(timeout=30)
        assert [e.stop_reason for e in cancelled if e.message_type == "stop_reason"] == ["cancelled"]
        gate.release()
        assert kinds(second.result(timeout=30)) == ["assistant_message", "stop_reason", "usage_statistics"]


def test_with_nothing_to_cancel_a_cancel_is_409(client: Letta) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    with pytest.raises(ConflictError, match="No active runs to cancel"):
        client.agents.messages.cancel(agent.id)
    with pytest.raises(ConflictError, match="No active runs to cancel"):
        client.conversations.cancel(conversation.id)
    with pytest.raises(ConflictError, match="No active runs to cancel"):
        client.conversations.cancel("default", agent_id=agent.id)


def test_the_second_of_two_messages_waits_for_the_first(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("first")
    provider.script(hang(gate, say("one")), say("two"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        second = pool.submit(lambda: client.agents.messages.create(agent.id, input="b"))
        client.agents.retrieve(agent.id)
        assert len(provider.requests) == 1
        gate.release()
        texts = [future.result(timeout=30).messages[-1].content for future in (first, second)]  # type: ignore[union-attr]
    assert texts == ["one", "two"]
    assert provider.requests[1].shape == ["system", "user", "assistant", "user"]


def test_with_the_reject_policy_a_busy_conversation_is_409(start_server: StartServer, provider: Provider) -> None:
    client = start_server(REVERIE_BUSY_POLICY="reject").client
    agent = bare_agent(client)
    gate = provider.gate("busy")
    provider.script(hang(gate, say("one")))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, input="a"))
        provider.wait_for_requests(1)
        (run,) = client.runs.list(agent_id=agent.id, active=True).items
        for streaming in (False, True):
            with pytest.raises(ConflictError) as refused:
                client.agents.messages.create(agent.id, input="b", streaming=streaming)
            detail = refused.value.body["detail"]  # type: ignore[index]
            assert "is currently being processed" in detail
            assert f"run_id={run.id}" in detail
        gate.release()
        assert first.result(timeout=30).messages[-1].content == "one"  # type: ignore[union-attr]
    assert client.agents.messages.create(agent.id, input="c").stop_reason.stop_reason == "end_turn"


def test_many_agents_talk_at_once(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=echo_source("echo_many"))
    agents = [bare_agent(client, tool_ids=[tool.id]) for _ in range(6)]
    provider.default = lambda request: (
        say("done") if request.turns[-1].role == "tool" else call("echo_many", text=request.text)
    )
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda agent: client.agents.messages.create(agent.id, input=agent.id), agents))
    for agent, answer in zip(agents, answers, strict=True):
        assert answer.messages[1].tool_return == f"echo: {agent.id}"  # type: ignore[union-attr]


def test_a_step_is_judged_measured_and_traced(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(reply(say("Hello."), usage=Usage(prompt=5, completion=2)))
    (run_id,) = client.agents.messages.create(agent.id, input="Hi").usage.run_ids or []
    (step,) = client.runs.steps.list(run_id).items
    judged = client.steps.feedback.create(step.id, feedback="positive", tags=["kind"])
    assert (judged.feedback, judged.tags) == ("positive", ["kind"])
    assert [found.id for found in client.steps.list(agent_id=agent.id, feedback="positive")] == [step.id]
    assert list(client.steps.list(agent_id=agent.id, feedback="negative")) == []
    measured = client.steps.metrics.retrieve(step.id)
    assert (measured.id, measured.run_id, measured.agent_id) == (step.id, run_id, agent.id)
    assert measured.llm_request_ns
    client.steps.trace.retrieve(step.id)
    client.runs.trace.retrieve(run_id, limit=10)
