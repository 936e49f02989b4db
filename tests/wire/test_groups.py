"""Groups: made, changed and found over plain HTTP, which is how clients before 1.0 and scripts reach them."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import Letta
from letta_client.types import AgentState
from tests.support.provider import Provider, Request
from tests.support.replies import call, fail, reply, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, new_agent

NOBODY = "group-00000000-0000-4000-8000-000000000000"
NO_AGENT = "agent-00000000-0000-4000-8000-000000000000"


def ask(server: Server, method: str, path: str, status: int = 200, **more: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def make(server: Server, *agent_ids: str, **more: Any) -> dict[str, Any]:
    """A group over HTTP."""
    body = {"agent_ids": list(agent_ids), "description": "a chat", **more}
    made: dict[str, Any] = ask(server, "POST", "/v1/groups/", json=body)
    return made


def talk(server: Server, group_id: str, text: str, status: int = 200, **more: Any) -> Any:
    """What a group answers."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    return ask(server, "POST", f"/v1/groups/{group_id}/messages", status, json=body)


def spoken_by(system_part: str) -> Any:
    """Matches requests of the agent whose prompt holds a text."""
    return lambda request: system_part in request.system


def said(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what."""
    return [(m["name"], m["content"]) for m in answer["messages"] if m["message_type"] == "assistant_message"]


@pytest.fixture
def pair(client: Letta) -> tuple[AgentState, AgentState]:
    """Two agents that can be told apart by their prompts."""
    return (
        bare_agent(client, name="Ada", system="You are agent one."),
        bare_agent(client, name="Bo", system="You are agent two."),
    )


def user_words(request: Request) -> list[str]:
    """What a model was told by others, in order."""
    return [turn.text for turn in request.turns if turn.role == "user"]


def test_a_group_is_made_found_changed_and_deleted(server: Server, pair: tuple[AgentState, AgentState]) -> None:
    project = f"project-{uuid4()}"
    first, second = (agent.id for agent in pair)
    made = make(server, first, second, project_id=project)
    assert made["manager_type"] == "round_robin"
    assert made["agent_ids"] == [first, second]
    assert ask(server, "GET", f"/v1/groups/{made['id']}") == made
    other = make(
        server, second, project_id=project, manager_config={"manager_type": "dynamic", "manager_agent_id": first}
    )
    assert other["termination_token"] == "DONE!"
    listed = ask(server, "GET", "/v1/groups", params={"project_id": project})
    assert [item["id"] for item in listed] == [made["id"], other["id"]]
    newest = ask(server, "GET", "/v1/groups", params={"project_id": project, "order": "desc", "limit": 1})
    rest = {"project_id": project, "order": "desc", "after": newest[0]["id"]}
    assert [item["id"] for item in ask(server, "GET", "/v1/groups", params=rest)] == [made["id"]]
    dynamic = {"project_id": project, "manager_type": "dynamic"}
    assert [item["id"] for item in ask(server, "GET", "/v1/groups", params=dynamic)] == [other["id"]]
    assert ask(server, "GET", "/v1/groups/count", params={"project_id": project}) == 2
    changed = ask(
        server,
        "PATCH",
        f"/v1/groups/{made['id']}",
        json={"agent_ids": [second], "description": "smaller", "manager_config": {"manager_type": "round_robin"}},
    )
    assert (changed["agent_ids"], changed["description"]) == ([second], "smaller")
    ask(server, "DELETE", f"/v1/groups/{made['id']}")
    ask(server, "GET", f"/v1/groups/{made['id']}", 404)


def test_a_hidden_group_is_in_no_list_but_its_agents(server: Server, pair: tuple[AgentState, AgentState]) -> None:
    project = f"project-{uuid4()}"
    made = make(server, pair[0].id, project_id=project, hidden=True)
    assert ask(server, "GET", "/v1/groups", params={"project_id": project}) == []
    assert [item["id"] for item in ask(server, "GET", f"/v1/agents/{pair[0].id}/groups")] == [made["id"]]


def test_an_agents_groups_are_listed_and_its_own_stands_in_its_answer(
    client: Letta, server: Server, pair: tuple[AgentState, AgentState]
) -> None:
    manager, member = pair
    made = make(server, member.id, manager_config={"manager_type": "supervisor", "manager_agent_id": manager.id})
    for agent in pair:
        assert ask(server, "GET", f"/v1/agents/{agent.id}/groups") == [made]
    assert ask(server, "GET", f"/v1/agents/{member.id}/groups", params={"manager_type": "dynamic"}) == []
    whole = client.agents.retrieve(manager.id, include=["agent.managed_group", "agent.tools"])
    assert whole.managed_group is not None
    assert whole.managed_group.model_dump(mode="json") == made
    assert [tool.name for tool in whole.tools] == ["send_message_to_all_agents_in_group"]
    assert client.agents.retrieve(manager.id).managed_group is None
    assert client.agents.retrieve(member.id, include=["agent.managed_group"]).managed_group is None
    ask(server, "DELETE", f"/v1/groups/{made['id']}")
    assert client.agents.retrieve(manager.id, include=["agent.tools"]).tools == []
    ask(server, "GET", f"/v1/agents/{NO_AGENT}/groups", 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"agent_ids": ["agent-1"]}, 422),
        ({"agent_ids": [NO_AGENT]}, 404),
        ({"agent_ids": [], "shared_block_ids": ["block-00000000-0000-4000-8000-000000000000"]}, 404),
        ({"agent_ids": [], "manager_config": {"manager_type": "supervisor"}}, 422),
        ({"agent_ids": [], "manager_config": {"manager_type": "supervisor", "manager_agent_id": NO_AGENT}}, 404),
        ({"agent_ids": [], "manager_config": {"manager_type": "swarm"}}, 422),
        ({"agent_ids": [], "manager_config": {"manager_type": "round_robin", "max_turns": 0}}, 422),
    ],
)
def test_a_group_that_cannot_be_is_refused(server: Server, body: dict[str, Any], status: int) -> None:
    project = f"project-{uuid4()}"
    ask(server, "POST", "/v1/groups", status, json={"description": "x", "project_id": project, **body})
    assert ask(server, "GET", "/v1/groups", params={"project_id": project}) == []


def test_a_group_keeps_its_kind_and_unknown_ones_are_named(server: Server, pair: tuple[AgentState, AgentState]) -> None:
    made = make(server, pair[0].id)
    config = {"manager_type": "dynamic", "manager_agent_id": pair[1].id}
    refused = ask(server, "PATCH", f"/v1/groups/{made['id']}", 400, json={"manager_config": config})
    assert "round_robin" in refused["detail"]
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/messages"),
        ("PATCH", "/reset-messages"),
        ("PATCH", "/blocks/attach/block-00000000-0000-4000-8000-000000000000"),
    ):
        missing = ask(server, method, f"/v1/groups/{NOBODY}{path}", 404, json={} if method == "PATCH" else None)
        assert NOBODY in missing["detail"]
    talk(server, NOBODY, "hello?", 404)
    ask(server, "GET", "/v1/groups/group-1", 422)


def test_shared_blocks_are_those_of_every_agent(
    client: Letta, server: Server, pair: tuple[AgentState, AgentState]
) -> None:
    first, second = pair
    block = client.blocks.create(label="plan", value="none yet")
    more = client.blocks.create(label="log", value="")
    made = make(server, first.id, shared_block_ids=[block.id])
    path = f"/v1/groups/{made['id']}"
    assert [item.id for item in client.agents.blocks.list(first.id)] == [block.id]
    ask(server, "PATCH", path, json={"agent_ids": [second.id]})
    assert list(client.agents.blocks.list(first.id)) == []
    assert [item.id for item in client.agents.blocks.list(second.id)] == [block.id]
    assert ask(server, "PATCH", f"{path}/blocks/attach/{more.id}")["shared_block_ids"] == [block.id, more.id]
    assert {item.id for item in client.agents.blocks.list(second.id)} == {block.id, more.id}
    assert ask(server, "PATCH", f"{path}/blocks/detach/{block.id}")["shared_block_ids"] == [more.id]
    assert [item.id for item in client.agents.blocks.list(second.id)] == [more.id]
    ask(server, "PATCH", f"{path}/blocks/detach/{block.id}", 404)
    clash = client.blocks.create(label="log", value="another")
    ask(server, "PATCH", f"{path}/blocks/attach/{clash.id}", 409)
    assert ask(server, "GET", path)["shared_block_ids"] == [more.id]


def test_round_robin_lets_each_member_answer_and_hear_the_others(
    client: Letta, server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    group = make(server, *(agent.id for agent in pair))
    provider.script(say("One here."), when=spoken_by("agent one"))
    provider.script(say("Two here."), when=spoken_by("agent two"))
    answer = talk(server, group["id"], "Hello all")
    assert said(answer) == [("Ada", "One here."), ("Bo", "Two here.")]
    assert [m["sender_id"] for m in answer["messages"]] == [agent.id for agent in pair]
    assert answer["stop_reason"]["stop_reason"] == "end_turn"
    assert answer["usage"]["step_count"] == 2
    assert len(answer["usage"]["run_ids"]) == 2
    one, two = provider.requests
    assert user_words(one) == ["Hello all"]
    assert user_words(two) == ["Hello all", "[Ada] One here."]
    assert "a chat" in one.system
    # The next time each hears what the others said since.
    provider.script(say("Again one."), when=spoken_by("agent one"))
    provider.script(say("Again two."), when=spoken_by("agent two"))
    talk(server, group["id"], "And now?")
    assert user_words(provider.requests[2]) == ["Hello all", "[Bo] Two here.", "And now?"]
    assert user_words(provider.requests[3])[2:] == ["And now?", "[Ada] Again one."]
    run_ids = {run.id for run in client.runs.list(agent_id=pair[0].id)}
    assert set(answer["usage"]["run_ids"]) & run_ids
    # An ordinary message has nothing of the group.
    client.agents.messages.create(pair[0].id, input="Only you")
    assert "a chat" not in provider.requests[4].system


def test_a_round_robin_goes_on_for_max_turns(
    server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    config = {"manager_type": "round_robin", "max_turns": 3}
    group = make(server, *(agent.id for agent in pair), manager_config=config)
    provider.script(say("a"), say("b"), say("c"))
    assert said(talk(server, group["id"], "Go")) == [("Ada", "a"), ("Bo", "b"), ("Ada", "c")]


def test_what_was_said_in_a_group_is_listed_once_changed_and_forgotten(
    client: Letta, server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    group = make(server, *(agent.id for agent in pair))
    path = f"/v1/groups/{group['id']}"
    client.agents.messages.create(pair[0].id, input="before the group")
    provider.script(say("One here."), say("Two here."))
    talk(server, group["id"], "Hello all")
    listed = ask(server, "GET", f"{path}/messages", params={"order": "asc"})
    assert [(m["message_type"], m["content"]) for m in listed] == [
        ("user_message", "Hello all"),
        ("assistant_message", "One here."),
        ("assistant_message", "Two here."),
    ]
    newest = ask(server, "GET", f"{path}/messages", params={"limit": 1})
    assert [m["content"] for m in newest] == ["Two here."]
    older = ask(server, "GET", f"{path}/messages", params={"after": newest[0]["id"]})
    assert [m["content"] for m in older] == ["One here.", "Hello all"]
    only = {"include_return_message_types": ["user_message"]}
    assert [m["content"] for m in ask(server, "GET", f"{path}/messages", params=only)] == ["Hello all"]
    own = client.agents.messages.list(pair[1].id, group_id=group["id"], order="asc")
    assert len(list(own)) == 3
    changed = ask(
        server,
        "PATCH",
        f"{path}/messages/{listed[1]['id']}",
        json={"message_type": "assistant_message", "content": "One was here."},
    )
    assert changed["content"] == "One was here."
    foreign = next(iter(client.agents.messages.list(pair[0].id, order="asc", limit=50))).id
    ask(server, "PATCH", f"{path}/messages/{foreign}", 404, json={"content": "no"})
    ask(server, "PATCH", f"{path}/reset-messages")
    assert ask(server, "GET", f"{path}/messages") == []
    left = [m.content for m in client.agents.messages.list(pair[0].id) if m.message_type == "user_message"]
    assert left == ["before the group"]
    talk(server, group["id"], "Fresh start")
    assert user_words(provider.requests[-2])[-1] == "Fresh start"


def test_a_supervisor_asks_the_others_through_its_tool(
    client: Letta, server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    boss = bare_agent(client, name="Boss", system="You are the boss.")
    config = {"manager_type": "supervisor", "manager_agent_id": boss.id}
    group = make(server, *(agent.id for agent in pair), manager_config=config)
    provider.script(call("send_message_to_all_agents_in_group", message="Status?"), when=spoken_by("the boss"))
    provider.script(say("Fine."), when=spoken_by("agent one"))
    provider.script(fail(400, "broken"), when=spoken_by("agent two"))
    provider.script(say("One is fine."), when=spoken_by("the boss"))
    answer = talk(server, group["id"], "How is everybody?")
    assert said(answer) == [("Boss", "One is fine.")]
    result = next(m for m in answer["messages"] if m["message_type"] == "tool_return_message")
    assert result["status"] == "success"
    replies = {item["agent_id"]: item for item in json.loads(result["tool_return"])}
    assert replies[pair[0].id]["response"] == ["Fine."]
    assert "could not answer" in replies[pair[1].id]["error"]
    heard = next(request for request in provider.requests if "agent one" in request.system)
    assert boss.id in str(heard.body["messages"])
    assert "Status?" in str(heard.body["messages"])
    child = next(iter(client.runs.list(agent_id=pair[0].id)))
    assert child.metadata is not None
    assert child.metadata["group_id"] == group["id"]


def test_a_dynamic_group_goes_on_as_its_manager_chooses_until_the_token(
    client: Letta, server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    chair = bare_agent(client, name="Chair", system="You are the chair.")
    config = {"manager_type": "dynamic", "manager_agent_id": chair.id, "max_turns": 5, "termination_token": "FIN"}
    group = make(server, *(agent.id for agent in pair), manager_config=config)
    provider.script(say("Bo"), say(f"I choose {pair[0].id}."), when=spoken_by("the chair"))
    provider.script(say("Bo begins."), when=spoken_by("agent two"))
    provider.script(say("Ada ends. FIN"), when=spoken_by("agent one"))
    answer = talk(server, group["id"], "Discuss")
    assert said(answer) == [("Bo", "Bo begins."), ("Ada", "Ada ends. FIN")]
    assert answer["usage"]["step_count"] == 4
    chairs = [request for request in provider.requests if "the chair" in request.system]
    assert "user: Discuss" in str(chairs[0].body["messages"][-1])
    assert "Bo: Bo begins." in str(chairs[1].body["messages"][-1])
    last = next(request for request in provider.requests if "agent one" in request.system)
    assert user_words(last) == ["Discuss", "[Bo] Bo begins."]
    assert "FIN" in last.system


def test_a_dynamic_group_ends_when_its_manager_says_so_or_after_max_turns(
    client: Letta, server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    chair = bare_agent(client, name="Chair", system="You are the chair.")
    config = {"manager_type": "dynamic", "manager_agent_id": chair.id, "max_turns": 2}
    group = make(server, *(agent.id for agent in pair), manager_config=config)
    provider.script(say("nobody I know"), say("DONE!"), when=spoken_by("the chair"))
    assert said(talk(server, group["id"], "Discuss")) == [("Ada", "All right.")]
    provider.script(say("Ada"), say("Bo"), say("Ada"), when=spoken_by("the chair"))
    assert [name for name, _ in said(talk(server, group["id"], "Discuss more"))] == ["Ada", "Bo"]


def test_a_groups_answer_streams_by_token_and_ends_once(
    server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    group = make(server, *(agent.id for agent in pair))
    provider.script(say("One ", "here"), say("Two ", "here"))
    body = {"messages": [{"role": "user", "content": "Hello"}], "stream_tokens": True}
    with (
        server.http as http,
        http.stream("POST", f"/v1/groups/{group['id']}/messages/stream", json=body) as stream,
    ):
        lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    assert "".join(e["content"] for e in events if e["message_type"] == "assistant_message") == "One hereTwo here"
    assert [e["message_type"] for e in events][-2:] == ["stop_reason", "usage_statistics"]
    assert [e["message_type"] for e in events].count("stop_reason") == 1
    assert len({e["run_id"] for e in events}) == 2


def test_a_failing_member_ends_the_answer_with_its_failure(
    server: Server, provider: Provider, pair: tuple[AgentState, AgentState]
) -> None:
    group = make(server, *(agent.id for agent in pair))
    provider.script(say("One here."), fail(400, "broken"))
    refused = talk(server, group["id"], "Hello", 400)
    assert "broken" in str(refused)
    provider.script(say("Better."), say("Better too."))
    assert [text for _, text in said(talk(server, group["id"], "Again"))] == ["Better.", "Better too."]


def test_an_empty_group_and_impossible_requests_are_refused(server: Server) -> None:
    group = make(server)
    assert "members" in talk(server, group["id"], "Hello", 400)["detail"]
    ask(server, "POST", f"/v1/groups/{group['id']}/messages", 422, json={"messages": []})
    talk(server, group["id"], "Hello", 422, background=True)
    talk(server, group["id"], "Hello", 422, stream_tokens=True)
    approval = {"type": "approval", "approve": True, "approval_request_id": "message-x"}
    ask(server, "POST", f"/v1/groups/{group['id']}/messages", 422, json={"messages": [approval]})


def test_members_that_are_deleted_leave_their_groups(
    client: Letta, server: Server, pair: tuple[AgentState, AgentState]
) -> None:
    group = make(server, *(agent.id for agent in pair))
    led = make(server, pair[1].id, manager_config={"manager_type": "supervisor", "manager_agent_id": pair[0].id})
    client.agents.delete(pair[0].id)
    assert ask(server, "GET", f"/v1/groups/{group['id']}")["agent_ids"] == [pair[1].id]
    ask(server, "GET", f"/v1/groups/{led['id']}", 404)


def test_an_older_agent_is_heard_through_its_messaging_tool(client: Letta, server: Server, provider: Provider) -> None:
    old = new_agent(client, name="Old", agent_type="memgpt_v2_agent", system="You are agent old.")
    fresh = bare_agent(client, name="Fresh", system="You are agent fresh.")
    group = make(server, old.id, fresh.id)
    provider.script(reply(call("send_message", message="Old here.")), say("Fresh here."))
    assert said(talk(server, group["id"], "Hello")) == [("Old", "Old here."), ("Fresh", "Fresh here.")]
    assert user_words(provider.requests[1]) == ["Hello", "[Old] Old here."]
