"""Paths under which pinned clients know what has another name now, and small ones that SDKs do not have."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import Letta
from tests.support.provider import Provider
from tests.support.replies import say
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, new_agent


def ask(server: Server, method: str, path: str, status: int = 200, **more: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_blocks_of_an_agent_under_their_old_names(client: Letta, server: Server) -> None:
    agent = new_agent(client)
    now, old = f"/v1/agents/{agent.id}/core-memory/blocks", f"/v1/agents/{agent.id}/memory-blocks"
    assert ask(server, "GET", old) == ask(server, "GET", now)
    assert ask(server, "GET", f"{old}/human") == ask(server, "GET", f"{now}/human")
    assert ask(server, "PATCH", f"{old}/human", json={"value": "Ada"})["value"] == "Ada"
    inside = f"/v1/_internal_agents/{agent.id}/core-memory/blocks/human"
    assert ask(server, "PATCH", inside, json={"value": "Ada Lovelace"})["value"] == "Ada Lovelace"
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Ada Lovelace"
    memory = ask(server, "GET", f"/v1/agents/{agent.id}/core-memory")
    assert {block["label"]: block["value"] for block in memory["blocks"]}["human"] == "Ada Lovelace"
    assert isinstance(ask(server, "GET", f"/v1/agents/{agent.id}/core-memory/variables"), dict)


def test_blocks_under_their_inner_paths(client: Letta, server: Server) -> None:
    label = uuid4().hex
    made = ask(server, "POST", "/v1/_internal_blocks/", json={"label": label, "value": "x"})
    agent = bare_agent(client, block_ids=[made["id"]])
    assert [block["id"] for block in ask(server, "GET", f"/v1/_internal_blocks/?label={label}")] == [made["id"]]
    owners = ask(server, "GET", f"/v1/_internal_blocks/{made['id']}/agents")
    assert [owner["id"] for owner in owners] == [agent.id]
    ask(server, "DELETE", f"/v1/_internal_blocks/{made['id']}")
    assert ask(server, "GET", f"/v1/_internal_blocks/?label={label}") == []


def test_counts(client: Letta, server: Server) -> None:
    name = f"echo_{uuid4().hex[:8]}"
    client.tools.create(source_code=echo_source(name))
    assert ask(server, "GET", f"/v1/tools/count?name={name}") == 1
    bare_agent(client)
    assert ask(server, "GET", "/v1/_internal_agents/count") == ask(server, "GET", "/v1/agents/count") >= 1
    assert ask(server, "GET", "/v1/models/embeddings") == ask(server, "GET", "/v1/models/embedding")


def test_built_in_tools_can_be_asked_for_again(client: Letta, server: Server) -> None:
    found = {tool["name"] for tool in ask(server, "POST", "/v1/tools/add-base-tools/")}
    assert {"memory_insert", "memory_replace", "conversation_search"} <= found
    assert found == {tool["name"] for tool in ask(server, "POST", "/v1/tools/add-base-tools/")}


def test_runs_by_their_other_paths(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    (run_id,) = client.agents.messages.create(agent.id, input="Hi").usage.run_ids or []
    listed = ask(server, "GET", f"/v1/_internal_runs/?agent_id={agent.id}")
    assert [run["id"] for run in listed] == [run_id]
    assert ask(server, "GET", f"/v1/runs/active?agent_id={agent.id}") == []
    metrics = ask(server, "GET", f"/v1/runs/{run_id}/metrics")
    assert (metrics["id"], metrics["agent_id"], metrics["num_steps"]) == (run_id, agent.id, 1)
    ask(server, "DELETE", f"/v1/runs/{run_id}")
    assert run_id in str(ask(server, "GET", f"/v1/runs/{run_id}", 404))
    assert len(client.agents.messages.list(agent.id).items) > 1


def test_a_message_is_changed_in_place(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    client.agents.messages.create(agent.id, input="I am Bo")
    said = next(item for item in client.agents.messages.list(agent.id) if item.message_type == "user_message")
    path = f"/v1/agents/{agent.id}/messages/{said.id}"
    changed = ask(server, "PATCH", path, json={"message_type": "user_message", "content": "I am Ada"})
    assert (changed["id"], changed["content"]) == (said.id, "I am Ada")
    client.agents.messages.create(agent.id, input="Who am I?")
    assert [turn.text for turn in provider.requests[-1].turns if turn.role == "user"] == ["I am Ada", "Who am I?"]
    ask(server, "PATCH", path, 422, json={})


@pytest.mark.parametrize("thread", ["agents", "conversations"])
def test_a_request_is_shown_and_not_made(client: Letta, server: Server, provider: Provider, thread: str) -> None:
    agent = new_agent(client)
    place = agent.id if thread == "agents" else client.conversations.create(agent_id=agent.id).id
    shown = ask(server, "POST", f"/v1/{thread}/{place}/messages/preview-raw-payload", json={"input": "Look away"})
    assert "Look away" in str(shown)
    assert "Name: unknown" in str(shown)
    assert provider.requests == []
    assert "Look away" not in str(client.agents.messages.list(agent.id).items)


def test_a_prompt_is_compiled_anew_under_both_names(client: Letta, server: Server) -> None:
    agent = new_agent(client)
    prompt = client.agents.recompile(agent.id, dry_run=True)
    assert "Name: unknown" in prompt
    assert "Name: unknown" in ask(server, "POST", f"/v1/agents/{agent.id}/system-prompt/recompile")


def test_messages_are_searched_under_both_names(client: Letta, server: Server, provider: Provider) -> None:
    agent = bare_agent(client)
    word = uuid4().hex
    provider.script(say("Noted."))
    client.agents.messages.create(agent.id, input=f"The password is {word}")
    (hit,) = client.messages.search(query=word, agent_id=agent.id, search_mode="fts")
    assert hit.message_type == "user_message"
    assert word in str(hit.content)
    ranked = ask(server, "POST", "/v1/agents/messages/search", json={"query": word, "search_mode": "fts"})
    assert word in str(ranked)
    assert len(ranked) == 1
    everything = client.messages.list(limit=5)
    assert word in str([item for item in everything if item.message_type == "user_message"])


def test_the_server_says_when_it_is_ready(server: Server) -> None:
    assert ask(server, "GET", "/v1/ready")["status"] == "ok"


def test_folders_under_their_old_name(client: Letta, server: Server) -> None:
    name = uuid4().hex
    made = ask(server, "POST", "/v1/sources/", json={"name": name})
    path = f"/v1/sources/{made['id']}"
    assert client.folders.retrieve(made["id"]).name == name
    assert ask(server, "GET", f"/v1/sources/name/{name}") == made["id"]
    assert ask(server, "PATCH", path, json={"description": "Letters"})["description"] == "Letters"
    with server.http as http:
        sent = http.post(f"{path}/upload", files={"file": ("a.txt", b"Cats sleep.")})
    assert sent.status_code == 200, sent.text
    (file,) = ask(server, "GET", f"{path}/files")
    assert ask(server, "GET", f"{path}/files/{file['id']}")["id"] == file["id"]
    agent = bare_agent(client)
    attached = ask(server, "PATCH", f"/v1/agents/{agent.id}/sources/attach/{made['id']}")
    assert [source["id"] for source in attached["sources"]] == [made["id"]]
    assert [source["id"] for source in ask(server, "GET", f"/v1/agents/{agent.id}/sources")] == [made["id"]]
    assert ask(server, "GET", f"{path}/agents") == [agent.id]
    detached = ask(server, "PATCH", f"/v1/agents/{agent.id}/sources/detach/{made['id']}")
    assert detached["sources"] == []
    ask(server, "DELETE", path)
    assert made["id"] in str(ask(server, "GET", path, 404))
