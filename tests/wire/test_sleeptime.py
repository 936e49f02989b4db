"""Sleeptime agents: made, counted, run in the background over what was said, and taken away."""

from typing import Any
from uuid import uuid4

import pytest
from letta_client import BadRequestError, Letta, NotFoundError
from letta_client.types import AgentState
from tests.support.provider import Provider, Request
from tests.support.replies import call, fail, hang, reply, say
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.samples import new_agent
from tests.wire.test_groups import ask

CARETAKER = "You take care of the memory of another agent"
VOICE_CARETAKER = "agent that talks by voice"


def sleeps(request: Request) -> bool:
    """Whether a request is one of a sleeptime agent."""
    return CARETAKER in request.system or VOICE_CARETAKER in request.system


@pytest.fixture
def main(client: Letta) -> AgentState:
    """An agent with a companion."""
    return new_agent(client, name=f"main-{uuid4()}", enable_sleeptime=True)


def group_of(agent: AgentState) -> Any:
    """The group that looks after an agent."""
    assert agent.managed_group is not None
    return agent.managed_group


def every(server: Server, agent: AgentState, turns: int) -> None:
    """Let the companion work after so many turns."""
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": turns}
    ask(server, "PATCH", f"/v1/groups/{group_of(agent).id}", json={"manager_config": config})


def ended_reviews(client: Letta, companion: str, count: int) -> list[Any]:
    """The companion's runs, oldest first, once there are so many that have ended."""

    def look() -> list[Any]:
        runs = list(client.runs.list(agent_id=companion, order="asc"))
        return runs if len([run for run in runs if run.completed_at]) >= count else []

    found: list[Any] = until(look)
    return found


def test_an_agent_is_made_with_its_companion_and_group(client: Letta, main: AgentState) -> None:
    group = group_of(main)
    assert (group.manager_type, group.manager_agent_id, group.sleeptime_agent_frequency) == ("sleeptime", main.id, 5)
    assert main.multi_agent_group == group or main.multi_agent_group.id == group.id  # type: ignore[union-attr]
    assert main.enable_sleeptime is True
    companion = client.agents.retrieve(group.agent_ids[0], include=["agent.blocks", "agent.tools"])
    assert companion.agent_type == "sleeptime_agent"
    assert companion.name == f"{main.name}-sleeptime"
    assert {block.label for block in companion.blocks} == {"human", "persona", "memory_persona"}
    assert {block.id for block in main.blocks} < {block.id for block in companion.blocks}
    assert "memory_finish_edits" in {tool.name for tool in companion.tools}
    assert not {"memory_insert", "memory_replace"} & {tool.name for tool in main.tools}


def test_after_every_n_turns_the_companion_reads_what_was_said_and_edits_the_shared_blocks(
    client: Letta, server: Server, provider: Provider, main: AgentState
) -> None:
    every(server, main, 2)
    companion = group_of(main).agent_ids[0]
    provider.script(
        reply(call("memory_replace", label="human", old_string="unknown", new_string="Ada")),
        reply(call("memory_finish_edits")),
        when=sleeps,
    )
    client.agents.messages.create(main.id, input="I am Ada")
    assert list(client.runs.list(agent_id=companion)) == []
    client.agents.messages.create(main.id, input="I like tea")
    (run,) = ended_reviews(client, companion, 1)
    assert (run.status, run.background) == ("completed", True)
    assert run.metadata["group_id"] == group_of(main).id
    assert client.agents.blocks.retrieve("human", agent_id=main.id).value == "Name: Ada"
    first = next(request for request in provider.requests if sleeps(request))
    for words in ("user: I am Ada", "assistant: All right.", "user: I like tea"):
        assert words in first.text
    assert "Name: unknown" in first.system
    # The history tells whose edit it was.
    block = client.agents.blocks.retrieve("human", agent_id=main.id)
    changes = ask(server, "GET", f"/v1/blocks/{block.id}/history")
    actors = [change["actor"] for change in changes]
    (actor,) = [actor for actor in actors if actor["agent_id"] == companion and actor["run_id"] == run.id]
    assert actor["reason"] == {"kind": "sleeptime", "agent_id": main.id, "conversation_id": main.id}
    # The next review begins where this one ended.
    provider.script(reply(call("memory_finish_edits")), when=sleeps)
    client.agents.messages.create(main.id, input="third")
    client.agents.messages.create(main.id, input="fourth")
    ended_reviews(client, companion, 2)
    second = [request for request in provider.requests if sleeps(request)][-1]
    assert "user: third" in second.text
    assert "I like tea" not in second.text
    assert "Name: Ada" in next(r for r in provider.requests[::-1] if not sleeps(r)).system
    group = ask(server, "GET", f"/v1/groups/{group_of(main).id}")
    assert group["turns_counter"] == 4
    newest = client.agents.messages.list(main.id, limit=1).items[0]
    assert group["last_processed_message_id"] == newest.id
    listed = ask(server, "GET", f"/v1/groups/{group['id']}/messages", params={"limit": 50})
    assert [m["message_type"] for m in listed].count("user_message") == 2


