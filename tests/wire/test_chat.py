"""Agents driven by OpenAI's own client, and as voice services drive them."""

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta
from openai import APIError, BadRequestError, NotFoundError, OpenAI, UnprocessableEntityError
from tests.support.provider import Provider
from tests.support.replies import StreamError, Usage, call, reply, say
from tests.support.server import Server
from tests.wire.samples import PIXEL, bare_agent, echo_source, kinds, new_agent

pytestmark = pytest.mark.one_database("sqlite")

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def openai(server: Server) -> Iterator[OpenAI]:
    """OpenAI's client, talking to `server`."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="test", max_retries=0) as client:
        yield client


def test_a_turn_is_one_completion(client: Letta, openai: OpenAI, provider: Provider) -> None:
    agent = bare_agent(client)
    provider.script(reply(say("Hello Bo."), usage=Usage(prompt=100, completion=10, cached=7, reasoning=3)))
    done = openai.chat.completions.create(
        model=agent.id,
        messages=[{"role": "system", "content": "ignored"}, {"role": "user", "content": "I am Bo."}],
        temperature=0.3,
        top_p=0.8,
        max_tokens=44,
        stop=["END"],
        presence_penalty=0.1,
        frequency_penalty=0.2,
        user="bo",
    )
    assert (done.object, done.model, len(done.choices)) == ("chat.completion", agent.id, 1)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("Hello Bo.", "stop")
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (100, 10, 110)
    assert done.usage.prompt_tokens_details is not None
    assert done.usage.prompt_tokens_details.cached_tokens == 7
    (request,) = provider.requests
    assert request.shape == ["system", "user"]
    assert "ignored" not in request.system
    wanted = {"temperature": 0.3, "top_p": 0.8, "stop": ["END"], "presence_penalty": 0.1, "frequency_penalty": 0.2}
    assert {name: request.body[name] for name in wanted} == wanted
    assert 44 in (request.body.get("max_tokens"), request.body.get("max_completion_tokens"))
    stored: list[Any] = list(client.agents.messages.list(agent.id, order="asc"))
    assert kinds(stored) == ["system_message", "user_message", "assistant_message"]
    assert stored[1].sender_id == "bo"


def test_only_what_is_new_is_sent_since_the_agent_remembers(client: Letta, openai: OpenAI, provider: Provider) -> None:
    agent = bare_agent(client)
    image: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    openai.chat.completions.create(model=agent.id, messages=[{"role": "user", "content": "one"}])
    openai.chat.completions.create(
        model=agent.id,
        messages=[
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "whatever"},
            {"role": "user", "content": [{"type": "text", "text": "two"}, image]},
        ],
    )
    turns = provider.requests[-1].turns
    assert [turn.text for turn in turns] == ["one", "All right.", "two"]
    assert PIXEL in str(provider.requests[-1].body["messages"][-1])


def test_a_stream_is_one_answer_in_pieces(client: Letta, openai: OpenAI, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(
        reply(say("Let me ", "note it."), call("memory_insert", label="human", new_string="Bo")), say("Do", "ne.")
    )
    chunks = list(
        openai.chat.completions.create(
            model=agent.id,
            messages=[{"role": "user", "content": "I am Bo"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, last = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == "Let me note it.\n\nDone."
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices[0].finish_reason] == ["stop"]
    assert len(pieces) == 5
    assert len({chunk.id for chunk in chunks}) == 1
    assert (last.choices, last.usage is not None and last.usage.total_tokens > 0) == ([], True)
    blocking = openai.chat.completions.create(model=agent.id, messages=[{"role": "user", "content": "again"}])
    assert blocking.choices[0].message.content == "All right."


def test_what_is_said_through_the_messaging_tool_is_the_answer(
    client: Letta, openai: OpenAI, provider: Provider
) -> None:
    agent = new_agent(client, agent_type="memgpt_agent")
    for _ in range(2):
        provider.script(call("send_message", message='Hi "you" – all.'))
    words: Any = [{"role": "user", "content": "hi"}]
    done = openai.chat.completions.create(model=agent.id, messages=words)
    assert done.choices[0].message.content == 'Hi "you" – all.'
    stream = openai.chat.completions.create(model=agent.id, messages=words, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == 'Hi "you" – all.'
    assert sum(bool(piece) for piece in pieces) > 1


def test_calls_that_wait_are_told_and_answered_by_the_client(client: Letta, openai: OpenAI, provider: Provider) -> None:
    tool = client.tools.create(source_code=echo_source("echo_chat"), default_requires_approval=True)
    agent = bare_agent(client, tool_ids=[tool.id])
    words: Any = [{"role": "user", "content": "go"}]
    for stream in (False, True):
        provider.script(call("echo_chat", text="x"), say("It said x."))
        if stream:
            chunks = list(openai.chat.completions.create(model=agent.id, messages=words, stream=True))
            deltas = [item for chunk in chunks for item in chunk.choices[0].delta.tool_calls or []]
            assert chunks[-1].choices[0].finish_reason == "tool_calls"
            asked: Any = deltas[0]
        else:
            done: Any = openai.chat.completions.create(model=agent.id, messages=words)
            assert done.choices[0].finish_reason == "tool_calls"
            asked = done.choices[0].message.tool_calls[0]
        assert (asked.function.name, asked.function.arguments.replace(" ", "")) == ("echo_chat", '{"text":"x"}')
        asking = {"id": asked.id, "type": "function", "function": {"name": "echo_chat", "arguments": "{}"}}
        answers: Any = [
            *words,
            {"role": "assistant", "content": None, "tool_calls": [asking]},
            {"role": "tool", "tool_call_id": asked.id, "content": "the client's x"},
        ]
        final = openai.chat.completions.create(model=agent.id, messages=answers)
        assert final.choices[0].message.content == "It said x."
        assert provider.requests[-1].shape[-1] == "tool:the client's x"


def test_faults_are_told_as_openais_client_expects(client: Letta, openai: OpenAI, provider: Provider) -> None:
    agent = bare_agent(client)
    words: Any = [{"role": "user", "content": "hi"}]
    with pytest.raises(NotFoundError):
        openai.chat.completions.create(model=NOBODY, messages=words)
    with pytest.raises(UnprocessableEntityError, match="model"):
        openai.chat.completions.create(model="gpt-4o", messages=words)
    with pytest.raises(BadRequestError, match="n:"):
        openai.chat.completions.create(model=agent.id, messages=words, n=2)
    with pytest.raises(BadRequestError, match="follows the last one"):
        openai.chat.completions.create(model=agent.id, messages=[*words, {"role": "assistant", "content": "x"}])
    provider.script(reply(say("half "), StreamError("the provider broke")))
    with pytest.raises(APIError) as broken:
        list(openai.chat.completions.create(model=agent.id, messages=words, stream=True))
    assert "broke" in str(broken.value)
    assert openai.chat.completions.create(model=agent.id, messages=words).choices[0].message.content == "All right."


def test_a_voice_service_gets_a_stream_unless_it_declines(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    with OpenAI(base_url=f"{server.url}/v1/voice-beta/{agent.id}", api_key="test", max_retries=0) as voice:
        stream = voice.chat.completions.create(model="any", messages=[{"role": "user", "content": "hi"}], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "All right."
        done = voice.chat.completions.create(model="any", messages=[{"role": "user", "content": "hi"}], stream=False)
        assert done.choices[0].message.content == "All right."
    with server.http as http:
        body = {"messages": [{"role": "user", "content": "hi"}]}
        answer = http.post(f"/v1/voice-beta/{agent.id}/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
