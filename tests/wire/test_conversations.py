"""Conversations of one agent: apart in what was said, one in memory."""

from datetime import UTC, datetime
from typing import Any

import pytest
from letta_client import APIStatusError, BadRequestError, Letta, NotFoundError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import call, hang, say
from tests.support.server import Server
from tests.wire.samples import ANTHROPIC_MODEL, bare_agent, kinds, new_agent


def test_a_message_in_a_conversation_streams_by_default(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(
        agent_id=agent.id, summary="tea", description="about tea", context_window_limit=9000
    )
    assert conversation.id.startswith("conv-")
    assert (conversation.agent_id, conversation.summary, conversation.description) == (agent.id, "tea", "about tea")
    assert conversation.context_window_limit == 9000
    provider.script(say("hello"))
    events: list[Any] = list(client.conversations.messages.create(conversation.id, input="hi"))
    assert kinds(events) == ["assistant_message", "stop_reason", "usage_statistics"]
    stored = client.conversations.messages.list(conversation.id, order="asc")
    assert [item.id for item in stored if item.message_type == "assistant_message"] == [events[0].id]


def test_streaming_false_answers_with_the_whole_reply(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    provider.script(say("hello"))
    with server.http as http:
        answer = http.post(
            f"/v1/conversations/{conversation.id}/messages", json={"input": "hi", "streaming": False}
        ).json()
    assert [item["content"] for item in answer["messages"]] == ["hello"]
    assert answer["stop_reason"]["stop_reason"] == "end_turn"


def test_conversations_share_blocks_but_not_what_was_said(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    one, two = (client.conversations.create(agent_id=agent.id) for _ in range(2))
    list(client.conversations.messages.create(two.id, input="before the edit"))
    provider.script(call("memory_replace", label="human", old_string="unknown", new_string="Ada"), say("Noted."))
    list(client.conversations.messages.create(one.id, input="I am Ada"))
    list(client.conversations.messages.create(two.id, input="who am I?"))
    last = provider.requests[-1]
    assert "Name: Ada" in last.system
    assert last.shape == ["system", "user", "assistant", "user"]
    assert [turn.text for turn in last.turns if turn.role == "user"] == ["before the edit", "who am I?"]
    client.agents.messages.create(agent.id, input="in the main thread")
    assert provider.requests[-1].shape == ["system", "user"]
    assert "Name: Ada" in provider.requests[-1].system


def test_default_names_the_agents_own_thread(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    client.agents.messages.create(agent.id, input="one")
    list(client.conversations.messages.create("default", agent_id=agent.id, input="two"))
    assert provider.requests[-1].shape == ["system", "user", "assistant", "user"]
    listed = client.conversations.messages.list("default", agent_id=agent.id, order="asc")
    assert [item.content for item in listed if item.message_type == "user_message"] == ["one", "two"]
    with pytest.raises(APIStatusError) as refused:
        list(client.conversations.messages.create("default", input="whose?"))
    assert refused.value.status_code in (400, 422)


def test_conversations_are_listed_changed_archived_and_deleted(client: Letta) -> None:
    agent = bare_agent(client)
    ids = [client.conversations.create(agent_id=agent.id, summary=f"talk {n}").id for n in range(3)]

    def listed(**query: Any) -> list[str]:
        return [item.id for item in client.conversations.list(agent_id=agent.id, **query)]

    assert listed() == ids[::-1]
    assert listed(order="asc", limit=2) == ids[:2]
    assert listed(order="asc", after=ids[0]) == ids[1:]
    assert listed(summary_search="talk 1") == [ids[1]]
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    changed = client.conversations.update(
        ids[0], summary="other", description="d", context_window_limit=8000, last_message_at=moment, archived=True
    )
    assert (changed.summary, changed.description, changed.archived) == ("other", "d", True)
    assert (changed.context_window_limit, changed.last_message_at) == (8000, moment)
    assert changed.archived_at is not None
    assert set(listed(archive_status="archived")) == {ids[0]}
    assert set(listed(archive_status="unarchived")) == set(ids[1:])
    assert set(listed(archive_status="all")) == set(ids)
    client.conversations.delete(ids[1])
    with pytest.raises(NotFoundError):
        client.conversations.retrieve(ids[1])
    assert set(listed(archive_status="all")) == {ids[0], ids[2]}


def test_a_conversation_may_have_a_model_of_its_own(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(
        agent_id=agent.id,
        model=ANTHROPIC_MODEL,
        model_settings={"provider_type": "anthropic", "max_output_tokens": 99},
    )
    list(client.conversations.messages.create(conversation.id, input="hi"))
    client.agents.messages.create(agent.id, input="hi")
    own, main = provider.requests
    assert (own.dialect, own.model, own.body["max_tokens"]) == ("anthropic", "claude-sonnet-4-5", 99)
    assert main.model == MODEL.partition("/")[2]


def test_a_fork_goes_its_own_way(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    list(client.conversations.messages.create(conversation.id, input="one"))
    fork = client.conversations.fork(conversation.id)
    assert fork.id != conversation.id
    copied = client.conversations.messages.list(fork.id, order="asc").items
    assert kinds(copied) == ["system_message", "user_message", "assistant_message"]
    assert [message.id for message in copied] == fork.in_context_message_ids
    list(client.conversations.messages.create(fork.id, input="in the fork"))
    assert provider.requests[-1].shape == ["system", "user", "assistant", "user"]
    list(client.conversations.messages.create(conversation.id, input="in the first"))
    assert [t.text for t in provider.requests[-1].turns if t.role == "user"] == ["one", "in the first"]


def test_a_background_stream_of_a_conversation_resumes_by_the_conversation(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    with pytest.raises(BadRequestError, match="No active runs found"):
        client.conversations.messages.stream(conversation.id)
    provider.script(say("one two three"))
    events: list[Any] = list(
        client.conversations.messages.create(conversation.id, input="hi", background=True, stream_tokens=True)
    )
    again: list[Any] = list(
        client.conversations.messages.stream(conversation.id, run_id=events[0].run_id, starting_after=2)
    )
    assert [event.seq_id for event in again] == [event.seq_id for event in events[2:]]


def test_two_conversations_of_one_agent_run_at_once(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    one, two = (client.conversations.create(agent_id=agent.id) for _ in range(2))
    gate = provider.gate("slow one")
    provider.script(say("x"), when=lambda request: request.text == "quick")
    provider.script(hang(gate, say("late")), when=lambda request: request.text == "slow")
    slow = iter(client.conversations.messages.create(one.id, input="slow", background=True))
    provider.wait_for_requests(1)
    assert kinds(client.conversations.messages.create(two.id, input="quick")) == [
        "assistant_message", "stop_reason", "usage_statistics"
    ]  # fmt: skip
    gate.release()
    assert kinds(slow)[0] == "assistant_message"


def test_a_conversation_is_retrieved_compacted_and_compiled_anew(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    conversation = client.conversations.create(agent_id=agent.id, summary="About engines")
    assert client.conversations.retrieve(conversation.id).summary == "About engines"
    for number in range(6):
        list(client.conversations.messages.create(conversation.id, input=f"Fact {number}"))
    provider.script(say("Six facts."))
    done = client.conversations.messages.compact(conversation.id)
    assert "Six facts." in done.summary
    assert done.num_messages_after < done.num_messages_before
    client.agents.blocks.update("human", agent_id=agent.id, value="Name: Ada")
    assert "Name: Ada" in client.conversations.recompile(conversation.id)


def test_an_agents_own_thread_is_compacted(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    for number in range(6):
        client.agents.messages.create(agent.id, input=f"Fact {number}")
    provider.script(say("Six facts."))
    done = client.agents.messages.compact(agent.id)
    assert "Six facts." in done.summary
    client.agents.messages.create(agent.id, input="And now?")
    assert "Six facts." in provider.requests[-1].text + str(provider.requests[-1].body)
