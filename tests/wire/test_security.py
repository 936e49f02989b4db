"""Who may call: keys on open addresses, names and origins on this machine."""

import re
from typing import Any

import httpx
import pytest
from letta_client import AuthenticationError, Letta
from tests.support.provider import Provider
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent, stored_bytes

pytestmark = pytest.mark.one_database("sqlite")

_KEY = re.compile(r"shown only now:\s+(\S+)")


def test_an_open_address_needs_the_key_that_was_printed_once(start_server: StartServer, provider: Provider) -> None:
    server = start_server("--host", "0.0.0.0")
    found = _KEY.search(server.log)
    assert found is not None, server.log
    key = found[1]
    with server.http as http:
        for path in ("/v1/agents/", "/v1/models/", "/openapi.json", "/v1/no/such/route"):
            refused = http.get(path)
            assert refused.status_code == 401, path
            assert refused.json()["detail"]
        assert http.get("/v1/agents/", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert http.get("/v1/health/").json()["status"] == "ok"
    with pytest.raises(AuthenticationError) as unknown:
        Letta(base_url=server.url, api_key="wrong", max_retries=0).agents.list()
    assert unknown.value.body["detail"]  # type: ignore[index]
    client = Letta(base_url=server.url, api_key=key, max_retries=0)
    agent = bare_agent(client)
    assert client.agents.messages.create(agent.id, input="hi").stop_reason.stop_reason == "end_turn"
    assert all(key.encode() not in text for text in stored_bytes(server) if text != server.log.encode())
    server.stop()
    before = len(server.log)
    server.start("--host", "0.0.0.0")
    assert _KEY.search(server.log[before:]) is None
    assert [item.id for item in Letta(base_url=server.url, api_key=key, max_retries=0).agents.list()] == [agent.id]


def test_a_given_key_is_the_key(start_server: StartServer) -> None:
    server = start_server(LETTA_SERVER_PASSWORD="the old password")
    with pytest.raises(AuthenticationError):
        Letta(base_url=server.url, api_key="wrong", max_retries=0).agents.list()
    assert Letta(base_url=server.url, api_key="the old password", max_retries=0).agents.list().items == []
    assert _KEY.search(server.log) is None


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8283", "192.168.1.9"])
def test_on_loopback_a_foreign_host_is_refused(server: Server, host: str) -> None:
    refused = httpx.get(f"{server.url}/v1/agents/", headers={"Host": host})
    assert refused.status_code == 403
    assert host in refused.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:8283", "LOCALHOST:8283"])
def test_on_loopback_its_own_names_are_answered_without_a_key(server: Server, host: str) -> None:
    assert httpx.get(f"{server.url}/v1/agents/", headers={"Host": host}).status_code == 200


def test_pages_of_other_origins_get_nothing(server: Server) -> None:
    origin = {"Origin": "https://evil.example"}
    read = httpx.get(f"{server.url}/v1/agents/", headers=origin)
    assert read.status_code == 403
    assert "access-control-allow-origin" not in read.headers
    asked = httpx.options(f"{server.url}/v1/agents/", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert asked.status_code == 403
    own = httpx.get(f"{server.url}/v1/agents/", headers={"Origin": server.url})
    assert own.status_code == 200


def test_provider_keys_are_not_told(server: Server, client: Letta) -> None:
    bare_agent(client)
    texts: list[Any] = [*stored_bytes(server), server.log.encode()]
    assert all(b"test-key" not in text for text in texts)


def test_health_tells_the_version_clients_want(client: Letta) -> None:
    health = client.health()
    assert health.status == "ok"
    major = int(health.version.split(".")[0])
    assert major >= 1
