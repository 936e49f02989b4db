"""Agents are made whole or not at all, and go whole, whatever they are doing."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import hang, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, new_agent

NOBODY = "00000000-0000-4000-8000-000000000000"


def get(server: Server, path: str, status: int = 200, **more: Any) -> Any:
    """What the server answers to a GET, whose status is checked."""
    with server.http as http:
        answer = http.get(path, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_nothing_is_made_when_the_last_of_many_things_is_wrong(client: Letta, server: Server) -> None:
    mark = uuid4().hex
    tools = [client.tools.create(source_code=echo_source(f"t{n}_{mark}")).id for n in range(3)]
    whole: dict[str, Any] = {
        "name": mark,
        "model": MODEL,
        "memory_blocks": [{"label": f"b{n}", "value": mark} for n in range(20)],
        "tool_ids": tools,
        "tags": [f"{mark}-{n}" for n in range(5)],
        "secrets": {"KEY": "hush"},
        "initial_message_sequence": [{"role": "user", "content": mark}],
    }
    nowhere = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1:9/x.png"}}
    wrong: list[tuple[int, dict[str, Any]]] = [
        (404, {"tool_ids": [*tools, f"tool-{NOBODY}"]}),
        (404, {"tools": ["nobody_knows_this_tool"]}),
        (404, {"block_ids": [f"block-{NOBODY}"]}),
        (404, {"identity_ids": [f"identity-{NOBODY}"]}),
        (404, {"folder_ids": [f"source-{NOBODY}"]}),
        (404, {"model": "nobody/none"}),
        (404, {"embedding": "nobody/none"}),
        (422, {"memory_blocks": [*whole["memory_blocks"][:19], {"label": "b", "value": mark * 9, "limit": 10}]}),
        (409, {"memory_blocks": [*whole["memory_blocks"], {"label": "b0", "value": mark}]}),
        (422, {"tool_rules": [{"type": "parent_last_tool", "tool_name": "t", "children": []}]}),
        (400, {"initial_message_sequence": [{"role": "user", "content": [nowhere]}]}),
        (422, {"timezone": "Mars/Olympus"}),
    ]  # fmt: skip
    for status, fault in wrong:
        with pytest.raises(APIStatusError) as refused:
            client.agents.create(**{**whole, **fault})
        assert refused.value.status_code == status, (fault, refused.value.body)
        assert list(client.agents.list(name=mark)) == [], fault
        assert list(client.blocks.list(value_search=mark)) == [], fault
        assert list(client.tags.list(name=mark)) == [], fault
        assert client.messages.search(query=mark, search_mode="fts") == [], fault
    made = client.agents.create(**whole)
    assert len(list(client.blocks.list(value_search=mark))) == 20
    assert made.message_ids is not None
    assert len(made.message_ids) == 2


def test_an_agent_is_deleted_while_it_talks(client: Letta, server: Server, provider: Provider) -> None:
    agent = new_agent(client)
    shared = client.blocks.create(label="shared", value="stays")
    client.agents.blocks.attach(shared.id, agent_id=agent.id)
    gate = provider.gate("talking")
    provider.script(hang(gate, say("late")))
    failed: list[Any] = []

    def waits_in_line() -> None:
        try:
            client.agents.messages.create(agent.id, input="second")
        except APIStatusError as error:
            failed.append(error)

    run = client.agents.messages.create_async(agent.id, input="first")
    (request,) = provider.wait_for_requests(1, timeout_s=30)
    line = threading.Thread(target=waits_in_line)
    line.start()
    client.agents.delete(agent.id)
    request.wait_disconnected(timeout_s=30)
    gate.release()
    line.join(30)
    assert not line.is_alive()
    with pytest.raises(NotFoundError):
        client.agents.retrieve(agent.id)
    with pytest.raises(NotFoundError):
        client.runs.retrieve(run.id)
    assert client.blocks.retrieve(shared.id).value == "stays"
    assert "Traceback" not in server.log
    assert get(server, "/v1/health/")["status"] == "ok"
    assert all(error.status_code < 500 for error in failed)


def test_agents_are_searched_by_all_conditions_at_once(client: Letta, server: Server) -> None:
    mark = uuid4().hex
    one = bare_agent(client, name=f"{mark}-one", tags=[f"{mark}-a", f"{mark}-b"])
    two = bare_agent(client, name=f"{mark}-two", tags=[f"{mark}-a"])
    part = {"field": "name", "operator": "contains", "value": mark}

    def found(*conditions: Any, status: int = 200, **more: Any) -> Any:
        with server.http as http:
            answer = http.post("/v1/agents/search", json={"search": [part, *conditions], **more})
        assert answer.status_code == status, answer.text
        return [item["id"] for item in answer.json()["agents"]] if status == 200 else answer.json()

    assert found() == [two.id, one.id]
    assert found(ascending=True, sortBy="updated_at") == [one.id, two.id]
    assert found({"field": "tags", "operator": "contains", "value": [f"{mark}-a", f"{mark}-b"]}) == [one.id]
    assert found({"field": "name", "operator": "eq", "value": two.name}) == [two.id]
    assert found({"field": "agentId", "operator": "eq", "value": one.id}) == [one.id]
    assert found({"field": "identity", "operator": "eq", "value": f"identity-{NOBODY}"}) == []
    assert found(project_id="nowhere") == []
    found({"field": "color", "operator": "eq", "value": "x"}, status=422)
    with server.http as http:
        first = http.post("/v1/agents/search", json={"search": [part], "limit": 1}).json()
    assert first["nextCursor"] == two.id
    assert found(limit=1, after=first["nextCursor"]) == [one.id]
    query = {"search": '[{"field": "name", "operator": "contains", "value": "' + mark + '"}]'}
    assert get(server, "/v1/agents/search/count", params=query) == {"count": 2}
    get(server, "/v1/agents/search/count", 422, params={"search": "nonsense"})


def test_the_size_of_all_vectors_is_told_in_the_unit_asked_for(client: Letta, server: Server) -> None:
    before = get(server, "/v1/embeddings/total_storage_size", headers={"storage-unit": "B"})
    agent = bare_agent(client)
    client.agents.passages.create(agent.id, text="a memory")
    after = get(server, "/v1/embeddings/total_storage_size", headers={"storage-unit": "B"})
    assert after > before
    assert (after - before) % 4 == 0
    in_gb = get(server, "/v1/embeddings/total_storage_size")
    assert in_gb * 1024**3 == pytest.approx(after)
    get(server, "/v1/embeddings/total_storage_size", 422, headers={"storage-unit": "stone"})
