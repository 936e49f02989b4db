"""Every filter of a list does what its description says."""

from typing import Any
from uuid import uuid4

import pytest
from letta_client import Letta, NotFoundError
from tests.conftest import MODEL
from tests.support.provider import Provider
from tests.support.replies import call, fail, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source, new_agent

NOBODY = "agent-00000000-0000-4000-8000-000000000000"


def get(server: Server, path: str, status: int = 200, **query: Any) -> Any:
    """What the server answers to a GET, whose status is checked."""
    with server.http as http:
        answer = http.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def ids(found: Any) -> list[str]:
    return [item["id"] if isinstance(item, dict) else item.id for item in found]


def run_of(client: Letta, agent_id: str, **more: Any) -> str:
    """A run of the agent, ended."""
    answer: Any = client.agents.messages.create(agent_id, input="go", **more)
    return str(answer.usage.run_ids[0])


def test_steps_are_listed_by_feedback_tags_model_and_time(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    for _ in range(3):
        run_of(client, agent.id)
    first, second, third = ids(client.steps.list(agent_id=agent.id, order="asc"))
    client.steps.feedback.create(first, feedback="positive", tags=["kind", "short"])
    client.steps.feedback.create(second, feedback="negative", tags=["long"])

    def listed(**query: Any) -> list[str]:
        return ids(client.steps.list(agent_id=agent.id, order="asc", **query))

    assert listed(has_feedback=True) == [first, second]
    assert listed(has_feedback=False) == [third]
    assert listed(feedback="negative") == [second]
    assert listed(tags=["short"]) == [first]
    assert listed(tags=["short", "long"]) == [first, second]
    assert listed(tags=["short"], feedback="negative") == []
    assert listed(model=MODEL.partition("/")[2]) == listed(model=MODEL) == [first, second, third]
    assert listed(model="other") == []
    assert listed(trace_ids=["t"]) == []
    assert listed(project_id="nowhere") == []
    assert listed(start_date="2020-01-01T00:00:00", end_date="2100-01-01T00:00:00+02:00") == [first, second, third]
    assert listed(start_date="2100-01-01T00:00:00Z") == listed(end_date="2020-01-01T00:00:00") == []


def test_runs_are_listed_by_state_conversation_and_agents(client: Letta, server: Server, provider: Provider) -> None:
    one, two = bare_agent(client), bare_agent(client)
    conversation = client.conversations.create(agent_id=one.id)
    first = run_of(client, one.id)
    list(client.conversations.messages.create(conversation.id, input="hi", background=True))
    second = ids(client.runs.list(agent_id=one.id))[0]
    third = run_of(client, two.id)
    both: Any = {"agent_ids": [one.id, two.id], "order": "asc"}
    assert ids(client.runs.list(**both)) == [first, second, third]
    assert ids(client.runs.list(agent_ids=[one.id, two.id], ascending=True)) == [first, second, third]
    assert ids(client.runs.list(background=True, **both)) == [second]
    assert ids(client.runs.list(conversation_id=conversation.id)) == [second]
    assert ids(client.runs.list(conversation_id="default", agent_id=one.id)) == [first]
    assert ids(client.runs.list(conversation_id=one.id)) == [first]
    assert ids(client.runs.list(statuses=["failed"], **both)) == []
    assert ids(client.runs.list(statuses=["completed"], active=True, **both)) == []
    assert ids(client.runs.list(stop_reason="end_turn", after=first, **both)) == [second, third]
    assert ids(client.runs.list(stop_reason="cancelled", **both)) == []
    assert get(server, "/v1/runs/active", agent_ids=[one.id, two.id]) == []
    assert get(server, "/v1/runs/", 422, agent_ids=["x"])
    assert get(server, "/v1/runs/", 404, after="run-00000000-0000-4000-8000-000000000000")


def test_runs_are_found_by_steps_tools_and_duration(client: Letta, server: Server, provider: Provider) -> None:
    mark = uuid4().hex
    tool = client.tools.create(source_code=echo_source(f"echo_{mark}"))
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(say("short"), call(tool.name or "", text="x"), say("done"))
    one, two = run_of(client, agent.id), run_of(client, agent.id)  # of one step and of two

    def listed(**query: Any) -> list[str]:
        return ids(get(server, "/v1/_internal_runs/", agent_id=agent.id, order="asc", **query))

    assert listed() == [one, two]
    assert listed(tools_used=[tool.name]) == listed(tools_used=[tool.id]) == [two]
    assert listed(tools_used=["other"]) == []
    assert listed(step_count=1) == [one]
    assert listed(step_count=2, step_count_operator="gte") == [two]
    assert listed(step_count=1, step_count_operator="lte", tools_used=[tool.name]) == []
    assert listed(run_id=two) == [two]
    took = {run.id: run.total_duration_ns or 0 for run in client.runs.list(agent_id=agent.id)}
    short, long = sorted((one, two), key=lambda run: took[run])  # a busy machine may turn them round
    assert listed(duration_value=took[short], duration_operator="gt") == [long]
    assert listed(duration_value=took[short], duration_operator="eq") == [short]
    assert listed(duration_value=took[long], duration_operator="lt") == [short]
    assert listed(duration_percentile=50) == [long]
    assert listed(duration_percentile=100) == []
    assert listed(order_by="duration", after=short) == [long]
    assert ids(get(server, "/v1/_internal_runs/", agent_id=agent.id, order_by="duration")) == [long, short]
    assert listed(start_date="2100-01-01T00:00:00") == listed(end_date="2020-01-01T00:00:00Z") == []
    assert listed(project_id="nowhere") == listed(template_family="nowhere") == []
    get(server, "/v1/_internal_runs/", 422, duration_value=1)
    assert get(server, f"/v1/runs/{two}/metrics")["tools_used"] == [tool.id]
    assert get(server, f"/v1/runs/{two}/metrics")["num_steps"] == 2


def test_tools_are_listed_by_name_id_type_and_part_of_the_name(client: Letta, server: Server) -> None:
    mark = uuid4().hex
    one, two = (client.tools.create(source_code=echo_source(f"{name}_{mark}")) for name in ("a", "b"))
    assert ids(client.tools.list(search=mark.upper(), order="asc")) == [one.id, two.id]
    assert ids(client.tools.list(name=f"a_{mark}")) == [one.id]
    assert ids(client.tools.list(names=[f"a_{mark}", "nobody"])) == [one.id]
    assert ids(client.tools.list(tool_ids=[one.id, two.id], order="asc")) == [one.id, two.id]
    assert ids(client.tools.list(tool_ids=[one.id, two.id], after=one.id, order="asc")) == [two.id]
    assert ids(client.tools.list(search=mark, tool_types=["letta_core"])) == []
    assert ids(client.tools.list(search=mark, exclude_tool_types=["custom"])) == []
    assert all((tool.tool_type or "").startswith("letta_") for tool in client.tools.list(return_only_letta_tools=True))
    assert len(get(server, "/v1/tools/", tool_ids=f"{one.id},{two.id}")) == 2
    assert len(get(server, "/v1/tools/", search=mark, tool_types="letta_core, custom")) == 2
    assert get(server, "/v1/tools/count", search=mark, exclude_letta_tools=True) == 2
    assert get(server, "/v1/tools/count", search=mark, return_only_letta_tools=True) == 0
    get(server, "/v1/tools/", 422, tool_types="none_such")
    get(server, "/v1/tools/", 422, tool_ids="x")


def test_an_agents_blocks_and_tools_are_listed_in_the_default_number(client: Letta, server: Server) -> None:
    mark = uuid4().hex[:8]
    names = [client.tools.create(source_code=echo_source(f"t{n}_{mark}")).name or "" for n in range(11)]
    blocks = [{"label": f"b{n}", "value": ""} for n in range(51)]
    agent = bare_agent(client, tools=names, memory_blocks=blocks)
    assert len(get(server, f"/v1/agents/{agent.id}/tools/")) == 10
    assert len(get(server, f"/v1/agents/{agent.id}/core-memory/blocks")) == 51
    assert len(list(client.agents.tools.list(agent.id))) == 11


def test_archives_tell_which_agents_can_search_them(client: Letta, server: Server) -> None:
    archive = client.archives.create(name=uuid4().hex)
    one, two = bare_agent(client, tags=["x"]), bare_agent(client, hidden=True)
    for agent in (one, two):
        client.agents.archives.attach(archive.id, agent_id=agent.id)
    assert ids(client.archives.list(name=archive.name)) == [archive.id]
    assert ids(client.archives.list(agent_id=one.id)) == [archive.id]
    path = f"/v1/archives/{archive.id}/agents"
    assert ids(get(server, path)) == [two.id, one.id]
    assert ids(get(server, path, order="asc", limit=1)) == [one.id]
    assert ids(get(server, path, order="asc", after=one.id)) == [two.id]
    assert get(server, path, include=["agent.tags"], order="asc")[0]["tags"] == ["x"]
    client.agents.archives.detach(archive.id, agent_id=one.id)
    assert ids(get(server, path)) == [two.id]
    get(server, "/v1/archives/archive-00000000-0000-4000-8000-000000000000/agents", 404)


def test_agents_are_listed_by_name_tags_author_and_end_of_the_last_run(
    client: Letta, server: Server, provider: Provider
) -> None:
    mark = uuid4().hex
    one = bare_agent(client, name=f"{mark}-Tea", tags=[f"{mark}-a", f"{mark}-b"])
    two = bare_agent(client, name=f"{mark}-coffee", tags=[f"{mark}-a"])
    hidden = bare_agent(client, name=f"{mark}-hidden", hidden=True)

    def listed(**query: Any) -> list[str]:
        return ids(client.agents.list(query_text=mark, **query))

    assert listed() == [two.id, one.id]
    assert ids(client.agents.list(query_text=f"{mark}-tEA")) == [one.id]
    assert ids(client.agents.list(name=hidden.name)) == []
    assert listed(tags=[f"{mark}-a", f"{mark}-b"]) == [two.id, one.id]
    assert listed(tags=[f"{mark}-a", f"{mark}-b"], match_all_tags=True) == [one.id]
    assert listed(order="asc") == listed(ascending=True) == [one.id, two.id]
    assert listed(order="asc", after=one.id) == [two.id]
    assert listed(before=one.id) == [two.id]
    assert ids(get(server, "/v1/agents/", query_text=mark, created_by_id="user-nobody")) == []
    assert ids(get(server, "/v1/agents/", query_text=mark, created_by_id=one.created_by_id)) == [two.id, one.id]
    provider.script(fail(401))
    with pytest.raises(Exception, match="401"):
        client.agents.messages.create(one.id, input="fails")
    provider.reset()
    run_of(client, two.id)
    assert listed(last_stop_reason="end_turn") == [two.id]
    assert listed(last_stop_reason="llm_api_error") == [one.id]
    assert listed(order_by="last_run_completion", order="asc") == [one.id, two.id]
    assert listed(sort_by="last_run_completion") == [two.id, one.id]
    client.agents.update(one.id, description="newer")
    assert listed(order_by="updated_at") == [one.id, two.id]
    assert get(server, "/v1/agents/count", query_text=mark) == 2
    assert get(server, "/v1/_internal_agents/count", query_text=mark) == 2
    assert get(server, "/v1/_internal_agents/count", query_text=mark, exclude_hidden=False) == 3


def test_a_page_holds_as_many_messages_as_were_asked_for_whatever_is_filtered_out(
    client: Letta, provider: Provider
) -> None:
    agent = new_agent(client, agent_type="memgpt_agent")
    for word in ("one", "two"):
        provider.script(
            *[call("core_memory_append", label="human", content="x")] * 4, call("send_message", message=word)
        )
        client.agents.messages.create(agent.id, input=word)

    def listed(**query: Any) -> list[Any]:
        page = client.agents.messages.list(agent.id, include_return_message_types=["assistant_message"], **query)
        return list(page.items)

    newest: list[Any] = listed(limit=2)
    assert [item.content for item in newest] == ["two", "one"]
    assert [item.content for item in listed(limit=1, order="asc")] == ["one"]
    assert [item.content for item in listed(limit=1, order="asc", before=newest[0].id)] == ["one"]
    assert [item.content for item in listed(limit=1, after=newest[0].id)] == ["one"]


def test_messages_that_tell_of_errors_are_left_out_on_request(client: Letta, provider: Provider) -> None:
    agent = new_agent(client)
    provider.script(call("memory_insert", label="none", new_string="x"), say("sorry"))
    client.agents.messages.create(agent.id, input="go")

    def errors(**query: Any) -> int:
        return sum(bool(item.is_err) for item in client.agents.messages.list(agent.id, **query))

    assert errors() == errors(include_err=True) == 1
    assert errors(include_err=False) == 0


def test_messages_are_found_by_role_project_and_time(client: Letta, server: Server, provider: Provider) -> None:
    mark = f"w{uuid4().hex}"
    agent = bare_agent(client, project_id=f"project-{mark}")
    provider.script(say(f"the {mark} sings"))
    client.agents.messages.create(agent.id, input=f"hear {mark}?")

    def found(**body: Any) -> list[str]:
        with server.http as http:
            answer = http.post("/v1/agents/messages/search", json={"query": mark, "search_mode": "fts", **body})
        assert answer.status_code == 200, answer.text
        return sorted(item["message"]["role"] for item in answer.json())

    assert found() == ["assistant", "user"]
    assert found(roles=["user"]) == ["user"]
    assert found(project_id=f"project-{mark}") == ["assistant", "user"]
    assert found(project_id="other") == found(template_id="other") == []
    assert found(agent_id=NOBODY) == []
    assert found(conversation_id=agent.id, search_mode="fts") == ["assistant", "user"]
    assert found(start_date="2100-01-01T00:00:00Z") == found(end_date="2020-01-01T00:00:00") == []
    hits = client.messages.search(query=mark, agent_id=agent.id, limit=1)
    assert len(hits) == 1
    with server.http as http:
        best = http.post("/v1/agents/messages/search", json={"query": f"{mark} sings"}).json()[0]
    assert best["embedded_text"] == f"the {mark} sings"
    assert (best["fts_rank"], best["message"]["content"][0]["text"]) == (1, f"the {mark} sings")
    assert best["rrf_score"] > 0


def test_a_wrong_cursor_is_named_in_the_answer(client: Letta) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    agent = bare_agent(client)
    for ask in (
        lambda: client.agents.list(after=f"agent-{missing}"),
        lambda: client.agents.messages.list(agent.id, before=f"message-{missing}"),
        lambda: client.agents.tools.list(agent.id, after=f"tool-{missing}"),
        lambda: client.agents.blocks.list(agent.id, after=f"block-{missing}"),
        lambda: client.blocks.list(after=f"block-{missing}"),
        lambda: client.tools.list(after=f"tool-{missing}"),
        lambda: client.archives.list(after=f"archive-{missing}"),
        lambda: client.conversations.list(after=f"conv-{missing}"),
        lambda: client.runs.list(after=f"run-{missing}"),
        lambda: client.steps.list(before=f"step-{missing}"),
    ):
        with pytest.raises(NotFoundError) as refused:
            ask()
        assert missing in str(refused.value.body)


def test_a_stream_is_found_by_the_otid_that_was_sent(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client)
    conversation = client.conversations.create(agent_id=agent.id)
    otids = [str(uuid4()) for _ in range(2)]
    for otid in otids:
        message: Any = {"role": "user", "content": otid, "otid": otid}
        list(client.conversations.messages.create(conversation.id, messages=[message], background=True))
    runs = ids(client.runs.list(conversation_id=conversation.id, order="asc"))
    for otid, run_id in zip(otids, runs, strict=True):
        events: list[Any] = list(client.conversations.messages.stream(conversation.id, otid=otid))
        assert {event.run_id for event in events} == {run_id}
    with pytest.raises(NotFoundError):
        list(client.conversations.messages.stream(conversation.id, otid="nobody's"))
