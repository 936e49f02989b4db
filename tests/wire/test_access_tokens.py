"""Access tokens of pages: they open what their policy says, to pages of their host, and nothing else."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.support.server import Server
from tests.wire.samples import bare_agent, new_agent, stored_bytes

from reverie.api.describe import described_routes
from reverie.api.security import OPEN_PATHS

pytestmark = pytest.mark.one_database("sqlite")

Access = Literal["read_messages", "write_messages", "read_agent", "write_agent"]
PAGE = "https://app.example"
ALL: list[Access] = ["read_messages", "write_messages", "read_agent", "write_agent"]
A = "/v1/agents/{agent_id}"

OPENS: dict[Access, set[tuple[str, str]]] = {
    "read_messages": {("GET", f"{A}/messages")},
    "write_messages": {
        ("POST", f"{A}/messages"),
        ("POST", f"{A}/messages/stream"),
        ("POST", f"{A}/messages/async"),
        ("POST", f"{A}/messages/cancel"),
    },
    "read_agent": {
        ("GET", A),
        ("GET", f"{A}/core-memory"),
        ("GET", f"{A}/core-memory/blocks"),
        ("GET", f"{A}/core-memory/blocks/{{block_label}}"),
        ("GET", f"{A}/archival-memory"),
        ("GET", f"{A}/archival-memory/search"),
        ("GET", f"{A}/tools"),
    },
    "write_agent": {
        ("PATCH", A),
        ("PATCH", f"{A}/core-memory/blocks/{{block_label}}"),
        ("POST", f"{A}/archival-memory"),
        ("DELETE", f"{A}/archival-memory/{{memory_id}}"),
    },
}


def token_for(client: Letta, agent_id: str, access: list[Access], hostname: str = PAGE, **more: Any) -> str:
    policy: Any = [{"type": "agent", "id": agent_id, "access": access}]
    return client.access_tokens.create(hostname=hostname, policy=policy, **more).token


def page(server: Server, token: str, origin: str = PAGE) -> httpx.Client:
    """A page of `origin` that shows `token`."""
    return httpx.Client(base_url=server.url, headers={"Origin": origin, "Authorization": f"Bearer {token}"})


def every_route() -> Iterator[tuple[str, str]]:
    # What opens a WebSocket is not among them; `test_environments` shows it closed to pages.
    for route in described_routes():
        for method in route.methods or ():
            yield method, route.path.replace(":path", "")


def filled(path: str, agent_id: str) -> str:
    return re.sub(
        r"\{\w+(:path)?\}", "block-00000000-0000-4000-8000-000000000000", path.replace("{agent_id}", agent_id)
    )


def test_over_all_routes_a_token_opens_exactly_what_its_policy_says(client: Letta, server: Server) -> None:
    mine, other = bare_agent(client), bare_agent(client)
    opened = set().union(*OPENS.values())
    routes = set(every_route())
    assert opened <= routes
    with page(server, token_for(client, mine.id, ALL)) as browser:
        for method, path in sorted(routes):
            if path in OPEN_PATHS:
                continue
            answer = browser.request(method, filled(path, mine.id))
            if (method, path) in opened:
                assert answer.status_code not in (401, 403), (method, path, answer.text)
                answer = browser.request(method, filled(path, other.id))
            assert answer.status_code == 403, (method, path, answer.text)
            assert "access token" in answer.json()["detail"]
        for beyond in ("/openapi.json", "/docs", "/v1/no/such/path", "/v1/embeddings"):
            assert browser.get(beyond).status_code == 403
    assert client.agents.retrieve(mine.id).id == mine.id
    assert client.agents.retrieve(other.id).id == other.id


@pytest.mark.parametrize("access", ALL)
def test_each_access_opens_its_own_and_none_of_the_others(client: Letta, server: Server, access: Access) -> None:
    agent = bare_agent(client)
    with page(server, token_for(client, agent.id, [access])) as browser:
        for granted, routes in OPENS.items():
            for method, path in sorted(routes):
                refused = browser.request(method, filled(path, agent.id)).status_code == 403
                assert refused == (granted != access), (method, path)


def test_a_page_talks_to_its_agent_through_the_sdk(client: Letta, server: Server) -> None:
    agent = new_agent(client)
    token = token_for(client, agent.id, ALL)
    with Letta(base_url=server.url, api_key=token, max_retries=0, default_headers={"Origin": PAGE}) as browser:
        assert browser.agents.messages.create(agent.id, input="hi").stop_reason.stop_reason == "end_turn"
        assert list(browser.agents.messages.list(agent.id))
        assert browser.agents.update(agent.id, description="changed in a page").description == "changed in a page"
        browser.agents.blocks.update("human", agent_id=agent.id, value="Name: Ada")
        assert browser.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: Ada"
        (kept,) = browser.agents.passages.create(agent.id, text="likes tea")
        assert kept.id is not None
        browser.agents.passages.delete(kept.id, agent_id=agent.id)


def test_what_is_missing_is_named_and_other_agents_look_like_none(client: Letta, server: Server) -> None:
    mine, other = bare_agent(client), bare_agent(client)
    with page(server, token_for(client, mine.id, ["read_messages"])) as browser:
        assert "'read_agent'" in browser.get(f"/v1/agents/{mine.id}").json()["detail"]
        missing = mine.id[:-4] + ("0000" if mine.id[-4:] != "0000" else "1111")
        texts = {
            browser.get(f"/v1/agents/{agent_id}/messages").text.replace(agent_id, "X")
            for agent_id in (other.id, missing)
        }
        assert len(texts) == 1
        assert "do not open GET /v1/agents;" in browser.get("/v1/agents").json()["detail"]


def test_a_page_reaches_nothing_beyond_its_agent_through_the_agent(client: Letta, server: Server) -> None:
    agent = new_agent(client, secrets={"TOKEN": "hunter2"})
    block = client.blocks.create(label="other", value="not for pages")
    tool = next(iter(client.tools.list()))
    with page(server, token_for(client, agent.id, ALL)) as browser:
        shown = browser.get(f"/v1/agents/{agent.id}", params={"include": ["agent.secrets", "agent.blocks"]})
        assert shown.status_code == 200
        assert "hunter2" not in shown.text
        changes: list[dict[str, Any]] = [
            {"block_ids": [block.id]},
            {"tool_ids": [tool.id]},
            {"secrets": {"TOKEN": "mine"}},
            {"tool_rules": []},
            {"identity_ids": []},
            {"message_ids": []},
        ]
        for change in changes:
            refused = browser.patch(f"/v1/agents/{agent.id}", json={"name": "changed", **change})
            assert refused.status_code == 403, change
            assert next(iter(change)) in refused.json()["detail"]
    assert client.agents.retrieve(agent.id).name == agent.name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": PAGE}, 200),
        ({"Referer": f"{PAGE}/chat?x=1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Referer": PAGE}, 403),
        ({"Referer": "https://evil.example"}, 403),
        ({}, 403),
    ],
)
def test_only_pages_of_its_host_may_show_a_token(
    client: Letta, server: Server, headers: dict[str, str], status: int
) -> None:
    agent = bare_agent(client)
    whole = {"Authorization": f"Bearer {token_for(client, agent.id, ALL)}", **headers}
    answer = httpx.get(f"{server.url}/v1/agents/{agent.id}", headers=whole)
    assert answer.status_code == status
    assert status == 200 or PAGE in answer.json()["detail"]


def test_a_page_of_the_servers_own_host_needs_no_origin(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    token = token_for(client, agent.id, ALL, hostname=server.url)
    assert (
        httpx.get(f"{server.url}/v1/agents/{agent.id}", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    )


def test_browsers_are_told_that_pages_with_a_token_may_call_and_no_others(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    origin = f"https://{agent.id}.example"
    path = f"{server.url}/v1/agents/{agent.id}"
    ask = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    assert httpx.options(path, headers=ask).status_code == 403
    token = token_for(client, agent.id, ALL, hostname=f"{origin}/app")
    allowed = httpx.options(path, headers=ask)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == origin
    shown = httpx.get(path, headers={"Origin": origin, "Authorization": f"Bearer {token}"})
    assert (shown.status_code, shown.headers["access-control-allow-origin"]) == (200, origin)
    # The token lets the page in, and not the page without it: on this server no key is asked for.
    assert httpx.get(path, headers={"Origin": origin}).status_code == 403
    assert httpx.get(path, headers={"Origin": origin, "Authorization": "Bearer dummy"}).status_code == 403
    bad = httpx.get(path, headers={"Origin": origin, "Authorization": "Bearer ck-rev-unknown"})
    assert bad.status_code == 401


def test_tokens_are_listed_without_their_text_and_ended_by_text_or_id(client: Letta, server: Server) -> None:
    agent, other = bare_agent(client), bare_agent(client)
    policy: Any = [{"type": "agent", "id": item.id, "access": ["read_agent"]} for item in (agent, other)]
    end = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    made = client.access_tokens.create(hostname=PAGE, policy=policy, expires_at=end.isoformat())
    assert (made.hostname, datetime.fromisoformat(made.expires_at)) == (PAGE, end)
    assert [item.model_dump() for item in made.policy.data] == policy
    rest = [token_for(client, agent.id, ["read_messages"]) for _ in range(2)]
    first = client.access_tokens.list(agent_id=agent.id, limit=2)
    second = client.access_tokens.list(agent_id=agent.id, limit=2, offset=2)
    assert (len(first.tokens), first.has_next_page, len(second.tokens), second.has_next_page) == (2, True, 1, False)
    (last,) = second.tokens
    assert last.token != made.token
    assert (last.hostname, last.policy.model_dump()) == (made.hostname, made.policy.model_dump())
    assert len(client.access_tokens.list(agent_id=other.id).tokens) == 1
    for name, text in ((last.token, made.token), (rest[0], rest[0])):
        with page(server, text) as browser:
            assert browser.get(f"/v1/agents/{agent.id}").status_code in (200, 403)
            client.access_tokens.delete(name, body={})
            assert browser.get(f"/v1/agents/{agent.id}").status_code == 401
        with pytest.raises(NotFoundError):
            client.access_tokens.delete(name)
    assert len(client.access_tokens.list(agent_id=agent.id).tokens) == 1
    assert all(rest[1].encode() not in text for text in stored_bytes(server))


def test_a_token_lasts_five_minutes_unless_said_otherwise(client: Letta) -> None:
    agent = bare_agent(client)
    before = datetime.now(UTC)
    made = client.access_tokens.create(
        hostname=PAGE, policy=[{"type": "agent", "id": agent.id, "access": ["read_agent"]}]
    )
    life = datetime.fromisoformat(made.expires_at) - before
    assert timedelta(minutes=5) <= life < timedelta(minutes=6)


def test_a_token_goes_with_its_agent(client: Letta, server: Server) -> None:
    agent = bare_agent(client)
    token = token_for(client, agent.id, ALL)
    client.agents.delete(agent.id)
    with page(server, token) as browser:
        assert browser.get(f"/v1/agents/{agent.id}").status_code == 403


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"hostname": "app.example"}, 422, "hostname"),
        ({"hostname": "https://"}, 422, "hostname"),
        ({"policy": []}, 422, "policy"),
        ({"policy": [{"type": "agent", "id": "nobody", "access": ["read_agent"]}]}, 422, "policy"),
        ({"policy": [{"type": "agent", "id": "AGENT", "access": []}]}, 422, "access"),
        ({"policy": [{"type": "agent", "id": "AGENT", "access": ["everything"]}]}, 422, "access"),
        ({"expires_at": "soon"}, 422, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "has passed"),
        ({"policy": [{"type": "agent", "id": f"agent-{'0' * 8}-0000-4000-8000-{'0' * 12}", "access": ["read_agent"]}]},
         404, "agent"),
    ],
)  # fmt: skip
def test_a_token_that_would_open_nothing_is_not_made(
    client: Letta, change: dict[str, Any], status: int, told: str
) -> None:
    agent = bare_agent(client)
    whole: dict[str, Any] = {
        "hostname": PAGE,
        "policy": [{"type": "agent", "id": agent.id, "access": ["read_agent"]}],
        **change,
    }
    for grant in whole["policy"]:
        grant["id"] = grant["id"].replace("AGENT", agent.id)
    with pytest.raises(APIStatusError) as refused:
        client.access_tokens.create(**whole)
    assert refused.value.status_code == status
    assert told in str(refused.value.body)
    assert client.access_tokens.list(agent_id=agent.id).tokens == []
