"""Projects, and the two headers that name one."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import Letta
from tests.support.server import Server
from tests.wire.samples import bare_agent


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.http as client:
        yield client


@pytest.fixture
def name() -> str:
    """Of a project that nobody has yet: the server is shared."""
    return f"Shop {uuid4().hex}"


def make(http: httpx.Client, name: str) -> dict[str, Any]:
    answer = http.post("/v1/projects", json={"name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ids(http: httpx.Client, path: str, **headers: str) -> list[str]:
    answer = http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()]


def test_a_project_is_made_listed_and_deleted(http: httpx.Client, name: str) -> None:
    made = make(http, name)
    assert made["slug"] == name.lower().replace(" ", "-")
    assert http.get("/v1/projects", params={"name": name[5:]}).json() == {"projects": [made], "hasNextPage": False}
    assert http.post("/v1/projects/", json={"name": name}).status_code == 409
    same_slug = http.post("/v1/projects", json={"name": name.upper()})
    assert same_slug.status_code == 409 and made["slug"] in same_slug.json()["detail"]
    assert http.post("/v1/projects", json={"name": "ab"}).status_code == 422
    assert http.post("/v1/projects", json={"name": "????"}).status_code == 400
    assert http.delete(f"/v1/projects/{made['id']}").json()["success"] is True
    gone = http.delete(f"/v1/projects/{made['id']}")
    assert gone.status_code == 404 and made["id"] in gone.json()["detail"]
    assert http.delete("/v1/projects/shop").status_code == 422
    assert http.get("/v1/projects", params={"name": name[5:]}).json()["projects"] == []


def test_projects_are_listed_in_parts(http: httpx.Client, name: str) -> None:
    made = [make(http, f"{number} {name}") for number in range(3)]
    first = http.get("/v1/projects", params={"name": name, "limit": "2"}).json()
    assert first == {"projects": [made[2], made[1]], "hasNextPage": True}
    rest = http.get("/v1/projects", params={"name": name, "limit": "2", "offset": "2"}).json()
    assert rest == {"projects": [made[0]], "hasNextPage": False}
    assert any(item["slug"] == "default-project" for item in http.get("/v1/projects?limit=1000").json()["projects"])


@pytest.mark.parametrize("named_by", ["slug", "name", "id", "X-Project-Id"])
def test_what_is_made_with_the_header_lies_in_the_project_and_lists_show_no_other(
    client: Letta, http: httpx.Client, name: str, named_by: str
) -> None:
    project = make(http, name)
    there = {"X-Project": project[named_by]} if named_by != "X-Project-Id" else {named_by: project["id"]}
    agent, elsewhere = bare_agent(client, extra_headers=there), bare_agent(client)
    assert (agent.project_id, elsewhere.project_id) == (project["id"], None)
    block = http.post("/v1/blocks", json={"label": "x", "value": ""}, headers=there).json()
    person = {"identifier_key": "bo", "name": "Bo", "identity_type": "user"}
    identity = http.post("/v1/identities", json=person, headers=there).json()
    assert {block["project_id"], identity["project_id"]} == {project["id"]}
    assert http.put("/v1/identities", json=person, headers=there).json()["id"] == identity["id"]
    for path, made in (("/v1/agents", agent.id), ("/v1/blocks", block["id"]), ("/v1/identities", identity["id"])):
        assert ids(http, path, **there) == [made]
        assert http.get(f"{path}/count", headers=there).json() == 1
        assert ids(http, f"{path}?project_id={project['id']}") == [made]
    assert elsewhere.id in ids(http, "/v1/agents")


def test_steps_are_listed_by_project(client: Letta, http: httpx.Client, name: str) -> None:
    agent = bare_agent(client, extra_headers={"X-Project": name})
    client.agents.messages.create(agent.id, input="hello")
    assert len(ids(http, "/v1/steps", **{"X-Project": name})) == 1
    assert ids(http, "/v1/steps", **{"X-Project": f"no {name}"[:50]}) == []


def test_a_project_that_clients_name_before_it_exists_is_made_with_the_first_thing_in_it(
    server: Server, http: httpx.Client, name: str
) -> None:
    with Letta(base_url=server.url, api_key="test", project=name) as client:
        assert list(client.agents.list()) == []
        assert http.get("/v1/projects", params={"name": name}).json()["projects"] == []
        agent = bare_agent(client)
        assert [item.id for item in client.agents.list()] == [agent.id]
    [project] = http.get("/v1/projects", params={"name": name}).json()["projects"]
    assert project["id"] == agent.project_id


def test_ids_of_projects_elsewhere_are_kept_as_they_are(client: Letta, http: httpx.Client) -> None:
    theirs = str(uuid4())
    agent = bare_agent(client, extra_headers={"X-Project-Id": theirs})
    assert ids(http, "/v1/agents", **{"X-Project-Id": theirs}) == [agent.id]
    assert http.get("/v1/agents", headers={"X-Project-Id": "no id"}).status_code == 422
    assert http.get("/v1/agents", headers={"X-Project": "??"}).status_code == 422


def test_the_body_names_a_project_more_exactly_than_the_header(client: Letta, http: httpx.Client, name: str) -> None:
    project = make(http, name)
    agent = bare_agent(client, project=name, extra_headers={"X-Project": "another"})
    assert agent.project_id == project["id"]
    assert bare_agent(client, project_id="mine", extra_headers={"X-Project": name}).project_id == "mine"
