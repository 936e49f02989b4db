"""MCP servers: those of others over each transport, and what happens when one is slow, dead, strange or locked."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import APIStatusError, BadRequestError, ConflictError, Letta, NotFoundError, UnprocessableEntityError
from tests.support.mcp import EVERYTHING, TIME, Scripted, everything, node, tool
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server, free_port
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, stored_bytes

pytestmark = pytest.mark.one_database("sqlite")

reference = pytest.mark.skipif(node() is None, reason="node or the reference MCP server is not installed")


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted() as server:
        yield server


def _name(kind: str = "server") -> str:
    return f"{kind}_{uuid4().hex[:12]}"


def _http(client: Letta, url: str, **config: Any) -> Any:
    whole: Any = {"mcp_server_type": "streamable_http", "server_url": url, **config}
    return client.mcp_servers.create(server_name=_name(), config=whole)


def _tools(client: Letta, server_id: str) -> dict[str, Any]:
    """The server's tools by its own names for them."""
    found = client.mcp_servers.tools.list(server_id)
    return {item.metadata["mcp"]["tool_name"]: item for item in found}  # type: ignore[index]


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line:
            assert line.startswith("data: ")
            yield json.loads(line.removeprefix("data: "))


def test_a_process_of_others_is_listed_run_and_used_in_a_turn(client: Letta, provider: Provider) -> None:
    server = client.mcp_servers.create(
        server_name=_name("time"),
        config={"mcp_server_type": "stdio", "command": TIME[0], "args": TIME[1:], "env": {"A": "b"}},
    )
    assert (server.id or "").startswith("mcp_server-")
    assert client.mcp_servers.retrieve(server.id or "") == server
    tools = _tools(client, server.id or "")
    assert set(tools) == {"get_current_time", "convert_time"}
    convert = tools["convert_time"]
    assert (convert.tool_type, convert.tags) == ("external_mcp", [f"mcp:{server.server_name}"])
    given: dict[str, Any] = {"source_timezone": "Asia/Tokyo", "time": "09:00", "target_timezone": "Asia/Kolkata"}
    ran = client.mcp_servers.tools.run(convert.id, mcp_server_id=server.id or "", args=given)
    assert (ran.status, ran.func_return["time_difference"]) == ("success", "-3.5h")  # type: ignore[index]
    wrong = client.mcp_servers.tools.run(convert.id, mcp_server_id=server.id or "", args={"time": "09:00"})
    assert wrong.status == "error"
    assert "source_timezone" in str(wrong.func_return)

    agent = bare_agent(client, tool_ids=[convert.id])
    provider.script(call(convert.name, **given), call(convert.name, **{**given, "time": "noon"}), say("05:30"))
    answer = client.agents.messages.create(agent.id, input="nine in Tokyo?")
    results = [item for item in answer.messages if item.message_type == "tool_return_message"]
    assert [item.status for item in results] == ["success", "error"]
    assert "T05:30:00+05:30" in str(results[0].tool_return)
    assert "Invalid time format" in str(results[1].tool_return)
    client.mcp_servers.delete(server.id or "")


@reference
@pytest.mark.parametrize("transport", ["stdio", "sse", "streamableHttp"])
def test_the_reference_server_works_over_each_transport(client: Letta, provider: Provider, transport: str) -> None:
    if transport == "stdio":
        server: Any = client.mcp_servers.create(
            server_name=_name(),
            config={"mcp_server_type": "stdio", "command": node() or "", "args": [str(EVERYTHING), "stdio"]},
        )
        _check_reference(client, provider, server.id)
        return
    kind: Any = "sse" if transport == "sse" else "streamable_http"
    with everything(transport) as url:
        server = client.mcp_servers.create(server_name=_name(), config={"mcp_server_type": kind, "server_url": url})
        assert (server.mcp_server_type, server.server_url) == (kind, url)
        _check_reference(client, provider, server.id)