def test_each_conversation_is_counted_by_itself(
    client: Letta, server: Server, provider: Provider, main: AgentState
) -> None:
    every(server, main, 2)
    companion = group_of(main).agent_ids[0]
    one, two = (client.conversations.create(agent_id=main.id).id for _ in range(2))
    provider.script(reply(call("memory_finish_edits")), when=sleeps)
    for conversation, words in ((one, "in one"), (two, "in two"), (one, "one again")):
        client.conversations.messages.create(conversation, input=words, streaming=False)
    ended_reviews(client, companion, 1)
    read = [request for request in provider.requests if sleeps(request)]
    assert len(read) == 1
    assert "in one" in read[0].text
    assert "in two" not in read[0].text


def test_the_main_agent_answers_while_its_companion_works_and_whatever_becomes_of_that(
    client: Letta, server: Server, provider: Provider, main: AgentState
) -> None:
    every(server, main, 1)
    companion = group_of(main).agent_ids[0]
    gate = provider.gate("slow")
    provider.script(hang(gate, say("late")), when=sleeps)
    client.agents.messages.create(main.id, input="one")
    until(lambda: [request for request in provider.requests if sleeps(request)])
    for words in ("two", "three"):
        assert client.agents.messages.create(main.id, input=words).stop_reason.stop_reason == "end_turn"
    provider.script(fail(400, "broken"), when=sleeps)
    provider.script(reply(call("memory_finish_edits")), when=sleeps)
    gate.release()
    runs = ended_reviews(client, companion, 2)
    assert [run.status for run in runs[:2]] == ["completed", "failed"]
    # What a failed review should have read is read by the next one.
    client.agents.messages.create(main.id, input="four")
    ended_reviews(client, companion, 3)
    last = [request for request in provider.requests if sleeps(request)][-1]
    assert "user: one" not in last.text
    for words in ("two", "three", "four"):
        assert f"user: {words}" in last.text


def test_frequency_zero_means_never(client: Letta, server: Server, provider: Provider, main: AgentState) -> None:
    every(server, main, 0)
    client.agents.messages.create(main.id, input="one")
    every(server, main, 1)
    client.agents.messages.create(main.id, input="two")
    ended_reviews(client, group_of(main).agent_ids[0], 1)
    read = [request for request in provider.requests if sleeps(request)]
    assert len([request for request in read if request.shape.count("assistant") == 0]) == 1
    assert "user: one" in read[0].text


def test_blocks_that_come_and_go_are_shared(client: Letta, main: AgentState) -> None:
    companion = group_of(main).agent_ids[0]
    plan = client.blocks.create(label="plan", value="none")
    client.agents.blocks.attach(plan.id, agent_id=main.id)
    assert plan.id in {block.id for block in client.agents.blocks.list(companion)}
    client.agents.blocks.detach(plan.id, agent_id=main.id)
    assert plan.id not in {block.id for block in client.agents.blocks.list(companion)}
    client.agents.update(main.id, block_ids=[plan.id])
    assert {block.label for block in client.agents.blocks.list(companion)} == {"plan", "memory_persona"}


def test_sleeptime_is_turned_on_and_off_later(client: Letta, server: Server) -> None:
    agent = new_agent(client)
    assert agent.managed_group is None
    assert client.agents.update(agent.id, enable_sleeptime=True).enable_sleeptime is True
    on = client.agents.retrieve(agent.id, include=["agent.managed_group"])
    companion = group_of(on).agent_ids[0]
    client.agents.update(agent.id, enable_sleeptime=True)
    # Programs send whole forms: what is null there is not meant to take the companion and all it did away.
    client.agents.update(agent.id, enable_sleeptime=None, name=f"form-{uuid4()}")
    again = client.agents.retrieve(agent.id, include=["agent.managed_group"])
    assert group_of(again).id == group_of(on).id
    persona = client.agents.blocks.retrieve("memory_persona", agent_id=companion)
    client.agents.update(agent.id, enable_sleeptime=False)
    off = client.agents.retrieve(agent.id, include=["agent.managed_group"])
    assert off.managed_group is None
    with pytest.raises(NotFoundError):
        client.agents.retrieve(companion)
    with pytest.raises(NotFoundError):
        client.blocks.retrieve(persona.id)
    ask(server, "GET", f"/v1/groups/{group_of(on).id}", 404)
    assert {block.label for block in client.agents.blocks.list(agent.id)} == {"human", "persona"}


