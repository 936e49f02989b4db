"""What a context holds, and every way in which callers change it: edits, resets, forks, compaction."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from letta_client import AuthenticationError, BadRequestError, ConflictError, Letta, NotFoundError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import call, fail, hang, say, think
from tests.support.server import Server
from tests.wire.samples import ANTHROPIC_MODEL, PIXEL, bare_agent, kinds, new_agent

MESSAGE_OF_NOBODY = "message-00000000-0000-4000-8000-000000000000"


def ask(server: Server, method: str, path: str, status: int = 200, **more: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer = http.request(method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def stored(client: Letta, agent_id: str, kind: str) -> list[Any]:
    """The agent's messages of a type, oldest first."""
    return [item for item in client.agents.messages.list(agent_id, order="asc") if item.message_type == kind]


def test_a_message_is_reworded_for_the_model_and_for_searches(
    client: Letta, server: Server, provider: Provider
) -> None:
    mark = f"w{uuid4().hex}"
    agent, other = bare_agent(client), bare_agent(client)
    provider.script(say("Good day."))
    client.agents.messages.create(agent.id, input="hello")
    (mine,), (answer,) = stored(client, agent.id, "user_message"), stored(client, agent.id, "assistant_message")
    parts = [
        {"type": "text", "text": f"look at {mark}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]
    path = f"/v1/agents/{agent.id}/messages"
    changed = ask(server, "PATCH", f"{path}/{mine.id}", json={"message_type": "user_message", "content": parts})
    assert [part["type"] for part in changed["content"]] == ["text", "image"]
    ask(server, "PATCH", f"{path}/{answer.id}", json={"message_type": "assistant_message", "content": "I looked."})
    client.agents.messages.create(agent.id, input="and now?")
    turns = provider.requests[-1].turns
    assert [turn.text for turn in turns] == [f"look at {mark}", "I looked.", "and now?"]
    assert [hit.message_id for hit in client.messages.search(query=mark, search_mode="fts")] == [mine.id]
    assert all(
        hit.message_id != mine.id for hit in client.messages.search(query="hello", agent_id=agent.id, search_mode="fts")
    )
    ask(server, "PATCH", f"{path}/{mine.id}", 400, json={"message_type": "assistant_message", "content": "x"})
    ask(server, "PATCH", f"{path}/{mine.id}", 422, json={"message_type": "user_message"})
    ask(server, "PATCH", f"{path}/{MESSAGE_OF_NOBODY}", 404, json={"content": "x"})
    refused = ask(server, "PATCH", f"/v1/agents/{other.id}/messages/{mine.id}", 404, json={"content": "x"})
    assert mine.id in refused["detail"]
    assert stored(client, agent.id, "user_message")[0].content[0].text == f"look at {mark}"


def test_words_said_through_the_messaging_tool_and_reasoning_are_reworded(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = new_agent(client, agent_type="memgpt_agent", model=ANTHROPIC_MODEL)
    provider.script(call("send_message", message="old words"))
    client.agents.messages.create(agent.id, input="hi")
    (said,) = stored(client, agent.id, "assistant_message")
    path = f"/v1/agents/{agent.id}/messages"
    changed = ask(
        server, "PATCH", f"{path}/{said.id}", json={"message_type": "assistant_message", "content": "new words"}
    )
    assert (changed["message_type"], changed["content"]) == ("assistant_message", "new words")
    assert [item.content for item in stored(client, agent.id, "assistant_message")] == ["new words"]
    thinker = bare_agent(client, model=ANTHROPIC_MODEL)
    provider.script(think("hm", signature="s"), say("so"))
    client.agents.messages.create(thinker.id, input="think")
    thoughts = stored(client, thinker.id, "reasoning_message")
    if thoughts:
        path = f"/v1/agents/{thinker.id}/messages/{thoughts[0].id}"
        changed = ask(server, "PATCH", path, json={"message_type": "reasoning_message", "reasoning": "aha"})
        assert (changed["reasoning"], changed["signature"]) == ("aha", None)


def test_a_reset_thread_begins_again_as_the_agent_was_made(client: Letta, provider: Provider) -> None:
    start = [{"role": "user", "content": "I am Bo."}, {"role": "assistant", "content": "Hello Bo."}]
    agent = bare_agent(client, initial_message_sequence=start)
    client.agents.messages.create(agent.id, input="tea?")
    assert len(stored(client, agent.id, "user_message")) == 2
    client.agents.messages.reset(agent.id, add_default_initial_messages=False)
    assert kinds(client.agents.messages.list(agent.id)) == ["system_message"]
    client.agents.messages.reset(agent.id, add_default_initial_messages=True)
    assert kinds(client.agents.messages.list(agent.id, order="asc")) == [
        "system_message", "user_message", "assistant_message",
    ]  # fmt: skip
    client.agents.messages.create(agent.id, input="who am I?")
    assert [turn.text for turn in provider.requests[-1].turns] == ["I am Bo.", "Hello Bo.", "who am I?"]


def test_recompiling_dry_stores_nothing_and_may_set_the_time_of_the_last_edit(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = new_agent(client)
    before = client.agents.retrieve(agent.id).message_ids
    (prompt,) = stored(client, agent.id, "system_message")
    client.agents.messages.create(agent.id, input="hi")
    dry = client.agents.recompile(agent.id, dry_run=True)
    assert "2 earlier messages" in dry
    assert stored(client, agent.id, "system_message")[0].content == prompt.content
    line = next(item for item in prompt.content.splitlines() if "last changed" in item)
    assert line in dry
    deadline = time.monotonic() + 5
    while line in client.agents.recompile(agent.id, dry_run=True, update_timestamp=True):
        assert time.monotonic() < deadline  # the time is told by seconds, so the next one must have come
    kept = json.loads(client.agents.recompile(agent.id, update_timestamp=True))  # the SDK gives the body as it came
    assert stored(client, agent.id, "system_message")[0].content == kept
    assert line not in kept
    assert kept[:40] in client.conversations.recompile("default", agent_id=agent.id, dry_run=True)
    assert before is not None


def test_a_fork_may_end_at_a_message_and_stay_hidden(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    for word in ("one", "two"):
        list(client.conversations.messages.create(conversation.id, input=word))
    first = [
        m
        for m in client.conversations.messages.list(conversation.id, order="asc")
        if m.message_type != "system_message"
    ]
    fork = client.conversations.fork(conversation.id, message_id=first[1].id, hidden=True)
    list(client.conversations.messages.create(fork.id, input="else"))
    assert [turn.text for turn in provider.requests[-1].turns] == ["one", "All right.", "else"]
    assert [item.id for item in client.conversations.list(agent_id=agent.id)] == [conversation.id]
    assert client.conversations.retrieve(fork.id).id == fork.id
    with pytest.raises(NotFoundError):
        client.conversations.fork(conversation.id, message_id=MESSAGE_OF_NOBODY)
    # What the copies tell of their step must not be taken for what the step wrote.
    step_id = next(item.step_id for item in first if item.message_type == "assistant_message")
    assert [item.id for item in client.steps.messages.list(step_id or "")] == [first[1].id]
    of_default = client.conversations.fork("default", agent_id=agent.id)
    assert of_default.agent_id == agent.id
    hidden = client.conversations.create(agent_id=agent.id, hidden=True)
    assert hidden.id not in [item.id for item in client.conversations.list(agent_id=agent.id, archive_status="all")]


def test_archiving_is_dated_once(client: Letta) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    archived = client.conversations.update(conversation.id, archived=True)
    assert archived.archived_at is not None
    assert client.conversations.update(conversation.id, summary="s").archived_at == archived.archived_at
    assert client.conversations.update(conversation.id, archived=False).archived_at is None


def test_a_conversation_has_isolated_blocks_for_itself(client: Letta, server: Server, provider: Provider) -> None:
    agent = new_agent(client)
    made = ask(
        server, "POST", f"/v1/conversations/?agent_id={agent.id}", json={"isolated_block_labels": ["human", "human"]}
    )
    (copy_id,) = made["isolated_block_ids"]
    human = client.agents.blocks.retrieve("human", agent_id=agent.id)
    assert copy_id != human.id
    assert client.blocks.retrieve(copy_id).value == human.value
    provider.script(call("memory_replace", label="human", old_string="unknown", new_string="Ada"), say("Noted."))
    list(client.conversations.messages.create(made["id"], input="I am Ada"))
    assert "Name: Ada" in provider.requests[-1].system
    assert client.blocks.retrieve(copy_id).value == "Name: Ada"
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: unknown"
    client.agents.messages.create(agent.id, input="who am I?")
    assert "Name: unknown" in provider.requests[-1].system
    client.blocks.update(copy_id, value="Name: Bo")
    fork: Any = client.conversations.fork(made["id"])
    list(client.conversations.messages.create(fork.id, input="who?"))
    assert "Name: Bo" in provider.requests[-1].system
    assert fork.isolated_block_ids
    assert fork.isolated_block_ids != [copy_id]
    provider.script(call("memory", command="delete", path="/memories/human"), say("no"))
    client.agents.tools.attach(next(t.id for t in client.tools.list(name="memory")), agent_id=agent.id)
    list(client.conversations.messages.create(made["id"], input="forget me"))
    assert "belongs to this conversation alone" in str(provider.requests[-1].shape[-1])
    client.conversations.delete(fork.id)
    with pytest.raises(NotFoundError):
        client.blocks.retrieve(fork.isolated_block_ids[0])
    ask(server, "POST", f"/v1/conversations/?agent_id={agent.id}", 404, json={"isolated_block_labels": ["none"]})
    client.agents.delete(agent.id)
    with pytest.raises(NotFoundError):
        client.blocks.retrieve(copy_id)
    assert client.blocks.retrieve(human.id).value == "Name: unknown"


def talk(client: Letta, **more: Any) -> str:
    """An agent with a conversation behind it."""
    agent_id = bare_agent(client, **more).id
    for word in ("one", "two", "three"):
        client.agents.messages.create(agent_id, input=word)
    return agent_id


def test_compaction_goes_by_the_settings_of_the_request(client: Letta, provider: Provider) -> None:
    agent_id = talk(client)
    provider.reset()
    provider.script(say("They counted to three."))
    done = client.agents.messages.compact(
        agent_id,
        compaction_settings={
            "model": ANTHROPIC_MODEL,
            "model_settings": {"provider_type": "anthropic", "max_output_tokens": 77},
            "mode": "all",
            "prompt": "Count the words.",
            "clip_chars": 10,
            "prompt_acknowledgement": True,
        },
    )
    (request,) = provider.requests
    assert (request.dialect, request.body["max_tokens"]) == ("anthropic", 77)
    assert request.system == "Count the words."
    assert request.shape == ["system", "user", "assistant", "user"]
    assert "user: three" in request.text
    assert done.summary == "They count"
    assert (done.num_messages_before, done.num_messages_after) == (7, 2)
    client.agents.messages.create(agent_id, input="go on")
    assert provider.requests[-1].shape == ["system", "user", "user"]
    assert "They count" in provider.requests[-1].turns[0].text
    provider.script(say("A talk."))
    client.agents.messages.compact(agent_id, compaction_settings={"mode": "all"})
    again = client.agents.messages.compact(agent_id)
    assert (again.summary, again.num_messages_before, again.num_messages_after) == ("A talk.", 2, 2)
    assert len(stored(client, agent_id, "user_message")) == 4


def test_a_sliding_window_keeps_its_share_and_an_agent_may_write_its_own_summary(
    client: Letta, provider: Provider
) -> None:
    agent_id = talk(client, compaction_settings={"mode": "self_compact_sliding_window", "prompt": "Sum up."})
    provider.reset()
    provider.script(say("Notes."))
    done = client.agents.messages.compact(agent_id, compaction_settings={"clip_chars": 3})
    (own,) = provider.requests
    assert done.summary == "Not"
    assert own.model == MODEL.partition("/")[2]
    assert own.shape[0] == "system"
    assert own.turns[0].text == "one"
    assert own.text == "Sum up."
    assert done.num_messages_after < done.num_messages_before
    client.agents.messages.create(agent_id, input="four")
    assert "three" in [turn.text for turn in provider.requests[-1].turns]
    provider.script(fail(400))
    again = client.conversations.messages.compact(
        "default", agent_id=agent_id, compaction_settings={"mode": "self_compact_all"}
    )
    assert "user: four" in again.summary
    assert again.summary.startswith("Not\n"), "notes on notes are told once what they are"
    assert again.num_messages_after == 2
    events = client.agents.messages.list(agent_id, include_return_message_types=["summary_message"])
    assert len(list(events)) == 2


def test_compaction_refuses_what_cannot_be(client: Letta, provider: Provider) -> None:
    agent_id = bare_agent(client).id
    assert client.agents.messages.compact(agent_id).num_messages_after == 1
    provider.script(fail(401))
    with pytest.raises(AuthenticationError):
        client.agents.messages.create(agent_id, input="alone")
    with pytest.raises(BadRequestError, match="too short"):
        client.agents.messages.compact(agent_id)
    agent_id = talk(client)
    with pytest.raises(NotFoundError):
        client.agents.messages.compact(agent_id, compaction_settings={"model": "nobody/none"})
    gate = provider.gate("busy")
    provider.script(hang(gate))
    client.agents.messages.create_async(agent_id, input="slow")
    provider.wait_for_requests(5)
    with pytest.raises(ConflictError, match="currently being processed"):
        client.agents.messages.compact(agent_id)
    gate.release()


def test_the_overview_measures_what_the_next_request_holds(client: Letta, server: Server, provider: Provider) -> None:
    agent = new_agent(client, tool_rules=[{"type": "exit_loop", "tool_name": "memory_insert"}])
    client.agents.passages.create(agent.id, text="a memory")
    client.agents.messages.create(agent.id, input="hi")
    found = ask(server, "GET", f"/v1/agents/{agent.id}/context")
    client.agents.messages.create(agent.id, input="next")
    request = provider.requests[-1]
    assert found["system_prompt"] in request.system
    assert found["core_memory"] in request.system
    assert found["tool_usage_rules"] in request.system
    assert [tool["function"]["name"] for tool in found["functions_definitions"]] == list(request.tools)
    assert [message["role"] for message in found["messages"]] == ["system", "user", "assistant"]
    assert (found["num_messages"], found["num_archival_memory"], found["num_recall_memory"]) == (3, 1, 2)
    parts = sum(value for name, value in found.items() if name.startswith("num_tokens_"))
    assert abs(parts - found["context_window_size_current"]) < 10
    assert found["summary_memory"] is None
    assert found["context_window_size_max"] > found["context_window_size_current"]
    talker = talk(client, context_window_limit=9000)
    client.agents.messages.compact(talker, compaction_settings={"mode": "all"})
    after = ask(server, "GET", f"/v1/agents/{talker}/context")
    assert after["context_window_size_max"] == 9000
    assert "All right." in after["summary_memory"]
    assert after["num_tokens_summary_memory"] > 0
    assert (after["num_tokens_messages"], after["num_messages"], after["num_recall_memory"]) == (0, 2, 7)
    conversation = client.conversations.create(agent_id=talker)
    empty = ask(server, "GET", f"/v1/agents/{talker}/context", params={"conversation_id": conversation.id})
    assert empty["num_messages"] == 1
    ask(server, "GET", f"/v1/agents/{agent.id}/context", 404, params={"conversation_id": conversation.id})


def test_the_preview_is_the_request_that_is_sent(client: Letta, server: Server, provider: Provider) -> None:
    rules = [{"type": "run_first", "tool_name": "memory_insert"}]
    agent = new_agent(client, tool_rules=rules)
    body = {"messages": [{"role": "system", "content": "noon"}, {"role": "user", "content": "hi"}]}
    shown = ask(server, "POST", f"/v1/agents/{agent.id}/messages/preview-raw-payload", json=body)
    assert kinds(client.agents.messages.list(agent.id)) == ["system_message"]
    client.agents.messages.create(agent.id, messages=body["messages"])  # type: ignore[arg-type]
    sent = provider.requests[0].body
    for name in ("messages", "tools", "tool_choice", "model"):
        assert shown.get(name) == sent.get(name), name


def test_a_generation_uses_the_agents_model_and_stores_nothing(
    client: Letta, server: Server, provider: Provider
) -> None:
    agent = new_agent(client, model_settings={"provider_type": "openai", "max_output_tokens": 55})
    path = f"/v1/agents/{agent.id}/generate"
    provider.script(say("A haiku."))
    done = ask(server, "POST", path, json={"prompt": "Write.", "system_prompt": "You are a poet."})
    (request,) = provider.requests
    assert (done["content"], done["model"]) == ("A haiku.", MODEL)
    assert (request.system, request.text, request.tools) == ("You are a poet.", "Write.", ())
    assert 55 in (request.body.get("max_tokens"), request.body.get("max_completion_tokens"))
    assert done["usage"]["total_tokens"] == done["usage"]["prompt_tokens"] + done["usage"]["completion_tokens"] > 0
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    provider.script(call("answer", n=5))
    wish = {"prompt": "Count.", "response_schema": schema, "override_model": ANTHROPIC_MODEL}
    done = ask(server, "POST", path, json=wish)
    assert (done["content"].replace(" ", ""), done["model"]) == ('{"n":5}', ANTHROPIC_MODEL)
    assert provider.requests[-1].dialect == "anthropic"
    provider.script(call("answer", n="five"))
    assert "response_schema" in ask(server, "POST", path, 502, json=wish)["detail"]
    ask(server, "POST", path, 422, json={"prompt": ""})
    ask(server, "POST", path, 404, json={"prompt": "x", "override_model": "nobody/none"})
    ask(server, "POST", "/v1/agents/agent-00000000-0000-4000-8000-000000000000/generate", 404, json={"prompt": "x"})
    assert kinds(client.agents.messages.list(agent.id)) == ["system_message"]
    assert list(client.runs.list(agent_id=agent.id)) == []


def test_a_captured_exchange_is_part_of_the_thread(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    body = {
        "provider": "openai",
        "model": "gpt-x",
        "request_messages": [
            {"role": "system", "content": "ignored"},
            {"role": "user", "content": "My cat is Tom."},
            {"role": "user", "content": [{"type": "text", "text": "He is five."}]},
        ],
        "response_dict": {"role": "assistant", "content": "Hello Tom."},
    }
    path = f"/v1/agents/{agent.id}/messages/capture"
    assert ask(server, "POST", path, json=body) == {"success": True, "messages_created": 3, "run_ids": []}
    assert provider.requests == []
    client.agents.messages.create(agent.id, input="and?")
    texts = [turn.text for turn in provider.requests[-1].turns]
    assert texts == ["My cat is Tom.", "He is five.", "Hello Tom.", "and?"]
    ask(server, "POST", path, 422, json={**body, "response_dict": {"content": 5}})


def test_names_of_secrets_are_listed_without_their_values(client: Letta, server: Server) -> None:
    agent = bare_agent(client, secrets={"API_KEY": "hush", "OTHER": "hush too"})
    found = ask(server, "GET", f"/v1/agents/{agent.id}/secrets")
    assert found == [{"key": "API_KEY"}, {"key": "OTHER"}]