def _check_reference(client: Letta, provider: Provider, server_id: str) -> None:
    tools = _tools(client, server_id)
    assert {"echo", "get-sum", "get-tiny-image", "get-structured-content"} <= set(tools)
    echo, image = tools["echo"], tools["get-tiny-image"]
    ran = client.mcp_servers.tools.run(tools["get-sum"].id, mcp_server_id=server_id, args={"a": 2, "b": 40})
    assert "42" in str(ran.func_return)
    weather = client.mcp_servers.tools.run(
        tools["get-structured-content"].id, mcp_server_id=server_id, args={"location": "Chicago"}
    )
    assert weather.func_return["conditions"]  # type: ignore[index]
    agent = bare_agent(client, tool_ids=[echo.id, image.id])
    provider.script(call(echo.name, message="hello"), call(image.name), say("seen"))
    answer = client.agents.messages.create(agent.id, input="look")
    results = [item for item in answer.messages if item.message_type == "tool_return_message"]
    assert "hello" in str(results[0].tool_return)
    assert "image" in str(results[1].tool_return)
    client.mcp_servers.delete(server_id)


def test_a_process_sees_nothing_of_the_servers_environment(server: Server, client: Letta) -> None:
    assert "OPENAI_API_KEY" in server.environment
    source = (
        "import json,os,sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if 'id' not in m: continue\n"
        "    r = {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}}, "
        "'serverInfo': {'name': 'x', 'version': '1'}}\n"
        "    if m['method'] == 'tools/list':\n"
        "        r = {'tools': [{'name': 'env', 'inputSchema': {'type': 'object'}}]}\n"
        "    if m['method'] == 'tools/call':\n"
        "        r = {'content': [{'type': 'text', 'text': json.dumps(dict(os.environ))}]}\n"
        "    out = {'jsonrpc': '2.0', 'id': m['id'], 'result': r}\n"
        "    if m['method'] not in ('initialize', 'tools/list', 'tools/call'):\n"
        "        out = {'jsonrpc': '2.0', 'id': m['id'], 'error': {'code': -32601, 'message': 'no'}}\n"
        "    print(json.dumps(out), flush=True)\n"
    )
    made: Any = client.mcp_servers.create(
        server_name=_name("spy"),
        config={"mcp_server_type": "stdio", "command": sys.executable, "args": ["-c", source], "env": {"GIVEN": "yes"}},
    )
    (spy,) = client.mcp_servers.tools.list(made.id)
    seen = json.loads(str(client.mcp_servers.tools.run(spy.id, mcp_server_id=made.id).func_return))
    assert seen["GIVEN"] == "yes"
    assert "HOME" in seen
    assert not {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "PYTHONPATH"} & set(seen)


def test_a_refresh_keeps_what_stays_and_tells_what_changed(client: Letta, scripted: Scripted) -> None:
    stays, goes, fresh = _name("stays"), _name("goes"), _name("fresh")
    scripted.tools = [tool(stays, {"a": {"type": "string"}}), tool(goes, {})]
    server = _http(client, scripted.url)
    tools = _tools(client, server.id)
    agent = bare_agent(client, tool_ids=[tools[stays].id, tools[goes].id])
    scripted.tools = [tool(stays, {"b": {"type": "integer"}}), tool(fresh, {})]
    done: Any = client.mcp_servers.refresh(server.id)
    assert done == {"added": [fresh], "updated": [stays], "deleted": [goes], "refused": {}}
    assert [item.id for item in client.agents.tools.list(agent.id)] == [tools[stays].id]
    found = client.mcp_servers.tools.retrieve(tools[stays].id, mcp_server_id=server.id)
    assert list(found.json_schema["parameters"]["properties"]) == ["b"]  # type: ignore[index]
    done = client.mcp_servers.refresh(server.id)
    assert done == {"added": [], "updated": [], "deleted": [], "refused": {}}
    client.mcp_servers.delete(server.id)
    assert list(client.agents.tools.list(agent.id)) == []
    with pytest.raises(NotFoundError):
        client.mcp_servers.retrieve(server.id)


def test_two_servers_may_offer_tools_of_one_name(client: Letta, scripted: Scripted) -> None:
    name = _name("search")
    scripted.tools = [tool(name, {}), tool("send_message", {})]
    first, second = _http(client, scripted.url), _http(client, scripted.url)
    assert _tools(client, first.id)[name].name == name
    assert _tools(client, second.id)[name].name == f"{second.server_name}_{name}"
    assert _tools(client, first.id)["send_message"].name == f"{first.server_name}_send_message"
    second_tool = _tools(client, second.id)[name]
    client.tools.update(second_tool.id, default_requires_approval=True, extra_body={"name": f"{name}_b"})
    client.mcp_servers.refresh(second.id)
    kept = _tools(client, second.id)[name]
    assert (kept.name, kept.default_requires_approval) == (f"{name}_b", True)
    assert client.mcp_servers.tools.run(kept.id, mcp_server_id=second.id).func_return == f"{name} {{}}"


