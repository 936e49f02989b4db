"""Calls that wait for a person, and calls that the client runs itself."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from letta_client import APIStatusError, ConflictError, Letta
from letta_client.types import AgentState
from tests.support.provider import Provider
from tests.support.replies import call, fail, reply, say
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.samples import bare_agent, echo_source, kinds

WHERE: Any = {
    "name": "where_am_i",
    "description": "Ask the client's GPS.",
    "parameters": {"type": "object", "properties": {"precise": {"type": "boolean"}}, "required": ["precise"]},
}


def _gated(client: Letta, **more: Any) -> tuple[AgentState, str, str]:
    """An agent with a tool that asks and one that does not."""
    mark = uuid4().hex[:8]
    asks, free = f"asks_{mark}", f"free_{mark}"
    ids = [
        client.tools.create(source_code=echo_source(asks), default_requires_approval=True).id,
        client.tools.create(source_code=echo_source(free)).id,
    ]
    return bare_agent(client, tool_ids=ids, **more), asks, free


def _answer(call_id: str, approve: bool = True, **more: Any) -> Any:
    item = {"type": "approval", "tool_call_id": call_id, "approve": approve, **more}
    return [{"type": "approval", "approvals": [item]}]


def test_a_gated_call_waits_and_runs_once_it_is_approved(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), say("done"))
    asked = client.agents.messages.create(agent.id, input="go")
    assert kinds(asked.messages) == ["approval_request_message"]
    assert asked.stop_reason.stop_reason == "requires_approval"
    request: Any = asked.messages[0]
    assert (request.tool_call.name, request.tool_call.tool_call_id) == (asks, "c1")
    assert [item.tool_call_id for item in request.tool_calls] == ["c1"]
    pending = client.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval
    assert pending is not None
    assert pending.id == request.id
    done = client.agents.messages.create(agent.id, messages=_answer("c1"))
    assert kinds(done.messages) == ["tool_return_message", "assistant_message"]
    assert done.messages[0].tool_return == "echo: a"  # type: ignore[union-attr]
    assert client.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval is None
    assert [item.split(":")[0] for item in provider.requests[1].shape] == ["system", "user", "assistant", "tool"]


def test_a_denied_call_does_not_run_and_the_model_reads_why(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), say("I understand"))
    client.agents.messages.create(agent.id, input="go")
    done = client.agents.messages.create(agent.id, messages=_answer("c1", False, reason="too dangerous"))
    assert done.messages[-1].content == "I understand"  # type: ignore[union-attr]
    result = provider.requests[1].turns[-1]
    assert "too dangerous" in str(result.results)
    assert "echo: a" not in str(result.results)


def test_the_old_forms_of_an_answer_are_understood(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    older_forms: Any = (
        lambda request: [{"type": "approval", "approve": True, "approval_request_id": request.id}],
        lambda request: _answer(request.id),
    )
    for older in older_forms:
        provider.script(call(asks, text="a"), say("done"))
        asked = client.agents.messages.create(agent.id, input="go")
        done = client.agents.messages.create(agent.id, messages=older(asked.messages[0]))
        assert kinds(done.messages) == ["tool_return_message", "assistant_message"]
        assert done.messages[0].tool_return == "echo: a"  # type: ignore[union-attr]


def test_in_a_parallel_batch_only_the_gated_call_asks(client: Letta, provider: Provider) -> None:
    agent, asks, free = _gated(client)
    provider.script(
        reply(call(free, text="f", id="c1"), call(asks, text="a", id="c2"), call(free, text="g", id="c3")), say("done")
    )
    asked = client.agents.messages.create(agent.id, input="go")
    request: Any = asked.messages[-1]
    assert request.message_type == "approval_request_message"
    assert [item.tool_call_id for item in request.tool_calls] == ["c2"]
    assert len(provider.requests) == 1
    client.agents.messages.create(agent.id, messages=_answer("c2"))
    results = [result for turn in provider.requests[1].turns for result in turn.results]
    assert dict(results) == {"c1": "echo: f", "c2": "echo: a", "c3": "echo: g"}
    assert len(provider.requests) == 2


def test_each_of_two_gated_calls_is_answered_by_itself(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(reply(call(asks, text="a", id="c1"), call(asks, text="b", id="c2")), say("done"))
    client.agents.messages.create(agent.id, input="go")
    answers: Any = [
        {"type": "approval", "tool_call_id": "c1", "approve": True},
        {"type": "approval", "tool_call_id": "c2", "approve": False, "reason": "no"},
    ]
    client.agents.messages.create(agent.id, messages=[{"type": "approval", "approvals": answers}])
    results = dict(result for turn in provider.requests[1].turns for result in turn.results)
    assert results["c1"] == "echo: a"
    assert "no" in results["c2"]


def test_a_user_message_while_an_approval_is_pending_is_409(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), say("done"))
    asked = client.agents.messages.create(agent.id, input="go")
    with pytest.raises(ConflictError) as refused:
        client.agents.messages.create(agent.id, input="hello?")
    detail: Any = refused.value.body["detail"]  # type: ignore[index]
    assert detail["code"] == "PENDING_APPROVAL"
    assert "waiting for approval" in detail["message"]
    assert "Please approve or deny the pending request before continuing" in detail["message"]
    assert detail["pending_request_id"] == asked.messages[0].id
    with pytest.raises(ConflictError):
        list(client.agents.messages.create(agent.id, input="hello?", streaming=True))
    done = client.agents.messages.create(agent.id, messages=_answer("c1"))
    assert done.stop_reason.stop_reason == "end_turn"
    with pytest.raises(APIStatusError) as second:
        client.agents.messages.create(agent.id, messages=_answer("c1", approve=False))
    assert second.value.status_code in (400, 409)
    assert "No tool call is currently awaiting approval" in str(second.value.body)


def test_an_answer_to_another_call_is_refused_and_the_call_still_waits(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), say("done"))
    client.agents.messages.create(agent.id, input="go")
    with pytest.raises(APIStatusError) as refused:
        client.agents.messages.create(agent.id, messages=_answer("other"))
    assert refused.value.status_code in (400, 409, 422)
    assert "Invalid tool call IDs" in str(refused.value.body)  # Letta Code looks for these words
    other_request: Any = [{"type": "approval", "approve": True, "approval_request_id": f"message-{uuid4()}"}]
    with pytest.raises(APIStatusError, match="Invalid tool call IDs"):
        client.agents.messages.create(agent.id, messages=other_request)
    assert client.agents.messages.create(agent.id, messages=_answer("c1")).stop_reason.stop_reason == "end_turn"


def test_an_answer_sent_again_goes_on_with_a_turn_that_broke_off(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), fail(400), say("done"))
    client.agents.messages.create(agent.id, input="go")
    with pytest.raises(APIStatusError):
        client.agents.messages.create(agent.id, messages=_answer("c1"))
    again = client.agents.messages.create(agent.id, messages=_answer("c1"))
    assert kinds(again.messages) == ["assistant_message"]
    assert provider.requests[-1].shape == ["system", "user", f"assistant:{asks}", "tool:echo: a"]
    for _ in range(2):  # and again: what that came to, no second turn, whatever was said since
        once_more = client.agents.messages.create(agent.id, messages=_answer("c1"))
        assert once_more.messages == again.messages
        client.agents.messages.create(agent.id, input="something else")
    with pytest.raises(APIStatusError, match="No tool call is currently awaiting approval"):
        client.agents.messages.create(agent.id, messages=_answer("c1", approve=False))
    provider.script(say("a new word"))
    spoken = [*_answer("c1"), {"role": "user", "content": "and now?"}]
    assert client.agents.messages.create(agent.id, messages=spoken).messages[0].content == "a new word"  # type: ignore[union-attr]
    assert provider.requests[-1].shape[-1] == "user"


@pytest.mark.one_database("sqlite")
def test_an_answer_goes_on_after_words_that_were_cut_and_after_a_compaction(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    gate = provider.gate("cut")
    provider.script(call(asks, text="a", id="c1"), reply(say("half of it"), gate, say("late")))
    client.agents.messages.create(agent.id, input="go")
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(lambda: client.agents.messages.create(agent.id, messages=_answer("c1")))
        gate.wait_reached()
        client.agents.messages.cancel(agent.id)
        sent.result(timeout=30)
    provider.script(say("done"))
    again = client.agents.messages.create(agent.id, messages=_answer("c1"))
    assert again.messages[-1].content == "done"  # type: ignore[union-attr]
    assert "your reply was cut off" in provider.requests[-1].turns[-1].text
    assert client.agents.messages.create(agent.id, messages=_answer("c1")).messages == again.messages
    provider.script(call(asks, text="b", id="c2"), fail(400), say("what was said"), say("done again"))
    client.agents.messages.create(agent.id, input="go")
    with pytest.raises(APIStatusError):
        client.agents.messages.create(agent.id, messages=_answer("c2"))
    client.agents.messages.compact(agent.id, compaction_settings={"mode": "all"})
    again = client.agents.messages.create(agent.id, messages=_answer("c2"))
    assert again.messages[-1].content == "done again"  # type: ignore[union-attr]
    assert not any(item.startswith("tool:") for item in provider.requests[-1].shape)


@pytest.mark.one_database("sqlite")
def test_nobody_is_asked_about_a_call_that_may_not_run(client: Letta, provider: Provider) -> None:
    agent, asks, free = _gated(client)
    rules: Any = [
        {"type": "parent_last_tool", "tool_name": free, "children": [asks, "where_am_i"]},
        {"type": "max_count_per_step", "tool_name": asks, "max_count_limit": 1},
    ]
    client.agents.update(agent.id, tool_rules=rules)
    provider.script(
        reply(call(asks, text="too early", id="c1"), call("where_am_i", precise=True, id="c2")),
        reply(call(free, text="f", id="c3"), call(asks, wrong=1, id="c4")),
        reply(call(free, text="g", id="c5"), call(asks, text="a", id="c6"), call(asks, text="once more", id="c7")),
        say("done"),
    )
    sent: Any = {"input": "go", "client_tools": [WHERE], "streaming": True, "stream_tokens": True}
    stream = client.agents.messages.create(agent.id, **sent)
    seen: Any = [chunk for chunk in stream if chunk.message_type != "usage_statistics"]
    assert seen[-1].stop_reason == "requires_approval"
    stored = client.agents.messages.list(agent.id, order="asc").items
    asked: Any = [item for item in stored if item.message_type == "approval_request_message"]
    assert {item.tool_call.tool_call_id for item in seen if item.message_type == "approval_request_message"} == {"c6"}
    assert [[item.tool_call_id for item in request.tool_calls] for request in asked] == [["c6"]]
    results = dict(result for turn in provider.requests[2].turns for result in turn.results)
    assert "may not be called now" in results["c1"]
    assert "may not be called now" in results["c2"]
    assert "has no argument 'wrong'" in results["c4"]
    client.agents.messages.create(agent.id, messages=_answer("c6"))
    results = dict(result for turn in provider.requests[3].turns for result in turn.results)
    assert results["c6"] == "echo: a"
    assert "echo" not in results["c7"]


def test_approval_streams_like_any_message(client: Letta, provider: Provider) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a b c", id="c1"), say("done"))
    asked = list(client.agents.messages.create(agent.id, input="go", streaming=True, stream_tokens=True))
    assert set(kinds(asked)) == {"approval_request_message", "stop_reason", "usage_statistics"}
    assert asked[-2].stop_reason == "requires_approval"  # type: ignore[union-attr]
    stream = client.agents.messages.create(agent.id, messages=_answer("c1"), streaming=True)
    assert kinds(stream) == ["tool_return_message", "assistant_message", "stop_reason", "usage_statistics"]


def test_approval_can_be_switched_for_one_agent(client: Letta, provider: Provider) -> None:
    agent, asks, free = _gated(client)
    tool_id = next(tool.id for tool in agent.tools if tool.name == asks)
    given = client.agents.create(model=agent.model)
    client.agents.tools.attach(tool_id, agent_id=given.id)
    for owner in (agent.id, given.id):  # what asks by default stands among the rules of whoever has it
        listed = [(rule.type, rule.tool_name) for rule in client.agents.retrieve(owner).tool_rules or ()]
        assert listed == [("requires_approval", asks)]
    client.agents.tools.update_approval(asks, agent_id=agent.id, body_requires_approval=False)
    for required in (True, False, True):
        client.agents.tools.update_approval(free, agent_id=agent.id, body_requires_approval=required)
        rules = [(rule.type, rule.tool_name) for rule in client.agents.retrieve(agent.id).tool_rules or ()]
        assert rules == [("requires_approval", free)] * required
    provider.script(call(asks, text="a"), call(free, text="f", id="c1"), say("done"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert kinds(answer.messages) == ["tool_call_message", "tool_return_message", "approval_request_message"]
    client.agents.messages.create(agent.id, messages=_answer("c1"))
    assert client.tools.retrieve(tool_id).default_requires_approval is True


def test_what_waits_is_listed_across_agents_and_denied_when_its_time_is_over(
    client: Letta, server: Server, provider: Provider
) -> None:
    patient, asks, free = _gated(client)
    hasty, gated, _ = _gated(client, metadata={"approval_timeout_s": 1})
    talk = client.conversations.create(agent_id=patient.id)
    mine = {patient.id, hasty.id}

    def waiting(**query: Any) -> list[Any]:
        found = server.http.get("/v1/approvals", params={"limit": 1000, **query})
        assert found.status_code == 200, found.text
        return [item for item in found.json() if item["agent_id"] in mine]

    provider.script(reply(call(asks, text="a", id="c1"), call(free, text="f"), call(asks, text="b", id="c2")))
    asked: Any = client.agents.messages.create(patient.id, input="go").messages[-1]
    provider.script(call(asks, text="t", id="c3"))
    client.conversations.messages.create(talk.id, messages=[{"role": "user", "content": "go"}], streaming=False)
    provider.script(call(gated, text="h", id="c4"), say("Another time, then."))
    client.agents.messages.create(hasty.id, input="go")
    first, second, third = waiting()
    assert [item["agent_id"] for item in (first, second, third)] == [patient.id, patient.id, hasty.id]
    assert (first["id"], first["agent_name"], first["expires_at"]) == (asked.id, patient.name, None)
    assert [item["tool_call_id"] for item in first["tool_calls"]] == ["c1", "c2"]
    assert (second["conversation_id"], first["conversation_id"]) == (talk.id, patient.id)
    assert third["expires_at"] > third["created_at"]
    assert waiting(conversation_id=talk.id) == [second]
    assert waiting(agent_id=patient.id, limit=1) == [first]
    assert waiting(agent_id=patient.id, after=first["id"]) == [second]
    answer = client.agents.messages.create(patient.id, messages=_answer("c1"))  # one of two
    assert answer.stop_reason.stop_reason == "requires_approval"
    assert [item["tool_call_id"] for item in waiting(agent_id=patient.id)[0]["tool_calls"]] == ["c2"]

    until(lambda: not waiting(agent_id=hasty.id))
    (denied,) = [run for run in client.runs.list(agent_id=hasty.id) if run.background]
    until(lambda: client.runs.retrieve(denied.id).status == "completed")
    assert kinds(client.runs.messages.list(denied.id)) == [
        "approval_response_message", "tool_return_message", "assistant_message",
    ]  # fmt: skip
    assert "nobody answered within 1 s" in str(provider.requests[-1].turns[-1].results)
    provider.script(say("hello"))
    assert client.agents.messages.create(hasty.id, input="hi").stop_reason.stop_reason == "end_turn"


@pytest.mark.parametrize("through", ["agent", "conversation", "run"])
def test_a_cancel_takes_a_pending_approval_back_and_the_next_message_works(
    client: Letta, provider: Provider, through: str
) -> None:
    agent, asks, _ = _gated(client)
    provider.script(call(asks, text="a", id="c1"), say("hello"))
    client.agents.messages.create(agent.id, input="go")
    (run,) = client.runs.list(agent_id=agent.id).items
    if through == "agent":
        assert client.agents.messages.cancel(agent.id) == {run.id: "cancelled"}
    elif through == "conversation":
        assert client.conversations.cancel(agent.id) == {run.id: "cancelled"}
    else:
        assert client.agents.messages.cancel(agent.id, run_ids=[run.id]) == {run.id: "cancelled"}
    answer = client.agents.messages.create(agent.id, input="hi")
    assert answer.messages[-1].content == "hello"  # type: ignore[union-attr]
    assert "cancelled before anybody answered" in str(provider.requests[-1].shape)
    # It ended as it ended; what is over cannot be cancelled into something else.
    assert client.runs.retrieve(run.id).stop_reason == "requires_approval"


def test_a_client_tool_goes_to_the_client_and_comes_back(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(call("where_am_i", precise=True, id="c1"), say("In Bern."))
    skill: Any = {"name": "maps", "description": "Reading maps.", "location": "/skills/maps"}
    asked = client.agents.messages.create(agent.id, input="where?", client_tools=[WHERE], client_skills=[skill])
    assert asked.stop_reason.stop_reason == "requires_approval"
    request: Any = asked.messages[-1]
    assert request.message_type == "approval_request_message"
    assert [(item.name, item.arguments.replace(" ", "")) for item in request.tool_calls] == [
        ("where_am_i", '{"precise":true}')
    ]
    assert "where_am_i" in provider.requests[0].tools
    assert "Reading maps." in provider.requests[0].system
    returned: Any = {
        "type": "tool", "tool_call_id": "c1", "tool_return": "Bern", "status": "success", "stdout": ["gps on"],
    }  # fmt: skip
    done = client.agents.messages.create(
        agent.id, messages=[{"type": "approval", "approvals": [returned]}], client_tools=[WHERE]
    )
    assert done.messages[-1].content == "In Bern."  # type: ignore[union-attr]
    assert provider.requests[1].shape[-1] == "tool:Bern"
    assert client.tools.list(name="where_am_i").items == []
    client.agents.messages.create(agent.id, input="and now?")
    assert "where_am_i" not in provider.requests[2].tools
    assert "Reading maps." not in provider.requests[2].system


def test_a_client_tool_and_a_server_tool_in_one_reply(client: Letta, provider: Provider) -> None:
    agent, _, free = _gated(client)
    provider.script(reply(call(free, text="f", id="c1"), call("where_am_i", precise=False, id="c2")), say("ok"))
    asked = client.agents.messages.create(agent.id, input="go", client_tools=[WHERE])
    request: Any = asked.messages[-1]
    assert [item.tool_call_id for item in request.tool_calls] == ["c2"]
    returned: Any = {"type": "tool", "tool_call_id": "c2", "tool_return": "no signal", "status": "error"}
    client.agents.messages.create(
        agent.id, messages=[{"type": "approval", "approvals": [returned]}], client_tools=[WHERE]
    )
    results = dict(result for turn in provider.requests[1].turns for result in turn.results)
    assert results["c1"] == "echo: f"
    assert "no signal" in results["c2"]
