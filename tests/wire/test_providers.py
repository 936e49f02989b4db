"""Providers that are added over the API. The SDKs do not know them, so all but their models goes over plain HTTP."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from letta_client import APIStatusError, Letta, NotFoundError
from tests.support.provider import Provider, ServedModel
from tests.support.replies import say
from tests.support.server import Server
from tests.wire.samples import bare_agent, stored_bytes

KEY = "sk-only-this-one-opens-it"
NOBODY = "provider-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def vendor() -> Iterator[Provider]:
    """A provider that the server's settings do not name; it asks for `KEY`."""
    models = (
        ServedModel(name="big", context_window=50_000),
        ServedModel(name="text-embedding-3-small", kind="embedding"),
    )
    with Provider(api_key=KEY, models=models) as provider:
        yield provider


@pytest.fixture
def name() -> str:
    """This test's provider: the server is shared."""
    return f"mine-{uuid4().hex[:8]}"


def ask(server: Server, method: str, path: str, status: int = 200, **body: Any) -> Any:
    """What the server answers, whose status is checked."""
    with server.http as http:
        answer: httpx.Response = http.request(method, path, json=body or None)
    assert answer.status_code == status, answer.text
    assert KEY not in answer.text
    return answer.json()


def add(server: Server, vendor: Provider, name: str, **more: Any) -> dict[str, Any]:
    """A provider of OpenAI's kind."""
    body = {"name": name, "provider_type": "openai", "api_key": KEY, "base_url": vendor.openai_url, **more}
    made: dict[str, Any] = ask(server, "POST", "/v1/providers/", **body)
    return made


def said(client: Letta, agent_id: str) -> list[str]:
    """What the agent answers."""
    answer = client.agents.messages.create(agent_id, input="hi")
    return [str(message.content) for message in answer.messages if message.message_type == "assistant_message"]


def test_models_of_an_added_provider_work_at_once_and_after_a_restart(own_server: Server, vendor: Provider) -> None:
    made = add(own_server, vendor, "mine")
    assert made["provider_category"] == "byok"
    assert (made["api_key"], made["api_key_enc"], made["access_key"]) == (None, None, None)
    client = own_server.client
    assert {str(model.handle) for model in client.models.list(provider_category=["byok"])} == {"mine/big"}
    assert "mine/big" not in {str(model.handle) for model in client.models.list(provider_category=["base"])}
    (big,) = client.models.list(provider_name="mine")
    assert (big.max_context_window, big.provider_category, big.provider_type) == (50_000, "byok", "openai")
    assert "mine/text-embedding-3-small" in {str(model.handle) for model in client.models.embeddings.list()}
    agent = bare_agent(client, model="mine/big", embedding="mine/text-embedding-3-small")
    vendor.script(say("from the vendor"), say("once more"))
    assert said(client, agent.id) == ["from the vendor"]
    own_server.restart()
    assert said(own_server.client, agent.id) == ["once more"]
    steps = own_server.client.steps.list(agent_id=agent.id).items
    assert {(step.provider_name, step.provider_category) for step in steps} == {("mine", "byok")}
    assert not any(KEY.encode() in found for found in stored_bytes(own_server))
    assert KEY not in own_server.log


def test_other_credentials_count_from_the_next_request_on(
    server: Server, client: Letta, vendor: Provider, name: str
) -> None:
    made = add(server, vendor, name, api_key="wrong")
    agent = bare_agent(client, model=f"{name}/big")
    with pytest.raises(APIStatusError) as refused:
        said(client, agent.id)
    assert refused.value.status_code == 401
    changed = ask(server, "PATCH", f"/v1/providers/{made['id']}", api_key=KEY)
    assert (changed["base_url"], changed["name"]) == (vendor.openai_url, name)
    assert changed["updated_at"] > made["updated_at"]
    assert said(client, agent.id) == ["All right."]
    ask(server, "DELETE", f"/v1/providers/{made['id']}")
    with pytest.raises(NotFoundError) as gone:
        said(client, agent.id)
    assert name in str(gone.value.body)
    ask(server, "GET", f"/v1/providers/{made['id']}", 404)


def test_checks_tell_a_good_key_from_a_bad_one_and_store_nothing(
    server: Server, client: Letta, vendor: Provider, name: str
) -> None:
    given: dict[str, Any] = {"provider_type": "openai", "base_url": vendor.openai_url}
    assert "openai" in ask(server, "POST", "/v1/providers/check", api_key=KEY, **given)["message"]
    assert "key" in ask(server, "POST", "/v1/providers/check", 401, api_key="wrong", **given)["detail"]
    closed: dict[str, Any] = {"provider_type": "vllm", "base_url": "http://127.0.0.1:9/v1", "api_key": ""}
    assert "vllm" in ask(server, "POST", "/v1/providers/check", 502, **closed)["detail"]
    assert ask(server, "GET", "/v1/providers/?provider_type=vllm") == []
    made = add(server, vendor, name)
    assert "openai" in ask(server, "POST", f"/v1/providers/{made['id']}/check")["message"]
    ask(server, "PATCH", f"/v1/providers/{made['id']}", api_key="wrong")
    ask(server, "POST", f"/v1/providers/{made['id']}/check", 401)
    ask(server, "POST", f"/v1/providers/{NOBODY}/check", 404)