def test_an_agent_is_given_all_tools_of_a_server_and_loses_them(
    server: Server, client: Letta, scripted: Scripted
) -> None:
    scripted.tools = [tool(_name("one"), {}), tool(_name("two"), {})]
    made = _http(client, scripted.url)
    agent = bare_agent(client)
    path = f"/v1/agents/{agent.id}/mcp-servers"
    with server.http as http:
        assert http.get(path).json() == []
        given = http.patch(f"{path}/attach/{made.id}").json()
        assert {item["name"] for item in given["tools"]} == {item["name"] for item in scripted.tools}
        assert [item["id"] for item in http.get(path).json()] == [made.id]
        assert http.patch(f"{path}/detach/{made.id}").json()["tools"] == []
        assert http.get(path).json() == []
        absent = "mcp_server-00000000-0000-4000-8000-000000000000"
        assert http.patch(f"{path}/attach/{absent}").status_code == 404


def test_headers_and_tokens_are_sent_and_sealed(server: Server, client: Letta, scripted: Scripted) -> None:
    token, key = uuid4().hex, uuid4().hex
    made = _http(client, scripted.url, auth_token=token, custom_headers={"X-Key": key})
    assert (made.auth_token, made.custom_headers) == (token, {"X-Key": key})
    assert {(sent.get("authorization"), sent.get("x-key")) for sent in scripted.headers} == {(f"Bearer {token}", key)}
    for row in stored_bytes(server):
        assert token.encode() not in row
        assert key.encode() not in row
    scripted.headers.clear()
    changed: Any = client.mcp_servers.update(
        made.id, config={"server_url": None, "auth_header": "X-Token", "custom_headers": None}, server_name=_name()
    )
    assert (changed.server_url, changed.auth_token, changed.custom_headers) == (scripted.url, token, None)
    client.mcp_servers.refresh(made.id)
    sent = scripted.headers[-1]
    assert (sent.get("x-token"), sent.get("authorization"), sent.get("x-key")) == (token, None, None)


def test_variables_in_headers_are_the_agents_secrets(client: Letta, provider: Provider, scripted: Scripted) -> None:
    name = _name("greet")
    scripted.tools = [tool(name, {})]
    made = _http(client, scripted.url, custom_headers={"X-Who": "{{ WHO | nobody }}"})
    (greet,) = client.mcp_servers.tools.list(made.id)
    agent = bare_agent(client, tool_ids=[greet.id], secrets={"WHO": "ada"})
    provider.script(call(name), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    assert scripted.headers[-1]["x-who"] == "ada"
    client.mcp_servers.tools.run(greet.id, mcp_server_id=made.id)
    assert scripted.headers[-1]["x-who"] == "nobody"


def test_strange_schemas_are_mended_or_refused_one_by_one(
    client: Letta, provider: Provider, scripted: Scripted
) -> None:
    odd, bad, none = _name("odd"), _name("bad"), _name("none")
    scripted.tools = [
        {"name": odd, "inputSchema": {"properties": {"$top": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"const": 5}}}},
        {"name": bad, "inputSchema": {"type": "object", "properties": {"x": {"type": "nonsense"}}}},
        {"name": none, "inputSchema": None},
    ]
    made = _http(client, scripted.url)
    tools = _tools(client, made.id)
    assert set(tools) == {odd, none}
    assert tools[odd].json_schema["parameters"]["properties"] == {"top": {"enum": [5]}}
    refreshed: Any = client.mcp_servers.refresh(made.id)
    assert "nonsense" in refreshed["refused"][bad][0]
    agent = bare_agent(client, tool_ids=[tools[odd].id])
    provider.script(call(odd, top=5), say("ok"))
    client.agents.messages.create(agent.id, input="go")
    assert scripted.calls[-1] == (odd, {"$top": 5})


