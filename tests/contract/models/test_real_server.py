"""The adapters against a model server nobody here wrote: llama.cpp with SmolLM2. Structure, never content."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import httpx
import pytest
from tests.contract.models.samples import ADD, ask, called, read, results, user

from reverie.domain.content import TextPart
from reverie.domain.errors import ModelContextOverflow
from reverie.domain.provider import ModelInfo
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    FinishChunk,
    GenerationSettings,
    ModelOptions,
    ProviderOptions,
    TextChunk,
)
from reverie.models.catalog import Catalog
from reverie.models.registry import ANTHROPIC, CHAT, RESPONSES, load_endpoint, resolve
from reverie.models.toy import MODEL, ToyServer, is_installed, start_toy

pytestmark = pytest.mark.skipif(not is_installed(), reason="the extra `toy` is not installed")
SHORT = GenerationSettings(max_output_tokens=12, temperature=0.0)


@pytest.fixture(scope="module")
def toy() -> Iterator[ToyServer]:
    server = start_toy(context_window=1024)
    yield server
    server.stop()
    gc.collect()


async def test_it_is_listed_with_the_window_it_was_started_with(toy: ToyServer) -> None:
    catalog = Catalog(ModelOptions(providers=(toy.options,)))
    assert {model.handle: model.context_window for model in await catalog.list_models()} == {toy.handle: 1024}
    assert (await catalog.probe(toy.options)).works
    await catalog.aclose()


@pytest.mark.parametrize("adapter", [CHAT, RESPONSES, ANTHROPIC])
async def test_each_dialect_it_speaks_gives_text_usage_and_an_end(toy: ToyServer, adapter: str) -> None:
    base_url = toy.base_url if adapter != ANTHROPIC else toy.base_url.removesuffix("/v1")
    kind = {CHAT: "llamacpp", RESPONSES: "openai", ANTHROPIC: "anthropic"}[adapter]
    provider = resolve(ProviderOptions(name="toy", type=kind, base_url=base_url))
    info = ModelInfo(
        handle=toy.handle, name=MODEL, provider_name="toy", provider_type=kind, endpoint=None, context_window=1024
    )
    async with httpx.AsyncClient() as http:
        endpoint = load_endpoint(adapter, provider, ModelOptions(), http)
        reading = await read(endpoint.model(info), replace(ask(user("Tell me a story.")), settings=SHORT))
        await endpoint.aclose()
    assert len([chunk for chunk in reading.chunks if isinstance(chunk, TextChunk)]) > 1
    assert reading.usage is not None
    assert reading.usage.prompt_tokens > 10
    assert 0 < reading.usage.completion_tokens <= 13
    assert isinstance(reading.chunks[-1], FinishChunk)
    if adapter != RESPONSES:  # there, llama.cpp calls every reply complete
        assert reading.chunks[-1].reason == "length"


async def test_a_conversation_with_calls_is_accepted(toy: ToyServer) -> None:
    catalog = Catalog(ModelOptions(providers=(toy.options,)))
    model = await catalog.chat_model(toy.handle)
    turns = (
        user("2+3?"),
        AssistantTurn(parts=(TextPart(text="I add."), called("c1"))),
        results([("c1", "5")]),
        user("So?"),
    )
    reading = await read(model, replace(ask(*turns, tools=(ADD,)), settings=SHORT))
    assert reading.finish in ("stop", "length", "tool_calls")
    assert all(isinstance(chunk.index, int) for chunk in reading.chunks if isinstance(chunk, CallChunk))
    await catalog.aclose()


async def test_too_long_a_prompt_is_a_context_overflow(toy: ToyServer) -> None:
    catalog = Catalog(ModelOptions(providers=(toy.options,)))
    model = await catalog.chat_model(toy.handle)
    with pytest.raises(ModelContextOverflow):
        await read(model, ask(user("word " * 3000)))
    await catalog.aclose()


async def test_a_reply_that_is_given_up_frees_the_server(toy: ToyServer) -> None:
    catalog = Catalog(ModelOptions(providers=(toy.options,)))
    model = await catalog.chat_model(toy.handle)
    long = replace(ask(user("Count to a thousand.")), settings=GenerationSettings(max_output_tokens=900))
    async with aclosing(model.stream(long)) as stream:
        await anext(stream)
    async with asyncio.timeout(20):  # its one slot would be busy much longer
        await read(model, replace(ask(user("Hi")), settings=SHORT))
    await catalog.aclose()
