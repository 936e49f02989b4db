"""What was said to model providers, and where a run spent its time."""

import json
from typing import Any

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import Usage, call, fail, hang, reply, say, think
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import ANTHROPIC_MODEL, bare_agent, echo_source, stored_bytes

pytestmark = pytest.mark.one_database("postgresql")

SECRET = 'opensesame-"4711"'
LEAK = '''
def leak() -> str:
    """Show what must not be shown."""
    import os
    return "it is " + os.environ["VAULT"]
'''


def steps_of(client: Letta, agent_id: str) -> list[str]:
    """The agent's steps, oldest first."""
    return [step.id for step in client.steps.list(agent_id=agent_id, order="asc")]


@pytest.mark.parametrize(
    ("model", "streamed"),
    [(MODEL, False), (MODEL, True), (ANTHROPIC_MODEL, True), ("google_ai/gemini-2.5-flash", False)],
)
def test_a_step_tells_what_was_sent_and_what_came_back(
    client: Letta, provider: Provider, model: str, streamed: bool
) -> None:
    agent = bare_agent(client, model=model, tags=["blue"])
    provider.script(reply(say("Hello you."), usage=Usage(prompt=100, completion=10)))
    if streamed:
        list(client.agents.messages.create(agent.id, input="hi", streaming=True))
    else:
        client.agents.messages.create(agent.id, input="hi")
    (sent,) = provider.requests
    (step_id,) = steps_of(client, agent.id)
    trace = client.steps.trace.retrieve(step_id)
    assert trace is not None
    assert trace.request_json == sent.body
    choice: Any = trace.response_json["choices"][0]  # type: ignore[index]
    assert choice["message"] == {"role": "assistant", "content": "Hello you."}
    assert choice["finish_reason"] == "stop"
    assert trace.response_json["usage"]["prompt_tokens"] == 100  # type: ignore[index]
    assert (trace.step_id, trace.agent_id, trace.call_type, trace.agent_tags) == (
        step_id, agent.id, "agent_step", ["blue"],
    )  # fmt: skip
    assert trace.llm_config is not None
    assert trace.llm_config["handle"] == model
    assert trace.latency_ms is not None
    assert trace.id is not None
    assert trace.id.startswith("provider_trace-")


def test_calls_thoughts_and_failures_are_kept_too(server: Server, client: Letta, provider: Provider) -> None:
    tool = client.tools.create(source_code=echo_source("echo_traced"))
    agent = bare_agent(client, model=ANTHROPIC_MODEL, tool_ids=[tool.id])
    provider.script(reply(think("let me see", signature="s"), call("echo_traced", text="x")), fail(400, "no such luck"))
    with pytest.raises(APIStatusError):
        client.agents.messages.create(agent.id, input="hi")
    first, second = (client.steps.trace.retrieve(step_id) for step_id in steps_of(client, agent.id))
    assert first is not None and second is not None
    choice: Any = first.response_json["choices"][0]  # type: ignore[index]
    assert choice["message"]["reasoning_content"] == "let me see"
    called = choice["message"]["tool_calls"][0]["function"]
    assert (called["name"], json.loads(called["arguments"])) == ("echo_traced", {"text": "x"})
    assert "no such luck" in second.response_json["error"]["message"]  # type: ignore[index]
    assert second.request_json["messages"]
    with server.http as http:
        assert http.get(f"/v1/telemetry/{second.step_id}").json()["id"] == second.id
        assert http.get("/v1/telemetry/step-00000000-0000-4000-8000-000000000000").status_code == 404
    with pytest.raises(NotFoundError):
        client.steps.trace.retrieve("step-00000000-0000-4000-8000-000000000000")


def test_neither_keys_nor_secrets_are_in_a_trace(own_server: Server, provider: Provider) -> None:
    client = own_server.client
    tool = client.tools.create(source_code=LEAK)
    agent = bare_agent(client, tool_ids=[tool.id], secrets={"VAULT": SECRET})
    provider.script(call("leak"), say(f"It said {SECRET}."))
    client.agents.messages.create(agent.id, input="hi")
    assert "opensesame" in str(provider.requests[1].body)
    whole = str([client.steps.trace.retrieve(step_id) for step_id in steps_of(client, agent.id)])
    assert "opensesame" not in whole
    assert "It said [secret VAULT]." in whole
    assert "it is [secret VAULT]" in whole
    assert "test-key" not in whole
    assert not any(b"test-key" in found for found in stored_bytes(own_server))


def test_spans_of_a_run_tell_where_its_time_went(client: Letta, provider: Provider) -> None:
    tool = client.tools.create(source_code=echo_source("echo_spanned"))
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call("echo_spanned", text="x"), say("done"))
    answer = client.agents.messages.create(agent.id, input="go")
    (run_id,) = answer.usage.run_ids or []
    spans: list[dict[str, Any]] = client.runs.trace.retrieve(run_id)
    names = [span["SpanName"] for span in spans]
    assert names[0] == "agent_run"
    assert sorted(names[1:]) == [
        "agent_step", "agent_step", "echo_spanned._execute_tool", "model_request", "model_request",
        "time_to_first_token",
    ]  # fmt: skip
    root = spans[0]
    assert (root["ParentSpanId"], root["StatusCode"]) == ("", "Ok")
    by_id = {span["SpanId"]: span for span in spans}
    assert len(by_id) == len(spans)
    (ran,) = (span for span in spans if span["SpanName"] == "echo_spanned._execute_tool")
    step = by_id[ran["ParentSpanId"]]
    assert step["SpanName"] == "agent_step"
    assert by_id[step["ParentSpanId"]] is root
    assert 0 < ran["Duration"] <= step["Duration"] <= root["Duration"]
    assert [span["Timestamp"] for span in spans] == sorted(span["Timestamp"] for span in spans)
    assert client.runs.trace.retrieve(run_id, limit=2) == spans[:2]


def test_a_cancelled_run_has_its_trace_and_a_deleted_one_has_none(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(hang())
    run = client.agents.messages.create_async(agent.id, input="go")
    provider.wait_for_requests(1)
    client.agents.messages.cancel(agent.id)
    (step_id,) = steps_of(client, agent.id)
    trace = client.steps.trace.retrieve(step_id)
    assert trace is not None
    assert trace.request_json["model"] == "gpt-4o-mini"
    spans = client.runs.trace.retrieve(run.id)
    assert spans[0]["SpanName"] == "agent_run"
    client.agents.delete(agent.id)
    with pytest.raises(NotFoundError):
        client.steps.trace.retrieve(step_id)


def test_nothing_is_kept_where_that_is_turned_off(start_server: StartServer, provider: Provider) -> None:
    server = start_server(REVERIE_TRACE_DAYS="0")
    client = server.client
    agent = bare_agent(client)
    client.agents.messages.create(agent.id, input="hi")
    (step_id,) = steps_of(client, agent.id)
    with server.http as http:
        assert http.get(f"/v1/steps/{step_id}/trace").json() is None


def test_a_trace_outlives_the_process_that_made_it(own_server: Server, provider: Provider) -> None:
    agent = bare_agent(own_server.client)
    own_server.client.agents.messages.create(agent.id, input="hi")
    assert own_server.stop() == 0
    own_server.start()
    (step_id,) = steps_of(own_server.client, agent.id)
    assert own_server.client.steps.trace.retrieve(step_id) is not None