def test_an_error_of_the_tool_reaches_the_model_as_one(client: Letta, provider: Provider, scripted: Scripted) -> None:
    name = _name("fails")
    scripted.tools = [tool(name, {})]
    scripted.results = {name: {"content": [{"type": "text", "text": "the disk is full"}], "isError": True}}
    made = _http(client, scripted.url)
    (fails,) = client.mcp_servers.tools.list(made.id)
    agent = bare_agent(client, tool_ids=[fails.id])
    provider.script(call(name), say("sorry"))
    answer = client.agents.messages.create(agent.id, input="go")
    (result,) = (item for item in answer.messages if item.message_type == "tool_return_message")
    assert (result.status, result.tool_return) == ("error", "the disk is full")


def test_a_dead_server_takes_only_its_own_tools_with_it(client: Letta, provider: Provider) -> None:
    name, other = _name("gone"), _name("lives")
    with Scripted() as dying, Scripted() as living:
        dying.tools, living.tools = [tool(name, {})], [tool(other, {})]
        made, alive = _http(client, dying.url), _http(client, living.url)
        ids = [item.id for server in (made, alive) for item in client.mcp_servers.tools.list(server.id)]
        agent = bare_agent(client, tool_ids=ids)
        dying.__exit__()
        provider.script(call(name), call(other), say("one of two"))
        answer = client.agents.messages.create(agent.id, input="go")
        results = {item.name: item for item in answer.messages if item.message_type == "tool_return_message"}
        assert (results[name].status, results[other].status) == ("error", "success")
        assert "cannot be reached" in str(results[name].tool_return)
        with pytest.raises(APIStatusError) as down:
            client.mcp_servers.refresh(made.id)
        assert down.value.status_code == 502
        assert [item.name for item in client.mcp_servers.tools.list(made.id)] == [name]  # nothing was forgotten


def test_a_dead_server_can_be_stored_and_a_taken_name_cannot(client: Letta) -> None:
    made: Any = client.mcp_servers.create(
        server_name=_name(), config={"mcp_server_type": "sse", "server_url": f"http://127.0.0.1:{free_port()}/sse"}
    )
    assert client.mcp_servers.tools.list(made.id) == []
    with pytest.raises(ConflictError, match=made.server_name):
        client.mcp_servers.create(
            server_name=made.server_name, config={"mcp_server_type": "sse", "server_url": "http://127.0.0.1:9/sse"}
        )


def test_a_slow_server_is_408_and_an_error_for_the_model(
    start_server: StartServer, provider: Provider, scripted: Scripted
) -> None:
    client = start_server(REVERIE_MCP_LIST_TIMEOUT_S="0.3", REVERIE_MCP_CALL_TIMEOUT_S="0.3").client
    scripted.tools = [tool("slow", {})]
    made = _http(client, scripted.url)
    (slow,) = client.mcp_servers.tools.list(made.id)
    agent = bare_agent(client, tool_ids=[slow.id])
    scripted.hang.set()
    requests: list[Callable[[], object]] = [
        lambda: client.mcp_servers.refresh(made.id),
        lambda: client.mcp_servers.tools.run(slow.id, mcp_server_id=made.id),
    ]
    for request in requests:
        with pytest.raises(APIStatusError, match=r"within 0\.3 seconds") as late:
            request()
        assert late.value.status_code == 408
    provider.script(call("slow"), say("later"))
    answer = client.agents.messages.create(agent.id, input="go")
    (result,) = (item for item in answer.messages if item.message_type == "tool_return_message")
    assert (result.status, "within 0.3 seconds" in str(result.tool_return)) == ("error", True)
    scripted.hang.clear()
    assert client.mcp_servers.tools.run(slow.id, mcp_server_id=made.id).status == "success"


def test_a_session_that_the_server_forgot_is_begun_anew(client: Letta, scripted: Scripted) -> None:
    scripted.tools = [tool(_name("again"), {})]
    made = _http(client, scripted.url)
    (again,) = client.mcp_servers.tools.list(made.id)
    assert client.mcp_servers.tools.run(again.id, mcp_server_id=made.id).status == "success"
    began = len(scripted.sessions)
    assert client.mcp_servers.tools.run(again.id, mcp_server_id=made.id).status == "success"
    assert len(scripted.sessions) == began  # one session serves many calls
    scripted.sessions.clear()
    assert client.mcp_servers.tools.run(again.id, mcp_server_id=made.id).status == "success"
    assert len(scripted.calls) == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/mcp",
        "http://100.100.100.200/mcp",
        "file:///etc/passwd",
        "ftp://127.0.0.1/mcp",
    ],
)
def test_addresses_of_machines_are_refused_even_on_loopback(client: Letta, url: str) -> None:
    before = len(client.mcp_servers.list())
    with pytest.raises(BadRequestError):
        _http(client, url)
    assert len(client.mcp_servers.list()) == before


