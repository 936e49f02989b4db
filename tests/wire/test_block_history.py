"""The past of blocks: listed, compared, read as of a time, restored. An addition of ours, so over plain HTTP."""

from typing import Any

import pytest
from letta_client import Letta
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server
from tests.wire.samples import new_agent


@pytest.fixture
def story(client: Letta, provider: Provider) -> tuple[str, str]:
    """A block that was changed over the API, then by an agent; its id and the agent's."""
    agent = new_agent(client)
    block = client.agents.blocks.retrieve("human", agent_id=agent.id)
    client.blocks.update(block.id, value="Name: Ada\nWork: unknown")
    edit = call("memory_replace", label="human", old_string="unknown", new_string="octopuses")
    provider.script(edit, say("Noted."))
    client.agents.messages.create(agent.id, input="I work on octopuses")
    return block.id, agent.id


def test_changes_are_listed_with_who_made_them(server: Server, client: Letta, story: tuple[str, str]) -> None:
    block_id, agent_id = story
    newest, first = get(server, f"/v1/blocks/{block_id}/history")
    assert (newest["version"], first["version"]) == (3, 2)
    assert newest["previous_value"] == first["value"] == "Name: Ada\nWork: unknown"
    assert newest["value"] == "Name: Ada\nWork: octopuses"
    assert first["actor"]["kind"] == "api"
    run = next(iter(client.runs.list(agent_id=agent_id)))
    assert newest["actor"] == {"kind": "agent", "agent_id": agent_id, "run_id": run.id, "tool": "memory_replace"}


def test_history_is_paged_by_version(server: Server, story: tuple[str, str]) -> None:
    path = f"/v1/blocks/{story[0]}/history"
    assert [item["version"] for item in get(server, path, limit=1)] == [3]
    assert [item["version"] for item in get(server, path, limit=1, after=3)] == [2]
    assert [item["version"] for item in get(server, path, order="asc")] == [2, 3]
    assert [item["version"] for item in get(server, path, before=2)] == [3]
    refused = server.http.get(path, params={"after": "block-x"})
    assert refused.status_code == 422
    assert "version number" in refused.json()["detail"]


def test_versions_and_moments_are_read_back(server: Server, story: tuple[str, str]) -> None:
    path = f"/v1/blocks/{story[0]}/history"
    first, second, third = (get(server, f"{path}/{number}") for number in (1, 2, 3))
    assert "unknown" in first["value"]
    assert first["actor"] is None
    assert first["until"] == second["since"]
    assert third["until"] is None
    for version in (first, second, third):
        assert get(server, f"{path}/as-of", time=version["since"]) == version
    early = server.http.get(f"{path}/as-of", params={"time": "2020-01-01T00:00:00"})
    assert early.status_code == 404
    assert "made later" in early.json()["detail"]
    unknown = server.http.get(f"{path}/4")
    assert unknown.status_code == 404
    assert "1 to 3" in unknown.json()["detail"]


def test_versions_are_compared(server: Server, story: tuple[str, str]) -> None:
    diff = get(server, f"/v1/blocks/{story[0]}/history/diff", from_version=2)["diff"]
    assert "-Work: unknown" in diff.splitlines()
    assert "+Work: octopuses" in diff.splitlines()
    assert get(server, f"/v1/blocks/{story[0]}/history/diff", from_version=2, to_version=2) == {"diff": ""}


def test_a_restored_version_is_in_the_next_prompt_and_is_a_change_itself(
    server: Server, client: Letta, provider: Provider, story: tuple[str, str]
) -> None:
    block_id, agent_id = story
    restored = server.http.post(f"/v1/blocks/{block_id}/history/2/restore")
    assert restored.status_code == 200
    assert restored.json()["value"] == "Name: Ada\nWork: unknown"
    assert get(server, f"/v1/blocks/{block_id}/history")[0]["actor"]["restored_version"] == 2
    provider.script(say("Hello."))
    client.agents.messages.create(agent_id, input="hi")
    assert "Work: unknown" in provider.requests[-1].system
    client.blocks.update(block_id, value="x", limit=5)
    too_long = server.http.post(f"/v1/blocks/{block_id}/history/2/restore")
    assert too_long.status_code == 422
    assert client.blocks.retrieve(block_id).value == "x"


def get(server: Server, path: str, **query: Any) -> Any:
    """The answer's JSON."""
    answer = server.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
