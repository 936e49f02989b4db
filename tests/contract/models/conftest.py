"""Every adapter over the scripted provider."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.support.provider import Provider

from reverie.domain.provider import ModelInfo
from reverie.models.base import ChatModel, ModelOptions, ProviderOptions
from reverie.models.registry import ANTHROPIC, BEDROCK, CHAT, GOOGLE, RESPONSES, Endpoint, load_endpoint, resolve

KEY = "sk-secret-0123456789abcdef"


@dataclass(frozen=True)
class Speaker:
    """One adapter and the model it is tried with."""

    dialect: str
    """As the scripted provider calls it."""
    adapter: str
    provider_type: str
    model: str
    keeps_signatures: bool = True
    """Reasoning has a signature on this wire."""
    streams_arguments: bool = True


SPEAKERS = (
    Speaker("openai-chat", CHAT, "deepseek", "deepseek-reasoner", keeps_signatures=False),
    Speaker("openai-responses", RESPONSES, "openai", "gpt-5-mini"),
    Speaker("anthropic", ANTHROPIC, "anthropic", "claude-sonnet-4-6"),
    Speaker("google", GOOGLE, "google_ai", "gemini-2.5-pro", streams_arguments=False),
    Speaker("bedrock", BEDROCK, "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
)


def only(*dialects: str) -> pytest.MarkDecorator:
    """Run a test of every adapter for some of them, where the others have nothing to test."""
    chosen = [speaker for speaker in SPEAKERS if speaker.dialect in dialects]
    return pytest.mark.parametrize("stage", chosen, ids=lambda speaker: speaker.dialect, indirect=True)


@dataclass
class Stage:
    """One adapter connected to one scripted provider."""

    speaker: Speaker
    provider: Provider
    model: ChatModel
    endpoint: Endpoint


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def options_for(speaker: Speaker, provider: Provider) -> ProviderOptions:
    url = provider.openai_url if speaker.dialect.startswith("openai") else provider.url
    return resolve(
        ProviderOptions(
            name="acme", type=speaker.provider_type, base_url=url, api_key=KEY, access_key="AKIA0", region="us-east-1"
        )
    )


def info_for(speaker: Speaker) -> ModelInfo:
    return ModelInfo(
        handle=f"acme/{speaker.model}",
        name=speaker.model,
        provider_name="acme",
        provider_type=speaker.provider_type,
        endpoint=None,
        context_window=100_000,
        reasoning=True,
        vision=True,
    )


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: speaker.dialect)
async def stage(request: pytest.FixtureRequest, provider: Provider) -> AsyncIterator[Stage]:
    speaker: Speaker = request.param
    async with httpx.AsyncClient() as http:
        endpoint = load_endpoint(speaker.adapter, options_for(speaker, provider), ModelOptions(read_timeout_s=5), http)
        yield Stage(speaker, provider, endpoint.model(info_for(speaker)), endpoint)
        await endpoint.aclose()