def test_private_addresses_and_processes_are_refused_where_settings_say_so(
    start_server: StartServer, scripted: Scripted
) -> None:
    client = start_server(REVERIE_ALLOW_PRIVATE_ADDRESSES="false", REVERIE_MCP_DISABLE_STDIO="true").client
    port = scripted.url.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "2130706433", "localhost", "[::ffff:127.0.0.1]", "127.1"):
        with pytest.raises(BadRequestError, match="private network"):
            _http(client, f"http://{host}:{port}")
    assert scripted.headers == []
    with pytest.raises(BadRequestError, match="process of this machine"):
        client.mcp_servers.create(
            server_name="time", config={"mcp_server_type": "stdio", "command": TIME[0], "args": TIME[1:]}
        )
    assert client.mcp_servers.list() == []


def test_a_malformed_request_is_422_and_names_the_field(client: Letta, server: Server) -> None:
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"config": {"server_url": "http://x.example"}}, "server_name"),
        ({"server_name": "a"}, "config"),
        ({"server_name": "a", "config": {"mcp_server_type": "stdio", "args": []}}, "command"),
        ({"server_name": "a", "config": {"mcp_server_type": "sse"}}, "server_url"),
        ({"server_name": "a", "config": {"mcp_server_type": "smoke"}}, "mcp_server_type"),
        ({"server_name": "a", "config": {"server_url": "http://127.0.0.1:9", "custom_headers": {"a b": "c"}}}, "a b"),
        ({"server_name": "a", "config": {"server_url": "http://127.0.0.1:9", "custom_headers": {"a": "b\nc"}}}, "'a'"),
    ]
    with server.http as http:
        for body, word in bodies:
            answer = http.post("/v1/mcp-servers/", json=body)
            assert (answer.status_code, word in answer.text) == (422, True), answer.text
    with pytest.raises(UnprocessableEntityError):
        client.mcp_servers.retrieve("mcp_server-1")
    with pytest.raises(NotFoundError, match="MCP server"):
        client.mcp_servers.refresh(f"mcp_server-{uuid4()}")


