"""A provider's failure reaches the user as what it is, and never makes the next message fail."""

from collections.abc import Callable
from typing import Any

import pytest
from letta_client import APIStatusError, Letta
from tests.support.provider import Provider
from tests.support.replies import Answer, Failure, ReplyPart, StreamError, call, cut, fail, hang, reply, say
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, kinds, new_agent

pytestmark = pytest.mark.one_database("sqlite")

SOON = 0.01

FAILURES: dict[str, tuple[Answer | ReplyPart, int, str, str]] = {
    # what the provider answers, HTTP status, error type, stop reason
    "bad key": (fail(401, code="invalid_api_key"), 401, "llm_authentication", "llm_api_error"),
    "rate limit": (fail(429, retry_after=SOON), 429, "llm_rate_limit", "llm_api_error"),
    "no quota": (fail(429, code="insufficient_quota"), 402, "llm_error", "insufficient_credits"),
    "payment": (fail(402), 402, "llm_error", "insufficient_credits"),
    "overloaded": (fail(503, retry_after=SOON), 503, "llm_error", "llm_api_error"),
    "broken": (fail(500, retry_after=SOON), 503, "llm_error", "llm_api_error"),
    "no such model": (fail(404, code="model_not_found"), 404, "llm_error", "llm_api_error"),
    "refused": (fail(400, code="content_policy_violation"), 400, "llm_error", "llm_api_error"),
    "too long": (fail(400, code="context_length_exceeded"), 400, "context_window_overflow", "llm_api_error"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_of_the_provider_is_told_as_what_it_is(client: Letta, provider: Provider, kind: str) -> None:
    answer, status, error_type, stop_reason = FAILURES[kind]
    agent = bare_agent(client)
    provider.default = answer
    with pytest.raises(APIStatusError) as blocking:
        client.agents.messages.create(agent.id, input="one")
    assert blocking.value.status_code == status
    body: Any = blocking.value.body
    assert body["error_type"] == error_type
    assert "openai" in body["detail"]

    seen: list[str | None] = []
    with pytest.raises(APIStatusError) as streamed:
        seen.extend(e.message_type for e in client.agents.messages.create(agent.id, input="two", streaming=True))
    assert seen == ["stop_reason"]
    event: Any = streamed.value.body
    assert (event["message_type"], event["error_type"]) == ("error_message", error_type)
    assert event["message"] == body["detail"]
    run = client.runs.retrieve(event["run_id"])
    assert (run.status, run.stop_reason) == ("failed", stop_reason)
    assert isinstance(answer, Failure)
    assert event["detail"].startswith(f"Error code: {answer.status} - ")  # Letta Code decides by it
    assert (run.metadata or {})["error"] == event

    provider.default = say("fine again")
    again = client.agents.messages.create(agent.id, input="three")
    assert again.messages[-1].content == "fine again"  # type: ignore[union-attr]


def test_what_a_provider_refuses_is_not_sent_again_with_each_later_message(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.default = lambda request: fail(400, "unreadable image") if b"broken" in request.raw else say("fine")
    with pytest.raises(APIStatusError, match="unreadable image"):
        client.agents.messages.create(agent.id, input="see this broken image")
    after = client.agents.messages.create(agent.id, input="hello")
    assert after.messages[-1].content == "fine"  # type: ignore[union-attr]
    said = [m.content for m in client.agents.messages.list(agent.id, order="asc") if m.message_type == "user_message"]
    assert said == ["see this broken image", "hello"]


@pytest.mark.parametrize(
    ("part", "error_type"),
    [
        (cut(say("one", " two", " three"), after_chunks=2), "stream_incomplete"),
        (reply(say("one", " two"), StreamError("boom")), "llm_error"),
    ],
    ids=["cut", "error"],
)
@pytest.mark.parametrize("background", [False, True])
def test_a_stream_that_breaks_half_way_says_so_at_its_end(
    client: Letta, server: Server, provider: Provider, part: Answer, error_type: str, background: bool
) -> None:
    agent = bare_agent(client)
    provider.script(part)
    body = {"input": "go", "streaming": True, "stream_tokens": True, "background": background}
    with server.http as http, http.stream("POST", f"/v1/agents/{agent.id}/messages", json=body) as response:
        frames = response.read().decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert frames[-3].startswith('event: error\ndata: {"message_type":"error_message"')
    assert error_type in frames[-3]
    assert '"stop_reason":"llm_api_error"' in frames[-4]
    assert '"content":"one"' in frames[0]
    if background:
        assert '"seq_id":1' in frames[0]
        assert '"seq_id":4' in frames[-3]
    provider.script(say("whole"))
    again = client.agents.messages.create(agent.id, input="again")
    assert again.messages[-1].content == "whole"  # type: ignore[union-attr]


def test_a_failure_in_the_second_step_keeps_the_first(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(call("memory_insert", label="human", new_string="kept"), fail(401, code="invalid_api_key"))
    seen: list[str | None] = []
    with pytest.raises(APIStatusError):
        seen.extend(e.message_type for e in client.agents.messages.create(agent.id, input="go", streaming=True))
    assert seen == ["tool_call_message", "tool_return_message", "stop_reason"]
    assert "kept" in client.agents.blocks.retrieve("human", agent_id=agent.id).value
    provider.script(say("ok"))
    client.agents.messages.create(agent.id, input="next")
    assert [item.split(":")[0] for item in provider.requests[-1].shape] == [
        "system", "user", "assistant", "tool", "user"
    ]  # fmt: skip


def test_a_passing_failure_is_retried_and_nobody_notices(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(fail(429, retry_after=SOON), fail(503, retry_after=SOON), say("third time"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert kinds(answer.messages) == ["assistant_message"]
    assert len(provider.requests) == 3


def test_a_provider_that_says_nothing_times_out(start_server: StartServer, provider: Provider) -> None:
    client = start_server(REVERIE_MODEL_READ_TIMEOUT_S="0.2").client
    agent = bare_agent(client)
    provider.default = hang(provider.gate("never"))
    with pytest.raises(APIStatusError) as refused:
        client.agents.messages.create(agent.id, input="go")
    assert refused.value.status_code == 504
    assert refused.value.body["error_type"] == "llm_timeout"  # type: ignore[index]


def test_a_reply_with_broken_arguments_is_a_result_and_the_turn_goes_on(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(call("memory_insert", '{"label": "human", "new_str'), say("sorry"))
    answer = client.agents.messages.create(agent.id, input="go")
    assert kinds(answer.messages) == ["tool_call_message", "tool_return_message", "assistant_message"]
    assert answer.messages[1].status == "error"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda c: c.agents.retrieve("agent-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.agents.retrieve("nonsense"), 422),
        (lambda c: c.blocks.retrieve("block-1"), 422),
        (lambda c: c.tools.retrieve("tool-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.runs.retrieve("run-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.steps.retrieve("step-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.conversations.retrieve("conv-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.messages.retrieve("message-00000000-0000-4000-8000-000000000000"), 404),
        (lambda c: c.get("/v1/no/such/route", cast_to=object), 404),
        (lambda c: c.agents.create(model="openai/gpt-4o-mini", agent_type="no_such_type"), 422),
        (lambda c: c.agents.list(limit="many"), 422),
        (lambda c: c.agents.list(after="agent-00000000-0000-4000-8000-000000000000"), 404),
    ],
)
def test_errors_are_json_of_the_right_status(client: Letta, ask: Callable[[Letta], object], status: int) -> None:
    with pytest.raises(APIStatusError) as refused:
        ask(client)
    assert refused.value.status_code == status
    body: Any = refused.value.body
    assert body["detail"]