def test_a_refresh_brings_fresh_models_and_drops_those_that_are_gone(
    server: Server, client: Letta, vendor: Provider, name: str
) -> None:
    made = add(server, vendor, name)
    assert made["last_synced"] is None
    assert [str(model.handle) for model in client.models.list(provider_name=name)] == [f"{name}/big"]
    vendor.models = (ServedModel(name="bigger", context_window=60_000),)
    assert ask(server, "PATCH", f"/v1/providers/{made['id']}/refresh")["last_synced"] is not None
    assert [str(model.handle) for model in client.models.list(provider_name=name)] == [f"{name}/bigger"]
    ask(server, "PATCH", f"/v1/providers/{made['id']}", api_key="wrong")
    ask(server, "PATCH", f"/v1/providers/{made['id']}/refresh", 401)


def test_providers_of_the_settings_are_listed_and_cannot_be_touched(server: Server, vendor: Provider) -> None:
    base = {item["name"]: item for item in ask(server, "GET", "/v1/providers/?limit=1000")}["openai"]
    assert base["provider_category"] == "base"
    assert ask(server, "GET", f"/v1/providers/{base['id']}") == base
    for method, path, body in (
        ("PATCH", "", {"api_key": "x"}),
        ("DELETE", "", {}),
        ("PATCH", "/refresh", {}),
    ):
        answer = ask(server, method, f"/v1/providers/{base['id']}{path}", 400, **body)
        assert "settings" in answer["detail"]
    assert "settings" in ask(
        server, "POST", "/v1/providers/", 409, name="openai", provider_type="openai", api_key="x"
    )["detail"]  # fmt: skip
    assert "openai" in ask(server, "POST", f"/v1/providers/{base['id']}/check")["message"]


def test_lists_come_in_pages_and_by_name_and_type(server: Server, vendor: Provider, name: str) -> None:
    made = [add(server, vendor, f"{name}-{number}", provider_type="groq") for number in range(3)]
    ids = [item["id"] for item in made]
    newest = ask(server, "GET", "/v1/providers/?provider_type=groq")
    assert [item["id"] for item in newest][:3] == ids[::-1]
    page = ask(server, "GET", f"/v1/providers/?order=asc&limit=1&after={ids[0]}")
    assert [item["id"] for item in page] == [ids[1]]
    page = ask(server, "GET", f"/v1/providers/?order=asc&limit=1&before={ids[2]}")
    assert [item["id"] for item in page] == [ids[1]]
    assert [item["id"] for item in ask(server, "GET", f"/v1/providers/?name={name}-2")] == [ids[2]]
    ask(server, "GET", f"/v1/providers/?after={NOBODY}", 404)
    for item in made:
        ask(server, "DELETE", f"/v1/providers/{item['id']}")


@pytest.mark.parametrize(
    ("status", "word", "body"),
    [
        (400, "hosted", {"provider_type": "chatgpt_oauth"}),
        (400, "hosted", {"provider_type": "letta"}),
        (422, "provider_type", {"provider_type": "abacus"}),
        (400, "base_url", {"provider_type": "azure", "base_url": None}),
        (400, "access_key", {"provider_type": "bedrock", "region": "us-east-1"}),
        (400, "api_key", {"api_key": " "}),
        (400, "password", {"base_url": "http://me:secret@127.0.0.1/v1"}),
        (422, "base_url", {"base_url": "ftp://example.org"}),
        (422, "name", {"name": "a/b"}),
        (422, "name", {"name": ""}),
    ],
)
def test_what_cannot_be_a_provider_is_refused_with_the_reason(
    server: Server, vendor: Provider, name: str, status: int, word: str, body: dict[str, Any]
) -> None:
    whole = {"name": name, "provider_type": "openai", "api_key": KEY, "base_url": vendor.openai_url, **body}
    assert word in str(ask(server, "POST", "/v1/providers/", status, **whole)["detail"])
    assert ask(server, "GET", f"/v1/providers/?name={name}") == []


def test_a_name_can_be_had_once(server: Server, vendor: Provider, name: str) -> None:
    add(server, vendor, name)
    assert name in ask(
        server, "POST", "/v1/providers/", 409, name=name, provider_type="openai", api_key="y"
    )["detail"]  # fmt: skip
    ask(server, "POST", "/v1/providers/", 422, name=f"{name}2", provider_type="openai")
    ask(server, "PATCH", f"/v1/providers/{NOBODY}", 404, api_key="x")
    ask(server, "DELETE", f"/v1/providers/{NOBODY}", 404)
    ask(server, "GET", "/v1/providers/provider-7", 422)
