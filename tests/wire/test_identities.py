"""Identities: the SDK's part through the SDK, the rest, which it does not know any more, over plain HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from tests.support.server import Server
from tests.wire.samples import bare_agent

NOBODY = "identity-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def mark() -> str:
    """Part of this test's keys and its project: the server is shared."""
    return uuid4().hex


def make(server: Server, key: str, **more: Any) -> dict[str, Any]:
    """An identity over HTTP."""
    body = {"identifier_key": key, "name": "Bo", "identity_type": "user", **more}
    with server.http as http:
        answer = http.post("/v1/identities/", json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ask(server: Server, method: str, path: str, status: int = 200, **more: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_an_agent_is_attached_to_an_identity_and_detached(client: Letta, server: Server, mark: str) -> None:
    made = make(server, mark, properties=[{"key": "age", "value": 41, "type": "number"}])
    agent = bare_agent(client)
    assert agent.identities == []
    client.agents.identities.attach(made["id"], agent_id=agent.id)
    owned = client.agents.retrieve(agent.id, include=["agent.identities"])
    assert owned.identity_ids == [made["id"]]
    assert [item.model_dump(include={"id", "identifier_key", "name"}) for item in owned.identities or []] == [
        {"id": made["id"], "identifier_key": mark, "name": "Bo"}
    ]
    assert owned.identities is not None
    assert [item.value for item in owned.identities[0].properties or []] == [41]
    assert client.agents.retrieve(agent.id).identities == []
    client.agents.identities.detach(made["id"], agent_id=agent.id)
    assert client.agents.retrieve(agent.id, include=["agent.identities"]).identity_ids == []


def test_agents_are_made_changed_and_found_by_identity(client: Letta, server: Server, mark: str) -> None:
    bo, ann = make(server, f"bo-{mark}")["id"], make(server, f"ann-{mark}")["id"]
    first = bare_agent(client, identity_ids=[bo])
    assert [item.id for item in first.identities or []] == [bo]
    second = bare_agent(client, identity_ids=[bo, ann])
    bare_agent(client)
    assert {agent.id for agent in client.agents.list(identity_id=bo)} == {first.id, second.id}
    assert [agent.id for agent in client.agents.list(identifier_keys=[f"ann-{mark}", "nobody"])] == [second.id]
    assert {agent.id for agent in client.agents.list(identifier_keys=[f"ann-{mark}", f"bo-{mark}"])} == {
        first.id,
        second.id,
    }
    client.agents.update(first.id, identity_ids=[ann])
    listed = client.agents.list(identity_id=ann, include=["agent.identities"], order="asc")
    assert [agent.identity_ids for agent in listed] == [[ann], [bo, ann]]
    with pytest.raises(NotFoundError) as missing:
        bare_agent(client, identity_ids=[bo, NOBODY], name=mark)
    assert NOBODY in str(missing.value.body)
    assert list(client.agents.list(name=mark)) == []
    with pytest.raises(NotFoundError):
        client.agents.update(first.id, identity_ids=[NOBODY])
    with pytest.raises(NotFoundError):
        client.agents.identities.attach(NOBODY, agent_id=first.id)
    with pytest.raises(UnprocessableEntityError):
        client.agents.identities.attach("bo", agent_id=first.id)


def test_blocks_are_attached_and_found_by_identity(client: Letta, server: Server, mark: str) -> None:
    bo = make(server, mark)["id"]
    mine = client.blocks.create(label="mine", value="")
    client.blocks.create(label="other", value="")
    attached = ask(server, "PATCH", f"/v1/blocks/{mine.id}/identities/attach/{bo}")
    assert attached["id"] == mine.id
    assert [block.id for block in client.blocks.list(identity_id=bo)] == [mine.id]
    assert [block.id for block in client.blocks.list(identifier_keys=[mark])] == [mine.id]
    assert [item["id"] for item in ask(server, "GET", f"/v1/identities/{bo}/blocks")] == [mine.id]
    assert ask(server, "GET", f"/v1/identities/{bo}")["block_ids"] == [mine.id]
    ask(server, "PATCH", f"/v1/blocks/{mine.id}/identities/detach/{bo}")
    assert list(client.blocks.list(identity_id=bo)) == []
    assert client.blocks.retrieve(mine.id) == mine
    with pytest.raises(UnprocessableEntityError):
        client.blocks.list(identity_id="bo")


def test_an_identity_is_made_changed_and_deleted(client: Letta, server: Server, mark: str) -> None:
    agent = bare_agent(client)
    mail = {"key": "mail", "value": "bo@example.org", "type": "string"}
    deep = {"key": "deep", "value": {"a": [1]}, "type": "json"}
    made = make(server, "bo", project_id=mark, properties=[mail], agent_ids=[agent.id])
    assert made == {
        "id": made["id"],
        "identifier_key": "bo",
        "name": "Bo",
        "identity_type": "user",
        "project_id": mark,
        "agent_ids": [agent.id],
        "block_ids": [],
        "properties": [mail],
    }
    path = f"/v1/identities/{made['id']}"
    assert ask(server, "GET", path) == made
    assert [item["id"] for item in ask(server, "GET", f"{path}/agents")] == [agent.id]
    changed = ask(server, "PATCH", path, json={"name": "Bob", "properties": [deep], "identity_type": None})
    assert changed == {**made, "name": "Bob", "properties": [mail, deep]}
    assert ask(server, "PUT", f"{path}/properties", json=[deep]) == {**changed, "properties": [deep]}
    upserted = ask(
        server,
        "PUT",
        "/v1/identities/",
        json={"identifier_key": "bo", "name": "B", "identity_type": "other", "project_id": mark, "agent_ids": []},
    )
    assert upserted == {**made, "name": "B", "identity_type": "other", "properties": [deep], "agent_ids": []}
    ask(server, "DELETE", path)
    assert made["id"] in str(ask(server, "GET", path, 404))
    assert client.agents.retrieve(agent.id).id == agent.id


def test_identities_are_listed_counted_and_cut(server: Server, mark: str) -> None:
    made = [make(server, key, name=key.title(), project_id=mark)["id"] for key in ("ada", "bea", "cara")]
    org = make(server, "acme", identity_type="org", name="Acme", project_id=mark)["id"]

    def ids(query: str) -> list[str]:
        return [item["id"] for item in ask(server, "GET", f"/v1/identities/?project_id={mark}&{query}")]

    assert ids("") == [org, *reversed(made)]
    assert ids("order=asc&limit=2") == made[:2]
    assert ids(f"order=asc&limit=2&after={made[1]}") == [made[2], org]
    assert ids("name=EA") == [made[1]]
    assert ids("identifier_key=cara") == [made[2]]
    assert ids("identity_type=org") == [org]
    assert ids("identity_type=org&name=ada") == []
    assert ask(server, "GET", f"/v1/identities/count?project_id={mark}") == 4
    assert ask(server, "GET", "/v1/identities/count") >= 4
    ask(server, "GET", f"/v1/identities/?after={NOBODY}", 404)
    ask(server, "GET", "/v1/identities/?identity_type=ghost", 422)


def test_what_cannot_be_is_refused(server: Server, mark: str) -> None:
    make(server, mark)
    body = {"identifier_key": mark, "name": "Bo", "identity_type": "user"}
    assert mark in str(ask(server, "POST", "/v1/identities/", 409, json=body))
    for wrong in (
        {"name": "x", "identity_type": "user"},
        {**body, "identity_type": "ghost"},
        {**body, "agent_ids": ["bo"]},
        {**body, "properties": [{"key": "k", "value": 1, "type": "color"}]},
    ):
        ask(server, "POST", "/v1/identities/", 422, json=wrong)
    fresh = {**body, "identifier_key": f"ann-{mark}", "agent_ids": ["agent-00000000-0000-4000-8000-000000000000"]}
    ask(server, "POST", "/v1/identities/", 404, json=fresh)
    assert ask(server, "GET", f"/v1/identities/?identifier_key=ann-{mark}") == []
    ask(server, "GET", "/v1/identities/bo", 422)
    for method, below in (
        ("PATCH", ""),
        ("DELETE", ""),
        ("PUT", "/properties"),
        ("GET", "/agents"),
        ("GET", "/blocks"),
    ):
        sent: Any = [] if method == "PUT" else {}
        assert NOBODY in str(ask(server, method, f"/v1/identities/{NOBODY}{below}", 404, json=sent))
