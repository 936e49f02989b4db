"""What an organisation says about its tools' sandbox, over plain HTTP, and what tools then see."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from letta_client import Letta
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server
from tests.wire.samples import bare_agent, stored_bytes

VALUE = "as-white-as-snow"
UNSEEN = "kept-under-seal-4711"
LOOK = '''
def look(variable: str) -> str:
    """Look into the environment.

    Args:
        variable: its name
    """
    import os
    return os.environ.get(variable, "nothing")
'''
DOZE = '''
def doze() -> str:
    """Sleep."""
    import threading
    threading.Event().wait(60)
    return "awake"
'''


def ask(server: Server, method: str, path: str, status: int = 200, body: Any = None) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, f"/v1/sandbox-config{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


@pytest.fixture
def config(server: Server) -> Iterator[dict[str, Any]]:
    """The organisation's settings, gone at the end: the server is shared."""
    made = ask(server, "POST", "/local/default")
    yield made
    for item in ask(server, "GET", "/"):
        ask(server, "DELETE", f"/{item['id']}", 204)


def ran(server: Server, source: str, **args: str) -> dict[str, Any]:
    """A tool, run by itself."""
    with server.http as http:
        answer = http.post("/v1/tools/run", json={"source_code": source, "args": args})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_variables_are_in_the_environment_of_every_tool_and_secrets_come_first(
    server: Server, client: Letta, provider: Provider, config: dict[str, Any]
) -> None:
    place = f"/{config['id']}/environment-variable"
    made = ask(server, "POST", place, body={"key": "COLOUR", "value": VALUE, "description": "for walls"})
    assert (made["key"], made["value"], made["value_enc"], made["description"]) == ("COLOUR", VALUE, None, "for walls")
    assert VALUE in ran(server, LOOK, variable="COLOUR")["tool_return"]
    tool = client.tools.upsert(source_code=LOOK)
    agent = bare_agent(client, tool_ids=[tool.id], secrets={"SIZE": "small"})
    ask(server, "POST", place, body={"key": "SIZE", "value": "large"})
    provider.script(call("look", variable="COLOUR"), call("look", variable="SIZE"), say("done"))
    answer = client.agents.messages.create(agent.id, input="go")
    returns = [str(message.tool_return) for message in answer.messages if message.message_type == "tool_return_message"]
    assert returns == [VALUE, "small"]
    traces = [client.steps.trace.retrieve(step.id) for step in client.steps.list(agent_id=agent.id)]
    assert "[secret COLOUR]" in str(traces)
    assert VALUE not in str(traces)
    ask(server, "PATCH", f"/environment-variable/{made['id']}", body={"value": "white"})
    assert "white" in ran(server, LOOK, variable="COLOUR")["tool_return"]
    assert [item["key"] for item in ask(server, "GET", f"{place}?order=asc")] == ["COLOUR", "SIZE"]
    assert "exists already" in ask(server, "POST", place, 409, {"key": "SIZE", "value": "x"})["detail"]
    ask(server, "PATCH", f"/environment-variable/{made['id']}", 409, {"key": "SIZE"})
    ask(server, "POST", place, 422, {"key": "NOT GOOD", "value": "x"})
    ask(server, "DELETE", f"/environment-variable/{made['id']}", 204)
    ask(server, "DELETE", f"/environment-variable/{made['id']}", 404)
    assert "nothing" in ran(server, LOOK, variable="COLOUR")["tool_return"]
    ask(server, "POST", place, body={"key": "HIDDEN", "value": UNSEEN})
    assert not any(UNSEEN.encode() in found for found in stored_bytes(server))


def test_a_time_limit_ends_a_tool(server: Server, config: dict[str, Any]) -> None:
    changed = ask(server, "PATCH", f"/{config['id']}", body={"config": {"timeout": 1}})
    assert changed["config"]["timeout"] == 1
    assert changed["updated_at"] > config["updated_at"]
    outcome = ran(server, DOZE)
    assert outcome["status"] == "error"
    assert "1" in outcome["tool_return"]


def test_requirements_are_installed_and_what_cannot_be_had_is_told(server: Server, config: dict[str, Any]) -> None:
    packages = [{"name": "no-such-package-at-all-4711"}]
    told = ask(server, "POST", "/local", body={"use_venv": False, "pip_requirements": packages, "sandbox_dir": "/x"})
    assert set(told["config"]["ignored"]) == {"pip_requirements", "sandbox_dir"}
    assert ran(server, LOOK, variable="X")["status"] == "success"
    told = ask(server, "POST", "/local", body={"use_venv": True, "pip_requirements": packages})
    assert told["id"] == config["id"]
    assert told["config"]["pip_requirements"] == [{"name": "no-such-package-at-all-4711", "version": None}]
    assert "no-such-package-at-all-4711" in ran(server, LOOK, variable="X")["tool_return"]
    assert ask(server, "POST", "/local/recreate-venv")["id"] == config["id"]


def test_there_is_one_configuration_and_only_of_the_local_kind(server: Server, config: dict[str, Any]) -> None:
    assert config["type"] == "local"
    assert config["id"].startswith("sandbox-")
    assert ask(server, "GET", "/") == ask(server, "GET", "/?sandbox_type=local") == [config]
    assert ask(server, "GET", "/?sandbox_type=e2b") == []
    assert config["id"] in ask(server, "POST", "/", 409, {"config": {}})["detail"]
    assert "e2b" in ask(server, "POST", "/", 400, {"config": {"template": "base"}})["detail"]
    assert "modal" in ask(server, "POST", "/", 400, {"config": {"language": "python", "timeout": 5}})["detail"]
    assert "e2b" in ask(server, "POST", "/e2b/default", 400)["detail"]
    ask(server, "POST", "/", 422, {"config": {"timeout": -1}})
    nobody = "sandbox-00000000-0000-4000-8000-000000000000"
    ask(server, "PATCH", f"/{nobody}", 404, {"config": {}})
    ask(server, "DELETE", f"/{nobody}", 404)
    ask(server, "POST", f"/{nobody}/environment-variable", 404, {"key": "A", "value": "b"})
    ask(server, "GET", f"/{nobody}/environment-variable", 404)
    ask(server, "DELETE", f"/{config['id']}", 204)
    assert ask(server, "GET", "/") == []
    assert ask(server, "POST", "/", body={"config": {}})["id"] != config["id"]