def test_companion_and_main_agent_go_together_or_leave_the_other_whole(
    client: Letta, server: Server, provider: Provider
) -> None:
    first, second, third = (new_agent(client, enable_sleeptime=True) for _ in range(3))
    ask(server, "DELETE", f"/v1/groups/{group_of(third).id}")
    with pytest.raises(NotFoundError):
        client.agents.retrieve(group_of(third).agent_ids[0])
    assert client.agents.retrieve(third.id).enable_sleeptime is None
    client.agents.delete(first.id)
    with pytest.raises(NotFoundError):
        client.agents.retrieve(group_of(first).agent_ids[0])
    client.agents.delete(group_of(second).agent_ids[0])
    left = client.agents.retrieve(second.id, include=["agent.managed_group"])
    assert (left.enable_sleeptime, left.managed_group) == (None, None)
    assert client.agents.messages.create(second.id, input="hi").stop_reason.stop_reason == "end_turn"
    ask(server, "GET", f"/v1/groups/{group_of(second).id}", 404)
    with pytest.raises(BadRequestError):
        new_agent(client, agent_type="sleeptime_agent", enable_sleeptime=True)


def test_a_sleeptime_group_can_be_made_by_hand(client: Letta, server: Server, provider: Provider) -> None:
    shared = client.blocks.create(label="notes", value="")
    main = new_agent(client, memory_blocks=[], block_ids=[shared.id])
    keeper = new_agent(client, memory_blocks=[], block_ids=[shared.id], agent_type="sleeptime_agent")
    config = {"manager_type": "sleeptime", "manager_agent_id": main.id, "sleeptime_agent_frequency": 1}
    body = {"agent_ids": [keeper.id], "description": "", "manager_config": config}
    group = ask(server, "POST", "/v1/groups", json=body)
    ask(server, "POST", "/v1/groups", 409, json=body)
    provider.script(reply(call("memory_insert", label="notes", new_string="likes tea")), say("done"), when=sleeps)
    client.agents.messages.create(main.id, input="I like tea")
    ended_reviews(client, keeper.id, 1)
    assert "likes tea" in client.agents.blocks.retrieve("notes", agent_id=main.id).value
    ask(server, "DELETE", f"/v1/groups/{group['id']}")
    client.agents.messages.create(main.id, input="more")
    assert client.agents.retrieve(main.id).enable_sleeptime is None
    assert len(list(client.runs.list(agent_id=keeper.id))) == 1


def test_what_leaves_a_voice_agents_context_is_stored_by_its_companion(
    client: Letta, server: Server, provider: Provider
) -> None:
    main = new_agent(client, agent_type="voice_convo_agent", enable_sleeptime=True)
    group = group_of(main)
    assert group.manager_type == "voice_sleeptime"
    assert (group.max_message_buffer_length, group.min_message_buffer_length) == (30, 15)
    companion = group.agent_ids[0]
    config = {"manager_type": "voice_sleeptime", "max_message_buffer_length": 4, "min_message_buffer_length": 5}
    ask(server, "PATCH", f"/v1/groups/{group.id}", 400, json={"manager_config": config})
    config["min_message_buffer_length"] = 2
    ask(server, "PATCH", f"/v1/groups/{group.id}", json={"manager_config": config})
    provider.script(
        reply(
            call("store_memories", chunks=[{"start_index": 0, "end_index": 1, "context": "The user is called Ada."}]),
            call("rethink_user_memory", new_memory="Name: Ada"),
        ),
        reply(call("finish_rethinking_memory")),
        when=sleeps,
    )
    for words in ("I am Ada", "I sail", "It rains"):
        client.agents.messages.create(main.id, input=words)
    (run,) = ended_reviews(client, companion, 1)
    assert run.status == "completed"
    read = next(request for request in provider.requests if sleeps(request))
    assert "0. user: I am Ada" in read.text
    assert "It rains" not in read.text
    assert client.agents.blocks.retrieve("human", agent_id=main.id).value == "Name: Ada"
    stored = client.agents.passages.list(main.id)
    assert "The user is called Ada." in stored[0].text
    assert "user: I am Ada" in stored[0].text
    # The next request is short, and what left it is found.
    provider.script(
        reply(call("search_memory", convo_keyword_queries=["sail"], start_minutes_ago=None, end_minutes_ago=None)),
        say("You sail."),
        when=lambda request: not sleeps(request),
    )
    answer = client.agents.messages.create(main.id, input="What do I do?")
    result = next(m for m in answer.messages if m.message_type == "tool_return_message")
    assert "I sail" in str(result)
    asked = [request for request in provider.requests if not sleeps(request)][-2]
    assert "I am Ada" not in str(asked.body["messages"][1:])