def test_a_person_gives_consent_and_the_grant_is_kept_and_renewed(
    server: Server, client: Letta, scripted: Scripted
) -> None:
    scripted.needs_consent = True
    scripted.tools = [tool(_name("locked"), {})]
    made = _http(client, scripted.url)
    assert client.mcp_servers.tools.list(made.id) == []
    with pytest.raises(APIStatusError, match=f"connect/{made.id}"):
        client.mcp_servers.refresh(made.id)
    steps = []
    with server.http as http, http.stream("GET", f"/v1/mcp-servers/connect/{made.id}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event in _events(answer):
            steps.append(event["event"])
            if event["event"] == "authorization_url":
                back = httpx.get(event["url"], follow_redirects=True)
                assert back.json()["status"] == "success", back.text
                assert httpx.get(str(back.url)).status_code == 400  # the answer is taken once
            last = event
    wanted = ["connection_attempt", "oauth_required", "authorization_url", "waiting_for_auth", "success"]
    assert steps == wanted, last
    assert last["tools"][0]["name"] == scripted.tools[0]["name"]
    assert scripted.registered[0]["redirect_uris"] == [f"{server.url}/v1/tools/mcp/oauth/callback"]
    (locked,) = client.mcp_servers.tools.list(made.id)
    assert client.mcp_servers.tools.run(locked.id, mcp_server_id=made.id).status == "success"
    for row in stored_bytes(server):
        assert not any(token.encode() in row for token in scripted.access)
    scripted.access.clear()  # the access token ends early; the refresh token is still good
    scripted.sessions.clear()
    assert client.mcp_servers.tools.run(locked.id, mcp_server_id=made.id).status == "success"
    assert scripted.refreshed == 1
    client.mcp_servers.refresh(made.id)
    assert scripted.refreshed == 1


def test_consent_that_is_refused_ends_the_stream_with_the_reason(
    server: Server, client: Letta, scripted: Scripted
) -> None:
    scripted.needs_consent = scripted.refuses = True
    made = _http(client, scripted.url)
    with server.http as http, http.stream("GET", f"/v1/mcp-servers/connect/{made.id}") as answer:
        for event in _events(answer):
            if event["event"] == "authorization_url":
                httpx.get(event["url"], follow_redirects=True)
            last = event
    assert last["event"] == "error"
    assert "access_denied" in last["message"]


def test_consent_before_a_server_is_stored_serves_it_afterwards(
    server: Server, client: Letta, scripted: Scripted
) -> None:
    scripted.needs_consent = True
    config = {"server_name": "x", "type": "streamable_http", "server_url": scripted.url}
    with server.http as http, http.stream("POST", "/v1/tools/mcp/servers/connect", json=config) as answer:
        for event in _events(answer):
            if event["event"] == "authorization_url":
                httpx.get(event["url"], follow_redirects=True)
            last = event
    assert last["event"] == "success"
    made = _http(client, scripted.url)
    assert len(client.mcp_servers.tools.list(made.id)) == 1


def test_the_older_operations_go_by_names(server: Server, scripted: Scripted) -> None:
    name, greet, bad = _name(), _name("greet"), _name("bad")
    scripted.tools = [tool(greet, {"a": {"type": "string"}}), {"name": bad, "inputSchema": {"type": "string"}}]
    config = {"server_name": name, "type": "streamable_http", "server_url": scripted.url, "token": "t"}
    with server.http as http:
        tried = http.post("/v1/tools/mcp/servers/test", json=config).json()
        assert tried["status"] == "success"
        assert [item["health"]["status"] for item in tried["tools"]] == ["NON_STRICT_ONLY", "INVALID"]
        added = http.put("/v1/tools/mcp/servers", json=config).json()
        assert name in [item["server_name"] for item in added]
        listed = http.get("/v1/tools/mcp/servers").json()
        assert (listed[name]["type"], listed[name]["auth_token"]) == ("streamable_http", "t")
        offers = http.get(f"/v1/tools/mcp/servers/{name}/tools").json()
        assert [item["name"] for item in offers] == [greet, bad]
        one = http.post(f"/v1/tools/mcp/servers/{name}/{greet}").json()
        assert (one["name"], one["tool_type"]) == (greet, "external_mcp")
        refused = http.post(f"/v1/tools/mcp/servers/{name}/{bad}")
        assert (refused.status_code, "type" in refused.json()["detail"]) == (400, True)
        assert http.post(f"/v1/tools/mcp/servers/{name}/nothing").status_code == 404
        ran = http.post(f"/v1/tools/mcp/servers/{name}/tools/{greet}/execute", json={"args": {"a": "b"}}).json()
        assert ran == {"result": f'{greet} {{"a": "b"}}', "success": True}
        synced = http.post(f"/v1/tools/mcp/servers/{name}/resync").json()
        assert (synced["added"], list(synced["refused"])) == ([], [bad])
        changed = http.patch(f"/v1/tools/mcp/servers/{name}", json={"custom_headers": {"X-A": "b"}}).json()
        assert (changed["custom_headers"], changed["auth_token"]) == ({"X-A": "b"}, "t")
        left = http.delete(f"/v1/tools/mcp/servers/{name}").json()
        assert name not in [item["server_name"] for item in left]
        unknown = http.get("/v1/tools/mcp/oauth/callback", params={"state": "nobody's", "code": "c"})
        assert (unknown.status_code, unknown.json()["status"]) == (400, "error")


def test_no_process_is_left_when_the_server_ends(own_server: Server) -> None:
    marker = f"reverie-{uuid4().hex}"
    made: Any = own_server.client.mcp_servers.create(
        server_name="time",
        config={"mcp_server_type": "stdio", "command": TIME[0], "args": [*TIME[1:]], "env": {"MARKER": marker}},
    )
    assert len(own_server.client.mcp_servers.tools.list(made.id)) == 2
    assert _processes_with(marker)
    assert own_server.stop() == 0
    assert _processes_with(marker) == []


def _processes_with(marker: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if marker.encode() in file.read():
                    found.append(pid)
        except OSError:
            continue  # it ended, or is not ours
    return found
