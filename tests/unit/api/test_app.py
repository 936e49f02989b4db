"""The application as a whole: every path of the SDK is there, and the page tells the truth."""

import re
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, cast

import httpx
import pytest
from starlette.routing import Match
from tests.support.sdk import NEWEST, sdk_operations

from reverie.api.app import SecurityOptions, create_app
from reverie.api.describe import described_routes
from reverie.api.routes.later import LATER
from reverie.auth.keys import Gate, NoKeys, TokenHasher
from reverie.operations.base import Operations

AGENT = "agent-123e4567-e89b-42d3-8456-426614174000"


class Idle:
    """Stands where operations are never reached."""

    draining = False


@cache
def the_app() -> Any:
    class Nothing:
        runs = Idle()

    gate = Gate(required=False, hasher=TokenHasher(b"k" * 32), store=NoKeys())
    return create_app(cast(Operations, Nothing()), SecurityOptions(gate=gate))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(the_app()), base_url="http://localhost:8283") as client:
        yield client


def concrete(path: str) -> str:
    """`path` with values of the right form in its holes."""

    def value(hole: re.Match[str]) -> str:
        name = hole[1].removeprefix("path_")
        prefix = {"memory_id": "passage", "conversation_id": "conv"}.get(name, name.removesuffix("_id"))
        return AGENT.replace("agent", prefix) if name.endswith("_id") else "name"

    return re.sub(r"\{(\w+)\}", value, path)


OPERATIONS = [(operation.verb, operation.path) for operation in sdk_operations(NEWEST)]


def test_the_sdk_is_read_right() -> None:
    assert len(OPERATIONS) == 129


def test_every_operation_of_the_sdk_has_a_route() -> None:
    routes = the_app().router.routes
    for method, path in OPERATIONS:
        scope = {"type": "http", "method": method, "path": concrete(path).rstrip("/"), "root_path": "", "headers": []}
        assert any(route.matches(scope)[0] is Match.FULL for route in routes), (method, path)


async def test_the_page_describes_every_route_with_its_answer_and_its_errors(client: httpx.AsyncClient) -> None:
    page = (await client.get("/openapi.json")).json()
    paths = {route.path_format for route in described_routes() if route.include_in_schema}
    assert set(page["paths"]) == paths
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            (success,) = [status for status in operation["responses"] if status.startswith("2")]
            assert success == "204" or operation["responses"][success].get("content"), (method, path)
    answer = page["paths"]["/v1/agents/{agent_id}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"] == {"$ref": "#/components/schemas/AgentState"}
    assert "llm_config" in page["components"]["schemas"]["AgentState"]["properties"]


async def test_every_reference_of_the_page_leads_somewhere(client: httpx.AsyncClient) -> None:
    text = (await client.get("/openapi.json")).text
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(schemas)


async def test_the_docs_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "https://" not in page
    assert "openapi.json" in page


@pytest.mark.parametrize("path", sorted(LATER))
async def test_what_is_not_there_yet_says_so(client: httpx.AsyncClient, path: str) -> None:
    for below in ("", "/", "/x/y"):
        response = await client.post(concrete(path) + below, json={})
        assert response.status_code == 501
        assert path in response.json()["detail"]


async def test_unknown_paths_and_methods_are_answered_in_json(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/nothing")
    assert (missing.status_code, "/v1/nothing" in missing.json()["detail"]) == (404, True)
    wrong = await client.put(f"/v1/agents/{AGENT}")
    assert (wrong.status_code, "PUT" in wrong.json()["detail"]) == (405, True)


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("GET", "/v1/agents/agent-1", None, ["path", "agent_id"]),
        ("GET", "/v1/agents?limit=0", None, ["query", "limit"]),
        ("GET", "/v1/agents?order=up", None, ["query", "order"]),
        ("POST", "/v1/blocks", {"value": "x"}, ["body", "label"]),
        ("POST", f"/v1/agents/{AGENT}/messages", {"input": "a", "max_steps": 0}, ["body", "max_steps"]),
        ("POST", f"/v1/agents/{AGENT}/messages", {"messages": []}, ["body"]),
    ],
)
async def test_a_malformed_request_is_told_where(
    client: httpx.AsyncClient, method: str, path: str, body: Any, where: list[str]
) -> None:
    response = await client.request(method, path, json=body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == where


async def test_a_refused_body_is_not_echoed(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/agents", json={"secrets": "hunter2"})
    assert response.status_code == 422
    assert "hunter2" not in response.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null"])
async def test_a_body_that_is_no_json_object_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/v1/agents", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_json_is_sent_as_json(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    response = await client.post("/v1/blocks", content=b'{"label": "a", "value": "b"}', headers=headers)
    assert response.status_code == 422
    (fault,) = response.json()["detail"]
    assert fault["loc"] == ["body"] and "content-type: application/json" in fault["msg"]


async def test_health_says_version_and_state(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/health/")).json() == {"version": "1.0.0a1", "status": "ok"}
