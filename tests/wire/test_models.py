"""Models and embedding models, as the configured providers list them."""

from typing import Any

import pytest
from letta_client import Letta, NotFoundError
from tests.support.provider import Provider, ServedModel
from tests.support.replies import fail
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent

pytestmark = pytest.mark.one_database("sqlite")


def test_models_come_with_the_context_windows_their_providers_tell(
    start_server: StartServer, provider: Provider
) -> None:
    provider.models = (
        ServedModel(name="small", context_window=4096),
        ServedModel(name="large", context_window=1_000_000),
        ServedModel(name="text-embedding-3-small", kind="embedding"),
    )
    client = start_server(OLLAMA_BASE_URL=provider.url).client
    models = {str(model.handle): model for model in client.models.list()}
    assert models["openai/small"].max_context_window == 4096
    assert models["google_ai/large"].context_window == 1_000_000
    assert models["ollama/small"].context_window == 4096
    assert "openai/text-embedding-3-small" not in models
    small = models["openai/small"]
    assert (small.provider_name, small.provider_type, small.api_model_endpoint_type) == ("openai", "openai", "openai")
    embedders = {str(model.handle): model for model in client.models.embeddings.list()}
    assert embedders["openai/text-embedding-3-small"].embedding_dim == 1536
    assert not set(embedders) & set(models)
    only = client.models.list(provider_name="ollama")
    assert {model.provider_name for model in only} == {"ollama"}


def test_an_agent_uses_the_window_of_its_model_and_no_more(start_server: StartServer, provider: Provider) -> None:
    provider.models = (ServedModel(name="small", context_window=4096),)
    client = start_server().client
    client.models.list()
    agent = bare_agent(client, model="openai/small")
    assert agent.llm_config.context_window == 4096
    limited = bare_agent(client, model="openai/small", context_window_limit=2048)
    assert limited.llm_config.context_window == 2048


def test_a_provider_that_is_down_hides_nobody_else(start_server: StartServer, provider: Provider) -> None:
    provider.list_failure = fail(500)
    client = start_server().client
    assert isinstance(client.models.list(), list)
    assert [str(model.handle) for model in client.models.embeddings.list()] == ["reverie/all-minilm-l6-v2"]
    agent = bare_agent(client)
    assert client.agents.messages.create(agent.id, input="hi").stop_reason.stop_reason == "end_turn"


def test_an_unknown_provider_is_named_when_an_agent_is_made(client: Letta) -> None:
    with pytest.raises(NotFoundError) as refused:
        client.agents.create(model="nobody/nothing")
    body: Any = refused.value.body
    assert "nobody" in body["detail"]


def test_a_gateway_behind_a_providers_name_keeps_the_name(client: Letta, provider: Provider) -> None:
    agent = bare_agent(client, model="openai/some/gateway-model")
    client.agents.messages.create(agent.id, input="hi")
    assert provider.requests[0].model == "some/gateway-model"
    assert client.agents.retrieve(agent.id).model == "openai/some/gateway-model"
