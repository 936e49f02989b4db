"""A request that is sent again under the same otid gets the run it had, and no second turn."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from letta_client import APIStatusError, ConflictError, Letta
from tests.support.provider import Provider
from tests.support.replies import call, fail, hang, reply, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, kinds, new_agent

pytestmark = pytest.mark.one_database("postgresql")

RETRIED = {"x-stainless-retry-count": "1"}


def said(text: str, otid: str) -> Any:
    return [{"role": "user", "content": text, "otid": otid}]


def test_the_same_message_sent_again_is_answered_from_what_is_stored(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(call("memory_insert", label="human", new_string="x"), say("done"))
    first = client.agents.messages.create(agent.id, messages=said("go", "o-1"))
    again = client.agents.messages.create(agent.id, messages=said("go", "o-1"))
    assert again.usage.run_ids == first.usage.run_ids
    assert [m.id for m in again.messages] == [m.id for m in first.messages]
    assert kinds(again.messages) == ["tool_call_message", "tool_return_message", "assistant_message"]
    assert again.usage.total_tokens == first.usage.total_tokens
    events: list[Any] = list(client.agents.messages.create(agent.id, messages=said("go", "o-1"), streaming=True))
    assert kinds(events) == [*kinds(first.messages), "stop_reason", "usage_statistics"]
    assert [event.id for event in events[:-2]] == [m.id for m in first.messages]
    run = client.agents.messages.create_async(agent.id, messages=said("go", "o-1"))
    assert [run.id] == first.usage.run_ids
    assert run.status == "completed"
    assert len(provider.requests) == 2
    assert [m.message_type for m in client.agents.messages.list(agent.id)].count("user_message") == 1


def test_other_content_under_a_known_otid_is_409_and_says_so(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    run_ids = client.agents.messages.create(agent.id, messages=said("go", "o-1")).usage.run_ids or []
    for messages in (said("stop", "o-1"), [*said("go", "o-1"), *said("and more", "o-2")]):
        with pytest.raises(ConflictError) as refused:
            client.agents.messages.create(agent.id, messages=messages)
        detail = refused.value.body["detail"]  # type: ignore[index]
        assert "o-1" in detail
        assert f"run_id={run_ids[0]}" in detail
    assert len(provider.requests) == 1
    other = client.conversations.create(agent_id=agent.id)
    assert kinds(client.conversations.messages.create(other.id, messages=said("stop", "o-1")))[0] == "assistant_message"


def test_a_repeat_joins_the_run_that_is_still_going(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    gate = provider.gate("going")
    provider.script(hang(gate, say("one answer")))
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(lambda: client.agents.messages.create(agent.id, messages=said("go", "o-1")))
        provider.wait_for_requests(1)
        second = pool.submit(lambda: client.agents.messages.create(agent.id, messages=said("go", "o-1")))
        events: Any = iter(client.agents.messages.create(agent.id, messages=said("go", "o-1"), streaming=True))
        run = client.agents.messages.create_async(agent.id, messages=said("go", "o-1"))
        assert run.status == "running"
        gate.release()
        answers = [future.result(timeout=30) for future in (first, second)]
    assert {(answer.usage.run_ids or [""])[0] for answer in answers} == {run.id}
    assert answers[0].messages == answers[1].messages
    assert kinds(events) == ["assistant_message", "stop_reason", "usage_statistics"]
    assert len(provider.requests) == 1


def test_twins_that_arrive_at_once_are_one_turn(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    with ThreadPoolExecutor(6) as pool:
        sent = [
            pool.submit(lambda: client.agents.messages.create(agent.id, messages=said("go", "o-1"))) for _ in range(6)
        ]
        answers = [future.result(timeout=30) for future in sent]
    assert len({(answer.usage.run_ids or [""])[0] for answer in answers}) == 1
    assert len(provider.requests) == 1


def test_an_approval_sent_again_is_not_decided_twice(client: Letta, provider: Provider) -> None:
    tool = client.tools.upsert(source_code=echo_source("echo_gated"), default_requires_approval=True)
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call("echo_gated", text="t", id="c1"), say("done"))
    client.agents.messages.create(agent.id, input="go")
    answer: Any = [
        {"type": "approval", "otid": "o-9", "approvals": [{"type": "approval", "tool_call_id": "c1", "approve": True}]}
    ]
    first = client.agents.messages.create(agent.id, messages=answer)
    again = client.agents.messages.create(agent.id, messages=answer)
    assert kinds(again.messages) == ["tool_return_message", "assistant_message"]
    assert again.usage.run_ids == first.usage.run_ids
    answer[0]["approvals"][0]["approve"] = False
    with pytest.raises(ConflictError):
        client.agents.messages.create(agent.id, messages=answer)


def test_the_failure_of_a_run_is_its_answer_too(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(fail(401, code="invalid_api_key"))
    told = []
    for _ in range(2):
        with pytest.raises(APIStatusError) as refused:
            client.agents.messages.create(agent.id, messages=said("go", "o-1"))
        told.append((refused.value.status_code, refused.value.body["error_type"]))  # type: ignore[index]
    assert told == [(401, "llm_authentication")] * 2
    assert len(provider.requests) == 1


@pytest.mark.parametrize("kill", [False, True])
def test_a_repeat_is_known_after_a_restart(own_server: Server, provider: Provider, kill: bool) -> None:
    client = own_server.client
    agent = bare_agent(client)
    first = client.agents.messages.create(agent.id, messages=said("go", "o-1"))
    background: list[Any] = list(
        client.agents.messages.create(
            agent.id, messages=said("on", "o-2"), streaming=True, background=True, stream_tokens=True
        )
    )
    if not kill:
        own_server.stop()
    own_server.restart()
    client = own_server.client
    again = client.agents.messages.create(agent.id, messages=said("go", "o-1"))
    assert [m.id for m in again.messages] == [m.id for m in first.messages]
    replayed: list[Any] = list(
        client.agents.messages.create(
            agent.id, messages=said("on", "o-2"), streaming=True, background=True, stream_tokens=True
        )
    )
    assert [(e.message_type, e.seq_id) for e in replayed] == [(e.message_type, e.seq_id) for e in background]
    assert len(provider.requests) == 2


class LosesFirst(httpx.HTTPTransport):
    """A line that breaks once the first request has reached the model; the answer is made while nobody listens."""

    def __init__(self, server: Server, provider: Provider) -> None:
        super().__init__()
        self._server = server
        self._provider = provider
        self._lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._lost:
            return super().handle_request(request)
        self._lost = True
        head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        gate = self._provider.gate("lost")
        with socket.create_connection(("127.0.0.1", self._server.port)) as line:
            line.sendall(head.encode() + b"\r\n" + request.read())
            gate.wait_reached()
        gate.release()
        raise httpx.ReadTimeout("the answer does not come", request=request)


def test_what_an_sdk_sends_again_by_itself_is_no_second_message(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = bare_agent(client)
    provider.script(reply(provider.gate("lost"), say("one answer")))
    with httpx.Client(transport=LosesFirst(server, provider)) as line:
        patient = Letta(base_url=server.url, api_key="test", max_retries=1, http_client=line)
        answer = patient.agents.messages.create(agent.id, input="go")
    assert [message.content for message in answer.messages] == ["one answer"]  # type: ignore[union-attr]
    history = client.agents.messages.list(agent.id, order="asc").items
    assert kinds(history) == ["system_message", "user_message", "assistant_message"]
    # The answer was taken, so the same words are another message: the first attempt of that one never came.
    client.agents.messages.create(agent.id, input="go", extra_headers=RETRIED)
    client.agents.messages.create(agent.id, input="go")
    assert len(provider.requests) == 3


def test_what_an_sdk_sends_again_after_a_failure_is_said_once(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(fail(401), fail(401), fail(401), say("well"))
    with pytest.raises(APIStatusError):
        client.agents.messages.create(agent.id, input="go")
    for _ in range(2):
        with pytest.raises(APIStatusError):
            client.agents.messages.create(agent.id, input="stay", extra_headers=RETRIED)
    client.agents.messages.create(agent.id, input="stay", extra_headers=RETRIED)
    assert provider.requests[-1].shape == ["system", "user", "user"]
    history = client.agents.messages.list(agent.id, order="asc").items
    assert kinds(history) == ["system_message", "user_message", "user_message", "assistant_message"]
    client.agents.messages.create(agent.id, input="stay", extra_headers=RETRIED)
    assert provider.requests[-1].shape == ["system", "user", "user", "assistant", "user"]
