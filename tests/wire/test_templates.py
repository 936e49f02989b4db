"""Templates: made, versioned, deployed, migrated; and the agents that are found by them."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import APIStatusError, ConflictError, Letta, NotFoundError, UnprocessableEntityError
from letta_client.types import AgentState, TemplateCreateResponse
from tests.conftest import MODEL
from tests.support.documents import wait_read
from tests.support.mcp import Scripted
from tests.support.provider import Provider
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, new_agent

EVERYTHING: Any = ["agent.blocks", "agent.tools", "agent.tags", "agent.secrets", "agent.identities"]


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with server.http as client:
        yield client


@pytest.fixture
def name() -> str:
    """Of a template that nobody has yet: the server is shared."""
    return f"helper-{uuid4().hex}"


def pattern(client: Letta, **more: Any) -> AgentState:
    """An agent to make a template of."""
    blocks: Any = [
        {"label": "human", "value": "Name: {{name}}, from {{ city }}"},
        {"label": "persona", "value": "I am kind.", "preserve_on_migration": True},
    ]
    return new_agent(client, **{"memory_blocks": blocks, "system": "You are one.", "include_base_tools": False, **more})


def template(client: Letta, name: str, **more: Any) -> tuple[AgentState, TemplateCreateResponse]:
    """An agent, and a template made of it."""
    agent = pattern(client, **more)
    return agent, client.templates.create(type="agent", agent_id=agent.id, name=name)


def made_of(client: Letta, version: str, **more: Any) -> tuple[AgentState, str]:
    """The one agent that a version makes, and the id of its deployment."""
    answer = client.templates.agents.create(version, **more)
    [agent_id] = answer.agent_ids
    return client.agents.retrieve(agent_id, include=EVERYTHING), answer.deployment_id


def values(agent: AgentState) -> dict[str, str]:
    return {block.label or "": block.value for block in agent.blocks}


def update(client: Letta, name: str, agent: AgentState, **more: Any) -> None:
    """Make the working version what an agent is now."""
    file = json.loads(client.agents.export_file(agent.id))
    client.templates.update(name, agent_file_json=file, **more)


def project_path(made: TemplateCreateResponse) -> str:
    return f"/v1/templates/{made.project_id}/{made.name}"


def test_agents_are_made_of_a_template_with_variables_identities_and_tags(
    client: Letta, http: httpx.Client, name: str, provider: Provider
) -> None:
    identity = http.post("/v1/identities", json={"identifier_key": name, "name": "Bo", "identity_type": "user"}).json()[
        "id"
    ]
    tool = client.tools.create(source_code=echo_source(f"echo_{uuid4().hex[:8]}"))
    origin, made = template(client, name, tool_ids=[tool.id], tags=["mine"], secrets={"A": "a", "B": "b"})
    assert (made.name, made.latest_version, made.project_slug) == (name, "1", "default-project")
    assert made.template_deployment_slug == f"default-project/{name}:1"
    agent, deployment = made_of(
        client,
        f"{name}:latest",
        agent_name="Ada 1",
        memory_variables={"name": "Ada", "city": "Paris"},
        tool_variables={"B": "bb", "C": "c"},
        identity_ids=[identity],
        tags=["theirs"],
        initial_message_sequence=[{"role": "assistant", "content": "Hello."}],
    )
    assert values(agent) == {"human": "Name: Ada, from Paris", "persona": "I am kind."}
    assert (agent.name, agent.system, agent.model) == ("Ada 1", "You are one.", origin.model)
    assert sorted(agent.tags) == ["mine", "theirs"]
    assert [item.id for item in agent.tools] == [tool.id]
    assert {item.key: item.value for item in agent.secrets or []} == {"A": "a", "B": "bb", "C": "c"}
    assert agent.identity_ids == [identity]
    assert (agent.project_id, agent.base_template_id, agent.deployment_id) == (made.project_id, made.id, deployment)
    assert agent.template_id not in (None, made.id)
    assert agent.entity_id == "agent-0"
    human = next(block for block in agent.blocks if block.label == "human")
    assert (human.project_id, human.template_id, human.base_template_id, human.deployment_id, human.entity_id) == (
        made.project_id, agent.template_id, made.id, deployment, "block-0",
    )  # fmt: skip
    said = list(client.agents.messages.list(agent.id, order="asc"))
    assert [item.message_type for item in said] == ["system_message", "assistant_message"]
    client.agents.messages.create(agent.id, input="hi")
    assert "Name: Ada, from Paris" in provider.requests[-1].system
    known = http.get(f"/v1/agents/{agent.id}/core-memory/variables").json()
    assert known == {"variables": {"name": "Ada", "city": "Paris"}}
    assert http.get(f"/v1/agents/{origin.id}/core-memory/variables").json() == {"variables": {}}
    other, _ = made_of(client, name, memory_variables={"name": "Bo"})
    assert values(other)["human"] == "Name: Bo, from {{ city }}"
    assert other.name != origin.name


def test_agents_create_takes_a_template_too(client: Letta, name: str) -> None:
    template(client, name, tags=["mine"])
    agent = client.agents.create(
        from_template=f"default-project/{name}:1",
        memory_variables={"name": "Ada"},
        name="Own name",
        tags=["own"],
        memory_blocks=[{"label": "extra", "value": "x"}],
        description="Made of a template.",
    )
    assert values(agent) == {"human": "Name: Ada, from {{ city }}", "persona": "I am kind.", "extra": "x"}
    assert (agent.name, agent.tags, agent.description) == ("Own name", ["mine", "own"], "Made of a template.")
    assert (agent.system, agent.model) == ("You are one.", MODEL)
    assert agent.deployment_id is not None
    with pytest.raises(NotFoundError, match=r"template version.*:7"):
        client.agents.create(from_template=f"{name}:7")


def test_versions_are_saved_listed_and_rolled_back(client: Letta, http: httpx.Client, name: str) -> None:
    origin, made = template(client, name)
    client.agents.update(origin.id, system="You are two.")
    update(client, name, origin)
    assert made_of(client, f"{name}:current")[0].system == "You are two."
    assert made_of(client, f"{name}:dev")[0].system == "You are two."
    assert made_of(client, f"{name}:latest")[0].system == "You are one."
    assert client.templates.save(name, message="the second").latest_version == "2"
    assert made_of(client, name)[0].system == "You are two."
    client.agents.update(origin.id, system="You are unsaved.")
    update(client, f"{name}:1", origin)
    assert client.templates.rollback(name, version="1").success is True
    assert made_of(client, f"{name}:current")[0].system == "You are one."
    listed = http.get(f"{project_path(made)}/versions").json()
    assert [(item["version"], item["is_latest"]) for item in listed["versions"]] == [
        ("3", True), ("2", False), ("1", False),
    ]  # fmt: skip
    assert listed["versions"][1]["message"] == "the second"
    assert (listed["total_count"], listed["has_next_page"]) == (3, False)
    assert made_of(client, f"{name}:3")[0].system == "You are unsaved."
    part = http.get(f"{project_path(made)}/versions", params={"limit": "1", "offset": "1"}).json()
    assert ([item["version"] for item in part["versions"]], part["has_next_page"]) == (["2"], True)
    client.templates.rollback(name, version="latest")
    assert made_of(client, f"{name}:current")[0].system == "You are unsaved."
    with pytest.raises(APIStatusError, match="working version") as refused:
        client.templates.rollback(name, version="current")
    assert refused.value.status_code == 400
    with pytest.raises(NotFoundError, match=f"{name}:9"):
        client.templates.rollback(name, version="9")


def test_changes_are_saved_before_an_update_where_asked(client: Letta, http: httpx.Client, name: str) -> None:
    origin, made = template(client, name)
    for system in ("You are two.", "You are three."):
        client.agents.update(origin.id, system=system)
        update(client, name, origin, save_existing_changes=True)
    listed = http.get(f"{project_path(made)}/versions").json()["versions"]
    assert [item["version"] for item in listed] == ["2", "1"]
    assert made_of(client, f"{name}:2")[0].system == "You are two."


def test_a_template_is_made_of_a_file_with_its_tools(client: Letta, name: str) -> None:
    tool = client.tools.create(source_code=echo_source(f"echo_{uuid4().hex[:8]}"))
    origin = pattern(client, tool_ids=[tool.id])
    client.agents.messages.create(origin.id, input="not for the template")
    file = json.loads(client.agents.export_file(origin.id))
    client.tools.delete(tool.id)
    client.templates.create(type="agent_file", agent_file=file, name=name)
    agent, _ = made_of(client, name)
    assert [item.name for item in agent.tools] == [tool.name]
    assert len(list(client.agents.messages.list(agent.id))) == 1
    [fresh] = list(client.tools.list(name=tool.name or ""))
    file["tools"][0]["source_code"] = (fresh.source_code or "").replace("echo:", "other:")
    client.templates.update(name, agent_file_json=file)
    assert "other:" not in (client.tools.retrieve(fresh.id).source_code or "")
    client.templates.update(name, agent_file_json=file, update_existing_tools=True)
    assert "other:" in (client.tools.retrieve(fresh.id).source_code or "")
    with pytest.raises(APIStatusError, match="agent file") as refused:
        client.templates.create(type="agent_file", agent_file={"agents": []}, name=f"{name}-2")
    assert refused.value.status_code == 400


def test_names_are_unique_in_a_project_and_what_is_unknown_is_not_found(
    client: Letta, http: httpx.Client, name: str
) -> None:
    origin, made = template(client, name)
    with pytest.raises(ConflictError, match=name):
        client.templates.create(type="agent", agent_id=origin.id, name=name)
    there = {"X-Project": f"shop {name}"[:50]}
    other = client.templates.create(type="agent", agent_id=origin.id, name=name, extra_headers=there)
    assert other.project_id != made.project_id
    assert client.templates.agents.create(name, extra_headers=there).agent_ids
    assert http.post(f"/v1/templates/{other.project_slug}/{name}/agents").status_code == 201
    with pytest.raises(UnprocessableEntityError):
        client.templates.create(type="agent", agent_id=origin.id, name="no spaces")
    with pytest.raises(APIStatusError, match="save"):
        client.templates.create(type="agent", agent_id=origin.id, name="save")
    assert client.templates.create(type="agent", agent_id=origin.id).name
    with pytest.raises(NotFoundError):
        client.templates.create(type="agent", agent_id=f"agent-{uuid4()}", name=f"{name}-2")
    assert client.templates.delete(name).success is True
    agent, _ = made_of(client, name)  # the other project's is the only one left
    assert agent.project_id == other.project_id
    client.templates.delete(name, extra_headers=there)
    for attempt in (
        lambda: client.templates.delete(name),
        lambda: client.templates.save(name),
        lambda: client.templates.agents.create(f"{name}:1"),
        lambda: client.templates.rollback(name, version="1"),
        lambda: client.templates.update(name, agent_file_json=json.loads(client.agents.export_file(origin.id))),
    ):
        with pytest.raises(NotFoundError, match=name):
            attempt()
    assert client.agents.retrieve(agent.id).base_template_id == other.id


def test_templates_are_listed_and_filtered(client: Letta, http: httpx.Client, name: str) -> None:
    origin, first = template(client, name)
    second = client.templates.create(type="agent", agent_id=origin.id, name=f"{name}-b")
    client.templates.save(f"{name}-b")

    def listed(**query: Any) -> list[str]:
        answer = http.get("/v1/templates", params=query)
        assert answer.status_code == 200, answer.text
        return [item["template_deployment_slug"].rpartition("/")[2] for item in answer.json()["templates"]]

    assert listed(search=name) == [f"{name}-b:2", f"{name}:1"]
    assert listed(search=name, sort_by="updated_at") == [f"{name}-b:2", f"{name}:1"]
    assert listed(search=name, exact="true") == listed(name=name) == [f"{name}:1"]
    assert listed(template_id=second.id) == [f"{name}-b:2"]
    assert listed(search=name, version="1") == [f"{name}-b:1", f"{name}:1"]
    assert listed(search=name, version="2") == [f"{name}-b:2"]
    assert listed(search=name, limit="1", offset="1") == [f"{name}:1"]
    assert listed(search=name, project_id=first.project_id) == listed(search=name, project_slug="default-project")
    assert listed(search=name, project_slug="nowhere") == []
    assert http.get("/v1/templates", params={"search": name, "limit": 1}).json()["has_next_page"] is True
    assert http.get("/v1/templates", params={"version": "x"}).status_code == 400


def test_a_template_is_renamed_described_and_forked(client: Letta, http: httpx.Client, name: str) -> None:
    origin, made = template(client, name, secrets={"A": "a"})
    path = project_path(made)
    fork = http.post(f"{path}:1/fork", json={"name": f"{name}-fork"}).json()
    assert fork["latest_version"] == "1"
    agent, _ = made_of(client, f"{name}-fork")
    assert (agent.base_template_id, [item.value for item in agent.secrets or []]) == (fork["id"], ["a"])
    assert http.patch(f"{path}/name", json={"new_name": f"{name}-fork"}).status_code == 409
    assert http.patch(f"{path}:1/name", json={"new_name": f"{name}-now"}).json()["success"] is True
    path = f"{path}-now"
    assert http.patch(f"{path}/description", json={"description": "It helps."}).status_code == 200
    [shown] = http.get("/v1/templates", params={"name": f"{name}-now"}).json()["templates"]
    assert (shown["description"], shown["id"]) == ("It helps.", made.id)
    assert http.post(f"/v1/templates/{made.project_id}/{name}/agents").status_code == 404
    assert http.post(f"{path}:7/fork").status_code == 404
    assert http.put(
        f"{path}/agent-file", json={"agent_file_json": json.loads(client.agents.export_file(origin.id))}
    ).json()["success"]
    assert http.post(path, json={"message": "by path"}).json()["latest_version"] == "2"
    assert http.post(f"{path}/rollback", json={"version": "1"}).json()["success"] is True
    assert http.delete(path).json()["success"] is True
    body = {"type": "agent", "agent_id": origin.id, "name": f"{name}-there"}
    assert http.post(f"/v1/templates/{made.project_id}", json=body).json()["project_id"] == made.project_id


def test_a_deployment_moves_to_a_version_and_keeps_what_shall_be_kept(
    client: Letta, http: httpx.Client, name: str, provider: Provider
) -> None:
    origin, made = template(client, name, secrets={"A": "a"})
    agent, deployment = made_of(
        client, name, memory_variables={"name": "Ada", "city": "Paris"}, tool_variables={"A": "own"}, tags=["own"]
    )
    client.agents.blocks.update("persona", agent_id=agent.id, value="I changed.")
    client.agents.blocks.update("human", agent_id=agent.id, value="Learned a lot.")
    shared = client.blocks.create(label="shared", value="of all")
    client.agents.blocks.attach(shared.id or "", agent_id=agent.id)
    tool = client.tools.create(source_code=echo_source(f"echo_{uuid4().hex[:8]}"))
    client.agents.update(origin.id, system="You are two.", tool_ids=[tool.id])
    client.agents.blocks.update("human", agent_id=origin.id, value="{{name}} lives in {{city}}")
    extra = client.blocks.create(label="extra", value="for {{name}}")
    client.agents.blocks.attach(extra.id or "", agent_id=origin.id)
    update(client, name, origin)
    client.templates.save(name)
    path = f"{project_path(made)}/deployments/{deployment}/migrate"
    moved = http.post(path, json={"version": "2", "memory_variables": {"city": "Rome"}})
    assert moved.json()["success"] is True, moved.text
    now = client.agents.retrieve(agent.id, include=EVERYTHING)
    assert (now.system, [item.id for item in now.tools], now.name) == ("You are two.", [tool.id], agent.name)
    assert values(now) == {
        "human": "Ada lives in Rome", "persona": "I changed.", "extra": "for Ada", "shared": "of all",
    }  # fmt: skip
    assert [(item.key, item.value) for item in now.secrets or []] == [("A", "own")]
    assert now.tags == ["own"]
    assert now.template_id != agent.template_id
    assert http.get(f"/v1/agents/{agent.id}/core-memory/variables").json()["variables"]["city"] == "Rome"
    human = next(block for block in now.blocks if block.label == "human")
    [*_, last] = http.get(f"/v1/blocks/{human.id}/history", params={"order": "asc"}).json()
    assert (last["previous_value"], last["actor"]["template"]) == ("Learned a lot.", f"{name}:2")
    client.agents.messages.create(agent.id, input="hi")
    assert "Ada lives in Rome" in provider.requests[-1].system
    client.agents.blocks.update("human", agent_id=agent.id, value="Kept.")
    kept = http.post(path, json={"version": "1", "preserve_core_memories": True, "preserve_tool_variables": False})
    assert kept.status_code == 200, kept.text
    back = client.agents.retrieve(agent.id, include=EVERYTHING)
    assert (back.system, values(back)["human"], values(back)["extra"]) == ("You are one.", "Kept.", "for Ada")
    assert [(item.key, item.value) for item in back.secrets or []] == [("A", "a")]
    assert http.post(path, json={"version": "9"}).status_code == 404
    lost = http.post(f"{project_path(made)}/deployments/deployment-none/migrate", json={"version": "1"})
    assert lost.status_code == 404 and "deployment-none" in lost.json()["detail"]


def test_saving_moves_all_deployments_and_reconciles_blocks_where_asked(client: Letta, name: str) -> None:
    origin, _ = template(client, name)
    agents = [made_of(client, name, memory_variables={"name": word})[0] for word in ("Ada", "Bo")]
    shared = client.blocks.create(label="shared", value="of all")
    client.agents.blocks.attach(shared.id or "", agent_id=agents[0].id)
    gone = next(block for block in agents[0].blocks if block.label == "human")
    human = next(block for block in origin.blocks if block.label == "human")
    client.agents.blocks.detach(human.id or "", agent_id=origin.id)
    update(client, name, origin)
    client.templates.save(name, migrate_agents=True, block_reconciliation_strategy="reconcile-all")
    for agent in agents:
        now = client.agents.retrieve(agent.id, include=EVERYTHING)
        assert values(now) == {"persona": "I am kind."}
        assert now.template_id != agent.template_id
    with pytest.raises(NotFoundError):
        client.blocks.retrieve(gone.id or "")
    assert client.blocks.retrieve(shared.id or "").value == "of all"


def test_a_snapshot_shows_a_version_and_sets_the_working_one(client: Letta, http: httpx.Client, name: str) -> None:
    tool = client.tools.create(source_code=echo_source(f"echo_{uuid4().hex[:8]}"))
    _, made = template(client, name, secrets={"KEY": "hidden"}, tool_ids=[tool.id])
    path = project_path(made)
    answer = http.get(f"{path}:1/snapshot")
    shown = answer.json()
    [agent] = shown["agents"]
    assert "hidden" not in answer.text
    assert (agent["systemPrompt"], agent["toolIds"], shown["type"]) == ("You are one.", [tool.id], "classic")
    assert [item["key"] for item in agent["memoryVariables"]["data"]] == ["name", "city"]
    assert [item["key"] for item in agent["toolVariables"]["data"]] == ["KEY"]
    assert [block["label"] for block in shown["blocks"]] == ["human", "persona"]
    agent |= {"systemPrompt": "You are set.", "toolIds": [], "properties": {"temperature": 0.25}}
    shown["blocks"][0]["value"] = "{{who}}"
    assert http.put(f"{path}:1/snapshot", json=shown).status_code == 400
    assert http.put(f"{path}:dev/snapshot", json=shown).json()["success"] is True
    fresh, _ = made_of(client, f"{name}:current", memory_variables={"who": "Ada"})
    assert (fresh.system, fresh.tools, values(fresh)["human"]) == ("You are set.", [], "Ada")
    assert http.get(f"/v1/agents/{fresh.id}").json()["model_settings"]["temperature"] == 0.25
    assert [(item.key, item.value) for item in fresh.secrets or []] == [("KEY", "hidden")]
    agent["toolIds"] = [f"tool-{uuid4()}"]
    assert http.put(f"{path}:dev/snapshot", json=shown).status_code == 404
    agent["toolIds"] = []
    shown["relationships"].append({"agentEntityId": agent["entityId"], "blockEntityId": "block-none"})
    assert http.put(f"{path}:dev/snapshot", json=shown).status_code == 400
    assert http.put(f"{path}:dev/snapshot", json=None).status_code == 422
    assert http.get(f"{path}:4/snapshot").status_code == 404


def test_a_deployment_is_listed_and_deleted(client: Letta, http: httpx.Client, name: str) -> None:
    template(client, name)
    agent, deployment = made_of(client, name)
    path = f"/v1/_internal_templates/deployment/{deployment}"
    listed = http.get(path).json()
    assert (listed["total_count"], [item["type"] for item in listed["entities"]]) == (3, ["block", "block", "agent"])
    assert [item["id"] for item in http.get(path, params={"entity_types": "agent"}).json()["entities"]] == [agent.id]
    gone = http.delete(path).json()
    assert (gone["deleted_agents"], len(gone["deleted_blocks"]), gone["deleted_groups"]) == ([agent.id], 2, [])
    with pytest.raises(NotFoundError):
        client.agents.retrieve(agent.id)
    assert http.get(path).status_code == http.delete(path).status_code == 404


def test_programs_that_keep_book_of_deployments_themselves_are_served(http: httpx.Client, name: str) -> None:
    place = {"template_id": "t", "base_template_id": "b", "deployment_id": name}
    block = {"label": "human", "value": "x", "entity_id": "block-0", **place}
    made = http.post("/v1/_internal_templates/blocks", json=block).json()
    assert (made["deployment_id"], made["entity_id"]) == (name, "block-0")
    many = http.post("/v1/_internal_templates/blocks/batch", json=[block, {**block, "label": "other"}]).json()
    assert [item["label"] for item in many] == ["human", "other"]
    over = [block, {**block, "value": "too long", "limit": 2}]
    assert http.post("/v1/_internal_templates/blocks/batch", json=over).status_code == 422
    body = {"model": MODEL, "block_ids": [made["id"]], "entity_id": "agent-0", **place}
    agent = http.post("/v1/_internal_templates/agents", json=body).json()
    assert (agent["deployment_id"], agent["template_id"], agent["entity_id"]) == (name, "t", "agent-0")
    assert http.post("/v1/_internal_templates/agents", json={"model": MODEL}).status_code == 422
    assert http.get(f"/v1/_internal_templates/deployment/{name}").json()["total_count"] == 4


def test_a_template_leaves_a_project_that_is_gone(client: Letta, http: httpx.Client, name: str) -> None:
    project = http.post("/v1/projects", json={"name": name}).json()
    origin = pattern(client)
    made = http.post(f"/v1/templates/{name}", json={"type": "agent", "agent_id": origin.id, "name": name}).json()
    assert made["project_slug"] == project["slug"]
    path = f"/v1/legacy-templates/{made['id']}/migrates"
    assert http.post(path).status_code == 400
    http.delete(f"/v1/projects/{project['id']}")
    assert http.post(f"/v1/templates/{project['id']}/{name}/agents").status_code == 201
    assert http.post(path).json()["success"] is True
    assert made_of(client, name)[0].base_template_id == made["id"]
    assert http.post("/v1/legacy-templates/template-none/migrates").status_code == 404


def test_agents_are_found_by_all_conditions_together(client: Letta, http: httpx.Client, name: str) -> None:
    origin, made = template(client, name)
    identity = http.post("/v1/identities", json={"identifier_key": name, "name": "Bo", "identity_type": "user"}).json()[
        "id"
    ]
    first, _ = made_of(client, name, agent_name="Ada one", tags=[name, "red"], identity_ids=[identity])
    client.templates.save(name)
    second, _ = made_of(client, name, agent_name="Ada two", tags=[name])

    def found(*conditions: dict[str, Any], **more: Any) -> list[str]:
        answer = http.post("/v1/agents/search", json={"search": list(conditions), "combinator": "AND", **more})
        assert answer.status_code == 200, answer.text
        query = {"search": json.dumps(list(conditions))} | {key: more[key] for key in ("project_id",) if key in more}
        counted = http.get("/v1/agents/search/count", params=query)
        ids = [item["id"] for item in answer.json()["agents"]]
        assert counted.json()["count"] == len(ids), counted.text
        return ids

    mine = {"field": "tags", "operator": "contains", "value": [name]}
    assert found(mine) == [second.id, first.id]
    assert found(mine, {"field": "tags", "operator": "contains", "value": ["red", name]}) == [first.id]
    assert found(mine, {"field": "name", "operator": "eq", "value": "Ada two"}) == [second.id]
    assert found(mine, {"field": "name", "operator": "contains", "value": "ada"}) == [second.id, first.id]
    assert found(mine, {"field": "name", "operator": "contains", "value": "ada"},
                 {"field": "name", "operator": "contains", "value": "one"}) == [first.id]  # fmt: skip
    for who in (identity, name):
        assert found(mine, {"field": "identity", "operator": "eq", "value": who}) == [first.id]
    assert found({"field": "templateName", "operator": "eq", "value": name}) == [second.id, first.id]
    assert found({"field": "templateName", "operator": "eq", "value": "none"}) == []
    for version, wanted in ((f"{name}:1", first), (f"{name}:latest", second), (first.template_id, first)):
        assert found({"field": "version", "value": version}) == [wanted.id]
    assert found(mine, {"field": "version", "value": "2"}) == [second.id]
    assert found({"field": "agentId", "operator": "eq", "value": origin.id}) == [origin.id]
    assert found(mine, project_id=made.project_id, ascending=True, sortBy="updated_at") == [first.id, second.id]
    assert found(mine, project_id="elsewhere") == []
    page = http.post("/v1/agents/search", json={"search": [mine], "limit": 1}).json()
    assert ([item["id"] for item in page["agents"]], page["nextCursor"]) == ([second.id], second.id)
    rest = http.post("/v1/agents/search", json={"search": [mine], "limit": 1, "after": page["nextCursor"]}).json()
    assert ([item["id"] for item in rest["agents"]], rest["nextCursor"]) == ([first.id], None)
    spread = {"search[0][field]": "tags", "search[0][operator]": "contains", "search[0][value][]": name}
    assert http.get("/v1/agents/search/count", params=spread).json() == {"count": 2}


@pytest.mark.parametrize(
    "condition",
    [
        {"field": "colour", "value": "red"},
        {"field": "name", "operator": "like", "value": "x"},
        {"field": "tags", "operator": "contains", "value": "x"},
        {"field": "name"},
    ],
)
def test_a_condition_that_is_none_is_refused(http: httpx.Client, condition: dict[str, Any]) -> None:
    assert http.post("/v1/agents/search", json={"search": [condition]}).status_code == 422
    refused = http.get("/v1/agents/search/count", params={"search": json.dumps(condition)})
    assert refused.status_code == 422 and "search" in refused.text
    assert http.get("/v1/agents/search/count", params={"search": "{"}).status_code == 422


def test_a_version_that_is_none_is_refused_in_a_search(http: httpx.Client) -> None:
    assert http.post("/v1/agents/search", json={"search": [{"field": "version", "value": "x:y"}]}).status_code == 400
    lost = http.post("/v1/agents/search", json={"after": f"agent-{uuid4()}"})
    assert lost.status_code == 404


def test_folders_go_along_with_files_and_templates(client: Letta, name: str) -> None:
    folder = client.folders.create(name=f"notes {name}")
    given = client.folders.files.upload(folder.id, file=("a.txt", b"The answer is 42."))
    wait_read(client, folder.id, given.id)
    origin = bare_agent(client, folder_ids=[folder.id])
    [copy] = client.agents.import_file(file=client.agents.export_file(origin.id).encode()).agent_ids
    [theirs] = list(client.agents.folders.list(copy))
    assert theirs.id != folder.id and theirs.name.startswith(folder.name)
    [file] = list(client.folders.files.list(theirs.id))
    assert file.original_file_name == "a.txt"
    assert wait_read(client, theirs.id, file.id)[0].content == "The answer is 42."
    client.templates.create(type="agent", agent_id=origin.id, name=name)
    agent, _ = made_of(client, name)
    assert [item.id for item in client.agents.folders.list(agent.id)] == [folder.id]


def test_a_supervisor_goes_along_with_its_group(client: Letta, http: httpx.Client, name: str) -> None:
    boss, one, two = (bare_agent(client, name=word, system=f"You are {word}.") for word in ("Boss", "One", "Two"))
    shared = client.blocks.create(label="board", value="for {{team}}")
    config = {"manager_type": "supervisor", "manager_agent_id": boss.id}
    body = {
        "agent_ids": [one.id, two.id],
        "description": "a team",
        "manager_config": config,
        "shared_block_ids": [shared.id],
    }
    group = http.post("/v1/groups", json=body).json()
    file = json.loads(client.agents.export_file(boss.id))
    assert [item["name"] for item in file["agents"]] == ["Boss", "One", "Two"]
    ids = client.agents.import_file(file=json.dumps(file).encode()).agent_ids
    [copy] = [item for item in http.get("/v1/groups?limit=1000").json() if item["manager_agent_id"] == ids[0]]
    assert (copy["agent_ids"], copy["description"], copy["manager_type"]) == (ids[1:], "a team", "supervisor")
    assert copy["id"] != group["id"]
    made = client.templates.create(type="agent", agent_id=boss.id, name=name)
    shown = http.get(f"{project_path(made)}:1/snapshot").json()
    assert (shown["type"], shown["configuration"]["managerAgentEntityId"]) == ("supervisor", "agent-0")
    team = client.templates.agents.create(name, memory_variables={"team": "red"})
    assert len(team.agent_ids) == 3
    there = http.get(f"/v1/groups/{team.group_id}").json()
    assert (there["agent_ids"], there["deployment_id"]) == (team.agent_ids[1:], team.deployment_id)
    blocks = [client.agents.blocks.retrieve("board", agent_id=item) for item in team.agent_ids]
    assert {block.id for block in blocks} == {blocks[0].id}
    assert blocks[0].value == "for red"
    path = f"{project_path(made)}/deployments/{team.deployment_id}/migrate"
    moved = http.post(path, json={"version": "1", "memory_variables": {"team": "blue"}})
    assert "3 agents" in moved.json()["message"]
    assert client.blocks.retrieve(blocks[0].id or "").value == "for blue"
    gone = http.delete(f"/v1/_internal_templates/deployment/{team.deployment_id}").json()
    assert (gone["deleted_groups"], set(gone["deleted_agents"])) == ([team.group_id], set(team.agent_ids))
    assert http.get(f"/v1/groups/{team.group_id}").status_code == 404


def test_an_agent_whose_memory_is_looked_after_gets_a_companion_of_its_own(client: Letta, name: str) -> None:
    origin = new_agent(client, enable_sleeptime=True)
    client.templates.create(type="agent", agent_id=origin.id, name=name)
    agent, _ = made_of(client, name)
    whole = client.agents.retrieve(agent.id, include=["agent.managed_group"])
    assert whole.managed_group is not None and whole.managed_group.manager_type == "sleeptime"
    assert origin.managed_group is not None and origin.managed_group.agent_ids != whole.managed_group.agent_ids


def test_groups_of_a_deployment_that_the_client_keeps_book_of(client: Letta, http: httpx.Client, name: str) -> None:
    agent = bare_agent(client)
    place = {"template_id": "t", "base_template_id": "b", "deployment_id": name}
    body = {"agent_ids": [agent.id], "description": "d", **place}
    group = http.post("/v1/_internal_templates/groups", json=body, headers={"X-Project-Id": "shop"}).json()
    assert (group["deployment_id"], group["template_id"], group["project_id"]) == (name, "t", "shop")
    [entity] = http.get(f"/v1/_internal_templates/deployment/{name}").json()["entities"]
    assert (entity["id"], entity["type"]) == (group["id"], "group")


def test_tools_of_an_mcp_server_come_along_where_it_can_be_had(client: Letta, http: httpx.Client, name: str) -> None:
    with Scripted() as scripted:
        config: Any = {"mcp_server_type": "streamable_http", "server_url": f"{scripted.url}?key=unshown"}
        server = client.mcp_servers.create(server_name=f"greeter-{name}", config=config)
        [tool] = client.mcp_servers.tools.list(server.id or "")
        origin = bare_agent(client, tool_ids=[tool.id])
        text = client.agents.export_file(origin.id)
        assert "unshown" not in text
        [same] = client.agents.import_file(file=text.encode()).agent_ids
        assert [item.id for item in client.agents.tools.list(same)] == [tool.id]
        client.mcp_servers.delete(server.id or "")
        [other] = client.agents.import_file(file=text.encode()).agent_ids
        [fresh] = list(client.agents.tools.list(other))
        assert fresh.tool_type == "external_mcp" and fresh.id != tool.id
        outcome = client.agents.tools.run(fresh.name or "", agent_id=other, args={"name": "Ada"})
        assert outcome.status == "success"
        assert scripted.calls[-1] == ("greet", {"name": "Ada"})
    file = json.loads(text)
    file["tools"][0]["metadata_"]["mcp"]["server_name"] = f"process-{name}"
    file["mcp_servers"] = [
        {
            "id": "mcp_server-0",
            "server_name": f"process-{name}",
            "server_type": "stdio",
            "stdio_config": {"server_name": "x", "type": "stdio", "command": "touch", "args": ["/tmp/never"]},
        }
    ]
    [bare] = client.agents.import_file(file=json.dumps(file).encode()).agent_ids
    assert list(client.agents.tools.list(bare)) == []
    assert f"process-{name}" not in {item["server_name"] for item in http.get("/v1/mcp-servers").json()}
